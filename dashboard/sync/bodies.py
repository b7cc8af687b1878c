"""What is read from the vendor while somebody waits, because it is never stored: bodies, previews, whole files.

Prompts and outputs are in these; who may see them is the caller's to ask.
"""

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from dashboard.dialects.base import Dialect, VendorError
from dashboard.dialects.jsonl import lines_of
from dashboard.models import Batch, Connection, FileKind, RemoteFile, Result
from dashboard.sync.acts import PATIENCE, Busy
from dashboard.sync.files import NoFile, file_id_of
from dashboard.sync.inputs import custom_id_of
from dashboard.sync.vendor import KeyUnavailable, open_vendor

# A slow vendor must not take every thread of the web server.
_slots = threading.BoundedSemaphore(4)
_downloads = threading.BoundedSemaphore(2)
MOST_BODY = 1 << 20
MOST_PASSED = 256 << 20  # bytes that are read and thrown away to come to a line
PREVIEW_BYTES = 1 << 20
MOST_SHOWN = 20_000  # characters of one line of a preview


class Unavailable(Exception):
    """The vendor did not give it. `kind` is one of insight/causes.py, or "file_gone" for a file that expired or was
    deleted; `words` are the vendor's own, scrubbed."""

    def __init__(self, kind: str, words: str = "") -> None:
        super().__init__(kind, words)
        self.kind, self.words = kind, words


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a file. Written by strangers: to be escaped."""

    line: int
    text: str
    is_cut: bool  # there is more of this line


@dataclass(frozen=True, slots=True)
class Preview:
    """The first lines of a file."""

    lines: list[Text]
    is_all: bool  # the file has no more
    size: int | None  # bytes of the whole file, if known


def body_of(result: Result) -> Text:
    """The whole line of one request, from the vendor. Raises Busy, Unavailable."""
    read = result.read
    length = min(result.length, MOST_BODY)
    with _asking(read.batch.connection) as vendor:
        offset = 0 if read.is_packed else result.offset
        with vendor.open_file(read.file_id, offset, None if read.is_packed else length) as content:
            if content.begins_at == result.offset and not read.is_packed:
                raw = _first(content.chunks, length)
            else:
                # No parts of this file: over everything that stands before the line.
                lines = lines_of(_Patient(content.chunks))
                found = next((line for line in lines if line.number == result.line), None)
                if found is None:
                    raise Unavailable("not_reached")
                raw = found.raw or b""
    return _text(result.line, raw.strip()[:MOST_BODY], MOST_BODY, is_cut=result.length > MOST_BODY)


def preview(batch: Batch, kind: str, lines: int = 20) -> Preview:
    """The first lines of a file. Raises NoFile, Busy, Unavailable."""
    file_id = _file_id(batch, kind)
    with _asking(batch.connection) as vendor, vendor.open_file(file_id) as content:
        shown: list[Text] = []
        chunks, is_all = _Patient(content.chunks, PREVIEW_BYTES), True
        try:
            for line in lines_of(chunks):
                if len(shown) >= lines:
                    is_all = False
                    break
                shown.append(_text(line.number, line.raw or b"", MOST_SHOWN, is_cut=line.raw is None))
        except VendorError:
            # Of a file in gzip the beginning ends in the middle.
            if not chunks.is_cut:
                raise
        return Preview(shown, is_all and not chunks.is_cut, content.size or _known_size(batch, file_id))


def lines_of_input(batch: Batch, wanted: Collection[int]) -> dict[int, Text]:
    """Some lines of the input file, by number; those that could not be reached in time are left out. Raises NoFile,
    Busy, Unavailable."""
    file_id = _file_id(batch, FileKind.INPUT)
    found: dict[int, Text] = {}
    last = max(wanted, default=0)
    with _asking(batch.connection) as vendor, vendor.open_file(file_id) as content:
        try:
            for line in lines_of(_Patient(content.chunks)):
                if line.number in wanted:
                    found[line.number] = _text(line.number, line.raw or b"", MOST_SHOWN, is_cut=line.raw is None)
                if line.number >= last:
                    break
        except VendorError as error:
            if not found or error.kind != "timeout":
                raise
    return found


def request_of(batch: Batch, custom_id: str) -> Text | None:
    """The line of the input file with this custom_id; None when it has none. Raises NoFile, Busy, Unavailable."""
    file_id = _file_id(batch, FileKind.INPUT)
    with _asking(batch.connection) as vendor, vendor.open_file(file_id) as content:
        chunks = _Patient(content.chunks)
        for line in lines_of(chunks):
            if custom_id_of(line.raw) == custom_id:
                return _text(line.number, line.raw or b"", MOST_SHOWN, is_cut=False)
    if chunks.is_cut:
        raise Unavailable("too_large")
    return None


class Download:
    """A file on its way through: iterate over it, and close it. It holds one of the few places for downloads."""

    def __init__(self, batch: Batch, kind: str) -> None:
        self._stack, self._lock = ExitStack(), threading.Lock()
        file_id = _file_id(batch, kind)
        if not _downloads.acquire(blocking=False):
            raise Busy
        self._stack.callback(_downloads.release)
        try:
            with _explained():
                vendor = self._stack.enter_context(open_vendor(batch.connection))
                self._content = self._stack.enter_context(vendor.open_file(file_id))
                # The first piece is asked for here: what goes wrong behind it can only break the download off.
                self._ahead = next(self._content.chunks, b"")
        except BaseException:
            self.close()
            raise
        known = RemoteFile.objects.filter(connection=batch.connection, file_id=file_id).first()
        self.name = (known.filename if known else "") or f"{batch.remote_id}_{kind}.jsonl"
        self.size = self._content.size

    def __iter__(self) -> Iterator[bytes]:
        try:
            if self._ahead:
                yield self._ahead
            yield from self._content.chunks
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the vendor; may be called again. Django calls it for a response, whatever became of that."""
        with self._lock:
            self._stack.close()

    def __del__(self) -> None:
        self.close()


