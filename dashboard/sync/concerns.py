"""Open and close what needs attention: for rows that absorb has written, and in the tick for what time alone changes.

A batch's `judge_at` says when time may next change something, so the tick reads only those that are due, by an index.
Whatever opens or closes raises the revision of its connection and of the row, in the same transaction.
"""

import statistics
import threading
import time
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Max
from django.db.models.functions import Coalesce, Least

from dashboard.insight.concern_words import since_of
from dashboard.insight.concerns import (
    ENDS,
    ENOUGH,
    USUAL_LIFE,
    Evidence,
    Known,
    Usual,
    judged,
    reasons_of_connection,
)
from dashboard.insight.pulse import health_of
from dashboard.models import Act, Batch, Concern, Connection, Reading, Reason, RemoteFile, Transition
from dashboard.models.batch import Status

Health = Connection.Health
# In one tick; what is left is judged in the next.
MOST_AT_ONCE = 500
COLUMNS = (
    "connection_id",
    "remote_id",
    "status",
    "outcome",
    "output_file_id",
    "requests_total",
    "requests_completed",
    "requests_failed",
    "failed_in_files",
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "cancelling_at",
    "finished_at",
    "is_open",
    "errors",
    "first_seen_at",
    "misses",
    "gone_at",
    "judge_at",
)
OF_CONNECTIONS = (Reason.CONNECTION_FAILING, Reason.SYNC_STALE)
STOPPING = (Status.CANCELLING, Status.CANCELLED)


# --- When -------------------------------------------------------------------------------------------------------------


def judge_due(now: datetime) -> None:
    """Judge the batches whose time has come. For the tick."""
    due = Batch.objects.filter(judge_at__lte=now).order_by("judge_at")
    by_connection: dict[int, list[int]] = {}
    for pk, connection_id in due.values_list("pk", "connection_id")[:MOST_AT_ONCE]:
        by_connection.setdefault(connection_id, []).append(pk)
    for connection_id, pks in by_connection.items():
        with transaction.atomic():
            # First, as absorb does: two orders would be a deadlock.
            connection = Connection.objects.select_for_update().filter(pk=connection_id).first()
            if connection and judge(connection, pks, now, connection.revision + 1):
                Connection.objects.filter(pk=connection_id).update(revision=F("revision") + 1)


def look_again(batches: Iterable[int], at: datetime) -> None:
    """Judge these at the latest then: something has changed that is not in their rows, such as an act or a file."""
    found = Batch.objects.filter(pk__in=list(batches))
    found.update(judge_at=Least(Coalesce(F("judge_at"), at), at))


def back_in_step(connection: Connection, now: datetime) -> None:
    """What was held back while the data was stale is judged by the next tick."""
    Batch.objects.filter(connection=connection).to_refresh(now).update(judge_at=now)


def watch_again(connection: Connection, now: datetime) -> None:
    """It was brought back: what ended not long ago may need attention as before. The rest is seen again by its sync."""
    ended = Batch.objects.filter(connection=connection, is_open=False, finished_at__gt=now - USUAL_LIFE)
    ended.update(judge_at=now)


def judge_connections(now: datetime) -> None:
    """Open and close what the connections themselves need attention for. For the tick."""
    known: dict[int, dict[str, Concern]] = {}
    for concern in Concern.objects.open().filter(batch=None, reason__in=OF_CONNECTIONS):
        known.setdefault(concern.connection_id, {})[concern.reason] = concern
    for connection in Connection.objects.all():
        opened = known.get(connection.pk, {})
        reasons = reasons_of_connection(connection, health_of(connection, now))
        if not opened and not reasons:
            continue
        new, changed, over = _differences(opened, {reason.value: said for reason, said in reasons.items()})
        if new or changed or over:
            with transaction.atomic():
                Connection.objects.filter(pk=connection.pk).update(revision=F("revision") + 1)
                _write([_made(connection, None, reason, said, now) for reason, said in new.items()], changed, over, now)


def close_all(connection: Connection, now: datetime) -> None:
    """Nobody watches a removed connection any more."""
    Concern.objects.open().filter(connection=connection).update(closed_at=now)
    Batch.objects.filter(connection=connection, judge_at__isnull=False).update(judge_at=None)


