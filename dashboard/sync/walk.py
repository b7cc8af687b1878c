"""The full walk: once a week every page of the list, a few in a cycle, for what cycles cannot see."""

from datetime import datetime, timedelta

from django.utils import timezone

from dashboard.dialects.base import VendorError
from dashboard.models import Batch, Connection
from dashboard.sync.paging import Pages, Source, Sync, began_again, take

WALK_EVERY = timedelta(days=7)
WALK_PAGES = 5  # in one cycle


def walk(sync: Sync, now: datetime) -> None:
    """A few pages of the full walk that catches what cycles cannot see; now and then, from where it was."""
    connection, cursor = sync.connection, sync.connection.walk_cursor or None
    if cursor is None and connection.walked_at and now - connection.walked_at < WALK_EVERY:
        return
    paging = Pages()
    # Every page must go on where the one before ended, over cycles too: else the list has begun again.
    place = Batch.objects.filter(connection=connection, remote_id=cursor).values_list("place", flat=True).first()
    last = None if place is None else place >> 30
    for _ in range(WALK_PAGES):
        sync.check_stop()
        try:
            page, asked_at = sync.ask_page(cursor)
        except VendorError as error:
            if cursor is None or error.kind not in {"refused", "not_found"}:
                raise
            cursor = None  # the batch that the cursor names is gone at the vendor: another week
        else:
            cursor = None if began_again(connection, page, last) else paging.following(page)
            take(sync, [page], asked_at, Source.POLL)
            last = page.batches[-1].created_at if page.batches else None
        columns: dict[str, object] = {"walk_cursor": cursor or ""}
        if cursor is None:
            columns["walked_at"] = timezone.now()
        Connection.objects.filter(pk=connection.pk, claim_token=sync.claim).update(**columns)
        if cursor is None:
            break
