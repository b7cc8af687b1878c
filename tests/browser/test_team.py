"""The way of somebody who is invited: in, sees what they may, and is out within one poll when that ends."""

import re

import pytest
from django.conf import LazySettings
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from dashboard.models import User
from tests.batches_made import batch_made, connection_made, counts
from tests.browser.conftest import Opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_invited_limited_deactivated(
    opened: Opened, browser: Browser, live_server: LiveServer, mei: User, settings: LazySettings
) -> None:
    settings.REMEMBER_SECONDS = 1.0
    alpha, hidden = connection_made("Alpha"), connection_made("Hidden / prod")
    batch_made(alpha, "in_progress", name="mine to see", **counts(10, 4))
    batch_made(hidden, "in_progress", name="not for everybody", **counts(10, 4))

    desk = opened(mei, "/people/")
    desk.get_by_role("link", name="Invite").click()
    desk.get_by_label("E-mail address").fill("nora@example.org")
    desk.get_by_label("only these:").check()
    desk.get_by_label("Alpha").check()
    desk.get_by_role("button", name="Make the link").click()
    link = desk.locator("#link").input_value()
    assert link.startswith(live_server.url)

    with browser.new_context(base_url=live_server.url, timezone_id="UTC", locale="en-GB") as fresh:
        page = fresh.new_page()
        page.goto(link)
        page.get_by_label("Name to sign in with").fill("nora")
        page.get_by_label("Password", exact=True).fill("a long enough one")
        page.get_by_label("Password, once more").fill("a long enough one")
        page.get_by_role("button", name="Accept and sign in").click()
        page.wait_for_url(f"{live_server.url}/")
        page.get_by_role("link", name="Batches").first.click()
        expect(page.get_by_text("mine to see").first).to_be_visible()
        assert "Hidden" not in page.content()
        assert "not for everybody" not in page.content()
        page.wait_for_load_state("networkidle")

        desk.goto("/people/")
        desk.get_by_role("link", name="nora").click()
        desk.get_by_role("button", name="Deactivate ...").click()
        desk.get_by_role("button", name="Deactivate").click()
        expect(desk.locator("#toasts")).to_contain_text("nora was deactivated.")

        page.wait_for_timeout(1_100)
        page.evaluate("document.querySelector('#poll').dispatchEvent(new Event('poll'))")
        expect(page).to_have_url(re.compile("/sign-in/"))
        page.get_by_label("Name").fill("nora")
        page.get_by_label("Password").fill("a long enough one")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_be_visible()


def test_theme_and_cadence_follow_a_person_from_browser_to_browser(opened: Opened, mei: User) -> None:
    connection_made()
    one = opened(mei, "/batches/")
    with one.expect_response("**/you/look/"):
        one.locator("#theme").select_option("dark")
    with one.expect_response("**/you/look/"):
        one.locator("#cadence").select_option("60")
    other = opened(mei, "/batches/")
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")
    expect(other.locator("#cadence")).to_have_value("60")
    cookies = {cookie.get("name"): cookie.get("value") for cookie in other.context.cookies()}
    assert cookies["theme"] == "dark", "also for pages that nobody is signed in on"
