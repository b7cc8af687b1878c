"""A Redis that keeps nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashboard.supervisor.keeper import Sitter
from tests.servers import installs
from tests.servers.processes import Process, free_port, listens


@contextmanager
def redis(folder: Path, sitter: Sitter) -> Iterator[str]:
    """The server's address as CELERY_BROKER_URL takes it."""
    port = free_port()
    program = installs.program("redis-server", "redis-server")
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder))
    process = Process([program, *options], sitter=sitter, log=folder / "redis.log", ready=lambda: listens(port))
    try:
        process.start()
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.stop()
