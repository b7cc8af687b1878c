"""What has to be true before anything starts: database, static files, broker file, and the connections from outside."""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from dashboard.audit import record
from dashboard.models import Connection
from dashboard.models.connection import reading_again
from dashboard.sync.probe import check_address

SQLITE_BROKER = "sqla+sqlite:///"
ENV_KEY = "OPENAI_API_KEY"
US = "up"  # in the log, and as the one who paused something
DEMO = "Demo"
SIMULATOR = "simulator"  # as the vendor of a connection: nobody's own connection has it
# Seconds between the syncs of the demo's connection, so that its board moves before one's eyes.
DEMO_INTERVAL = 5


@dataclass(frozen=True)
class Demo:
    """Where the simulator listens, and when its world began: the same for every later start, so that history fits."""

    port: int
    start: int


def migrate() -> int:
    """Brings the database up to date; how many migrations that took."""
    executor = MigrationExecutor(database)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    # With none waiting too: the roles are put right after every migrate.
    call_command("migrate", interactive=False, verbosity=0)
    return waiting


def collect_static() -> bool:
    """Gathers the static files when code or assets have changed since the last time; True when it did."""
    mark = Path(settings.STATIC_ROOT) / ".build"
    if mark.exists() and mark.read_text() == settings.BUILD:
        return False
    # Nothing is cleared: pages that are open since before the change still load their own files.
    call_command("collectstatic", interactive=False, verbosity=0)
    mark.write_text(settings.BUILD)
    return True


def make_broker_file() -> None:
    """The embedded broker's folder, and its file in WAL mode, in which readers do not wait for writers."""
    if not settings.CELERY_BROKER_URL.startswith(SQLITE_BROKER):
        return
    path = Path(settings.CELERY_BROKER_URL.removeprefix(SQLITE_BROKER).partition("?")[0])
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=5)) as broker:
        broker.execute("PRAGMA journal_mode=WAL")


def connect_environment() -> Connection | None:
    """The connection of OPENAI_API_KEY and OPENAI_BASE_URL, which keep their say over its address."""
    if not settings.OPENAI_API_KEY:
        return None
    try:
        base_url = check_address(settings.OPENAI_BASE_URL)
    except ValueError as error:
        raise CommandError(
            f"OPENAI_BASE_URL cannot be used: {error} Nothing was started and nothing stored was changed."
        ) from None
    known = Connection.objects.filter(key_env=ENV_KEY)
    connection = known.filter(retired_at=None).first()
    if connection is None:
        if known.exists():
            return None  # somebody removed it: it stays away until it is brought back
        host = urlsplit(base_url).hostname or "environment"
        connection = Connection(name=_free_name("OpenAI" if host == "api.openai.com" else host), key_env=ENV_KEY)
    if connection.base_url != base_url:
        # The second key was for the server of before.
        connection.set_act_key("")
        _point(connection, base_url)
    return connection


def connect_demo(port: int) -> Demo:
    """The connection to our own simulator, now listening on `port`."""
    # Here, because only a demo needs it in memory.
    from dashboard.simulator import KEY

    connection = Connection.objects.filter(vendor=SIMULATOR, dropped_at=None).first()
    if connection is None:
        connection = Connection(name=_free_name(DEMO), vendor=SIMULATOR, interval=DEMO_INTERVAL)
    if connection.retired_at:
        # What was running is out of sight since it was removed; what of it is still there is seen again.
        connection.retired_at = None
        _read_again(connection)
    if connection.paused_by == US:
        connection.paused_at, connection.paused_by = None, ""
    connection.set_key(KEY)
    _point(connection, f"http://127.0.0.1:{port}/v1")
    return Demo(port, int(connection.made_at.timestamp()))


def last_demo_port() -> int:
    """Where the simulator listened the last time, so that a restart changes nothing; 0 when there was none."""
    base_url = Connection.objects.filter(vendor=SIMULATOR).values_list("base_url", flat=True).first()
    return (urlsplit(base_url).port or 0) if base_url else 0


def rest_demo() -> None:
    """Without `--demo` nobody answers for the demo's connection: it rests instead of being shown as lost."""
    running = Connection.objects.filter(vendor=SIMULATOR, paused_at=None)
    running.update(paused_at=timezone.now(), paused_by=US)


def _point(connection: Connection, base_url: str) -> None:
    """At another address, where everything about health starts anew."""
    verb = "connection.edit" if connection.pk else "connection.add"
    if connection.base_url != base_url:
        changes = {"base_url": [connection.base_url, base_url]}
        record(US, verb, connection, detail=f"base_url {base_url}", changes=changes)
        if connection.pk and connection.vendor != SIMULATOR:
            _read_again(connection)
    connection.base_url = base_url
    connection.failures, connection.failing_since = 0, None
    connection.error_kind = connection.error_words = ""
    connection.next_sync_at = None
    connection.save()


def _read_again(connection: Connection) -> None:
    for name, value in reading_again().items():
        setattr(connection, name, value)


def _free_name(name: str) -> str:
    return name if not Connection.objects.filter(name=name).exists() else f"{name} {time.strftime('%Y-%m-%d %H:%M')}"
