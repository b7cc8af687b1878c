"""Dropping what is kept of a removed connection: a wish in the database, carried out block by block by the worker.

The wish is `dropped_at`; the tick sends it until nothing is left, so a killed worker loses nothing.
"""

import time
from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from dashboard.models import Batch, Connection
from dashboard.sync.absorb import CLAIM_LIFE

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
        with transaction.atomic():
            pks = list(Batch.objects.filter(connection=connection_id).values_list("pk", flat=True)[:BLOCK])
            Batch.objects.filter(pk__in=pks).delete()
        if not pks:
            _end(Connection.objects.get(pk=connection_id))
            return
        time.sleep(PAUSE)
    Connection.objects.filter(pk=connection_id).update(claim_until=None)


def take(connection_id: int) -> bool:
    """Whether it was ours to begin with."""
    now = timezone.now()
    return bool(Connection.objects.to_drop(now).filter(pk=connection_id).update(claim_until=now + CLAIM_LIFE))


def _end(connection: Connection) -> None:
    if not connection.key_env:
        connection.delete()
        return
    # An empty row says that somebody removed it: else the next start would make it again.
    connection.runs.all().delete()
    connection.refusals.all().delete()
    Connection.objects.filter(pk=connection.pk).update(dropped_at=None, claim_until=None)
