"""The door and the connections page in a real browser."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from dashboard.access import role_of
from dashboard.management.commands.sign_in_link import make_first_link
from dashboard.models import Connection, Refusal, User
from tests.cast import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

type Opened = Callable[..., Page]


@pytest.fixture
def nowhere(transactional_db: None) -> Connection:
    """Nothing listens there, and one of its records was left out."""
    now = timezone.now()
    connection = Connection.objects.create(
        name="OGX / lab",
        base_url="http://127.0.0.1:9/v1",
        auth_style="none",
        tried_at=now,
        synced_at=now,
        imported_at=now,
    )
    Refusal.objects.create(connection=connection, reason="no_id", excerpt="{}", first_seen_at=now, last_seen_at=now)
    return connection


def refresh(page: Page) -> None:
    """The key for it, as a person in a hurry would."""
    page.locator("h1").click()
    with page.expect_response(lambda response: "/connections/" in response.url):
        page.keyboard.press("r")


def test_the_first_admin_is_made_and_no_link_to_anywhere_tells_the_token(
    browser: Browser, live_server: LiveServer, transactional_db: None
) -> None:
    page = browser.new_page()
    told: list[str] = []
    page.on("request", lambda request: told.append(request.headers.get("referer", "")))
    link = make_first_link(live_server.url)
    page.goto(link)
    page.get_by_label("Name to sign in with").fill("mei")
    page.get_by_label("Password", exact=True).fill("a long and good one")
    page.get_by_label("Password, once more").fill("a long and good one")
    page.get_by_role("button", name="Make admin and sign in").click()
    expect(page).to_have_url(f"{live_server.url}/")
    assert role_of(User.objects.get()) == "admin"
    assert "token" not in "".join(told)
    page.close()


def test_signing_in_leads_to_where_one_wanted_to_go(
    browser: Browser, live_server: LiveServer, nowhere: Connection, vic: User
) -> None:
    page = browser.new_page()
    page.goto(f"{live_server.url}/connections/")
    page.get_by_label("Name").fill("vic")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="OGX / lab")).to_be_visible()
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/sign-in/")
    page.close()


def test_the_test_button_answers_in_place(opened: Opened, nowhere: Connection, mei: User) -> None:
    page = opened(mei, "/connections/")
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator(f"#finding-{nowhere.pk}")).to_contain_text("cannot be reached")


def test_a_form_is_tested_without_losing_the_key_that_was_typed(opened: Opened, nowhere: Connection, mei: User) -> None:
    page = opened(mei, "/connections/add/")
    page.get_by_role("button", name="Test before saving").click()
    expect(page.locator("#finding")).to_contain_text("Not tested yet")
    page.get_by_label("Name", exact=True).fill("Here")
    page.get_by_label("Base URL").fill("http://127.0.0.1:9/v1")
    page.get_by_label("Key", exact=True).fill("typed-by-hand")
    page.get_by_role("button", name="Test before saving").click()
    expect(page.locator("#finding")).to_contain_text("cannot be reached")
    expect(page.get_by_label("Key", exact=True)).to_have_value("typed-by-hand")
    page.get_by_role("button", name="Add connection").click()
    page.wait_for_url("**/connections/")
    assert Connection.objects.get(name="Here").key == "typed-by-hand"


def test_a_poll_brings_what_changed_and_leaves_open_what_was_opened(
    opened: Opened, nowhere: Connection, mei: User
) -> None:
    page = opened(mei, "/connections/")
    page.get_by_text("1 record was left out").click()
    page.get_by_role("button", name="Test connection").click()
    finding = page.locator(f"#finding-{nowhere.pk}")
    expect(finding).to_contain_text("cannot be reached")
    Connection.objects.update(paused_at=timezone.now(), paused_by="ana", revision=2)
    refresh(page)
    expect(page.get_by_text("By ana,")).to_be_visible()
    expect(page.get_by_role("button", name="Resume sync")).to_be_visible()
    expect(page.get_by_role("cell", name="Has no id")).to_be_visible()
    expect(finding).to_contain_text("cannot be reached")


def test_pausing_and_resuming_change_the_card_in_place(opened: Opened, nowhere: Connection, mei: User) -> None:
    page = opened(mei, "/connections/")
    page.get_by_role("button", name="Pause sync").click()
    expect(page.get_by_text("By mei,")).to_be_visible()
    page.get_by_role("button", name="Resume sync").click()
    expect(page.get_by_role("button", name="Pause sync")).to_be_visible()
    assert urlsplit(page.url).path == "/connections/"
    assert Connection.objects.get().paused_at is None


def test_a_card_that_was_resumed_can_be_paused_again(opened: Opened, nowhere: Connection, mei: User) -> None:
    """The form keeps its identity through both changes, and may keep nothing of the earlier one."""
    page = opened(mei, "/connections/")
    for name in ("Pause sync", "Resume sync", "Pause sync"):
        page.get_by_role("button", name=name).click()
    expect(page.get_by_role("button", name="Resume sync")).to_be_visible()
    assert Connection.objects.get().paused_by == "mei"


def test_an_ended_session_leads_to_the_sign_in_page(opened: Opened, nowhere: Connection, vic: User) -> None:
    page = opened(vic, "/connections/")
    page.context.clear_cookies()
    page.locator("h1").click()
    page.keyboard.press("r")
    page.wait_for_url("**/sign-in/?next=*")
    assert "next=%2Fconnections%2F" in page.url
