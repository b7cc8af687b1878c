"""/wall/ and /wall/<token>/: who sees what, what it weighs, and that nothing private is on it."""

import gzip
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dashboard import sharing
from dashboard.models import Concern, Connection, SavedView, Share, User
from dashboard.views import wall
from tests.batches_made import batch_made, connection_made, counts
from tests.walls_made import link_made, wall_made

pytestmark = pytest.mark.django_db
POLL = {"HX-Request": "true", "Accept-Encoding": "identity"}


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def seen_of(page: str) -> str:
    [seen] = re.findall(r'data-seen="([^"]+)"', page)
    return str(seen)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No minute passes."""
    monkeypatch.setattr(time, "time", lambda: 1_795_000_000.0)


@pytest.mark.parametrize("active", [0, 1, 20, 500])
def test_whatever_runs_the_answer_stays_small(viewer: Client, active: int) -> None:
    wall_made(active, stale=True)
    plain = viewer.get("/wall/?seen=0", headers=POLL).content
    packed = viewer.get("/wall/?seen=0", headers=POLL | {"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.content) == plain
    assert packed["Content-Encoding"] == "gzip"
    assert len(plain) <= 30_000
    assert len(packed.content) <= 10_000


def test_thousands_of_batches_are_bars_and_no_larger(viewer: Client) -> None:
    wall_made(1200)
    page = viewer.get("/wall/?seen=0", headers=POLL).content
    assert b'class="stacks"' in page
    assert len(page) <= 30_000


@pytest.mark.usefixtures("still")
def test_an_unchanged_board_is_a_204_and_a_changed_one_is_drawn_once_for_all(
    client: Client, ana: User, django_assert_num_queries: DjangoAssertNumQueries, settings: LazySettings
) -> None:
    made = wall_made(20)
    settings.PULSE_SECONDS = settings.SHARE_SECONDS = 60.0
    token = link_made(ana)
    page = text(client, f"/wall/{token}/")
    with django_assert_num_queries(0):
        assert client.get(f"/wall/{token}/?seen={seen_of(page)}", headers=POLL).status_code == 204
        again = Client().get(f"/wall/{token}/?seen=0", headers=POLL)  # another screen
    assert again.status_code == 200
    assert again.content.decode().strip() in page
    Connection.objects.filter(pk=made[0].pk).update(revision=99)
    settings.PULSE_SECONDS = 0.0
    assert client.get(f"/wall/{token}/?seen={seen_of(page)}", headers=POLL).status_code == 200


@pytest.mark.usefixtures("still")
def test_while_everything_moves_a_board_is_drawn_now_and_then_for_links_of_any_name(
    client: Client, ana: User, settings: LazySettings
) -> None:
    """A sync that never rests gives every poll another token, and every screen may have a link of its own."""
    made = wall_made(20)
    settings.BOARD_SECONDS = 60.0
    links = [link_made(ana, name=name) for name in ("kitchen", "<b>hall</b>")]
    kitchen, hall = (client.get(f"/wall/{token}/?seen=0", headers=POLL).text for token in links)
    assert "kitchen" in kitchen
    assert "&lt;b&gt;hall" in hall
    assert "kitchen" not in hall
    assert seen_of(kitchen) == seen_of(hall)
    Connection.objects.filter(pk=made[0].pk).update(revision=99)
    assert client.get(f"/wall/{links[0]}/?seen={seen_of(kitchen)}", headers=POLL).status_code == 204
    settings.BOARD_SECONDS = 0.0
    wall._drawn.clear()
    fresh = client.get(f"/wall/{links[0]}/?seen={seen_of(kitchen)}", headers=POLL)
    assert seen_of(fresh.text) != seen_of(kitchen)


def test_a_board_of_what_runs_says_nothing_of_what_has_ended(viewer: Client) -> None:
    wall_made(5)
    assert "Last 24 h" in text(viewer, "/wall/")
    assert "Last 24 h" not in text(viewer, "/wall/?status=running")


def test_time_alone_changes_a_board_once_a_minute(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    wall_made(1)
    monkeypatch.setattr(time, "time", lambda: 1_795_000_000.0)
    seen = seen_of(text(viewer, "/wall/"))
    assert viewer.get(f"/wall/?seen={seen}", headers=POLL).status_code == 204
    monkeypatch.setattr(time, "time", lambda: 1_795_000_061.0)
    assert viewer.get(f"/wall/?seen={seen}", headers=POLL).status_code == 200


# --- Scopes -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(db: None) -> tuple[Connection, Connection]:
    one, other = connection_made("OpenAI"), connection_made("Azure")
    for i in range(2):
        batch_made(one, "in_progress", name=f"open-{i}", **counts(100, 40))
        batch_made(other, "in_progress", name=f"azure-{i}", **counts(100, 40))
    return one, other


def test_a_board_has_the_scope_of_its_address(viewer: Client, vic: User, two: tuple[Connection, Connection]) -> None:
    page = text(viewer, f"/wall/?connection={two[1].pk}")
    assert "azure" in page
    assert "open-" not in page
    view = SavedView.objects.create(name="Ones", owner=vic, query="q=open-1")
    page = text(viewer, f"/wall/?view={view.pk}")
    assert "Ones" in page
    assert "open-1" in page
    assert "open-0" not in page
    assert "Nothing matches." in text(viewer, "/wall/?q=no-such-name")
    # What is not understood would find more if it were left out.
    assert "Nothing matches." in text(viewer, "/wall/?q=status:nonsense")
    assert "Nothing matches." in text(viewer, "/wall/?connection=99999")


def test_nobody_sees_the_view_of_somebody_else(viewer: Client, ana: User, two: tuple[Connection, Connection]) -> None:
    view = SavedView.objects.create(name="MARKER private", owner=ana, query="q=open")
    page = text(viewer, f"/wall/?view={view.pk}")
    assert "MARKER" not in page
    assert "open-" not in page


def test_several_boards_alternate_with_all_of_them_together(viewer: Client, two: tuple[Connection, Connection]) -> None:
    address = f"/wall/?connection={two[0].pk}&connection={two[1].pk}"
    pages = [text(viewer, f"{address}&rotate=30&slide={i}") for i in range(4)]
    assert 'data-slides="4" data-rotate="30"' in pages[0]
    assert ['class="nm mid"><span>open-' in page for page in pages] == [True, True, True, False]
    assert ['class="nm mid"><span>azure-' in page for page in pages] == [True, False, True, True]
    assert 'data-slides="1"' in text(viewer, address)  # rotation only if asked


def test_a_link_shows_its_own_scope_whatever_its_address_says(
    client: Client, ana: User, two: tuple[Connection, Connection]
) -> None:
    token = link_made(ana, f"connection={two[1].pk}")
    for more in ("", f"?connection={two[0].pk}", "?q=open", "?view=1", "?status=running&slide=3"):
        page = text(client, f"/wall/{token}/{more}")
        assert "azure-1" in page.replace("</span><span>", "")
        assert "open-" not in page, more
    light = text(client, f"/wall/{token}/?theme=light&zone=Asia/Tokyo&language=de&shift=off&rotate=30")
    assert 'lang="de" data-theme="light"' in light
    assert 'data-zone="Asia/Tokyo"' in light
    assert "JST" in light
    assert "data-shift" not in light


def test_a_link_shows_its_connections_in_turn_where_that_is_asked_for(
    client: Client, ana: User, two: tuple[Connection, Connection]
) -> None:
    address = f"/wall/{link_made(ana, 'status=running')}/"
    pages = [text(client, f"{address}?rotate=30&slide={i}") for i in range(4)]
    assert 'data-slides="4" data-rotate="30"' in pages[0]
    assert ["Kitchen ·" in page for page in pages] == [True] * 4
    assert ['class="nm mid"><span>open-' in page for page in pages] == [True, True, True, False]
    assert ['class="nm mid"><span>azure-' in page for page in pages] == [True, False, True, True]
    narrow = f"/wall/{link_made(ana, 'q=open-1')}/?rotate=30"
    for i in range(4):
        page = text(client, f"{narrow}&slide={i}")
        assert "open-0" not in page  # each of them within its filter
        assert "azure-" not in page
    assert 'data-slides="1"' in text(client, address)  # only if asked
    assert 'data-slides="1"' in text(client, f"/wall/{link_made(ana, f'connection={two[1].pk}')}/?rotate=30")


def test_a_link_never_shows_more_because_something_of_its_scope_is_gone(
    client: Client, ana: User, two: tuple[Connection, Connection]
) -> None:
    """A connection that its maker may not see any more is no reason to show all others."""
    token = link_made(ana, f"connection={two[1].pk}")
    ana.is_limited = True
    ana.save()
    ana.connections.add(two[0])
    sharing.forget()
    answer = client.get(f"/wall/{token}/")
    assert answer.status_code == 404
    assert "open-" not in answer.text
    assert "azure-" not in answer.text


# --- By a link --------------------------------------------------------------------------------------------------------


def revoked(share: Share) -> None:
    Share.objects.filter(pk=share.pk).update(revoked_at=timezone.now())


def expired(share: Share) -> None:
    Share.objects.filter(pk=share.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def rotated(share: Share) -> None:
    share.new_token()
    share.save()


def of_another_kind(share: Share) -> None:
    Share.objects.filter(pk=share.pk).update(kind="list")


@pytest.mark.parametrize("change", [revoked, expired, rotated, of_another_kind])
def test_a_link_that_works_no_more_looks_like_one_that_never_did(
    client: Client, ana: User, change: Callable[[Share], None]
) -> None:
    connection_made("MARKER connection")
    token = link_made(ana, name="MARKER name")
    assert client.get(f"/wall/{token}/").status_code == 200
    change(Share.objects.get())
    sharing.forget()
    wrong, gone = client.get("/wall/never-a-token/"), client.get(f"/wall/{token}/")
    assert (wrong.status_code, gone.status_code) == (404, 404)
    assert wrong.content == gone.content
    page = gone.content.decode()
    assert "This screen has nothing to show." in page
    assert "MARKER" not in page
    assert "<form" not in page
    assert "Batches" not in page
    assert client.get(f"/wall/{token}/?seen=0", headers=POLL).status_code == 404


def test_a_link_does_nothing(client: Client, ana: User) -> None:
    token = link_made(ana)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(f"/wall/{token}/").status_code == 405
    answer = client.get(f"/wall/{token}/")
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.content.decode()
    assert "Set-Cookie" not in answer


# --- Privacy ----------------------------------------------------------------------------------------------------------

PRIVATE = ("ann@example.com", "sk-MARKER0123456789abcdef", "org-MARKERabc123", "MARKER-prompt")


@pytest.mark.parametrize("active", [0, 1, 3, 30])
def test_nothing_private_stands_on_a_board_and_nobody_s_markup_is_run(client: Client, ana: User, active: int) -> None:
    prod = connection_made(f"Team of {PRIVATE[0]}")
    name = f"for {PRIVATE[0]} {PRIVATE[1]} {PRIVATE[2]} <script>"
    more: dict[str, Any] = {"errors": [{"code": PRIVATE[1], "message": PRIVATE[3]}], "metadata": {"prompt": PRIVATE[3]}}
    for _i in range(active):
        batch_made(prod, "in_progress", name=name, owner=PRIVATE[0], **more, **counts(100, 40, 3))
    bad = batch_made(prod, "failed", name=name, owner=PRIVATE[0], **more, **counts(100, 0))
    if active:
        first = {"words": f"{PRIVATE[0]}: {PRIVATE[3]}", "line": 3}
        evidence = {"first": first, "by": PRIVATE[0]}
        Concern.objects.create(
            connection=prod, batch=bad, reason="failed_validation", opened_at=timezone.now(), evidence=evidence
        )
    page = text(client, f"/wall/{link_made(ana, name=f'Wall of {PRIVATE[0]}')}/")
    for word in PRIVATE:
        assert word not in page
        assert word not in page.replace("</span><span>", "")
    assert "<script>" not in page
    assert "[…]" in page


# --- In words ---------------------------------------------------------------------------------------------------------


def test_the_sentence_adds_up(viewer: Client) -> None:
    wall_made(20, needy=3)
    page = text(viewer, "/wall/")
    needed = int(re.findall(r'class="wall__big"[^>]*>(\d+)<', page)[0])
    [more, done, unknown] = re.findall(r"(\d+) more running: (\d+) done by [^,]*, (\d+) without an estimate", page)[0]
    assert needed + int(more) == 20
    assert int(done) + int(unknown) == int(more)
    assert page.count('<li class="wrow') == 20


def test_of_more_than_fits_the_rows_say_how_much_is_not_shown(
    viewer: Client, two: tuple[Connection, Connection]
) -> None:
    for _ in range(30):
        bad = batch_made(two[0], "failed")
        Concern.objects.create(
            connection=two[0], batch=bad, reason="failed_validation", opened_at=timezone.now(), evidence={}
        )
    late = two[1].batches.get(name="azure-1")
    Concern.objects.create(
        connection=two[1], batch=late, reason="window_nearly_over", opened_at=timezone.now(), evidence={}
    )
    page = text(viewer, "/wall/")
    assert page.count('<li class="wrow') == 16 + 3
    assert "+ 15 more need attention" in page
    assert "3 more running" in page
    assert "window nearly over" in page  # what can still be saved, though all others are worse


def test_all_clear_says_the_time_the_last_and_the_number_watched(viewer: Client) -> None:
    wall_made(0)
    page = text(viewer, "/wall/?zone=Europe/Berlin")
    assert re.search(r"All clear at \d\d:\d\d", page)
    assert "100 of 100 succeeded" in page
    assert "Watching 3 connections, all in step." in page
    assert re.search(r"<small>CES?T</small>", page)


def test_where_no_connection_answers_nothing_is_called_clear(viewer: Client) -> None:
    wall_made(0)
    Connection.objects.update(synced_at=timezone.now() - timedelta(hours=2))
    page = text(viewer, "/wall/")
    assert "No fresh data since" in page
    assert "All clear" not in page


@pytest.mark.parametrize("active", [0, 1, 5, 20, 60])
def test_a_board_needs_no_script_and_has_nothing_to_press(viewer: Client, active: int) -> None:
    wall_made(active)
    page = text(viewer, "/wall/")
    assert '<noscript><meta http-equiv="refresh" content="30"></noscript>' in page
    assert not re.search(r"<(a|button|input|select|form)\b", page)
    assert not re.search(r"\sstyle=|\son\w+=", page)
