"""What concerns say: every sentence is whole, whatever is known."""

from datetime import UTC, datetime

import pytest

from dashboard.insight.concern_words import STATES, in_short, sentence
from dashboard.models import Reason

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def clock(at: datetime) -> str:
    return f"{at:%H:%M}"


def span(seconds: float) -> str:
    return f"{seconds / 60:g} min"


def said(reason: Reason, **evidence: object) -> str:
    return sentence(reason, evidence, clock, span)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_shape_and_words_even_without_evidence(reason: Reason) -> None:
    assert STATES[reason]
    assert in_short(reason, {}, clock)
    if reason != Reason.COUNTS_DIFFER:
        assert said(reason).endswith(".")


@pytest.mark.parametrize(
    ("reason", "evidence", "words"),
    [
        (
            Reason.STALLED,
            {
                "status": "in_progress",
                "since": NOON.isoformat(),
                "processed": 1410,
                "total": 3000,
                "usual": 240,
                "usual_most": 660,
            },
            "No count has changed since 12:00, when 1,410 of 3,000 requests were processed. "
            "Usual here is a change every 4 min, nine times of ten within 11 min.",
        ),
        (
            Reason.STALLED,
            {"status": "finalizing", "since": NOON.isoformat(), "usual": 120, "usual_most": 300},
            "Finalizing since 12:00. Usual here is 2 min, nine times of ten less than 5 min.",
        ),
        (
            Reason.STALLED,
            {"status": "validating", "since": NOON.isoformat(), "usual": 120, "usual_most": 120},
            "Validating since 12:00. Usual here is 2 min.",
        ),
        (Reason.ALL_FAILED, {"done": 0, "failed": 1, "total": 1}, "It completed, but its one request failed."),
        (
            Reason.HIGH_FAILED_SHARE,
            {"runs": True, "done": 788, "failed": 612, "total": 20000},
            "612 of the 1,400 requests processed so far failed (44 %).",
        ),
        (
            Reason.COUNTS_DIFFER,
            {"done": 90, "failed": 20, "total": 100},
            "90 completed and 20 failed requests make 110, but there are only 100.",
        ),
        (
            Reason.EXPIRED,
            {"done": 0, "failed": 0, "total": 100},
            "The deadline passed, and none of its 100 requests completed.",
        ),
        (
            Reason.CANCEL_STUCK,
            {"since": NOON.isoformat(), "by": "Ana"},
            "Ana cancelled it at 12:00 and the vendor accepted, but it does not stop. "
            "A cancel usually takes up to 10 minutes.",
        ),
    ],
)
def test_sentences_are_exact(reason: Reason, evidence: dict[str, object], words: str) -> None:
    assert said(reason, **evidence) == words
