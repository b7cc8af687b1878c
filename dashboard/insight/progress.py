"""How fast a batch gets on and when it may be done: from its readings, and no further than they go.

A reading is written when a count changed, so between two of them nothing was seen to happen. Rates weigh as much as the
time they lasted; the estimate is what is left at the middle one, and its range is that of the middle half.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import floor, log10
from typing import NamedTuple

from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _

from dashboard.insight.outcome import OPEN, count, is_running
from dashboard.models import Batch, Reading
from dashboard.models.batch import Outcome, Status

LATEST = 120  # readings of each batch
LEAST_INCREASES = 2
LEAST_TIME = timedelta(minutes=5)
LONG_QUIET = timedelta(hours=1)  # without a change: then it is not too early, but standing still
# Beyond this nobody plans, and a date would run out of years.
LONGEST = timedelta(days=365)
# Ended batches of a connection that say whether its vendor counts before the end, and how many must agree.
LOOKED, ENOUGH = 20, 3
HOUR = 3600.0

# How a time and a number of seconds are written: a page says 14:05.
type Clock = Callable[[datetime], str]
type Span = Callable[[timedelta], str]


class Counts(NamedTuple):
    """The counts of a batch at one moment."""

    asked_at: datetime
    total: int | None
    completed: int | None
    failed: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What readings say of an open batch `as_of` a moment. Rates are requests an hour, slowest, middle and fastest."""

    as_of: datetime
    is_frozen: bool = False  # its connection is stale: nothing after `as_of` is known
    is_counted: bool = False  # at least one request was seen to be processed
    only_at_end: bool = False  # the vendor is not known to count before
    is_overdue: bool = False
    left: int | None = None
    rates: tuple[float, float, float] | None = None
    quiet_since: datetime | None = None  # no change for longer than usual: then nothing is estimated
    earliest: datetime | None = None
    likely: datetime | None = None
    latest: datetime | None = None  # None beside `likely`: nobody can say
    deadline: datetime | None = None

    @property
    def is_at_risk(self) -> bool:
        """Whether it is likely to be done only after its deadline. What is late already is overdue instead."""
        if self.is_overdue or self.likely is None or self.deadline is None:
            return False
        return self.likely > self.deadline


# --- Asking -----------------------------------------------------------------------------------------------------------


def latest_readings(batches: Collection[int]) -> dict[int, list[Counts]]:
    """The last readings of each of a few dozen batches, oldest first, by one query at the cost of what it returns."""
    if not batches:
        return {}
    one = "SELECT id FROM (SELECT id FROM dashboard_reading WHERE batch_id = %s ORDER BY id DESC LIMIT %s) AS own"
    params = [param for pk in batches for param in (pk, LATEST)]
    rows = Reading.objects.filter(pk__in=RawSQL(" UNION ALL ".join([one] * len(batches)), params))  # noqa: S611 (no word of it is anybody's)
    found: dict[int, list[Counts]] = {pk: [] for pk in batches}
    # Tuples: thousands of rows as objects would take longer than all the rest.
    for batch, at, total, completed, failed in rows.order_by("asked_at", "pk").values_list(
        "batch_id", "asked_at", "total", "completed", "failed"
    ):
        found[batch].append(Counts(at, total, completed, failed))
    return found


def counting_only_at_end(connections: Collection[int]) -> set[int]:
    """Those whose last batches were seen while they ran, and never with a count before they ended: one query each."""
    return {pk for pk in connections if _counts_only_at_end(pk)}


def _counts_only_at_end(connection: int) -> bool:
    ended = (
        Batch.objects.filter(connection=connection, requests_completed__gt=0)
        .exclude(outcome__in=(Outcome.OPEN, Outcome.UNSEEN))
        .order_by("-place")[:LOOKED]
    )
    rows = Reading.objects.filter(batch__in=list(ended.values_list("pk", flat=True)), status__in=OPEN)
    counted: dict[int, bool] = {}
    for pk, completed, failed in rows.values_list("batch_id", "completed", "failed"):
        counted[pk] = counted.get(pk, False) or bool(completed or failed)
    return len(counted) >= ENOUGH and not any(counted.values())


# --- Reckoning --------------------------------------------------------------------------------------------------------


def progress_of(
    batch: Batch,
    readings: Iterable[Counts],
    now: datetime,
    *,
    stale: bool = False,
    synced_at: datetime | None = None,
    only_at_end: bool = False,
) -> Progress | None:
    """None for what has ended, is being cancelled or is out of sight.

    While its connection is `stale`, everything is as of `synced_at`, the last good sync.
    """
    if not is_running(batch) or batch.status == Status.CANCELLING:
        return None
    as_of = min(now, synced_at or batch.asked_at) if stale else now
    points = _points(reading for reading in readings if reading.asked_at <= as_of)
    done = (batch.requests_completed or 0) + (batch.requests_failed or 0)
    left = max(0, batch.requests_total - done) if batch.requests_total else None
    known = Progress(
        as_of=as_of,
        is_frozen=stale,
        is_counted=bool(done),
        only_at_end=only_at_end and not done,
        is_overdue=batch.is_overdue or bool(batch.expires_at and batch.expires_at < as_of),
        left=left,
        deadline=batch.expires_at,
    )
    return _estimated(known, points, as_of)


