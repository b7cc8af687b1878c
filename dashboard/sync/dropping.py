"""Dropping what is kept of a removed connection: a wish in the database, carried out block by block by the worker.

The wish is `dropped_at`; the tick sends it until nothing is left, so a killed worker loses nothing.
"""

import time
from collections.abc import Callable

from django.db.models import Q
from django.utils import timezone

from dashboard.models import Batch, Connection, ErrorDay, FileRead
from dashboard.sync.absorb import CLAIM_LIFE
from dashboard.sync.files import ROWS_AT_ONCE, drop_results

BLOCK = 1000  # batches in one transaction, under a second: more would keep every sync waiting
PAUSE = 0.05  # seconds between them, in which others write


def drop(connection_id: int, *, stop: Callable[[], bool] = lambda: False) -> None:
    """Delete its batches with all that was seen of them, and then the connection itself."""
    while not stop():
        now = timezone.now()
        # The claim that syncs hold too, so that two workers do not do the same; renewed with every block.
        mine = Connection.objects.exclude(dropped_at=None).filter(pk=connection_id)
        if not mine.update(claim_until=now + CLAIM_LIFE):
            return
        pks = list(Batch.objects.filter(connection=connection_id).values_list("pk", flat=True)[:BLOCK])
        if not (_drop_results(pks) if pks else _drop_days(connection_id)):
            # Django does this in one transaction, with all that hangs on a batch.
            Batch.objects.filter(pk__in=pks).delete()
            if not pks:
                _end(Connection.objects.get(pk=connection_id))
                return
        time.sleep(PAUSE)
    Connection.objects.filter(pk=connection_id).update(claim_until=None)


def _drop_results(batches: list[int]) -> int:
    """One block of what was read of these batches' files, which may be fifty thousand rows each; how many that were."""
    reads = FileRead.objects.filter(batch__in=batches).values_list("pk", flat=True)
    return drop_results(Q(read__in=list(reads)), ROWS_AT_ONCE)


def _drop_days(connection_id: int) -> int:
    """One block of its daily roll-up; how many rows that were."""
    days = ErrorDay.objects.filter(connection=connection_id).values_list("pk", flat=True)[:ROWS_AT_ONCE]
    return ErrorDay.objects.filter(pk__in=list(days)).delete()[0]


def take(connection_id: int) -> bool:
    """Whether it was ours to begin with."""
    now = timezone.now()
    return bool(Connection.objects.to_drop(now).filter(pk=connection_id).update(claim_until=now + CLAIM_LIFE))


def _end(connection: Connection) -> None:
    if not connection.key_env:
        connection.delete()
        return
    # An empty row says that somebody removed it: else the next start would make it again.
    for rows in (connection.runs, connection.refusals, connection.files, connection.concerns):
        rows.all().delete()
    Connection.objects.filter(pk=connection.pk).update(dropped_at=None, claim_until=None)
