"""Where a key may be sent: the check of an address as typed, and of every address that its name resolves to.

A dashboard that calls whatever address an admin types could be made to ask the cloud's metadata service for the
machine's own credentials. So those addresses are refused, by name, by number in any spelling, and after DNS: the socket
is opened to the very address that was checked, so a name cannot change between the check and the call.
"""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, urlsplit

import httpcore

type IP = ipaddress.IPv4Address | ipaddress.IPv6Address
type Resolve = Callable[[str, int], Sequence[str]]
"""From a name and a port to IP addresses as text. Raises OSError when the name is not known."""

_FORBIDDEN_NETWORKS: Final = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local: metadata of AWS, GCP, Azure, and ECS's task credentials
        "100.100.100.200/32",  # Alibaba's metadata
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.192/32",  # Oracle's older metadata
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::/32",  # AWS's metadata and pod identity
        "fd20:ce::254/128",  # GCP's metadata
    )
]
_FORBIDDEN_NAMES: Final = re.compile(
    r"(?:.*\.)?(?:metadata\.google\.internal|metadata\.goog|metadata|instance-data(?:\.ec2\.internal)?|metadata\.azure\.internal)"
)
_SECRET_PARAMETERS: Final = re.compile(r"key|token|secret|password|sig|auth", re.IGNORECASE)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

# When the call that this thread is in must be over (time.monotonic); the sockets below never wait longer.
deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


type Flaw = Literal[
    "empty",
    "too_long",
    "bad_characters",
    "not_an_address",
    "no_scheme",
    "holds_a_user",
    "no_host",
    "holds_a_fragment",
    "holds_a_secret",
    "holds_dots",
    "metadata_service",
    "never_called",  # link-local and the like, by number
    "private",
]
"""Why an address is not called. A code, not a sentence: the pages translate it."""

FLAWS: Final[tuple[str, ...]] = get_args(Flaw.__value__)


class BadAddress(ValueError):
    """A base URL that will not be called, and why."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw)
        self.flaw: Flaw = flaw


class AddressRefused(Exception):
    """A name turned out to lead to an address that is never called."""


def check_base_url(url: str, allow_private: bool = True) -> str:  # noqa: FBT001
    """The address in its normal spelling: lower case host, no default port, no slash at the end.

    Looks at the text alone, not at DNS; the door checks again what the name resolves to. Raises BadAddress.
    """
    url = url.strip()
    if not url:
        raise BadAddress("empty")
    if len(url) > 2_000:
        raise BadAddress("too_long")
    if not url.isprintable() or re.search(r"[\s\\<>\"{}|^`]", url):
        raise BadAddress("bad_characters")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _normal_host(parts.hostname or "")
    except ValueError:
        raise BadAddress("not_an_address") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise BadAddress("no_scheme")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("holds_a_user")
    if not host:
        raise BadAddress("no_host")
    if parts.fragment:
        raise BadAddress("holds_a_fragment")
    if any(_SECRET_PARAMETERS.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise BadAddress("holds_a_secret")
    if any(segment in (".", "..") for segment in re.sub("%2e", ".", parts.path, flags=re.IGNORECASE).split("/")):
        raise BadAddress("holds_dots")
    if flaw := _refuse_host(host, allow_private=allow_private):
        raise BadAddress(flaw)
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme.lower()]
    shown += f":{port}" if port not in (None, default) else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.lower()}://{shown}{parts.path.rstrip('/')}{query}"


def _normal_host(host: str) -> str:
    # Full-width digits and dots, as browsers do, before anything is compared.
    host = unicodedata.normalize("NFKC", host).replace("。", ".").lower().rstrip(".")
    if not host.isascii():
        host = host.encode("idna").decode()
    if ":" not in host and host and not re.fullmatch(r"[a-z0-9_](?:[a-z0-9_.\-]*[a-z0-9_])?", host):
        raise ValueError(host)
    number = _as_number(host)
    if ":" in host and not number:
        raise ValueError(host)
    return str(number) if number else host


def _as_number(host: str) -> IP | None:
    """An IP address in any spelling that the system's resolver takes: 127.1, 0x7f.1, 017700000001, 2130706433."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fx.]+", host) or not host[0].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _refuse_host(host: str, *, allow_private: bool) -> Flaw | None:
    """Why a host is refused by its looks; None when it is not."""
    number = _as_number(host)
    if number:
        return refuse_ip(number, allow_private=allow_private)
    if _FORBIDDEN_NAMES.fullmatch(host):
        return "metadata_service"
    if not allow_private and (host == "localhost" or host.endswith((".localhost", ".local", ".internal"))):
        return "private"
    return None


