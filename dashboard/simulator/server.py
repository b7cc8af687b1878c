"""A small threaded HTTP/1.1 server for loopback.

The standard library's own spends more time on headers than the simulator on a page of a hundred batches, and holds
answers back for Nagle's algorithm; a benchmark of a client must not measure that.
"""

import io
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread
from typing import IO, Any
from urllib.parse import unquote
from wsgiref.types import WSGIApplication

from dashboard.simulator.app import application
from dashboard.simulator.world import World


@contextmanager
def serve(world: World, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
    """Serves a world while the context lasts; gives the base URL, which ends in `/v1`. Port 0 takes a free one."""
    world.closing.clear()
    app = application(world)
    listener = socket.create_server((host, port), backlog=128)
    connections: dict[socket.socket, Thread] = {}
    lock = Lock()

    def talk(connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as reader:
                while not world.closing.is_set() and _exchange(connection, reader, app):
                    pass
        except OSError:
            pass  # the client left, or a fault broke the connection on purpose
        finally:
            with lock:
                connections.pop(connection, None)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            if world.closing.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with lock:
                thread = connections[connection] = Thread(target=talk, args=(connection,), daemon=True)
                thread.start()

    acceptor = Thread(target=accept, daemon=True)
    acceptor.start()
    host, port = listener.getsockname()[:2]
    try:
        yield f"http://{host}:{port}/v1"
    finally:
        world.closing.set()
        # Closing a socket does not wake the thread that waits on it everywhere; a last visitor does.
        socket.create_connection((host, port)).close()
        acceptor.join()
        listener.close()
        with lock:
            left = list(connections.items())
        for connection, thread in left:
            with suppress(OSError):  # it may have ended by itself just now
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _exchange(connection: socket.socket, reader: IO[bytes], app: WSGIApplication) -> bool:
    """Reads one request and answers it; whether the connection stays open."""
    line = reader.readline(65_536)
    if not line:
        return False
    try:
        method, target, version = line.decode("latin-1").split()
    except ValueError:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return False
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote(path),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": version,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
    }
    while (line := reader.readline(65_536)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        environ["HTTP_" + name.upper().replace("-", "_")] = value.strip()
    environ["CONTENT_TYPE"] = environ.get("HTTP_CONTENT_TYPE", "")
    environ["CONTENT_LENGTH"] = environ.get("HTTP_CONTENT_LENGTH", "0")
    if environ.get("HTTP_EXPECT", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = _body(reader, environ)
    environ["wsgi.input"] = io.BytesIO(body)
    head: list[str] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        head.append(f"HTTP/1.1 {status}\r\n" + "".join([f"{name}: {value}\r\n" for name, value in headers]))
        return connection.sendall

    parts = app(environ, start_response)
    _send(connection, head[0], parts)
    return bool(version == "HTTP/1.1" and environ.get("HTTP_CONNECTION", "").lower() != "close")


def _body(reader: IO[bytes], environ: dict[str, Any]) -> bytes:
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() != "chunked":
        return reader.read(int(environ["CONTENT_LENGTH"]))
    parts = []
    while size := int(reader.readline().split(b";")[0], 16):
        parts.append(reader.read(size))
        reader.readline()
    reader.readline()
    body = b"".join(parts)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def _send(connection: socket.socket, head: str, parts: Iterable[bytes]) -> None:
    if "\r\nContent-Length:" in head:
        started = (head + "\r\n").encode("latin-1")
        for part in parts:
            # One packet for head and body: the client wakes once.
            connection.sendall(started + part)
            started = b""
        return
    connection.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode("latin-1"))
    for part in parts:
        if part:
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    connection.sendall(b"0\r\n\r\n")
