"""Saved views and chosen columns in a real browser, with JavaScript and without."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from dashboard.models import SavedView, User
from dashboard.templatetags.columns import COLUMNS
from tests.batches_made import everything_made
from tests.browser.conftest import Opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_what_was_typed_is_saved_and_its_tab_is_marked_while_it_is_shown(opened: Opened, ana: User) -> None:
    everything_made()
    page = opened(ana, "/batches/")
    page.locator("#q").fill("failed:>0")
    expect(page).to_have_url(re.compile("q=failed"))
    page.locator("summary", has_text="Save view").click()
    page.locator("#view-name").fill("With failures")
    page.locator("#view-name").press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Saved as With failures.")
    tab = page.locator(".viewtabs").get_by_role("link", name="With failures")
    expect(tab).to_have_attribute("aria-current", "page")
    expect(page.locator(".views").get_by_role("link", name="With failures")).to_have_attribute("aria-current", "true")
    page.locator("#q").fill("nightly")
    expect(tab).not_to_have_attribute("aria-current", "page")
    page.locator("#q").fill("")
    expect(page.get_by_role("link", name="All batches")).to_have_attribute("aria-current", "page")
    tab.click()
    expect(page.locator("#q")).to_have_value("failed:>0")
    assert SavedView.objects.get().query == "q=failed%3A%3E0"


def test_the_order_is_chosen_without_a_head_and_a_selection_survives_it(opened: Opened, ana: User) -> None:
    made = everything_made()
    page = opened(ana, "/batches/", width=390)
    box = page.locator(f"#row-{made['overdue'].pk} .c-check input")
    box.check()
    page.locator("#sort").select_option("deadline")
    expect(page).to_have_url(re.compile(r"\?sort=deadline$"))
    expect(page.locator("tbody tr").first).to_have_id(f"row-{made['overdue'].pk}")
    expect(box).to_be_checked()
    page.locator("#sort").select_option("Newest first")
    expect(page).to_have_url(re.compile(r"/batches/$"))
    expect(page.locator(".bulk__count")).to_have_text("1 selected ")


def test_a_menu_closes_by_escape_and_by_a_click_beside_it(opened: Opened, ana: User) -> None:
    everything_made()
    page = opened(ana, "/batches/")
    summary = page.locator("summary", has_text="Columns")
    menu = page.locator(".menu__in").first
    summary.click()
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(summary).to_be_focused()
    summary.click()
    page.locator("h1").click()
    expect(menu).to_be_hidden()


def test_all_of_it_works_without_javascript(
    browser: Browser, live_server: LiveServer, opened: Opened, ana: User
) -> None:
    everything_made()
    cookies = opened(ana, "/batches/").context.cookies()
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    context.add_cookies([{"name": one["name"], "value": one["value"], "url": live_server.url} for one in cookies])
    page = context.new_page()
    page.goto("/batches/?status=partial")
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("Tokens").check()
    page.get_by_role("button", name="Show these").click()
    expect(page).to_have_url(re.compile(r"\?status=partial$"))
    expect(page.get_by_role("columnheader", name="Tokens")).to_be_visible()
    page.locator("summary", has_text="Save view").click()
    page.locator("#view-name").fill("Partial ones")
    page.get_by_label("Share with the team").check()
    page.locator(".menu__in").get_by_role("button", name="Save view").click()
    expect(page.locator(".viewtabs [aria-current]")).to_have_text("Partial ones")
    page.get_by_role("link", name="Edit views").click()
    page.get_by_role("link", name="Edit Partial ones").click()
    page.get_by_label("Name").fill("Partial")
    page.get_by_role("button", name="Save view").click()
    page.get_by_role("link", name="Edit Partial").click()
    page.get_by_role("button", name="Delete view").click()
    expect(page.locator("h2", has_text="No saved view yet")).to_be_visible()
    context.close()


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1024, "dark"), (390, "dark")])
def test_every_column_long_names_and_open_menus_break_no_rule(
    opened: Opened, ana: User, width: int, theme: str
) -> None:
    everything_made()
    User.objects.filter(pk=ana.pk).update(columns=list(COLUMNS))
    view = SavedView.objects.create(name="name-without-a-break" * 4, owner=ana, shared=True, query="q=" + "x" * 300)
    for path in ("/batches/", "/batches/views/", f"/batches/views/{view.pk}/"):
        page = opened(ana, path, width=width, theme=theme)
        for menu in page.locator(".menu > summary").all():
            menu.click()
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        page.context.close()