def download(batch: Batch, kind: str) -> Download:
    """A whole file as it comes from the vendor, with `name` and `size`. Raises NoFile, Busy, Unavailable."""
    return Download(batch, kind)


@contextmanager
def _asking(connection: Connection) -> Iterator[Dialect]:
    if not _slots.acquire(blocking=False):
        raise Busy
    try:
        with _explained(), open_vendor(connection, seconds=PATIENCE) as vendor:
            yield vendor
    finally:
        _slots.release()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except KeyUnavailable as error:
        raise Unavailable(error.kind) from None
    except VendorError as error:
        raise Unavailable("file_gone" if error.kind == "not_found" else error.kind, error.words) from None


def _file_id(batch: Batch, kind: str) -> str:
    if not (file_id := file_id_of(batch, kind)):
        raise NoFile
    return file_id


def _known_size(batch: Batch, file_id: str) -> int | None:
    known = RemoteFile.objects.filter(connection=batch.connection, file_id=file_id)
    return known.values_list("size", flat=True).first()


class _Patient:
    """The chunks of the first so many bytes, for as long as somebody waits."""

    def __init__(self, chunks: Iterator[bytes], most: int = MOST_PASSED) -> None:
        self._chunks, self._most = chunks, most
        self._until = time.monotonic() + PATIENCE
        self.is_cut = False

    def __iter__(self) -> Iterator[bytes]:
        came = 0
        for chunk in self._chunks:
            yield chunk[: self._most - came]
            came += len(chunk)
            if came > self._most:
                self.is_cut = True
                return
            if time.monotonic() > self._until:
                raise VendorError("timeout", detail="the file took too long")


def _first(chunks: Iterator[bytes], length: int) -> bytes:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) >= length:
            break
    return bytes(held[:length])


def _text(line: int, raw: bytes, most: int, *, is_cut: bool) -> Text:
    text = raw.decode("utf-8", "replace")
    return Text(line, text[:most], is_cut or len(text) > most)
