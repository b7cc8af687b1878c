"""The overview in a real browser: charts that are drawn there, read by keyboard, zoomed, and kept through polls."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from dashboard.models import Connection, Flow, User
from dashboard.models.flow import QUARTER, quarter_of
from tests.batches_made import everything_made
from tests.browser.conftest import Opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def prod() -> Connection:
    """A day of requests with an hour in which nothing was synced."""
    made = everything_made()
    connection = made["running"].connection
    now = quarter_of(int(timezone.now().timestamp()))
    for i in range(96):
        if not 40 <= i < 48:
            Flow.objects.create(
                connection=connection,
                quarter=now - i * QUARTER,
                looks=20,
                completed=100 + i,
                failed=i % 3,
                in_flight=50 * i,
            )
    return connection


def plot(page: Page, kind: str = "requests") -> tuple[float, float]:
    """What a chart shows, from and until, as the drawn axis says it: by the value under its first and last keys."""
    box = page.locator(f"[data-kind={kind}] .plot__box")
    expect(box.locator("canvas")).to_be_visible()
    return box.bounding_box()["width"], box.locator("canvas").bounding_box()["width"]  # type: ignore[index]


def moved(connection: Connection) -> None:
    Connection.objects.filter(pk=connection.pk).update(revision=connection.revision + 1)


def test_a_chart_is_read_by_keyboard_and_a_gap_is_called_one(opened: Opened, ana: User, prod: Connection) -> None:
    page = opened(ana, "/")
    plot(page)
    figure = page.locator("[data-kind=requests]")
    figure.locator(".plot__box").focus()
    page.keyboard.press("End")
    expect(figure.locator("[data-value]")).to_contain_text("completed")
    said = set()
    for _ in range(24):
        said.add(str(figure.locator("[data-value]").text_content()))
        page.keyboard.press("ArrowLeft")
    assert len(said) == 24, "each step is read"
    assert any("not synced" in words for words in said)
    expect(page.locator("#said")).not_to_be_empty()


def test_zoom_survives_a_poll_and_nothing_is_drawn_anew(opened: Opened, ana: User, prod: Connection) -> None:
    page = opened(ana, "/")
    plot(page)
    page.evaluate("document.querySelector('[data-kind=requests] canvas').marked = true")
    box = page.locator("[data-kind=requests] .plot__box")
    box.focus()
    page.keyboard.press("End")
    page.keyboard.press("+")
    page.keyboard.press("+")
    said = page.locator("[data-kind=requests] [data-value]")
    expect(said).to_contain_text("0 shows everything")
    before = box.screenshot()
    moved(prod)
    with page.expect_response(lambda answer: "seen=" in answer.url):
        page.evaluate("document.querySelector('[data-poll]').dispatchEvent(new Event('poll'))")
    expect(page.locator("#poll")).to_have_attribute("data-stamp", re.compile(rf"{prod.pk}\.{prod.revision + 1}"))
    assert page.evaluate("document.querySelector('[data-kind=requests] canvas').marked"), "the same canvas"
    assert box.screenshot() == before
    page.keyboard.press("0")
    assert box.screenshot() != before, "0 shows everything again"
    expect(said).not_to_contain_text("0 shows everything")


def test_a_chart_is_saved_as_a_picture_and_as_a_file(opened: Opened, ana: User, prod: Connection) -> None:
    page = opened(ana, "/")
    plot(page)
    with page.expect_download() as saved:
        page.locator("[data-kind=requests] [data-png]").click()
    assert saved.value.suggested_filename == "requests.png"
    assert saved.value.path().read_bytes()[:4] == b"\x89PNG"
    with page.expect_download() as saved:
        page.locator("[data-kind=in-flight]").get_by_text("CSV").click()
    assert saved.value.suggested_filename == "in-flight-24h.csv"


def test_a_saved_picture_says_the_times_that_it_shows(opened: Opened, ana: User, prod: Connection) -> None:
    page = opened(ana, "/")
    plot(page)
    page.evaluate("""() => {
      window.titles = [];
      const write = CanvasRenderingContext2D.prototype.fillText;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        if (text.startsWith("Requests per hour")) window.titles.push(text);
        return write.call(this, text, ...rest);
      };
    }""")
    picture = page.locator("[data-kind=requests] [data-png]")
    with page.expect_download():
        picture.click()
    page.locator("[data-kind=requests] .plot__box").focus()
    for key in ("End", "+", "+"):
        page.keyboard.press(key)
    with page.expect_download():
        picture.click()
    whole, part = page.evaluate("window.titles")
    assert whole.split(" – ")[1] == part.split(" – ")[1], "both reach up to now"
    assert whole.split(" – ")[0] != part.split(" – ")[0]


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (720, "dark")])
def test_no_violations_and_no_sideways_scroll(
    opened: Opened, ana: User, prod: Connection, width: int, theme: str
) -> None:
    page = opened(ana, "/", width=width, theme=theme)
    plot(page)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
