"""What the overview says of running batches: when they may be done, and when nobody can say."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dashboard.models import Batch, Connection, Reading, User
from dashboard.templatetags.times import clock_words
from tests.batches_made import batch_made, connection_made, counts
from tests.cast import ClientOf

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


def lede(client: Client) -> str:
    page = client.get("/").content.decode()
    words = re.sub(r"<[^>]+>", "", page.split('class="lede"')[1].split("</p>")[0])
    return " ".join(words.split()).partition(">")[2].strip()


def row(client: Client, batch: Batch) -> str:
    page = client.get("/").content.decode()
    return page.split(f'id="run-{batch.pk}"')[1].split("</tr>")[0]


def moving(connection: Connection, name: str, *, an_hour: int, left: int, deadline: float = 20, ago: int = 0) -> Batch:
    """A batch that got on evenly for the hour until so many minutes ago; the deadline in hours from now."""
    now = timezone.now()
    batch = batch_made(
        connection,
        "in_progress",
        name=name,
        expires_at=now + timedelta(hours=deadline),
        **counts(an_hour + left, an_hour),
    )
    Reading.objects.filter(batch=batch).delete()
    for i in range(13):
        at = now - timedelta(minutes=ago + 5 * (12 - i))
        Reading.objects.create(
            batch=batch, asked_at=at, status="in_progress", total=an_hour + left, completed=an_hour * i // 12, failed=0
        )
    return batch


def test_a_batch_that_gets_on_evenly_says_when_it_may_be_done(desk: Client) -> None:
    batch = moving(connection_made(), "even", an_hour=1200, left=2400)
    said = row(desk, batch)
    about = {clock_words(timezone.now() + timedelta(hours=2, minutes=minutes)) for minutes in (-2, -1, 0, 1)}
    [time] = re.findall(r"≈ ([^<]+)<", said)
    assert time in about
    assert f"1 batch is running: 1 done by about {time}." in lede(desk)


def test_what_is_likely_too_late_is_said_so_in_the_row_and_above(desk: Client) -> None:
    batch = moving(connection_made(), "slow", an_hour=1200, left=24_000, deadline=3)
    said = row(desk, batch)
    assert 'data-state="risk"' in said
    assert "after its deadline" in said
    assert "1 likely after its deadline" in lede(desk)


def test_the_numbers_of_the_forecast_add_up_to_the_batches(desk: Client) -> None:
    prod = connection_made()
    moving(prod, "even", an_hour=1200, left=600)
    moving(prod, "quick", an_hour=1200, left=60)
    moving(prod, "slow", an_hour=1200, left=24_000, deadline=3)
    moving(prod, "over", an_hour=1200, left=600, deadline=-1)
    batch_made(prod, "in_progress", name="new", **counts(100, 0))
    said = lede(desk)
    assert "5 batches are running: 2 done by about" in said
    assert said.endswith(", 1 likely after its deadline, 1 overdue, 1 without an estimate.")


def test_without_progress_nothing_is_estimated(desk: Client) -> None:
    prod = connection_made()
    new = batch_made(prod, "in_progress", name="new", **counts(100, 0))
    stuck = moving(prod, "stuck", an_hour=1200, left=600, ago=600)
    unknown = batch_made(prod, "validating", name="unknown", in_progress_at=None)
    cancelling = batch_made(prod, "cancelling", name="stop", cancelling_at=timezone.now(), **counts(100, 10))
    for batch, words in (
        (new, "no progress yet"),
        (stuck, "no change since"),
        (unknown, "no progress yet"),
        (cancelling, "cancelling"),
    ):
        said = row(desk, batch)
        assert words in said, batch.name
        assert "≈" not in said, batch.name
    assert "4 batches are running." in lede(desk), "and nothing of a time that nobody knows of any of them"


def test_an_estimate_freezes_with_its_connection_and_is_no_forecast(desk: Client) -> None:
    prod = connection_made()
    batch = moving(prod, "even", an_hour=1200, left=2400, deadline=1, ago=30)
    Connection.objects.update(synced_at=timezone.now() - timedelta(minutes=30))
    said = row(desk, batch)
    as_of = clock_words(Connection.objects.get().synced_at)  # type: ignore[arg-type]
    assert said.count(f"as of {as_of}") == 2, "in the line and under the pointer, and not again beside the time"
    assert "≈" in said
    assert "risk" not in said
    assert "1 estimated as of an earlier time" in lede(desk)
    assert "done by" not in lede(desk)


def test_of_many_it_is_said_which_were_looked_at(desk: Client) -> None:
    prod = connection_made()
    for i in range(14):
        batch_made(prod, "in_progress", name=f"open-{i}", **counts(100, 0))
    moving(prod, "even", an_hour=1200, left=2400, deadline=1, ago=30)
    said = lede(desk)
    assert "15 batches are running. Of the 12 nearest to their deadlines: 1 " in said
    assert ", 11 without an estimate." in said


def test_estimates_cost_one_question_whatever_runs(
    desk: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    prod = connection_made()
    for i in range(12):
        moving(prod, f"even-{i}", an_hour=1200, left=600)
    desk.get("/")
    with django_assert_max_num_queries(21):
        desk.get("/")


def test_a_name_from_outside_is_never_markup(desk: Client) -> None:
    batch = moving(connection_made("<b>prod</b>"), '<img src=x onerror="alert(1)">', an_hour=1200, left=60)
    assert "<img" not in row(desk, batch)
    assert "<b>prod" not in row(desk, batch)
