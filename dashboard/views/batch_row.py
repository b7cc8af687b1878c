"""One row of the list: everything that it shows, worked out before the template."""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from dashboard.insight.outcome import state_of
from dashboard.models import Act, Batch, ErrorGroup
from dashboard.models.batch import Outcome, Status
from dashboard.templatetags.batches import clock_words, number, short_endpoint

# Never payload or search_text: they are most of a row's bytes.
SHOWN_COLUMNS = (
    "connection_id",
    "remote_id",
    "status",
    "raw_status",
    "outcome",
    "name",
    "owner",
    "model",
    "endpoint",
    "requests_total",
    "requests_completed",
    "requests_failed",
    "created_at",
    "expires_at",
    "finished_at",
    "place",
    "is_open",
    "is_overdue",
    "gone_at",
    "errors",
    "worst_error_id",
    "worst_requests",
    "revision",
)
STOPPING = (Status.CANCELLING, Status.CANCELLED)
# What a batch that never started has no bar for.
BARLESS = {Outcome.NO_REQUESTS, Outcome.FAILED_VALIDATION}


@dataclass(frozen=True, slots=True)
class Row:
    batch: Batch
    url: str
    connection: str
    stale: bool
    note: str
    note_state: str
    second: str  # the line under the name: model and endpoint, or the first error
    is_error: bool
    has_bar: bool


def rows_of(batches: list[Batch], names: dict[int, str], stale: dict[int, datetime | None]) -> list[Row]:
    acts = acts_of(batches)
    worst = worst_of(batches)
    base = reverse("batches")  # a batch stands below the list; resolving fifty addresses takes a while
    return [row_of(base, batch, names, stale, acts.get(batch.pk), worst) for batch in batches]


def worst_of(batches: list[Batch]) -> dict[int, ErrorGroup]:
    """The errors that most requests met: with one query for all rows, or none at all."""
    wanted = {batch.worst_error_id for batch in batches if batch.worst_error_id}
    return ErrorGroup.objects.only("http_status", "code", "message").in_bulk(wanted) if wanted else {}


def acts_of(batches: list[Batch]) -> dict[int, Act]:
    """The latest cancel of each that the vendor has not confirmed yet, with one query for all or none at all."""
    waiting = [batch.pk for batch in batches if batch.is_open and batch.status not in STOPPING]
    if not waiting:
        return {}
    acts = Act.objects.filter(batch__in=waiting, kind=Act.Kind.CANCEL).exclude(state=Act.State.REFUSED)
    return {act.batch_id: act for act in acts.order_by("began_at")}


def requested(act: Act) -> str:
    said = {"who": act.who, "time": clock_words(act.began_at)}
    if act.state == Act.State.UNKNOWN:
        return _("cancel by %(who)s, %(time)s: no answer yet") % said
    return _("cancel requested by %(who)s, %(time)s") % said


def row_of(
    base: str,
    batch: Batch,
    names: dict[int, str],
    stale: dict[int, datetime | None],
    act: Act | None,
    worst: dict[int, ErrorGroup],
) -> Row:
    is_stale = batch.connection_id in stale and batch.is_open
    note, note_state = "", ""
    if batch.gone_at:
        note = _("with this key since %(time)s") % {"time": clock_words(batch.gone_at)}
    elif act:
        note = requested(act)
    elif is_stale:
        synced_at = stale[batch.connection_id]
        note = _("as of %(time)s") % {"time": clock_words(synced_at)} if synced_at else _("never synced")
        note_state = "stale"
    elif batch.is_overdue and batch.is_open:
        note, note_state = _("overdue, not called expired"), "risk"
    error = "" if batch.is_open else first_error(batch) or worst_words(batch, worst)
    return Row(
        batch=batch,
        url=f"{base}{batch.pk}/",
        connection=names.get(batch.connection_id, ""),
        stale=is_stale,
        note=note,
        note_state=note_state,
        second=error or " · ".join(filter(None, [batch.model, short_endpoint(batch.endpoint)])),
        is_error=bool(error),
        has_bar=has_bar(batch),
    )


def has_bar(batch: Batch) -> bool:
    return Outcome(batch.outcome) not in BARLESS and (state_of(batch) != "failed" or bool(batch.requests_total))


def worst_words(batch: Batch, worst: dict[int, ErrorGroup]) -> str:
    """The error that most of its requests met: `429 rate_limit_exceeded ×3: Rate limit reached for <model> ...`."""
    group = worst.get(batch.worst_error_id) if batch.worst_error_id else None
    if group is None:
        return ""
    times = f"×{number(batch.worst_requests)}"
    what = " ".join(str(part) for part in (group.http_status, group.code, times) if part)
    return ": ".join(part for part in (what, group.message) if part)[:300]


def first_error(batch: Batch) -> str:
    """The first of the batch-level errors in one line: `line 212: invalid_json_line: expecting ...`."""
    errors = batch.errors if isinstance(batch.errors, list) else []
    first = errors[0] if errors and isinstance(errors[0], dict) else {}
    line = _("line %(line)s") % {"line": first["line"]} if first.get("line") is not None else ""
    return ": ".join(str(part) for part in (line, first.get("code"), first.get("message")) if part)[:300]
