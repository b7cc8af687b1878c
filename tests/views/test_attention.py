"""/attention/, and what other pages say of concerns."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dashboard.models import Act, Batch, Concern, Connection, Reason, User
from dashboard.models.connection import raise_revision
from dashboard.sync import concerns
from tests.batches_made import batch_made, connection_made, counts, judged, needy_made
from tests.cast import ClientOf

HTMX = {"HX-Request": "true"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


@pytest.fixture
def prod(db: None) -> Connection:
    return connection_made()


def get(client: Client, address: str = "/attention/") -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", unescape(answer.content.decode()))


def poll_of(page: str) -> str:
    found = re.search(r'id="poll"[^>]* hx-get="([^"]*)"', page)
    assert found
    return "/attention/" + found[1]


def groups(page: str) -> list[str]:
    return re.findall(r'<h2 id="reason-(\w+)"', page)


def nav_count(page: str) -> str:
    found = re.search(r'id="nav-attention"[^>]*>([\d,]+)<', page)
    assert found, "every page counts what needs attention"
    return found[1]


def many_stalled(connection: Connection, number: int) -> None:
    now = timezone.now()
    for _ in range(number):
        batch_made(connection, "validating", created_at=now - timedelta(hours=1), in_progress_at=None)
    judged()


# --- The page ---------------------------------------------------------------------------------------------------------


def test_everything_is_listed_by_reason_the_worst_first_with_its_sentence(desk: Client) -> None:
    made = needy_made()
    page = get(desk)
    assert groups(page) == [reason.value for reason in Reason if reason != Reason.RESULTS_EXPIRE]
    for words in (
        "The vendor says of line 212: invalid_json_line: Expecting",
        "It completed, but all of its 800 requests failed. The vendor says: model_not_found",
        "360 of 1,000 requests failed (36 %).",
        "The deadline passed with 812 of 1,000 requests completed; those are usable.",
        "Validating since ",
        "9,151 of 20,000 requests are processed.",
        "The vendor was asked since, and does not call it expired.",
        "A cancel usually takes up to 10 minutes.",
        "It completed, but 12 of 5,000 requests are neither completed nor failed.",
        "The vendor has answered this key with 404 since ",
        "Every try has failed since ",
        "No good sync since ",
    ):
        assert words in page
    assert f'href="/batches/{made["stuck"].pk}/"' in page
    assert f'href="/connections/#connection-{made["stale"].connection_id}"' in page


def test_what_is_only_to_come_is_named_and_not_counted(desk: Client, prod: Connection) -> None:
    now = timezone.now()
    batch_made(
        prod, "completed", created_at=now - timedelta(days=28), output_file_id="file-out", **counts(8, 8)
    )  # fmt: skip
    judged()
    page = get(desk)
    assert nav_count(page) == "0"
    assert "Nothing needs attention" in page
    assert "The results of 1 batch expire soon." in page
    assert "vendors usually keep one for 30 days" in get(desk, "/attention/?reason=results_expire")


def test_reasons_and_connections_filter_and_chips_count_what_is_left(desk: Client) -> None:
    made = needy_made()
    page = get(desk, "/attention/?reason=overdue")
    assert groups(page) == ["overdue"]
    assert page.count('<tr id="concern-') == 2
    azure = made["overdue"].connection_id
    page = get(desk, f"/attention/?reason=overdue&connection={azure}")
    assert page.count('<tr id="concern-') == 1
    assert re.search(r'aria-current="true">.*?Overdue <b>1</b>', page)
    assert groups(get(desk, f"/attention/?connection={azure}")) == ["failed_validation", "expired", "overdue", "unseen"]


def test_what_ended_last_comes_first_in_whatever_order_it_was_noticed(desk: Client, prod: Connection) -> None:
    now = timezone.now()
    # An import walks from the newest batch to the oldest.
    for hours in (1, 40, 20):
        ended = now - timedelta(hours=hours)
        batch_made(prod, "completed", name=f"ended-{hours}", finished_at=ended, **counts(10, 0, 10))
        judged()
    names = re.findall(r'aria-label="(ended-\d+)"', get(desk, "/attention/"))
    assert names == ["ended-1", "ended-20", "ended-40"]


def test_many_are_cut_with_a_word_and_paged_without_loss(desk: Client, prod: Connection) -> None:
    many_stalled(prod, 60)
    page = get(desk)
    assert page.count('<tr id="concern-') == 10
    assert "All 60" in page
    seen: list[str] = []
    address = "/attention/?reason=stalled"
    while address:
        page = get(desk, address)
        seen += re.findall(r'<tr id="concern-(\d+)"', page)
        older = re.search(r'href="(\?[^"]*before=[^"]*)">Older', page)
        address = f"/attention/{older[1]}" if older else ""
    assert len(seen) == len(set(seen)) == 60


def test_the_page_costs_the_same_whatever_it_holds(
    desk: Client, prod: Connection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    many_stalled(prod, 60)
    with django_assert_max_num_queries(9):
        get(desk, "/attention/?reason=stalled")


def test_a_poll_without_news_is_204_and_brings_what_moved(desk: Client, prod: Connection) -> None:
    many_stalled(prod, 2)
    address = poll_of(get(desk))
    assert desk.get(address, headers=HTMX).status_code == 204
    batch = Batch.objects.latest("pk")
    Batch.objects.filter(pk=batch.pk).update(gone_at=timezone.now() - timedelta(days=4), judge_at=timezone.now())
    concerns.judge_due(timezone.now())
    answer = desk.get(address, headers=HTMX)
    moved = answer.content.decode()
    assert answer.status_code == 200
    assert moved.count('<tr id="concern-') == 1
    assert nav_count(moved) == "1"
    assert "<html" not in moved


@pytest.mark.parametrize("address", ["/attention/?reason=nonsense", "/attention/?before=x&connection=-1"])
def test_nonsense_in_the_address_is_left_out(address: str, desk: Client, prod: Connection) -> None:
    many_stalled(prod, 1)
    assert groups(get(desk, address)) == ["stalled"]


def test_what_a_vendor_wrote_is_never_markup(desk: Client, prod: Connection) -> None:
    evil = "<script>alert(1)</script>"
    batch_made(prod, "failed", name=evil, in_progress_at=None, errors=[{"code": evil, "message": evil, "line": evil}])
    judged()
    for address in ("/attention/", f"/batches/{Batch.objects.get().pk}/"):
        answer = desk.get(address).content.decode()
        assert "<script>alert" not in answer
        assert "&lt;script&gt;alert" in answer


# --- Nothing, and nobody knows ----------------------------------------------------------------------------------------


def test_nothing_needs_attention_says_who_watches_and_when_they_last_looked(desk: Client) -> None:
    for name in ("a", "b", "c"):
        connection_made(name)
    page = get(desk)
    assert "Nothing needs attention" in page
    assert re.search(r"Watching 3 connections, last sync <time [^>]*>1\d s ago</time>\.", page)


def test_without_anything_to_watch_nothing_is_called_fine(desk: Client) -> None:
    assert "No connection yet" in get(desk)
    connection = connection_made(imported_at=None, synced_at=None, tried_at=timezone.now())
    assert "The first import is under way" in get(desk)
    Connection.objects.filter(pk=connection.pk).update(paused_at=timezone.now())
    page = get(desk)
    assert "Nobody is watching" in page
    assert "Nothing needs attention" not in page


def test_an_empty_filter_says_what_else_there_is(desk: Client, prod: Connection) -> None:
    many_stalled(prod, 2)
    page = get(desk, "/attention/?reason=expired")
    assert "Nothing of this kind" in page
    assert "2 others need attention." in page


def test_what_is_open_on_a_stale_connection_is_shown_as_of_then(desk: Client, prod: Connection) -> None:
    many_stalled(prod, 1)
    synced_at = timezone.now() - timedelta(minutes=30)
    Connection.objects.update(synced_at=synced_at, health="stale")
    concerns.judge_connections(timezone.now())
    raise_revision(prod.pk)
    page = get(desk)
    assert groups(page) == ["sync_stale", "stalled"]
    assert page.count("as of") > 1
    assert "has not been in step since" not in page, "the row says it"
    assert "has not been in step since" in get(desk, "/attention/?reason=stalled")


# --- On other pages ---------------------------------------------------------------------------------------------------


def test_every_page_counts_what_needs_attention(desk: Client) -> None:
    made = needy_made()
    expected = str(Concern.objects.open().exclude(reason=Reason.RESULTS_EXPIRE).count())
    for address in ("/batches/", f"/batches/{made['running'].pk}/", "/connections/", "/attention/"):
        assert nav_count(get(desk, address)) == expected


def test_a_row_of_the_list_has_the_worst_in_a_few_words(desk: Client) -> None:
    made = needy_made()
    page = get(desk, "/batches/")
    for key, words in {
        "validating_long": "stalled, no change since ",
        "high": "36 % failed",
        "nearly": "window nearly over, 45 % done",
        "late": "overdue, not called expired",
        "stuck": "cancel stuck since ",
        "lost": "counts do not add up",
        "expired": "188 not completed",
        "all_failed": "no request completed",
        "invalid": "no request was run",
        "expiring": "results expire ",
        "stale": "as of ",
    }.items():
        row = re.search(rf'<tr id="row-{made[key].pk}".*?</tr>', page)
        assert row
        assert words in row[0], key


def test_a_stuck_cancel_outranks_who_asked_for_it(desk: Client, prod: Connection) -> None:
    began_at = timezone.now() - timedelta(minutes=20)
    batch = batch_made(prod, "in_progress", **counts(100, 1))
    Act.objects.create(batch=batch, kind="cancel", state="accepted", who="Ana", began_at=began_at)
    judged()
    page = get(desk, "/batches/")
    assert "cancel stuck since" in page
    assert "cancel requested by" not in page


def test_the_page_of_a_batch_says_each_of_its_concerns(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, "expired", expires_at=timezone.now(), **counts(1000, 700, 200))
    judged()
    page = get(desk, f"/batches/{batch.pk}/")
    assert "Many requests failed." in page
    assert "200 of 1,000 requests failed (20 %)." in page
    assert "Expired unfinished." in page
    Concern.objects.update(closed_at=timezone.now())
    assert "Expired unfinished." not in get(desk, f"/batches/{batch.pk}/")


def test_the_card_of_a_connection_says_what_it_and_its_batches_need(desk: Client) -> None:
    made = needy_made()
    page = get(desk, "/connections/")
    assert page.count("The vendor did not answer in time.") == 2, "once in the strip and once on the card"
    assert "Sync stale." in page
    azure = made["overdue"].connection_id
    assert f'href="/attention/?connection={azure}">4 of its batches need attention' in page
