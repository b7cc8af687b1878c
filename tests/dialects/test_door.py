"""The door keeps its caps, its deadlines and the key, and says plainly how a call failed."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dashboard.dialects import Address, VendorError
from dashboard.dialects.door import LONGEST_WAIT, Door, retry_after

from .conftest import KEY, Vendor, page, say

type Start = Callable[..., Vendor]


def fail(address: Address, call: str = "get", **stand_ins: object) -> VendorError:
    """The error of one call, which must show no trace of the key."""
    with Door(address, **stand_ins) as door, pytest.raises(VendorError) as raised:  # type: ignore[arg-type]
        getattr(door, call)("batches")
    error = raised.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error) + repr(vars(error)) + repr(door)
    assert KEY not in shown
    assert KEY[8:20] not in shown
    assert error.__context__ is None
    return error


def answering(status: int, body: bytes = b"", **headers: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, content=body, headers=headers))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "refused"),
        (401, "bad_key"),
        (403, "forbidden"),
        (404, "not_found"),
        (408, "timeout"),
        (409, "conflict"),
        (418, "refused"),
        (429, "rate_limited"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_each_refusal_has_its_kind_and_the_vendors_words(status: int, kind: str) -> None:
    body = f'{{"error":{{"message":"No: {KEY} in org-aBcDeFgH1234"}}}}'.encode()
    transport = answering(status, body, **{"x-request-id": "req_1", "retry-after": "7"})
    error = fail(Address(base_url="http://vendor.example/v1", key=KEY), transport=transport)
    assert (error.kind, error.status, error.request_id, error.retry_after, error.sent) == (
        kind,
        status,
        "req_1",
        7.0,
        True,
    )
    assert error.words == "No: […] in […]"


def test_an_error_page_of_a_proxy_gives_its_title() -> None:
    error = fail(
        Address(base_url="http://v.example", key=KEY), transport=answering(502, b"<html><title>Bad Gateway</title>")
    )
    assert (error.kind, error.words) == ("server_error", "Bad Gateway")


def test_an_endless_refusal_is_read_for_its_first_words(vendor: Start) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        say(handler, b"<html><title>Gone</title>" + b"x" * 3_000_000, 410)

    error = fail(Address(base_url=vendor(answer).url, key=KEY))
    assert (error.kind, error.status) == ("refused", 410)
    assert error.words.startswith("Gone")


def test_more_bytes_than_allowed_are_never_read(vendor: Start) -> None:
    written = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in range(10_000):
            handler.wfile.write(b"x" * 65_536)
            written.append(65_536)

    error = fail(Address(base_url=vendor(answer).url, key=KEY, max_bytes=1_000_000))
    assert (error.kind, error.status) == ("too_large", 200)
    assert sum(written) < 100_000_000


def test_a_packed_answer_is_unpacked_within_the_same_cap(vendor: Start) -> None:
    bodies = iter([gzip.compress(page()), gzip.compress(b"x" * 50_000_000), b"not packed"])
    server = vendor(lambda handler: say(handler, next(bodies), content_encoding="gzip"))
    address = Address(base_url=server.url, key=KEY, max_bytes=1_000_000)
    with Door(address) as door:
        assert door.get("batches").body == page()
    assert fail(address).kind == "too_large"
    assert fail(address).kind == "not_json"


@pytest.mark.parametrize("when", ["headers", "body"])
def test_a_trickle_ends_at_the_deadline(vendor: Start, when: str) -> None:
    over = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 99999\r\n\r\n" if when == "body" else b""))
        while not over.wait(0.02):
            handler.wfile.write(b"X: 1\r\n" if when == "headers" else b" ")

    address = Address(base_url=vendor(answer).url, key=KEY, total_seconds=0.4, cancel_seconds=0.3)
    started = time.monotonic()
    assert fail(address).kind == "timeout"
    error = fail(address, "post")
    over.set()
    assert (error.kind, error.sent) == ("timeout", True)
    assert time.monotonic() - started < 5


def test_a_name_server_that_does_not_answer_ends_at_the_deadline() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise TimeoutError("the name look-up took too long")

    error = fail(Address(base_url="http://v.example", key=KEY), resolve=resolve)
    assert (error.kind, error.sent) == ("timeout", False)


def test_nothing_listening_is_unreachable_and_never_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = fail(Address(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}", key=KEY), "post")
    assert (error.kind, error.sent, error.status) == ("unreachable", False, None)


def test_an_unknown_name_is_unreachable() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    error = fail(Address(base_url="http://nowhere.example", key=KEY), resolve=resolve)
    assert (error.kind, error.sent) == ("unreachable", False)
    assert "nowhere.example" in error.words


def test_the_systems_own_look_up_is_used() -> None:
    error = fail(Address(base_url="http://name.invalid", key=KEY, total_seconds=20))
    assert error.kind in ("unreachable", "timeout")
    assert error.sent is False


def test_a_call_cut_in_the_middle_may_have_been_carried_out(vendor: Start) -> None:
    server = vendor(lambda handler: handler.connection.shutdown(socket.SHUT_RDWR))
    error = fail(Address(base_url=server.url, key=KEY), "post")
    assert (error.kind, error.sent, error.status) == ("unreachable", True, None)
    assert len(server.asked) == 1


def test_a_kept_connection_that_was_reset_is_replaced_once_for_a_get(vendor: Start) -> None:
    """As OGX does after some 400s."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if len(server.asked) in (2, 4, 5):
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            say(handler, page())

    server = vendor(answer)
    with Door(Address(base_url=server.url)) as door:
        door.get("batches")
        assert door.get("batches").status == 200
        with pytest.raises(VendorError, match="unreachable"):
            door.get("batches")
    assert len(server.asked) == 5