def _points(readings: Iterable[Counts]) -> list[tuple[datetime, int]]:
    """When the number of processed requests was first seen to be so many; only what follows on the last fall of it."""
    points: list[tuple[datetime, int]] = []
    for reading in sorted(readings, key=lambda reading: reading.asked_at):
        if reading.completed is None and reading.failed is None:
            continue
        done = max(0, reading.completed or 0) + max(0, reading.failed or 0)
        if points and points[-1][0] == reading.asked_at:
            points.pop()
        if points and done < points[-1][1]:
            points = []
        if not points or done > points[-1][1]:
            points.append((reading.asked_at, done))
    return points


def _estimated(known: Progress, points: Sequence[tuple[datetime, int]], as_of: datetime) -> Progress:
    if len(points) <= LEAST_INCREASES or as_of - points[0][0] < LEAST_TIME:
        is_quiet = bool(points) and as_of - points[-1][0] > LONG_QUIET
        return replace(known, quiet_since=points[-1][0]) if is_quiet else known
    steps = [((later - earlier).total_seconds(), more - less) for (earlier, less), (later, more) in pairwise(points)]
    lasted = [(more / seconds, seconds) for seconds, more in steps]
    idle = (as_of - points[-1][0]).total_seconds()
    if idle > max(seconds for seconds, _more in steps):
        lasted.append((0.0, idle))
    slow, middle, fast = (_weighted(lasted, share) for share in (0.25, 0.5, 0.75))
    if not middle:
        return replace(known, quiet_since=points[-1][0])
    known = replace(known, rates=(HOUR * slow, HOUR * middle, HOUR * fast))
    if not known.left:
        return known
    return replace(
        known,
        earliest=_after(as_of, known.left, fast),
        likely=_after(as_of, known.left, middle),
        latest=_after(as_of, known.left, slow),
    )


def _weighted(lasted: Sequence[tuple[float, float]], share: float) -> float:
    """The rate below which a batch was for this share of the time; each is (rate, seconds that it lasted)."""
    ordered = sorted(lasted)
    limit = share * sum(seconds for _rate, seconds in ordered)
    passed = 0.0
    for rate, seconds in ordered:
        passed += seconds
        if passed >= limit:
            return rate
    return ordered[-1][0]


def _after(as_of: datetime, left: int, rate: float) -> datetime | None:
    if rate <= 0 or left / rate > LONGEST.total_seconds():
        return None
    return as_of + timedelta(seconds=left / rate)


# --- Saying -----------------------------------------------------------------------------------------------------------


def in_sentences(progress: Progress, clock: Clock, span: Span) -> list[tuple[str, str]]:
    """Pairs of a kind ("" or "risk") and a sentence: the rate, the estimate, or why there is none."""
    said: list[tuple[str, str]] = []
    if progress.is_frozen:
        said.append(("", _("As of %(time)s, the last good sync.") % {"time": clock(progress.as_of)}))
    said += _rate_said(progress, clock, span)
    if progress.is_overdue and progress.deadline:
        said.append(("risk", _("Overdue since %(time)s.") % {"time": clock(progress.deadline)}))
    elif progress.is_at_risk and progress.deadline and progress.likely:
        late = span(progress.likely - progress.deadline)
        said.append(("risk", _("At risk: likely done %(late)s after the deadline.") % {"late": late}))
    return said


def _rate_said(progress: Progress, clock: Clock, span: Span) -> list[tuple[str, str]]:
    if progress.left == 0:
        return [("", _("All requests are processed."))]
    if progress.only_at_end:
        return [("", _("This vendor reports counts only at the end."))]
    if not progress.is_counted:
        return [("", _("No progress reported yet."))]
    if progress.quiet_since:
        return [("", _("No change since %(time)s, so no estimate.") % {"time": clock(progress.quiet_since)})]
    if progress.rates is None:
        return [("", _("Too early to estimate."))]
    said = [("", _("About %(rate)s an hour.") % {"rate": count(rounded(progress.rates[1]))})]
    if progress.left is None:
        said.append(("", _("No estimate: the total is not known.")))
    elif estimate := estimate_said(progress, clock):
        said.append(("", f"{estimate}."))
    else:
        said.append(("", _("No estimate: at this rate it would take more than a year.")))
    return said


def rounded(rate: float) -> int:
    """To two digits: more would promise what nobody knows."""
    return round(rate) if rate < 100 else int(round(rate, 1 - floor(log10(rate))))


def estimate_said(progress: Progress, clock: Clock) -> str:
    """Done between 14:05 and 14:40; nothing where nobody can say."""
    if progress.earliest is None or progress.likely is None:
        return ""
    first, last = clock(progress.earliest), clock(progress.latest) if progress.latest else ""
    if first == last:
        return _("Done around %(time)s") % {"time": first}
    if not last:
        return _("Done after %(first)s, likely %(likely)s or later") % {
            "first": first,
            "likely": clock(progress.likely),
        }
    return _("Done between %(first)s and %(last)s") % {"first": first, "last": last}
