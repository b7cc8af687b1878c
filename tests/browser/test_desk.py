"""The list and the batch in a real browser: what polls may touch, what happens without a server, keys, thumbs."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from dashboard.models import Batch, Connection, User
from dashboard.templatetags.times import duration
from tests.batches_made import batch_made, connection_made, counts, everything_made
from tests.browser.conftest import Opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def prod() -> Connection:
    return connection_made()


@pytest.fixture
def running(prod: Connection) -> Batch:
    batch_made(prod, "in_progress", name="kb-dedupe", **counts(3000, 10))
    return batch_made(prod, "in_progress", name="nightly-eval", **counts(1000, 400, 2))


def progress(batch: Batch, done: int) -> None:
    """As absorb would: the row and its connection's revision together."""
    connection = Connection.objects.get(pk=batch.connection_id)
    Batch.objects.filter(pk=batch.pk).update(requests_completed=done, revision=connection.revision + 1)
    Connection.objects.filter(pk=connection.pk).update(revision=connection.revision + 1)


def poll(page: Page) -> None:
    with page.expect_response(lambda answer: "seen=" in answer.url):
        page.evaluate("document.querySelector('[data-poll]').dispatchEvent(new Event('poll'))")


def sideways(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


# --- Polls ------------------------------------------------------------------------------------------------------------


def test_typing_during_polls_keeps_the_text_and_the_focus(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/")
    box = page.locator("#q")
    box.click()
    typed = ""
    for i, letter in enumerate("nightly"):
        page.keyboard.type(letter)
        typed += letter
        progress(running, 500 + i)
        poll(page)
        expect(box).to_have_value(typed)
        expect(box).to_be_focused()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?q=nightly$"))
    progress(running, 777)
    poll(page)
    expect(page.locator(f"#row-{running.pk} .c-req")).to_contain_text("777")
    expect(box).to_be_focused()


def test_a_row_keeps_its_identity_and_its_focus(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/")
    link = page.locator(f"#row-{running.pk} .rowlink")
    link.focus()
    page.evaluate(f"document.querySelector('#row-{running.pk}').marked = true")
    progress(running, 600)
    poll(page)
    expect(page.locator(f"#row-{running.pk} .c-req")).to_contain_text("600")
    expect(link).to_be_focused()
    assert page.evaluate(f"document.querySelector('#row-{running.pk}').marked")


@pytest.mark.parametrize("path", ["/", "/batches/", "/batches/{}/"])
def test_a_page_that_is_polled_for_weeks_does_not_grow(opened: Opened, ana: User, running: Batch, path: str) -> None:
    page = opened(ana, path.format(running.pk))
    sizes = []
    for done in range(500, 506):
        progress(running, done)
        poll(page)
        expect(page.locator("#main")).to_contain_text(f"{done}")
        sizes.append(
            page.evaluate("document.querySelectorAll('*').length + document.querySelector('#main').childNodes.length")
        )
    assert len(set(sizes[1:])) == 1, sizes


def test_new_batches_wait_behind_a_pill(opened: Opened, ana: User, prod: Connection, running: Batch) -> None:
    page = opened(ana, "/batches/")
    batch_made(prod, name="brand-new", created_at=timezone.now())
    progress(running, 401)
    poll(page)
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("link", name="1 new").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.locator("tbody tr").first).to_contain_text("brand-new")
    expect(page.locator("#fresh a")).to_have_count(0)


def test_an_open_dialog_is_never_touched_by_a_poll(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, f"/batches/{running.pk}/")
    page.get_by_role("link", name="Cancel batch").click()
    dialog = page.locator("dialog#cancel")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Cancel nightly-eval?")
    page.evaluate("document.querySelector('dialog#cancel form').marked = true")
    for done in (500, 600):
        progress(running, done)
        poll(page)
        expect(page.locator("#batch .counts")).to_contain_text(f"{done}")
        expect(dialog).to_be_visible()
    assert page.evaluate("document.querySelector('dialog#cancel form').marked")
    expect(dialog.get_by_role("link", name="Keep it running")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_the_open_raw_object_stays_open(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, f"/batches/{running.pk}/")
    page.locator("#raw summary").click()
    progress(running, 500)
    poll(page)
    expect(page.locator("#batch .counts")).to_contain_text("500")
    expect(page.locator("#raw-text")).to_be_visible()


def test_a_cancel_answers_in_place(opened: Opened, ana: User) -> None:
    silent = connection_made("Nobody", base_url="http://127.0.0.1:9/v1", auth_style="none")
    batch = batch_made(silent, "in_progress", name="nightly-eval", **counts(10, 1))
    page = opened(ana, f"/batches/{batch.pk}/")
    page.get_by_role("link", name="Cancel batch").click()
    page.locator("dialog#cancel").get_by_role("button", name="Cancel batch").click()
    expect(page.locator("dialog#cancel")).to_be_hidden()
    expect(page.locator("#toasts .toast")).to_have_count(1)
    expect(page.locator(".seen")).to_contain_text("Cancel by ana")
    page.locator("#toasts").get_by_role("button", name="Close").click()
    expect(page.locator("#toasts .toast")).to_have_count(0)


def test_a_right_that_was_taken_away_is_said_and_nothing_is_swapped(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, f"/batches/{running.pk}/")
    ana.groups.clear()
    page.get_by_role("link", name="Cancel batch").click()
    expect(page.locator("#fault")).to_contain_text("no role here")
    expect(page.locator("h1")).to_have_text("nightly-eval")


# --- Time -------------------------------------------------------------------------------------------------------------


def test_a_server_that_is_gone_is_said_and_its_return_too(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, f"/batches/{running.pk}/", clock=True)
    page.context.set_offline(True)
    banner = page.locator("#gone")
    for _ in range(3):
        page.clock.fast_forward(9_000)
        page.wait_for_timeout(150)
    expect(banner).to_be_hidden()
    for _ in range(4):
        page.clock.fast_forward(30_000)
        page.wait_for_timeout(150)
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("Next try in")
    expect(page).to_have_title(re.compile(r"^\(server gone\)"))
    expect(page.locator("[data-act]").first).to_have_attribute("aria-disabled", "true")
    expect(page.locator("h1")).to_have_text("nightly-eval")
    progress(running, 888)
    page.context.set_offline(False)
    page.get_by_role("button", name="Retry now").click()
    expect(banner).to_be_hidden()
    expect(page.locator("#back")).to_be_visible()
    expect(page.locator("#batch .counts")).to_contain_text("888")
    expect(page).not_to_have_title(re.compile("server gone"))
    expect(page.locator("[data-act]").first).not_to_have_attribute("aria-disabled", "true")


def test_it_comes_back_by_itself(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/", clock=True)
    page.context.set_offline(True)
    for _ in range(6):
        page.clock.fast_forward(30_000)
        page.wait_for_timeout(150)
    expect(page.locator("#gone")).to_be_visible()
    page.context.set_offline(False)
    page.clock.fast_forward(90_000)
    expect(page.locator("#gone")).to_be_hidden()


def polls_during(page: Page, seconds: int, step: int = 10) -> int:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "seen=" in request.url else None)
    for _ in range(seconds // step):
        page.clock.fast_forward(step * 1000)
        page.wait_for_timeout(60)
    return len(asked)


@pytest.mark.parametrize("width", [1440, 720, 390])  # 720 is what 200 % leaves of the first
def test_paused_asks_nothing_and_is_remembered(opened: Opened, ana: User, running: Batch, width: int) -> None:
    page = opened(ana, "/batches/", clock=True, width=width)
    with page.expect_response("**/you/look/"):  # before the clock leaps beyond its time-out
        page.locator("#cadence").select_option("0")
    assert polls_during(page, 120) == 0
    expect(page.locator("#page-age")).to_contain_text("paused")
    page.reload()
    expect(page.locator("#cadence")).to_have_value("0")


def test_a_batch_that_is_gone_asks_only_when_told_to(opened: Opened, ana: User, running: Batch) -> None:
    Batch.objects.filter(pk=running.pk).update(gone_at=timezone.now())
    page = opened(ana, f"/batches/{running.pk}/", clock=True)
    assert polls_during(page, 120) == 0
    expect(page.locator("#page-age")).not_to_contain_text("paused")
    Batch.objects.filter(pk=running.pk).update(gone_at=None)
    with page.expect_response(lambda answer: "seen=" in answer.url):
        page.keyboard.press("r")
    expect(page.locator("#batch h1 + .status")).to_contain_text("In progress")
    assert polls_during(page, 60) > 0


def test_the_browser_ages_times_in_the_words_of_the_server(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/", clock=True)
    spans = [70, 3_560, 3_610, 47_490, 86_410, 172_790, 172_810, 187_230, 10_000_010]  # a few seconds do not matter
    page.evaluate(
        """(spans) => spans.forEach((span) => {
             const time = document.createElement("time");
             time.dataset.ago = "";
             time.dateTime = new Date(Date.now() - span * 1000).toISOString();
             document.querySelector("h1").append(time);
           })""",
        spans,
    )
    page.clock.fast_forward(1_000)
    told = page.locator("h1 time").all_text_contents()
    assert told == [f"{duration(span)} ago" for span in spans]


def test_the_browser_has_its_units_from_the_page(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/", clock=True)
    page.evaluate("document.querySelector('#words').dataset.spanS = '%(s)03d Sek.'")
    page.clock.fast_forward(1_000)
    expect(page.locator("#page-age")).to_contain_text(re.compile(r"00\d Sek\. ago"))


def test_a_hidden_tab_asks_nothing_and_asks_at_once_when_shown(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/", clock=True)
    hide = """(hidden) => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
              document.dispatchEvent(new Event('visibilitychange')); }"""
    page.evaluate(hide, True)
    assert polls_during(page, 120) == 0
    with page.expect_response(lambda answer: "seen=" in answer.url):
        page.evaluate(hide, False)
        page.clock.fast_forward(100)


def test_a_running_page_polls_and_slows_down_when_nobody_is_there(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/", clock=True)
    assert 4 <= polls_during(page, 100) <= 9
    page.clock.fast_forward(11 * 60_000)
    page.wait_for_timeout(100)
    page.clock.fast_forward(60_000)
    page.wait_for_timeout(100)
    assert polls_during(page, 100) <= 4


def test_a_connection_turns_amber_by_the_clock_alone(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/", clock=True)
    sign = page.locator(f"[data-sign='{running.connection_id}']")
    expect(sign).not_to_have_attribute("data-state", re.compile("."))
    with page.expect_response("**/you/look/"):  # before the clock leaps beyond its time-out
        page.locator("#cadence").select_option("0")
    page.clock.fast_forward(4 * 60_000)
    expect(sign).to_have_attribute("data-state", "stale")
    page.clock.fast_forward(10 * 60_000)
    expect(sign).to_have_attribute("data-state", "failed")


# --- Hands ------------------------------------------------------------------------------------------------------------


def test_the_keyboard_reaches_everything(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/")
    page.keyboard.press("j")
    expect(page.locator(".rowlink").nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator(".rowlink").nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator(".rowlink").nth(0)).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("dialog#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog#keys")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile(r"/batches/\d+/$"))


def test_a_theme_is_kept(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/")
    with page.expect_response("**/you/look/"):
        page.locator("#theme").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_zone_of_the_browser_is_used(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, f"/batches/{running.pk}/")
    page.context.clear_cookies(name="zone")
    page.goto(f"/batches/{running.pk}/")
    expect(page.locator(".timeline")).to_be_visible()
    assert any(cookie.get("name") == "zone" for cookie in page.context.cookies())


# --- A thumb ----------------------------------------------------------------------------------------------------------

# How far up and down from its middle each thing answers; what is read in passing, such as a label, does not count.
REACH = """() => [...document.querySelectorAll(':is(main, .side) :is(a[href], button, select, summary)')]
  .map((thing) => {
    thing.scrollIntoView({block: 'center', inline: 'center'});
    const box = thing.getBoundingClientRect();
    const at = (y) => thing.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2 + y));
    let reach = 0;
    while (reach < 44 && at(-(reach >> 1)) && at(reach >> 1)) reach += 1;
    return box.width && at(0) ? [reach, thing.outerHTML.slice(0, 90)] : [44, ''];
  }).filter(([reach]) => reach < 42)"""


def test_everything_that_acts_is_large_enough_for_a_thumb(opened: Opened, mei: User) -> None:
    made = everything_made()
    for path in (
        "/batches/",
        f"/batches/{made['partial'].pk}/",
        f"/batches/{made['running'].pk}/cancel/",
        "/connections/",
    ):
        page = opened(mei, path, width=390)
        assert page.evaluate(REACH) == [], path
        page.context.close()
