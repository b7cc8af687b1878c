"""One batch: what became of it, when each step was, what was seen, and the button that cancels it."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, pairwise
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from dashboard.access import CANCEL, ROLE_NAMES, role_needed
from dashboard.addresses import client_address
from dashboard.dialects.scrub import scrub
from dashboard.insight.causes import cause_of_act, told
from dashboard.insight.cost import cost_of
from dashboard.insight.outcome import is_running, sentences, unseen_since
from dashboard.insight.timeline import absent, timeline
from dashboard.middleware import PULSE, polled, pulse_of
from dashboard.models import Act, Batch, User
from dashboard.models.batch import Outcome, Status
from dashboard.sync import acts
from dashboard.templatetags.batches import left, now_of, number, percent
from dashboard.templatetags.times import clock_words
from dashboard.views.batch_errors import (
    errors_context,
    has_moved,
    is_changing,
    is_watched,
    may_read_bodies,
    safe_name,
    seen_token,
)
from dashboard.views.batch_events import events
from dashboard.views.batch_like import like, tags_of
from dashboard.views.batch_progress import progress_context
from dashboard.views.batch_row import STOPPING, has_bar, requested
from dashboard.views.batches import is_htmx
from dashboard.views.concern_line import lines_of
from dashboard.views.health import not_allowed
from dashboard.views.shell import stale_connections

OPEN_SECONDS, ENDED_SECONDS = 5, 60
RAW_SHOWN = 40_000  # characters; a poll sends them again
ERRORS_SHOWN = 100
FEW = 8  # events
SEEN = 200  # transitions that say which steps there were: nobody has so many
# How far from the middle the text of the scale still fits when it is centred.
MARGIN = 0.12
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
OPENING = {"{": "}", "[": "]"}
CLOSING = frozenset(OPENING.values())
INDENT = "  "


@dataclass(frozen=True, slots=True)
class Scale:
    """Under the big bar: where now, or the end, stands between creation and deadline."""

    at: str  # per cent
    anchor: str
    word: str
    time: datetime


# --- Views ------------------------------------------------------------------------------------------------------------


@polled
@require_GET
def batch(request: HttpRequest, pk: int) -> HttpResponse:
    pulse_of(request)  # before the rows: what moves in between is asked for again
    found = find(request, pk)
    context = shown(request, found)
    if not is_htmx(request):
        return render(request, "batch/batch.html", context)
    context["moved"] = has_moved(request, found, context["files"])
    return render(request, "batch/_changed.html", context)


@require_http_methods(["GET", "POST"])
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    found = find(request, pk)
    if not request.user.has_perm(CANCEL):
        raise PermissionDenied(
            _("Cancelling needs the role %(role)s. Nothing was sent to the vendor.")
            % {"role": ROLE_NAMES[role_needed(CANCEL)]}
        )
    if settings.READ_ONLY:
        return not_allowed(request)
    if request.method == "GET":
        template = "batch/_cancel.html" if is_htmx(request) else "batch/cancel.html"
        context = {
            "batch": found,
            "why_not": why_not(found),
            "stale": is_stale(request, found),
            "has_bar": has_bar(found),
        }
        return render(request, template, context)
    note = ask(request, found)
    if is_htmx(request):
        request.META.pop(PULSE, None)  # the act moved it
        context = shown(request, find(request, pk)) | {"moved": True, "note": note}
        return render(request, "batch/_changed.html", context)
    messages.info(request, " ".join(filter(None, [note["text"], note["more"]])), extra_tags=note["icon"])
    return redirect("batch", pk=pk)


def find(request: HttpRequest, pk: int) -> Batch:
    """A batch that this person may see; anything else is as unknown as a number that nobody has."""
    batches = (
        Batch.objects.visible_to(request.user)
        .filter(connection__dropped_at=None)
        .select_related("connection")
        .defer("search_text")
    )
    return get_object_or_404(batches, pk=pk)


def ask(request: HttpRequest, found: Batch) -> dict[str, str]:
    """Cancel at the vendor, and what came of it as a note in plain words."""
    name, connection = str(found), str(found.connection)
    if found.connection.retired_at:
        return {"icon": "st-failed", "text": _("Not cancelled: this connection was removed."), "more": name}
    assert isinstance(request.user, User)  # noqa: S101 (for the type checker: the middleware lets nobody else in)
    try:
        act = acts.cancel(found, request.user, address=client_address(request))
    except acts.Busy:
        more = _("Four cancels are under way already. Nothing was sent; try again in a few seconds.")
        return {"icon": "st-stalled", "text": _("Busy."), "more": more}
    if act.state == Act.State.ACCEPTED:
        text = _("Cancel sent to %(connection)s.") % {"connection": connection}
        return {"icon": "ui-check", "text": text, "more": _("The status changes when the vendor confirms it.")}
    if act.state == Act.State.REFUSED:
        text = _("Not cancelled. %(cause)s") % {"cause": cause_of_act(act.error_kind or "refused")}
        return {"icon": "st-failed", "text": text, "more": told(act.error_kind, act.words)}
    if act.state == Act.State.SENDING:
        return {"icon": "ui-check", "text": _("A cancel is under way already."), "more": name}
    text = _("Unknown whether %(connection)s got the cancel.") % {"connection": connection}
    more = _("%(cause)s It is looked at again by itself.") % {"cause": cause_of_act(act.error_kind or "timeout")}
    return {"icon": "st-stale", "text": text, "more": more}


# --- What the page shows ----------------------------------------------------------------------------------------------


def shown(request: HttpRequest, found: Batch) -> dict[str, Any]:
    taken = pulse_of(request)
    history = list(Act.objects.filter(batch=found).order_by("-began_at")[:FEW])
    transitions = list(found.transitions.order_by("-pk")[:SEEN])
    stale = is_stale(request, found)
    failing = errors_context(found)
    watched = is_watched(found, failing["reading"])
    is_live = watched and is_changing(found, failing["reading"])
    drained = found.connection_id if found.connection_id in stale_connections(taken) else ""
    raw = pretty(bytes(found.payload), RAW_SHOWN + 1)
    return (
        failing
        | progress_context(found, stale=stale)
        | so_far(found, stale=stale, seen={one.new_status for one in transitions})
        | {
            "page": "batch",
            "can_read": may_read_bodies(request),
            "concerns": lines_of(found.concerns.filter(closed_at=None)),
            "as_of": clock_words(found.connection.synced_at) if stale and found.connection.synced_at else "",
            "file_ids": [
                (word, name)
                for word, name in (
                    (_("Input file"), found.input_file_id),
                    (_("Output file"), found.output_file_id),
                    (_("Error file"), found.error_file_id),
                )
                if name
            ],
            "has_tokens": has_tokens(found),
            "cost": cost_of(found),
            "tags": tags_of(found),
            "siblings": like(request, found),
            "errors": [
                error | {"message": scrub(str(error.get("message") or ""), limit=2_000)}
                for error in found.errors[:ERRORS_SHOWN]
                if isinstance(error, dict)
            ],
            "errors_left": max(0, len(found.errors) - ERRORS_SHOWN),
            "raw": raw[:RAW_SHOWN],
            "raw_is_cut": len(raw) > RAW_SHOWN,
            "raw_size": len(found.payload),
            "events": events(found, FEW, transitions, history),
            "waiting": waiting(found, history),
            "why_not": why_not(found, history),
            "is_watched": watched,
            "is_live": is_live,
            "poll_seconds": OPEN_SECONDS if is_live else ENDED_SECONDS,
            "poll_url": "?" + urlencode({"seen": seen_token(taken.token, failing["reading"]), "drained": drained}),
        }
    )


def so_far(found: Batch, *, stale: bool, seen: set[str]) -> dict[str, Any]:
    """What became of it, the big bar and the timeline: what a link to a batch shows as well."""
    now = timezone.now()
    return {
        "batch": found,
        "sentences": sentences(found),
        "stale": stale,
        "is_drained": stale or bool(unseen_since(found)),
        "is_running": is_running(found),
        "synced_at": found.connection.synced_at or found.asked_at,
        "steps": timeline(found, now, seen),
        "absent": ", ".join(absent(found)),
        "scale": scale_of(found, now),
        "left": left(found),
        "window": between(found.created_at, found.expires_at),
        "took": between(found.created_at, found.finished_at),
        "remains": between(now, found.expires_at) if is_running(found) else None,
        "bar_label": bar_label(found),
        "has_bar": has_bar(found),
        "uncounted": uncounted(found),
    }


def is_stale(request: HttpRequest, found: Batch) -> bool:
    return is_running(found) and found.connection_id in stale_connections(pulse_of(request))


def between(earlier: datetime | None, later: datetime | None) -> timedelta | None:
    """How long, where both are known and in order."""
    return later - earlier if earlier is not None and later is not None and later >= earlier else None


def bar_label(found: Batch) -> str:
    if not found.requests_total:
        return _("The number of requests is not known")
    return _("%(done)s of %(total)s completed, %(failed)s failed") % {
        "done": number(found.completed or 0),
        "total": number(found.requests_total),
        "failed": number(found.failed or 0),
    }


def uncounted(found: Batch) -> str:
    """What stands in the place of the counts; empty where there are any. A total of 0 is one that is not known yet."""
    if found.outcome == Outcome.FAILED_VALIDATION:
        return _("not started")
    if found.requests_total or found.requests_completed or found.requests_failed:
        return ""
    if found.outcome == Outcome.NO_REQUESTS:
        return _("no requests")
    if found.status == Status.VALIDATING and is_running(found):
        return _("not started, total not known yet")
    return _("total unknown")


def has_tokens(found: Batch) -> bool:
    """Whether the vendor's token counts say something: before the end, and where nothing ran, it sends zeros."""
    return bool(found.tokens_input or found.tokens_output or found.tokens_total)


