"""Selecting rows in a real browser: by box, range and key, through polls, searches and pages."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from dashboard.models import Batch, Connection, User
from tests.batches_made import batch_made, connection_made, counts, crowd_made, everything_made
from tests.browser.conftest import Opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def ticked(page: Page) -> list[int]:
    boxes = page.locator("tbody .c-check input:checked")
    return [int(value) for value in boxes.evaluate_all("all => all.map((one) => one.value)")]


def poll(page: Page) -> None:
    with page.expect_response(lambda answer: "seen=" in answer.url):
        page.evaluate("document.querySelector('#poll').dispatchEvent(new Event('poll'))")


def moved(batch: Batch, **columns: object) -> None:
    connection = Connection.objects.get(pk=batch.connection_id)
    connection.revision += 1
    connection.save()
    Batch.objects.filter(pk=batch.pk).update(revision=connection.revision, **columns)


def test_ticks_survive_polls_refreshes_and_new_rows(opened: Opened, ana: User) -> None:
    made = everything_made()
    running, done = made["running"], made["partial"]
    page = opened(ana, "/batches/")
    expect(page.locator("#selection")).to_be_hidden()
    for batch in (running, done):
        page.locator(f"#row-{batch.pk} .c-check input").check()
    expect(page.locator(".bulk__count")).to_have_text("2 selected ")
    moved(running, requests_completed=1300)
    poll(page)
    expect(page.locator(f"#row-{running.pk} .c-req")).to_contain_text("1,300")
    assert set(ticked(page)) == {running.pk, done.pk}
    batch_made(running.connection, "in_progress", name="brand-new", created_at=timezone.now(), **counts(10, 1))
    moved(running)
    page.keyboard.press("r")
    expect(page.locator("tbody tr").first).to_contain_text("brand-new")
    assert set(ticked(page)) == {running.pk, done.pk}
    page.locator("#selection").get_by_role("button", name="Clear").click()
    expect(page.locator("#selection")).to_be_hidden()
    assert ticked(page) == []


def test_ranges_keys_and_the_whole_page(opened: Opened, ana: User) -> None:
    everything_made()
    page = opened(ana, "/batches/")
    rows = page.locator("tbody .c-check input")
    rows.nth(2).click()
    rows.nth(6).click(modifiers=["Shift"])
    assert len(ticked(page)) == 5
    rows.nth(4).click()
    rows.nth(3).click(modifiers=["Shift"])
    assert len(ticked(page)) == 3
    page.keyboard.press("j")  # from a box as from a row
    page.keyboard.press("x")
    assert len(ticked(page)) == 4
    page.keyboard.press("x")
    assert len(ticked(page)) == 3
    head = page.locator("#select-page")
    assert head.evaluate("box => box.indeterminate")
    head.click()
    assert len(ticked(page)) == rows.count()
    assert head.is_checked()
    head.click()
    expect(page.locator("#selection")).to_be_hidden()


def test_a_selection_goes_on_over_pages_and_ends_with_its_filter(opened: Opened, ana: User) -> None:
    prod = connection_made()
    crowd_made(prod, 60)
    page = opened(ana, "/batches/")
    page.locator("tbody .c-check input").nth(0).check()
    page.locator("tbody .c-check input").nth(1).check()
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".bulk__count")).to_have_text("2 selected 2 on other pages")
    page.locator("tbody .c-check input").nth(0).check()
    expect(page.locator(".bulk__count")).to_have_text("3 selected 2 on other pages")
    with page.expect_download() as file:
        page.locator("#selection").get_by_role("button", name="Export JSON").click()
    rows = json.loads(file.value.path().read_text())
    assert len(rows) == 3
    assert file.value.suggested_filename.startswith("batches-selected-3-")
    assert page.locator("#copy-ids").get_attribute("data-copy-text") == "\n".join(row["id"] for row in rows)
    page.get_by_role("link", name="Newer").click()
    assert len(ticked(page)) == 2
    page.locator("#q").fill("nightly")
    expect(page.locator("#selection")).to_be_hidden()
    assert ticked(page) == []
    page.goto("/batches/")
    expect(page.locator("#selection")).to_be_hidden()


def test_without_javascript_the_ticked_rows_are_exported_all_the_same(
    browser: Browser, live_server: LiveServer, opened: Opened, ana: User
) -> None:
    made = everything_made()
    cookies = opened(ana, "/batches/").context.cookies()
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    context.add_cookies([{"name": one["name"], "value": one["value"], "url": live_server.url} for one in cookies])
    page = context.new_page()
    page.goto("/batches/")
    expect(page.locator("#selection")).to_be_hidden()
    for key in ("partial", "running"):
        page.locator(f"#row-{made[key].pk} .c-check input").check()
    expect(page.locator("#copy-ids")).to_be_hidden()
    with page.expect_download() as file:
        page.get_by_role("button", name="Export JSON").click()
    rows = json.loads(file.value.path().read_text())
    assert [row["id"] for row in rows] == [made["running"].remote_id, made["partial"].remote_id]
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#selection")).to_be_hidden()
    context.close()


@pytest.mark.parametrize(("width", "theme"), [(1440, "dark"), (390, "light")])
def test_selected_rows_break_no_rule_and_widen_nothing(opened: Opened, ana: User, width: int, theme: str) -> None:
    everything_made()
    page = opened(ana, "/batches/", width=width, theme=theme)
    page.locator("tbody .c-check input").nth(3).check()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