# --- What -------------------------------------------------------------------------------------------------------------


def judge(connection: Connection, pks: Collection[int], now: datetime, revision: int) -> bool:
    """Open and close the concerns of these batches of one connection; whether anything did.

    In a transaction that holds the connection. The caller raises its revision to `revision`, which moved rows get.
    """
    batches = list(Batch.objects.filter(pk__in=list(pks)).only(*COLUMNS))
    if connection.retired_at:
        Batch.objects.filter(pk__in=[batch.pk for batch in batches]).update(judge_at=None)
        return False
    opened: dict[int, dict[str, Concern]] = {batch.pk: {} for batch in batches}
    for concern in Concern.objects.open().filter(batch__in=list(opened)):
        opened[concern.batch_id or 0][concern.reason] = concern
    known = _known_of(connection, batches, opened, now)
    made: list[Concern] = []
    all_changed: list[Concern] = []
    all_over: list[Concern] = []
    moved: list[int] = []
    waiting: list[Batch] = []
    for batch in batches:
        found = judged(batch, now, known[batch.pk])
        new, changed, over = _differences(
            opened[batch.pk], {reason.value: said for reason, said in found.reasons.items()}
        )
        made += [_made(connection, batch, reason, said, now) for reason, said in new.items()]
        all_changed += changed
        all_over += over
        if new or changed or over:
            moved.append(batch.pk)
        if batch.judge_at != found.again_at:
            batch.judge_at = found.again_at
            waiting.append(batch)
    Batch.objects.bulk_update(waiting, ["judge_at"], batch_size=100)
    Batch.objects.filter(pk__in=moved).update(revision=revision)
    _write(made, all_changed, all_over, now)
    return bool(moved)


def _differences(
    opened: dict[str, Concern], reasons: dict[str, Evidence]
) -> tuple[dict[str, Evidence], list[Concern], list[Concern]]:
    """What is new, what has other figures now, and what is over."""
    new = {reason: evidence for reason, evidence in reasons.items() if reason not in opened}
    over = [concern for reason, concern in opened.items() if reason not in reasons]
    changed = []
    for reason, concern in opened.items():
        if reason in reasons and concern.evidence != reasons[reason]:
            concern.evidence = reasons[reason]
            changed.append(concern)
    return new, changed, over


def _made(connection: Connection, batch: Batch | None, reason: str, evidence: Evidence, now: datetime) -> Concern:
    began = min(since_of(evidence) or now, now)  # a vendor's clock may be ahead
    return Concern(connection=connection, batch=batch, reason=reason, evidence=evidence, opened_at=began)


def _write(new: list[Concern], changed: list[Concern], over: list[Concern], now: datetime) -> None:
    Concern.objects.bulk_create(new)
    Concern.objects.bulk_update(changed, ["evidence"], batch_size=100)
    Concern.objects.filter(pk__in=[concern.pk for concern in over]).update(closed_at=now)


# --- What is known beside the row -------------------------------------------------------------------------------------


def _known_of(
    connection: Connection, batches: list[Batch], opened: dict[int, dict[str, Concern]], now: datetime
) -> dict[int, Known]:
    """With a few queries for all of them."""
    running = [batch.pk for batch in batches if batch.is_open]
    changes = _last_changes(running)
    ends = _noticed_ends([batch.pk for batch in batches if not batch.is_open])
    acts = _accepted_cancels([batch.pk for batch in batches if batch.is_open and batch.status not in STOPPING])
    files = _files(connection, [batch.output_file_id for batch in batches if batch.output_file_id])
    is_fresh = health_of(connection, now) == Health.IN_STEP
    known = {}
    for batch in batches:
        act = acts.get(batch.pk)
        file = files.get(batch.output_file_id)
        known[batch.pk] = Known(
            is_fresh=is_fresh,
            synced_at=connection.synced_at,
            clock_offset=connection.clock_offset or 0.0,
            changed_at=changes.get(batch.pk),
            ended_at=ends.get(batch.pk),
            asked_to_cancel_at=act.began_at if act else None,
            asked_by=act.who if act else "",
            results_expire_at=file.expires_at if file else None,
            are_results_gone=bool(file and file.gone_at),
            already=frozenset(opened[batch.pk]),
            usual=lambda status: usual(connection.pk, status, now),
        )
    return known


