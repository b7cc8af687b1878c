"""What a wall shows of a scope: what needs attention, what runs, when it is done, what became of the last day.

Everything is summed up here, in a fixed number of queries, so that a screen gets an answer of the same size whatever
runs.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import FETCH_RAISE, F, Q

from dashboard.insight import series
from dashboard.insight.concerns import NOTICES, SEVERITY, Evidence
from dashboard.insight.progress import Counts, Progress, latest_readings, progress_of
from dashboard.insight.pulse import Beat, Pulse
from dashboard.insight.search import LOOKED
from dashboard.insight.series import HOUR, RANGES
from dashboard.models import Batch, Concern, Connection, Reading, Reason
from dashboard.models.batch import BatchQuerySet, Outcome
from dashboard.models.flow import DAY, QUARTER, quarter_of

Health = Connection.Health
STALE = (Health.STALE, Health.LOST)
ROWS = 20  # of a board of rows
FIVE, EIGHT = 5, 8  # beside one; that need attention, beside many
NEAR = 200  # ended batches among which the latest of a scope mostly are
MOST_ESTIMATED = 40  # of many: those that may not be done in time
AT_RISK = "at_risk"  # not a concern that is kept: it follows from the estimate of this moment
RANKS: dict[str, float] = {**SEVERITY, AT_RISK: SEVERITY[Reason.OVERDUE] + 0.5}
LATE = {AT_RISK, Reason.WINDOW_NEARLY_OVER.value, Reason.OVERDUE.value}
MOST_CONCERNS = 5_000
MOST_REMEMBERED = 20_000
AT_ONCE = 500
POINTS = 60  # of the curve of one batch
COLUMNS = (
    *("name", "remote_id", "status", "raw_status", "outcome", "connection", "is_open", "gone_at", "is_overdue"),
    *("requests_total", "requests_completed", "requests_failed", "failed_in_files", "output_file_id"),
    *("created_at", "in_progress_at", "expires_at", "finished_at", "asked_at", "revision"),
)


type Key = int  # the id of a batch, or minus that of a connection


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose batches a board shows: of these connections, and of those the ones that a query and a chip leave."""

    connections: frozenset[int]
    condition: Q = field(default_factory=Q)
    is_searched: bool = False  # by words, so that finding nothing may be a mistake in them
    has_ended: bool = True  # may hold batches that have ended, so that a day of none says something

    @property
    def is_whole(self) -> bool:
        """Everything of its connections, which roll-ups have counted already."""
        return not self.condition

    def rows(self) -> BatchQuerySet:
        return Batch.objects.filter(self.condition, connection__in=self.connections)


