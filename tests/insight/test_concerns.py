"""What needs attention, from a row alone: its evidence, and when to look again."""

import json
from datetime import UTC, datetime, timedelta

from dashboard.insight.concerns import Known, Usual, judged
from dashboard.models import Batch, Reason
from dashboard.models.batch import Outcome

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def running(status: str = "in_progress", **columns: object) -> Batch:
    given: dict[str, object] = {"is_open": True, "outcome": Outcome.OPEN, "first_seen_at": NOON, "misses": 0}
    return Batch(status=status, **(given | columns))


def test_evidence_is_plain_and_does_not_change_as_time_passes() -> None:
    """Else every tick would write it anew."""
    created = NOON - timedelta(hours=23)
    batch = running(
        created_at=created, expires_at=NOON + timedelta(hours=1), requests_total=100, requests_completed=1,
        requests_failed=0, in_progress_at=created,
    )  # fmt: skip
    known = Known(usual=lambda _status: Usual(240.4, 660.9, 20))
    first, later = (judged(batch, NOON + timedelta(minutes=minutes), known).reasons for minutes in (0, 20))
    assert set(first) == {Reason.STALLED, Reason.WINDOW_NEARLY_OVER}
    assert first == later
    assert json.loads(json.dumps(first)) == first


def test_time_alone_is_asked_for_at_the_moment_when_it_matters() -> None:
    batch = running("validating", created_at=NOON, expires_at=NOON + timedelta(hours=24))
    found = judged(batch, NOON, Known())
    assert not found.reasons
    assert found.again_at == NOON + timedelta(minutes=15)


def test_what_is_usual_is_not_asked_for_before_it_matters() -> None:
    def never(_status: str) -> Usual:
        raise AssertionError

    judged(running("validating", created_at=NOON), NOON + timedelta(minutes=14), Known(usual=never))