def refuse_ip(ip: IP, *, allow_private: bool) -> Flaw | None:
    """Why an IP address is never called; None when it may be."""
    for inner in _unwrap(ip):
        if any(inner.version == network.version and inner in network for network in _FORBIDDEN_NETWORKS):
            return "never_called"
        if not allow_private and not inner.is_global:
            return "private"
    return None


def _unwrap(ip: IP) -> Iterable[IP]:
    """The address, or the IPv4 address that an IPv6 one stands for: a tunnel or translator would lead there."""
    inner: list[IP] = []
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return [ip.ipv4_mapped]
        if ip.sixtofour:
            inner.append(ip.sixtofour)
        if ip.teredo:
            inner.append(ip.teredo[1])
        if ip in _NAT64 or (int(ip) >> 32 == 0 and int(ip) > 1):
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return [ip, *inner]


def look_up(host: str, port: int) -> list[str]:
    """The system's resolver, given up on at the deadline: it has no time-out of its own."""
    found: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(answer[4][0]) for answer in answers)))
        except OSError as error:
            found.put(error)
        except UnicodeError:
            found.put(OSError("not a host name"))

    threading.Thread(target=ask, daemon=True, name="look-up").start()
    try:
        answer = found.get(timeout=max(0.01, min(_left(), 30.0)))
    except queue.Empty:
        raise TimeoutError("the name look-up took too long") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _left() -> float:
    return deadline.get() - time.monotonic()


def _within(timeout: float | None, error: type[Exception]) -> float | None:
    """The time-out, cut to what is left until the deadline."""
    left = _left()
    if left <= 0:
        raise error("the call took too long")
    return left if timeout is None or timeout > left else timeout


class GuardedBackend(httpcore.NetworkBackend):
    """Opens sockets to checked addresses only. TLS still verifies the name that was asked for, not the number."""

    def __init__(self, resolve: Resolve, *, allow_private: bool) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        _within(timeout, httpcore.ConnectTimeout)
        addresses = self._checked(host, port)
        for position, address in enumerate(addresses):
            budget = _within(timeout, httpcore.ConnectTimeout) or 5.0
            # A dead IPv6 route must leave time for IPv4.
            share = budget / (len(addresses) - position)
            try:
                stream = self._sockets.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if position == len(addresses) - 1:
                    raise
            else:
                return _TimedStream(stream)
        raise httpcore.ConnectError("the name has no address")

    def _checked(self, host: str, port: int) -> list[str]:
        number = _as_number(host)
        if not number and _refuse_host(host.rstrip("."), allow_private=self._allow_private):
            raise AddressRefused
        try:
            found = [str(number)] if number else list(self._resolve(host, port))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from None
        except OSError as error:
            raise httpcore.ConnectError(f"the name {host} was not found") from error
        for address in found:
            if refuse_ip(ipaddress.ip_address(address), allow_private=self._allow_private):
                raise AddressRefused
        return found[:4]


class _TimedStream(httpcore.NetworkStream):
    """A socket that keeps to the deadline of the call, even when the vendor sends a byte now and then."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _within(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _within(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = _within(timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
