"""Nothing private gets onto a screen that anybody may read, whatever stands around it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.privacy import masked

WORDS = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789äßéждñ"
WORD = st.text(WORDS, min_size=1, max_size=20)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What may stand right beside a secret: nothing that could itself be a part of it.
EDGE = st.text(" ,;:()[]<>\"'\t\n|", min_size=1, max_size=4)


@given(WORD, WORD, WORD, st.sampled_from(["@", "%40", "＠"]), EDGE, EDGE, st.text(max_size=60))
def test_no_address_gets_through_in_any_alphabet(
    local: str, host: str, top: str, at: str, before: str, after: str, around: str
) -> None:
    for address in (f"{local}{at}{host}.{top}", f"{local}.{top}{at}{host}"):
        said = masked(f"for{before}{address}{after}{around[:20]}")
        assert f"{at}{host}" not in said
        assert f"{local}{at}" not in said


@given(
    st.sampled_from(["sk-", "sk-proj-", "gsk_", "org-", "Bearer ", "api-key: ", "organization_id=", "tenant: ", ""]),
    st.text(LETTERS, min_size=12, max_size=20),
    st.text("0123456789", min_size=12, max_size=20),
    EDGE,
    EDGE,
)
def test_no_key_and_no_organisation_gets_through(prefix: str, some: str, rest: str, before: str, after: str) -> None:
    secret = f"{some}{rest}{some}"
    said = masked(f"so{before}{prefix}{secret}{after}then")
    assert some not in said
    assert rest not in said


@given(st.text(max_size=700))
def test_it_is_one_line_that_masking_again_does_not_change(text: str) -> None:
    said = masked(text)
    assert said == masked(said)
    assert not {unicodedata.category(character) for character in said} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(said) <= 500


@pytest.mark.parametrize(
    "text",
    [
        "nightly-eval-2026-11-21",
        "catalog-enrich-fr-shard-03",
        "gpt-5-mini / /v1/responses",
        "model_not_found",
        "Rate limit reached: 200000 of 200000 tokens per minute",
        "Bewertung Größe 7 (küche)",
        "commit 8f2c1d9ab",
        "judge 12 @ 3 pm",
        "org-chart",
        "reorganization of projects",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("eval for ann@localhost", "eval for […]"),
        ("org org-aBcDeFgH1234 has no access", "org […] has no access"),
        ("workspace_id: 3f2b, model x", "[…], model x"),
        ("id 123e4567-e89b-12d3-a456-426614174000 unknown", "id […] unknown"),
        ("in organization org-9kZ on tokens", "in organization […] on tokens"),
        ("organisation 'acme-corp' has none", "[…] has none"),
        ("of wrkspc_01AbCd and acct_1A2b3C", "of […] and […]"),
        ("arn:aws:bedrock:us-east-1:123456789012:model/x is unknown", "[…] is unknown"),
        ("no quota in projects/acme-prod/locations/eu", "no quota in […]/locations/eu"),
        ("consumer project_number:123456789", "consumer […]"),
        ("https://acme-prod.openai.azure.com/openai/x", "https://[…].openai.azure.com/openai/x"),
        ("a\u202e\u200bb\x00", "ab"),
    ],
)
def test_what_is_private_is_masked_and_the_rest_is_kept(text: str, left: str) -> None:
    assert masked(text) == left