def scale_of(found: Batch, now: datetime) -> Scale | None:
    """None where one end of the window is not known."""
    created, expires = found.created_at, found.expires_at
    if created is None or expires is None or expires <= created:
        return None
    if is_running(found):
        share, word, time = now_of(found) or 0.0, _("now"), now
    elif found.finished_at and found.finished_at >= created:
        share, word, time = min(1.0, (found.finished_at - created) / (expires - created)), _("ended"), found.finished_at
    else:
        return None
    # Near an end the text would run into that of the end.
    anchor = "start" if share < MARGIN else "end" if share > 1 - MARGIN else "middle"
    return Scale(percent(100 * share), anchor, word, time)


def pretty(payload: bytes, most: int) -> str:
    """The remote object exactly as it came, only indented: parsing would round numbers and drop doubled keys.

    Up to `most` characters of it, or a few more.
    """
    text = payload.decode(errors="replace")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text[:most]
    out: list[str] = []
    depth = length = 0
    pieces = (found[0] for found in PIECE.finditer(text))
    for piece, after in pairwise(chain(pieces, [""])):
        if piece in OPENING:
            depth += 1
            out.append(piece if after == OPENING[piece] else f"{piece}\n{INDENT * depth}")
        elif piece in CLOSING:
            depth -= 1
            is_empty = bool(out) and out[-1] in OPENING
            out.append(piece if is_empty else f"\n{INDENT * depth}{piece}")
        elif piece == ",":
            out.append(f",\n{INDENT * depth}")
        else:
            out.append(": " if piece == ":" else piece)
        length += len(out[-1])
        if length >= most:
            break
    return "".join(out)


