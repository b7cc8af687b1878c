"""Rows summed up over time into what charts draw. What nobody looked at is None, which is a gap and never a zero.

Everything is read from roll-ups (models/flow.py), so that a month of a million batches costs some thousand rows.
"""

from collections import Counter as Tally
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from django.db import connection as database
from django.utils.translation import gettext_lazy as _

from dashboard.models import Connection
from dashboard.models.flow import DAY, QUARTER, day_of, quarter_of, seconds_of

HOUR = 3_600
EPOCH = date(1970, 1, 1)
MOST_KINDS = 8  # of models and endpoints whose lengths of time are told apart


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time up to now; times are unix seconds, and the beginning is a quarter of an hour's."""

    slug: str
    label: Any
    seconds: int

    def since(self, now: datetime) -> int:
        return quarter_of(int(now.timestamp()) - self.seconds)


RANGES = {
    one.slug: one
    for one in (
        Range("24h", _("24 h"), DAY),
        Range("7d", _("7 days"), 7 * DAY),
        Range("30d", _("30 days"), 30 * DAY),
    )
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chart. None is not known: no sync of any connection ended well in it."""

    at: int
    completed: int | None = None
    failed: int | None = None
    in_flight: int | None = None
    batches_open: int | None = None
    # Of so many connections that are usually looked at, so many were not.
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Flowed:
    steps: list[Step]
    # Requests that ended while nobody looked for long: in none of the steps, because nobody knows in which.
    late: int
    step: int  # seconds


def flowed(connections: Collection[int], since: int, until: int, step: int = HOUR) -> Flowed:
    """What the requests of these connections did, from `since` up to now, in steps of so many seconds."""
    begin = since - since % step
    rows = _rows(
        f"SELECT quarter - quarter %% {step} AS at, connection_id, sum(looks), sum(completed), sum(failed), sum(late),"  # noqa: S608
        " max(in_flight), max(batches_open) FROM dashboard_flow"
        f" WHERE quarter >= %s AND connection_id IN ({_marks(connections)}) GROUP BY at, connection_id",
        [begin, *connections],
    )
    sums: dict[int, list[int]] = {}
    first = _imported(connections)  # since when a connection is looked at
    late = 0
    for at, connection, looks, completed, failed, of_late, in_flight, batches_open in rows:
        late += int(of_late)
        if not looks:
            continue
        first[connection] = min(at, first.get(connection, at))
        summed = sums.setdefault(at, [0, 0, 0, 0, 0])
        for i, value in enumerate((1, completed, failed, in_flight, batches_open)):
            summed[i] += int(value)
    steps = []
    for at in range(begin, until + 1, step):
        if held := sums.get(at):
            looked, completed, failed, in_flight, batches_open = held
            usual = sum(began <= at for began in first.values())
            steps.append(Step(at, completed, failed, in_flight, batches_open, max(0, usual - looked)))
        else:
            steps.append(Step(at, unseen=len(first)))
    return Flowed(steps, late, step)


def _imported(connections: Collection[int]) -> dict[int, int]:
    """When each was read whole for the first time. One that fails since before the range has no row in it."""
    kept = Connection.objects.filter(pk__in=connections, retired_at=None, imported_at__isnull=False)
    return {pk: int(at.timestamp()) for pk, at in kept.values_list("pk", "imported_at") if at}


def finished(connections: Collection[int], since: int) -> Tally[str]:
    """How many batches ended since then, by outcome. `since` is the beginning of a quarter of an hour."""
    rows = _rows(
        "SELECT outcome, sum(batches) FROM dashboard_finished"  # noqa: S608 (marks of ours)
        f" WHERE quarter >= %s AND connection_id IN ({_marks(connections)}) GROUP BY outcome",
        [since, *connections],
    )
    return Tally({outcome: int(batches) for outcome, batches in rows if batches})


def finished_by_day(connections: Collection[int], since: int, until: int, zone: tzinfo) -> dict[date, Tally[str]]:
    """The same for each day of a zone; a day on which nothing ended is missing."""
    days: dict[date, Tally[str]] = {}
    for begin, end, offset in offsets(since, until, zone):
        rows = _rows(
            f"SELECT (quarter + %s) / {DAY} AS day, outcome, sum(batches) FROM dashboard_finished"  # noqa: S608
            f" WHERE quarter >= %s AND quarter < %s AND connection_id IN ({_marks(connections)}) GROUP BY day, outcome",
            [offset, begin, end, *connections],
        )
        for day, outcome, batches in rows:
            days.setdefault(EPOCH + timedelta(days=day), Tally())[outcome] += int(batches)
    return days


def offsets(since: int, until: int, zone: tzinfo) -> list[tuple[int, int, int]]:
    """The stretches in which a zone's clocks are so many seconds ahead of UTC: one, unless they were changed."""
    found = [(since, since, offset_at(since, zone))]
    for day in range(since, until, DAY):
        if offset_at(min(day + DAY, until), zone) == found[-1][2]:
            continue
        for at in range(day, min(day + DAY, until) + 1, QUARTER):
            if (offset := offset_at(at, zone)) != found[-1][2]:
                found[-1] = (found[-1][0], at, found[-1][2])
                found.append((at, at, offset))
    return [*found[:-1], (found[-1][0], until, found[-1][2])]


def offset_at(second: int, zone: tzinfo) -> int:
    """Seconds by which a zone's clocks are ahead of UTC."""
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def finished_by_hour(connections: Collection[int], since: int) -> dict[int, Tally[str]]:
    """For each hour (unix seconds of its beginning) in which something ended."""
    rows = _rows(
        f"SELECT quarter - quarter %% {HOUR} AS hour, outcome, sum(batches) FROM dashboard_finished"  # noqa: S608
        f" WHERE quarter >= %s AND connection_id IN ({_marks(connections)}) GROUP BY hour, outcome",
        [since, *connections],
    )
    hours: dict[int, Tally[str]] = {}
    for hour, outcome, batches in rows:
        hours.setdefault(hour, Tally())[outcome] += int(batches)
    return hours


@dataclass(frozen=True, slots=True)
class Took:
    """How long completed batches of one kind took from creation to completion; seconds, to within 2 per cent."""

    model: str
    endpoint: str
    batches: int
    median: float
    p90: float


@dataclass(slots=True)
class _Lengths:
    batches: int = 0
    by_length: Tally[int] = field(default_factory=Tally)


def took(connections: Collection[int], since: int) -> list[Took]:
    """Of each model and endpoint with the most batches that completed since the day of `since` (UTC)."""
    rows = _rows(
        "SELECT model, endpoint, length, sum(batches) FROM dashboard_lasted"  # noqa: S608 (marks of ours)
        f" WHERE day >= %s AND connection_id IN ({_marks(connections)}) GROUP BY model, endpoint, length",
        [day_of(since), *connections],
    )
    kinds: dict[tuple[str, str], _Lengths] = {}
    for model, endpoint, length, batches in rows:
        if batches > 0:
            kind = kinds.setdefault((model, endpoint), _Lengths())
            kind.batches += int(batches)
            kind.by_length[length] += int(batches)
    most = sorted(kinds.items(), key=lambda one: (-one[1].batches, one[0]))[:MOST_KINDS]
    return [
        Took(model, endpoint, kind.batches, quantile(kind.by_length, 0.5), quantile(kind.by_length, 0.9))
        for (model, endpoint), kind in most
    ]


def quantile(by_length: Tally[int], share: float) -> float:
    """The seconds within which this share of them was done."""
    wanted, passed = share * by_length.total(), 0
    for length in sorted(by_length):
        passed += by_length[length]
        if passed >= wanted:
            return seconds_of(length)
    return 0.0


def rate(steps: Sequence[Step]) -> int | None:
    """Requests a minute over the last half hour that was looked at whole; None when it was not."""
    last = [step for step in steps[-3:-1] if step.completed is not None]
    if len(last) < 2:
        return None
    return round(sum((step.completed or 0) + (step.failed or 0) for step in last) / (2 * QUARTER / 60))


def _rows(sql: str, params: Sequence[Any]) -> list[Any]:
    with database.cursor() as cursor:
        cursor.execute(sql, params)
        found: list[Any] = cursor.fetchall()
    return found


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("%s" for _value in values) or "NULL"
