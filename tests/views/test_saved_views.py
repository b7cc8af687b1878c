"""/batches/views/: filters under a name, one's own and the team's."""

import re
from html import unescape
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from dashboard.insight import pulse
from dashboard.models import AuditEntry, SavedView, User
from dashboard.views import saved_views as room
from tests.batches_made import batch_made, connection_made, everything_made
from tests.cast import ClientOf
from tests.views.test_batches import get, moved, poll_of, rows

pytestmark = pytest.mark.django_db
FILTER = {"q": 'failed:>0 "a b"', "status": "partial", "sort": "failed"}


def save(client: Client, name: str, query: str = "?q=nightly", **more: str) -> SavedView:
    answer = client.post("/batches/views/add/", {"name": name, "back": query, **more})
    assert answer.status_code == 302, answer.content.decode()
    return SavedView.objects.get(name=" ".join(name.split()))


def tabs(page: str) -> list[str]:
    nav = re.search(r'<nav class="tabs viewtabs".*?</nav>', page, re.DOTALL)
    return [unescape(name) for name in re.findall(r"<span>([^<]*)</span>", nav[0])] if nav else []


def current(page: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'aria-current="page"><span>([^<]*)</span></a>', page)]


def test_a_view_keeps_filter_and_order_and_not_the_place_in_the_list(vic: User, client_of: ClientOf) -> None:
    everything_made()
    desk = client_of(vic)
    query = urlencode(FILTER | {"before": "5.5", "seen": "1", "x": "y"})
    answer = desk.post("/batches/views/add/", {"name": "  three \n  failed ", "back": f"?{query}"})
    view = SavedView.objects.get()
    assert (view.name, view.owner, view.shared) == ("three failed", vic, False)
    assert answer["Location"] == f"/batches/?{view.query}" == f"/batches/?{urlencode(FILTER)}"
    page = get(desk, answer["Location"])
    assert "Saved as three failed." in page
    assert tabs(page) == current(page) == ["three failed"]
    assert page.count(f'href="/batches/?{urlencode(FILTER).replace("&", "&amp;")}"') == 2, "a tab, and one in the side"
    assert current(get(desk, "/batches/?q=other")) == []
    assert "three failed" in get(desk, "/connections/"), "the side is everywhere"


def test_own_views_stand_before_those_of_the_team_and_private_ones_are_nobody_elses(
    vic: User, ana: User, mei: User, stranger: User, client_of: ClientOf
) -> None:
    save(client_of(mei), "a of the team", shared="on")
    private = save(client_of(mei), "b of mei")
    save(client_of(vic), "z of vic")
    page = get(client_of(vic))
    assert tabs(page) == ["z of vic", "a of the team"]
    assert tabs(get(client_of(ana))) == ["a of the team"]
    assert "b of mei" not in get(client_of(ana), "/batches/views/")
    for client in (client_of(vic), client_of(ana)):
        for path in (f"/batches/views/{private.pk}/", f"/batches/views/{private.pk}/delete/"):
            assert client.post(path, {"name": "x"}).status_code == 404
    assert client_of(stranger).get("/batches/views/").status_code == 403


def test_viewers_save_for_themselves_and_operators_for_the_team(
    vic: User, ana: User, mei: User, client_of: ClientOf
) -> None:
    assert 'name="shared"' not in get(client_of(vic))
    assert 'name="shared"' in get(client_of(ana))
    answer = client_of(vic).post("/batches/views/add/", {"name": "x", "shared": "on"}, headers={"HX-Request": "true"})
    assert answer.status_code == 403
    assert "operator" in answer["X-Reason"]
    assert not SavedView.objects.exists()
    own = save(client_of(vic), "own")
    client_of(vic).post(f"/batches/views/{own.pk}/", {"name": "renamed", "shared": "on"})
    own.refresh_from_db()
    assert (own.name, own.shared) == ("renamed", False)
    team = save(client_of(ana), "team", shared="on")
    assert client_of(vic).post(f"/batches/views/{team.pk}/", {"name": "mine"}).status_code == 403
    client_of(mei).post(f"/batches/views/{team.pk}/", {"name": "better", "shared": "on"})
    team.refresh_from_db()
    assert (team.name, team.owner, team.shared) == ("better", ana, True)
    assert list(AuditEntry.objects.order_by("pk").values_list("actor", "verb", "target")) == [
        ("ana", "view.share", "team"),
        ("mei", "view.edit", "better"),
    ]


def test_somebody_who_lost_the_right_may_still_take_back_what_they_shared(ana: User, client_of: ClientOf) -> None:
    view = save(client_of(ana), "team", shared="on")
    ana.groups.set(Group.objects.filter(name="viewer"))
    client_of(ana).post(f"/batches/views/{view.pk}/", {"name": "team"})
    view.refresh_from_db()
    assert not view.shared


