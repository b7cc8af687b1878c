"""A link, from the form that makes it to the moment that it goes dark, in a browser of somebody who never signed in."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from dashboard.models import Batch, Connection, Share, User
from tests.batches_made import everything_made
from tests.browser.conftest import Opened
from tests.shares_made import share_made

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
DARK = "This link shows nothing"


@pytest.fixture
def outside(browser: Browser, live_server: LiveServer) -> Iterator[Page]:
    """Nobody's browser. Whatever breaks the content policy or throws fails the test."""
    complaints: list[str] = []
    with browser.new_context(base_url=live_server.url, timezone_id="UTC", locale="en-GB") as context:
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.clock.install()
        yield page
    assert complaints == []


def poll(page: Page) -> int:
    """Let the page ask once; what it is answered."""
    with page.expect_response(re.compile("seen=")) as answer:
        page.clock.fast_forward(20_000)
    return answer.value.status


def test_a_link_is_made_opened_polled_and_revoked(opened: Opened, ana: User, outside: Page) -> None:
    batch = everything_made()["running"]
    desk = opened(ana, "/batches/?status=running")
    desk.get_by_role("link", name="Share").click()
    expect(desk.get_by_text("The list as it was filtered:")).to_be_visible()
    expect(desk.get_by_label("The last day")).to_be_hidden()
    desk.get_by_label("It works").select_option("until the end of a day")
    expect(desk.get_by_label("The last day")).to_be_visible()
    desk.get_by_label("It works").select_option("for 7 days")
    desk.get_by_label("Name").fill("What runs")
    desk.get_by_role("button", name="Make link").click()
    address = desk.locator("#link").inner_text()
    share = Share.objects.get()
    expect(desk).to_have_url(re.compile(f"/shares/{share.pk}/$"))  # so that a reload makes no second one

    outside.goto(address)
    row = outside.locator(f"#row-{batch.pk}")
    expect(row).to_contain_text("1,180")
    assert poll(outside) == 204
    Connection.objects.update(revision=99)
    Batch.objects.filter(pk=batch.pk).update(requests_completed=1300, revision=99)
    assert poll(outside) == 200
    expect(row).to_contain_text("1,300")
    expect(outside.locator("#page-age")).to_contain_text("page")

    desk.goto(f"/shares/{share.pk}/")
    desk.get_by_role("button", name="Revoke link").click()
    expect(desk.locator("#toasts")).to_contain_text("What runs is revoked.")
    assert poll(outside) == 404
    expect(outside.get_by_role("heading", name=DARK)).to_be_visible()
    expect(outside.locator("tr")).to_have_count(0)


def test_a_password_is_asked_for_and_then_remembered(ana: User, outside: Page, opened: Opened) -> None:
    desk = opened(ana, "/shares/add/")
    batch = everything_made()["partial"]
    desk.goto(f"/shares/add/?kind=batch&batch={batch.pk}")
    desk.get_by_label("Password").fill("open sesame")
    desk.get_by_role("button", name="Make link").click()
    address = desk.locator("#link").inner_text()
    outside.goto(address)
    outside.get_by_label("Password").fill("wrong")
    outside.get_by_role("button", name="Open").click()
    expect(outside.get_by_role("alert")).to_have_text("That is not the password.")
    outside.get_by_label("Password").fill("open sesame")
    outside.get_by_role("button", name="Open").click()
    expect(outside.get_by_role("heading", name="nightly-eval-2026-11-21")).to_be_visible()
    outside.goto(address)
    expect(outside.locator(".bigbar")).to_be_visible()
    assert poll(outside) == 204


def test_no_request_of_a_page_by_link_tells_where_it_came_from(ana: User, outside: Page) -> None:
    everything_made()
    _share, token = share_made(ana)
    referers: list[str] = []
    outside.on("request", lambda request: referers.append(request.headers.get("referer", "")))
    outside.goto(f"/s/{token}/")
    outside.wait_for_load_state("networkidle")
    poll(outside)
    assert len(referers) > 4
    assert set(referers) == {""}


def test_a_link_reads_without_javascript(browser: Browser, live_server: LiveServer, ana: User) -> None:
    everything_made()
    _share, token = share_made(ana)
    with browser.new_context(base_url=live_server.url, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"/s/{token}/")
        page.get_by_role("columnheader", name="Failed").get_by_role("link").click()
        expect(page.locator("tbody tr").first).to_contain_text("catalog-enrich-fr-shard-03")
