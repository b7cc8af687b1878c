"""Trouble under an open page: the server killed, the vendor failing, the login expired, a new version. And what the
page says of it in its title, its icon and to who hears it."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import override_settings
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from dashboard.models import Batch, Concern, Connection, SavedView, User
from dashboard.models.batch import Outcome
from dashboard.models.connection import raise_revision
from tests.batches_made import batch_made, connection_made, counts, everything_made, needy_made
from tests.browser.conftest import Opened
from tests.browser.test_desk import poll, progress
from tests.cast import PASSWORD
from tests.sync.conftest import Vendor, vendor_of
from tests.test_supervisor import alive
from tests.test_up import Start, Up, start

__all__ = ["start", "vendor_of"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FIRST_LINK = re.compile(r"http://\S+/sign-in/first/\?token=\S+")


@pytest.fixture
def running() -> Batch:
    prod = connection_made()
    batch_made(prod, "in_progress", name="kb-dedupe", **counts(3000, 10))
    return batch_made(prod, "in_progress", name="nightly-eval", **counts(1000, 400, 2))


def icon(page: Page) -> str:
    """The page's icon: which of the four drawings."""
    found = re.search(r"mark(-\w+)?(?=[.\w]*\.svg$)", page.locator("link[rel=icon]").get_attribute("href") or "")
    assert found
    return found[0]


def hide(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """(hidden) => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
           document.dispatchEvent(new Event('visibilitychange')); }""",
        hidden,
    )


# --- The server is killed ---------------------------------------------------------------------------------------------


def killed(up: Up) -> None:
    """All of it and at once, as when a machine goes."""
    family = up.pids()
    up.process.send_signal(signal.SIGKILL)
    up.process.wait(15)
    for pid in alive(family):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def fresh_page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1440, "height": 844}) as context:
        yield context.new_page()


@pytest.mark.timeout(240)
def test_a_killed_server_is_said_and_its_return_brings_the_page_up_to_date(
    start: Start, fresh_page: Page, tmp_path: Path
) -> None:
    page, data = fresh_page, tmp_path / "data"
    up = start("--demo", "--port", "0", data=data)
    up.wait_for_address()
    up.until(lambda: up.rows("SELECT count(*) FROM dashboard_batch")[0][0] >= 1000)
    found = FIRST_LINK.search(up.said)
    assert found
    page.clock.install()
    page.goto(found[0])
    page.get_by_label("Name to sign in with").fill("mei")
    page.get_by_label("Password", exact=True).fill("a long and good one")
    page.get_by_label("Password, once more").fill("a long and good one")
    page.get_by_role("button", name="Make admin and sign in").click()
    page.goto(up.url + "batches/?status=running")
    page.locator(".rowlink").first.click()
    expect(page.locator("[data-act]").first).to_be_visible()
    name = page.locator("h1").inner_text()
    title = page.title()

    killed(up)
    banner = page.locator("#gone")
    until = time.monotonic() + 60
    while banner.is_hidden() and time.monotonic() < until:
        page.clock.fast_forward(5_000)
        page.wait_for_timeout(200)
    expect(banner).to_contain_text("Can’t reach the server since")
    expect(banner).to_contain_text("Next try in")
    lost = page.evaluate("() => document.querySelector('#gone [data-age]').textContent")
    assert re.fullmatch(r"(4[5-9]|5\d) s ago|1 min ago", lost), f"said {lost} after the last answer"
    expect(page).to_have_title(f"(server gone) {title.split(') ')[-1]}")
    assert icon(page) == "mark-gone"
    expect(page.locator("h1")).to_have_text(name)
    assert float(page.locator(".live .i").first.evaluate("icon => getComputedStyle(icon).opacity")) < 0.7
    act = page.locator("[data-act]").first
    expect(act).to_have_attribute("aria-disabled", "true")
    act.click(force=True)
    expect(page.locator("dialog#cancel")).to_be_hidden()

    port = re.search(r":(\d+)/", up.url)
    assert port
    again = start("--demo", "--port", port[1], data=data)
    again.wait_for_address()
    page.evaluate("document.querySelector('#batch').kept = true")
    until = time.monotonic() + 60
    while banner.is_visible() and time.monotonic() < until:
        page.clock.fast_forward(10_000)
        page.wait_for_timeout(300)
    expect(page.locator("#back")).to_contain_text("Back. Updated.")
    assert page.evaluate("document.querySelector('#batch').kept"), "the page was not loaded anew"
    expect(page).not_to_have_title(re.compile("server gone"))
    assert icon(page) != "mark-gone"
    expect(page.locator("[data-act]").first).not_to_have_attribute("aria-disabled", "true")


