"""One batch in a real browser: its course under keys and polls, what stays open, axe in every state."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect

from dashboard.models import Batch, Connection, Reading, SyncRun, User
from tests.batches_made import batch_made, connection_made, counts
from tests.browser.conftest import Opened
from tests.browser.test_desk import poll, sideways

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HOUR = timedelta(hours=1)


@pytest.fixture
def prod() -> Connection:
    return connection_made()


@pytest.fixture
def watched(prod: Connection) -> Batch:
    """Six hours under way, with an hour in which nothing was synced."""
    now = timezone.now()
    batch = batch_made(prod, "in_progress", created_at=now - 6 * HOUR, name="eval-judge", **counts(600, 350, 10))
    Reading.objects.all().delete()
    for n in range(36):
        at = now - 6 * HOUR + n * HOUR / 6
        if not 12 < n < 18:
            Reading.objects.create(batch=batch, asked_at=at, total=600, completed=10 * n, failed=n // 4)
    SyncRun.objects.bulk_create(
        SyncRun(connection=prod, kind="cycle", began_at=now - 6 * HOUR + n * HOUR / 60, ending="good")
        for n in range(360)
        if not 120 < n < 180
    )
    return batch


def moved(prod: Connection, batch: Batch, **columns: int) -> None:
    prod.revision += 1
    prod.save()
    Batch.objects.filter(pk=batch.pk).update(revision=prod.revision, **columns)


def test_the_course_says_its_numbers_under_keys_and_pointer_and_survives_a_poll(
    opened: Opened, vic: User, prod: Connection, watched: Batch
) -> None:
    page = opened(vic, f"/batches/{watched.pk}/")
    plot = page.locator("#course")
    plot.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    words = page.locator("#course .column.is-on").get_attribute("aria-label")
    assert words
    expect(page.locator("#said")).to_have_text(words)
    page.locator("#course-data summary").click()
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.evaluate("document.querySelector('#course').kept = true")
    moved(prod, watched, requests_completed=360)
    poll(page)
    expect(page.locator(".bigbar")).to_contain_text("360")
    assert page.evaluate("document.querySelector('#course').kept"), "the same element, so nothing flickers"
    expect(plot).to_be_focused()
    expect(page.locator("#course .column.is-on .tip text")).to_be_visible()
    expect(page.locator("#course-data table")).to_be_visible()


def test_a_time_without_sync_is_said_to_be_one(opened: Opened, vic: User, watched: Batch) -> None:
    page = opened(vic, f"/batches/{watched.pk}/")
    assert page.locator("#course polyline.l-done").count() > 1
    plot = page.locator("#course")
    at = page.locator("#course .unseen").last.bounding_box()
    assert at
    page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    expect(plot.locator(".column:hover text")).to_contain_text("not synced")


@pytest.fixture(params=[(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")], ids=str)
def look(request: pytest.FixtureRequest) -> tuple[int, str]:
    width, theme = request.param
    return int(width), str(theme)


def test_no_state_breaks_a_rule_of_axe_or_scrolls_sideways(
    opened: Opened, ana: User, prod: Connection, watched: Batch, look: tuple[int, str]
) -> None:
    width, theme = look
    now = timezone.now()
    evil = {"<b>": 'say "hi"', "x" * 64: "y" * 500, "a b": "two words", "": "no key", "nul": "a\u202eb"}
    ended = batch_made(
        prod, "completed", metadata=evil, tokens_input=9_000, tokens_output=100, payload=b"x" * 300_000, **counts(9, 9)
    )
    late = batch_made(prod, "in_progress", created_at=now - 30 * HOUR, is_overdue=True, **counts(600, 10))
    for batch in (watched, ended, late):
        page = opened(ana, f"/batches/{batch.pk}/", width=width, theme=theme)
        for summary in page.locator("#batch summary").all():
            summary.click()
        found = Axe().run(page)
        assert found.violations_count == 0, f"{batch.pk}: {found.generate_report()}"
        assert sideways(page) <= 0
        page.context.close()
