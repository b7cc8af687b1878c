"""The search box in a real browser: what it offers, by keyboard and by pointer, and what it says of mistakes."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from dashboard.models import User
from tests.batches_made import everything_made
from tests.browser.conftest import Opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_query_is_put_together_by_keyboard_alone(opened: Opened, ana: User) -> None:
    made = everything_made()
    page = opened(ana, "/batches/")
    page.keyboard.press("/")
    page.keyboard.type("outc")
    expect(page.locator("#options [role=option]")).to_have_count(1)
    expect(page.locator("#q")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#q")).to_have_attribute("aria-activedescendant", "option-1")
    page.keyboard.press("Enter")
    expect(page.locator("#q")).to_have_value("outcome:")
    page.keyboard.type("exp")
    expect(page.locator("#options [role=option]")).to_have_count(1)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    expect(page.locator("#q")).to_have_value("outcome:expired ")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator(f"#row-{made['expired'].pk}")).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=outcome%3Aexpired"))
    page.keyboard.press("Escape")
    expect(page.locator("#options")).to_be_hidden()


def test_an_option_is_taken_by_pointer_and_the_box_keeps_the_focus(opened: Opened, ana: User) -> None:
    everything_made()
    page = opened(ana, "/batches/")
    page.locator("#q").click()
    page.locator("#options [role=option]", has_text="conn:").click()
    expect(page.locator("#q")).to_have_value("conn:")
    expect(page.locator("#q")).to_be_focused()
    page.locator("#options [role=option]", has_text="OGX").click()
    expect(page.locator("#q")).to_have_value('conn:"OGX / lab" ')
    expect(page.locator("tbody tr")).to_have_count(3)


def test_a_mistake_is_explained_under_the_box_and_the_rest_applies(opened: Opened, ana: User) -> None:
    everything_made()
    page = opened(ana, "/batches/?q=status:done+nightly-eval")
    expect(page.locator("#search-note")).to_contain_text("“done” is no status")
    expect(page.locator("tbody tr")).to_have_count(1)


@pytest.mark.parametrize("width", [1440, 390])
def test_open_options_have_no_violations_and_widen_nothing(opened: Opened, ana: User, width: int) -> None:
    everything_made()
    page = opened(ana, "/batches/", width=width)
    page.locator("#q").click()
    expect(page.locator("#options [role=option]").first).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
