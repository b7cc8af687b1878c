"""What the tests of the dialects share: payload files, an ordinary record, and a vendor on a loopback socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PAYLOADS = Path(__file__).parent.parent / "payloads"
NOW = 1_780_000_000
KEY = "sk-proj-Zx81LmQq7TtVb55yPpWw0042"


def payload(name: str) -> bytes:
    """A payload file by its name without the ending: `openai/completed`."""
    return (PAYLOADS / f"{name}.json").read_bytes()


def record(**changes: Any) -> dict[str, Any]:
    """OpenAI's own record of a completed batch, with changes."""
    made: dict[str, Any] = json.loads(payload("openai/completed")) | changes
    return made


def page(*records: Any, **envelope: Any) -> bytes:
    """OpenAI's own list."""
    return json.dumps({"object": "list", "data": list(records), "has_more": False} | envelope).encode()


class Vendor(ThreadingHTTPServer):
    """A server whose answers are a test's own function; remembers what it was asked and with which headers."""

    daemon_threads = True

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                vendor.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
                answer(self)

            do_POST = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is what some of these tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


def say(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """Answer with a body; a header's underscores become hyphens."""
    handler.send_response(status)
    for name, value in ({"content_type": "application/json", "content_length": str(len(body))} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Vendor]:
    """A vendor on a loopback socket, for as long as the block lasts."""
    with Vendor(answer) as vendor:
        thread = threading.Thread(target=vendor.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield vendor
        finally:
            vendor.shutdown()
            thread.join()


@pytest.fixture
def vendor() -> Iterator[Callable[..., Vendor]]:
    """Start vendors that end with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))
