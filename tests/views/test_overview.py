"""/: what the first screen promises."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from dashboard.insight import pulse as pulse_room
from dashboard.models import Connection, Finished, Flow, Lasted, User
from dashboard.models.flow import day_of, length_of, quarter_of
from tests.batches_made import batch_made, connection_made, counts, crowd_made, everything_made
from tests.cast import ClientOf

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def desk(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


def get(client: Client, address: str = "/", **headers: str) -> str:
    answer = client.get(address, headers=headers or None)
    assert answer.status_code == 200
    return answer.content.decode()


def ended(connection: Connection, minutes: int, status: str = "completed", **columns: Any) -> None:
    """A batch that ended so long ago, and what absorb counts of it."""
    at = timezone.now() - timedelta(minutes=minutes)
    given: dict[str, Any] = columns or counts(5, 5)
    batch = batch_made(connection, status, created_at=at - timedelta(hours=1), finished_at=at, **given)
    quarter, _made = Finished.objects.get_or_create(
        connection=connection, quarter=quarter_of(int(at.timestamp())), outcome=batch.outcome
    )
    quarter.batches += 1
    quarter.save()


def test_every_number_is_that_of_the_list_it_leads_to(desk: Client) -> None:
    prod = connection_made()
    for minutes in (1, 20, 300, 1430, 1475):
        ended(prod, minutes)
    ended(prod, 50, "expired", **counts(10, 4))
    for i in range(3):
        batch_made(prod, "in_progress", name=f"open-{i}", **counts(100, 40))
    page = get(desk)
    figures = page.split('class="figures"')[1].split('class="split"')[0]
    for link, number in re.findall(
        r'<a href="([^"]*)"><span class="t">(?:Active|Finished, 24 h)</span><span class="v">(\d+)', figures
    ):
        assert f'<span class="n" id="list-count">{number}</span>' in get(desk, unescape(link)), link
    [succeeded] = re.findall(r'<a href="([^"]*)" title="succeeded">.*?(\d+)</a>', figures)
    assert f'id="list-count">{succeeded[1]}<' in get(desk, unescape(succeeded[0]))
    assert "180 <small>of 300</small>" in figures


def test_running_batches_stand_by_their_deadline_and_those_without_one_last(desk: Client) -> None:
    prod, now = connection_made(), timezone.now()
    for name, hours in (("late", 9), ("soon", 1), ("never", None)):
        batch_made(
            prod, "in_progress", name=name, expires_at=now + timedelta(hours=hours) if hours else None, **counts(10, 1)
        )
    running = get(desk).split('id="run"')[1].split("</table>")[0]
    assert re.findall(r'title="(soon|late|never)"', running) == ["soon", "late", "never"]


def test_it_never_says_that_all_is_well_while_something_is_not_known(desk: Client) -> None:
    connection_made()
    batch_made(Connection.objects.get())
    assert "Nothing needs attention." in get(desk)
    Connection.objects.update(synced_at=timezone.now() - timedelta(hours=1))
    pulse_room._latest = None
    page = get(desk)
    assert "Nothing needs attention." not in page
    assert "Nothing known needs attention." in page
    assert "1 of them shown as of an earlier time" in page


def test_requests_that_ended_unseen_are_said_and_drawn_nowhere(desk: Client) -> None:
    prod = connection_made()
    batch_made(prod)
    now = int(timezone.now().timestamp())
    Flow.objects.create(connection=prod, quarter=quarter_of(now), looks=3, completed=10, late=82)
    page = get(desk)
    assert "82 requests ended while nothing was synced for long" in page
    assert "82 more ended unseen" in page
    numbers = desk.get("/charts/requests.json?range=24h").json()
    assert [one for one in numbers["layers"][0]["values"] if one is not None] == [10]


def test_an_hour_that_nobody_looked_at_is_null_and_empty_in_the_file(desk: Client) -> None:
    prod = connection_made()
    begin = quarter_of(int(timezone.now().timestamp())) - 7200
    Flow.objects.create(connection=prod, quarter=begin, looks=3, completed=4, in_flight=50, batches_open=1)
    numbers = desk.get("/charts/in-flight.json").json()
    assert numbers["step"] == 900
    assert len(numbers["at"]) == len(numbers["unseen"]) == 97
    assert [one for one in numbers["layers"][0]["values"] if one is not None] == [50]
    answer = desk.get("/charts/requests.csv?range=7d")
    lines = b"".join(answer).decode().splitlines()
    assert lines[0].endswith("from,until,completed,failed,in_flight,batches_open,connections_not_synced")
    assert len(lines) == 1 + 7 * 24 + 1
    assert sum(",,,,," not in line for line in lines[1:]) == 1


def test_a_chart_that_does_not_exist_is_not_found(desk: Client) -> None:
    assert desk.get("/charts/nothing.json").status_code == 404
    assert desk.get("/charts/requests.xml").status_code == 404


@pytest.mark.parametrize("span", ["24h", "7d", "30d", "x"])
def test_the_range_is_in_the_address_and_nonsense_is_a_day(desk: Client, span: str) -> None:
    ended(connection_made(), 30)
    page = get(desk, f"/?range={span}")
    wanted = span if span != "x" else "24h"
    assert f"requests.json?range={wanted}" in page
    assert ("Finished per hour" if wanted == "24h" else "Finished per day") in page


def test_a_column_leads_to_what_ended_in_it(desk: Client) -> None:
    prod = connection_made()
    for minutes in (5, 90, 91, 400):
        ended(prod, minutes)
    page = get(desk)
    columns = re.findall(r'<a class="column" href="([^"]*)"[^>]*aria-label="[^"]*· (\d+) succeeded"', page)
    assert sum(int(number) for _link, number in columns) == 4
    for link, number in columns:
        assert f'id="list-count">{number}<' in get(desk, unescape(link)), link


def test_a_kind_of_batch_leads_to_those_that_were_counted(desk: Client) -> None:
    prod = connection_made()
    for days, model in ((0, "gpt-4o"), (0, 'odd "name"'), (20, "gpt-4o")):
        at = timezone.now() - timedelta(days=days)
        given = {"created_at": at - timedelta(hours=1), "finished_at": at, "model": model}
        batch = batch_made(prod, "completed", **given, **counts(5, 5))
        day = day_of(int(at.timestamp()))
        Lasted.objects.create(
            connection=prod, day=day, model=model, endpoint=batch.endpoint, length=length_of(3600), batches=1
        )
    table = get(desk).split('<table class="took">')[1].split("</table>")[0]
    links = dict(re.findall(r'<a href="([^"]*)".*?<bdi>(.*?)</bdi>', table))
    assert sorted(links.values()) == ["gpt-4o", "odd &quot;name&quot;"]
    for link, name in links.items():
        page = get(desk, unescape(link))
        assert "is left out" not in page
        assert f'id="list-count">{1 if name == "gpt-4o" else 2}<' in page, "what cannot be typed is not asked for"


def test_a_poll_brings_what_moved_and_leaves_the_drawn_charts_alone(desk: Client) -> None:
    made = everything_made()
    page = get(desk)
    address = unescape(re.findall(r'id="poll"[^>]* hx-get="([^"]*)"', page)[0])
    assert desk.get(f"/{address}", headers=HTMX).status_code == 204
    prod = made["running"].connection
    Connection.objects.filter(pk=prod.pk).update(revision=prod.revision + 1)
    answer = get(desk, f"/{address}", **HTMX)
    assert 'hx-target="#now"' in answer
    assert "data-plot" not in answer


def test_the_page_costs_the_same_whatever_it_holds(
    desk: Client, settings: Settings, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    settings.PULSE_SECONDS, settings.REMEMBER_SECONDS = 1.0, 5.0
    everything_made()
    prod = Connection.objects.first()
    assert prod
    for number in (0, 60):
        crowd_made(prod, number)
        get(desk)
        pulse_room._latest = None
        with django_assert_max_num_queries(40):
            get(desk)


def test_what_a_vendor_sends_is_never_markup(desk: Client) -> None:
    evil = '<img src=x onerror="alert(1)">\u202e'
    prod = connection_made()
    batch_made(prod, "in_progress", name=evil, **counts(10, 1))
    batch_made(prod, "failed", name=evil, errors=[{"code": evil, "message": evil}])
    page = get(desk)
    assert "<img" not in page
    assert "&lt;img" in page


def test_without_a_batch_it_says_why_and_what_to_do(desk: Client) -> None:
    assert "No connection yet" in get(desk)
    connection_made(imported_at=None, synced_at=None, import_count=120, health=Connection.Health.IMPORTING)
    pulse_room._latest = None
    page = get(desk)
    assert "120 batches so far" in page
    address = unescape(re.findall(r'id="poll"[^>]* hx-get="([^"]*)"', page)[0])
    Connection.objects.update(import_count=900, revision=7)
    answer = desk.get(f"/{address}", headers=HTMX)
    assert "900 batches so far" in answer.content.decode()
    batch_made(Connection.objects.get())
    Connection.objects.update(revision=8)
    assert desk.get(f"/{address}", headers=HTMX).headers["HX-Refresh"] == "true"


def test_who_has_no_role_learns_nothing(stranger: User, client_of: ClientOf) -> None:
    everything_made()
    for address in ("/", "/charts/requests.json"):
        answer = client_of(stranger).get(address)
        assert answer.status_code == 403
        assert "nightly-eval" not in answer.content.decode()


def test_rights_for_one_connection_would_sum_up_its_batches_alone(
    desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = everything_made()
    prod, lab = made["running"].connection_id, made["stale"].connection_id
    now = quarter_of(int(datetime.now(UTC).timestamp()))
    for pk in (prod, lab):
        Flow.objects.create(connection_id=pk, quarter=now, looks=1, completed=7)
    for module in ("models.connection", "models.batch", "models.concern", "middleware"):
        monkeypatch.setattr(f"dashboard.{module}.visible_connections", lambda _user: frozenset([lab]))
    page = get(desk)
    assert "synthetic-qa-legal-v3" in page
    assert "nightly-eval" not in page
    assert max(one or 0 for one in desk.get("/charts/requests.json").json()["layers"][0]["values"]) == 7
