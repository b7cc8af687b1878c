"""What somebody chooses for themselves."""

import pytest
from axes.models import AccessAttempt
from django.conf import LazySettings
from django.test import Client

from dashboard.models import AuditEntry, Invitation, User
from tests.cast import PASSWORD, ClientOf

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


# --- Kept with the person ---------------------------------------------------------------------------------------------


def test_a_choice_in_the_frame_is_kept_and_found_in_another_browser(
    viewer: Client, vic: User, client_of: ClientOf
) -> None:
    assert viewer.post("/you/look/", {"theme": "dark"}).status_code == 204
    assert viewer.post("/you/look/", {"cadence": "0"}).status_code == 204
    vic.refresh_from_db()
    assert (vic.theme, vic.cadence) == ("dark", 0)
    page = client_of(vic).get("/batches/").content.decode()
    assert 'data-theme="dark"' in page
    assert '<option value="0" selected>' in page
    viewer.post("/you/look/", {"theme": "", "cadence": ""})
    vic.refresh_from_db()
    assert (vic.theme, vic.cadence) == ("", None)


@pytest.mark.parametrize("wrong", [{}, {"theme": "pink"}, {"cadence": "1"}, {"cadence": "x"}])
def test_the_frame_keeps_no_nonsense(viewer: Client, vic: User, wrong: dict[str, str]) -> None:
    assert viewer.post("/you/look/", wrong).status_code == 400
    vic.refresh_from_db()
    assert (vic.theme, vic.cadence) == ("", None)


def test_without_a_person_the_browser_remembers_the_theme(viewer: Client, client: Client) -> None:
    assert viewer.post("/you/look/", {"theme": "dark"}).cookies["theme"].value == "dark"
    client.cookies["theme"] = "dark"
    assert 'data-theme="dark"' in client.get("/sign-in/").content.decode()


# --- The way in -------------------------------------------------------------------------------------------------------

CHANGE = {"old_password": PASSWORD, "new_password1": "another long one", "new_password2": "another long one"}


def test_a_new_password_ends_every_other_session_and_not_this_one(
    viewer: Client, vic: User, client_of: ClientOf
) -> None:
    other = client_of(vic)
    assert viewer.post("/you/password/", CHANGE)["Location"] == "/you/"
    assert viewer.get("/").status_code == 200
    assert other.get("/").status_code == 302
    vic.refresh_from_db()
    assert vic.check_password("another long one")
    assert AuditEntry.objects.get().verb == "person.password"


@pytest.mark.parametrize(
    "wrong", [{"old_password": "no"}, {"new_password2": "other"}, {"new_password1": "123", "new_password2": "123"}]
)
def test_a_mistake_changes_nothing_and_sends_no_password_back(viewer: Client, vic: User, wrong: dict[str, str]) -> None:
    page = viewer.post("/you/password/", CHANGE | wrong).content.decode()
    assert "errorlist" in page
    assert "another long one" not in page
    vic.refresh_from_db()
    assert vic.check_password(PASSWORD)


def test_guesses_at_the_old_password_are_counted_and_none_is_kept(viewer: Client, vic: User) -> None:
    answers = [viewer.post("/you/password/", CHANGE | {"old_password": f"guess-{i}"}) for i in range(9)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert "Wait 15 minutes" in answers[-1].content.decode()
    assert viewer.post("/you/password/", CHANGE).status_code == 429, "the right one waits as well"
    kept = str(list(AccessAttempt.objects.values()))
    assert "guess" not in kept
    assert "another long one" not in kept
    assert viewer.get("/").status_code == 200, "who is signed in stays signed in"


def test_signing_out_everywhere_ends_this_session_too(viewer: Client, vic: User, client_of: ClientOf) -> None:
    other = client_of(vic)
    assert viewer.post("/you/sign-out/")["Location"] == "/sign-in/"
    assert [browser.get("/").status_code for browser in (viewer, other)] == [302, 302]


def test_where_only_looking_is_allowed_one_may_still_look_after_oneself(
    viewer: Client, vic: User, settings: LazySettings
) -> None:
    settings.READ_ONLY = True
    assert viewer.post("/you/look/", {"theme": "dark"}).status_code == 204
    assert viewer.post("/you/password/", CHANGE).status_code == 302
    assert viewer.post("/you/sign-out/").status_code == 302


class WhileChoosing:
    """A validator of passwords, which are checked between reading somebody and writing them: then things happen."""

    def validate(self, _password: str, _user: User | None = None) -> None:
        User.objects.filter(username="vic").update(is_active=False, session_round=7)


def test_whoever_is_deactivated_while_they_change_their_password_stays_deactivated(
    viewer: Client, vic: User, settings: LazySettings
) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": "tests.views.test_you.WhileChoosing"}]
    changed = {"old_password": PASSWORD, "new_password1": "another long one", "new_password2": "another long one"}
    viewer.post("/you/password/", changed)
    vic.refresh_from_db()
    assert vic.check_password("another long one"), "it came as far as writing"
    assert (vic.is_active, vic.session_round) == (False, 7)
    assert viewer.get("/batches/").status_code == 302


def test_a_new_password_ends_a_link_for_another(viewer: Client, admin: Client, vic: User) -> None:
    admin.post(f"/people/{vic.pk}/reset/")
    viewer.post(
        "/you/password/",
        {"old_password": PASSWORD, "new_password1": "another long one", "new_password2": "another long one"},
    )
    assert not Invitation.objects.usable().exists()
