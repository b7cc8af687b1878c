"""German in a real browser: its words are longer, and none of them widens a page or is cut off in a button."""

from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from dashboard.models import ErrorGroup, Flow, User
from dashboard.models.flow import QUARTER, quarter_of
from tests.batches_made import everything_made
from tests.browser.conftest import Opened
from tests.browser.test_rules import PAGES, team_made
from tests.errors_made import LENGTH, RATE, errors_made
from tests.shares_made import share_made

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Controls and heads whose words do not fit. A chip's larger touch area reaches 3 px beyond it.
CUT = """() => [...document.querySelectorAll('.btn, .chip, .tag, .tabs a, .nav a > span, th, legend, .side__foot a')]
    .filter((one) => one.offsetParent && !one.matches('.vh, .who__name, .who__name *'))
    .filter((one) => one.scrollWidth > one.clientWidth + 4 && getComputedStyle(one).display !== 'inline'
      || one.matches('.btn') && one.getBoundingClientRect().right > document.documentElement.clientWidth)
    .map((one) => one.textContent.trim())"""
# Boxes that end outside of the one they stand in, as a tag in a narrow cell.
OUT = """() => [...document.querySelectorAll('td .tag, .acts .btn')].filter((one) => one.offsetParent)
    .filter((one) => one.getBoundingClientRect().right > one.closest('td, .acts').getBoundingClientRect().right + 1)
    .map((one) => one.textContent.trim())"""


@pytest.fixture
def paths(mei: User) -> list[str]:
    made = everything_made()
    errors_made(made["partial"], {LENGTH: 3, RATE: 2})
    now = quarter_of(int(timezone.now().timestamp()))
    for i in range(96):
        Flow.objects.create(
            connection=made["partial"].connection,
            quarter=now - i * QUARTER,
            looks=20,
            completed=1100,
            failed=2,
            in_flight=450_000,
        )
    partial, running = made["partial"].pk, made["running"].pk
    group = ErrorGroup.objects.values_list("pk", flat=True)[0]
    lists = ["/", "/batches/", "/batches/views/", "/attention/", "/errors/", f"/errors/{group}/"]
    batches = [f"/batches/{partial}/", f"/batches/{running}/", f"/batches/{running}/cancel/"]
    numbers = team_made(mei)
    pages = ("people", "invite", "person", "person-deactivate", "audit")
    team = [address.format(**numbers) for name in pages for address in PAGES[name]]
    tabs = [f"/batches/{partial}/{tab}/" for tab in ("requests", "files", "activity")]
    share, token = share_made(mei, password="x")
    links = ["/shares/", "/shares/add/", f"/shares/{share.pk}/", f"/s/{share_made(mei, batch=made['partial'])[1]}/"]
    links += [f"/s/{share_made(mei)[1]}/", f"/s/{token}/"]
    return [*lists, *batches, *tabs, "/connections/", "/connections/add/", *links, "/you/", *team]


@pytest.mark.parametrize("width", [1440, 390])
def test_no_german_word_widens_a_page_or_is_cut(opened: Opened, mei: User, paths: list[str], width: int) -> None:
    User.objects.filter(pk=mei.pk).update(language="de", time_zone="Europe/Berlin")
    page = opened(mei, "/you/", width=width)
    # What a link shows is in the language of the browser, which this cookie stands for.
    page.context.add_cookies([{"name": "django_language", "value": "de", "url": page.url.removesuffix("you/")}])
    for path in paths:
        page.goto(path)
        expect(page.locator("html")).to_have_attribute("lang", "de")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, path
        assert page.evaluate(CUT) == [], path
        assert page.evaluate(OUT) == [], path


@pytest.mark.parametrize("width", [1440, 390])
def test_the_browser_decides_until_somebody_signs_in_and_chooses(
    browser: Browser, live_server: LiveServer, ana: User, width: int
) -> None:
    context = browser.new_context(
        base_url=live_server.url, locale="de-DE", timezone_id="Europe/Berlin", viewport={"width": width, "height": 844}
    )
    page = context.new_page()
    page.goto("/sign-in/")
    expect(page.get_by_role("heading", name="Anmelden")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Passwort").fill("correct horse battery")
    page.get_by_role("button", name="Anmelden").click()
    page.wait_for_url(live_server.url + "/")
    page.wait_for_load_state("networkidle")
    page.get_by_role("link", name="ana").click()
    expect(page.get_by_text("Wie der Browser (Europe/Berlin)")).to_be_attached()
    page.get_by_label("Sprache").select_option("en")
    page.get_by_label("Zeitzone").select_option("America/New_York")
    page.get_by_role("button", name="Speichern").click()
    expect(page.get_by_role("heading", name="Your settings")).to_be_visible()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("Time zone")).to_have_value("America/New_York")
    context.close()


def test_what_scripts_say_is_german_and_ages_in_german(opened: Opened, ana: User, paths: list[str]) -> None:
    User.objects.filter(pk=ana.pk).update(language="de", time_zone="Asia/Tokyo")
    page = opened(ana, "/", clock=True)
    page.clock.fast_forward(3000)
    expect(page.locator("#page-age")).to_contain_text("Seite vor")
    figure = page.locator("[data-kind=in-flight]")
    expect(figure.locator("canvas")).to_be_visible()
    figure.locator(".plot__box").focus()
    page.keyboard.press("End")
    expect(figure.locator("[data-value]")).to_contain_text("450.000 in Arbeit")
    # Of the zone in the profile, not of the browser, which is in UTC.
    quarter = timezone.now().astimezone(ZoneInfo("Asia/Tokyo"))
    expect(figure.locator("[data-value]")).to_contain_text(f"{quarter:%H}:{quarter.minute // 15 * 15:02}")
    page.goto("/batches/")
    with page.expect_request("**/batches/?seen=*") as asked:
        page.locator("#refresh").click()
    assert asked.value.headers["x-language"] == "de"
    page.locator("tbody .c-check input").first.check()
    expect(page.locator("#selection")).to_contain_text("1 ausgewählt")
