"""Walls in a real Chromium: what a screen across the room can read, and what it does when nobody answers."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from dashboard import sharing
from dashboard.models import Batch, Connection, Share, User
from tests.browser.conftest import Opened
from tests.walls_made import link_made, wall_made

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

SIZES = ((1280, 720), (1920, 1080), (3840, 2160), (1080, 1920), (2560, 1080))
# In portrait the unit is tied to the width.
MEASURED = (Path(__file__).parent / "measured.js").read_text()
SQUARE = """() => { const drawn = document.querySelector(".mass .squares"), box = drawn.viewBox.baseVal;
  const { width, height } = drawn.getBoundingClientRect();
  return 8 * Math.min(width / box.width, height / box.height); }"""
SHIFTED = "() => getComputedStyle(document.querySelector('.wall__in')).transform"


def measured(page: Page, where: str, least: float = 7.0) -> list[str]:
    found = []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function("(width) => innerWidth === width", arg=width)
        found += [f"{where} at {width}x{height}: {fault}" for fault in page.evaluate(MEASURED, least)]
    return found


def pass_time(page: Page, seconds: int, step: int = 5) -> None:
    """In steps, between which answers arrive: they take real time."""
    for _step in range(0, seconds, step):
        page.clock.run_for(step * 1_000)
        page.wait_for_timeout(40)


@pytest.fixture
def screen(browser: Browser, live_server: LiveServer) -> Iterator[Callable[..., Page]]:
    """A browser in which nobody is signed in. Whatever breaks the content policy or throws fails the test."""
    contexts, complaints = [], []

    def show(address: str, **more: Any) -> Page:
        context = browser.new_context(
            base_url=live_server.url,
            viewport={"width": 1920, "height": 1080},
            timezone_id="UTC",
            locale="en-GB",
            **more,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("active", [0, 1, 4, 20, 90, 500])
def test_everything_is_seen_whole_large_enough_and_stands_out(
    screen: Callable[..., Page], ana: User, active: int
) -> None:
    wall_made(active, stale=True)
    token, found = link_made(ana, name="Research batches"), []
    for theme in ("dark", "light"):
        page = screen(f"/wall/{token}/?theme={theme}")
        found += measured(page, theme)
        if active == 500:
            page.set_viewport_size({"width": 1280, "height": 720})
            assert page.evaluate(SQUARE) >= 8
    Connection.objects.update(synced_at=timezone.now() - timedelta(hours=1), revision=2)
    for theme in ("dark", "light"):
        page = screen(f"/wall/{token}/?theme={theme}")
        expect(page.locator(".wall__banner--stale")).to_be_visible()
        found += measured(page, f"stale, {theme}", 4.5)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_board_without_batches_and_long_names_keep_the_rules(
    screen: Callable[..., Page], ana: User, language: str
) -> None:
    token, found = link_made(ana, name="x" * 80), []
    page = screen(f"/wall/{token}/?language={language}")
    found += measured(page, "nothing connected")
    wall_made(20)
    Connection.objects.filter(name="OGX").update(name="A connection with a very long name / that goes on and on")
    Batch.objects.update(name="without-any-place-to-break" * 6)
    found += measured(screen(f"/wall/{token}/?language={language}"), "long names")
    Batch.objects.filter(pk__gt=Batch.objects.order_by("pk")[0].pk, is_open=True).delete()
    found += measured(screen(f"/wall/{token}/?language={language}"), "one long name")
    assert not found, "\n".join(found)


def test_it_has_no_pointer_nothing_to_focus_and_moves_within_its_margin(screen: Callable[..., Page], ana: User) -> None:
    wall_made(20)
    token = link_made(ana)
    page = screen("about:blank")
    page.clock.install()
    page.goto(f"/wall/{token}/")
    assert page.evaluate("getComputedStyle(document.body).cursor") == "none"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")
    still = page.evaluate(SHIFTED)
    places = set()
    for _minute in range(9):
        page.clock.run_for(60_000)
        places.add(page.evaluate(SHIFTED))
        assert not page.evaluate(MEASURED, 1), "the shift cuts something"
    assert len(places) == 9
    page.goto(f"/wall/{token}/?shift=off")
    page.clock.run_for(61_000)
    assert page.evaluate(SHIFTED) == still


# --- When nobody answers ----------------------------------------------------------------------------------------------


class Quiet(WSGIRequestHandler):
    def log_message(self, *_args: Any) -> None:
        pass


class Server:
    """A web server of ours that can be killed and comes back at the same address."""

    def __init__(self) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.up()

    def up(self) -> None:
        self.running = ThreadedWSGIServer(("127.0.0.1", self.port), Quiet)
        self.running.set_app(StaticFilesHandler(get_wsgi_application()))
        threading.Thread(target=self.running.serve_forever, daemon=True).start()

    def down(self) -> None:
        self.running.shutdown()
        self.running.server_close()


@pytest.fixture
def server(transactional_db: None) -> Iterator[Server]:
    server = Server()
    yield server
    server.down()


def loads(page: Page) -> list[str]:
    """Every page that is asked for from now on."""
    found: list[str] = []
    page.on("request", lambda asked: found.append(asked.url) if asked.is_navigation_request() else None)
    return found


def test_when_the_server_is_killed_the_wall_says_so_and_recovers_within_fifteen_seconds(
    screen: Callable[..., Page], ana: User, server: Server
) -> None:
    wall_made(20)
    page = screen(f"http://127.0.0.1:{server.port}/wall/{link_made(ana)}/")
    gone, lost = loads(page), page.locator("#lost")
    expect(page.locator(".wrow")).to_have_count(20)
    expect(lost).to_be_hidden()
    server.down()
    expect(lost).to_be_visible(timeout=30_000)
    expect(lost).to_contain_text("No contact with the server since")
    assert page.evaluate("document.querySelector('#lost').getBoundingClientRect().top") == 0
    expect(page.locator(".was")).to_contain_text("needed attention at")
    expect(page.locator(".wrow")).to_have_count(20)
    assert not measured(page, "cut off", 4.5)
    Batch.objects.filter(is_open=True).update(name="renamed-meanwhile", revision=7)
    Connection.objects.update(revision=7)
    server.up()
    began = time.monotonic()
    expect(page.locator(".wrow").first).to_contain_text("renamed", timeout=15_000)
    expect(lost).to_be_hidden()
    assert time.monotonic() - began < 15
    assert gone == []


def test_it_asks_at_once_when_the_network_is_back(screen: Callable[..., Page], ana: User) -> None:
    wall_made(1)
    page = screen(f"/wall/{link_made(ana)}/")
    gone = loads(page)
    page.context.set_offline(True)
    expect(page.locator("#lost")).to_be_visible(timeout=30_000)
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden(timeout=3_000)
    assert gone == []


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "body": "<h1>Welcome to the hotel's network</h1>"},
        {"status": 502, "body": "bad gateway"},
        {"status": 500, "headers": {"X-Build": "any"}, "body": "broken"},
        {"status": 302, "headers": {"Location": "/sign-in/"}},
    ],
    ids=["captive portal", "gateway", "broken", "redirect"],
)
def test_what_is_no_board_is_never_shown(screen: Callable[..., Page], ana: User, answer: dict[str, Any]) -> None:
    wall_made(2)
    page = screen("about:blank")
    page.clock.install()
    page.goto(f"/wall/{link_made(ana)}/")
    gone = loads(page)
    page.route("**/*seen=*", lambda route: route.fulfill(**answer))
    pass_time(page, 30, 1)
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator(".wrow")).to_have_count(2)
    expect(page.get_by_text("hotel")).to_have_count(0)
    assert gone == []


def test_a_revoked_link_goes_dark_within_one_poll_and_comes_back_if_it_does(
    screen: Callable[..., Page], ana: User
) -> None:
    wall_made(2)
    page = screen("about:blank")
    page.clock.install()
    page.goto(f"/wall/{link_made(ana)}/")
    expect(page.locator(".wrow")).to_have_count(2)
    Share.objects.update(revoked_at=timezone.now())
    sharing.forget()
    page.clock.run_for(6_500)
    expect(page.locator("#dark")).to_be_visible()
    expect(page.locator("#dark")).to_contain_text("nothing to show")
    expect(page.locator(".wrow")).to_have_count(0)
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.clock.run_for(200_000)
    assert asked == []  # every five minutes, and no more often
    Share.objects.update(revoked_at=None)
    sharing.forget()
    pass_time(page, 170)
    expect(page.locator(".wrow")).to_have_count(2)
    expect(page.locator("#dark")).to_be_hidden()


def test_a_screen_switched_on_with_a_dead_link_shows_its_board_once_the_link_works(
    screen: Callable[..., Page], ana: User
) -> None:
    token = link_made(ana)
    Share.objects.update(revoked_at=timezone.now())
    sharing.forget()
    page = screen("about:blank")
    page.clock.install()
    page.goto(f"/wall/{token}/")
    expect(page.get_by_text("nothing to show")).to_be_visible()
    Share.objects.update(revoked_at=None)
    sharing.forget()
    pass_time(page, 370)
    expect(page.locator(".clear")).to_be_visible()


def test_a_new_version_reloads_the_page_once_after_a_good_answer(screen: Callable[..., Page], ana: User) -> None:
    wall_made(2)
    page = screen("about:blank")
    page.clock.install()
    page.goto(f"/wall/{link_made(ana)}/")
    gone = loads(page)
    with override_settings(BUILD="the-next-one"):
        page.route("**/*seen=*", lambda route: route.abort())
        page.clock.run_for(70_000)
        assert gone == []  # nobody answers: the board that there is stays
        page.unroute("**/*seen=*")
        pass_time(page, 90, 1)
        expect(page.locator("body")).to_have_attribute("data-build", "the-next-one")
        assert len(gone) == 1


def test_a_signed_in_wall_outlives_its_session_and_goes_on_by_itself(opened: Opened, vic: User) -> None:
    wall_made(2)
    page = opened(vic, "/wall/", clock=True)
    gone = loads(page)
    old = page.context.cookies()
    page.context.clear_cookies(name="batches_session")
    page.clock.run_for(7_000)
    expect(page.locator("#lost")).to_contain_text("Signed out since")
    expect(page.locator(".wrow")).to_have_count(2)
    page.context.add_cookies(old)  # type: ignore[arg-type]
    page.clock.run_for(12_000)
    expect(page.locator("#lost")).to_be_hidden()
    assert gone == []


def test_boards_take_turns_only_while_somebody_answers(opened: Opened, vic: User) -> None:
    made = wall_made(20)
    page = opened(vic, f"/wall/?connection={made[0].pk}&connection={made[1].pk}&rotate=30", clock=True)
    expect(page.locator(".scope")).to_contain_text("All boards")
    page.clock.run_for(30_500)
    expect(page.locator(".scope")).to_contain_text("OpenAI")
    page.clock.run_for(30_500)
    expect(page.locator(".scope")).to_contain_text("All boards")
    page.clock.run_for(30_500)
    expect(page.locator(".scope")).to_contain_text("Azure")
    page.route("**/*seen=*", lambda route: route.abort())
    page.clock.run_for(65_000)
    expect(page.locator(".scope")).to_contain_text("Azure")


def test_without_scripts_it_shows_the_board_and_asks_again_by_itself(screen: Callable[..., Page], ana: User) -> None:
    wall_made(20)
    page = screen(f"/wall/{link_made(ana)}/", java_script_enabled=False)
    expect(page.locator(".wrow")).to_have_count(20)
    expect(page.locator("#lost")).to_be_hidden()
    assert '<meta http-equiv="refresh" content="30">' in page.content()


def test_it_is_in_the_browser_s_zone_unless_told_otherwise(
    browser: Browser, live_server: LiveServer, ana: User
) -> None:
    wall_made(1)
    token = link_made(ana)
    with browser.new_context(base_url=live_server.url, timezone_id="Asia/Tokyo") as context:
        page = context.new_page()
        page.goto(f"/wall/{token}/")
        expect(page.locator(".wall__clock small")).to_have_text("JST")
        page.goto(f"/wall/{token}/?zone=America/Sao_Paulo")
        expect(page.locator(".wall__clock small")).to_have_text("Sao Paulo")
