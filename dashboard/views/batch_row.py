"""One row of the list: everything that it shows, worked out before the template."""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from dashboard.dialects.scrub import scrub
from dashboard.insight.outcome import in_words, is_running, lost_with_connection, state_of, unseen_since
from dashboard.insight.retry import NEVER_RAN
from dashboard.models import Act, Batch, Connection, Reason
from dashboard.models.batch import Outcome, Status
from dashboard.templatetags.batches import number, short_endpoint
from dashboard.templatetags.columns import USUAL, cells_of
from dashboard.templatetags.times import clock_words
from dashboard.views.concern_line import Note, notes_of

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
    "failed_in_files",
    "failing",
    "created_at",
    "expires_at",
    "finished_at",
    "place",
    "is_open",
    "is_overdue",
    "gone_at",
    "errors",
    "worst_requests",
    "output_file_id",
    # By a join: those of all rows cost no query of their own.
    "worst_error__http_status",
    "worst_error__code",
    "worst_error__message",
    "worst_error__retry",
    "revision",
)
STOPPING = (Status.CANCELLING, Status.CANCELLED)
# What a batch that never started has no bar for.
BARLESS = {Outcome.NO_REQUESTS, Outcome.FAILED_VALIDATION}


@dataclass(frozen=True, slots=True)
class Row:
    batch: Batch
    url: str
    chosen: str  # the cells of the columns that somebody chose, as markup
    stale: bool
    note: str
    note_state: str
    second: str  # the line under the name: model and endpoint, or the first error
    is_error: bool
    has_bar: bool

    @property
    def state(self) -> str:
        return state_of(self.batch)

    @property
    def words(self) -> str:
        return in_words(self.batch)


def rows_of(
    batches: list[Batch], names: dict[int, str], stale: dict[int, datetime | None], columns: tuple[str, ...] = USUAL
) -> list[Row]:
    """`names` are those of the connections that are kept, `columns` are shown besides those that every row has."""
    names = names | give_removed(batches, names)
    acts, concerns = acts_of(batches), notes_of(batches)
    base = reverse("batches")  # a batch stands below the list; resolving fifty addresses takes a while
    return [row_of(base, batch, names, stale, acts.get(batch.pk), concerns.get(batch.pk), columns) for batch in batches]


def give_removed(batches: list[Batch], names: dict[int, str]) -> dict[int, str]:
    """Give the batches of removed connections, whose history is kept, what they need to say so; and those names."""
    orphans = [batch for batch in batches if batch.connection_id not in names]
    if not orphans:
        return {}
    removed = Connection.objects.only("name", "retired_at").in_bulk({batch.connection_id for batch in orphans})
    for batch in orphans:
        batch.connection = removed[batch.connection_id]
    return {pk: connection.name for pk, connection in removed.items()}


def acts_of(batches: list[Batch]) -> dict[int, Act]:
    """The latest cancel of each that the vendor has not confirmed yet, with one query for all or none at all."""
    waiting = [batch.pk for batch in batches if is_running(batch) and batch.status not in STOPPING]
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
    concern: Note | None,
    columns: tuple[str, ...],
) -> Row:
    is_stale = batch.connection_id in stale and is_running(batch)
    note, note_state = "", ""
    if unseen_since(batch):
        note = unseen_words(batch)
    elif batch.gone_at:
        note = _("not visible since %(time)s") % {"time": clock_words(batch.gone_at)}
    elif act and not (concern and concern.reason == Reason.CANCEL_STUCK):
        note = requested(act)
    elif is_stale:
        synced_at = stale[batch.connection_id]
        note = _("as of %(time)s") % {"time": clock_words(synced_at)} if synced_at else _("import not finished")
        note_state = "stale"
    elif concern:
        note, note_state = concern.words, concern.state
    elif batch.is_overdue and is_running(batch):
        note, note_state = _("overdue, not called expired"), "risk"
    error = "" if batch.is_open else first_error(batch) or worst_words(batch)
    return Row(
        batch=batch,
        url=f"{base}{batch.pk}/",
        chosen=cells_of(batch, names.get(batch.connection_id, ""), columns),
        stale=is_stale or bool(unseen_since(batch)),
        note=note,
        note_state=note_state,
        second=error or " · ".join(filter(None, [batch.model, short_endpoint(batch.endpoint)])),
        is_error=bool(error) and (bool(batch.errors) or not mostly_never_ran(batch)),
        has_bar=has_bar(batch),
    )


def unseen_words(batch: Batch) -> str:
    """What follows on "No longer visible"."""
    if removed := lost_with_connection(batch):
        return _("connection removed %(time)s") % {"time": clock_words(removed)}
    return _("with this key since %(time)s") % {"time": clock_words(batch.gone_at)} if batch.gone_at else ""


def has_bar(batch: Batch) -> bool:
    return batch.outcome not in BARLESS


def worst_words(batch: Batch) -> str:
    """The error that most of its requests met: `429 rate_limit_exceeded ×3: Rate limit reached for <model> ...`."""
    group = batch.worst_error
    # Whoever cancelled a batch knows why its requests did not run.
    if group is None or group.retry == "cancelled":
        return ""
    times = f"×{number(batch.worst_requests)}"
    if mostly_never_ran(batch):
        return _("%(count)s never ran: %(why)s") % {"count": number(batch.worst_requests), "why": group.message}
    what = " ".join(str(part) for part in (group.http_status, group.code, times) if part)
    return ": ".join(part for part in (what, group.message) if part)[:300]


def mostly_never_ran(batch: Batch) -> bool:
    """Whether what is said of it is no error: nobody tried those requests."""
    return batch.worst_error is not None and batch.worst_error.retry in NEVER_RAN


def first_error(batch: Batch) -> str:
    """The first of the batch-level errors in one line: `line 212: invalid_json_line: expecting ...`."""
    errors = batch.errors if isinstance(batch.errors, list) else []
    first = errors[0] if errors and isinstance(errors[0], dict) else {}
    line = _("line %(line)s") % {"line": first["line"]} if first.get("line") is not None else ""
    return scrub(": ".join(str(part) for part in (line, first.get("code"), first.get("message")) if part), limit=300)
