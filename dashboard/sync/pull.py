"""Sync one connection: claim it, let the import or a cycle ask what it must, and leave an account of how that ended.

Who asks what: importing.py the first time, cycle.py ever after, walk.py a few pages more when a week has passed. All
of them ask and write through paging.py. The network is never asked inside a transaction; absorb.py has one a page.
"""

import logging
import random
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Count, F, Sum
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from dashboard.dialects.base import VendorError
from dashboard.models import Batch, Connection, SyncRun
from dashboard.models.batch import FOR_EVER
from dashboard.models.flow import note_look
from dashboard.sync.absorb import CLAIM_LIFE, ClaimLost
from dashboard.sync.cycle import cycle
from dashboard.sync.importing import first_import
from dashboard.sync.paging import Stopped, Sync
from dashboard.sync.vendor import KeyUnavailable, open_vendor
from dashboard.sync.walk import walk

logger = logging.getLogger(__name__)

OPEN_CADENCE = 45  # seconds between cycles while something is open
IDLE_CADENCE = 300
HURRY_CADENCE = 10  # for a few minutes after somebody acted
LONGEST_BACKOFF = 900


def claim(connection_id: int, now: datetime | None = None, *, only_due: bool = True) -> str:
    """Take the connection for two minutes, renewed with every page; the token, or "" when somebody else has it."""
    now = now or timezone.now()
    token = secrets.token_hex(16)
    free = Connection.objects.filter(pk=connection_id)
    free = free.due(now) if only_due else free.kept().exclude(claim_until__gt=now)
    return token if free.update(claim_token=token, claim_until=now + CLAIM_LIFE, tried_at=now) else ""


def pull(
    connection_id: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda _count: None,
    only_due: bool = True,
) -> SyncRun | None:
    """Sync one connection now: the import if it never finished, else a cycle. None when it was not ours to sync.

    Never raises for what a vendor does: that is written on the connection and in the SyncRun.
    """
    token = claim(connection_id, only_due=only_due)
    if not token:
        return None
    connection = Connection.objects.get(pk=connection_id)
    began_at = timezone.now()
    kind = SyncRun.Kind.CYCLE if connection.imported_at else SyncRun.Kind.IMPORT
    run = SyncRun(connection=connection, kind=kind, began_at=began_at, ending=SyncRun.Ending.GOOD)
    retry_after: float | None = None
    try:
        with open_vendor(connection) as vendor:
            sync = Sync(connection, vendor, token, stop, progress, run)
            if connection.imported_at:
                cycle(sync)
                walk(sync, began_at)
            else:
                first_import(sync)
    except Stopped:
        run.ending = SyncRun.Ending.STOPPED
    except ClaimLost:
        logger.warning("%s: another worker has taken over; this one stops", connection)
        return None
    except KeyUnavailable as error:
        run.ending, run.error_kind = SyncRun.Ending.FAILED, error.kind
    except VendorError as error:
        run.ending, run.error_kind, run.error_words = SyncRun.Ending.FAILED, error.kind, error.words
        retry_after = error.retry_after
    except Exception:
        # A defect of ours must not leave the connection claimed or the page silent.
        logger.exception("%s: sync broke", connection)
        run.ending, run.error_kind = SyncRun.Ending.FAILED, "defect"
    run.seconds = (timezone.now() - began_at).total_seconds()
    _finish(connection, token, run, retry_after)
    return run


def _finish(connection: Connection, token: str, run: SyncRun, retry_after: float | None) -> None:
    """Give the claim back, say when to come again, and leave the account."""
    now = timezone.now()
    fresh = Connection.objects.filter(pk=connection.pk).first()
    if fresh is None:
        return  # dropped in the meantime, with its history
    connection = fresh
    columns: dict[str, object] = {"claim_token": "", "claim_until": None}
    if run.ending == SyncRun.Ending.STOPPED:
        columns["next_sync_at"] = now
    elif run.ending == SyncRun.Ending.GOOD:
        cadence = cadence_of(connection, now)
        imported = run.kind == SyncRun.Kind.IMPORT
        columns |= {
            # An import may take an hour: what it read first is read again at once.
            "synced_at": now if imported else run.began_at,
            "cadence": cadence,
            "next_sync_at": now if imported else now + timedelta(seconds=cadence * random.uniform(0.8, 1.2)),  # noqa: S311
            "failures": 0,
            "failing_since": None,
            "error_kind": "",
            "error_words": "",
        }
    else:
        failures = connection.failures + 1
        wait = min(LONGEST_BACKOFF, 15.0 * 2 ** min(failures, 10)) * random.uniform(0.8, 1.0)  # noqa: S311 (jitter)
        columns |= {
            "next_sync_at": now + timedelta(seconds=retry_after or wait),
            "failures": failures,
            "failing_since": connection.failing_since or now,
            "error_kind": run.error_kind,
            "error_words": run.error_words,
        }
    shown = ("error_kind", "cadence")  # what open pages say or reckon with
    if connection.synced_at is None or any(
        getattr(connection, name) != columns.get(name, getattr(connection, name)) for name in shown
    ):
        columns["revision"] = F("revision") + 1
    Connection.objects.filter(pk=connection.pk, claim_token=token).update(**columns)
    if run.ending == SyncRun.Ending.GOOD:
        _note_look(connection, now)
    run.save()


def _note_look(connection: Connection, now: datetime) -> None:
    """What is under way, for the charts: written also when nothing is, or a quiet hour would look like an absence."""
    left = F("requests_total") - Coalesce("requests_completed", 0) - Coalesce("requests_failed", 0)
    under_way = Batch.objects.open().filter(connection=connection, refresh_until=FOR_EVER)
    sums = under_way.aggregate(batches=Count("pk"), requests=Sum(Greatest(left, 0)))
    note_look(connection.pk, int(now.timestamp()), sums["batches"], sums["requests"] or 0)


def cadence_of(connection: Connection, now: datetime) -> int:
    """Seconds until the next cycle: by what is open, and sooner for a few minutes after somebody acted."""
    chosen = connection.interval or OPEN_CADENCE
    if connection.hurry_until and connection.hurry_until > now:
        return min(chosen, HURRY_CADENCE)
    if Batch.objects.filter(connection=connection).to_refresh(now).exists():
        return chosen
    return max(chosen, IDLE_CADENCE) if connection.interval is None else chosen