def test_a_server_that_only_breaks_is_not_taken_for_one_that_answers(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/", clock=True)
    page.route(re.compile("seen="), lambda route: route.fulfill(status=500, body=""))
    page.clock.fast_forward(120_000)
    expect(page.locator("#fault")).to_contain_text("could not answer")
    page.clock.fast_forward(1_000)
    expect(page.locator("#page-age")).to_contain_text("2 min")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.unroute(re.compile("seen="))
    page.clock.fast_forward(30_000)
    expect(page.locator("#fault")).to_be_hidden()
    expect(page.locator("#page-age")).not_to_contain_text("min")


# --- The vendor fails -------------------------------------------------------------------------------------------------


def test_a_failing_vendor_is_named_with_its_cause_and_its_rows_alone_say_as_of(
    opened: Opened, ana: User, vendor_of: Callable[..., Vendor]
) -> None:
    bad, good = vendor_of(9, open=4, name="OGX / lab"), vendor_of(9, open=4, name="OpenAI / prod")
    bad.pull()
    good.pull()
    page = opened(ana, "/batches/")
    expect(page.locator("#strips .banner")).to_have_count(0)
    page.locator("#q").fill("-zzzzz")
    expect(page).to_have_url(re.compile("q=-zzzzz"))

    strip = page.locator(f"#strip-connection-{bad.connection.pk}")
    said = set()
    for fault in ("unauthorized", "rate_limit", "server_error", "not_json"):
        bad.world.faults.add(fault)
        assert bad.pull().ending == "failed"
        good.pull()
        poll(page)
        expect(strip).to_contain_text("OGX / lab:")
        expect(strip).to_contain_text("Last good sync")
        said.add(strip.inner_text())
        bad.world.faults.clear()
    assert len(said) == 4, "each cause in its own words"
    expect(page.locator("#strips .banner")).to_have_count(1)
    expect(page.locator("#q")).to_have_value("-zzzzz")

    long_ago = timezone.now() - timedelta(minutes=30)
    Connection.objects.filter(pk=bad.connection.pk).update(synced_at=long_ago, failing_since=long_ago)
    raise_revision(bad.connection.pk)
    poll(page)
    stale = page.locator("tbody tr.is-stale")
    expect(stale.first).to_contain_text("as of")
    assert all("OGX / lab" in row for row in stale.all_inner_texts())
    expect(page).to_have_title(re.compile(r"^\([^)]*stale data\)"))
    assert icon(page) == "mark-stale"

    bad.pull()
    poll(page)
    expect(page.locator("#strips .banner")).to_have_count(0)
    expect(page.locator("tbody .is-stale")).to_have_count(0)
    expect(page).not_to_have_title(re.compile("stale"))


# --- The login expires ------------------------------------------------------------------------------------------------


def sign_in_again(page: Page, name: str) -> None:
    page.wait_for_url("**/sign-in/?next=*")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_an_expired_login_loses_neither_the_search_nor_what_was_ticked_and_typed(opened: Opened, ana: User) -> None:
    made = everything_made()
    page = opened(ana, "/batches/")
    page.locator("#q").fill("conn:openai")
    expect(page).to_have_url(re.compile("q=conn"))
    page.locator(f"#row-{made['running'].pk} .c-check input").check()
    page.locator("summary", has_text="Save view").click()
    page.locator("#view-name").fill("Mine for the morn")
    Session.objects.all().delete()
    page.wait_for_timeout(settings.REMEMBER_SECONDS * 1000)
    page.evaluate("document.querySelector('[data-poll]').dispatchEvent(new Event('poll'))")
    sign_in_again(page, "ana")
    expect(page.locator("#q")).to_have_value("conn:openai")
    expect(page.locator(f"#row-{made['running'].pk} .c-check input")).to_be_checked()
    expect(page.locator("#view-name")).to_have_value("Mine for the morn")
    expect(page.locator("#restored")).to_be_visible()
    page.reload()
    expect(page.locator("#view-name")).to_have_value("")
    expect(page.locator("#restored")).to_be_hidden()


def test_a_form_that_was_sent_too_late_comes_back_filled_but_for_the_key(opened: Opened, mei: User, vic: User) -> None:
    for name, comes_back in (("mei", True), ("vic", False)):
        page = opened(mei, "/connections/add/")
        page.get_by_label("Name", exact=True).fill("Here")
        page.get_by_label("Base URL").fill("http://127.0.0.1:9/v1")
        page.get_by_label("Key", exact=True).fill("typed-by-hand")
        Session.objects.all().delete()
        page.get_by_role("button", name="Add connection").click()
        assert "typed-by-hand" not in str(page.evaluate("JSON.stringify(sessionStorage)"))
        sign_in_again(page, name)
        if comes_back:
            expect(page.get_by_label("Name", exact=True)).to_have_value("Here")
            expect(page.get_by_label("Base URL")).to_have_value("http://127.0.0.1:9/v1")
            expect(page.get_by_label("Key", exact=True)).to_have_value("")
        page.goto("/connections/")
        assert page.evaluate("sessionStorage.getItem('draft')") is None, "nobody else gets it"
        page.context.close()
    assert not Connection.objects.exists()


# --- A new version ----------------------------------------------------------------------------------------------------


def test_a_new_version_is_offered_and_never_forced(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, "/batches/")
    page.locator("#q").fill("nightly")
    expect(page).to_have_url(re.compile(r"\?q=nightly$"))
    expect(page.locator("#build")).to_be_hidden()
    with override_settings(BUILD="another"):
        poll(page)
        expect(page.locator("#build")).to_contain_text("New version")
        progress(running, 555)
        poll(page)
        expect(page.locator(f"#row-{running.pk} .c-req")).to_contain_text("555")
        expect(page.locator("#q")).to_have_value("nightly")
        page.locator("#build").get_by_role("link", name="Reload").click()
        expect(page.locator("#build")).to_be_hidden()
    expect(page.locator("#q")).to_have_value("nightly")


# --- From another tab -------------------------------------------------------------------------------------------------


def test_the_title_and_the_icon_say_how_many_need_attention_until_none_does(opened: Opened, ana: User) -> None:
    made = needy_made()
    Connection.objects.exclude(pk=made["running"].connection_id).update(paused_at=timezone.now())
    page = opened(ana, "/batches/")
    shown = page.locator("#nav-attention").inner_text()
    expect(page).to_have_title(f"({shown}) Batches · Batches")
    assert icon(page) == "mark-needs"
    Concern.objects.update(closed_at=timezone.now())
    raise_revision(made["running"].connection_id)
    page.locator("h1").click()
    page.keyboard.press("r")
    expect(page).to_have_title("Batches · Batches")
    assert icon(page) == "mark"


def test_a_tab_that_was_hidden_for_long_says_as_of_when_and_calls_nothing_stale(
    opened: Opened, ana: User, running: Batch
) -> None:
    page = opened(ana, "/batches/", clock=True)
    hide(page, hidden=True)
    page.clock.fast_forward(30 * 60_000)
    expect(page).to_have_title(re.compile(r"^\(as of \d\d:\d\d\) Batches"))
    assert icon(page) == "mark-stale"
    expect(page.locator("[data-sign]")).not_to_have_attribute("data-state", re.compile("."))
    Connection.objects.update(synced_at=timezone.now() + timedelta(minutes=30))
    hide(page, hidden=False)
    page.clock.fast_forward(1_000)
    expect(page).to_have_title("Batches · Batches")
    assert icon(page) == "mark"


# --- For who hears the page -------------------------------------------------------------------------------------------


def ended(batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).update(
        status="completed", raw_status="completed", outcome=Outcome.PARTIAL, is_open=False,
        finished_at=timezone.now(), requests_completed=990, requests_failed=10,
    )  # fmt: skip
    progress(batch, 990)


def test_what_polls_bring_is_said_at_most_every_30_seconds_and_silence_when_nothing_moved(
    opened: Opened, ana: User, running: Batch
) -> None:
    page = opened(ana, "/batches/", clock=True)
    with page.expect_response("**/you/look/"):
        page.locator("#cadence").select_option("0")  # this test polls by itself
    news = page.locator("#news")
    expect(news).to_have_attribute("role", "status")
    poll(page)
    page.clock.fast_forward(60_000)
    expect(news).to_be_empty()
    progress(running, 500)
    poll(page)
    page.clock.fast_forward(100)
    expect(news).to_have_text("1 batch changed.")
    ended(running)
    other = Batch.objects.exclude(pk=running.pk).get()
    progress(other, 50)
    batch_made(running.connection, "validating", name="brand-new", created_at=timezone.now())
    for _ in range(4):
        poll(page)
        page.clock.fast_forward(5_000)
        expect(news).to_have_text("1 batch changed.")
    expect(page.locator("#fresh")).to_have_text("1 new")
    page.clock.fast_forward(11_000)
    expect(news).to_have_text("nightly-eval: Partial, 990 of 1,000. 2 batches changed. 1 new.")
    page.evaluate("document.querySelector('#news').replaceChildren()")
    poll(page)
    page.clock.fast_forward(120_000)
    expect(news).to_be_empty()


def test_one_batch_says_its_state_and_counts_and_the_overview_what_ended(
    opened: Opened, ana: User, running: Batch
) -> None:
    page = opened(ana, f"/batches/{running.pk}/", clock=True)
    desk = opened(ana, "/", clock=True)
    progress(running, 640)
    poll(page)
    page.clock.fast_forward(100)
    expect(page.locator("#news")).to_contain_text(re.compile(r"^In progress: 640 completed, 2 failed, 358 left\.$"))
    ended(running)
    poll(desk)
    desk.clock.fast_forward(100)
    expect(desk.locator("#news")).to_contain_text("nightly-eval: partial", ignore_case=True)


def test_nothing_on_a_page_is_announced_by_itself_but_the_regions_for_it(opened: Opened, ana: User) -> None:
    """What a poll replaces holds no live region: each poll would speak."""
    made = everything_made()
    for path in ("/", "/batches/", f"/batches/{made['running'].pk}/", "/attention/", "/errors/", "/connections/"):
        page = opened(ana, path)
        loud = ":is([role=status], [role=alert], [role=log], [aria-live])"
        within = f"main .live {loud}:not(.bulk__count, [id^=finding]), #strips {loud}, #pulse {loud}, {loud} [data-age]"
        assert page.locator(within).evaluate_all("all => all.map((one) => one.outerHTML.slice(0, 120))") == [], path
        page.context.close()


# --- Hands ------------------------------------------------------------------------------------------------------------

# Every key that a page has taken from the browser, with the focus on something; what they do is not done.
TAKEN = """(selector) => {
  const keys = [...'abcdefghijklmnopqrstuvwxyz0123456789/?+-=.,;[]', ' ', 'ArrowUp', 'ArrowDown', 'ArrowLeft',
    'ArrowRight', 'Home', 'End', 'PageUp', 'PageDown', 'Enter', 'Escape', 'Delete', 'Backspace'];
  addEventListener('click', (event) => { event.preventDefault(); event.stopPropagation(); }, true);
  const target = document.querySelector(selector);
  return keys.filter((key) => {
    document.querySelector('dialog[open]')?.close();
    document.activeElement?.blur();
    target.focus?.();
    const event = new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true});
    target.dispatchEvent(event);
    return event.defaultPrevented;
  });
}"""
IN_SEARCH = """async (key) => {
  const box = document.querySelector('#q');
  box.focus();
  const event = new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true});
  box.dispatchEvent(event);
  return event.defaultPrevented;
}"""


def test_the_sheet_names_every_key_that_is_taken_and_no_other(opened: Opened, ana: User) -> None:
    everything_made()
    page = opened(ana, "/batches/")
    page.keyboard.press("?")
    sheet: dict[str, set[str]] = {}
    for where, key in page.locator("#keys kbd").evaluate_all(
        "all => all.map((one) => [one.closest('dt').dataset.where, one.dataset.key ?? one.textContent])"
    ):
        sheet.setdefault(where, set()).add(key)
    page.keyboard.press("Escape")
    anywhere = sheet["page"]
    assert set(page.evaluate(TAKEN, "body")) == anywhere
    page = opened(ana, "/batches/")
    assert set(page.evaluate(TAKEN, "tbody .rowlink")) - anywhere == sheet["row"]

    page = opened(ana, "/batches/")
    some = ("a", "ArrowDown", "ArrowUp", "ArrowLeft", "Home", "End", "PageDown", "Enter", "Tab", "Escape")
    pointed, option = set(), page.locator("#options [role=option]").first
    for key in some:
        page.locator("#q").fill("")
        page.locator("#q").press("ArrowDown")
        expect(option).to_be_visible()
        page.locator("#q").press("ArrowDown")
        if page.evaluate(IN_SEARCH, key):
            pointed.add(key)
        page.reload()
    assert pointed == sheet["search"] | sheet["option"] | sheet["open"]

    desk = opened(ana, "/")
    expect(desk.locator(".plot__box canvas").first).to_be_visible()
    assert set(desk.evaluate(TAKEN, "[data-columns]")) - anywhere == sheet["columns"]
    desk = opened(ana, "/")
    expect(desk.locator(".plot__box canvas").first).to_be_visible()
    # = is + without Shift.
    assert set(desk.evaluate(TAKEN, ".plot__box")) - anywhere == sheet["columns"] | sheet["plot"] | {"="}


def test_the_keys_move_on_every_page_with_rows(opened: Opened, ana: User) -> None:
    needy_made()
    for path in ("/", "/attention/", "/batches/"):
        page = opened(ana, path)
        for n, key in enumerate(("j", "j", "k", "j", "j")):
            page.keyboard.press(key)
            assert page.evaluate("document.activeElement.matches('.rowlink')"), f"{path}: {n}"
        page.keyboard.press("o")
        expect(page).to_have_url(re.compile(r"/batches/\d+/$|/connections/#"))
        page.context.close()


def tab_to(page: Page, selector: str) -> None:
    for _ in range(300):
        if page.evaluate("(selector) => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never came to {selector}")


def test_the_whole_list_is_driven_by_keyboard_alone(opened: Opened, ana: User) -> None:
    made = everything_made()
    SavedView.objects.create(name="Failing", owner=ana, query="q=failed%3A%3E0")
    page = opened(ana, "/batches/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("/")
    page.keyboard.type("catalog")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("Escape")  # the suggestions
    page.keyboard.press("Escape")  # the box
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Shift+X")
    expect(page.locator(".bulk__count")).to_have_text("3 selected ")
    page.keyboard.press("x")
    expect(page.locator(".bulk__count")).to_have_text("2 selected ")
    chosen = [made["all_failed"].remote_id, made["succeeded"].remote_id]

    tab_to(page, "#copy-ids")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").split() == chosen
    page.keyboard.press("Tab")
    with page.expect_download() as file:
        page.keyboard.press("Enter")
    assert file.value.path().read_text().count("batch_") >= 2
    page.keyboard.press("k")  # from the bar back into the rows
    tab_to(page, ".foot a[href*='batches.csv']")
    with page.expect_download() as file:
        page.keyboard.press("Enter")
    assert file.value.suggested_filename.endswith(".csv")

    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile(r"/batches/\d+/$"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"/batches/\?q=catalog$"))
    expect(page.locator(".bulk__count")).to_have_text("2 selected ")
    page.locator("body").press("Tab")
    tab_to(page, ".viewtabs a[title='Failing']")
    page.keyboard.press("Enter")
    expect(page.locator("#q")).to_have_value("failed:>0")
    tab_to(page, ".chip[href*='status=partial']")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("status=partial"))
    expect(page.locator(f"#row-{made['partial'].pk}")).to_be_visible()


