"""Errors, requests and files in a real browser: what polls may touch, keys on charts, no sideways scroll."""

import re

import pytest
from playwright.sync_api import Page, expect

from dashboard.models import Batch, BatchError, Connection, FileRead, Result, User
from tests.batches_made import batch_made, connection_made, counts, judged
from tests.browser.conftest import Opened
from tests.browser.test_desk import poll, sideways
from tests.errors_made import LENGTH, RATE, SERVER, errors_made, file_made, group_made, read_made

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def prod() -> Connection:
    return connection_made()


@pytest.fixture
def batch(prod: Connection) -> Batch:
    made = batch_made(prod, "completed", name="nightly-eval", **counts(100, 97, 3))
    errors_made(made, {RATE: 2, LENGTH: 1})
    return made


def codes(page: Page) -> list[str]:
    return page.locator(".errs .rowlink").all_inner_texts()


def test_typing_filters_in_place_and_the_address_can_be_shared(opened: Opened, vic: User, batch: Batch) -> None:
    page = opened(vic, "/errors/?range=7d")
    page.locator("#q").click()
    page.keyboard.type("context")
    expect(page.locator(".errs tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/errors/\?range=7d&q=context$"))
    expect(page.locator("#q")).to_be_focused()
    page.reload()
    assert codes(page) == ["context_length_exceeded"]
    expect(page.locator("#errors-count")).to_have_text("1 group")


def test_new_errors_come_by_themselves(opened: Opened, vic: User, prod: Connection, batch: Batch) -> None:
    page = opened(vic, "/errors/")
    page.locator("#q").click()
    errors_made(batch_made(prod, "completed", **counts(10, 0, 10)), {SERVER: 10})
    poll(page)
    expect(page.locator(".errs .rowlink").first).to_have_text("server_error")
    expect(page.locator("#q")).to_be_focused()


def test_the_tabs_of_a_batch_are_pages_and_follow_a_read(opened: Opened, ana: User, batch: Batch) -> None:
    page = opened(ana, f"/batches/{batch.pk}/")
    page.get_by_role("link", name="Requests 3").click()
    expect(page).to_have_url(re.compile(rf"/batches/{batch.pk}/requests/$"))
    expect(page.locator(".reqs tbody tr")).to_have_count(3)
    page.get_by_role("link", name="Files").click()
    read = read_made(batch, "error", 1_000, state="reading", ended_at=None)
    page.reload()
    expect(page.locator("#file-error")).to_contain_text("1,000 lines so far")
    FileRead.objects.filter(pk=read.pk).update(lines=7_000)
    poll(page)
    expect(page.locator("#file-error")).to_contain_text("7,000 lines so far")


def test_a_row_leads_to_its_request_by_keyboard(opened: Opened, vic: User, batch: Batch) -> None:
    page = opened(vic, f"/batches/{batch.pk}/requests/")
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile(r"/requests/error/1/$"))
    expect(page.locator("h1")).to_have_text("judge-0001")


def test_arrow_keys_walk_a_chart(opened: Opened, vic: User, batch: Batch) -> None:
    page = opened(vic, "/errors/")
    page.locator("[data-columns]").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".column.is-on .tip")).to_be_visible()
    expect(page.locator("#said")).to_contain_text("rate_limit_exceeded")
    page.keyboard.press("Tab")
    expect(page.locator(".column.is-on")).to_have_count(0)


@pytest.mark.parametrize("width", [1440, 390])
def test_no_word_of_a_stranger_widens_a_page(opened: Opened, ana: User, prod: Connection, width: int) -> None:
    evil = (400, "C" * 180, "<b>" + "A" * 600, "invalid_request")
    owner = {"owner": "o" * 200, "k" * 60: "v" * 300}
    made = batch_made(prod, "completed", name="N" * 300, metadata=owner, **counts(5_000, 4_000, 1_000))
    read = errors_made(made, {evil: 3})
    Result.objects.filter(read=read).update(custom_id="x" * 500, request_id="r" * 200)
    BatchError.objects.update(samples=[{"custom_id": "x" * 500, "line": 1, "input_line": 12, "words": "w" * 600}])
    file_made(made, "error", filename="f" * 300, purpose="p" * 100)
    judged()
    paths = ["/batches/", "/attention/", "/errors/", f"/errors/{group_made(evil).pk}/"]
    paths += [f"/batches/{made.pk}/{tab}" for tab in ("", "requests/", "requests/error/1/", "files/")]
    for path in paths:
        page = opened(ana, path, width=width)
        assert sideways(page) <= 0, path
        page.context.close()
