"""What needs attention in a real browser: live, and by keyboard."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from dashboard.models import Concern, User
from dashboard.models.connection import raise_revision
from tests.batches_made import needy_made
from tests.browser.conftest import Opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


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
