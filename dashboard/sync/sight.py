"""Batches that nobody can see any more: the vendor answers 404 for them, or their connection was removed.

Their rows stay. What became of an open one nobody can say, so it counts neither as running nor as ended. When it is
seen again, absorb.py works its outcome out afresh.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Case, Count, F, Value, When

from dashboard.models import Batch, Connection
from dashboard.models.batch import BatchQuerySet, Outcome, recount
from dashboard.models.connection import raise_revision
from dashboard.sync.absorb import ClaimLost

MISSES_UNTIL_GONE = 3


def missed(connection: Connection, remote_id: str, asked_at: datetime, claim: str) -> None:
    """Note a 404. One is not "gone", for vendors flap; three in a row are. Raises ClaimLost."""
    with transaction.atomic():
        # The connection first, as absorb does: two orders would be a deadlock.
        if Connection.objects.select_for_update().filter(pk=connection.pk, claim_token=claim).first() is None:
            raise ClaimLost
        asked = Batch.objects.filter(connection=connection, remote_id=remote_id)
        asked.filter(misses__lt=MISSES_UNTIL_GONE).update(misses=F("misses") + 1)
        lose(connection.pk, asked.filter(misses=MISSES_UNTIL_GONE), asked_at)


def lose(connection_id: int, batches: BatchQuerySet, at: datetime) -> None:
    """Say of some batches of a connection that they are out of sight since then.

    To be called in a transaction that holds the connection's row.
    """
    lost = batches.filter(gone_at=None)
    if not lost.exists():
        return
    for status, outcome, number in lost.filter(is_open=True).values_list("status", "outcome").annotate(Count("pk")):
        recount(connection_id, status, outcome, Outcome.UNSEEN, number)
    outcome = Case(When(is_open=True, then=Value(Outcome.UNSEEN)), default=F("outcome"))
    lost.update(gone_at=at, outcome=outcome, judge_at=at, revision=raise_revision(connection_id))
