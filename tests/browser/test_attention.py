"""What needs attention in a real browser: the rules of axe, every width, live, and without JavaScript."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect

from dashboard.models import Concern, User
from dashboard.models.connection import raise_revision
from tests.batches_made import needy_made
from tests.browser.conftest import Opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("look", [(1440, "light"), (1024, "light"), (390, "dark")])
def test_no_page_with_concerns_breaks_a_rule_of_axe_or_scrolls_sideways(
    opened: Opened, ana: User, look: tuple[int, str]
) -> None:
    width, theme = look
    made = needy_made()
    for path in ("/attention/", "/batches/", f"/batches/{made['stuck'].pk}/", "/connections/"):
        page = opened(ana, path, width=width, theme=theme)
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        expect(page.locator("#nav-attention")).to_be_visible()
        page.close()


def test_what_is_over_leaves_the_page_and_the_count_by_itself(opened: Opened, ana: User) -> None:
    made = needy_made()
    page = opened(ana, "/attention/?reason=stalled")
    row = page.get_by_role("link", name="embed-wiki-dump-2026-11-20")
    expect(row).to_be_visible()
    before = int(page.locator("#nav-attention").inner_text())
    Concern.objects.filter(batch=made["validating_long"]).update(closed_at=timezone.now())
    raise_revision(made["validating_long"].connection_id)
    page.locator("h1").click()
    page.keyboard.press("r")
    expect(row).to_have_count(0)
    expect(page.get_by_role("heading", name="Nothing of this kind")).to_be_visible()
    expect(page.locator("#nav-attention")).to_have_text(str(before - 1))


def test_the_keys_move_through_the_rows_and_open_one(opened: Opened, ana: User) -> None:
    needy_made()
    page = opened(ana, "/attention/?reason=overdue")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_url("**/batches/*/")
