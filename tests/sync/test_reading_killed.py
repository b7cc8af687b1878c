"""A real worker is killed in the middle of a large file; its successor ends with the same groups and counts."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dashboard.simulator import KEY, World, serve
from dashboard.supervisor.child import hear_of_our_death

ROOT = Path(__file__).resolve().parents[2]
CELERY = ["-m", "celery", "--workdir", str(ROOT), "--app", "dashboard", "--quiet"]
WORKER = [*CELERY, "worker", "--pool", "threads", "--concurrency", "16", "--without-gossip", "--without-mingle"]
pytestmark = pytest.mark.process


def environment(data: Path, url: str) -> dict[str, str]:
    ours = ("DASHBOARD_", "DJANGO_", "DATABASE_URL", "CELERY_", "CACHE_URL", "PYTEST_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {"DASHBOARD_DATA_DIR": str(data), "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url}


def prepare(data: Path, url: str) -> None:
    """A data folder with the connection in it and its batches imported; what that wishes for is still unread."""
    make = (
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "from dashboard.models import Connection\n"
        "from dashboard.sync.pull import pull\n"
        "call_command('migrate', verbosity=0)\n"
        "made = Connection.objects.create(name='sim', base_url=__import__('os').environ['OPENAI_BASE_URL'],"
        " key_env='OPENAI_API_KEY')\n"
        "pull(made.pk)\n"
    )
    env = environment(data, url) | {"DJANGO_SETTINGS_MODULE": "dashboard.settings"}
    subprocess.run([sys.executable, "-c", make], cwd=ROOT, env=env, check=True, timeout=120)


@contextmanager
def worker(data: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """The worker as `up` starts it; its first tick comes by itself, further ones would be beat's."""
    with (data / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *WORKER],
            cwd=ROOT,
            env=environment(data, url),
            stdout=log,
            stderr=log,
            preexec_fn=hear_of_our_death(),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(data: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(data / "batches.sqlite3", timeout=30)) as database, database:
        return database.execute(query).fetchall()


def wait_until(data: Path, query: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not ask(data, query)[0][0]:
        assert time.monotonic() < until, (data / "worker.log").read_text(errors="replace")[-3000:]
        time.sleep(0.05)


def facts(data: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {
        "errors": ask(
            data,
            "SELECT g.signature, e.source, e.requests, e.first_line, e.last_line, json_array_length(e.samples)"
            " FROM dashboard_batcherror e JOIN dashboard_errorgroup g ON g.id = e.group_id ORDER BY 1",
        ),
        "days": ask(data, "SELECT batches, requests FROM dashboard_errorday ORDER BY group_id"),
        "read": ask(
            data,
            'SELECT state, lines, bad_lines, failed, never_ran, "offset" FROM dashboard_fileread'
            " WHERE kind = 'error'",
        ),
        "results": ask(
            data,
            "SELECT count(*), count(DISTINCT line), count(DISTINCT custom_id), sum(length), min(line), max(line)"
            " FROM dashboard_result",
        ),
    }


LARGE = pytest.param(50_000, 3, marks=pytest.mark.timeout(1_200), id="200 MB")


@pytest.mark.parametrize(("lines", "kills"), [(4_000, 2), LARGE])
def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path: Path, lines: int, kills: int) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    world = World(3, open=0, long_errors=lines)
    with serve(world) as url:
        for data in (undisturbed, disturbed):
            data.mkdir(mode=0o700)
            prepare(data, url)
        done = "SELECT count(*) FROM dashboard_fileread WHERE kind = 'error' AND state = 'read'"
        with worker(undisturbed, url):
            wait_until(undisturbed, done, 240)
        # So that there is a middle: it would take eight seconds.
        world.faults.add("trickle", 8 / (4_096 * lines / 16_384))
        for kill in range(1, kills + 1):
            with worker(disturbed, url) as process:
                share = 4_096 * lines * kill // (kills + 2)
                wait_until(disturbed, f'SELECT "offset" > {share} FROM dashboard_fileread', 120)  # noqa: S608
                process.send_signal(signal.SIGKILL)
                process.wait()
            assert ask(disturbed, done) == [(0,)], "it was killed in the middle"
            assert ask(disturbed, "SELECT count(*) FROM dashboard_batcherror") == [(0,)], "nothing shows by halves"
            # Two minutes later the dead one's claim is over, and what it had in hand may be taken.
            ask(disturbed, "UPDATE dashboard_fileread SET claim_until = NULL")
            ask(disturbed, "UPDATE dashboard_connection SET claim_until = NULL")
        world.faults.clear()
        with worker(disturbed, url):
            wait_until(disturbed, done, 240)
    before, after = facts(undisturbed), facts(disturbed)
    assert before["read"] == [("read", lines, 0, lines, 0, 4_096 * lines)]
    assert before["results"][0][:3] == (lines, lines, lines)
    assert after == before