class Need(NamedTuple):
    """What needs attention: a batch, or a connection, and the worst reason."""

    reason: str
    connection_id: int
    batch: Batch | None
    evidence: Evidence
    since: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """An open batch on the board."""

    batch: Batch
    progress: Progress | None
    need: Need | None = None
    as_of: datetime | None = None  # its connection is stale: nothing is known since

    @property
    def is_stale(self) -> bool:
        return self.as_of is not None

    @property
    def is_late(self) -> bool:
        """Likely to miss its deadline, or past it."""
        return self.need is not None and self.need.reason in LATE


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of those that run and need nobody: how many are done by when, and of how many nobody can say."""

    number: int = 0
    by: datetime | None = None
    unknown: int = 0
    deadline: datetime | None = None  # the furthest


@dataclass(frozen=True, slots=True)
class Sums:
    """Requests of all that runs."""

    done: int
    total: int
    unknown: int  # batches of which nobody said how many requests they have
    rate: int | None  # requests a minute
    next_deadline: Batch | None
    oldest: Batch | None


class LastDay(NamedTuple):
    """What ended within 24 hours, by outcome; and of each of 24 hours, by its beginning in unix seconds."""

    ended: Tally[str]
    hours: dict[int, Tally[str]]


@dataclass(frozen=True, slots=True)
class Board:
    """`load` says how it is composed: nothing, importing, unmatched, clear, one, rows or many."""

    load: str
    now: datetime
    beats: tuple[Beat, ...]
    lines: list[Line]  # all that is open: what needs attention first, then the nearest deadline
    needs: list[Need]  # the worst first, and no more than a board can hold
    needed: int  # how many there are of them
    running: int  # open batches that need nobody
    forecast: Forecast
    last: list[Batch]  # the last five that finished
    day: LastDay
    sums: Sums
    course: list[tuple[datetime, int]] = field(default_factory=list)  # of the one that runs: when so many were done

    @property
    def rows(self) -> tuple[int, int]:
        """How many needs and how many calm batches fit into ROWS, beside a line for each that has more of them."""
        needs = min(self.needed, max(EIGHT, ROWS - 1 - self.running))
        if self.needed + self.running <= ROWS:
            needs = self.needed
        left = ROWS - needs - (needs < self.needed)
        return needs, self.running if self.running <= left else left - 1

    @property
    def stale(self) -> list[Beat]:
        return [beat for beat in self.beats if beat.health in STALE]

    @property
    def as_of(self) -> datetime:
        """When all of it was so: now, unless nothing on it is."""
        known = [beat.synced_at for beat in self.beats if beat.synced_at]
        return min(known) if self.is_stale and known else self.now

    @property
    def is_stale(self) -> bool:
        """Nothing on it is as of now."""
        watched = [beat for beat in self.beats if beat.health != Health.PAUSED]
        return bool(watched) and all(beat.health in STALE for beat in watched)


def board_of(taken: Pulse, scope: Scope, now: datetime) -> Board:
    beats = tuple(beat for beat in taken.beats if beat.connection_id in scope.connections)
    as_of = {beat.connection_id: beat.synced_at or beat.failing_since or now for beat in beats if beat.health in STALE}
    opened = opened_of(scope)
    worst = concerns_of(scope, {batch.id for batch in opened})
    few = len(opened) <= ROWS
    progress = estimated(opened if few else doubtful(opened, now), as_of, now)
    lines, needs, needed = sorted_out(opened, worst, progress, as_of, now)
    calm = [line for line in lines if line.need is None]
    last = last_of(scope)
    rows = len(calm) + needed
    if not taken.beats or not beats:
        load = "nothing"
    elif not rows and not last and scope.is_searched:
        load = "unmatched"
    elif not opened and not last and all(beat.health in (Health.NEW, Health.IMPORTING) for beat in beats):
        load = "importing"
    elif not rows:
        load = "clear"
    elif len(opened) == 1:
        load = "one"
    else:
        load = "rows" if few else "many"
    return Board(
        load=load,
        now=now,
        beats=beats,
        lines=lines,
        needs=needs,
        needed=needed,
        running=len(calm),
        forecast=forecast_of(calm, is_told=few),
        last=last,
        day=last_day(scope, now),
        sums=sums_of(scope, opened, as_of, now),
        course=course_of(opened[0]) if load == "one" else [],
    )


# --- What runs --------------------------------------------------------------------------------------------------------

# Rows as they were read, and readings, by their batch's revision: of five hundred mostly a few have changed, and making
# times of what the database holds takes longer than all the rest. Boards are drawn one at a time.
_rows: dict[int, tuple[int, Batch]] = {}
_readings: dict[int, tuple[int, list[Counts]]] = {}


def forget() -> None:
    _rows.clear()
    _readings.clear()


def opened_of(scope: Scope) -> list[Batch]:
    """The nearest deadline first, those without one last."""
    order = F("expires_at").asc(nulls_last=True), "-place"
    found = list(scope.rows().filter(outcome=Outcome.OPEN).order_by(*order).values_list("pk", "revision"))
    if len(_rows) + len(found) > MOST_REMEMBERED:
        forget()
    new = [pk for pk, revision in found if pk not in _rows or _rows[pk][0] != revision]
    for start in range(0, len(new), AT_ONCE):
        some = Batch.objects.filter(pk__in=new[start : start + AT_ONCE]).only(*COLUMNS).fetch_mode(FETCH_RAISE)
        _rows.update((batch.id, (batch.revision, batch)) for batch in some)
    # One that ended between the two questions is missed until the next.
    return [_rows[pk][1] for pk, _revision in found if pk in _rows]


def readings_of(batches: Sequence[Batch]) -> dict[int, list[Counts]]:
    new = [one.id for one in batches if one.id not in _readings or _readings[one.id][0] != one.revision]
    read = latest_readings(new)
    _readings.update((one.id, (one.revision, read[one.id])) for one in batches if one.id in read)
    return {one.id: _readings[one.id][1] for one in batches}


# --- What needs attention ---------------------------------------------------------------------------------------------


def concerns_of(scope: Scope, opened: set[int]) -> dict[Key, tuple[str, int]]:
    """The worst of each batch and of each connection: its reason and which concern it is."""
    rows = Concern.objects.open().filter(connection__in=scope.connections).exclude(reason__in=NOTICES)
    if not scope.is_whole:
        # A connection that fails concerns every scope that it has a part in.
        rows = rows.filter(Q(batch=None) | Q(batch__in=opened) | Q(batch__in=scope.rows().filter(is_open=False)))
    worst: dict[Key, tuple[str, int]] = {}
    found = rows.order_by("-opened_at", "-pk").values_list("pk", "connection_id", "batch_id", "reason")
    for pk, connection, batch, reason in found[:MOST_CONCERNS]:
        key = batch or -connection
        if key not in worst or RANKS[reason] < RANKS[worst[key][0]]:
            worst[key] = (reason, pk)
    return worst


def sorted_out(
    opened: Sequence[Batch],
    worst: Mapping[Key, tuple[str, int]],
    progress: Mapping[int, Progress | None],
    as_of: Mapping[int, datetime],
    now: datetime,
) -> tuple[list[Line], list[Need], int]:
    """All lines with what needs attention first, the needs that may be shown, and how many there are in all."""
    reasons = {key: reason for key, (reason, _pk) in worst.items()}
    for batch in opened:
        known = progress.get(batch.id)
        if known and known.is_at_risk and not known.is_frozen and batch.id not in reasons:
            reasons[batch.id] = AT_RISK
    # Of a kind the one that is due first; before them what has ended, and connections.
    places = {batch.id: place for place, batch in enumerate(opened)}
    order = sorted(reasons, key=lambda key: (RANKS[reasons[key]], places.get(key, -1)))
    told = needs_told(worst[key][1] for key in order[:ROWS] if key in worst)
    needs, running = [], {}
    for i, key in enumerate(order):
        batch_of = opened[places[key]] if key in places else None
        need = told.get(key)
        if need is None and batch_of:
            # At risk; or beyond what a board can hold, so that no more of it than the reason is drawn.
            need = Need(reasons[key], batch_of.connection_id, batch_of, {}, now)
        if need is None:
            continue
        if batch_of:
            running[key] = need = need._replace(batch=batch_of)
        if i < ROWS:
            needs.append(need)
    first = [opened[places[key]] for key in order if key in places]
    rest = [batch for batch in opened if batch.id not in reasons]
    lines = [
        Line(batch, progress.get(batch.id), running.get(batch.id), as_of.get(batch.connection_id))
        for batch in first + rest
    ]
    return lines, needs, len(order)


def needs_told(concerns: Iterable[int]) -> dict[Key, Need]:
    """Those of which the board says more than that they are."""
    columns = (f"batch__{column}" for column in COLUMNS if column != "connection")
    rows = Concern.objects.filter(pk__in=list(concerns)).select_related("batch")
    return {
        concern.batch_id or -concern.connection_id: Need(
            concern.reason, concern.connection_id, concern.batch, concern.evidence, since_of(concern)
        )
        for concern in rows.only("reason", "evidence", "opened_at", "connection", "batch__connection", *columns)
    }


def since_of(concern: Concern) -> datetime:
    said = concern.evidence.get("since")
    return datetime.fromisoformat(said) if said else concern.opened_at


# --- When it is done --------------------------------------------------------------------------------------------------


def doubtful(opened: Sequence[Batch], now: datetime) -> list[Batch]:
    """Those that may not be done in time if they go on as they have since their beginning, or nearly so.

    Reading how each of five hundred got on would take longer than all the rest.
    """
    found = []
    for batch in opened:
        done = (batch.requests_completed or 0) + (batch.requests_failed or 0)
        began, total = batch.in_progress_at or batch.created_at, batch.requests_total
        if not (done and total and began and batch.expires_at) or done >= total or began >= now:
            continue
        if (now - began) * (total / done) > 0.8 * (batch.expires_at - began):
            found.append(batch)
    return found[:MOST_ESTIMATED]


def estimated(batches: Sequence[Batch], as_of: Mapping[int, datetime], now: datetime) -> dict[int, Progress | None]:
    readings = readings_of(batches)
    return {
        batch.id: progress_of(
            batch,
            readings[batch.id],
            now,
            stale=batch.connection_id in as_of,
            synced_at=as_of.get(batch.connection_id),
        )
        for batch in batches
    }


def forecast_of(calm: Sequence[Line], *, is_told: bool) -> Forecast:
    """`is_told` says whether how each gets on was looked at."""
    deadlines = [line.batch.expires_at for line in calm if line.batch.expires_at]
    deadline = max(deadlines, default=None)
    if not is_told:
        return Forecast(deadline=deadline)
    by = [line.progress.likely for line in calm if line.progress and line.progress.likely and not line.is_stale]
    return Forecast(len(by), max(by, default=None), len(calm) - len(by), deadline)


def sums_of(scope: Scope, opened: Sequence[Batch], as_of: Mapping[int, datetime], now: datetime) -> Sums:
    counted = [batch for batch in opened if batch.requests_total]
    coming = (batch for batch in opened if batch.expires_at and batch.expires_at > now)
    rate = None
    if scope.is_whole and not as_of and len(opened) > 1:
        since = quarter_of(int(now.timestamp())) - 3 * QUARTER
        rate = series.rate(series.flowed(scope.connections, since, int(now.timestamp()), QUARTER).steps)
    return Sums(
        done=sum((batch.requests_completed or 0) + (batch.requests_failed or 0) for batch in counted),
        total=sum(batch.requests_total or 0 for batch in counted),
        unknown=len(opened) - len(counted),
        rate=rate,
        next_deadline=next(coming, None),
        oldest=min((batch for batch in opened if batch.created_at), key=created, default=None),
    )


def created(batch: Batch) -> Any:
    return batch.created_at


def course_of(batch: Batch) -> list[tuple[datetime, int]]:
    """When how many requests of it were processed, in steps that a drawing of this size can show."""
    rows = Reading.objects.filter(batch=batch.pk).order_by("pk").values_list("asked_at", "completed", "failed")
    points = [(at, (completed or 0) + (failed or 0)) for at, completed, failed in rows[:10_000]]
    step = max(1, len(points) // POINTS)
    return [*points[:-1:step], *points[-1:]]


# --- What has ended ---------------------------------------------------------------------------------------------------


def last_of(scope: Scope) -> list[Batch]:
    """The latest five that ended, looked for among the latest of all: no index has those of a connection in order, and
    what is rare would be looked for in all of history."""
    ended = Batch.objects.filter(finished_at__isnull=False).order_by("-finished_at", "-pk")
    found: list[Batch] = []
    for most in (NEAR, LOOKED):
        latest = ended.values_list("pk", "connection")[:most]
        near = [pk for pk, connection in latest if connection in scope.connections]
        rows = Batch.objects.filter(scope.condition, pk__in=near[:FIVE] if scope.is_whole else near)
        found = list(rows.only(*COLUMNS).fetch_mode(FETCH_RAISE).order_by("-finished_at", "-pk")[:FIVE])
        if len(found) == FIVE:
            break
    return found


def last_day(scope: Scope, now: datetime) -> LastDay:
    until = int(now.timestamp())
    begin = until - until % HOUR - DAY + HOUR
    since = RANGES["24h"].since(now)
    if scope.is_whole:
        return LastDay(series.finished(scope.connections, since), series.finished_by_hour(scope.connections, begin))
    day = scope.rows().filter(finished_at__gte=now - timedelta(seconds=DAY)).order_by("-finished_at")
    ended: Tally[str] = Tally()
    hours: dict[int, Tally[str]] = {}
    for at, outcome in day.values_list("finished_at", "outcome")[:LOOKED]:
        ended[outcome] += 1
        if at is not None:
            hours.setdefault(int(at.timestamp()) // HOUR * HOUR, Tally())[outcome] += 1
    return LastDay(ended, hours)
