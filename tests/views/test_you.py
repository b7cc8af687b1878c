"""What somebody chooses for themselves."""

import pytest
from django.conf import LazySettings
from django.test import Client

from dashboard.models import User
from tests.cast import ClientOf

CHOSEN = {"language": "de", "time_zone": "Europe/Berlin", "theme": "dark", "cadence": "60"}


def test_a_choice_is_kept_with_the_person_and_answered_in_its_language(viewer: Client, vic: User) -> None:
    page = viewer.post("/you/", CHOSEN, follow=True).content.decode()
    vic.refresh_from_db()
    assert (vic.language, vic.time_zone) == ("de", "Europe/Berlin")
    assert "Gespeichert." in page
    assert '<html lang="de" data-theme="dark">' in page
    assert 'value="Europe/Berlin" selected' in page


def test_it_holds_in_another_browser(viewer: Client, client_of: ClientOf, vic: User) -> None:
    viewer.post("/you/", CHOSEN)
    other = client_of(vic)
    other.cookies["theme"] = "light"  # of somebody who was signed in there before
    page = other.get("/").content.decode()
    assert '<html lang="de" data-theme="dark">' in page
    assert '<option value="60" selected>' in page
    assert 'data-zone="Europe/Berlin"' in page


def test_what_the_browser_says_can_be_chosen_again(viewer: Client, vic: User) -> None:
    viewer.post("/you/", CHOSEN)
    viewer.post("/you/", {"language": "", "time_zone": "", "theme": ""})
    page = viewer.get("/you/", headers={"Accept-Language": "en"}).content.decode()
    assert '<html lang="en">' in page
    assert "data-zone" not in page


def test_the_browsers_own_zone_is_named(viewer: Client) -> None:
    viewer.cookies["zone"] = "Asia%2FTokyo"
    assert "As the browser (Asia/Tokyo)" in viewer.get("/you/").content.decode()
    viewer.cookies["zone"] = "<b>"
    assert "<b>)" not in viewer.get("/you/").content.decode()


@pytest.mark.parametrize("wrong", [{"language": "xx"}, {"time_zone": "Atlantis/Old"}, {"theme": "pink"}])
def test_what_there_is_not_cannot_be_chosen(viewer: Client, vic: User, wrong: dict[str, str]) -> None:
    page = viewer.post("/you/", CHOSEN | wrong).content.decode()
    assert "errorlist" in page
    vic.refresh_from_db()
    assert (vic.language, vic.time_zone) == ("", "")


def test_everybody_finds_it_and_may_choose_where_only_looking_is_allowed(
    viewer: Client, vic: User, settings: LazySettings
) -> None:
    settings.READ_ONLY = True
    assert 'href="/you/"' in viewer.get("/").content.decode()
    assert viewer.post("/you/", CHOSEN).status_code == 302
    vic.refresh_from_db()
    assert vic.language == "de"


def test_only_who_is_signed_in_has_one(client: Client) -> None:
    assert client.get("/you/").status_code == 302
