"""Which share a token opens, remembered for a moment.

A wrong, an expired and a revoked token are the same here: no share.
"""

import threading
import time
from typing import NamedTuple

from django.conf import settings

from dashboard.access import Roles
from dashboard.models import Share
from dashboard.models.connection import Visible

MOST_REMEMBERED = 10_000


class Opened(NamedTuple):
    """A share that works, and the connections of which it may show anything, as of at most SHARE_SECONDS ago."""

    share: Share
    visible: Visible


class _Known(NamedTuple):
    opened: Opened | None
    until: float


_known: dict[str, _Known] = {}
_lock = threading.Lock()


def opened_by(token: str) -> Opened | None:
    """What this token opens now, None for nothing. Asks the database at most once in SHARE_SECONDS per process."""
    token_hash, now = Share.hash(token), time.monotonic()
    known = _known.get(token_hash)
    if known is None or known.until <= now:
        known = _Known(_read(token_hash), now + settings.SHARE_SECONDS)
        with _lock:
            if len(_known) >= MOST_REMEMBERED:
                for key in [key for key, known in _known.items() if known.until <= now] or list(_known):
                    del _known[key]
            _known[token_hash] = known
    return known.opened


def _read(token_hash: str) -> Opened | None:
    share = Share.objects.working().filter(token_hash=token_hash).first()
    if share is None:
        return None
    # With rights and limits in one query, as of who signs in.
    share.made_by = Roles().get_user(share.made_by_id)
    if (visible := share.shows) == frozenset():
        return None
    return Opened(share, visible)


def forget() -> None:
    """Read again what was remembered: after a share was changed here, which other processes see within a second."""
    with _lock:
        _known.clear()
