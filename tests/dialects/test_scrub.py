"""No key, no person and no trick of the light gets through `scrub`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.dialects import scrub

from .conftest import KEY


@pytest.mark.parametrize(
    "text",
    [
        f"Incorrect API key provided: {KEY}.",
        f"Incorrect API key provided: {KEY[:7]}*****{KEY[-4:]}.",
        f"key {KEY[:3]}...{KEY[-4:]}",
        f"you sent {KEY[4:18]} to us",
        f"Authorization: Bearer {KEY}",
        f"%22{KEY}%22",
        f"a\u200b{KEY[:10]}\u202e{KEY[10:]}",
    ],
)
def test_the_key_is_masked_whole_and_in_part(text: str) -> None:
    clean = scrub(text, [KEY])
    assert KEY[-4:] not in clean
    assert KEY[8:16] not in clean
    assert "[…]" in clean


@pytest.mark.parametrize(
    "text",
    [
        "sk-abc***xyz",
        "Bearer abcdef1234567890",
        "api-key: 0123456789abcdef",
        '"api_key": "0123456789abcdef"',
        "ann.b+c@example.co.uk",
        "organization org-aBcDeFgH12345678",
        "proj_AbC123xyz789",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOi.eyJzdWIiOiIx.SflKxw",
        "https://user:pass1234@host/v1",
    ],
)
def test_what_looks_like_a_secret_or_a_person_is_masked(text: str) -> None:
    clean = scrub(f"before {text} after")
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    for piece in ("abc***", "abcdef12", "01234567", "ann.b", "aBcDeFgH", "AbC123", "AKIA", "eyJ", "pass1234"):
        assert piece not in clean


BEGINNINGS = [
    "sk-",
    "pk_",
    "rk-",
    "gsk_",
    "xai-",
    "nvapi-",
    "hf_",
    "whsec_",
    "csk-",
    "fw_",
    "pplx-",
    "tgp_",
    "AKIA",
    "AIza",
]
BEGINNINGS += ["eyJ", "org-", "org_", "proj_", "user-", "Bearer ", "basic ", "api-key=", "x-api-key: ", "apikey="]
BEGINNINGS += ["access_token=", "auth-token=", "client_secret=", "password: ", "secret="]


@pytest.mark.parametrize("prefix", BEGINNINGS)
def test_what_begins_like_a_secret_is_masked_in_any_letters(prefix: str) -> None:
    rest = "ABCDEF12345678.XY" if prefix == "eyJ" else "ABCDEF12345678"
    for text in (prefix + rest, (prefix + rest).lower(), (prefix + rest).upper()):
        assert "12345678" not in scrub(f"so {text}, then")
        assert "12345678" not in scrub(f'"{text}" of ann@example.com')


@pytest.mark.parametrize(
    "text", ["Cannot cancel a batch with status 'completed'.", "the user-defined task-based risk", "500"]
)
def test_ordinary_words_stay(text: str) -> None:
    assert scrub(text, [KEY]) == text


def test_control_characters_and_overrides_are_gone() -> None:
    assert scrub("a\x00b\x1b[31mc\u202ed\u2066e\r\nf\ud800g\ufeff") == "a b [31mcde fg"


@given(st.text(), st.integers(10, 60))
def test_it_never_grows_beyond_its_limit(text: str, limit: int) -> None:
    assert len(scrub(text * 3, [KEY], limit)) <= limit


@given(st.text(max_size=50), st.integers(0, 20), st.text(max_size=50))
def test_no_eight_characters_of_the_key_are_left(before: str, start: int, after: str) -> None:
    clean = scrub(before + KEY[start : start + 9] + after, [KEY])
    assert not any(KEY[n : n + 8] in clean for n in range(len(KEY) - 7))
