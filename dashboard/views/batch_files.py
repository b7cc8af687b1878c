"""The three files of a batch: what they hold, how far they were read, and the ways to their contents.

A file's contents leave the vendor only when somebody with the right presses a button, and each time that is noted. So
these are forms and never links: nothing that merely follows an address reads a prompt.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from dashboard.access import READ_BODIES, ROLE_NAMES, role_needed
from dashboard.audit import record
from dashboard.insight.batch_files import BatchFile, files_of, reckon, state_in_words
from dashboard.insight.causes import cause_of
from dashboard.insight.outcome import amid
from dashboard.middleware import polled, pulse_of
from dashboard.models import Batch, FileKind
from dashboard.sync import bodies
from dashboard.sync.acts import Busy
from dashboard.sync.files import ask
from dashboard.templatetags.times import clock_words
from dashboard.views.batch import find
from dashboard.views.batch_errors import has_moved, live_context, may_read_bodies, safe_name, tabs_context
from dashboard.views.batches import is_htmx
from dashboard.views.health import not_allowed

log = logging.getLogger(__name__)

PREVIEW_LINES = 20
SOON_SECONDS = 3 * 86_400

type View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Row:
    file: BatchFile
    words: list[str]
    expires_soon: bool
    can_ask: bool
    can_open: bool


def for_readers(view: View) -> View:
    """Only for who may read bodies, and for nobody where DASHBOARD_READ_ONLY is set."""

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(READ_BODIES):
            raise PermissionDenied(
                _("Reading what requests and answers say needs the role %(role)s. Nothing was read at the vendor.")
                % {"role": ROLE_NAMES[role_needed(READ_BODIES)]}
            )
        return not_allowed(request) if settings.READ_ONLY else view(request, **kwargs)

    return guarded


def note(request: HttpRequest, verb: str, batch: Batch, detail: str) -> None:
    """Written before anything is read, so that a process killed in the middle leaves a trace."""
    record(request, verb, f"{batch.connection}: {batch.remote_id}", batch=batch, detail=detail)


@polled
@require_GET
def batch_files(request: HttpRequest, pk: int) -> HttpResponse:
    pulse_of(request)  # before the rows: what moves in between is asked for again
    found = find(request, pk)
    files = files_of(found)
    can_read = may_read_bodies(request)
    context = {
        "batch": found,
        "page": "batch-files",
        "rows": [row_of(found, file, can_read=can_read) for file in files.values()],
        "reckoning": reckon(found, files),
        "files": files,
        "can_read": can_read,
        "moved": has_moved(request, found, files),
        "role_needed": ROLE_NAMES[role_needed(READ_BODIES)],
    }
    context |= tabs_context(found)
    context |= live_context(request, found, files)
    return render(request, f"batch_files/{'_changed' if is_htmx(request) else 'batch_files'}.html", context)


def row_of(batch: Batch, file: BatchFile, *, can_read: bool) -> Row:
    expires_at = file.remote.expires_at if file.remote else None
    left = (expires_at - timezone.now()).total_seconds() if expires_at else None
    reachable = can_read and bool(file.file_id) and not file.is_gone and not batch.connection.retired_at
    return Row(
        file=file,
        words=state_in_words(file, batch, clock_words),
        expires_soon=left is not None and left < SOON_SECONDS,
        can_ask=reachable and not file.is_being_read,
        can_open=reachable,
    )


def file_or_404(batch: Batch, kind: str) -> BatchFile:
    if kind not in FileKind:
        raise Http404
    return files_of(batch)[kind]


@for_readers
@require_POST
def read(request: HttpRequest, pk: int, kind: str) -> HttpResponseBase:
    """The wish to have a file read: its lines are counted, and what became of each request is kept for a while."""
    found = find(request, pk)
    file = file_or_404(found, kind)
    if not file.file_id:
        messages.info(request, _("There is no such file."), extra_tags="st-none")
    else:
        note(request, "read.file", found, f"{kind} file {file.file_id}")
        ask(found, kind, str(request.user))
        messages.info(request, _("The %(file)s is being read.") % {"file": amid(file.label)}, "ui-check")
    back = request.POST.get("back", "")
    if back == "batch-requests" and request.POST.get("outcome") == "succeeded":
        return redirect(reverse("batch-requests", args=[pk]) + "?outcome=succeeded")
    return redirect(back if back in {"batch", "batch-requests"} else "batch-files", pk=pk)


@for_readers
@require_POST
def preview(request: HttpRequest, pk: int, kind: str) -> HttpResponseBase:
    """The first lines as text. Nothing in them is ever markup."""
    found = find(request, pk)
    file = file_or_404(found, kind)
    context: dict[str, Any] = {"batch": found, "file": file, "page": "batch-files", "kind": kind, "can_read": True}
    if file.file_id:
        note(request, "read.preview", found, f"{kind} file {file.file_id}")
        try:
            context["preview"] = bodies.preview(found, kind, lines=PREVIEW_LINES)
        except (Busy, bodies.Unavailable) as refused:
            context |= why_refused(refused)
    else:
        context["cause"] = _("There is no such file.")
    return render(request, "batch_files/preview.html", context | tabs_context(found))


def why_refused(refused: Busy | bodies.Unavailable) -> dict[str, str]:
    """Why the vendor did not give it, and the vendor's own words."""
    if isinstance(refused, Busy):
        return {"cause": cause_of("busy"), "cause_words": ""}
    return {"cause": cause_of(refused.kind), "cause_words": refused.words}


@for_readers
@require_POST
def download(request: HttpRequest, pk: int, kind: str) -> HttpResponseBase:
    """The whole file, passed through as it comes. Always saved, never shown."""
    found = find(request, pk)
    file = file_or_404(found, kind)
    if not file.file_id:
        messages.info(request, _("There is no such file."), extra_tags="st-none")
        return redirect("batch-files", pk=pk)
    note(request, "read.download", found, f"{kind} file {file.file_id}")
    try:
        passing = bodies.download(found, kind)
    except (Busy, bodies.Unavailable) as refused:
        why = why_refused(refused)
        said = _("Not downloaded. %(cause)s") % why
        messages.info(request, f"{said} {why['cause_words']}".strip(), extra_tags="st-failed")
        return redirect("batch-files", pk=pk)
    response = StreamingHttpResponse(passing, content_type="application/octet-stream")
    name = saved_as(passing.name, found, kind)
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    if passing.size is not None:
        response["Content-Length"] = str(passing.size)
    return response


def saved_as(name: str, batch: Batch, kind: str) -> str:
    """The vendor's name for it where that is harmless on any disk, else one of ours. The ending is always ours."""
    stem = name.rpartition("/")[2].rpartition("\\")[2].removesuffix(".jsonl")
    safe = "".join(c for c in stem if c.isascii() and (c.isalnum() or c in "._- ")).strip(". ")[:100]
    return f"{safe or f'{safe_name(batch)}-{kind}'}.jsonl"
