"""However a file is cut into chunks and whenever its reader is killed: the same groups, counts and rows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.dialects.base import RemoteContent, RemoteFileInfo, VendorError
from dashboard.dialects.lines import ResultLine, Unreadable, read_line
from dashboard.models import BatchError, Connection, ErrorDay, ErrorGroup, FileRead, RemoteFile, Result
from dashboard.sync import files, reading
from dashboard.sync.held import Reading
from tests.batches_made import batch_made, counts
from tests.sync.test_reading import facts, refused


class Killed(BaseException):
    """What no handler of ours catches, as kill -9 would not be."""


class Pieces:
    """A vendor whose file comes in the pieces that a test wants, and may stop coming. Counts what it was asked."""

    name = "pieces"

    def __init__(self, content: bytes, sizes: list[int], *, has_parts: bool, dies_at: int | None, by: type) -> None:
        self.content, self.sizes, self.has_parts, self.dies_at, self.by = content, sizes, has_parts, dies_at, by

    def describe_file(self, file_id: str) -> RemoteFileInfo:
        return RemoteFileInfo(file_id, size=len(self.content))

    def read_result(self, raw: bytes | None, number: int) -> ResultLine | Unreadable:
        return read_line(raw, number)

    @contextmanager
    def open_file(self, file_id: str, offset: int = 0, length: int | None = None) -> Iterator[RemoteContent]:
        begin = offset if self.has_parts else 0

        def chunks() -> Iterator[bytes]:
            at, turn = begin, 0
            while at < len(self.content):
                if self.dies_at is not None and at >= self.dies_at:
                    raise VendorError("unreachable") if self.by is VendorError else Killed
                size = self.sizes[turn % len(self.sizes)]
                yield self.content[at : at + size]
                at, turn = at + size, turn + 1

        yield RemoteContent(begin, len(self.content), False, chunks())


def read_with(pk: int, vendor: Pieces) -> None:
    """What read_file does, with a vendor in our hands; a kill leaves everything where it is."""
    token = files.claim(pk)
    assert token
    read = FileRead.objects.select_related("batch__connection").get(pk=pk)
    held: Any = vendor
    with suppress(VendorError, Killed):
        reading._read(Reading(read, held, token, lambda: False))
    # Two minutes later.
    FileRead.objects.filter(pk=pk).update(claim_until=None)


def learned(connection: Connection, content: bytes, tries: list[Pieces]) -> dict[str, Any]:
    for model in (FileRead, BatchError, ErrorDay, ErrorGroup, RemoteFile, Result):
        model.objects.all().delete()
    connection.batches.all().delete()
    batch = batch_made(connection, "completed", remote_id="b1", error_file_id="file-e", **counts(10, 0, 10))
    files.wish([batch], timezone.now())
    [read] = FileRead.objects.all()
    for vendor in tries:
        read_with(read.pk, vendor)
    return facts()


line = st.one_of(
    st.builds(
        lambda n, word: json.dumps(refused(f"r{n}", f"Request {n} has no {word}, code 40{n % 5}.")).encode(),
        st.integers(0, 500),
        st.sampled_from(["end", "beginning", "b64_json", "use"]),
    ),
    st.sampled_from([b"", b"   ", b"garbage", b"\xff\x00", b"[]", b'{"custom_id":"x","response":{"status_code":200}}']),
    st.just(
        json.dumps({"custom_id": "n", "response": None, "error": {"code": "batch_expired", "message": "."}}).encode()
    ),
)
content = st.tuples(st.lists(line, max_size=40), st.sampled_from([b"\n", b"\r\n"]), st.booleans()).map(
    lambda made: made[1].join(made[0]) + (made[1] if made[2] else b"")
)


@given(
    content=content,
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    deaths=st.lists(st.tuples(st.integers(0, 6_000), st.sampled_from([VendorError, Killed])), max_size=3),
    has_parts=st.booleans(),
    block=st.integers(1, 7),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_and_any_kill_come_to_the_same(
    connection: Connection,
    content: bytes,
    sizes: list[int],
    deaths: list[tuple[int, type]],
    has_parts: bool,  # noqa: FBT001 (hypothesis gives it by name)
    block: int,
) -> None:
    whole = Pieces(content, [1 << 20], has_parts=True, dies_at=None, by=Killed)
    with pytest.MonkeyPatch.context() as patch:
        undisturbed = learned(connection, content, [whole])
        patch.setattr(reading, "BLOCK", block)
        tries = [Pieces(content, sizes, has_parts=has_parts, dies_at=at, by=by) for at, by in deaths]
        last = Pieces(content, sizes, has_parts=has_parts, dies_at=None, by=Killed)
        for vendor in tries:
            # A death behind the end is none: then there is nothing left to try.
            vendor.dies_at = min(vendor.dies_at or 0, max(0, len(content) - max(sizes)))
        assert learned(connection, content, [*tries, last] if content else [last]) == undisturbed
