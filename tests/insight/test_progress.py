"""How fast a batch gets on and when it may be done: what is promised, whatever the vendor counts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from dashboard.insight.progress import (
    LATEST,
    Counts,
    Progress,
    counting_only_at_end,
    in_sentences,
    latest_readings,
    progress_of,
)
from dashboard.models import Batch, Connection, Reading
from dashboard.templatetags.times import clock_words, duration
from tests.batches_made import batch_made, connection_made, counts

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def counts_at(at: datetime, completed: int | None, failed: int | None = 0, total: int | None = 1000) -> Counts:
    return Counts(at, total, completed, failed)


def running(done: int = 500, total: int | None = 1000, **columns: object) -> Batch:
    given: dict[str, object] = {
        "status": "in_progress",
        "outcome": "open",
        "is_open": True,
        "requests_total": total,
        "requests_completed": done,
        "requests_failed": 0,
        "expires_at": NOW + timedelta(hours=20),
        "asked_at": NOW,
    }
    return Batch(**(given | columns))


def counted(*pairs: tuple[float, int]) -> list[Counts]:
    """Minutes ago, and how many were completed."""
    return [counts_at(NOW - ago * MINUTE, done) for ago, done in pairs]


def known(batch: Batch, readings: list[Counts], **how: object) -> Progress:
    found = progress_of(batch, readings, NOW, **how)  # type: ignore[arg-type]
    assert found is not None
    return found


def said(progress: Progress) -> str:
    return " ".join(words for _kind, words in in_sentences(progress, clock_words, duration))


STEADY = counted((50, 0), (40, 100), (30, 200), (20, 300), (10, 400), (0, 500))


def test_a_steady_batch_is_done_when_its_rate_says() -> None:
    progress = known(running(), STEADY)
    assert progress.rates == pytest.approx((600, 600, 600))
    assert progress.earliest == progress.likely == progress.latest == NOW + 50 * MINUTE
    assert said(progress).startswith("About 600 an hour. Done around ")


def test_the_range_is_that_of_the_middle_half() -> None:
    progress = known(running(400), counted((40, 0), (30, 50), (20, 150), (10, 200), (0, 400)))
    assert progress.earliest
    assert progress.likely
    assert progress.latest
    assert NOW < progress.earliest < progress.latest
    assert progress.earliest <= progress.likely <= progress.latest


@pytest.mark.parametrize(
    "readings",
    [
        [],
        counted((60, 0)),
        counted((60, 0), (30, 500)),
        counted((4, 0), (3, 100), (2, 200), (1, 300), (0, 500)),
        counted((60, 300), (40, 400), (20, 100), (0, 500)),  # a fall: what was before it counts no more
    ],
    ids=["nothing", "one reading", "one increase", "not five minutes", "one increase after a fall"],
)
def test_there_is_no_estimate_too_early(readings: list[Counts]) -> None:
    progress = known(running(), readings)
    assert progress.rates is None
    assert progress.likely is None
    assert said(progress) == "Too early to estimate."


def test_nothing_reported_yet_is_said() -> None:
    assert said(known(running(0), counted((60, 0)))) == "No progress reported yet."
    assert said(known(running(0), [], only_at_end=True)) == "This vendor reports counts only at the end."
    assert "only at the end" not in said(known(running(500), STEADY, only_at_end=True))


def test_a_batch_that_stands_still_is_not_estimated() -> None:
    moved = [counts_at(reading.asked_at - 60 * MINUTE, reading.completed) for reading in STEADY]
    progress = known(running(), moved)
    assert progress.likely is None
    assert said(progress).startswith("No change since ")


def test_one_that_was_never_seen_to_move_stands_still_at_last() -> None:
    for seen in (counted((61, 500)), counted((90, 400), (61, 500))):
        progress = known(running(), seen)
        assert progress.quiet_since == NOW - 61 * MINUTE
        assert said(progress).startswith("No change since ")
    assert said(known(running(), counted((59, 500)))) == "Too early to estimate."


def test_a_pause_as_long_as_those_before_changes_nothing() -> None:
    moved = [counts_at(reading.asked_at - 10 * MINUTE, reading.completed) for reading in STEADY]
    assert known(running(), moved).rates == pytest.approx((600, 600, 600))


def test_the_deadline_at_risk_and_passed() -> None:
    at_risk = known(running(expires_at=NOW + 20 * MINUTE), STEADY)
    assert at_risk.is_at_risk
    assert "At risk: likely done 30 min after the deadline." in said(at_risk)
    assert not known(running(expires_at=NOW + 51 * MINUTE), STEADY).is_at_risk
    assert not known(running(expires_at=None), STEADY).is_at_risk
    overdue = known(running(expires_at=NOW - MINUTE), STEADY)
    assert overdue.is_overdue
    assert not overdue.is_at_risk
    assert "Overdue since " in said(overdue)


def test_stale_data_freezes_the_estimate_and_says_so() -> None:
    synced_at = NOW - 10 * MINUTE
    readings = [counts_at(reading.asked_at - 10 * MINUTE, reading.completed) for reading in STEADY]
    progress = known(running(), readings, stale=True, synced_at=synced_at)
    later = progress_of(running(), readings, NOW + timedelta(hours=5), stale=True, synced_at=synced_at)
    assert progress == later, "time alone moves nothing"
    assert progress.likely == synced_at + 50 * MINUTE
    assert said(progress).startswith("As of ")


def test_what_is_over_or_unknown_has_no_estimate() -> None:
    assert progress_of(running(status="completed", outcome="succeeded", is_open=False), STEADY, NOW) is None
    assert progress_of(running(gone_at=NOW), STEADY, NOW) is None
    assert progress_of(running(status="cancelling"), STEADY, NOW) is None
    assert known(running(total=None), STEADY).likely is None
    assert known(running(total=0), STEADY).likely is None
    assert said(known(running(1000), STEADY)) == "All requests are processed."


def test_a_date_beyond_all_calendars_is_not_given() -> None:
    progress = known(running(3, total=2**62), counted((60, 0), (40, 1), (20, 2), (0, 3)))
    assert progress.likely is None
    assert "more than a year" in said(progress)


moments = st.integers(0, 90_000).map(lambda seconds: NOW - timedelta(seconds=seconds / 10))
some = st.one_of(st.none(), st.integers(-5, 2_000), st.integers(0, 2**63 - 1))
hostile = st.lists(st.builds(counts_at, moments, some, some, some), max_size=40)


@given(
    readings=hostile,
    total=st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    done=st.integers(0, 2**62),
    due=st.one_of(st.none(), st.integers(-90_000, 90_000)),
    stale=st.booleans(),
)
def test_no_readings_make_it_negative_wrong_or_certain_too_early(
    readings: list[Counts], total: int | None, done: int, due: int | None, *, stale: bool
) -> None:
    deadline = None if due is None else NOW + timedelta(seconds=due)
    progress = known(running(done, total, expires_at=deadline), readings, stale=stale, synced_at=NOW - 10 * MINUTE)
    assert progress.left is None or progress.left >= 0
    times = [at for at in (progress.earliest, progress.likely, progress.latest) if at]
    assert times == sorted(times)
    assert all(at >= progress.as_of for at in times)
    assert progress.as_of == (NOW - 10 * MINUTE if stale else NOW)
    if progress.rates:
        seen = [r for r in readings if r.asked_at <= progress.as_of and not (r.completed is None and r.failed is None)]
        assert len({(r.completed, r.failed) for r in seen}) > 2
        assert progress.as_of - min(r.asked_at for r in seen) >= 5 * MINUTE
        assert 0 <= progress.rates[0] <= progress.rates[1] <= progress.rates[2]
    if progress.is_at_risk:
        assert deadline
        assert deadline >= progress.as_of
    assert said(progress)


# --- Rows -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def prod(db: None) -> Connection:
    return connection_made()


def test_twenty_batches_take_one_query_and_only_the_latest_readings(
    prod: Connection, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    batches = [batch_made(prod) for _ in range(20)]
    Reading.objects.all().delete()
    Reading.objects.bulk_create(
        Reading(batch=batch, asked_at=NOW + n * MINUTE, status="in_progress", total=900, completed=n)
        for n in range(LATEST + 30)
        for batch in batches
    )
    with django_assert_num_queries(1):
        found = latest_readings([batch.pk for batch in batches])
    assert [[reading.completed for reading in found[batch.pk]] for batch in batches] == [
        list(range(30, LATEST + 30))
    ] * 20
    assert latest_readings([]) == {}


def test_a_vendor_that_counts_only_at_the_end_is_known_by_its_last_batches(prod: Connection) -> None:
    other = connection_made("Azure / eu")
    for connection in (prod, other):
        for _ in range(3):
            batch = batch_made(connection, "completed", **counts(100, 100))
            Reading.objects.create(batch=batch, asked_at=NOW, status="in_progress", total=100, completed=0, failed=0)
    assert counting_only_at_end([prod.pk, other.pk]) == {prod.pk, other.pk}
    Reading.objects.create(batch=batch, asked_at=NOW, status="in_progress", total=100, completed=7, failed=0)
    assert counting_only_at_end([prod.pk, other.pk]) == {prod.pk}


def test_two_batches_say_nothing_of_a_vendor(prod: Connection) -> None:
    for _ in range(2):
        batch = batch_made(prod, "completed", **counts(100, 100))
        Reading.objects.create(batch=batch, asked_at=NOW, status="in_progress", total=100, completed=0, failed=0)
    assert not counting_only_at_end([prod.pk])
