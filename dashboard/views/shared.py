"""What a link shows of the batches: a filtered list or one batch, and the page that asks for a link's password.

A link shows, and does nothing: no view here writes, and none reads its filter from the address. What vendors wrote is
masked, and no page names who made the link, who looks at it, or another batch.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from dashboard.addresses import client_address
from dashboard.audit import record
from dashboard.insight.batch_files import files_of
from dashboard.insight.privacy import masked
from dashboard.insight.pulse import Pulse
from dashboard.middleware import polled, pulse_of
from dashboard.models import Batch, ErrorGroup, Share
from dashboard.sharing import by_token, door, guessing, share_of
from dashboard.views.batch import so_far
from dashboard.views.batch_errors import groups_of, reads_of
from dashboard.views.batch_list import Asked, Cursor, page_of
from dashboard.views.batch_progress import progress_context
from dashboard.views.batch_row import SHOWN_COLUMNS, Row, give_removed, row_of
from dashboard.views.batches import counts_of, is_htmx, names_of
from dashboard.views.concern_line import notes_of
from dashboard.views.shell import POLL_SECONDS, signs_of, stale_connections
from dashboard.views.under_way import running_of

OPEN_SECONDS = 5
GROUPS_SHOWN, ERRORS_SHOWN = 20, 20
# Ids of batches are what people ask for, though they look like what is masked.
BATCH_ID = re.compile(r"batch[-_]\w{1,80}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# What an address may add to a link: another order, and a place in the list.
PLACE = ("sort", "before", "after")


@polled
@by_token(Share.Kind.LIST, Share.Kind.BATCH)
@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    share, taken = share_of(request), pulse_of(request)  # before the rows: what moves in between is asked for again
    found = batch_context(share, taken) if share.kind == Share.Kind.BATCH else list_context(request, share, taken)
    context = found | {
        "share": share,
        "title": masked(share.name),
        "now": timezone.now(),
        "signs": [replace(sign, name=masked(sign.name)) for sign in signs_of(taken)],
    }
    return render(request, "shared/_changed.html" if is_htmx(request) else "shared/shared.html", context)


# --- A list -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown(Asked):
    """What a link asks for: its own filter, and of the address no more than an order and a place."""

    def link(self, **changes: Any) -> str:
        values = {"sort": self.sort} | {name: value for name, value in changes.items() if name in {*PLACE, "seen"}}
        if values["sort"] == "newest":
            del values["sort"]
        return "?" + urlencode({name: value for name, value in values.items() if value not in ("", None)})


@dataclass(frozen=True, slots=True)
class SharedRow:
    row: Row
    finish: str  # when it may be done; empty where nobody can say


def list_context(request: HttpRequest, share: Share, taken: Pulse) -> dict[str, Any]:
    query = QueryDict(share.query, mutable=True)
    # A filter that cannot be read any more leaves out a part, and shows more than it was made for: then nothing is.
    is_understood = not Asked.of(query, taken.names).notes
    for name in PLACE:
        if name in request.GET:
            query[name] = request.GET[name]
    asked = Shown.of(query, taken.names)
    context: dict[str, Any] = {
        "asked": asked,
        "is_understood": is_understood,
        "piece": "shared/_list.html",
        "poll_seconds": POLL_SECONDS,
        "poll_url": asked.link(before=asked.before, after=asked.after, seen=taken.token),
    }
    if not is_understood:
        return context
    page = page_of(request, taken, asked, columns=SHOWN_COLUMNS)
    counts, is_all = counts_of(request, taken, asked)
    if page.batches and page.newer:
        context["newer"] = asked.link(after=Cursor.at(page.batches[0], asked.sort))
    if page.older or page.looked_to:
        context["older"] = asked.link(before=page.older or page.looked_to)
    return context | {
        "rows": shared_rows(page.batches, taken),
        "count": counts[asked.status],
        "capped": not is_all,
        "is_first": not (asked.before or asked.after),
    }


def shared_rows(batches: list[Batch], taken: Pulse) -> list[SharedRow]:
    names = names_of(taken)
    give_removed(batches, names)
    notes, stale = notes_of(batches), stale_connections(taken)
    rows = []
    for batch in batches:
        veil(batch)
        note = notes.get(batch.pk)
        note = replace(note, words=masked(note.words)) if note else None
        # Without acts: those say who did them.
        row = row_of("", batch, {}, stale, None, note, ())
        rows.append(replace(row, second=masked(row.second), note=masked(row.note)))
    running = {one.row.batch.pk: one for one in running_of([row for row in rows if row.batch.is_open], {}, stale)}
    return [SharedRow(row, finish_in(running.get(row.batch.pk))) for row in rows]


def finish_in(one: Any) -> str:
    return one.finish if one is not None and one.progress and one.progress.likely else ""


def veil(batch: Batch) -> None:
    """Mask what a vendor or a customer wrote of it, in this object alone."""
    batch.name, batch.model, batch.endpoint = masked(batch.name), masked(batch.model), masked(batch.endpoint)
    batch.raw_status = masked(batch.raw_status)
    batch.remote_id = batch.remote_id if BATCH_ID.fullmatch(batch.remote_id) else masked(batch.remote_id)


# --- A batch ----------------------------------------------------------------------------------------------------------


def batch_context(share: Share, taken: Pulse) -> dict[str, Any]:
    batch = find(share)
    stale = batch.is_open and batch.connection_id in stale_connections(taken)
    veil(batch)
    batch.connection.name = masked(batch.connection.name)
    groups = groups_of(batch)
    for group in groups:
        veil_error(group.error.group)
    reads = [(file, [masked(words) for words in said]) for file, said in reads_of(batch, files_of(batch))]
    errors = [one for one in batch.errors if isinstance(one, dict)] if isinstance(batch.errors, list) else []
    failing = sum(group.requests for group in groups)
    return (
        progress_context(batch, stale=stale)
        | so_far(batch, stale=stale, seen=set(batch.transitions.values_list("new_status", flat=True)[:200]))
        | {
            "piece": "shared/_batch.html",
            "groups": groups[:GROUPS_SHOWN],
            "groups_left": max(0, len(groups) - GROUPS_SHOWN),
            "failing": failing,
            "reads": reads,
            "errors": [
                {
                    "code": masked(str(one.get("code") or "")),
                    "message": masked(str(one.get("message") or "")),
                    "line": one.get("line") if type(one.get("line")) is int else None,
                }
                for one in errors[:ERRORS_SHOWN]
            ],
            "errors_left": max(0, len(errors) - ERRORS_SHOWN),
            "poll_seconds": OPEN_SECONDS if batch.is_open else POLL_SECONDS,
            "poll_url": "?" + urlencode({"seen": taken.token}),
        }
    )


def find(share: Share) -> Batch:
    """The one batch of this link, as long as whoever made it may see it."""
    batches = Batch.objects.visible_to(share).filter(connection__dropped_at=None)
    batch = batches.filter(pk=share.batch_id or 0).select_related("connection").defer("search_text", "payload").first()
    if batch is None:
        raise door.NoShare
    return batch


def veil_error(group: ErrorGroup) -> None:
    group.code, group.message = masked(group.code), masked(group.message)


# --- The password -----------------------------------------------------------------------------------------------------


def ask(request: HttpRequest, token: str) -> HttpResponse:
    """Asks for the password of a link, and remembers in a cookie of its own path who knew it."""
    share, address = share_of(request), client_address(request)
    path = door.address_of(request, token)
    onwards = HttpResponseRedirect(door.with_query(request, path))
    if not share.password or door.knows_password(request, share):
        return onwards
    is_wrong, wait = False, 0
    if request.method == "POST":
        is_right, wait = guessing.password_tried(
            share, request.POST.get("password", "")[:1_000], address, lambda: note_wrong(share, address)
        )
        if is_right:
            door.let_pass(onwards, share, path)
            return onwards
        is_wrong = not wait
    else:
        wait = guessing.seconds_to_wait_for_password(share, address)
    context = {"is_wrong": is_wrong, "minutes": -(-wait // 60)}
    response = render(request, "shared/password.html", context, status=429 if wait else 200)
    if wait:
        response["Retry-After"] = str(wait)
    return response


def note_wrong(share: Share, address: str) -> None:
    record("", guessing.WRONG_PASSWORD, f"{share.audited_as}{share.name}", address=address)


# A form on another site cannot name this address without knowing the token, which is all that such a form could misuse.
# Django's own check cannot pass here: a page that sends no Referer sends no Origin with its form either.
@csrf_exempt
@by_token(Share.Kind.LIST, Share.Kind.BATCH, asks=True)
@require_http_methods(["GET", "HEAD", "POST"])
def shared_password(request: HttpRequest, token: str) -> HttpResponse:
    return ask(request, token)


@csrf_exempt
@by_token(Share.Kind.WALL, asks=True)
@require_http_methods(["GET", "HEAD", "POST"])
def wall_password(request: HttpRequest, token: str) -> HttpResponse:
    return ask(request, token)
