"""What every test may ask for. Fixtures of one room stand in that room's folder."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from dashboard import middleware, sharing
from dashboard.insight import board, pulse, suggestions
from dashboard.sharing import guessing, seen
from dashboard.views import concern_line, error_sums, wall

pytest_plugins = ["tests.cast", "tests.chromium"]

AUDIT = import_module("dashboard.migrations.0003_audit")
LEFT_OUT: dict[str, str] = {}  # the triggers that databases of tests go without, by the kind of database


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another database there is nothing to ask of SQLite: such a test is not one that was skipped."""
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        sqlites = [item for item in items if item.get_closest_marker("sqlite")]
        items[:] = [item for item in items if item not in sqlites]
        config.hook.pytest_deselected(items=sqlites)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """Between tests that commit, Django empties every table, which the audit's triggers are there to refuse. So the
    databases of tests are made without these; test_audit.py puts them back and tries."""
    LEFT_OUT["sqlite"] = AUDIT.SQLITE.pop("audit_delete")
    LEFT_OUT["postgresql"] = AUDIT.POSTGRESQL.pop("audit_truncate")


@pytest.fixture(scope="session", autouse=True)
def static_folder() -> None:
    """WhiteNoise warns about a missing one; tests serve static files by other means."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """What a process keeps for a few seconds outlives the rows of one test; so does the language of its last request,
    which Django leaves to the thread."""
    yield
    translation.activate(settings.LANGUAGE_CODE)
    middleware._known.clear()
    sharing.forget()
    guessing.forget()
    seen.forget()
    pulse._latest = None
    error_sums._sums.clear()
    concern_line._needs.clear()
    suggestions._latest.clear()
    board.forget()
    wall._drawn.clear()
