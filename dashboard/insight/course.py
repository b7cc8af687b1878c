"""What is known of a batch's course: its readings, thinned where they are many, and when nothing was synced."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil

from django.db import connection as database
from django.db.models.expressions import RawSQL

from dashboard.insight.curve import Clock, Curve, Gap, Sample, curve
from dashboard.insight.outcome import is_running, unseen_since
from dashboard.insight.progress import Counts
from dashboard.insight.pulse import stale_after
from dashboard.models import Batch, Reading, SyncRun

FINEST = 160  # spans that a course is cut into: readings and syncs within one are told by the last
SECOND_OF = {"sqlite": "CAST(strftime('%%s', {}) AS INTEGER)", "postgresql": "floor(extract(epoch FROM {}))::bigint"}


def course_of(
    batch: Batch, now: datetime, clock: Clock, *, stale: bool = False, readings: Sequence[Counts] | None = None
) -> Curve | None:
    """None where there is too little to draw: a batch whose total or course nobody knows.

    `readings` are all that the batch has, oldest first, where a page has read them already.
    """
    start = batch.created_at if batch.created_at and batch.created_at <= batch.asked_at else batch.first_seen_at
    synced_at = batch.connection.synced_at
    seen_to = now
    if not is_running(batch):
        seen_to = min(now, batch.finished_at or unseen_since(batch) or batch.asked_at)
    elif stale and synced_at:
        seen_to = min(now, synced_at)
    step = max(1, ceil((max(seen_to, start) - start).total_seconds() / FINEST))
    samples = samples_of(batch, step) if readings is None else thinned(readings, step)
    if not batch.is_open and samples:
        # The end was noticed a little later than it was.
        seen_to = max(seen_to, samples[-1].at)
    if not samples or (len(samples) < 2 and not batch.is_open):
        return None
    times = [sample.at for sample in samples]
    gaps = gaps_of(batch.connection_id, samples[0].at, seen_to, stale_after(batch.connection.cadence), times)
    if is_running(batch) and stale:
        gaps.append((seen_to, now))
    return curve(samples, start=start, until=seen_to, clock=clock, gaps=gaps, deadline=batch.expires_at)


def samples_of(batch: Batch, step: int) -> list[Sample]:
    """The last reading of every `step` seconds, where the total was known."""
    second = SECOND_OF[database.vendor].format("asked_at")
    chosen = "SELECT max(id) FROM dashboard_reading WHERE batch_id = %s AND total > 0 GROUP BY {} / %s"
    rows = Reading.objects.filter(pk__in=RawSQL(chosen.format(second), [batch.pk, step])).order_by("asked_at")  # noqa: S611 (SQL of ours)
    return [
        Sample(at, completed or 0, failed or 0, total or 0)
        for at, total, completed, failed in rows.values_list("asked_at", "total", "completed", "failed")
    ]


def thinned(readings: Sequence[Counts], step: int) -> list[Sample]:
    """The same of readings at hand."""
    last = {int(one.asked_at.timestamp()) // step: one for one in readings if one.total}
    return [Sample(one.asked_at, one.completed or 0, one.failed or 0, one.total or 0) for one in last.values()]


def gaps_of(
    connection: int, since: datetime, until: datetime, longest: int, seen: list[datetime] | None = None
) -> list[Gap]:
    """When a connection had no good sync for more than `longest` seconds; `seen` are times at which it surely had.

    Older than its oldest run nothing is said: runs are kept for two weeks.
    """
    whole = (until - since).total_seconds()
    step = max(longest, ceil(whole / FINEST))
    second = SECOND_OF[database.vendor].format("began_at")
    runs = SyncRun.objects.filter(connection=connection, began_at__gte=since, began_at__lte=until, ending="good")
    sql, params = runs.values("began_at").query.sql_with_params()
    with database.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT {second} / %s FROM ({sql}) AS run", [step, *params])  # noqa: S608
        spans = {int(row[0]) for row in cursor.fetchall()}
    if not spans:
        return []
    oldest = min(spans)
    spans |= {int(at.timestamp()) // step for at in seen or ()}
    first, last = max(oldest, int(since.timestamp()) // step), int(until.timestamp()) // step
    ordered = sorted(span for span in spans if first <= span <= last)
    # From the end of a span with a sync to the beginning of the next, and what is under way has not failed yet.
    bounds = zip(ordered, [*ordered[1:], last], strict=True)
    return [(_at((one + 1) * step), _at(other * step)) for one, other in bounds if other - one > 1]


def _at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
