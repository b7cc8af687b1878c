"""Where a request came from."""

import ipaddress

from django.http import HttpRequest

NO_ADDRESS = "0.0.0.0"  # noqa: S104 (not bound to: stands for a client without an address, such as a Unix socket)

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_in(text: str) -> Address | None:
    """The address in a hop as proxies write it: with or without a port, brackets, or IPv4 inside IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_address(request: HttpRequest) -> str:
    """Where a request came from, for throttling and the audit; behind a proxy after middleware.TrustedProxies."""
    return str(address_in(request.META.get("REMOTE_ADDR", "")) or NO_ADDRESS)
