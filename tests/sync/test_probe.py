"""The connection test says in plain words what the key can see."""

from collections.abc import Callable

import pytest

from dashboard.models import Connection
from dashboard.sync.probe import check_address, probe
from tests.sync.conftest import Vendor

VendorOf = Callable[..., Vendor]


@pytest.mark.parametrize(
    ("batches", "sentence"),
    [
        (0, "It works. The key is accepted and sees no batches yet."),
        (1, "It works. The key sees 1 batch."),
        (7, "It works. The key sees 7 batches."),
        (1_000, "It works. The key sees more than 20 batches."),
    ],
)
def test_a_good_connection_says_what_it_sees(vendor_of: VendorOf, batches: int, sentence: str) -> None:
    finding = probe(vendor_of(batches).connection)
    assert (finding.good, finding.sentence) == (True, sentence)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("unauthorized", "bad_key"),
        ("not_found", "not_found"),
        ("html", "not_json"),
        ("gateway", "server_error"),
        ("redirect", "redirected"),
        ("disconnect", "unreachable"),
        ("rate_limit", "rate_limited"),
    ],
)
def test_each_failure_has_its_own_words(vendor_of: VendorOf, fault: str, code: str) -> None:
    vendor = vendor_of(10)
    vendor.world.faults.add(fault, "http://127.0.0.2:1/v1" if fault == "redirect" else None)
    finding = probe(vendor.connection)
    assert (finding.good, finding.code) == (False, code)
    answered = code in {"bad_key", "not_found", "server_error", "rate_limited"}
    assert ("The vendor says" in finding.sentence) is answered, "what only we noticed is not put in its mouth"


def test_an_unsaved_connection_can_be_tried(vendor_of: VendorOf) -> None:
    vendor = vendor_of(3)
    draft = Connection(name="draft", base_url=vendor.url)
    assert probe(draft).code == "key_missing"
    draft.set_key(vendor.connection.key)
    assert probe(draft).good
    assert not Connection.objects.filter(name="draft").exists()


@pytest.mark.parametrize("url", ["ftp://x", "http://169.254.169.254/v1", "http://me:pw@vendor.example/v1", "nonsense"])
def test_an_address_that_is_not_allowed_says_why(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        check_address(url)
    assert probe(Connection(name="x", base_url=url)).code == "address_refused"
