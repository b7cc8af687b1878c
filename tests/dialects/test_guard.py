"""Keys go to no address that could be a cloud's metadata service, however it is spelled and whatever DNS says."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest

from dashboard.dialects import FLAWS, Address, BadAddress, VendorError, check_base_url
from dashboard.dialects.door import Door
from dashboard.dialects.guard import refuse_ip

from .conftest import Vendor, page, say


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        (" HTTPS://API.OpenAI.com:443/v1 ", "https://api.openai.com/v1"),
        ("http://127.0.0.1:18321/v1", "http://127.0.0.1:18321/v1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://localhost:80/", "http://localhost"),
        ("http://2130706433/v1", "http://127.0.0.1/v1"),
        ("http://10.0.0.5/v1", "http://10.0.0.5/v1"),
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/v1"),
        (
            "https://r.openai.azure.com/openai?api-version=2024-10-21",
            "https://r.openai.azure.com/openai?api-version=2024-10-21",
        ),
        ("http://my_service:8000/v1", "http://my_service:8000/v1"),
    ],
)
def test_an_address_gets_its_normal_spelling(typed: str, normal: str) -> None:
    assert check_base_url(typed) == normal
    assert check_base_url(normal) == normal


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "api.openai.com/v1",
        "ftp://api.openai.com",
        "file:///etc/passwd",
        "https://",
        "https://user:pw@api.openai.com/v1",
        "https://@api.openai.com/v1",
        "https://api.openai.com/v1#x",
        "https://api.openai.com/v1?key=abc",
        "https://api.openai.com/v1/../admin",
        "https://api.openai.com/v1/%2e%2E/admin",
        "https://api.openai.com:99999/v1",
        "https://api.openai.com:x/v1",
        "https://api.open ai.com",
        "https://api.openai.com\\@evil.example/v1",
        "https://a\nb.example",
        "https://[zz::1]/v1",
        "https://-/v1",
        "https://" + "a" * 2_000,
        "http://169.254.169.254/latest",
        "http://169.254.169.254./latest",
        "http://0xA9FEA9FE/",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://１６９.２５４.１６９.２５４/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://[::169.254.169.254]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fd00:ec2::254]/",
        "http://[fd20:ce::254]/",
        "http://[::]/",
        "http://[ff02::1]/",
        "http://0.0.0.0/",
        "http://0/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://100.100.100.200/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://metadata/",
        "http://instance-data/",
    ],
)
def test_a_bad_address_is_refused_with_a_reason(typed: str) -> None:
    with pytest.raises(BadAddress) as raised:
        check_base_url(typed)
    assert raised.value.flaw in FLAWS


@pytest.mark.parametrize(
    "typed",
    ["http://127.0.0.1", "http://127.1", "http://localhost", "http://a.localhost", "http://10.1.2.3", "http://[::1]",
     "http://192.168.0.1", "http://100.64.0.1", "http://[fc00::1]", "http://[::ffff:10.0.0.1]", "http://nas.local"],
)  # fmt: skip
def test_private_addresses_can_be_refused(typed: str) -> None:
    check_base_url(typed)
    with pytest.raises(BadAddress, match="private"):
        check_base_url(typed, allow_private=False)


def test_public_addresses_stay_allowed() -> None:
    for text in ("1.1.1.1", "104.18.7.192", "2606:4700::6812:7c0"):
        assert refuse_ip(ipaddress.ip_address(text), allow_private=False) is None


@pytest.mark.parametrize(
    "answers",
    [["169.254.169.254"], ["93.184.216.34", "169.254.169.254"], ["::ffff:169.254.1.1"], ["fe80::1%eth0"], ["0.0.0.0"]],
)
def test_a_name_that_leads_to_a_refused_address_is_never_called(answers: list[str]) -> None:
    door = Door(Address(base_url="http://vendor.example/v1", key="sk-1"), resolve=lambda host, port: answers)
    with door, pytest.raises(VendorError) as raised:
        door.get("batches")
    assert raised.value.kind == "name_refused"
    assert raised.value.sent is False


def test_a_name_that_leads_to_a_private_address_is_refused_where_those_are() -> None:
    address = Address(base_url="http://vendor.example/v1", allow_private=False)
    with Door(address, resolve=lambda host, port: ["127.0.0.1"]) as door, pytest.raises(VendorError) as raised:
        door.get("batches")
    assert (raised.value.kind, raised.value.sent) == ("name_refused", False)


def test_the_socket_goes_to_the_address_that_was_checked(vendor: Callable[..., Vendor]) -> None:
    """A second look-up, which a hostile DNS server answers differently, never happens."""
    server = vendor(lambda handler: say(handler, page()))
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    address = Address(base_url=f"http://vendor.example:{server.server_port}/v1")
    with Door(address, resolve=lambda host, port: next(answers)) as door:
        assert door.get("batches").status == 200
    assert server.asked[0][2]["host"] == f"vendor.example:{server.server_port}"


def test_a_dead_address_leaves_time_for_the_next(vendor: Callable[..., Vendor]) -> None:
    server = vendor(lambda handler: say(handler, page()))
    address = Address(base_url=f"http://vendor.example:{server.server_port}/v1")
    with Door(address, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"]) as door:
        assert door.get("batches").status == 200
