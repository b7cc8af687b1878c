"""Real workers and a real beat, on Redis and on the broker that comes with the product."""

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from dashboard.simulator import KEY, World, serve
from dashboard.supervisor.keeper import Sitter
from tests.servers.installation import Installation
from tests.servers.processes import wait_until
from tests.servers.redis import redis

pytestmark = pytest.mark.server

PAGES = 30
QUEUE = "dashboard"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory, sitter: Sitter) -> Iterator[str]:
    with redis(tmp_path_factory.mktemp("redis"), sitter) as url:
        yield url


@pytest.fixture
def on_redis(redis_url: str, tmp_path: Path, sitter: Sitter) -> Installation:
    with Redis.from_url(redis_url) as client:
        client.flushall()
    installation = Installation(tmp_path, sitter, {"CELERY_BROKER_URL": redis_url})
    installation.manage("migrate", "--verbosity", "0")
    return installation


@pytest.fixture
def on_files(tmp_path: Path, sitter: Sitter) -> Installation:
    installation = Installation(tmp_path, sitter, {})
    installation.manage("migrate", "--verbosity", "0")
    return installation


@pytest.fixture(params=["on_redis", "on_files"])
def installation(request: pytest.FixtureRequest) -> Installation:
    """On each broker in turn."""
    installation: Installation = request.getfixturevalue(request.param)
    return installation


@pytest.fixture
def world() -> World:
    return World(PAGES * 100, open=0)


@pytest.fixture
def base_url(world: World) -> Iterator[str]:
    with serve(world) as url:
        yield url


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    """Where a test puts the end of what it starts."""
    with ExitStack() as ending:
        yield ending


def lists(world: World) -> list[str]:
    return [call.path for call in world.requests if call.method == "GET" and call.path.startswith("/v1/batches?")]


def test_a_due_connection_is_synced_by_the_tick(
    installation: Installation, world: World, base_url: str, ending: ExitStack
) -> None:
    installation.connect(base_url, KEY)
    for process in (installation.worker(), installation.beat()):
        process.launch()
        ending.callback(process.stop)
    wait_until(lambda: installation.value("synced_at"))

    assert installation.value("import_count") == PAGES * 100
    assert installation.rows("SELECT kind, ending FROM dashboard_syncrun") == [("import", "good")]
    assert len(lists(world)) == PAGES, "one worker, once"
    seen_at = installation.rows("SELECT seen_at FROM dashboard_part WHERE name = 'worker'")
    assert seen_at, "the tick notes that the worker lives"


def test_a_worker_that_is_killed_in_mid_sync_is_recovered_by_the_next(
    installation: Installation, world: World, base_url: str, ending: ExitStack
) -> None:
    world.faults.parse("slow@list=0.2")
    installation.connect(base_url, KEY)
    beat, worker = installation.beat(), installation.worker()
    for process in (beat, worker):
        process.launch()
        ending.callback(process.stop)
    wait_until(lambda: installation.value("import_count") >= 500)
    worker.kill()
    place = installation.value("import_cursor")
    count = installation.value("import_count")
    assert place
    assert count < PAGES * 100
    claimed_until = datetime.fromisoformat(installation.value("claim_until")).replace(tzinfo=UTC)
    assert 0 < (claimed_until - datetime.now(UTC)).total_seconds() <= 120, "held for two minutes at the most"

    # Two minutes are not waited for.
    installation.rows("UPDATE dashboard_connection SET claim_until = ?", "2020-01-01 00:00:00")
    world.faults.clear()
    asked = len(lists(world))
    successor = installation.worker("successor")
    successor.launch()
    ending.callback(successor.stop)
    wait_until(lambda: installation.value("imported_at"))

    assert installation.value("import_count") == PAGES * 100
    assert installation.value("count(*)", "dashboard_batch") == PAGES * 100
    again = lists(world)[asked:]
    # The dead one's last request may have been answered after its death.
    assert any(path.endswith(f"after={place}") for path in again[:2]), "it goes on from where the dead one was"
    assert len(again) <= PAGES - count // 100 + 1


def test_a_worker_that_is_asked_to_end_stops_at_the_next_page_and_keeps_its_place(
    installation: Installation, world: World, base_url: str, ending: ExitStack
) -> None:
    world.faults.parse("slow@list=0.2")
    installation.connect(base_url, KEY)
    beat, worker = installation.beat(), installation.worker()
    for process in (beat, worker):
        process.launch()
        ending.callback(process.stop)
    wait_until(lambda: installation.value("import_count") >= 300)
    asked = len(lists(world))
    worker.stop()

    assert len(lists(world)) <= asked + 3
    assert installation.value("import_cursor")
    assert installation.value("claim_token") == ""
    assert installation.rows("SELECT kind, ending FROM dashboard_syncrun") == [("import", "stopped")]


def life(message: dict[str, Any]) -> float:
    """Seconds from now until a message is worth nothing."""
    expires = datetime.fromisoformat(message["headers"]["expires"])
    return (expires - datetime.now(UTC)).total_seconds()


def waiting(installation: Installation) -> list[dict[str, Any]]:
    """The messages that nobody has fetched yet, as they stand in the broker."""
    url = installation.env.get("CELERY_BROKER_URL")
    if url:
        with Redis.from_url(url) as client:
            texts = client.lrange(QUEUE, 0, -1)
    else:
        with closing(sqlite3.connect(installation.data / "broker.sqlite3", timeout=20)) as broker:
            known = broker.execute("SELECT 1 FROM sqlite_master WHERE name = 'kombu_message'").fetchall()
            query = "SELECT payload FROM kombu_message WHERE visible = 1"
            texts = [row[0] for row in broker.execute(query).fetchall()] if known else []
    return [json.loads(text) for text in texts]


def of_task(installation: Installation, name: str) -> dict[str, Any]:
    return next(message for message in waiting(installation) if message["headers"]["task"] == f"dashboard.tasks.{name}")


def test_what_waited_too_long_for_a_worker_is_thrown_away(installation: Installation, ending: ExitStack) -> None:
    beat = installation.beat()
    beat.launch()
    ending.callback(beat.stop)
    wait_until(lambda: len(waiting(installation)) >= 3)
    beat.stop()
    pile = len(waiting(installation))
    wait_until(lambda: all(life(message) < 0 for message in waiting(installation)))
    worker = installation.talkative_worker()
    worker.launch()
    ending.callback(worker.stop)
    # The one that runs is sent by the worker itself, so that the first does not wait for the clock.
    wait_until(lambda: "ran dashboard.tasks.tick" in worker.words() and not waiting(installation))
    worker.stop()

    assert worker.words().count("expired dashboard.tasks.tick") == pile
    assert worker.words().count("ran dashboard.tasks.tick") == 1


def test_every_message_carries_the_moment_it_expires(
    installation: Installation, base_url: str, ending: ExitStack
) -> None:
    installation.connect(base_url, KEY)
    beat = installation.beat()
    beat.launch()
    ending.callback(beat.stop)
    wait_until(lambda: waiting(installation))
    assert life(of_task(installation, "tick")) < 5, "a tick is worth nothing once the next one is due"
    beat.stop()

    installation.python("from dashboard.tasks import tick; tick()")
    message = of_task(installation, "sync_connection")
    assert 0 < life(message) <= 60
    body = base64.b64decode(message["body"]).decode()
    assert json.loads(body)[0] == [installation.value("id")], "a number, never a key"
    assert KEY not in json.dumps(message) + body
