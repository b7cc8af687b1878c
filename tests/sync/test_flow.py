"""What charts are made of: written with every sync, and the same as counting the batches anew would give."""

from collections import Counter as Tally
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.models import Batch, Connection, FileRead, Finished, Flow, Lasted, Transition
from dashboard.models.flow import day_of, length_of, quarter_of, seconds_of
from dashboard.sync.absorb import absorb
from dashboard.sync.files import note_outcome
from tests.sync.conftest import remote

Source = Transition.Source
pytestmark = pytest.mark.django_db


def run(total: int, completed: int, failed: int) -> dict[str, int]:
    return {"total": total, "completed": completed, "failed": failed}


def counted() -> tuple[Tally[tuple[int, str]], Tally[tuple[int, str, str, int]]]:
    """By reading every batch."""
    ends: Tally[tuple[int, str]] = Tally()
    took: Tally[tuple[int, str, str, int]] = Tally()
    for batch in Batch.objects.exclude(finished_at=None):
        assert batch.finished_at
        end = int(batch.finished_at.timestamp())
        ends[quarter_of(end), batch.outcome] += 1
        if batch.status == "completed" and batch.created_at and batch.created_at <= batch.finished_at:
            length = length_of(int((batch.finished_at - batch.created_at).total_seconds()))
            took[day_of(end), batch.model, batch.endpoint, length] += 1
    return ends, took


def kept() -> tuple[Tally[tuple[int, str]], Tally[tuple[int, str, str, int]]]:
    ends = Tally({(one.quarter, one.outcome): one.batches for one in Finished.objects.exclude(batches=0)})
    lasted = Lasted.objects.exclude(batches=0)
    return ends, Tally({(one.day, one.model, one.endpoint, one.length): one.batches for one in lasted})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pages=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["one", "two", "three"]),
                st.sampled_from(["in_progress", "completed", "expired", "failed"]),
                st.integers(0, 3),
                st.sampled_from(["gpt-4o", "o4"]),
                st.integers(0, 90_000),
            ),
            max_size=4,
        ),
        max_size=6,
    ),
    source=st.sampled_from([Source.IMPORT, Source.POLL]),
)
def test_ends_and_lengths_are_what_the_batches_say(
    connection: Connection, pages: list[list[tuple[str, str, int, str, int]]], source: Source
) -> None:
    for model in (Batch, Finished, Lasted):
        model.objects.all().delete()
    now = timezone.now()
    for i, page in enumerate(pages):
        batches = [
            remote(
                f"batch_{name}",
                status,
                model=model,
                request_counts=run(3, 3 - failed, failed),
                created_at=1_790_000_000,
                completed_at=1_790_000_000 + seconds if status == "completed" else None,
            )
            for name, status, failed, model, seconds in page
        ]
        absorb(connection, batches, asked_at=now + timedelta(seconds=i), source=source)
    assert kept() == counted()


def test_an_outcome_that_files_correct_is_counted_as_what_it_is(connection: Connection) -> None:
    good = remote(status="completed", request_counts=run(5, 5, 0), output_file_id="file-o")
    absorb(connection, [good], asked_at=timezone.now(), source=Source.POLL)
    batch = Batch.objects.get()
    FileRead.objects.create(
        batch=batch, kind="output", file_id="file-o", state="read", wanted_at=timezone.now(), lines=5, failed=5
    )
    note_outcome(batch)
    assert kept() == counted()
    assert {outcome for _quarter, outcome in kept()[0]} == {"all_failed"}


def test_requests_are_counted_in_the_quarter_in_which_they_were_seen_to_end(connection: Connection) -> None:
    noon = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    connection.synced_at = noon - timedelta(seconds=45)
    begun = remote(status="in_progress", request_counts=run(100, 10, 1))
    absorb(connection, [begun], asked_at=noon, source=Source.POLL)
    further = remote(status="in_progress", request_counts=run(100, 30, 4))
    connection.synced_at = noon + timedelta(minutes=16)
    absorb(connection, [further], asked_at=noon + timedelta(minutes=17), source=Source.POLL)
    flows = list(Flow.objects.order_by("quarter").values_list("quarter", "completed", "failed", "late"))
    at = int(noon.timestamp())
    assert flows == [(at, 10, 1, 0), (at + 900, 20, 3, 0)]


def test_what_ended_in_a_long_absence_is_in_no_quarter(connection: Connection) -> None:
    noon = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    connection.synced_at = noon
    batch = remote(status="in_progress", request_counts=run(100, 10, 0))
    absorb(connection, [batch], asked_at=noon + timedelta(seconds=5), source=Source.POLL)
    later = remote(status="in_progress", request_counts=run(100, 90, 2))
    absorb(connection, [later], asked_at=noon + timedelta(hours=6), source=Source.POLL)
    assert list(Flow.objects.order_by("quarter").values_list("completed", "failed", "late")) == [(10, 0, 0), (0, 0, 82)]


def test_an_import_is_no_flow(connection: Connection) -> None:
    batch = remote(status="in_progress", request_counts=run(100, 10, 0))
    absorb(connection, [batch], asked_at=timezone.now(), source=Source.IMPORT)
    assert not Flow.objects.exists()


@given(st.integers(1, 10**8))
def test_a_length_is_told_to_within_two_per_cent(seconds: int) -> None:
    assert abs(seconds_of(length_of(seconds)) - seconds) <= 0.021 * seconds
