"""What charts draw: sums of the roll-ups, with a gap wherever nobody looked."""

import itertools
from collections import Counter as Tally
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight import series
from dashboard.models import Connection, Finished, Flow, Lasted
from dashboard.models.flow import DAY, QUARTER, length_of
from tests.batches_made import connection_made

pytestmark = pytest.mark.django_db
HOUR = 3_600
NOON = 1_795_348_800  # 22 November 2026


@pytest.fixture
def prod() -> Connection:
    return connection_made()


def flow(connection: Connection, at: int, looks: int = 20, **columns: int) -> None:
    Flow.objects.create(connection=connection, quarter=at, looks=looks, **columns)


def test_an_hour_without_a_sync_is_a_gap_and_a_quiet_one_is_not(prod: Connection) -> None:
    flow(prod, NOON, completed=5, failed=1, in_flight=40, batches_open=2)
    flow(prod, NOON + 900, completed=7, in_flight=30, batches_open=2)
    flow(prod, NOON + 2 * HOUR)
    found = series.flowed([prod.pk], NOON, NOON + 3 * HOUR - 1)
    assert [(step.at, step.completed, step.failed, step.in_flight) for step in found.steps] == [
        (NOON, 12, 1, 40),
        (NOON + HOUR, None, None, None),
        (NOON + 2 * HOUR, 0, 0, 0),
    ]


def test_a_quarter_in_which_every_sync_failed_is_a_gap(prod: Connection) -> None:
    flow(prod, NOON, looks=0, late=9)
    found = series.flowed([prod.pk], NOON, NOON, 900)
    assert [step.completed for step in found.steps] == [None]
    assert found.late == 9


def test_connections_add_up_and_one_that_was_not_seen_is_said(prod: Connection) -> None:
    lab = connection_made("lab")
    for connection in (prod, lab):
        flow(connection, NOON, completed=10, in_flight=100)
    flow(prod, NOON + HOUR, completed=3, in_flight=50)
    first, second = series.flowed([prod.pk, lab.pk], NOON, NOON + HOUR).steps
    assert (first.completed, first.in_flight, first.unseen) == (20, 200, 0)
    assert (second.completed, second.in_flight, second.unseen) == (3, 50, 1)


def test_one_that_fails_since_before_the_range_is_said_and_a_removed_or_later_one_is_not(prod: Connection) -> None:
    now = datetime.fromtimestamp(NOON, UTC)
    Connection.objects.update(imported_at=now - timedelta(days=9))
    failing = connection_made("failing", imported_at=now - timedelta(days=9))
    removed = connection_made("removed", imported_at=now - timedelta(days=9), retired_at=now)
    later = connection_made("later", imported_at=now + timedelta(hours=9))
    flow(prod, NOON, completed=10)
    [step] = series.flowed([prod.pk, failing.pk, removed.pk, later.pk], NOON, NOON).steps
    assert (step.completed, step.unseen) == (10, 1)


def test_nobody_elses_connections_are_summed_up(prod: Connection) -> None:
    flow(prod, NOON, completed=10)
    Finished.objects.create(connection=prod, quarter=NOON, outcome="succeeded", batches=3)
    assert series.flowed([], NOON, NOON).steps[0].completed is None
    assert not series.finished([], NOON)
    assert not series.took([], NOON)


def test_days_are_those_of_the_persons_own_zone(prod: Connection) -> None:
    for quarter, batches in ((NOON, 2), (NOON + 9 * HOUR, 3), (NOON + 7 * HOUR + 2700, 5)):
        Finished.objects.create(connection=prod, quarter=quarter, outcome="partial", batches=batches)
    today, tomorrow = date(2026, 11, 22), date(2026, 11, 23)
    assert series.finished_by_day([prod.pk], NOON, NOON + DAY, UTC) == {today: Tally(partial=10)}
    nepal = series.finished_by_day(
        [prod.pk], NOON, NOON + DAY, ZoneInfo("Asia/Kathmandu")
    )  # five hours and three quarters ahead
    assert nepal == {today: Tally(partial=2), tomorrow: Tally(partial=8)}


@given(
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "UTC", "Asia/Kathmandu"]),
    st.integers(NOON - 400 * DAY, NOON),
    st.integers(1, 40),
)
def test_a_day_is_that_of_the_clocks_on_the_wall_also_when_they_are_changed(name: str, since: int, days: int) -> None:
    zone, since = ZoneInfo(name), since - since % QUARTER
    until = since + days * DAY
    stretches = series.offsets(since, until, zone)
    assert (stretches[0][0], stretches[-1][1]) == (since, until)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(stretches))
    for begin, end, offset in stretches:
        for quarter in range(begin, end, QUARTER):
            assert datetime.fromtimestamp(quarter, zone).date() == date(1970, 1, 1) + timedelta(
                days=(quarter + offset) // DAY
            )


def test_an_hour_or_a_range_counts_what_ended_in_it(prod: Connection) -> None:
    for quarter, outcome in ((NOON, "succeeded"), (NOON + 900, "succeeded"), (NOON + HOUR, "expired")):
        Finished.objects.create(connection=prod, quarter=quarter, outcome=outcome, batches=1)
    assert series.finished([prod.pk], NOON + 900) == Tally(succeeded=1, expired=1)
    hours = series.finished_by_hour([prod.pk], NOON)
    assert hours == {NOON: Tally(succeeded=2), NOON + HOUR: Tally(expired=1)}


def test_lengths_of_time_are_told_by_kind_with_the_most_first(prod: Connection) -> None:
    for seconds, batches in ((60, 5), (600, 4), (6000, 1)):
        Lasted.objects.create(
            connection=prod, day=NOON - NOON % DAY, model="m", endpoint="e", length=length_of(seconds), batches=batches
        )
    Lasted.objects.create(connection=prod, day=NOON - 9 * DAY, model="old", length=3, batches=99)
    [kind] = series.took([prod.pk], NOON)
    assert (kind.model, kind.batches) == ("m", 10)
    assert kind.median == pytest.approx(60, rel=0.03)
    assert kind.p90 == pytest.approx(600, rel=0.03)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 1.0]))
def test_a_quantile_is_a_length_that_so_many_did_not_exceed(seconds: list[int], share: float) -> None:
    found = series.quantile(Tally(map(length_of, seconds)), share)
    assert sum(one <= found * 1.05 for one in seconds) >= share * len(seconds)
    assert sum(one >= found / 1.05 for one in seconds) >= (1 - share) * len(seconds)


def test_a_rate_wants_half_an_hour_that_was_looked_at(prod: Connection) -> None:
    for i in range(4):
        flow(prod, NOON + i * 900, completed=300)
    steps = series.flowed([prod.pk], NOON, NOON + 3 * 900, 900).steps
    assert series.rate(steps) == 20
    Flow.objects.filter(quarter=NOON + 900).delete()
    assert series.rate(series.flowed([prod.pk], NOON, NOON + 3 * 900, 900).steps) is None
