"""A file is cut into the same lines however it arrives, in the memory of one line."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.dialects import Line, VendorError, lines_of

BOM = b"\xef\xbb\xbf"


def chunked(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", []),
        (b"\r\n \n\t\n", []),
        (b"a", [(1, 1, b"a")]),
        (b"a\n", [(1, 2, b"a")]),
        (b"a\r\n", [(1, 3, b"a")]),
        (b"a\r", [(1, 2, b"a")]),
        (b"a\nb", [(1, 2, b"a"), (2, 3, b"b")]),
        (b"a\r\n\r\n\nb\n", [(1, 3, b"a"), (4, 8, b"b")]),
        (b"\na\n", [(2, 3, b"a")]),
        (BOM + b"a\n" + BOM + b"b", [(1, 5, b"a"), (2, 9, BOM + b"b")]),
        (BOM, []),
        (BOM + b"\na", [(2, 5, b"a")]),
        (b" a \x00\xff\n", [(1, 6, b" a \x00\xff")]),
        # Only a line feed ends a line: JSON may hold the others.
        (b"a\x0bb\x85c\xe2\x80\xa8d\re\n", [(1, 12, b"a\x0bb\x85c\xe2\x80\xa8d\re")]),
    ],
)
def test_lines_are_numbered_and_know_where_they_end(data: bytes, lines: list[tuple[int, int, bytes]]) -> None:
    assert list(lines_of([data])) == lines


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
@pytest.mark.parametrize(
    ("data", "longest", "raws"),
    [
        (b"1234\n12345\n123", 4, [b"1234", None, b"123"]),
        (b"1234\r\n12345\r\n", 4, [b"1234", None]),
        (BOM + b"1234\r\n" + BOM + b"1234\r\n", 4, [b"1234", None]),
        (b"12345", 4, [None]),
        (b"123456789" * 9 + b"\nx", 4, [None, b"x"]),
        (b"\n\n123456789\n\n", 4, [None]),
    ],
)
def test_a_line_over_the_cap_is_none_and_the_next_one_is_read(
    data: bytes, longest: int, raws: list[bytes | None], size: int
) -> None:
    assert [line.raw for line in lines_of(chunked(data, size), longest)] == raws
    assert list(lines_of(chunked(data, size), longest)) == list(lines_of([data], longest))


CONTENT = st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b" ", BOM, b"{}", b"long line here", b"\x00"])).map(
    b"".join
)


@given(CONTENT, st.lists(st.integers(0, 30)), st.integers(1, 12))
@settings(deadline=None)
def test_chunks_of_any_size_make_the_same_lines(data: bytes, cuts: list[int], longest: int) -> None:
    places = sorted({min(place, len(data)) for place in cuts} | {0, len(data)})
    chunks = [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]
    assert b"".join(chunks) == data
    lines = list(lines_of(chunks, longest))
    assert lines == list(lines_of([data], longest))
    assert all(line.raw is None or (line.raw.strip() and len(line.raw) <= longest) for line in lines)
    assert [line.number for line in lines] == sorted({line.number for line in lines})


@given(CONTENT, st.integers(0, 10), st.integers(1, 12))
@settings(deadline=None)
def test_reading_goes_on_where_it_was_broken_off(data: bytes, at: int, longest: int) -> None:
    whole = list(lines_of([data], longest))
    for done in whole[at : at + 1]:
        rest = lines_of([data[done.end :]], longest, number=done.number, offset=done.end)
        assert list(rest) == whole[at + 1 :]
        # A server without ranges sends all of it again.
        assert [line for line in lines_of([data], longest) if line.end > done.end] == whole[at + 1 :]


def test_a_file_that_breaks_off_does_not_give_its_last_piece() -> None:
    def broken() -> Iterator[bytes]:
        yield b"one\ntw"
        raise VendorError("unreachable")

    lines = lines_of(broken())
    assert next(lines) == Line(1, 4, b"one")
    with pytest.raises(VendorError):
        next(lines)


@pytest.mark.parametrize("size", [1, 2, 10, 100_000])
def test_gzip_is_unpacked_wherever_it_is_cut(size: int) -> None:
    plain = BOM + b"one\r\n" + b"x" * 300_000 + b"\nthree"
    for packed in (
        gzip.compress(plain),
        gzip.compress(plain[:20]) + gzip.compress(plain[20:]),
        gzip.compress(plain) + b"\0" * 700,
        gzip.compress(b"") + gzip.compress(plain),
    ):
        assert list(lines_of(chunked(packed, size))) == list(lines_of([plain]))
    assert list(lines_of(chunked(gzip.compress(b""), size))) == []


def test_gzip_that_unpacks_without_end_is_stopped() -> None:
    bomb = gzip.compress(b"\n" * 20_000_000)
    assert len(bomb) < 30_000
    with pytest.raises(VendorError) as raised:
        list(lines_of([bomb], most_unpacked=1_000_000))
    assert raised.value.kind == "too_large"


@pytest.mark.parametrize("damage", ["cut off", "flipped", "followed by text"])
def test_damaged_gzip_says_so_and_gives_no_piece_of_a_line(damage: str) -> None:
    packed = bytearray(gzip.compress(b"first\n" + bytes(range(32, 127)) * 2_000))
    if damage == "cut off":
        del packed[-9:]
    elif damage == "flipped":
        packed[len(packed) // 2] ^= 0xFF
    else:
        packed += b"and more"
    given: list[Line] = []
    with pytest.raises(VendorError) as raised:
        given.extend(lines_of([bytes(packed)]))
    assert raised.value.kind == "not_json"
    assert "gzip" in raised.value.words


@pytest.mark.timeout(20)
def test_millions_of_blank_lines_are_counted_at_once() -> None:
    chunks = (b"\n" * 65_536 for _ in range(500))
    assert list(lines_of((*chunks, b"a"))) == [Line(500 * 65_536 + 1, 500 * 65_536 + 1, b"a")]


def memory_of(chunks: Iterable[bytes], longest: int) -> int:
    tracemalloc.start()
    for _ in lines_of(chunks, longest):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_file_takes_the_memory_of_one_line() -> None:
    longest = 256 * 1024
    endless = (b"x" * 65_536 for _ in range(500))
    assert memory_of(endless, longest) < 4 * longest
    assert memory_of((b'{"a":1}\n' * 8_000 for _ in range(10)), longest) < 4 * longest
    assert memory_of([gzip.compress(b"x" * 30_000_000)], longest) < 4 * longest
