"""The one place that opens a connection to a vendor: caps, deadlines, redirects, and what every failure means."""

from __future__ import annotations

import functools
import os
import socket
import ssl
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import certifi
import httpcore
import httpx

from .base import Address, Kind, RemoteContent, VendorError
from .guard import AddressRefused, BadAddress, GuardedBackend, Resolve, check_base_url, deadline, look_up
from .headers import LONGEST_WAIT, clock, is_past_the_end, part_of, retry_after
from .scrub import scrub
from .wire import read_error

__all__ = ["LONGEST_WAIT", "Answer", "BadAddress", "Door", "check_base_url", "retry_after"]

_LONGEST_REFUSAL: Final = 64 * 1024
_STEP: Final = 64 * 1024
_NO_END: Final = sys.maxsize
# Headers that decide where and how a request goes are ours; a connection's extra headers may not set them.
_OUR_HEADERS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te"})
_KINDS: Final[dict[int, Kind]] = {
    401: "bad_key",
    403: "forbidden",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    429: "rate_limited",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer, read to its end. `vendor_now` is its Date header in unix seconds."""

    status: int
    body: bytes
    content_type: str
    request_id: str
    vendor_now: int | None


class Door:
    """A client for one vendor at one address. Every failure is a VendorError without a trace of the key.

    `transport` and `resolve` stand in for the network and for DNS in tests. Serves one thread at a time.
    Raises VendorError (address_refused, cannot_be_sent) when the address or the key cannot be used at all.
    """

    def __init__(
        self, address: Address, *, transport: httpx.BaseTransport | None = None, resolve: Resolve = look_up
    ) -> None:
        # Other headers may hold a second secret, or just a version that a vendor may well mention.
        self.secrets = (address.key.strip(), *(text for text in address.extra_headers.values() if len(text) >= 8))
        self._address = address
        self._resolve = resolve
        self._transport = transport
        try:
            self._base = httpx.URL(check_base_url(address.base_url, address.allow_private))
        except BadAddress:
            raise VendorError("address_refused", sent=False) from None
        except httpx.InvalidURL:
            raise VendorError("cannot_be_sent", sent=False) from None
        self._headers = self._make_headers()
        self._client = self._open()
        self._asked = False

    def __repr__(self) -> str:
        return f"Door({str(self._base)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()

    def get(self, path: str, params: dict[str, str] | None = None) -> Answer:
        """Ask for a path below the base. A redirect within the origin is followed once; a kept connection that the
        vendor has cut meanwhile is replaced once. Raises VendorError."""
        return self._call("GET", self._url(path, params), self._client, self._address.total_seconds)

    def post(self, path: str) -> Answer:
        """Post nothing to a path below the base, once, on a fresh connection: a kept one may have been cut, and then
        nobody would know whether the vendor got it. Raises VendorError."""
        with self._open() as client:
            return self._call("POST", self._url(path, None), client, self._address.cancel_seconds)

    @contextmanager
    def open(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[RemoteContent]:
        """The body at a path below the base as a stream, from `offset` on where the server can. Raises VendorError.

        A redirect is followed once, also to another origin (where clouds keep what they sign addresses for), but none
        of our headers goes there, the key least of all, and never from https to http.
        """
        with ExitStack() as stack:
            # Of the headers alone; the pieces have their own.
            token = deadline.set(time.monotonic() + self._address.total_seconds)
            try:
                response = self._opened(self._url(path, None), offset, length, stack)
                begins_at, size = part_of(response)
                if begins_at != offset:
                    # The whole file, whatever was asked for, or another part of it.
                    if response.status_code == 206:
                        response.close()
                        response = self._opened(self._url(path, None), 0, None, stack)
                    begins_at, size = 0, part_of(response)[1]
            finally:
                deadline.reset(token)
            unmarked = not {"content-length", "transfer-encoding"} & response.headers.keys()
            yield RemoteContent(begins_at, size, unmarked, self._pieces(response))

    def _make_headers(self) -> list[tuple[bytes, bytes]]:
        """Every header of a request. Raises VendorError for what no header can carry."""
        address, key = self._address, self._address.key.strip()
        ours = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "batches-dashboard"}
        ours |= {name: text for name, text in address.extra_headers.items() if name.lower() not in _OUR_HEADERS}
        if address.organization:
            ours["OpenAI-Organization"] = address.organization
        if address.project:
            ours["OpenAI-Project"] = address.project
        if key and address.auth_style == "bearer":
            ours["Authorization"] = f"Bearer {key}"
        elif key and address.auth_style == "api-key":
            ours["api-key"] = key
        if not all(text.isascii() and text.isprintable() for pair in ours.items() for text in pair):
            raise VendorError("cannot_be_sent", sent=False)
        return [(name.encode(), text.strip().encode()) for name, text in ours.items()]

    def _open(self) -> httpx.Client:
        address = self._address
        timeout = httpx.Timeout(address.read_seconds, connect=address.connect_seconds)
        # The headers are not given to the client, whose repr would show an api-key.
        transport = self._transport or _GuardedTransport(self._resolve, allow_private=address.allow_private)
        return httpx.Client(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False, headers={})

    def _url(self, path: str, params: dict[str, str] | None) -> httpx.URL:
        base = self._base
        url = base.copy_with(raw_path=base.raw_path.partition(b"?")[0].rstrip(b"/") + b"/" + path.encode())
        merged = dict(base.params) | (params or {})
        return url.copy_with(params=merged) if merged else url

    def _call(self, method: str, url: httpx.URL, client: httpx.Client, seconds: float) -> Answer:
        token = deadline.set(time.monotonic() + seconds)
        try:
            answer = self._try(method, url, client)
            if isinstance(answer, _CutError) and method == "GET" and self._asked:
                answer = self._try(method, url, client)
            if isinstance(answer, httpx.URL):
                if method != "GET" or _origin(answer) != _origin(url):
                    where = f"{answer.scheme}://{answer.netloc.decode('ascii', 'replace')}"
                    raise VendorError("redirected", scrub(where, self.secrets))
                answer = self._try(method, answer, client)
            if isinstance(answer, httpx.URL):
                raise VendorError("redirected", detail="more than once")
            if isinstance(answer, VendorError):
                # What it holds on to so far leads to the request, and so to the key.
                answer.__context__ = None
                raise answer.with_traceback(None)
            return answer
        finally:
            deadline.reset(token)

    def _try(self, method: str, url: httpx.URL, client: httpx.Client) -> Answer | httpx.URL | VendorError:
        """One request: an answer, where to go instead, or what went wrong.

        Failures are returned, not raised, so that no traceback chains back to httpx's error with its request and key.
        """
        started = False
        try:
            request = client.build_request(method, url, headers=self._headers)
            response = client.send(request, stream=True)
            started = True
            try:
                return self._read(response)
            finally:
                response.close()
        except VendorError as error:
            return error
        except (AddressRefused, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            return self._failure(error, started=started)

    def _opened(self, url: httpx.URL, offset: int, length: int | None, stack: ExitStack) -> httpx.Response:
        """A good answer with its body still unread; the stack closes it."""
        # What is packed for the way cannot be entered in the middle.
        plain = {"Accept": "*/*", "User-Agent": "batches-dashboard", "Accept-Encoding": "gzip"}
        if offset or length is not None:
            last = "" if length is None else offset + length - 1
            plain |= {"Range": f"bytes={offset}-{last}", "Accept-Encoding": "identity"}
        ranged = [(name.encode(), text.encode()) for name, text in plain.items()]
        of_way = {name.lower().encode() for name in (*plain, "Range")}
        ours = [pair for pair in self._headers if pair[0].lower() not in of_way]
        found = self._start(url, self._client, ours + ranged)
        if isinstance(found, _CutError) and self._asked:
            found = self._start(url, self._client, ours + ranged)
        if isinstance(found, httpx.URL):
            if _origin(found) == _origin(url):
                found = self._start(found, self._client, ours + ranged)
            elif url.scheme == "https" and found.scheme != "https":
                found = VendorError("redirected", detail="to an address without encryption")
            else:
                found = self._start(found, stack.enter_context(self._open()), ranged)
        if isinstance(found, httpx.URL):
            raise VendorError("redirected", detail="more than once")
        if isinstance(found, VendorError):
            found.__context__ = None
            raise found.with_traceback(None)
        stack.callback(found.close)
        return found

    def _start(
        self, url: httpx.URL, client: httpx.Client, headers: list[tuple[bytes, bytes]]
    ) -> httpx.Response | httpx.URL | VendorError:
        """One request for a stream: its answer, where to go instead, or what went wrong."""
        try:
            response = client.send(client.build_request("GET", url, headers=headers), stream=True)
            if 200 <= response.status_code < 300 or is_past_the_end(response):
                self._asked = True
                return response
            try:
                elsewhere = self._read(response)
            finally:
                response.close()
            return elsewhere if isinstance(elsewhere, httpx.URL) else VendorError("refused")
        except VendorError as error:
            return error
        except (AddressRefused, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            return self._failure(error, started=False)

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """The body of a stream. However slowly it is taken, the vendor has `read_seconds` for each piece."""
        address = self._address
        until = time.monotonic() + address.file_seconds
        chunks = iter(()) if is_past_the_end(response) else self._chunks(response, _NO_END)
        is_first = "html" in response.headers.get("content-type", "")
        while True:
            # Set anew each time: whoever takes the pieces may do so from several threads, each with its own deadline.
            token = deadline.set(min(time.monotonic() + address.read_seconds, until))
            failure: VendorError | None = None
            chunk = b""
            try:
                chunk = next(chunks, b"")
            except (VendorError, httpx.HTTPError, httpx.StreamError, OSError) as error:
                failure = self._failure(error, started=True)
            finally:
                deadline.reset(token)
            if is_first and chunk.lstrip().startswith(b"<"):
                # A proxy's page. A server that only forgot to say what its lines are is read.
                failure = VendorError("not_json", read_error(chunk, secrets=self.secrets), status=response.status_code)
            is_first = False
            if failure is not None:
                failure.__context__ = None
                raise failure.with_traceback(None)
            if not chunk:
                return
            yield chunk

    def _read(self, response: httpx.Response) -> Answer | httpx.URL:
        self._asked = True
        headers, status = response.headers, response.status_code
        request_id = scrub(headers.get("x-request-id", ""), self.secrets, limit=100)
        if 300 <= status < 400:
            if "location" in headers and status in (301, 302, 303, 307, 308):
                return response.request.url.join(headers["location"])
            raise VendorError("redirected", detail="without saying where to", status=status, request_id=request_id)
        content_type = headers.get("content-type", "")
        if 200 <= status < 300:
            body = b"".join(self._chunks(response, self._address.max_bytes))
            return Answer(status, body, scrub(content_type, self.secrets, limit=100), request_id, clock(headers))
        body = b""
        try:
            for chunk in self._chunks(response, _LONGEST_REFUSAL):
                body += chunk
        except (VendorError, httpx.HTTPError):
            pass  # the status says enough, and half of the words are better than none
        kind: Kind = "server_error" if status >= 500 else _KINDS.get(status, "refused")
        words = read_error(body, content_type, secrets=self.secrets)
        wait = retry_after(headers, now=time.time())
        raise VendorError(kind, words, status=status, retry_after=wait, request_id=request_id)

    def _chunks(self, response: httpx.Response, most: int) -> Iterator[bytes]:
        """The body, unpacked, never more than `most` bytes of it. Raises VendorError: too_large, timeout, not_json."""
        status = response.status_code
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        # Unpacked here and not by httpx, which makes a few kilobytes into gigabytes before anyone can look.
        unpack = zlib.decompressobj(wbits=31) if encoding in ("gzip", "x-gzip") else None
        if unpack is None and encoding not in ("identity", ""):
            raise VendorError("not_json", detail=scrub(f"packed as {encoding}"), status=status)
        size = 0
        for packed in cast("Iterable[bytes]", response.stream):
            if time.monotonic() > deadline.get():
                raise VendorError("timeout", detail="the answer took too long", status=status)
            for chunk in _plain(packed, unpack, status) if unpack else (packed,):
                size += len(chunk)
                if chunk:
                    yield chunk[: len(chunk) - max(size - most, 0)]
                if size > most:
                    raise VendorError("too_large", detail=f"more than {most} bytes", status=status)
        if unpack and (rest := unpack.flush()):
            yield rest
        if unpack and size and not unpack.eof:
            raise VendorError("not_json", detail="cut off while packed", status=status)

    def _failure(self, error: Exception, *, started: bool) -> VendorError:
        if isinstance(error, VendorError):
            return error
        if isinstance(error, AddressRefused):
            return VendorError("name_refused", sent=False)
        return self._explain(error, started=started)

    def _explain(self, error: Exception, *, started: bool) -> VendorError:
        causes = list(_causes(error))
        words = scrub(str(error), self.secrets)
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return VendorError("certificate", scrub(cause.verify_message, self.secrets), sent=False)
            if isinstance(cause, socket.gaierror):
                words = scrub(f"{error}: {cause.strerror}", self.secrets)
        if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
            return VendorError("timeout", words, detail="connecting took too long", sent=False)
        if isinstance(error, httpx.TimeoutException):
            return VendorError("timeout", words, detail="the answer took too long")
        if isinstance(error, httpx.ConnectError):
            return VendorError("unreachable", words, sent=False)
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return VendorError("cannot_be_sent", sent=False)
        cut = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError) and not started
        return (_CutError if cut else VendorError)("unreachable", words, detail="the connection was cut" if cut else "")


def _plain(packed: bytes, unpack: zlib._Decompress, status: int) -> Iterator[bytes]:
    """Unpack step by step: a few kilobytes may hold megabytes."""
    while packed:
        try:
            yield unpack.decompress(packed, _STEP)
        except zlib.error:
            raise VendorError("not_json", detail="damaged while packed", status=status) from None
        packed = unpack.unconsumed_tail


class _CutError(VendorError):
    """The connection was cut before a word of the answer."""


class _GuardedTransport(httpx.HTTPTransport):
    """httpx's transport on our sockets. httpx has no parameter for the backend, hence the pool put in its place."""

    def __init__(self, resolve: Resolve, *, allow_private: bool) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=_trust(*_authorities()),
            max_connections=4,
            keepalive_expiry=30.0,
            network_backend=GuardedBackend(resolve, allow_private=allow_private),
        )


def _authorities() -> tuple[str, float]:
    """The file of certificate authorities, SSL_CERT_FILE or certifi's, and when it last changed."""
    path = os.environ.get("SSL_CERT_FILE") or certifi.where()
    return path, Path(path).stat().st_mtime if Path(path).exists() else 0.0


@functools.lru_cache(maxsize=4)
def _trust(path: str, _changed: float) -> ssl.SSLContext:
    # Reading the authorities takes longer than a whole call; a changed file makes a new context.
    return ssl.create_default_context(cafile=path)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower(), url.port or {"http": 80, "https": 443}.get(url.scheme)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1
