"""Lines that real servers wrote, as they came: how each request ended, and which failures are one error.

Recorded from aimock 1.43.0 and from OGX 1.5.0 with llmock 0.2.2 behind it: a model that refuses (400, 429, 500), one
that is gone, and requests that OGX itself refuses. Nothing in them is changed.
"""

from collections import Counter
from pathlib import Path

import pytest

from dashboard.dialects import ResultLine, lines_of, read_line
from dashboard.insight.retry import is_retryable
from dashboard.insight.signature import signature_of

PAYLOADS = Path(__file__).parents[1] / "payloads"
SCHEMA = "<n> validation error for OpenAIChatCompletionRequestWithExtraBody"
MORE = "For further information visit <url>"
LEAST = "Input should be greater than or equal to <n> [type=greater_than_equal, input_value=<value>, input_type=int]"

type Group = tuple[int | None, str, str, str]

# The groups of each file: status, code, normalised message, whether another try helps; and how many lines are in each.
GROUPS: dict[str, dict[Group, int]] = {
    "aimock/errors": {
        (None, "mock_failure", "Mock batch failure (X-AIMock-Batch-Outcome: failed)", "unknown"): 3,
    },
    "ogx/recorded_errors": {
        (400, "request_failed", "Error code: 400 - Bad request.", "invalid_request"): 3,
        (429, "request_failed", "Error code: 429 - Rate limit exceeded.", "rate_limited"): 2,
        (500, "request_failed", "Error code: 500 - Internal server error.", "server_error"): 1,
        (None, "request_failed", "Connection error.", "server_error"): 2,
        (
            None,
            "request_failed",
            f"{SCHEMA} temperature Input should be a valid number, unable to parse string as a number"
            f" [type=float_parsing, input_value=<value>, input_type=str] {MORE}",
            "invalid_request",
        ): 1,
        (None, "request_failed", f"{SCHEMA} max_tokens {LEAST} {MORE}", "invalid_request"): 1,
        (None, "request_failed", f"{SCHEMA} n {LEAST} {MORE}", "invalid_request"): 1,
        (
            None,
            "request_failed",
            f"{SCHEMA} messages List should have at least <n> item after validation, not <n> [type=too_short,"
            f" input_value=<value>, input_type=list] {MORE}",
            "invalid_request",
        ): 1,
        (None, "request_failed", "Unknown message role: wizard", "unknown"): 1,
    },
}
# Every request of these succeeded: custom_id, model, tokens in and out.
ANSWERS: dict[str, list[tuple[str, str, int, int]]] = {
    "aimock/output": [
        ("question-1", "calm/gpt-4o", 1, 1),
        ("question-2", "calm/gpt-4o", 1, 1),
        ("question-1", "calm/gpt-4o", 1, 1),
        # It answers to a line that is no JSON under a name of its own.
        ("request-2", "aimock", 1, 1),
    ],
    "ogx/recorded_output": [("question-1", "calm/gpt-4o", 1, 10), ("question-2", "calm/gpt-4o", 1, 10)],
}


def lines_in(name: str) -> list[ResultLine]:
    lines = [read_line(line.raw, line.number) for line in lines_of([(PAYLOADS / f"{name}.jsonl").read_bytes()])]
    read = [line for line in lines if isinstance(line, ResultLine)]
    assert len(read) == len(lines), "none is unreadable"
    return read


@pytest.mark.parametrize("name", GROUPS)
def test_failures_come_down_to_the_errors_they_are(name: str) -> None:
    lines = lines_in(name)
    assert {line.ended for line in lines} == {"failed"}
    assert all(line.custom_id and line.custom_id.startswith("question-") for line in lines)
    found = Counter[Group]()
    keys = set()
    for line in lines:
        signature = signature_of(line.status, line.name, line.message)
        keys.add(signature.key)
        reason = is_retryable(line.status, line.name, line.message).reason
        found[line.status, line.name, signature.message, reason] += 1
    assert found == GROUPS[name]
    assert len(keys) == len(found)


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_read_with_their_model_and_tokens(name: str) -> None:
    lines = lines_in(name)
    assert {(line.ended, line.status, line.name, line.message) for line in lines} == {("succeeded", 200, "", "")}
    assert [(line.custom_id, line.model, line.tokens_input, line.tokens_output) for line in lines] == ANSWERS[name]
