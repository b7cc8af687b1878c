"""The rules that hold on every page in every state: axe in light and dark, wide and narrow; and no sideways scroll,
also where a page is zoomed to 200 %. The addresses come from urls.py, so that a new page cannot be forgotten."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.hashers import make_password
from django.test import override_settings
from django.urls import URLPattern
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from dashboard.audit import record
from dashboard.management.commands.sign_in_link import make_first_link
from dashboard.models import Batch, Connection, ErrorGroup, Invitation, Refusal, SavedView, Share, User
from dashboard.templatetags.columns import COLUMNS
from dashboard.urls import urlpatterns
from tests.batches_made import batch_made, connection_made, counts, judged, needy_made
from tests.browser.conftest import Opened
from tests.cast import person
from tests.errors_made import everything_read
from tests.shares_made import share_made
from tests.sync.conftest import Vendor, vendor_of

__all__ = ["vendor_of"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

type Rows = dict[str, int | str]  # numbers of rows, and tokens of links
type Theme = Literal["light", "dark"]
WIDTHS = (1440, 1024, 720, 390, 195)  # 720 and 195 are what 200 % leaves of the first and the fourth
COLOURS = ["color-contrast", "link-in-text-block"]  # the themes differ in nothing else
# Read whole at two widths, and once more for the colours: a narrow page moves what lies behind them, in either theme.
READ_AT: dict[int, dict[Theme, list[str] | None]] = {1440: {"light": None, "dark": COLOURS}, 390: {"dark": None}}
# Two frames: a chart follows the page's width in the one after it.
TOO_WIDE = """async (width) => {
  const frame = () => new Promise(requestAnimationFrame);
  while (innerWidth !== width) await frame();
  await frame(); await frame();
  const room = document.documentElement.clientWidth, over = document.documentElement.scrollWidth - room;
  if (over <= 0) return [];
  const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > room + 1);
  return [`${over} px too wide at ${width}: ${wide.slice(-2).map((one) => one.outerHTML.slice(0, 120)).join(" | ")}`];
}"""
# Preloading reads the stylesheet again each time, for rules on sound and on turned screens that have no cause here.
BROKEN = """async ([within, rules]) => {
  const options = { resultTypes: ["violations"], preload: false, ...(rules && { runOnly: rules }) };
  const { violations } = await axe.run(within, options);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
}"""
BATCH = "/batches/{partial}"
# Each page in its states. A name in braces is the number of what was made under it.
PAGES: dict[str, tuple[str, ...]] = {
    "overview": ("/", "/?range=7d", "/?range=30d"),
    "batches": (
        "/batches/",
        "/batches/?q=nothing-here+eu",
        "/batches/?q=status:done+OR+failed:%3E0+meta.team:",
        "/batches/?sort=finish&status=failed",
        "/batches/?before=1.1",
    ),
    "saved-views": ("/batches/views/",),
    "saved-view": ("/batches/views/{view}/",),
    "batch": tuple(
        f"/batches/{{{key}}}/"
        for key in (
            *(
                "validating",
                "untouched",
                "running",
                "requested",
                "finalizing",
                "cancelling",
                "overdue",
                "stale",
            ),
            *("unknown", "partial", "lost", "all_failed", "invalid", "expired", "cancelled", "none", "uncounted"),
            *("gone", "reading", "gone_file", "broken_read"),
        )
    ),
    "batch-activity": (f"{BATCH}/activity/", "/batches/{requested}/activity/"),
    "batch-cancel": ("/batches/{requested}/cancel/", "/batches/{running}/cancel/"),
    "batch-requests": (
        f"{BATCH}/requests/",
        f"{BATCH}/requests/?outcome=succeeded",
        "/batches/{unread}/requests/",
        "/batches/{gone_file}/requests/",
        "/batches/{expired}/requests/",
    ),
    "batch-request": (f"{BATCH}/requests/error/1/", "/batches/{expired}/requests/error/1/"),
    "input-line": ("/batches/{invalid}/input/212/",),
    "batch-files": (f"{BATCH}/files/", "/batches/{gone_file}/files/", "/batches/{expired}/files/"),
    "attention": ("/attention/", "/attention/?reason=stalled"),
    "errors": ("/errors/", "/errors/?range=24h", "/errors/?q=zzz", "/errors/?retry=1&new=1"),
    "error-group": ("/errors/{group}/",),
    "connections": ("/connections/",),
    "connection-add": ("/connections/add/",),
    "connection": ("/connections/{connection}/",),
    "connection-delete": ("/connections/{connection}/delete/",),
    "people": ("/people/",),
    "invite": ("/people/invite/",),
    "person": ("/people/{person}/", "/people/{you}/", "/people/{off}/"),
    "person-deactivate": ("/people/{person}/deactivate/",),
    "audit": ("/audit/", "/audit/?who=nobody-at-all&from=someday", "/audit/?what=person"),
    "shares": ("/shares/",),
    "share-add": ("/shares/add/", "/shares/add/?kind=batch&batch={partial}", "/shares/add/?q=failed:%3E0"),
    "share": ("/shares/{share}/", "/shares/{others}/"),
    "shared": (
        "/s/{list}/",
        "/s/{nothing}/",
        *(f"/s/{{of_{key}}}/" for key in ("running", "stale", "partial", "invalid", "gone", "reading", "uncounted")),
    ),
    "shared-password": ("/s/{locked}/password/",),
    "you": ("/you/",),
}
# Looked at below, because nobody is signed in there, or because a vendor has to answer first.
ELSEWHERE = {
    "wall",  # with rules of its own: tests/browser/test_wall.py
    "wall-by-link",
    "login",
    "first-admin",
    "invitation",
    "batch-file-preview",
    "batch-request-body",
    "batch-request-input",
    "input-line-read",
    "wall-password",  # the same as that of a list
}
# Files, pieces of pages, answers to machines, and acts that lead back to a page.
NO_PAGES = {
    *("chart", "batches-export", "batch-raw", "batch-errors-export", "batch-requests-export", "errors-export"),
    *("batch-suggestions", "columns", "saved-view-add", "saved-view-delete", "batch-file-read", "batch-file-download"),
    *("share-rotate", "share-revoke", "share-take-over"),
    *("connection-test", "connection-pause", "connection-restore", "logout", "healthz", "readyz", "robots"),
    *("invitation-renew", "invitation-revoke", "person-activate", "person-sign-out", "person-reset", "audit-export"),
    "person-second-factor",
    *("you-look", "you-password", "you-sign-out"),
}
GROUPS = {
    "desk": ("overview", "batches", "saved-views", "saved-view", "attention"),
    "batch": ("batch",),
    "tabs": ("batch-activity", "batch-cancel", "batch-requests", "batch-request", "input-line", "batch-files"),
    "team": ("people", "invite", "person", "person-deactivate", "audit", "you"),
    "rest": ("errors", "error-group", "connections", "connection-add", "connection", "connection-delete"),
    "links": ("shares", "share-add", "share", "shared", "shared-password"),
}


def links_made(mei: User, ana: User, made: dict[str, Batch]) -> Rows:
    """Links in every state, to be changed by their number and opened by their token."""
    now = timezone.now()
    share_made(ana, "wall", last_seen_at=now, last_address="2001:db8:12::77", views=1204, expires_at=now)
    share_made(ana, revoked_at=now, revoked_by="mei")
    long = "without-any-place-to-break" * 3
    tokens: Rows = {f"of_{key}": share_made(mei, batch=batch, name=long)[1] for key, batch in made.items()}
    return tokens | {
        "share": share_made(mei, password=make_password("a long one"))[0].pk,
        "others": share_made(ana, "wall", query="q=" + "x" * 300)[0].pk,
        "list": share_made(mei, query="q=failed%3A%3E0")[1],
        "nothing": share_made(mei, query="q=nothing-here")[1],
        "locked": share_made(mei, password=make_password("a long one"))[1],
    }


def faults(page: Page, where: str, within: str = "html") -> list[str]:
    """Of what is on the screen now, in words: too wide, or broken within an element. The page stays open: only its
    width and its theme change."""
    found: list[str] = []
    page.evaluate(Axe().axe_script)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844})
        found += [f"{where}: {fault}" for fault in page.evaluate(TOO_WIDE, width)]
        for theme, rules in READ_AT.get(width, {}).items():
            page.emulate_media(color_scheme=theme)
            found += [f"{where} at {width}, {theme}: {fault}" for fault in page.evaluate(BROKEN, [within, rules])]
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1440, "height": 844})
    return found


def visit(page: Page, path: str, status: int = 200) -> None:
    answer = page.goto(path)
    assert answer
    assert answer.status == status, path
    expect(page.locator("[data-plot]:not(:has(canvas))")).to_have_count(0)


def test_every_address_is_looked_at_or_is_no_page() -> None:
    names = {one.name for one in urlpatterns if isinstance(one, URLPattern)}
    assert names == PAGES.keys() | ELSEWHERE | NO_PAGES
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(PAGES)


def team_made(you: User) -> dict[str, int]:
    """People in every state, links under way and entries of the audit, with what widens a page."""
    lena, otto = person("lena-with-a-name-that-goes-on-and-on@example.org", "operator"), person("otto", "viewer")
    User.objects.filter(pk=otto.pk).update(is_active=False, is_limited=True)
    some = list(Connection.objects.all()[:2])
    otto.connections.set(some)
    share = Share(name="Operations, third floor", kind="wall", made_by=lena, who="lena")
    share.new_token()
    share.save()
    for whom in (None, lena):
        invitation = Invitation(role="" if whom else "viewer", is_limited=not whom, person=whom, who=str(you))
        invitation.new_token()
        invitation.save()
        invitation.connections.set(some)
    batch = Batch.objects.select_related("connection").order_by("pk")[0]
    said = {"http_status": 409, "words": "Cannot cancel a batch with status completed", "detail": "refused"}
    target = f"{batch.connection}: {batch.remote_id}"
    record(you, "batch.cancel_answer", target, batch=batch, address="2001:db8::8a2e:370:7334", **said)  # type: ignore[arg-type]
    record(you, "person.edit", lena.username, person=lena, changes={"role": ("viewer", "operator")})
    record("somebody", "session.lock", "x" * 120, address="203.0.113.7")
    return {"person": lena.pk, "off": otto.pk, "you": you.pk}


@pytest.fixture
def numbers(mei: User, ana: User) -> Rows:
    made, now = everything_read(), timezone.now()
    judged()
    connection = Connection.objects.order_by("pk")[0]
    Refusal.objects.create(connection=connection, reason="no_id", excerpt="{}", first_seen_at=now, last_seen_at=now)
    view = SavedView.objects.create(name="Failing this week", owner=mei, shared=True, query="q=failed%3A%3E0")
    group = ErrorGroup.objects.order_by("pk")[0]
    others: Rows = {"view": view.pk, "group": group.pk, "connection": connection.pk}
    numbers: Rows = {key: batch.pk for key, batch in made.items()}
    return numbers | others | links_made(mei, ana, made) | team_made(mei)


@pytest.mark.parametrize("group", GROUPS)
def test_every_page_keeps_the_rules_when_full(opened: Opened, mei: User, numbers: Rows, group: str) -> None:
    page, found = opened(mei, "/batches/"), []
    for name in GROUPS[group]:
        for address in PAGES[name]:
            path = address.format(**numbers)
            visit(page, path)
            found += faults(page, path)
            for key in "jjk":
                page.keyboard.press(key)  # `opened` hears what throws
    assert not found, "\n".join(found)


def test_every_page_keeps_the_rules_when_there_is_nothing(opened: Opened, mei: User, vic: User) -> None:
    paths = ("/", "/batches/", "/batches/views/", "/attention/", "/errors/", "/connections/", "/you/")
    page, found = opened(mei, "/shares/"), []
    found += faults(page, "/shares/ without a link")
    page.goto("/shares/add/?kind=wall")
    page.get_by_label("Name").fill("without-any-place-to-break")
    page.get_by_role("button", name="Make link").click()
    expect(page.locator("#link")).to_be_visible()
    found += faults(page, "a link that was just made")
    visit(page, "/s/nobody-made-this/", 404)
    found += faults(page, "a link that shows nothing")
    for user in (mei, vic):
        page = opened(user, "/")
        for path in (*paths, *(("/people/", "/people/invite/", "/audit/") if user == mei else ())):
            visit(page, path)
            found += faults(page, f"{path} without a connection, {user}")
        page.context.close()
    prod = connection_made(tried_at=None, synced_at=None, imported_at=None)
    page, now = opened(mei, "/"), timezone.now()
    states: dict[str, dict[str, Any]] = {
        "not yet synced": {},
        "importing": {"tried_at": now, "import_count": 1200},
        "without batches": {"tried_at": now, "synced_at": now, "imported_at": now},
    }
    for state, columns in states.items():
        Connection.objects.filter(pk=prod.pk).update(**columns)
        for path in paths:
            visit(page, path)
            found += faults(page, f"{path} {state}")
    assert not found, "\n".join(found)


def test_the_rules_hold_with_everything_open(opened: Opened, mei: User, numbers: Rows) -> None:
    User.objects.filter(pk=mei.pk).update(columns=list(COLUMNS))
    page = opened(mei, "/batches/")
    page.locator("tbody .c-check input").nth(3).check()
    found = faults(page, "the list with every column and a selection")
    for menu in page.locator(".menu").all():
        menu.locator("summary").click()
        found += faults(page, f"the list with a menu open: {menu.locator('summary').inner_text()}", ".menu[open]")
    page.locator("#q").click()
    expect(page.locator("#options [role=option]").first).to_be_visible()
    found += faults(page, "the list with suggestions", ".search")
    page.locator("#q").press("Escape")
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.locator("dialog#keys")).to_be_visible()
    found += faults(page, "the sheet of keys", "#keys")
    visit(page, f"/batches/{numbers['requested']}/")
    page.get_by_role("link", name="Cancel batch").click()
    expect(page.locator("dialog#cancel")).to_be_visible()
    found += faults(page, "the question before a cancel", "#cancel")
    for path in ("/", f"/batches/{numbers['partial']}/", "/errors/", "/connections/"):
        visit(page, path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found += faults(page, f"{path} with its tables open")
    assert not found, "\n".join(found)


def test_the_rules_hold_in_trouble(opened: Opened, mei: User) -> None:
    needy = needy_made()
    page = opened(mei, "/batches/")
    page.route(re.compile("seen="), lambda route: route.abort())
    page.evaluate("document.querySelectorAll('.banner[hidden]').forEach((one) => { one.hidden = false; })")
    page.evaluate("document.body.classList.add('is-gone')")
    page.evaluate("document.querySelector('#gone [data-since]').textContent = '14:05:12'")
    found = faults(page, "the list with every banner")
    for path in ("/", "/batches/", "/attention/", f"/batches/{needy['stuck'].pk}/", "/connections/"):
        visit(page, path)
        found += faults(page, f"{path} where much needs somebody")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            expect(page.locator("#nav-attention")).to_be_visible()
    assert not found, "\n".join(found)


def test_no_word_of_a_stranger_widens_a_zoomed_page(opened: Opened, mei: User) -> None:
    long = "without-any-place-to-break" * 8
    batch = batch_made(
        connection_made(long[:80]), "failed", name=long, remote_id=long, owner=long, model=long[:200],
        endpoint=long[:200], input_file_id=long, metadata={long: long}, oddities=[long],
        errors=[{"code": long, "message": long, "param": long, "line": 10**30}], **counts(10**12, 10**12 - 1, 1),
    )  # fmt: skip
    view = SavedView.objects.create(name="name-without-a-break" * 4, owner=mei, shared=True, query="q=" + "x" * 300)
    judged()
    paths = ("/", "/batches/", "/batches/views/", f"/batches/views/{view.pk}/", "/attention/", "/connections/")
    page, found = opened(mei, "/"), []
    for path in (*paths, *(f"/batches/{batch.pk}/{tab}" for tab in ("", "requests/", "files/", "activity/"))):
        visit(page, path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            found += [f"{path}: {fault}" for fault in page.evaluate(TOO_WIDE, width)]
    assert not found, "\n".join(found)


def test_what_a_vendor_says_keeps_the_rules(opened: Opened, ana: User, vendor_of: Callable[..., Vendor]) -> None:
    vendor = vendor_of(0)
    batch = vendor.finished("fine-1", "fail-1", "fail-2")
    page = opened(ana, f"/batches/{batch.pk}/files/")
    page.get_by_role("button", name="First lines").first.click()
    expect(page.locator("pre").first).to_be_visible()
    found = faults(page, "a file's first lines")
    page.goto(f"/batches/{batch.pk}/input/1/")
    page.get_by_role("button", name="Read the input line").click()
    expect(page.locator("pre").first).to_be_visible()
    found += faults(page, "a line of the input file")
    assert not found, "\n".join(found)


@pytest.fixture
def stranger_page(browser: Browser, live_server: LiveServer) -> Iterator[Page]:
    with browser.new_context(base_url=live_server.url) as context:
        yield context.new_page()


def test_the_rules_hold_before_the_door(stranger_page: Page, live_server: LiveServer, transactional_db: None) -> None:
    link, found = make_first_link(live_server.url), []
    invitation = Invitation(role="viewer", who="mei")
    invited = f"/invitation/{invitation.new_token()}/"
    invitation.save()
    for path in ("/sign-in/", "/sign-in/first/?token=spent", "/invitation/spent/", invited, link):
        stranger_page.goto(path)
        found += faults(stranger_page, path)
    stranger_page.get_by_role("button", name="Make admin and sign in").click()
    found += faults(stranger_page, "the first admin with mistakes")
    stranger_page.goto("/sign-in/")
    stranger_page.get_by_label("Name").fill("nobody")
    stranger_page.get_by_label("Password").fill("wrong")
    stranger_page.get_by_role("button", name="Sign in").click()
    expect(stranger_page.get_by_role("alert")).to_be_visible()
    found += faults(stranger_page, "a wrong password")
    assert not found, "\n".join(found)


def test_the_rules_hold_where_something_is_refused(opened: Opened, ana: User, stranger: User) -> None:
    batch = batch_made(connection_made(), "in_progress", **counts(10, 1))
    page, found = opened(ana, "/"), []
    for path, status in {"/nowhere/": 404, "/batches/99999/": 404, "/connections/add/": 403}.items():
        visit(page, path, status)
        found += faults(page, path)
    page = opened(stranger, f"/batches/{batch.pk}/")
    found += faults(page, "no role")
    with override_settings(READ_ONLY=True):
        page = opened(ana, f"/batches/{batch.pk}/")
        found += faults(page, "an installation that only shows")
    assert Batch.objects.count() == 1
    assert not found, "\n".join(found)
