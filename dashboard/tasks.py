"""What the clock and the queue call. Each task: load, call, done.

What must happen is a row in the database, so a lost message only waits for the next tick.
"""

import logging
import sqlite3
import threading
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from dashboard.insight.pulse import WORKER_SEEN_EVERY, health_of
from dashboard.models import Batch, Connection, Part, SyncRun
from dashboard.models.connection import raise_revision
from dashboard.sync import acts, concerns, dropping, files, reading
from dashboard.sync.pull import pull

logger = logging.getLogger(__name__)

# A message that waited this long is worth nothing: the next tick sends it anew.
MESSAGE_LIFE = 60
RUNS_KEPT = timedelta(days=14)
SWEEP_EVERY = timedelta(minutes=5)
READ_ON = 30.0  # seconds: so long one message goes on with the next file of its connection

_stopping = threading.Event()


@worker_shutting_down.connect
def stop_at_next_page(**_: Any) -> None:
    """A running sync ends at its next page, its place saved."""
    _stopping.set()


@worker_ready.connect
def begin_at_once(**_: Any) -> None:
    """The first tick does not wait for the clock."""
    tick.apply_async(expires=MESSAGE_LIFE)


@shared_task(ignore_result=True)
def tick() -> None:
    """Every five seconds: note that we live, send what is due, write what time alone changes."""
    now = timezone.now()
    swept = _note_worker(now)
    # First: whatever breaks below, connections go on being synced.
    for pk in Connection.objects.due(now).values_list("pk", flat=True):
        sync_connection.apply_async((pk,), expires=MESSAGE_LIFE)
    for pk in Connection.objects.to_drop(now).values_list("pk", flat=True):
        drop_history.apply_async((pk,), expires=MESSAGE_LIFE)
    for pk in acts.unsettled():
        settle_act.apply_async((pk,), expires=MESSAGE_LIFE)
    for pk in files.due_reads(now):
        read_file.apply_async((pk,), expires=MESSAGE_LIFE)
    mark_overdue(now)
    judge_health(now)
    concerns.judge_connections(now)
    concerns.judge_due(now)
    if swept:
        sweep()


# Slow vendors never take every thread: the tick needs one, and says by it that we live.
READERS = 3
_threads = threading.BoundedSemaphore(settings.CELERY_WORKER_CONCURRENCY - 3 - READERS)
# Nor do large files keep lists from being synced.
_readers = threading.BoundedSemaphore(READERS)


@shared_task(ignore_result=True)
def sync_connection(connection_id: int) -> None:
    """Sync one connection, if it is still due and nobody else is at it. With every thread taken, the next tick asks."""
    # A worker that is asked to end begins nothing anew.
    if not _stopping.is_set() and _threads.acquire(blocking=False):
        try:
            pull(connection_id, stop=_stopping.is_set)
        finally:
            _threads.release()


@shared_task(ignore_result=True)
def drop_history(connection_id: int) -> None:
    """Delete what is kept of a removed connection, if nobody else is at it."""
    if not _stopping.is_set() and _threads.acquire(blocking=False):
        try:
            if dropping.take(connection_id):
                dropping.drop(connection_id, stop=_stopping.is_set)
        finally:
            _threads.release()


@shared_task(ignore_result=True)
def settle_act(act_id: int) -> None:
    """Find out how an act ended that got no answer."""
    if _threads.acquire(blocking=False):
        try:
            acts.settle(act_id)
        finally:
            _threads.release()


@shared_task(ignore_result=True)
def read_file(read_id: int) -> None:
    """Read a file, if it is still wanted and nobody else is at it, and then what its connection has due next."""
    if _readers.acquire(blocking=False):
        try:
            until = time.monotonic() + READ_ON
            while not _stopping.is_set():
                read = reading.read_file(read_id, stop=_stopping.is_set)
                following = files.due_reads(timezone.now(), read.batch.connection_id) if read else []
                if not following or time.monotonic() > until:
                    break
                read_id = following[0]
        finally:
            _readers.release()


def _note_worker(now: Any) -> bool:
    """Write the worker's row, now and then; True when a sweep is due as well."""
    part, _made = Part.objects.get_or_create(
        name="worker", defaults={"state": Part.State.RUNNING, "since_at": now, "seen_at": None}
    )
    if part.seen_at and now - part.seen_at < WORKER_SEEN_EVERY:
        return False
    Part.objects.filter(name="worker").update(seen_at=now)
    # True in the first tick of each stretch of SWEEP_EVERY.
    stretch = SWEEP_EVERY.total_seconds()
    return part.seen_at is None or now.timestamp() // stretch != part.seen_at.timestamp() // stretch


def mark_overdue(now: Any) -> None:
    """Open batches past their deadline. Overdue is not expired: only the vendor says expired."""
    late = Batch.objects.open().filter(expires_at__lt=now, is_overdue=False)
    by_connection: dict[int, list[int]] = {}
    for pk, connection_id in late.values_list("pk", "connection_id")[:1000]:
        by_connection.setdefault(connection_id, []).append(pk)
    for connection_id, pks in by_connection.items():
        # Together: a page that saw the revision without the rows would never be told of them.
        with transaction.atomic():
            revision = raise_revision(connection_id)
            Batch.objects.filter(pk__in=pks).update(is_overdue=True, revision=revision)


def judge_health(now: Any) -> None:
    """Write each connection's health where it changed, so that open pages move."""
    for connection in Connection.objects.kept():
        health = health_of(connection, now)
        if health != connection.health:
            Connection.objects.filter(pk=connection.pk).update(health=health, revision=F("revision") + 1)
            if health == Connection.Health.IN_STEP:
                concerns.back_in_step(connection, now)


def sweep() -> None:
    """Throw away what nobody will read: old runs, ended sessions, and messages that kombu keeps after use."""
    from django.contrib.sessions.models import Session

    now = timezone.now()
    SyncRun.objects.filter(began_at__lt=now - RUNS_KEPT).delete()
    Session.objects.filter(expire_date__lt=now).delete()
    files.sweep_results(now, timedelta(days=settings.RESULT_DAYS))
    prefix = "sqla+sqlite:///"
    if settings.CELERY_BROKER_URL.startswith(prefix):
        with closing(sqlite3.connect(settings.CELERY_BROKER_URL.removeprefix(prefix), timeout=5)) as broker, broker:
            broker.execute("DELETE FROM kombu_message WHERE visible = 0")
