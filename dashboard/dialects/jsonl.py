"""A file cut into its lines while it arrives, in the memory of one line."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from .base import VendorError

LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of one line. An output line may hold a generated image: several megabytes of base64."""
MOST_UNPACKED: Final = 2 * 1024 * 1024 * 1024
"""Bytes that a gzip file may unpack to. Vendors take 50,000 requests and some hundred megabytes; this is far above."""

_BLOCK: Final = 64 * 1024
_BREAKS: Final = re.compile(rb"\n++")
_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"


class Line(NamedTuple):
    """A line that is not blank. `raw` is without its line break, None when it was longer than allowed. `end` is how
    many bytes of the (unpacked) file are behind us with it: reading can go on there."""

    number: int
    end: int
    raw: bytes | None


def lines_of(
    chunks: Iterable[bytes],
    longest: int = LONGEST_LINE,
    *,
    number: int = 0,
    offset: int = 0,
    most_unpacked: int = MOST_UNPACKED,
) -> Iterator[Line]:
    """The lines of a file that arrives in chunks of any size; blank ones count but are left out.

    Who reads on in the middle (chunks of a range request) gives `number` and `end` of the last line read as `number`
    and `offset`; who has to begin anew passes over the lines up to that `end`. What `chunks` raises goes through, and
    then the line it broke off is not given. A file in gzip is unpacked.

    Raises VendorError: too_large (it unpacks to more than `most_unpacked`), not_json (gzip that is damaged or cut off).
    """
    is_first = offset == 0
    held = bytearray()
    is_over = False

    def finished(piece: bytes) -> bytes | None:
        """The line of which `piece` is the last part."""
        nonlocal is_first, is_over
        raw = None if is_over else bytes(held) + piece if held else piece
        held.clear()
        is_over = False
        if raw is not None:
            raw = raw.removesuffix(b"\r")
            raw = raw.removeprefix(_BOM) if is_first else raw
        is_first = False
        return None if raw is None or len(raw) > longest else raw

    for chunk in chunks if offset else _unpacked(chunks, most_unpacked):
        start = 0
        while (stop := chunk.find(b"\n", start)) >= 0:
            if stop == start and not held and not is_over and (run := _BREAKS.match(chunk, start)):
                # A whole run of blank lines at once: a file may be full of them.
                number += run.end() - start
                start, is_first = run.end(), False
                continue
            number += 1
            raw = finished(chunk[start:stop])
            start = stop + 1
            if raw is None or raw.strip():
                yield Line(number, offset + start, raw)
        offset += len(chunk)
        if len(held) + len(chunk) - start > longest + len(_BOM) + 1:
            held.clear()
            is_over = True
        if start < len(chunk) and not is_over:
            held += chunk[start:]
    if held or is_over:
        raw = finished(b"")
        if raw is None or raw.strip():
            yield Line(number + 1, offset, raw)


def _unpacked(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The chunks as they are, or unpacked when the first bytes are gzip's."""
    rest = iter(chunks)
    head = b""
    while len(head) < len(_GZIP) and (chunk := next(rest, None)) is not None:
        head += chunk
    whole = chain((head,), rest)
    return _gunzipped(whole, most) if head.startswith(_GZIP) else whole


def _gunzipped(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Unpack gzip block by block. A file may be several gzip files behind one another, and padded with zeros."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for block in _blocks(chunks):
            packed = block
            while packed and not (unpacker.eof and not packed.strip(b"\0")):
                if unpacker.eof:
                    packed = packed.lstrip(b"\0")
                    unpacker = zlib.decompressobj(wbits=31)
                plain = unpacker.decompress(packed, _BLOCK)
                most -= len(plain)
                if most < 0:
                    raise VendorError("too_large", "the gzip file unpacks to more than is read")
                yield plain
                packed = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise VendorError("not_json", f"gzip: {error}") from None
    if not unpacker.eof:
        raise VendorError("not_json", "gzip: the file ends too early")


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    # What is left of a chunk is copied at every step, so that a large one would cost its square.
    return (chunk[at : at + _BLOCK] for chunk in chunks for at in range(0, len(chunk), _BLOCK))
