"""The first dialect asks what OpenAI documents, and nothing that could do harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest

from dashboard.dialects import DIALECTS, Address, Dialect, VendorError, check_base_url, open_dialect
from dashboard.dialects.openai import OpenAI

from .conftest import KEY, Vendor, page, payload, record, say


class Fake:
    """A transport that remembers its requests and answers each with the same."""

    def __init__(self, status: int = 200, body: bytes | None = None, **headers: str) -> None:
        self.requests: list[httpx.Request] = []
        self.answer = (status, payload("openai/completed") if body is None else body, headers)

    def open(self, **changes: Any) -> OpenAI:
        address = {"base_url": "http://vendor.example/v1", "key": KEY} | changes
        return OpenAI(Address(**address), transport=httpx.MockTransport(self))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status, body, headers = self.answer
        return httpx.Response(status, content=body, headers=headers)

    @property
    def said(self) -> str:
        return f"{self.requests[-1].method} {self.requests[-1].url.raw_path.decode()}"


def test_a_page_is_asked_for_with_limit_and_cursor() -> None:
    fake = Fake(body=page(record(), has_more=True), date=formatdate(1_780_000_000, usegmt=True))
    with fake.open() as dialect:
        found = dialect.list_batches()
        assert fake.said == "GET /v1/batches?limit=100"
        assert (found.vendor_now, found.has_more, found.next_cursor) == (1_780_000_000, True, record()["id"])
        dialect.list_batches(after="batch_é&x=1", limit=5)
        assert fake.said == "GET /v1/batches?limit=5&after=batch_%C3%A9%26x%3D1"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("batch", "/v1/batch"),
        ("/a/batches/", "/v1/a/batches"),
        ("../admin", "/v1/%2E%2E/admin"),
        ("a?b#c", "/v1/a%3Fb%23c"),
    ],
)
def test_the_path_is_configured_and_stays_below_the_base(path: str, asked: str) -> None:
    fake = Fake(body=page())
    with fake.open(batches_path=path) as dialect:
        dialect.list_batches()
    assert fake.said == f"GET {asked}?limit=100"


@pytest.mark.parametrize(
    ("remote_id", "asked"),
    [
        ("batch_1", "batch_1"),
        ("a/b?c#d%2F", "a%2Fb%3Fc%23d%252F"),
        ("projects/1:x", "projects%2F1%3Ax"),
        ("..", "%2E%2E"),
        ("é", "%C3%A9"),
    ],
)
def test_an_id_is_one_percent_encoded_part_of_the_path(remote_id: str, asked: str) -> None:
    fake = Fake(body=json.dumps(record(id=remote_id)).encode())
    with fake.open() as dialect:
        assert dialect.retrieve(remote_id).remote_id == remote_id
        assert fake.said == f"GET /v1/batches/{asked}"
        assert dialect.cancel(remote_id).remote_id == remote_id
        assert fake.said == f"POST /v1/batches/{asked}/cancel"


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_cancel_is_one_post_without_a_body(status: int) -> None:
    fake = Fake(status, json.dumps(record(status="cancelling")).encode())
    with fake.open() as dialect:
        assert dialect.cancel(record()["id"]).status == "cancelling"
    assert [request.method for request in fake.requests] == ["POST"]
    assert fake.requests[0].read() == b""
    assert "content-type" not in fake.requests[0].headers


@pytest.mark.parametrize(
    ("status", "kind"), [(409, "conflict"), (400, "refused"), (500, "server_error"), (405, "refused")]
)
def test_a_refused_cancel_is_never_tried_again_nor_by_delete(status: int, kind: str) -> None:
    fake = Fake(status, b'{"error":{"message":"Cannot cancel a batch with status \'completed\'."}}')
    with fake.open() as dialect, pytest.raises(VendorError) as raised:
        dialect.cancel("batch_1")
    assert [request.method for request in fake.requests] == ["POST"]
    assert (raised.value.kind, raised.value.sent) == (kind, True)
    assert raised.value.words == "Cannot cancel a batch with status 'completed'."


@pytest.mark.parametrize("body", [b"", b"<html>ok</html>", b"{}", b'{"object":"batch"}'])
def test_an_accepted_cancel_with_an_unreadable_answer_keeps_its_status(body: bytes) -> None:
    fake = Fake(200, body, **{"x-request-id": "req_7"})
    with fake.open() as dialect, pytest.raises(VendorError) as raised:
        dialect.cancel("batch_1")
    assert raised.value.kind in ("not_json", "not_a_batch_api")
    assert (raised.value.status, raised.value.sent, raised.value.request_id) == (200, True, "req_7")


def test_an_answer_about_another_batch_is_an_error() -> None:
    with Fake().open() as dialect:
        for call in (dialect.retrieve, dialect.cancel):
            with pytest.raises(VendorError, match="wrong_batch 200"):
                call("batch_other")


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, {"authorization": f"Bearer {KEY}"}),
        ({"key": f" {KEY}\n"}, {"authorization": f"Bearer {KEY}"}),
        ({"auth_style": "api-key"}, {"api-key": KEY}),
        ({"auth_style": "none"}, {}),
        ({"key": ""}, {}),
        (
            {"organization": "org-1", "project": "proj_1"},
            {"authorization": f"Bearer {KEY}", "openai-organization": "org-1", "openai-project": "proj_1"},
        ),
    ],
)
def test_the_key_goes_where_the_vendor_wants_it(settings: dict[str, Any], headers: dict[str, str]) -> None:
    fake = Fake(body=page())
    with fake.open(**settings) as dialect:
        dialect.list_batches()
    names = ("authorization", "api-key", "openai-organization", "openai-project")
    assert {name: value for name, value in fake.requests[0].headers.items() if name in names} == headers


def test_an_echoed_key_is_masked_in_every_answer() -> None:
    for body in (f"<html>{KEY}", json.dumps({"error": KEY}), json.dumps({"detail": f"key {KEY}"}), f'"{KEY}"'):
        with Fake(body=body.encode()).open() as dialect, pytest.raises(VendorError) as raised:
            dialect.list_batches()
        assert KEY[8:20] not in str(raised.value) + repr(raised.value)
    with Fake(body=page({"id": KEY, "x": KEY})).open() as dialect:
        assert KEY[8:20] not in repr(dialect.list_batches().refused[0].excerpt)


def test_a_dialect_is_opened_by_name_and_closed_by_its_block(vendor: Callable[..., Vendor]) -> None:
    server = vendor(lambda handler: say(handler, page(record())))
    for name, entry in DIALECTS.items():
        assert entry.label
        dialect: Dialect = open_dialect(name, Address(base_url=check_base_url(server.url), key=KEY))
        with dialect:
            assert dialect.name == name
            assert KEY not in repr(dialect)
            assert len(dialect.list_batches().batches) == 1
    with pytest.raises(KeyError):
        open_dialect("esperanto", Address(base_url=server.url))
    with pytest.raises(VendorError, match="address_refused"):
        open_dialect("openai", Address(base_url="http://169.254.169.254/"))


def test_connections_are_kept_between_pages(vendor: Callable[..., Vendor]) -> None:
    ports: set[Any] = set()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address)
        say(handler, page(record()))

    server = vendor(answer)
    with open_dialect("openai", Address(base_url=server.url)) as dialect:
        for _ in range(3):
            dialect.list_batches()
    assert len(server.asked) == 3
    assert len(ports) == 1
