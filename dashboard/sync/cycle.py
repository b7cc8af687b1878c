"""One cycle: what is new and what is open, in as few requests as that takes.

It asks for the newest page; goes on while pages hold batches we have not met; then brings the open ones that those
pages did not show, one by one or by paging further, whichever costs fewer requests. Of a list that begins with the
oldest it asks for what has come at the end.
"""

import logging

from django.db.models import F
from django.utils import timezone

from dashboard.dialects.base import RemotePage, VendorError
from dashboard.models import Batch, Connection
from dashboard.sync.absorb import absorb
from dashboard.sync.paging import PAGE, Pages, Source, Sync, began_again, take
from dashboard.sync.sight import missed

logger = logging.getLogger(__name__)


def cycle(sync: Sync) -> None:
    """What is new and what is open, in as few requests as that takes."""
    connection = sync.connection
    wanted = dict(
        Batch.objects.filter(connection=connection)
        .to_refresh(timezone.now())
        .order_by("-place")
        .values_list("remote_id", "place")
    )
    # Then pages say nothing about open batches: those are asked one by one, however many there are.
    alone = connection.list_is_stale or connection.list_lacks_counts
    if not connection.list_is_oldest_first:
        _read_top(sync, {} if alone else wanted)
    if connection.list_is_oldest_first:  # known, or learned just now
        _read_end(sync)
    asked = [remote_id for remote_id in wanted if alone or remote_id not in sync.seen_ids]
    for remote_id in asked:
        sync.check_stop()
        _ask_one(sync, remote_id)
    for remote_id in sync.suspects:
        if remote_id not in asked:
            sync.check_stop()
            _verify_list(sync, remote_id)
    if sync.failed_alone is not None and not sync.retrieved:
        # One that fails is that batch's matter; when all do it is the vendor's, and nothing here is fresh.
        raise sync.failed_alone


def _read_top(sync: Sync, wanted: dict[str, int]) -> None:
    """The newest pages, as long as they hold something new or enough of the wanted batches, given with their places."""
    pages, cursor = Pages(), None
    ahead = 0  # pages worth reading for the wanted batches that they hold
    while True:
        page, asked_at = sync.ask_page(cursor)
        absorbed = take(sync, [page], asked_at, Source.POLL)
        cursor = pages.following(page)
        if cursor is None or sync.connection.list_is_oldest_first:
            break
        sync.check_stop()
        ahead = max(0, ahead - 1)
        # Newest first: once a page holds nothing new, nothing older is new either. A full walk catches exceptions.
        if not absorbed.new and not ahead:
            unseen = [place for remote_id, place in wanted.items() if remote_id not in sync.seen_ids]
            ahead = _pages_that_pay(sync.connection, page, unseen)
            if not ahead:
                break
    sync.run.error_kind = pages.lied


def _read_end(sync: Sync) -> None:
    """What stands behind the last batch we know, in a list that begins with the oldest."""
    known = Batch.objects.filter(connection=sync.connection, gone_at=None, created_at__isnull=False)
    last = known.only("remote_id", "place").order_by("-place").first()
    pages, cursor = Pages(), last.remote_id if last else None
    while True:
        try:
            page, asked_at = sync.ask_page(cursor)
        except VendorError as error:
            if last is None or cursor != last.remote_id or error.kind not in {"refused", "not_found"}:
                raise
            # Either there is no list at all, which this raises, or that batch is gone at the vendor.
            page, asked_at = sync.ask_page(None)
        take(sync, [page], asked_at, Source.POLL)
        if last and began_again(sync.connection, page, last.place >> 30):
            # Is it gone? After three times it is for us, and the one before it takes its place.
            _ask_one(sync, last.remote_id)
            break
        cursor = pages.following(page)
        if cursor is None:
            break
        sync.check_stop()
    sync.run.error_kind = pages.lied


def _pages_that_pay(connection: Connection, page: RemotePage, unseen: list[int]) -> int:
    """How many pages to read behind this one, so that the open batches at these places cost the fewest requests.

    0 when asking for each of them alone is as cheap. Looks at one row of ours for each page, the last one on it.
    """
    oldest = page.batches[-1].created_at if page.batches else None
    if oldest is None:
        return 0
    end = (oldest + 1) << 30
    places = sorted((place for place in unseen if place < end), reverse=True)
    rows = Batch.objects.filter(connection=connection).order_by("-place").values_list("place", flat=True)
    best = saved = found = depth = 0
    # However dense they stand, no page further on saves more than this.
    while len(places) - (depth + 1) > saved and found < len(places):
        depth += 1
        end = next(iter(rows.filter(place__lt=end)[PAGE - 1 : PAGE]), 0)
        while found < len(places) and places[found] >= end:
            found += 1
        if found - depth > saved:
            best, saved = depth, found - depth
    return best


def _ask_one(sync: Sync, remote_id: str) -> None:
    """Retrieve one batch. A vendor that fails for this one batch alone must not stop the others."""
    sync.hold()
    asked_at = timezone.now()
    sync.run.requests += 1
    try:
        remote = sync.vendor.retrieve(remote_id)
    except VendorError as error:
        if error.kind == "not_found":
            sync.retrieved += 1
            missed(sync.connection, remote_id, asked_at, sync.claim)
        elif error.kind in {"server_error", "not_json", "not_a_batch_api", "wrong_batch", "refused", "too_large"}:
            logger.warning("%s: batch %s could not be read: %s", sync.connection, remote_id[:80], error)
            sync.run.refused += 1
            sync.failed_alone = error
        else:
            raise
        return
    sync.retrieved += 1
    absorbed = absorb(sync.connection, [remote], asked_at=asked_at, source=Source.POLL, claim=sync.claim)
    sync.run.changed += absorbed.changed
    sync.run.seen += 1


def _verify_list(sync: Sync, remote_id: str) -> None:
    """Ask the batch itself, once, after the list has shown it open and unchanged for three cycles."""
    before = _state(sync, remote_id)
    _ask_one(sync, remote_id)
    after = _state(sync, remote_id)
    if before == after:
        return
    lacks_counts = before[0] == after[0] and before[1:] == (None, None, None)
    columns = {"list_lacks_counts" if lacks_counts else "list_is_stale": True}
    logger.info(
        "%s: its list does not show what its batches do; they are asked one by one from now on", sync.connection
    )
    Connection.objects.filter(pk=sync.connection.pk).update(**columns, revision=F("revision") + 1)


def _state(sync: Sync, remote_id: str) -> tuple[object, ...]:
    return (
        Batch.objects.filter(connection=sync.connection, remote_id=remote_id)
        .values_list("status", "requests_total", "requests_completed", "requests_failed")
        .get()
    )