def test_the_key_never_follows_a_redirect_to_another_origin(vendor: Start) -> None:
    other = vendor(lambda handler: say(handler, page()))
    for target in (
        other.url,
        "https://127.0.0.1:1/v1",
        "//evil.example/v1",
        other.url.replace("127.0.0.1", "localhost"),
    ):
        server = vendor(lambda handler, to=target: say(handler, b"", 307, location=to))
        assert fail(Address(base_url=server.url, key=KEY)).kind == "redirected"
        assert fail(Address(base_url=server.url, key=KEY, auth_style="api-key")).kind == "redirected"
    assert other.asked == []


def test_a_redirect_within_the_origin_is_followed_once_for_a_get_and_never_for_a_post(vendor: Start) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/v1/batches":
            say(handler, b"", 308, location="/v1/batches/")
        elif handler.path == "/v1/batches/" and handler.command == "GET":
            say(handler, page())
        else:
            say(handler, b"", 302, location=handler.path)

    server = vendor(answer)
    with Door(Address(base_url=server.url, key=KEY)) as door:
        assert door.get("batches").body == page()
        with pytest.raises(VendorError, match="redirected: more than once"):
            door.get("loop")
    assert fail(Address(base_url=server.url, key=KEY), "post").kind == "redirected"
    assert [command for command, _, _ in server.asked] == ["GET", "GET", "GET", "GET", "POST"]


def test_proxies_of_the_environment_are_not_used(vendor: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server = vendor(lambda handler: say(handler, page()))
    with Door(Address(base_url=server.url)) as door:
        assert door.get("batches").status == 200


@pytest.mark.parametrize("key", ["sk-café", "sk-a\nb", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(VendorError) as raised:
        Door(Address(base_url="http://v.example", key=key))
    assert (raised.value.kind, raised.value.sent) == ("cannot_be_sent", False)
    assert key not in str(raised.value)


def test_no_repr_shows_the_key() -> None:
    address = Address(base_url="http://v.example/v1", key=KEY, extra_headers={"x-secret": KEY})
    with Door(address, transport=answering(200)) as door:
        assert KEY not in repr(address) + repr(door) + repr(vars(door)["_client"].headers)


def test_extra_headers_go_along_but_cannot_change_where_it_goes(vendor: Start) -> None:
    server = vendor(lambda handler: say(handler, page()))
    extra = {"X-Team": "blue", "Host": "evil.example", "Content-Length": "5", "Authorization": "Bearer other"}
    with Door(Address(base_url=server.url, key=KEY, extra_headers=extra)) as door:
        door.get("batches")
    headers = server.asked[0][2]
    assert headers["x-team"] == "blue"
    assert headers["host"] == f"127.0.0.1:{server.server_port}"
    assert headers["authorization"] == f"Bearer {KEY}"


def test_a_query_of_the_base_goes_with_every_request(vendor: Start) -> None:
    server = vendor(lambda handler: say(handler, page()))
    with Door(Address(base_url=f"{server.url}?api-version=2024-10-21")) as door:
        door.get("batches", {"limit": "5"})
    assert server.asked[0][1] == "/v1/batches?api-version=2024-10-21&limit=5"


NOW = 1_780_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "20"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "20"}, 20.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "99999999"}, LONGEST_WAIT),
        ({"retry-after": "inf"}, LONGEST_WAIT),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        # The vendor's clock is an hour behind ours: it means a minute of its own time.
        ({"retry-after": formatdate(NOW - 3_540, usegmt=True), "date": formatdate(NOW - 3_600, usegmt=True)}, 60.0),
        ({"retry-after": "Thu, 99 Foo 2026"}, None),
    ],
)
def test_retry_after_is_understood_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx.Headers(headers), now=NOW) == seconds


def certificate(folder: Path, *, host: str) -> Path:
    """A self-signed certificate for a host and 127.0.0.1's stand-in name, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure(vendor: Start, tmp_path: Path) -> tuple[Vendor, Path]:
    """A vendor that speaks TLS with a self-signed certificate for `vendor.example`."""
    server = vendor(lambda handler: say(handler, page()))
    pem = certificate(tmp_path, host="vendor.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server, pem


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: tuple[Vendor, Path]) -> None:
    address = Address(base_url=f"https://vendor.example:{secure[0].server_port}/v1", key=KEY)
    error = fail(address, resolve=lambda host, port: ["127.0.0.1"])
    assert (error.kind, error.sent) == ("certificate", False)
    assert "self-signed" in error.words
    assert secure[0].asked == []


def test_an_authority_named_by_the_environment_is_trusted_for_the_name_and_not_the_number(
    secure: tuple[Vendor, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, pem = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    good = Address(base_url=f"https://vendor.example:{server.server_port}/v1", key=KEY)
    with Door(good, resolve=lambda host, port: ["127.0.0.1"]) as door:
        assert door.get("batches").body == page()
    other = Address(base_url=f"https://other.example:{server.server_port}/v1", key=KEY)
    assert fail(other, resolve=lambda host, port: ["127.0.0.1"]).kind == "certificate"


def test_a_server_that_speaks_no_tls_is_unreachable(vendor: Start) -> None:
    server = vendor(lambda handler: say(handler, page()))
    error = fail(Address(base_url=server.url.replace("http:", "https:"), key=KEY))
    assert error.kind == "unreachable"
    assert server.asked == []