def _last_changes(batches: list[int]) -> dict[int, datetime]:
    """When the status or the counts of each were last seen to change: readings are written then."""
    if not batches:
        return {}
    rows = Reading.objects.filter(batch__in=batches).values("batch_id").annotate(last=Max("asked_at"))
    return {row["batch_id"]: row["last"] for row in rows}


def _noticed_ends(batches: list[int]) -> dict[int, datetime]:
    """When the end of each was noticed, of those that were seen open before."""
    if not batches:
        return {}
    rows = Transition.objects.filter(batch__in=batches, new_status__in=ENDS).exclude(old_status="").order_by("pk")
    return dict(rows.values_list("batch_id", "noticed_at"))


def _accepted_cancels(batches: list[int]) -> dict[int, Act]:
    if not batches:
        return {}
    acts = Act.objects.filter(batch__in=batches, kind=Act.Kind.CANCEL, state=Act.State.ACCEPTED)
    return {act.batch_id: act for act in acts.order_by("began_at")}


def _files(connection: Connection, file_ids: list[str]) -> dict[str, RemoteFile]:
    if not file_ids:
        return {}
    files = RemoteFile.objects.filter(connection=connection, file_id__in=file_ids)
    return {file.file_id: file for file in files.only("file_id", "expires_at", "gone_at")}


# --- What is usual ----------------------------------------------------------------------------------------------------

# Reckoned from the newest of its batches, no further back than this, and remembered for a while: it changes slowly.
LATEST = 200
SPAN = timedelta(days=30)
REMEMBERED = 600.0
_usual: dict[tuple[int, str], tuple[float, Usual | None]] = {}
_lock = threading.Lock()


def usual(connection_id: int, status: str, now: datetime) -> Usual | None:
    """How long this connection usually takes: between two counts while in progress, else in that state."""
    until, known = _usual.get((connection_id, status), (0.0, None))
    if until < time.monotonic():
        known = read_usual(connection_id, status, now)
        with _lock:
            _usual[connection_id, status] = (time.monotonic() + REMEMBERED, known)
    return known


def read_usual(connection_id: int, status: str, now: datetime) -> Usual | None:
    newest = Batch.objects.filter(connection=connection_id).order_by("-place")
    newest = newest.only("is_open", "ordered_at", "created_at", "in_progress_at", "finalizing_at", "finished_at")
    ended = [batch for batch in newest[:LATEST] if not batch.is_open and batch.ordered_at > now - SPAN]
    if status == Status.IN_PROGRESS:
        seconds = _between_counts([batch.pk for batch in ended])
    else:
        seconds = [took for batch in ended if (took := _took(batch, status)) is not None]
    seconds.sort()
    if len(seconds) < ENOUGH:
        return None
    return Usual(statistics.median(seconds), seconds[int(0.9 * (len(seconds) - 1))], len(seconds))


def _took(batch: Batch, status: str) -> float | None:
    """Seconds from the begin of that state to the next one's, by the vendor's clock."""
    began, ended = batch.finalizing_at, batch.finished_at
    if status == Status.VALIDATING:
        began, ended = batch.created_at, batch.in_progress_at
    return (ended - began).total_seconds() if began and ended and ended >= began else None


def _between_counts(batches: list[int]) -> list[float]:
    """Seconds from each reading in progress to the next one of the same batch."""
    gaps: list[float] = []
    before: tuple[int, str, datetime] | None = None
    rows = Reading.objects.filter(batch__in=batches).order_by("batch_id", "pk")
    for batch, status, at in rows.values_list("batch_id", "status", "asked_at"):
        if before and before[0] == batch and before[1] == Status.IN_PROGRESS:
            gaps.append((at - before[2]).total_seconds())
        before = (batch, status, at)
    return gaps