def test_the_suggestions_the_text_and_the_caret_survive_polls(opened: Opened, ana: User) -> None:
    made = everything_made()
    page = opened(ana, "/batches/")
    box = page.locator("#q")
    page.keyboard.press("/")
    page.keyboard.type("outc nightly")
    expect(page).to_have_url(re.compile("q=outc"))
    page.wait_for_timeout(500)
    if page.locator("#options").is_visible():
        page.keyboard.press("Escape")
    for _ in range(len(" nightly")):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#options [role=option]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    for done in (1200, 1210):
        progress(made["running"], done)
        poll(page)
        expect(box).to_be_focused()
        expect(box).to_have_value("outc nightly")
        assert box.evaluate("box => [box.selectionStart, box.selectionEnd]") == [4, 4]
        expect(page.locator("#options [role=option]")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(box).to_have_value("outcome: nightly")


def test_focus_stays_inside_a_dialog_that_is_open_during_polls(opened: Opened, ana: User, running: Batch) -> None:
    page = opened(ana, f"/batches/{running.pk}/")
    page.get_by_role("link", name="Cancel batch").click()
    dialog = page.locator("dialog#cancel")
    expect(dialog.get_by_role("link", name="Keep it running")).to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Cancel batch")).to_be_focused()
    progress(running, 500)
    poll(page)
    expect(page.locator("#batch .counts")).to_contain_text("500")
    expect(dialog.get_by_role("button", name="Cancel batch")).to_be_focused()
    page.keyboard.press("j")
    expect(dialog.get_by_role("button", name="Cancel batch")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Cancel batch")).to_be_focused()


def test_nothing_moves_by_itself(browser: Browser, opened: Opened, ana: User, running: Batch) -> None:
    """Nothing is animated for anybody, so nothing is for who asked for less motion."""
    page = opened(ana, "/batches/")
    page.emulate_media(reduced_motion="reduce")
    page.locator("tbody .c-check input").first.check()
    page.keyboard.press("?")
    moving = page.evaluate(
        """() => [...document.querySelectorAll('*')].filter((one) => { const style = getComputedStyle(one);
           return style.animationName !== 'none' || style.transitionDuration !== '0s'
             || style.scrollBehavior !== 'auto';
         }).map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert moving == []
    assert page.evaluate("document.getAnimations().length") == 0