@require_GET
def raw(request: HttpRequest, pk: int) -> HttpResponse:
    """The remote object byte by byte, as a file."""
    found = find(request, pk)
    response = HttpResponse(bytes(found.payload), content_type="application/json")
    response["Content-Disposition"] = content_disposition_header(True, f"{safe_name(found)}.json") or "attachment"
    return response


# --- Cancelling -------------------------------------------------------------------------------------------------------


def waiting(found: Batch, history: list[Act]) -> str:
    """ "cancel requested by Ana, 14:05", until the vendor says so itself."""
    if not is_running(found) or found.status in STOPPING:
        return ""
    act = next((act for act in history if act.kind == Act.Kind.CANCEL), None)
    return requested(act) if act and act.state != Act.State.REFUSED else ""


def why_not(found: Batch, history: list[Act] | None = None) -> str:
    """Why the batch cannot be cancelled, in a sentence; empty when it can."""
    if settings.READ_ONLY:
        return _("This installation only shows.")
    if found.connection.retired_at:
        return _("Cannot be cancelled: its connection was removed.")
    if found.gone_at:
        return _("Cannot be cancelled: it is no longer visible with this key.")
    if not found.is_open:
        if found.finished_at:
            return _("Cannot be cancelled: it has ended (%(time)s).") % {"time": clock_words(found.finished_at)}
        return _("Cannot be cancelled: it has ended.")
    if found.status == Status.CANCELLING:
        return _("It is being cancelled already.")
    if history is None:
        history = list(Act.objects.filter(batch=found).order_by("-began_at")[:1])
    if any(act.state in (Act.State.SENDING, Act.State.UNKNOWN) for act in history):
        return _("A cancel is under way already.")
    return ""
