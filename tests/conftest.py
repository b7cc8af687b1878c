"""What every test may ask for. Fixtures of one room stand in that room's folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from dashboard import middleware, sharing
from dashboard.insight import board, pulse
from dashboard.views import error_sums, wall

pytest_plugins = ["tests.cast", "tests.chromium"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another database there is nothing to ask of SQLite: such a test is not one that was skipped."""
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        sqlites = [item for item in items if item.get_closest_marker("sqlite")]
        items[:] = [item for item in items if item not in sqlites]
        config.hook.pytest_deselected(items=sqlites)


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
    pulse._latest = None
    error_sums._sums.clear()
    board.forget()
    wall._drawn.clear()
