"""What runs now, for the overview: how much of it there is, when each may be done, and what has just ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import FETCH_RAISE, Count, F, Sum
from django.db.models.functions import Coalesce, Greatest
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.insight import series
from dashboard.insight.outcome import unseen_since
from dashboard.insight.progress import Progress, estimate_said, latest_readings, progress_of
from dashboard.insight.pulse import Pulse
from dashboard.models import Batch
from dashboard.models.batch import BatchQuerySet, Outcome
from dashboard.models.flow import QUARTER, quarter_of
from dashboard.templatetags.batches import number
from dashboard.templatetags.times import clock_words
from dashboard.views.batch_list import shown_to
from dashboard.views.batch_row import SHOWN_COLUMNS, Row, rows_of
from dashboard.views.batches import names_of
from dashboard.views.shell import stale_connections

RUNNING_SHOWN = 12
RECENT_SHOWN = 6


@dataclass(frozen=True, slots=True)
class UnderWay:
    """All that runs: batches, those of them whose total is not known, and requests."""

    batches: int
    unknown: int
    left: int
    total: int
    next_deadline: Batch | None
    rate: int | None  # requests a minute
    stale: int  # of those batches, shown as of an earlier time


@dataclass(frozen=True, slots=True)
class Running:
    """One batch that runs, and when it may be done: a time, or why there is none."""

    row: Row
    connection: str
    progress: Progress | None
    finish: str
    note: str
    title: str  # the range that the time stands for

    @property
    def is_frozen(self) -> bool:
        return bool(self.progress and self.progress.is_frozen)

    @property
    def is_late(self) -> bool:
        """Likely done after its deadline, as far as is known now."""
        return bool(self.progress and self.progress.is_at_risk) and not self.is_frozen

    @property
    def is_overdue(self) -> bool:
        return bool(self.progress and self.progress.is_overdue) or self.row.batch.is_overdue


def open_of(request: HttpRequest, taken: Pulse) -> BatchQuerySet:
    """By outcome, which has an index that needs no walk."""
    return shown_to(request, taken).filter(outcome=Outcome.OPEN)


def under_way(request: HttpRequest, taken: Pulse) -> UnderWay:
    left = F("requests_total") - Coalesce("requests_completed", 0) - Coalesce("requests_failed", 0)
    stale = set(stale_connections(taken))
    batches = known = in_flight = total = as_of = 0
    of_each = {
        "number": Count("pk"),
        "with_total": Count("requests_total"),
        "left": Sum(Greatest(left, 0)),
        "all": Sum("requests_total"),
    }
    sums = open_of(request, taken).values_list("connection").annotate(**of_each)
    for connection, many, with_total, requests, requests_total in sums:
        batches, known = batches + many, known + with_total
        in_flight, total = in_flight + (requests or 0), total + (requests_total or 0)
        as_of += many if connection in stale else 0
    now = timezone.now()
    coming = open_of(request, taken).filter(expires_at__gt=now).only("name", "remote_id", "expires_at")
    since = quarter_of(int(now.timestamp())) - 3 * QUARTER
    steps = series.flowed(frozenset(taken.names), since, int(now.timestamp()), QUARTER).steps
    return UnderWay(
        batches, batches - known, in_flight, total, coming.order_by("expires_at").first(), series.rate(steps), as_of
    )


# --- Rows -------------------------------------------------------------------------------------------------------------


def now_and_before(request: HttpRequest, taken: Pulse) -> tuple[list[Running], list[Row]]:
    """What runs, nearest deadline first and those without one last; and what ended last, latest first."""
    columns = (*SHOWN_COLUMNS, "asked_at")
    rows = open_of(request, taken).select_related("worst_error").only(*columns).fetch_mode(FETCH_RAISE)
    nearest = list(rows.order_by(F("expires_at").asc(nulls_last=True), "-place")[:RUNNING_SHOWN])
    rows = shown_to(request, taken).filter(finished_at__isnull=False).select_related("worst_error")
    latest = list(rows.only(*columns).fetch_mode(FETCH_RAISE).order_by("-finished_at", "-pk")[:RECENT_SHOWN])
    stale = stale_connections(taken)
    # Together, as what people did and what needs attention is asked once for all.
    drawn = rows_of(nearest + latest, names_of(taken), stale)
    return running_of(drawn[: len(nearest)], taken.names, stale), drawn[len(nearest) :]


def running_of(rows: Sequence[Row], names: Mapping[int, str], stale: Mapping[int, datetime | None]) -> list[Running]:
    now = timezone.now()
    readings = latest_readings([row.batch.pk for row in rows])
    running = []
    for row in rows:
        batch = row.batch
        progress = progress_of(
            batch,
            readings[batch.pk],
            now,
            stale=batch.connection_id in stale,
            synced_at=stale.get(batch.connection_id),
        )
        finish, note = finish_of(batch, progress)
        running.append(
            Running(
                row=row,
                connection=names.get(batch.connection_id, ""),
                progress=progress,
                finish=finish,
                # Said once: the row's own note is that of a stale connection.
                note="" if row.note_state == "stale" and progress and progress.is_frozen else note,
                title=estimate_said(progress, clock_words) if progress else "",
            )
        )
    return running


def finish_of(batch: Batch, progress: Progress | None) -> tuple[str, str]:
    """When it may be done, and what is to be known of that."""
    if progress is None:
        return (_("not known") if unseen_since(batch) else _("cancelling")), ""
    frozen = _("as of %(time)s") % {"time": clock_words(progress.as_of)} if progress.is_frozen else ""
    if progress.likely:
        return f"≈ {clock_words(progress.likely)}", frozen or (_("after its deadline") if progress.is_at_risk else "")
    if progress.left == 0:
        return _("all processed"), frozen
    if not progress.is_counted:
        return _("no progress yet"), frozen
    if progress.quiet_since:
        return _("no estimate"), _("no change since %(time)s") % {"time": clock_words(progress.quiet_since)}
    if progress.rates is None:
        return _("too early to say"), frozen
    return _("no estimate"), frozen or ("" if progress.left is None else _("more than a year"))


# --- In words ---------------------------------------------------------------------------------------------------------


def forecast(running: Sequence[Running]) -> list[str]:
    """How many are done by when, too late, or nobody can say: the numbers add up to the batches. Nothing of none."""
    overdue = [one for one in running if one.is_overdue]
    timed = [(one, one.progress.likely) for one in running if one.progress and one.progress.likely]
    # What is known of a stale connection's batches is no forecast any more.
    frozen = [one for one, _likely in timed if one.is_frozen and not one.is_overdue]
    late = [one for one, _likely in timed if one.is_late]
    by = [likely for one, likely in timed if not (one.is_overdue or one.is_late or one.is_frozen)]
    said = []
    if by:
        words = ngettext("%(count)s done by about %(time)s", "%(count)s done by about %(time)s", len(by))
        said.append(words % {"count": number(len(by)), "time": clock_words(max(by))})
    if late:
        words = ngettext("%(count)s likely after its deadline", "%(count)s likely after their deadlines", len(late))
        said.append(words % {"count": number(len(late))})
    if overdue:
        words = ngettext("%(count)s overdue", "%(count)s overdue", len(overdue))
        said.append(words % {"count": number(len(overdue))})
    if frozen:
        words = ngettext(
            "%(count)s estimated as of an earlier time", "%(count)s estimated as of an earlier time", len(frozen)
        )
        said.append(words % {"count": number(len(frozen))})
    if not said:
        return []
    if rest := len(running) - len(by) - len(late) - len(overdue) - len(frozen):
        words = ngettext("%(count)s without an estimate", "%(count)s without an estimate", rest)
        said.append(words % {"count": number(rest)})
    return said
