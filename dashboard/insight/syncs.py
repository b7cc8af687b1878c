"""What the syncs of the last hour say about a connection: the strip of beats, and the few figures beside it."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.models import Connection, Counter, SyncRun
from dashboard.models.batch import TERMINAL, Outcome

MINUTES = 60
SPAN = timedelta(minutes=MINUTES)
# A sync is slow when it takes three times as long as the usual one of the hour, and is noticed as such by a person.
SLOW_FACTOR, SLOW_SECONDS = 3.0, 2.0
# How high a column stands, and from where: failed the tallest, so that it is seen without colour.
SHAPES = {"bad": (0, 18), "slow": (5, 13), "ok": (10, 8), "none": (16, 2)}


@dataclass(frozen=True, slots=True)
class Column:
    """One minute of the strip, placed in SVG's own units: no style attribute is needed."""

    kind: str
    x: str
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Hour:
    """The last hour of one connection, from its SyncRuns alone."""

    since: datetime
    middle: datetime
    until: datetime
    columns: tuple[Column, ...]
    in_words: str
    per_minute: float | None  # requests; None when nothing was tried
    usual: float | None  # seconds that 95 of 100 good syncs stay below; None without a good one


def hours_of(connections: Iterable[Connection], now: datetime) -> dict[int, Hour]:
    """The last hour of each, with one query for all."""
    runs: dict[int, list[SyncRun]] = {connection.pk: [] for connection in connections}
    for run in SyncRun.objects.filter(connection__in=runs, began_at__gt=now - SPAN).order_by("began_at"):
        runs[run.connection_id].append(run)
    return {pk: hour_of(own, now) for pk, own in runs.items()}


def hour_of(runs: list[SyncRun], now: datetime) -> Hour:
    cycles = [run.seconds for run in runs if run.ending == SyncRun.Ending.GOOD and run.kind == SyncRun.Kind.CYCLE]
    slow_from = max(SLOW_SECONDS, SLOW_FACTOR * statistics.median(cycles)) if cycles else float("inf")
    minutes = ["none"] * MINUTES
    order = list(SHAPES)[::-1]
    count = dict.fromkeys(SHAPES, 0)
    for run in runs:
        kind = kind_of(run, slow_from)
        count[kind] += 1
        # Rounded, so that a run of this very moment stands in the last column and not beyond it.
        minute = min(MINUTES - 1, max(0, int((run.began_at - (now - SPAN)) / timedelta(minutes=1))))
        minutes[minute] = max(minutes[minute], kind, key=order.index)
    step = 100 / MINUTES
    columns = tuple(Column(kind, f"{round(index * step, 2):g}%", *SHAPES[kind]) for index, kind in enumerate(minutes))
    requests = sum(run.requests for run in runs)
    # What was first tried a few minutes ago has those alone to show.
    covered = max(timedelta(minutes=1), min(SPAN, now - runs[0].began_at)) if runs else SPAN
    return Hour(
        since=now - SPAN,
        middle=now - SPAN / 2,
        until=now,
        columns=columns,
        in_words=words_of(count),
        per_minute=requests / (covered / timedelta(minutes=1)) if runs else None,
        usual=quantile(cycles, 0.95),
    )


def kind_of(run: SyncRun, slow_from: float) -> str:
    if run.ending == SyncRun.Ending.FAILED:
        return "bad"
    if run.ending == SyncRun.Ending.STOPPED:
        return "none"  # the process was shut down: neither good nor bad
    # An import is long by nature.
    return "slow" if run.kind == SyncRun.Kind.CYCLE and run.seconds > slow_from else "ok"


def words_of(count: dict[str, int]) -> str:
    """The strip for who cannot see it."""
    tried = count["ok"] + count["slow"] + count["bad"]
    if not tried:
        return _("No sync was tried in the last hour")
    return ngettext(
        "%(tried)d sync in the last hour: %(ok)d good, %(slow)d slow, %(bad)d failed",
        "%(tried)d syncs in the last hour: %(ok)d good, %(slow)d slow, %(bad)d failed",
        tried,
    ) % {"tried": tried, **count}


def quantile(values: list[float], share: float) -> float | None:
    """The smallest value that so large a share of the values does not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many batches a connection has, from its counters."""

    open: int = 0
    known: int = 0


def tallies_of(connections: Iterable[Connection]) -> dict[int, Tally]:
    still_open = ~Q(status__in=TERMINAL) & ~Q(outcome=Outcome.UNSEEN)
    rows = (
        Counter.objects.filter(connection__in=[connection.pk for connection in connections])
        .values("connection_id")
        .annotate(known=Sum("batches"), open=Sum("batches", filter=still_open))
    )
    return {row["connection_id"]: Tally(open=row["open"] or 0, known=row["known"] or 0) for row in rows}
