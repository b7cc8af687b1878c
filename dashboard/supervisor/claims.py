"""What only one installation may have: a data folder and a port. Both are claimed before anything starts."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# After a kill -9 the sitter needs this long to end what held the port.
PATIENCE_SECONDS = 10.0


class Taken(Exception):
    """Somebody else has it; the message says who and what to do."""


class Claim:
    """Our lock on a data folder. The lock file says who holds it; it is empty when the last one ended well."""

    def __init__(self, path: Path, file: int, earlier: str) -> None:
        self.path, self._file, self.earlier = path, file, earlier

    def say(self, words: str) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, words.encode(), 0)


@contextmanager
def only_one(path: Path) -> Iterator[Claim]:
    """Holds the lock file for as long as this process lives, however it ends; children do not inherit it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        earlier = os.pread(file, 1000, 0).decode(errors="replace").strip()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(earlier) from None
        claim = Claim(path, file, earlier)
        yield claim
        claim.say("")
    finally:
        os.close(file)


def resolve(host: str, port: int) -> tuple[str, int]:
    """The address and free port to listen on. Port 0 picks a free one. Raises Taken, or OSError for anything else.

    Tested before the server starts, because granian shares a port in use without a word.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, _protocol, _name, address = min(found, key=lambda one: one[0] is not socket.AF_INET)
    with socket.socket(family, kind) as probe:
        # A port that is only cooling down after its last owner is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Taken from None
            raise
        return str(probe.getsockname()[0]), int(probe.getsockname()[1])


def resolve_patiently(host: str, port: int) -> tuple[str, int]:
    """The same, after a predecessor that was killed: what it left is being ended at this moment."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return resolve(host, port)
        except Taken:
            if time.monotonic() > until:
                raise
            time.sleep(0.25)
