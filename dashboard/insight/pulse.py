"""How fresh everything is, and the token that tells an open page whether anything moved.

The token is made of the revisions of the visible connections, never of a timestamp or a count. It and what every page
shows of the connections are read at most once a second per process, because every open page asks every few seconds.
People share what was read, so it is cut to what one may see before a page has it: `seen_by`.
"""

import threading
import time
import zlib
from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection as database
from django.db.models import FETCH_RAISE
from django.utils import timezone

from dashboard.models import Connection, Part
from dashboard.models.connection import Visible

Health = Connection.Health
# The tick comes every 5 s and writes the worker's row at most this often; three times that is a dead worker.
WORKER_SEEN_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Beat:
    """One connection's freshness, judged at this moment rather than when the tick last looked."""

    connection_id: int
    name: str
    revision: int
    health: str
    synced_at: datetime | None
    stale_after: int  # seconds without a good sync
    lost_after: int
    next_sync_at: datetime | None
    failing_since: datetime | None
    error_kind: str
    import_count: int
    paused_by: str


@dataclass(frozen=True, slots=True)
class Pulse:
    """Every connection's beat and every part's state, as of one read."""

    read_at: float
    beats: tuple[Beat, ...]
    parts: tuple[Part, ...]
    # Also of removed connections, whose history is kept: what each is called, and its batches by outcome.
    names: dict[int, str] = field(default_factory=dict)
    counts: dict[tuple[int, str], int] = field(default_factory=dict)
    # Those whose history is being deleted: no list shows or counts their batches.
    dropped: frozenset[int] = frozenset()

    def seen_by(self, visible: Visible) -> "Pulse":
        """Of these connections alone."""
        if visible is None:
            return self
        return Pulse(
            self.read_at,
            tuple(beat for beat in self.beats if beat.connection_id in visible),
            self.parts,
            {pk: name for pk, name in self.names.items() if pk in visible},
            {(pk, outcome): batches for (pk, outcome), batches in self.counts.items() if pk in visible},
            self.dropped & visible,
        )

    def count(self, outcomes: Iterable[str] | None = None, connection: int | None = None) -> int:
        """How many batches there are of these outcomes and of this connection; of all when not given."""
        wanted = None if outcomes is None else set(outcomes)
        return sum(
            batches
            for (pk, outcome), batches in self.counts.items()
            if (wanted is None or outcome in wanted) and connection in (None, pk)
        )

    @property
    def token(self) -> str:
        """`<connection>.<revision>` for each, and a checksum of what the parts are doing."""
        # Also what time alone changes, in case the tick that writes it is dead.
        parts = ",".join(f"{part.name}{part.state}{part.restarts}{is_silent(part)}" for part in self.parts)
        parts += ",".join(beat.health for beat in self.beats)
        parts += ",".join(map(str, sorted(self.dropped)))
        revisions = [f"{beat.connection_id}.{beat.revision}" for beat in self.beats]
        return "-".join([*revisions, f"p{zlib.crc32(parts.encode()):x}"])

    @property
    def clocks(self) -> str:
        """Last good sync of each, for the header that feeds the browser's clocks: `3=1795330000,4=` (unix seconds)."""
        return ",".join(
            f"{beat.connection_id}={int(beat.synced_at.timestamp()) if beat.synced_at else ''}" for beat in self.beats
        )

    def beat(self, connection_id: int) -> Beat | None:
        return next((beat for beat in self.beats if beat.connection_id == connection_id), None)


def is_silent(part: Part) -> bool:
    """Whether the worker has left no sign of life for too long, whatever the supervisor says of its process."""
    return part.name == "worker" and part.seen_at is not None and timezone.now() - part.seen_at > 3 * WORKER_SEEN_EVERY


def revisions_in(token: str) -> dict[int, int]:
    """What a page has seen, by connection. A token that nobody made is an empty dict: then everything is new."""
    seen: dict[int, int] = {}
    for part in token.split("-"):
        connection_id, dot, revision = part.partition(".")
        if dot and connection_id.isdecimal() and revision.isdecimal():
            seen[int(connection_id)] = int(revision)
    return seen


def stale_after(cadence: int) -> int:
    """Seconds without a good sync until the data is called stale: three intervals, at least three minutes."""
    return max(3 * cadence, 180)


def lost_after(cadence: int) -> int:
    """Seconds until a connection is called not answering: ten intervals, at least ten minutes."""
    return max(10 * cadence, 600)


def health_of(connection: Connection, now: datetime) -> str:
    """The health of a connection at a moment, by the clock and its own record."""
    if connection.paused_at:
        return Health.PAUSED
    since = connection.synced_at or connection.failing_since
    age = (now - since).total_seconds() if since else 0.0
    if age > lost_after(connection.cadence):
        return Health.LOST
    if age > stale_after(connection.cadence):
        return Health.STALE
    if not connection.imported_at:
        return Health.IMPORTING if connection.tried_at else Health.NEW
    return Health.IN_STEP


# By hand: the ORM takes longer to write these than the database to answer, every second of every process. The counts,
# each as `succeeded 120`, come in the same query: what a page shows of a revision was counted at that revision.
CONNECTIONS = """
SELECT id, name, revision, cadence, tried_at, synced_at, next_sync_at, failing_since, error_kind, import_count,
    imported_at, paused_at, paused_by, retired_at, dropped_at,
    (SELECT {join} FROM dashboard_counter counter WHERE counter.connection_id = dashboard_connection.id) AS counts
FROM dashboard_connection ORDER BY name
"""
JOINS = {
    "sqlite": "group_concat(outcome || ' ' || batches)",
    "postgresql": "string_agg(outcome || ' ' || batches, ',')",
}
PARTS = "SELECT * FROM dashboard_part ORDER BY name"


def read_pulse() -> Pulse:
    """Read it now, from the database."""
    now = timezone.now()
    read = Connection.objects.all().fetch_mode(FETCH_RAISE).raw(CONNECTIONS.format(join=JOINS[database.vendor]))
    connections = list(read)
    dropped = frozenset(connection.pk for connection in connections if connection.dropped_at)
    beats = tuple(
        Beat(
            connection_id=connection.pk,
            name=connection.name,
            revision=connection.revision,
            health=health_of(connection, now),
            synced_at=connection.synced_at,
            stale_after=stale_after(connection.cadence),
            lost_after=lost_after(connection.cadence),
            next_sync_at=connection.next_sync_at,
            failing_since=connection.failing_since,
            error_kind=connection.error_kind,
            import_count=connection.import_count,
            paused_by=connection.paused_by,
        )
        for connection in connections
        if not connection.retired_at
    )
    names = {connection.pk: connection.name for connection in connections if connection.pk not in dropped}
    tally: Tally[tuple[int, str]] = Tally()
    for connection in connections:
        if connection.pk in dropped:
            continue
        for said in filter(None, (getattr(connection, "counts", None) or "").split(",")):
            outcome, _space, batches = said.rpartition(" ")
            tally[connection.pk, outcome] += int(batches)
    return Pulse(time.monotonic(), beats, tuple(Part.objects.raw(PARTS)), names, dict(tally), dropped)


_lock = threading.Lock()
_latest: Pulse | None = None


def pulse() -> Pulse:
    """The latest pulse, at most PULSE_SECONDS old in this process."""
    global _latest
    latest = _latest
    if latest is None or time.monotonic() - latest.read_at >= settings.PULSE_SECONDS:
        with _lock:
            if _latest is latest:
                _latest = read_pulse()
            latest = _latest
    assert latest is not None  # noqa: S101 (for the type checker: set just above)
    return latest
