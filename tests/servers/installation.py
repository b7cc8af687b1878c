"""An installation of ours, as others run it: a data folder, and processes that know nothing of the tests."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from dashboard.supervisor.keeper import Sitter
from tests.servers.installs import REPO
from tests.servers.processes import Process

SECONDS = 120
TABLE = "dashboard_connection"
OURS = ("DASHBOARD_", "DATABASE_", "CELERY_", "CACHE_", "OPENAI_", "DJANGO_")

TALKATIVE = """
from celery.signals import task_prerun, task_revoked

@task_prerun.connect
def ran(task=None, **_):
    print("ran", task.name, flush=True)

@task_revoked.connect
def thrown_away(sender=None, expired=False, **_):
    print("expired" if expired else "revoked", sender.name, flush=True)

from dashboard.celery import app

app.worker_main(["worker", "-P", "threads", "-c", "4"])
"""


class Installation:
    """Our code with its own settings in a throw-away folder. Its rows are read and written past Django."""

    def __init__(self, data: Path, sitter: Sitter, env: Mapping[str, str]) -> None:
        self.data, self.sitter = data, sitter
        # What the tests themselves run under must not leak in.
        foreign = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.env = {
            **foreign,
            "DJANGO_SETTINGS_MODULE": "dashboard.settings",
            "DASHBOARD_DATA_DIR": str(data),
            "PYTHONUNBUFFERED": "1",
            **env,
        }

    def manage(self, *words: str) -> str:
        return self._run([sys.executable, str(REPO / "manage.py"), *words])

    def python(self, code: str) -> str:
        """Runs code with Django set up."""
        return self._run([sys.executable, "-W", "error", "-c", f"import django; django.setup()\n{code}"])

    def _run(self, argv: list[str]) -> str:
        done = subprocess.run(
            argv,
            cwd=REPO,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def connect(self, base_url: str, key: str) -> None:
        """Adds a connection that is due at once."""
        self.python(
            "from dashboard.models import Connection\n"
            f"connection = Connection(name='lab', base_url={base_url!r})\n"
            f"connection.set_key({key!r})\n"
            "connection.save()"
        )

    def worker(self, name: str = "worker") -> Process:
        """A Celery worker, not started yet."""
        return self._process(name, "-m", "celery", "-A", "dashboard", "worker", "-P", "threads", "-c", "4")

    def talkative_worker(self) -> Process:
        """One that says what it runs and what it throws away."""
        return self._process("talkative", "-c", TALKATIVE)

    def beat(self) -> Process:
        schedule = ("--schedule", str(self.data / "beat"))
        return self._process("beat", "-m", "celery", "-A", "dashboard", "beat", *schedule)

    def _process(self, name: str, *words: str) -> Process:
        return Process(
            [sys.executable, *words],
            sitter=self.sitter,
            log=self.data / f"{name}.log",
            env=self.env,
            cwd=REPO,
        )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query gives, or nothing for one that writes."""
        path = self.data / "batches.sqlite3"
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as database:
            return database.execute(query, values).fetchall()

    def value(self, column: str, table: str = TABLE) -> Any:
        """A column of the only row."""
        return self.rows(f"SELECT {column} FROM {table}")[0][0]  # noqa: S608 (names are the tests' own)