def test_mistakes_are_explained_and_nothing_typed_is_lost(
    vic: User, ana: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = client_of(vic)
    save(desk, "nightly")
    for name, words in (
        ("", "needs a name"),
        ("nightly ", "You have a view of that name"),
        ("x" * 81, "80 characters"),
    ):
        answer = desk.post("/batches/views/add/", {"name": name, "back": "?q=kept"})
        page = answer.content.decode()
        assert answer.status_code == 200
        assert words in page
        assert 'name="back" value="q=kept"' in page
    assert SavedView.objects.count() == 1
    save(client_of(ana), "nightly 2")
    assert desk.post("/batches/views/add/", {"name": "nightly 2"}).status_code == 302, "another's name is free"
    monkeypatch.setattr(room, "MOST", 2)
    assert "as many as there can be" in desk.post("/batches/views/add/", {"name": "third"}).content.decode()


def test_renaming_and_deleting_are_plain_forms(vic: User, client_of: ClientOf) -> None:
    desk = client_of(vic)
    view = save(desk, "nightly")
    assert f'action="/batches/views/{view.pk}/"' in get(desk, f"/batches/views/{view.pk}/")
    assert desk.post(f"/batches/views/{view.pk}/", {"name": "weekly"})["Location"] == "/batches/views/"
    assert tabs(get(desk)) == ["weekly"]
    assert desk.get(f"/batches/views/{view.pk}/delete/").status_code == 405
    desk.post(f"/batches/views/{view.pk}/delete/")
    assert tabs(get(desk)) == []
    checking = Client(enforce_csrf_checks=True)
    checking.force_login(vic, backend="dashboard.access.Roles")
    assert checking.post("/batches/views/add/", {"name": "forged"}).status_code == 403


def test_what_a_person_shared_outlives_them_and_what_they_kept_does_not(
    ana: User, vic: User, mei: User, client_of: ClientOf
) -> None:
    team = save(client_of(ana), "of the team", shared="on")
    save(client_of(ana), "of ana")
    ana.delete()
    left = SavedView.objects.get()
    assert (left.name, left.owner) == ("of the team", None)
    assert tabs(get(client_of(vic))) == ["of the team"]
    assert "left by somebody who is gone" in get(client_of(vic), "/batches/views/")
    assert client_of(vic).post(f"/batches/views/{team.pk}/delete/").status_code == 403
    client_of(mei).post(f"/batches/views/{team.pk}/", {"name": "adopted"})
    assert list(SavedView.objects.values_list("name", "shared")) == [("adopted", True)], "it stays the team's"
    client_of(mei).post(f"/batches/views/{team.pk}/delete/")
    assert not SavedView.objects.exists()


def test_a_view_of_another_time_is_explained_when_it_is_opened(vic: User, client_of: ClientOf) -> None:
    made = everything_made()
    for query, words in (
        ("q=colour:red", "There is no field colour"),
        ("status=gone", "There is no such status"),
        ("sort=cost", "There is no such order"),
        ("connection=987654", "There is no such connection"),
        ("team=search", "The list knows no team"),
    ):
        view = SavedView.objects.create(name=query, owner=vic, query=query)
        answer = client_of(vic).get(f"/batches/?{view.query}")
        assert answer.status_code == 200
        assert words in answer.content.decode(), query
        assert len(rows(answer.content.decode())) == (0 if query.startswith("q=") else len(made))


def test_polls_ask_for_no_views_and_a_page_asks_once(
    vic: User, client_of: ClientOf, settings: Settings, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    settings.PULSE_SECONDS, settings.REMEMBER_SECONDS = 1.0, 5.0
    batch = batch_made(connection_made())
    desk = client_of(vic)
    for i in range(9):
        save(desk, f"view {i}")
    get(desk)  # takes the toasts out of the session
    with django_assert_max_num_queries(9) as page_asked:
        page = get(desk)
    assert sum("savedview" in query["sql"] for query in page_asked.captured_queries) == 1
    moved(batch.connection, batch)
    pulse._latest = None
    with django_assert_max_num_queries(10) as poll_asked:
        assert desk.get(poll_of(page), headers={"HX-Request": "true"}).status_code == 200
    assert not any("savedview" in query["sql"] for query in poll_asked.captured_queries)


def test_names_are_never_markup(ana: User, client_of: ClientOf) -> None:
    save(client_of(ana), '<script>alert(1)</script>"', query='?q="><img src=x>', shared="on")
    for path in ("/batches/", "/batches/views/", f"/batches/views/{SavedView.objects.get().pk}/"):
        page = get(client_of(ana), path)
        assert "<script>alert" not in page
        assert "<img" not in page


def test_the_page_says_what_a_view_shows_as_the_list_calls_it(vic: User, client_of: ClientOf) -> None:
    prod = connection_made()
    client = client_of(vic)
    save(client, "late", f"?q=owner:ana&status=partial&connection={prod.pk}&sort=failed")
    save(client, "everything", "?")
    save(client, "odd", "?status=nonsense&connection=999&sort=upwards")
    shown = re.findall(r'<span class="soft">(.*?)</span>', get(client, "/batches/views/"), re.DOTALL)
    assert [" ".join(re.sub("<[^>]+>", "", words).split()) for words in shown] == [
        "All batches",
        "owner:ana · Partial · OpenAI / prod · Most failed first",
        "nonsense · a connection that is gone · upwards",
    ]


def test_of_very_many_views_some_are_tabs_and_the_last_leads_to_all(vic: User, client_of: ClientOf) -> None:
    everything_made()
    desk = client_of(vic)
    for n in range(40):
        SavedView.objects.create(name=f"view {n:02}", owner=vic, query=f"q=model%3Am{n}")
    assert tabs(get(desk)) == [*(f"view {n:02}" for n in range(12)), "All 40 views"]
    assert tabs(get(desk, "/batches/?q=model:m30"))[0] == "view 30"
