"""The whole product in a browser that runs no JavaScript: every page reads, every button acts."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from dashboard.models import Act, Batch, Connection, SavedView, User
from tests.batches_made import crowd_made, everything_made, judged
from tests.browser.test_rules import PAGES, Rows, links_made
from tests.cast import PASSWORD, person
from tests.errors_made import everything_read
from tests.sync.conftest import Vendor, vendor_of

__all__ = ["vendor_of"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def plain(browser: Browser, live_server: LiveServer) -> Iterator[Page]:
    with browser.new_context(base_url=live_server.url, java_script_enabled=False) as context:
        yield context.new_page()


def sign_in(page: Page, path: str, name: str) -> None:
    page.goto(path)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_working_day(plain: Page, ana: User) -> None:
    made = everything_made()
    crowd_made(made["running"].connection, 60)
    rows = plain.locator("tbody tr")

    # In by the door, to where one wanted to go.
    sign_in(plain, "/batches/?status=running", "ana")
    expect(plain).to_have_url(re.compile(r"/batches/\?status=running$"))
    expect(plain.locator(f"#row-{made['running'].pk}")).to_be_visible()
    expect(plain.locator("#page-age")).to_be_visible()

    # Search keeps the chip; what is wrong with it is said; the chip is left again.
    plain.locator("#q").fill("eval status:done")
    plain.get_by_role("button", name="Search").click()
    expect(plain).to_have_url(re.compile("status=running"))
    expect(plain.locator("#search-note")).to_contain_text("“done” is no status")
    expect(rows).to_have_count(1)
    plain.locator(".nav").get_by_role("link", name="Batches").first.click()

    # Order by a head and by the list of orders.
    plain.get_by_role("columnheader", name="Failed").get_by_role("link").click()
    expect(rows.first).to_have_id(f"row-{made['all_failed'].pk}")
    plain.locator("#sort").select_option("Oldest first")
    plain.get_by_role("button", name="Search").click()
    expect(plain).to_have_url(re.compile("sort="))
    expect(rows.first).not_to_have_id(f"row-{made['all_failed'].pk}")

    # Page by page, and back.
    plain.goto("/batches/")
    first = rows.first.get_attribute("id")
    plain.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(Batch.objects.count() - 50)
    plain.get_by_role("link", name="Newer").click()
    expect(rows.first).to_have_id(str(first))

    # A view is saved and found again as a tab.
    plain.goto("/batches/?q=failed:>0")
    plain.locator("summary", has_text="Save view").click()
    plain.locator("#view-name").fill("With failures")
    plain.locator(".menu__in").get_by_role("button", name="Save view").click()
    expect(plain.locator("#toasts")).to_contain_text("Saved as With failures.")
    assert SavedView.objects.get().name == "With failures"
    plain.get_by_role("link", name="All batches").click()
    plain.locator(".viewtabs").get_by_role("link", name="With failures").click()
    expect(plain.locator("#q")).to_have_value("failed:>0")

    # Refresh is a link, and out by the door.
    plain.get_by_role("link", name="Refresh now").click()
    expect(plain.locator("#q")).to_have_value("failed:>0")
    plain.get_by_role("button", name="Sign out").first.click()
    expect(plain).to_have_url(re.compile("/sign-in/$"))


def test_a_batch_is_cancelled_on_a_page_that_asks_first(
    plain: Page, ana: User, vendor_of: Callable[..., Vendor]
) -> None:
    vendor = vendor_of(9, open=4)
    vendor.pull()
    batch = Batch.objects.filter(connection=vendor.connection, is_open=True)[0]
    sign_in(plain, f"/batches/{batch.pk}/", "ana")
    plain.get_by_role("link", name="Cancel batch").click()
    expect(plain).to_have_url(re.compile(rf"/batches/{batch.pk}/cancel/$"))
    plain.get_by_role("link", name="Keep it running").click()
    assert not Act.objects.exists(), "asking is not yet doing"
    plain.get_by_role("link", name="Cancel batch").click()
    plain.get_by_role("button", name="Cancel batch").click()
    expect(plain).to_have_url(re.compile(rf"/batches/{batch.pk}/$"))
    expect(plain.locator(".seen")).to_contain_text("Cancel by ana")
    batch.refresh_from_db()
    assert batch.status in {"cancelling", "cancelled"}


def test_tabs_tables_and_files_are_read(plain: Page, ana: User) -> None:
    made = everything_read()
    judged()
    batch = made["partial"]
    sign_in(plain, f"/batches/{batch.pk}/", "ana")
    for tab in ("Requests", "Files", "Activity"):
        plain.locator(".tabs").get_by_role("link", name=re.compile(f"^{tab}")).click()
        expect(plain).to_have_url(re.compile(rf"/batches/{batch.pk}/{tab.lower()}/$"))
        expect(plain.locator("h1")).to_have_text("nightly-eval-2026-11-21")
    plain.locator(".tabs a").first.click()
    plain.locator("#raw summary").click()
    expect(plain.locator("#raw-text")).to_contain_text(batch.remote_id)

    # What a browser with JavaScript draws stands in tables, and in files.
    plain.goto("/?range=7d")
    expect(plain.locator(".plot noscript, .plot:has-text('draws this chart with JavaScript')").first).to_be_visible()
    table = plain.locator("details.data").first
    table.locator("summary").click()
    expect(table.locator("tbody tr").first).to_be_visible()
    assert table.locator("tbody tr").count() >= 7
    for drawn in plain.locator("details.data").all()[1:]:
        drawn.locator("summary").click()
        expect(drawn.locator("tbody tr").first).to_be_visible()
    with plain.expect_download() as file:
        plain.locator("[data-kind=requests]").get_by_text("CSV").click()
    assert file.value.path().read_text().startswith("\ufefffrom,until,completed")
    plain.goto("/errors/")
    table = plain.locator("details.data").first
    table.locator("summary").click()
    expect(table.locator("tbody tr").first).to_be_visible()


def test_connections_are_added_tested_paused_and_removed(plain: Page, mei: User) -> None:
    sign_in(plain, "/connections/add/", "mei")
    plain.get_by_label("Name", exact=True).fill("Here")
    plain.get_by_label("Base URL").fill("http://127.0.0.1:9/v1")
    plain.get_by_label("Key", exact=True).fill("typed-by-hand")
    plain.get_by_role("button", name="Test before saving").click()
    expect(plain.locator("#finding")).to_contain_text("cannot be reached")
    plain.get_by_label("Key", exact=True).fill("typed-by-hand")
    plain.get_by_role("button", name="Add connection").click()
    expect(plain).to_have_url(re.compile("/connections/$"))
    plain.get_by_role("button", name="Test connection").click()
    expect(plain.locator("#toasts")).to_contain_text("cannot be reached")
    plain.goto("/connections/")
    plain.get_by_role("button", name="Pause sync").click()
    plain.get_by_role("button", name="Resume sync").click()
    expect(plain.get_by_role("button", name="Pause sync")).to_be_visible()
    assert Connection.objects.get().paused_at is None


def test_every_page_reads_and_nothing_on_it_waits_for_a_script(plain: Page, mei: User) -> None:
    made = everything_read()
    judged()
    sign_in(plain, "/", "mei")
    numbers: Rows = {key: batch.pk for key, batch in made.items()}
    numbers["view"], numbers["connection"] = 0, made["running"].connection_id
    numbers |= links_made(mei, person("ana", "operator"), made)
    numbers["person"] = person("lena", "operator").pk
    for name, addresses in PAGES.items():
        if name in {"saved-view", "error-group"}:
            continue
        path = addresses[0].format(**numbers)
        answer = plain.goto(path)
        assert answer
        assert answer.status == 200, path
        expect(plain.locator("h1, .h1ish").first).to_be_visible()
        # A button that only a script answers is not shown, and a link always leads somewhere.
        dead = plain.locator("button[type=button]:visible:not([aria-disabled=true]), a:not([href]):visible")
        assert dead.evaluate_all("all => all.map((one) => one.outerHTML.slice(0, 120))") == [], path
