"""The list as a file: everything that its address asks for, or what was ticked."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import batched
from typing import Any

from django.db.models import FETCH_RAISE
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.views.decorators.http import require_http_methods

from dashboard.audit import record
from dashboard.insight.outcome import in_words
from dashboard.insight.pulse import Pulse
from dashboard.middleware import pulse_of
from dashboard.models import Batch
from dashboard.models.batch import Status
from dashboard.views.batch_list import Asked, page_of, shown_to
from dashboard.views.batch_row import give_removed
from dashboard.views.table import streamed

BLOCK = 1_000  # rows in memory at once
# What the file calls it, and the column that it is.
PLAIN = {
    "model": "model",
    "endpoint": "endpoint",
    "owner": "owner",
    "total": "requests_total",
    "completed": "requests_completed",
    "failed": "requests_failed",
    "created_at": "created_at",
    "started_at": "in_progress_at",
    "finished_at": "finished_at",
    "expires_at": "expires_at",
    "tokens_input": "tokens_input",
    "tokens_cached": "tokens_cached",
    "tokens_output": "tokens_output",
    "tokens_reasoning": "tokens_reasoning",
    "tokens_total": "tokens_total",
    "metadata": "metadata",
}
COLUMNS = ("id", "name", "connection", "status", "outcome", "outcome_words", *PLAIN)
READ = (
    *PLAIN.values(),
    "remote_id",
    "name",
    "connection_id",
    "status",
    "raw_status",
    "outcome",
    "gone_at",
    "is_open",
    "place",
    "failing",
    "failed_in_files",
    "output_file_id",
    "worst_requests",
)


@require_http_methods(["GET", "POST"])
def batches_export(request: HttpRequest, form: str) -> HttpResponseBase:
    """A GET is the filtered list in its order; a POST names batches, too many for an address, and changes nothing."""
    taken = pulse_of(request)
    if request.method == "POST":
        chosen = ids_in(request.POST)
        blocks, what = chosen_blocks(request, taken, chosen), f"selected-{len(chosen)}"
    else:
        asked = Asked.of(request.GET, taken.names)
        blocks, what = asked_blocks(request, taken, asked), words_of(asked, taken.names)
    name = "-".join(filter(None, ("batches", what, f"{timezone.now():%Y-%m-%dT%H%MZ}")))
    record(request, "export.batches", what or "all", detail=request.GET.urlencode()[:1000])
    return streamed(COLUMNS, cells_of(blocks, taken.names, translation.get_language()), form, name)


def asked_blocks(request: HttpRequest, taken: Pulse, asked: Asked) -> Iterator[list[Batch]]:
    """Block after block to the end, also where a search looks through so many and no more: then it goes on from there.

    Each is a question of its own, so that a slow download holds no transaction open.
    """
    place = None
    while True:
        page = page_of(request, taken, replace(asked, before=place, after=None), BLOCK, READ)
        yield page.batches
        place = page.older or page.looked_to
        if place is None:
            return


def chosen_blocks(request: HttpRequest, taken: Pulse, chosen: set[int]) -> Iterator[list[Batch]]:
    """Those of the batches that this person may see, newest first."""
    rows = shown_to(request, taken)
    places: list[tuple[int, int]] = []
    for some in batched(chosen, BLOCK, strict=False):
        places += rows.filter(pk__in=some).values_list("place", "pk")
    for block in batched(sorted(places, reverse=True), BLOCK, strict=False):
        found = rows.filter(pk__in=[pk for _place, pk in block]).only(*READ).fetch_mode(FETCH_RAISE)
        yield list(found.order_by("-place", "-pk"))


def ids_in(posted: QueryDict) -> set[int]:
    """The ticked boxes of the page, and those that it remembers of other pages."""
    words = [*posted.getlist("batch"), *posted.get("more", "").split(",")]
    return {int(word) for word in words if word.isdecimal() and len(word) < 19}


def cells_of(
    blocks: Iterator[list[Batch]], names: dict[int, str], language: str | None
) -> Iterator[tuple[object, ...]]:
    # A file is made while it is sent, when whoever asked for it is no longer what this thread is about.
    for block in blocks:
        with translation.override(language):
            known = names | give_removed(block, names)
            cells = [row_of(batch, known) for batch in block]
        yield from cells


def row_of(batch: Batch, names: dict[int, str]) -> tuple[Any, ...]:
    status = batch.raw_status if batch.status == Status.UNKNOWN else batch.status
    return (
        batch.remote_id,
        batch.name,
        names.get(batch.connection_id, ""),
        status,
        batch.outcome,
        in_words(batch),
        *(getattr(batch, column) for column in PLAIN.values()),
    )


def words_of(asked: Asked, names: dict[int, str]) -> str:
    """What was asked for, as part of a file's name."""
    connection = names.get(asked.connection, "") if asked.connection is not None else ""
    words = " ".join(filter(None, (connection, asked.status, asked.q, "" if asked.sort == "newest" else asked.sort)))
    return re.sub(r"[^a-z0-9]+", "-", words.lower())[:60].strip("-")
