"""The truth about a batch: status and counts together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.outcome import in_words, outcome_of, outcomes_of_status, state_of
from dashboard.models import Batch
from dashboard.models.batch import TERMINAL, Outcome, Status


@pytest.mark.parametrize(
    ("status", "counts", "outcome"),
    [
        ("completed", (100, 100, 0), "succeeded"),
        ("completed", (100, 97, 3), "partial"),
        ("completed", (100, 97, 0), "partial"),  # three unaccounted for: not green
        ("completed", (100, 0, 100), "all_failed"),
        ("completed", (100, 0, 0), "partial"),
        ("completed", (0, 0, 0), "no_requests"),
        ("completed", (None, None, None), "uncounted"),
        ("completed", (None, 5, 0), "succeeded"),
        ("completed", (10, 12, 0), "succeeded"),  # a retry's miscount
        ("completed", (10, None, 3), "uncounted"),
        ("failed", (0, 0, 0), "failed_validation"),
        ("failed", (None, None, None), "failed_validation"),
        ("failed", (10, 4, 6), "failed"),
        ("expired", (1000, 812, 0), "expired"),
        ("cancelled", (100, 40, 0), "cancelled"),
        ("validating", (0, 0, 0), "open"),
        ("cancelling", (100, 40, 60), "open"),
        ("unknown", (100, 100, 0), "unknown"),
    ],
)
def test_outcome_is_never_better_than_the_counts(
    status: str, counts: tuple[int | None, int | None, int | None], outcome: str
) -> None:
    assert outcome_of(status, *counts) == outcome


@pytest.mark.parametrize(
    ("counts", "in_files", "outcome"),
    [
        ((100, 100, 0), 3, "partial"),
        ((100, 100, 0), 100, "all_failed"),
        ((100, 100, 0), 101, "all_failed"),  # a retry's lines
        ((100, 90, 10), 7, "partial"),
        ((100, 1, 99), 100, "all_failed"),
        ((None, 5, 0), 5, "all_failed"),
        ((10, 10, None), 3, "partial"),
        ((10, None, None), 3, "uncounted"),
        ((0, 0, 0), 3, "uncounted"),  # a server that never counts
    ],
)
def test_outcome_is_never_better_than_the_files(
    counts: tuple[int | None, int | None, int | None], in_files: int, outcome: str
) -> None:
    assert outcome_of("completed", *counts, failed_in_files=in_files) == outcome


@pytest.mark.parametrize("status", ["in_progress", "expired", "cancelled", "failed"])
def test_files_change_no_other_end(status: str) -> None:
    assert outcome_of(status, 10, 9, 1, failed_in_files=4) == outcome_of(status, 10, 9, 1)


def test_a_failure_after_the_start_is_no_failed_validation() -> None:
    assert outcome_of("failed", 0, 0, 0, started=True) == "failed"


@pytest.mark.parametrize(
    ("fields", "words", "state"),
    [
        ({"status": "in_progress", "outcome": "open"}, "In progress", "in_progress"),
        (
            {"outcome": "partial", "requests_total": 1500, "requests_completed": 1402},
            "Partial, 1,402 of 1,500",
            "partial",
        ),
        (
            {"outcome": "partial", "requests_total": 100, "requests_completed": 100, "failed_in_files": 3},
            "Partial, 97 of 100",
            "partial",
        ),
        ({"outcome": "partial", "requests_completed": 5, "requests_failed": 2}, "Partial, 5 of 7", "partial"),
        (
            {"outcome": "expired", "requests_total": 1000, "requests_completed": 812, "output_file_id": "f"},
            "Expired, 812 of 1,000 usable",
            "expired",
        ),
        (
            {"outcome": "expired", "requests_total": 1000, "requests_completed": 812},
            "Expired, 812 of 1,000 done, no output",
            "expired",
        ),
        ({"outcome": "expired", "requests_total": 9, "requests_completed": 0}, "Expired, 0 of 9 usable", "expired"),
        ({"outcome": "expired"}, "Expired", "expired"),
        (
            {"outcome": "cancelled", "requests_completed": 40, "output_file_id": "f"},
            "Cancelled, 40 usable",
            "cancelled",
        ),
        ({"outcome": "cancelled", "requests_completed": 40}, "Cancelled, 40 done, no output", "cancelled"),
        ({"outcome": "cancelled", "requests_completed": 0}, "Cancelled, 0 usable", "cancelled"),
        ({"outcome": "unknown", "raw_status": "queued_local"}, "queued_local", "unknown"),
        ({"outcome": "all_failed"}, "All failed", "failed"),
        ({"status": "in_progress", "outcome": "unseen"}, "No longer visible", "gone"),
    ],
)
def test_words_and_state(fields: dict[str, object], words: str, state: str) -> None:
    batch = Batch(**fields)
    assert (in_words(batch), state_of(batch)) == (words, state)


def test_every_outcome_has_words_and_a_state() -> None:
    for outcome in Outcome:
        batch = Batch(status="in_progress", outcome=outcome, raw_status="x")
        assert in_words(batch)
        assert state_of(batch)


COUNT = st.none() | st.integers(0, 3)


@given(status=st.sampled_from(Status.values), total=COUNT, completed=COUNT, failed=COUNT, in_files=st.integers(0, 3))
def test_a_status_tells_which_outcomes_there_can_be(
    status: str, total: int | None, completed: int | None, failed: int | None, in_files: int
) -> None:
    assert outcome_of(status, total, completed, failed, failed_in_files=in_files) in outcomes_of_status(status)


def test_no_outcome_of_an_end_belongs_to_two_statuses() -> None:
    found = [outcome for status in TERMINAL for outcome in outcomes_of_status(status)]
    assert len(found) == len(set(found))
    assert not set(found) & outcomes_of_status("in_progress")
