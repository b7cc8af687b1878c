"""What has been seen to go wrong with the contents of files: parts, packing, unreadable lines, broken ends."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dashboard.simulator.answers import Request, Response, refuse
from dashboard.simulator.switches import Fault, after, before

if TYPE_CHECKING:
    from dashboard.simulator.world import World


@before("content")
def no_parts(request: Request, fault: Fault, world: World) -> None:
    """Files are given whole, whatever part was asked for."""
    request.range = ""


@after("content")
def wrong_part(request: Request, response: Response, fault: Fault, world: World) -> None:
    """Another part of the file than was asked for: its beginning."""
    if response.status == 206:
        size = response.headers["Content-Range"].rpartition("/")[2]
        response.headers["Content-Range"] = f"bytes 0-{int(response.headers['Content-Length']) - 1}/{size}"


@before("file", "content")
def file_gone(request: Request, fault: Fault, world: World) -> Response | None:
    """A file that expired or was deleted; value: its id (every file)."""
    if fault.value not in (None, request.id):
        return None
    return refuse(404, f"No such File object: {request.id}", param="id")


@before("content")
def garbage_lines(request: Request, fault: Fault, world: World) -> None:
    """Between the lines of a file some that cannot be read; value: after how many lines each (3)."""
    every = int(fault.number(3))

    def change(content: Iterator[bytes]) -> Iterator[bytes]:
        for number, line in enumerate(b"".join(content).splitlines(keepends=True), 1):
            yield line
            if number % every == 0:
                yield (b"<!-- not JSON\n", b'{"custom_id":"half', b"\xff\xfe\x00\n", b"[]\n")[number // every % 4]
                yield b"\n"

    request.changes.append(change)


@before("content")
def long_line(request: Request, fault: Fault, world: World) -> None:
    """A file begins with one line without end; value: megabytes (40)."""
    megabytes = int(fault.number(40))

    def change(content: Iterator[bytes]) -> Iterator[bytes]:
        yield from (b"x" * 1_000_000 for _ in range(megabytes))
        yield b"\n"
        yield from content

    request.changes.append(change)


@before("content")
def packed_file(request: Request, fault: Fault, world: World) -> None:
    """A file is kept in gzip."""
    request.changes.append(_packed)


@after("content")
def packed_answer(request: Request, response: Response, fault: Fault, world: World) -> None:
    """A file is sent in gzip to whoever says that they understand it."""
    if response.status == 200 and "gzip" in request.accept_encoding:
        response.headers["Content-Encoding"] = "gzip"
        response.body = _packed(_as_blocks(response))


@after("content")
def cut(request: Request, response: Response, fault: Fault, world: World) -> None:
    """The connection breaks in the middle of a file; value: after how many bytes of the answer (100000)."""
    if response.status in (200, 206):
        response.body = _cut(_as_blocks(response), int(fault.number(100_000)))


@after("content")
def trickle(request: Request, response: Response, fault: Fault, world: World) -> None:
    """A file comes in pieces of 16 kB with a wait before each; value: seconds (0.05)."""
    blocks, wait = _as_blocks(response), fault.number(0.05)

    def slowly() -> Iterator[bytes]:
        for block in blocks:
            for at in range(0, len(block), 16_384):
                world.closing.wait(wait)
                yield block[at : at + 16_384]

    response.body = slowly()


@after("content")
def elsewhere(request: Request, response: Response, fault: Fault, world: World) -> None:
    """A redirect to signed storage; value: the address (http://127.0.0.1:9/blob)."""
    response.status, response.body = 307, b""
    response.headers["Location"] = fault.value or "http://127.0.0.1:9/blob"


def _as_blocks(response: Response) -> Iterator[bytes]:
    return iter((response.body,)) if isinstance(response.body, bytes) else response.body


def _cut(blocks: Iterator[bytes], left: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[:left]
        left -= len(block)
        if left <= 0:
            raise ConnectionAbortedError


def _packed(blocks: Iterator[bytes]) -> Iterator[bytes]:
    pack = zlib.compressobj(1, wbits=31)
    for block in blocks:
        yield pack.compress(block)
    yield pack.flush()
