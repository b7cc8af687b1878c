"""Files through the door: parts, packing, stalls, redirects without the key, and what a vendor says of a file."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from dashboard.dialects import Address, VendorError
from dashboard.dialects.openai import OpenAI

from .conftest import KEY, Vendor, say

type Start = Callable[..., Vendor]
CONTENT = b"".join(b'{"custom_id":"%d"}\n' % number for number in range(20_000))


def opened(server: Vendor, **changes: Any) -> OpenAI:
    return OpenAI(Address(**({"base_url": server.url, "key": KEY} | changes)))


def read(dialect: OpenAI, offset: int = 0, length: int | None = None) -> tuple[int, int | None, bytes]:
    with dialect.open_file("file-1", offset, length) as content:
        return content.begins_at, content.size, b"".join(content.chunks)


def parts(handler: BaseHTTPRequestHandler) -> None:
    """A server that knows Range."""
    wanted = handler.headers.get("Range")
    if wanted is None:
        say(handler, CONTENT)
        return
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    part = CONTENT[int(first) : int(last) + 1 if last else None]
    if part:
        end = int(first) + len(part) - 1
        say(handler, part, 206, content_range=f"bytes {first}-{end}/{len(CONTENT)}")
    else:
        say(handler, b"", 416, content_range=f"bytes */{len(CONTENT)}")


def test_a_file_and_a_part_of_it(vendor: Start) -> None:
    server = vendor(parts)
    with opened(server) as dialect:
        assert read(dialect) == (0, len(CONTENT), CONTENT)
        assert read(dialect, 1_000) == (1_000, len(CONTENT), CONTENT[1_000:])
        assert read(dialect, 1_000, 19) == (1_000, len(CONTENT), CONTENT[1_000:1_019])
        assert read(dialect, len(CONTENT)) == (len(CONTENT), len(CONTENT), b"")
    assert {path for _, path, _ in server.asked} == {"/v1/files/file-1/content"}
    assert [headers.get("range") for _, _, headers in server.asked] == [
        None,
        "bytes=1000-",
        "bytes=1000-1018",
        f"bytes={len(CONTENT)}-",
    ]
    assert [headers["accept-encoding"] for _, _, headers in server.asked] == ["gzip", *["identity"] * 3]


def test_files_stand_beside_the_batches(vendor: Start) -> None:
    server = vendor(parts)
    with opened(server, batches_path="router/batches") as dialect:
        read(dialect)
        with dialect.open_file("../x?y"):
            pass
    assert [path for _, path, _ in server.asked] == [
        "/v1/router/files/file-1/content",
        "/v1/router/files/..%2Fx%3Fy/content",
    ]


def test_a_server_without_parts_says_so_and_gives_the_whole(vendor: Start) -> None:
    with opened(vendor(lambda handler: say(handler, CONTENT))) as dialect:
        assert read(dialect, 1_000) == (0, len(CONTENT), CONTENT)


@pytest.mark.parametrize("said", ["bytes 0-999/400", "bytes 2000-3000/*", "nonsense", ""])
def test_another_part_than_was_asked_for_is_not_taken(vendor: Start, said: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "Range" in handler.headers:
            say(handler, b"of somewhere else", 206, content_range=said)
        else:
            say(handler, CONTENT)

    with opened(vendor(answer)) as dialect:
        assert read(dialect, 1_000)[::2] == (0, CONTENT)


def test_a_part_that_was_packed_is_not_taken(vendor: Start) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        packed = gzip.compress(CONTENT)
        if "Range" in handler.headers:
            where = f"bytes 10-{len(packed) - 1}/{len(packed)}"
            say(handler, packed[10:], 206, content_encoding="gzip", content_range=where)
        else:
            say(handler, packed, content_encoding="gzip")

    with opened(vendor(answer)) as dialect:
        assert read(dialect, 10) == (0, None, CONTENT)


def test_what_is_packed_for_the_way_is_unpacked_in_small_steps(vendor: Start) -> None:
    bomb = gzip.compress(b"x" * 300_000_000)
    with opened(vendor(lambda handler: say(handler, bomb, content_encoding="gzip"))) as dialect:  # noqa: SIM117
        with dialect.open_file("file-1") as content:
            assert max(len(next(content.chunks)) for _ in range(100)) <= 65_536


def test_packed_and_cut_off_is_an_error(vendor: Start) -> None:
    packed = gzip.compress(CONTENT)[:-20]
    with opened(vendor(lambda handler: say(handler, packed, content_encoding="gzip"))) as dialect:
        with pytest.raises(VendorError) as raised:
            read(dialect)
        assert raised.value.kind == "not_json"


def test_a_large_file_may_take_longer_than_an_answer_but_not_stand_still(vendor: Start) -> None:
    over = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(8):
            handler.wfile.write(b"x" * 10)
            over.wait(0.1)
        over.wait(5)

    server = vendor(answer)
    came, began = bytearray(), time.monotonic()
    with opened(server, total_seconds=0.4, read_seconds=0.6) as dialect, dialect.open_file("file-1") as content:
        with pytest.raises(VendorError) as raised:
            came.extend(b for chunk in content.chunks for b in chunk)
        over.set()
    assert raised.value.kind == "timeout"
    assert 0.8 < time.monotonic() - began < 5
    assert raised.value.__context__ is None


def test_a_cut_in_the_middle_is_told(vendor: Start) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b"x" * 10)
        handler.close_connection = True

    with opened(vendor(answer)) as dialect, pytest.raises(VendorError, match="unreachable"):
        read(dialect)


def test_an_end_that_only_the_connection_marks_is_told(vendor: Start) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b"{}\n")
        handler.close_connection = True

    with opened(vendor(answer)) as dialect, dialect.open_file("file-1") as content:
        assert (content.ends_unmarked, b"".join(content.chunks)) == (True, b"{}\n")


@pytest.mark.parametrize("auth_style", ["bearer", "api-key"])
def test_none_of_our_headers_follows_a_redirect_to_storage(vendor: Start, auth_style: str) -> None:
    storage = vendor(parts)
    where = storage.url + "/blob?signature=abc"
    server = vendor(lambda handler: say(handler, b"", 302, location=where))
    extra = {"x-team": "blue-team-secret"}
    own = {"organization": "org-1", "project": "proj-1", "extra_headers": extra, "auth_style": auth_style}
    with opened(server, **own) as dialect:
        assert read(dialect, 5) == (5, len(CONTENT), CONTENT[5:])
        assert read(dialect)[2] == CONTENT
    for command, path, headers in storage.asked:
        assert (command, path) == ("GET", "/v1/blob?signature=abc")
        assert set(headers) <= {"host", "accept", "accept-encoding", "connection", "user-agent", "range"}
        assert KEY not in str(headers)


def test_a_redirect_is_followed_once_and_through_the_guard(vendor: Start) -> None:
    loop = vendor(lambda handler: say(handler, b"", 302, location=handler.path))
    with opened(loop) as dialect, pytest.raises(VendorError, match="redirected: more than once"):
        read(dialect)
    assert len(loop.asked) == 2
    meta = vendor(lambda handler: say(handler, b"", 302, location="http://169.254.169.254/latest/meta-data"))
    with opened(meta) as dialect, pytest.raises(VendorError) as raised:
        read(dialect)
    assert raised.value.kind == "name_refused"


def test_refusals_of_a_file_are_told_as_everywhere(vendor: Start) -> None:
    body = json.dumps({"error": {"message": f"No such File object: file-1 {KEY}"}}).encode()
    with opened(vendor(lambda handler: say(handler, body, 404))) as dialect:
        for call in (lambda: read(dialect), lambda: dialect.describe_file("file-1")):
            with pytest.raises(VendorError) as raised:
                call()
            error = raised.value
            assert (error.kind, error.status, error.words) == ("not_found", 404, "No such File object: file-1 […]")
            assert error.__context__ is None


def test_a_page_of_a_proxy_is_no_file_but_lines_called_html_are(vendor: Start) -> None:
    bodies = iter([b"<!doctype html><title>Sign in</title>", CONTENT])
    server = vendor(lambda handler: say(handler, next(bodies), content_type="text/html; charset=utf-8"))
    with opened(server) as dialect:
        with pytest.raises(VendorError, match="not_json 200: Sign in"):
            read(dialect)
        assert read(dialect)[2] == CONTENT


@pytest.mark.parametrize(
    ("said", "size", "name", "expires"),
    [
        ({"id": "file-1", "bytes": 5, "filename": "a.jsonl", "expires_at": 1_780_000_000}, 5, "a.jsonl", 1_780_000_000),
        ({"id": "other", "bytes": "5", "filename": None, "expires_at": "2026-06-01T00:00:00Z"}, 5, "", 1_780_272_000),
        ({"id": "file-1", "size": -1, "filename": 7, "expires_at": {}}, None, "", None),
        ({"filename": "x" * 600, "bytes": True}, None, "x" * 512, None),
    ],
)
def test_what_a_vendor_says_of_a_file(
    vendor: Start, said: dict[str, Any], size: int | None, name: str, expires: int | None
) -> None:
    with opened(vendor(lambda handler: say(handler, json.dumps(said).encode()))) as dialect:
        info = dialect.describe_file("file-1")
    assert (info.file_id, info.size, info.filename, info.expires_at) == ("file-1", size, name, expires)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"<html>", "not_json"), (b'{"error":"no"}', "refused"), (b"[]", "not_a_batch_api"), (b"{}", "not_a_batch_api")],
)
def test_what_is_no_description_of_a_file(vendor: Start, body: bytes, kind: str) -> None:
    with opened(vendor(lambda handler: say(handler, body))) as dialect, pytest.raises(VendorError) as raised:
        dialect.describe_file("file-1")
    assert raised.value.kind == kind
