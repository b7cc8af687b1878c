"""A vendor that tests steer: the simulator over a real socket, with its clock in the test's hands."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from django.utils import timezone

from dashboard.dialects.base import RemoteBatch
from dashboard.dialects.wire import read_batch
from dashboard.models import Batch, Connection, SyncRun
from dashboard.simulator import KEY, World, serve
from dashboard.sync.pull import pull

READ_ONLY_KEY = "sk-look-but-do-not-touch"


@dataclass
class Clock:
    """Goes with the real one, plus what a test adds."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Vendor:
    """A simulated vendor and the connection to it."""

    world: World
    connection: Connection
    clock: Clock
    url: str
    asked: int = field(default=0)

    def pull(self) -> SyncRun:
        """One sync, due or not."""
        run = pull(self.connection.pk, only_due=False)
        assert run is not None
        self.connection.refresh_from_db()
        return run

    def finished(self, *custom_ids: str, wish: str = "", content: bytes | None = None) -> Batch:
        """A batch of these requests that has ended and been seen; those named "fail..." have failed."""
        line = '{{"custom_id":"{}","method":"POST","url":"/v1/responses","body":{{"model":"gpt-5-mini"}}}}\n'
        lines = content if content is not None else "".join(map(line.format, custom_ids)).encode()
        made = self.world.create(
            self.world.upload("mine.jsonl", "batch", lines), "/v1/responses", {"simulate": wish} if wish else None
        )
        self.clock.ahead += 90_000
        self.pull()
        return Batch.objects.select_related("connection").get(remote_id=made.id)

    def requests(self) -> list[str]:
        """What was asked of the vendor since the last look, as "METHOD path"."""
        calls = [f"{call.method} {call.path}" for call in self.world.requests]
        new, self.asked = calls[self.asked :], len(calls)
        return new


@pytest.fixture
def vendor_of(db: None) -> Iterator[Callable[..., Vendor]]:
    """Makes a vendor with so many batches; further arguments go to the simulator's World."""
    with ExitStack() as stack:

        def make(batches: int = 250, *, name: str = "sim", **world_of: object) -> Vendor:
            clock = Clock()
            options: dict[str, object] = {"open": 0, "clock": clock, "read_only_keys": [READ_ONLY_KEY]}
            world = World(batches, **(options | world_of))  # type: ignore[arg-type]  # options of many types
            url = stack.enter_context(serve(world))
            connection = Connection(name=name, base_url=url)
            connection.set_key(KEY)
            connection.save()
            return Vendor(world, connection, clock, url)

        yield make


@pytest.fixture
def connection(db: None) -> Connection:
    """A connection whose vendor nobody calls."""
    connection = Connection(name="still", base_url="http://127.0.0.1:9/v1", imported_at=timezone.now())
    connection.set_key("sk-never-used-0000")
    connection.save()
    return connection


def remote(remote_id: str = "batch_1", status: str = "in_progress", **fields: object) -> RemoteBatch:
    """A batch as OpenAI writes it, read by the real reader."""
    import json

    created_at = int(time.time()) - 600
    record: dict[str, object] = {
        "id": remote_id,
        "object": "batch",
        "endpoint": "/v1/responses",
        "errors": None,
        "input_file_id": "file-in",
        "completion_window": "24h",
        "status": status,
        "output_file_id": None,
        "error_file_id": None,
        "created_at": created_at,
        "in_progress_at": created_at + 5,
        "expires_at": created_at + 86_400,
        "finalizing_at": None,
        "completed_at": created_at + 300 if status == "completed" else None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 100, "completed": 10, "failed": 0},
        "metadata": {"name": "nightly-eval", "owner": "ana"},
    }
    return read_batch(json.dumps(record | fields).encode(), remote_id)
