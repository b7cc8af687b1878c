"""The product on PostgreSQL. Its settings are read once, so each of these runs a pytest of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.supervisor.keeper import Sitter
from tests.servers.installs import REPO
from tests.servers.postgresql import postgresql
from tests.servers.pytests import SECONDS, passes

pytestmark = [pytest.mark.server, pytest.mark.timeout(SECONDS + 120)]


@pytest.fixture(scope="module")
def server(sitter: Sitter) -> Iterator[str]:
    with postgresql(sitter) as url:
        yield url


def test_what_holds_on_postgresql_alone(server: str, tmp_path: Path) -> None:
    passes(["tests/servers/promises_on_postgresql.py"], {"DATABASE_URL": f"{server}/alone"}, tmp_path)


@pytest.mark.parametrize(
    "suite",
    [
        "tests/sync",
        "tests/test_tasks.py",
        "tests/test_audit.py",
        "tests/test_limits.py",
        "tests/insight/test_board.py",
        "tests/insight/test_search.py",
        "tests/insight/test_series.py",
    ],
)
def test_the_suite_passes_on_postgresql(server: str, tmp_path: Path, suite: str) -> None:
    assert (REPO / suite).exists()
    name = suite.replace("/", "_").removesuffix(".py")
    passes([suite], {"DATABASE_URL": f"{server}/{name}"}, tmp_path)
