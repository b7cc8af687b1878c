"""Whether a retry is worth it, for errors as vendors write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.insight.advice import TAGS
from dashboard.insight.retry import ADVICE, RETRY_REASONS, advice, is_retryable, verdict_of

GROUPS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "messages.json").read_text())

YES, LATER, NO = "yes", "later", "no"
REASONS: dict[str, tuple[str, str]] = {
    "context length, chat": (NO, "too_long"),
    "context length, completion": (NO, "too_long"),
    "context length, vLLM": (NO, "too_long"),
    "context length, Anthropic": (NO, "too_long"),
    "completion too long": (NO, "invalid_request"),
    "tokens per minute": (YES, "rate_limited"),
    "requests per day": (YES, "rate_limited"),
    "tokens per minute, Groq": (YES, "rate_limited"),
    "larger than the limit": (NO, "too_long"),
    "rate limit, Azure": (YES, "rate_limited"),
    "no quota": (LATER, "no_quota"),
    "queue full": (YES, "queue_full"),
    "server error": (YES, "server_error"),
    "overloaded": (YES, "server_error"),
    "timed out": (YES, "timed_out"),
    "no such model, OpenAI": (NO, "no_such_model"),
    "no such model, vLLM": (NO, "no_such_model"),
    "no deployment": (NO, "no_such_model"),
    "wrong key": (LATER, "bad_key"),
    "flagged": (NO, "filtered"),
    "filtered, Azure": (NO, "filtered"),
    "filtered, BigModel": (NO, "filtered"),
    "max_tokens not supported": (NO, "invalid_request"),
    "string too long": (NO, "too_long"),
    "schema without required": (NO, "invalid_request"),
    "image not downloaded, 403": (NO, "invalid_request"),
    "image too slow": (YES, "timed_out"),
    "field required, Anthropic": (NO, "invalid_request"),
    "requests per minute, Anthropic": (YES, "rate_limited"),
    "no credit, Anthropic": (LATER, "no_quota"),
    "too many tokens, Voyage": (NO, "too_long"),
    "exhausted, Google": (YES, "rate_limited"),
    "quota, Google": (YES, "rate_limited"),
    "connection": (YES, "server_error"),
    "upstream": (YES, "server_error"),
    "upstream reset": (YES, "server_error"),
    "expired": (YES, "expired"),
    "cancelled": (YES, "cancelled"),
    "not for this endpoint": (NO, "invalid_request"),
    "pydantic, number": (NO, "invalid_request"),
    "pydantic, text": (NO, "invalid_request"),
}


@pytest.mark.parametrize("name", REASONS)
def test_what_vendors_write_is_understood(name: str) -> None:
    group = GROUPS[name]
    for message in group["messages"]:
        retry = is_retryable(group["status"], group["code"], message)
        assert (retry.verdict, retry.reason) == REASONS[name]
        assert bool(retry) is (REASONS[name][0] == YES)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "invalid_request"),
        (401, "bad_key"),
        (402, "no_quota"),
        (403, "forbidden"),
        (404, "invalid_request"),
        (408, "timed_out"),
        (409, "conflict"),
        (413, "too_long"),
        (418, "invalid_request"),
        (422, "invalid_request"),
        (429, "rate_limited"),
        (499, "timed_out"),
        (500, "server_error"),
        (501, "invalid_request"),
        (502, "server_error"),
        (503, "server_error"),
        (504, "server_error"),
        (529, "server_error"),
        (200, "unknown"),
        (302, "unknown"),
        (None, "unknown"),
    ],
)
def test_a_status_alone_says_something(status: int | None, reason: str) -> None:
    assert is_retryable(status, "", "").reason == reason


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ((429, "insufficient_quota", ""), "no_quota"),
        ((429, "", "You exceeded your current quota, please check your plan and billing details."), "no_quota"),
        ((429, "", "please check your plan and billing details. Please retry in 38.4s."), "rate_limited"),
        ((200, "server_error", ""), "server_error"),
        ((200, "", "", "rate_limit_error"), "rate_limited"),
        ((400, "content_filter", ""), "filtered"),
        ((500, "", "This model's maximum context length is 8192 tokens"), "too_long"),
        ((500, " Context_Length_Exceeded ", ""), "too_long"),
        ((None, "", "", "invalid_request_error"), "invalid_request"),
        ((None, "batch_expired", "", ""), "expired"),
        ((None, "invalid_json_line", "This line is not parseable as valid JSON."), "invalid_request"),
        ((None, "duplicate_custom_id", ""), "invalid_request"),
        ((429, "", "", "invalid_request_error"), "rate_limited"),
    ],
)
def test_words_outweigh_the_status(given_: tuple[Any, ...], reason: str) -> None:
    assert is_retryable(*given_).reason == reason


def test_every_reason_and_verdict_has_its_sentence() -> None:
    assert set(ADVICE) == set(RETRY_REASONS)
    assert {verdict_of(reason) for reason in RETRY_REASONS} == set(TAGS)
    assert advice("never heard of") == advice("unknown")
    assert all(advice(reason).endswith(".") for reason in RETRY_REASONS)


@given(st.none() | st.integers(), st.text(), st.text(), st.text())
@settings(deadline=None)
def test_it_has_an_answer_to_anything(status: int | None, code: str, message: str, kind: str) -> None:
    assert is_retryable(status, code, message, kind).reason in RETRY_REASONS
