"""Boards of every load, made directly and at once: for tests of walls, and for looking at them."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from dashboard.models import Batch, Concern, Connection, Finished, Flow, Part, Reading, Share, User
from dashboard.models.batch import FOR_EVER, Outcome, place_of
from dashboard.models.flow import QUARTER, quarter_of
from dashboard.models.search import index_new
from tests.batches_made import batch_made, connection_made, counts

NAMES = ("weekly-classify", "kb-dedupe-nightly", "catalog-enrich-it-shard", "judge-helpfulness-v9", "rag-chunks-embed")
MIX = ("validating", "finalizing", "cancelling", *["in_progress"] * 21)


def wall_made(active: int, *, needy: int | None = None, stale: bool = False, ended: bool = True) -> list[Connection]:
    """So many open batches over three connections, of which some need attention; the third one is `stale` if asked."""
    now = timezone.now()
    for part in ("web", "worker", "beat"):
        Part.objects.create(name=part, state="running", since_at=now - timedelta(hours=5), seen_at=now)
    late: dict[str, Any] = {"synced_at": now - timedelta(minutes=16)} if stale else {}
    made = [connection_made("OpenAI"), connection_made("Azure"), connection_made("OGX", **late)]
    rows = []
    for i in range(active):
        connection = made[2 if i % 50 == 7 and active > 1 else i % 2]
        status = MIX[i * 7 % len(MIX)] if active > 1 else "in_progress"
        total = (1500, 800, 20000, 3000, 480)[i % 5]
        done = total * ((i * 37) % 100) // 100 if active > 1 else 1020
        remote_id, begun = f"batch_w{i:06d}", now - timedelta(hours=3, minutes=(i * 13) % 900)
        rows.append(
            Batch(
                connection=connection, remote_id=remote_id, status=status, raw_status=status, outcome=Outcome.OPEN,
                name=f"{NAMES[i % 5]}-2026-11-21-{i:02d}", model="gpt-5-mini", endpoint="/v1/responses",
                requests_total=None if status == "validating" else total,
                requests_completed=total if status == "finalizing" else 0 if status == "validating" else done,
                requests_failed=12 if i % 6 == 0 and status == "in_progress" else 0,
                created_at=begun, in_progress_at=begun + timedelta(seconds=40), expires_at=begun + timedelta(hours=24),
                ordered_at=begun, place=place_of(connection.pk, remote_id, int(begun.timestamp())), asked_at=now,
                first_seen_at=begun, revision=1, is_open=True, refresh_until=FOR_EVER, search_text=remote_id,
            )
        )  # fmt: skip
    Batch.objects.bulk_create(rows)
    if rows:
        index_new(rows[0].pk - 1)
    readings_made(rows)
    needs_made(rows, active * 3 // 100 + (2 if active > 10 else 0) if needy is None else needy)
    if ended:
        ended_made(made)
    return made


def readings_made(rows: list[Batch]) -> None:
    now = timezone.now()
    readings = []
    for batch in rows:
        done = (batch.requests_completed or 0) + (batch.requests_failed or 0)
        if batch.status != "in_progress" or done < 20:
            continue
        for step in range(1, 13):
            at = batch.created_at + (now - batch.created_at) * step / 12  # type: ignore[operator]  # set above
            readings.append(
                Reading(
                    batch=batch, asked_at=at, status=batch.status, total=batch.requests_total,
                    completed=done * step // 12, failed=0,
                )
            )  # fmt: skip
    Reading.objects.bulk_create(readings)


def needs_made(rows: list[Batch], number: int) -> None:
    now = timezone.now()
    since = (now - timedelta(minutes=61)).isoformat()
    evidence: dict[str, dict[str, Any]] = {
        "stalled": {"since": since, "status": "in_progress"},
        "window_nearly_over": {"processed": 450, "total": 1000},
        "high_failed_share": {"done": 300, "failed": 180, "total": 480, "runs": True},
        "overdue": {"since": since},
    }
    running = [batch for batch in rows if batch.status == "in_progress"]
    Concern.objects.bulk_create(
        Concern(
            connection_id=batch.connection_id, batch=batch, opened_at=now,
            reason=list(evidence)[i % 4], evidence=evidence[list(evidence)[i % 4]],
        )
        for i, batch in enumerate(running[:number])
    )  # fmt: skip


def ended_made(made: list[Connection]) -> None:
    now = timezone.now()
    for i in range(6):
        at = now - timedelta(minutes=4 + 25 * i)
        failed = (0, 3, 0, 0, 98, 0)[i]
        batch_made(
            made[i % 2], "completed", name=f"prompt-regression-suite-{119 - i}", created_at=at - timedelta(hours=1),
            finished_at=at, **counts(100, 100 - failed, failed),
        )  # fmt: skip
    hour = quarter_of(int(now.timestamp()))
    ends = []
    for i in range(23):
        ends.append(
            Finished(connection=made[i % 2], quarter=hour - i * 3600, outcome="succeeded", batches=1 + i * 5 % 4)
        )
        if i % 5 == 1:
            ends.append(Finished(connection=made[i % 2], quarter=hour - i * 3600, outcome="partial", batches=1))
        if i % 7 == 2:
            ends.append(Finished(connection=made[i % 2], quarter=hour - i * 3600, outcome="all_failed", batches=1))
    Finished.objects.bulk_create(ends)
    Flow.objects.bulk_create(
        Flow(connection=one, quarter=hour - i * QUARTER, looks=20, completed=47_000, failed=100)
        for one in made
        for i in range(5)
    )


def link_made(by: User, query: str = "", name: str = "Kitchen") -> str:
    """The token of a share of a wall."""
    share = Share(name=name, kind="wall", query=query, made_by=by, who=by.username)
    token = share.new_token()
    share.save()
    return token
