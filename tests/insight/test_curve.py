"""A batch's course placed for a drawing: what it never claims, whatever the readings hold."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.course import FINEST, course_of, gaps_of
from dashboard.insight.curve import COLUMNS, HEADROOM, HEIGHT, LABELS, WIDTH, Curve, Sample, curve
from dashboard.models import Batch, Connection, Reading, SyncRun
from dashboard.templatetags.times import clock_words
from tests.batches_made import batch_made, connection_made, counts

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def drawn(samples: list[Sample], **how: object) -> Curve:
    given_: dict[str, object] = {"start": NOW - 6 * HOUR, "until": NOW, "clock": clock_words}
    found = curve(samples, **(given_ | how))  # type: ignore[arg-type]
    assert found
    return found


def samples(*pairs: tuple[float, int]) -> list[Sample]:
    """Hours ago, and how many of a hundred were completed."""
    return [Sample(NOW - ago * HOUR, done, 0, 100) for ago, done in pairs]


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def test_it_goes_in_steps_and_ends_where_knowledge_ends() -> None:
    course = drawn(samples((6, 0), (3, 50)), deadline=NOW + 6 * HOUR)
    (piece,) = course.pieces
    middle = HEADROOM + (HEIGHT - HEADROOM) / 2
    assert points(piece.done) == [(0, HEIGHT), (250, HEIGHT), (250, middle), (500, middle)]
    assert course.until
    assert course.until.at == "50%"
    assert course.deadline
    assert course.deadline.at == "100%"


def test_a_gap_is_a_gap_and_never_a_line() -> None:
    gap = (NOW - 3 * HOUR, NOW - 2 * HOUR)
    course = drawn(samples((6, 0), (4, 30), (1, 90)), gaps=[gap], deadline=NOW)
    left, right = (points(piece.done) for piece in course.pieces)
    assert left[-1][0] == pytest.approx(500)
    assert right[0][0] == pytest.approx(WIDTH * 4 / 6, abs=0.1)
    assert [band.x for band in course.gaps] == ["50%"]
    unseen = [moment for moment in course.moments if gap[0] < moment.at < gap[1]]
    assert unseen
    assert all(moment.values == (None, None, None) and "not synced" in moment.words for moment in unseen)


def test_what_was_before_the_first_look_is_a_gap() -> None:
    course = drawn(samples((2, 40), (1, 60)), deadline=NOW)
    assert course.gaps[0].x == "0%"
    assert points(course.pieces[0].done)[0][0] == pytest.approx(WIDTH * 4 / 6, abs=0.1)


def test_a_far_deadline_does_not_squeeze_the_course() -> None:
    course = drawn(samples((6, 0), (3, 50)), deadline=NOW + 100 * HOUR)
    assert course.deadline is None
    assert points(course.pieces[0].done)[-1][0] > WIDTH / 2


def test_a_minute_later_nothing_has_moved_but_the_end() -> None:
    before = drawn(samples((6, 0), (3, 50)), deadline=NOW + 100 * HOUR)
    after = drawn(samples((6, 0), (3, 50)), deadline=NOW + 100 * HOUR, until=NOW + MINUTE)
    assert after.x_ticks == before.x_ticks
    places = [moment.x for moment in before.moments[:-1]]
    assert [moment.x for moment in after.moments][: len(places)] == places


def test_days_and_times_are_those_of_the_viewers_zone() -> None:
    with timezone.override("Asia/Kolkata"):
        course = drawn(samples((22, 0), (3, 50)), start=NOW - 22 * HOUR, deadline=NOW)
        assert "22 Nov" in [tick.words for tick in course.x_ticks]
        assert all(tick.words.endswith(":00") or " " in tick.words for tick in course.x_ticks)


number = st.one_of(st.integers(0, 2_000), st.integers(0, 2**63 - 1))
moment = st.integers(-60 * 86_400, 60).map(lambda second: NOW + timedelta(seconds=second))
any_samples = st.lists(st.builds(Sample, moment, number, number, number), max_size=30).map(
    lambda found: sorted(found, key=lambda sample: sample.at)
)


@given(
    found=any_samples,
    start=moment,
    until=moment,
    deadline=st.one_of(st.none(), moment.map(lambda at: at + 20 * HOUR)),
    gaps=st.lists(st.tuples(moment, moment), max_size=5),
)
def test_nothing_leaves_the_plot(
    found: list[Sample],
    start: datetime,
    until: datetime,
    deadline: datetime | None,
    gaps: list[tuple[datetime, datetime]],
) -> None:
    course = curve(found, start=start, until=until, clock=clock_words, gaps=gaps, deadline=deadline)
    if course is None:
        return
    for piece in course.pieces:
        for text in (piece.done, piece.failed, piece.area):
            for x, y in points(text):
                assert -0.1 <= x <= WIDTH + 0.1
                assert HEADROOM - 0.1 <= y <= HEIGHT + 0.1
        xs = [x for x, _y in points(piece.done)]
        assert xs == sorted(xs)
    assert len(course.moments) <= COLUMNS + 4
    assert len(course.x_ticks) <= LABELS + 2


# --- Rows -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def prod(db: None) -> Connection:
    return connection_made()


def synced(connection: Connection, since: datetime, until: datetime, step: timedelta = 45 * MINUTE / 60) -> None:
    number = int((until - since) / step) + 1
    SyncRun.objects.bulk_create(
        SyncRun(connection=connection, kind="cycle", began_at=since + n * step, ending="good") for n in range(number)
    )


def test_a_gap_is_where_no_sync_ended_well(prod: Connection) -> None:
    synced(prod, NOW - 6 * HOUR, NOW - 3 * HOUR)
    SyncRun.objects.create(connection=prod, kind="cycle", began_at=NOW - 2.5 * HOUR, ending="failed")
    synced(prod, NOW - 2 * HOUR, NOW)
    ((begin, over),) = gaps_of(prod.pk, NOW - 6 * HOUR, NOW, 180)
    assert timedelta(0) <= begin - (NOW - 3 * HOUR) <= 3 * MINUTE
    assert timedelta(0) <= NOW - 2 * HOUR - over <= 3 * MINUTE


def test_runs_that_were_thrown_away_are_no_gap(prod: Connection) -> None:
    synced(prod, NOW - 2 * HOUR, NOW)
    assert gaps_of(prod.pk, NOW - 6 * HOUR, NOW, 180) == []
    assert gaps_of(prod.pk, NOW - 30 * HOUR, NOW - 20 * HOUR, 180) == []


def test_a_course_of_thousands_of_readings_is_thinned_in_the_database(prod: Connection) -> None:
    now = timezone.now()
    batch = batch_made(prod, "in_progress", created_at=now - 6 * HOUR, **counts(9_000, 6_000))
    Reading.objects.all().delete()
    Reading.objects.bulk_create(
        Reading(batch=batch, asked_at=now - 6 * HOUR + n * timedelta(seconds=5), total=9_000, completed=n, failed=0)
        for n in range(4_000)
    )
    course = course_of(batch, now, clock_words)
    assert course
    assert sum(len(points(piece.done)) for piece in course.pieces) < 2 * FINEST + 10
    assert course.moments[-1].values == (3_999, 0, 5_001)


def test_stale_data_ends_the_line_where_it_was_last_seen(prod: Connection) -> None:
    now = timezone.now()
    prod.synced_at = now - HOUR
    prod.save()
    batch = batch_made(prod, "in_progress", created_at=now - 6 * HOUR, **counts(100, 40))
    Reading.objects.create(batch=batch, asked_at=now - 5 * HOUR, total=100, completed=40)
    course = course_of(Batch.objects.get(pk=batch.pk), now, clock_words, stale=True)
    fresh = course_of(Batch.objects.get(pk=batch.pk), now, clock_words)
    assert course
    assert fresh
    assert len(course.gaps) == len(fresh.gaps) + 1


@pytest.mark.parametrize("status", ["completed", "in_progress", "validating"])
def test_a_batch_that_nobody_watched_has_no_course(prod: Connection, status: str) -> None:
    assert course_of(batch_made(prod, status), timezone.now(), clock_words) is None
