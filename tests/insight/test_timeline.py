"""The nine times of a batch as steps: none is lost, none is made up."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.timeline import absent, timeline
from dashboard.models import Batch
from dashboard.models.batch import TERMINAL, Status

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NINE = {
    "created_at": "Created",
    "in_progress_at": "In progress",
    "finalizing_at": "Finalizing",
    "cancelling_at": "Cancelling",
    "cancelled_at": "Cancelled",
    "completed_at": "Completed",
    "failed_at": "Failed",
    "expired_at": "Expired",
    "expires_at": "Deadline",
}


def batch(status: str, **times: datetime | None) -> Batch:
    is_open = status not in TERMINAL
    outcome = "open" if is_open else "succeeded" if status == "completed" else status
    return Batch(status=status, outcome=outcome, is_open=is_open, **times)


@given(
    status=st.sampled_from([status.value for status in Status]),
    minutes=st.lists(st.one_of(st.none(), st.integers(-5_000, 5_000)), min_size=9, max_size=9),
    seen=st.sets(st.sampled_from([status.value for status in Status])),
)
def test_each_of_the_nine_is_a_step_or_said_to_be_absent(
    status: str, minutes: list[int | None], seen: set[str]
) -> None:
    times = {
        field: None if minute is None else NOW + minute * MINUTE for field, minute in zip(NINE, minutes, strict=True)
    }
    made = batch(status, **times)
    steps, missing = timeline(made, NOW, seen), absent(made)
    words = [step.word for step in steps]
    assert sorted([*words, *missing]) == sorted(NINE.values())
    for field, word in NINE.items():
        if times[field]:
            assert next(step for step in steps if step.word == word).at == times[field]
    for step in steps:
        assert step.took is None or step.took >= timedelta(0)
        assert step.at or step.kind in {"skipped", "untimed", "future"}


def test_a_cancelled_batch_whose_cancelling_has_no_time_skipped_it() -> None:
    made = batch("cancelled", created_at=NOW - 9 * MINUTE, cancelled_at=NOW)
    kinds = {step.word: step.kind for step in timeline(made, NOW)}
    assert kinds["Cancelling"] == "skipped"
    assert {step.word: step.kind for step in timeline(made, NOW, {"cancelling"})}["Cancelling"] == "untimed"


@pytest.mark.parametrize(("began", "said"), [(2, "until it began to run"), (None, "")])
def test_how_long_it_waited_is_said_where_it_is_known(began: int | None, said: str) -> None:
    in_progress_at = None if began is None else NOW - 9 * MINUTE + began * MINUTE
    first = timeline(batch("in_progress", created_at=NOW - 9 * MINUTE, in_progress_at=in_progress_at), NOW)[0]
    assert first.said == said
    assert first.took == (2 * MINUTE if began else 9 * MINUTE)
