"""/batches/columns/: what somebody chose to see in the list, wherever they sign in."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from dashboard.models import Batch, User
from dashboard.templatetags.columns import COLUMNS
from tests.batches_made import batch_made, connection_made, counts
from tests.cast import ClientOf
from tests.views.test_batches import get, moved, poll, poll_of, row

pytestmark = pytest.mark.django_db


@pytest.fixture
def batch(db: None) -> Batch:
    at = timezone.now() - timedelta(hours=3)
    return batch_made(
        connection_made(), "completed", name="nightly", owner="<mei>", model="gpt-5", created_at=at,
        finished_at=at + timedelta(minutes=41), completion_window="24h", tokens_input=1200, tokens_output=34,
        tokens_total=1234, **counts(3, 3),
    )  # fmt: skip


def heads(page: str) -> list[str]:
    return re.findall(r'<th class="(?:c-more )?c-(\w+)', page)


def test_what_is_chosen_is_shown_in_every_browser_of_that_person_alone(
    vic: User, ana: User, client_of: ClientOf, batch: Batch
) -> None:
    usual = heads(get(client_of(vic)))
    assert "conn" in usual
    answer = client_of(vic).post(
        "/batches/columns/", {"column": ["window", "tokens", "owner", "x"], "back": "?q=nightly"}
    )
    assert (answer.status_code, answer["Location"]) == (302, "/batches/?q=nightly")
    page = get(client_of(vic))
    assert heads(page) == ["check", "status", "name", "owner", "tokens", "window", "bar", "req", "fail", "fin"]
    shown = row(page, batch)
    assert 'data-word="Tokens"><span title="1,200 + 34">1,234<' in shown
    assert "&lt;mei&gt;" in shown
    assert ">24h<" in shown
    assert page.count(' name="column"') == len(COLUMNS)
    assert len(re.findall(r'name="column" value="\w+" checked', page)) == 3
    assert heads(get(client_of(ana))) == usual
    client_of(vic).post("/batches/columns/", {"usual": "1"})
    assert heads(get(client_of(vic))) == usual


def test_every_column_at_once_and_none_cost_no_query_more(
    vic: User,
    client_of: ClientOf,
    batch: Batch,
    settings: Settings,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    settings.PULSE_SECONDS, settings.REMEMBER_SECONDS = 1.0, 5.0
    desk = client_of(vic)
    for chosen in (list(COLUMNS), []):
        desk.post("/batches/columns/", {"column": chosen})
        with django_assert_max_num_queries(9):
            page = get(desk)
        assert len(heads(page)) == 7 + len(chosen)
        assert row(page, batch).count("<td ") == 7 + len(chosen)


def test_a_page_that_was_open_keeps_rows_that_fit_its_head(vic: User, client_of: ClientOf, batch: Batch) -> None:
    desk = client_of(vic)
    page = get(desk)
    desk.post("/batches/columns/", {"column": list(COLUMNS)})
    moved(batch.connection, batch)
    answer = poll(desk, poll_of(page))[1]
    assert row(answer, batch).count("<td ") == len(heads(page))


def test_a_deadline_can_be_sorted_by_at_its_head(vic: User, client_of: ClientOf, batch: Batch) -> None:
    batch_made(batch.connection, "in_progress")
    client_of(vic).post("/batches/columns/", {"column": ["deadline"]})
    page = get(client_of(vic), "/batches/?sort=deadline")
    assert re.search(r'c-deadline num"[^>]* aria-sort="ascending"><a href="\?sort=deadline-desc"', page)


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example/", "\r\nX-Evil: 1", "?q=%0d%0aX-Evil:+1", "\0"]
)
def test_what_is_posted_as_the_way_back_leads_nowhere_else(vic: User, client_of: ClientOf, back: str) -> None:
    answer = client_of(vic).post("/batches/columns/", {"back": back})
    assert answer["Location"].startswith("/batches/")
    assert "X-Evil" not in answer.headers
