"""When a link was last used, from where, and how often it was opened.

Gathered in memory and written by a thread of its own at most once a minute: a poll must not wait for a write while a
sync holds the database. A process that is killed loses at most that minute.
"""

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import F
from django.utils import timezone

from dashboard.models import Share

log = logging.getLogger("dashboard.sharing")


# A browser that tells its time zone for the first time loads the page twice.
ONE_VIEW = timedelta(seconds=2)


class Sighting(NamedTuple):
    at: datetime
    address: str
    views: int
    viewed_at: datetime | None = None


_seen: dict[int, Sighting] = {}
_lock = threading.Lock()
_timer: threading.Timer | None = None
_written_at = float("-inf")


def note(share_pk: int, address: str, *, is_view: bool) -> None:
    """Asks no database. Who opens a page is a view, who polls it is not. With SEEN_SECONDS of 0 only `flush` writes."""
    global _timer
    now = timezone.now()
    with _lock:
        before = _seen.get(share_pk) or Sighting(now, address, 0)
        views, viewed_at = before.views, before.viewed_at
        if is_view:
            is_again = viewed_at is not None and now - viewed_at < ONE_VIEW and before.address == address
            views, viewed_at = views + (not is_again), now
        _seen[share_pk] = Sighting(now, address, views, viewed_at)
        if _timer is None and settings.SEEN_SECONDS:
            # What is seen first after a while is written soon, so that who tries a new link finds it in the list.
            wait = max(1.0, _written_at + settings.SEEN_SECONDS - time.monotonic())
            _timer = threading.Timer(wait, _write)
            _timer.daemon = True
            _timer.start()


def _write() -> None:
    try:
        flush()
    finally:
        connection.close()


def flush() -> None:
    """Write what was gathered. What the database does not take now is tried again with what comes after it."""
    global _timer, _written_at
    with _lock:
        gathered = dict(_seen)
        _seen.clear()
        _timer, _written_at = None, time.monotonic()
    for pk, sighting in list(gathered.items()):
        try:
            Share.objects.filter(pk=pk).update(
                last_seen_at=sighting.at, last_address=sighting.address, views=F("views") + sighting.views
            )
        except DatabaseError as error:
            log.warning("When links were last used could not be written: %s", error)
            break
        del gathered[pk]
    with _lock:
        for pk, sighting in gathered.items():
            since = _seen.get(pk)
            views = sighting.views + (since.views if since else 0)
            _seen[pk] = (since or sighting)._replace(views=views)


def forget() -> None:
    """Nothing was seen, and nothing will be written."""
    global _timer, _written_at
    with _lock:
        if _timer is not None:
            _timer.cancel()
        _timer, _written_at = None, float("-inf")
        _seen.clear()
