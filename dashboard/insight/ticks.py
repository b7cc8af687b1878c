"""The last syncs of each connection as the few ticks in a page's pulse strip."""

import threading
from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from dashboard.insight.pulse import Pulse
from dashboard.models import SyncRun

SHOWN = 20
# At the slowest usual pace (every 5 minutes) twenty syncs take less than this.
SPAN = timedelta(hours=3)
# Three times the usual one, and long enough that a person would notice.
SLOW_FACTOR, SLOW_SECONDS = 3.0, 2.0

type Key = tuple[object, ...]

_lock = threading.Lock()
_latest: tuple[Key, dict[int, str]] = ((), {})


def ticks(pulse: Pulse) -> dict[int, str]:
    """For each connection a letter a sync, oldest first: o good, s slow, x failed, . not ended.

    Remembered until a connection was synced again, because every page shows it and it changes with a sync alone.
    """
    global _latest
    key: Key = tuple(
        (beat.connection_id, beat.synced_at, beat.next_sync_at, beat.failing_since, beat.revision)
        for beat in pulse.beats
    )
    known, letters = _latest
    if known != key or not key:
        letters = read_ticks([beat.connection_id for beat in pulse.beats])
        with _lock:
            _latest = (key, letters)
    return letters


def read_ticks(connections: list[int]) -> dict[int, str]:
    runs: dict[int, list[tuple[str, str, float]]] = {}
    rows = SyncRun.objects.filter(connection__in=connections, began_at__gt=timezone.now() - SPAN).order_by("began_at")
    for connection, kind, ending, seconds in rows.values_list("connection", "kind", "ending", "seconds"):
        runs.setdefault(connection, []).append((kind, ending, seconds))
    return {connection: letters_of(own[-SHOWN:]) for connection, own in runs.items()}


def letters_of(runs: Iterable[tuple[str, str, float]]) -> str:
    runs = list(runs)
    good = sorted(seconds for kind, ending, seconds in runs if (kind, ending) == ("cycle", "good"))
    usual = good[len(good) // 2] if good else 0.0
    return "".join(letter_of(kind, ending, seconds, usual) for kind, ending, seconds in runs)


def letter_of(kind: str, ending: str, seconds: float, usual: float) -> str:
    if ending == SyncRun.Ending.FAILED:
        return "x"
    if ending == SyncRun.Ending.STOPPED:
        return "."
    # An import is long by nature.
    slow = kind == SyncRun.Kind.CYCLE and seconds > max(SLOW_SECONDS, SLOW_FACTOR * usual)
    return "s" if slow else "o"
