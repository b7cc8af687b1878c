"""Signing on through a real provider of identities, and with a second factor, in a real browser."""

import base64
import hmac
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.supervisor.keeper import Sitter
from tests.servers import installs
from tests.servers.installation import Installation
from tests.servers.installs import REPO
from tests.servers.processes import Process, answers, free_port

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(400)]
LINK = re.compile(r"http://\S+/sign-in/first/\?token=\S+")
PASSWORD = "correct horse battery staple"
SECRET = "known to the provider and to us"
ROLES = "llm-admins=admin, llm-operators=operator, llm=viewer"


@dataclass
class Place:
    """A running installation that trusts a running provider, and the groups that the provider says people are in."""

    installation: Installation
    url: str
    link: str
    log: Process
    provider: Process
    groups_file: Path

    def groups(self, **of: list[str]) -> None:
        self.groups_file.write_text(json.dumps(of))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sitter: Sitter) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("sign-on")
    port, provider_port = free_port(), free_port()
    url, groups_file = f"http://127.0.0.1:{port}", folder / "groups.json"
    groups_file.write_text("{}")
    packages, node = installs.oidc_provider()
    provider = Process(
        [
            node,
            str(REPO / "tests/servers/provider.mjs"),
            str(provider_port),
            f"{url}/sign-in/provider/login/callback/",
            SECRET,
        ],
        sitter=sitter,
        log=folder / "provider.log",
        ready=lambda: answers(provider_port, "/.well-known/openid-configuration"),
        env={"PATH": "/usr/bin:/bin", "PACKAGES": str(packages), "GROUPS_FILE": str(groups_file)},
    )
    env = {
        "DASHBOARD_OIDC_URL": f"http://127.0.0.1:{provider_port}",
        "DASHBOARD_OIDC_CLIENT_ID": "batches",
        "DASHBOARD_OIDC_CLIENT_SECRET": SECRET,
        "DASHBOARD_OIDC_SCOPE": "openid profile email groups",
        "DASHBOARD_OIDC_NAME": "the house",
        "DASHBOARD_OIDC_ROLES": ROLES,
        "DASHBOARD_SECOND_FACTOR": "1",
    }
    installation = Installation(folder / "data", sitter, env)
    up = Process(
        [sys.executable, str(REPO / "manage.py"), "up", "--port", str(port)],
        sitter=sitter,
        log=folder / "up.log",
        ready=lambda: LINK.search(up.words()) is not None,
        env=installation.env,
        cwd=REPO,
    )
    try:
        provider.start()
        up.start()
        found = LINK.search(up.words())
        assert found
        yield Place(installation, url, found[0], up, provider, groups_file)
    finally:
        up.stop()
        provider.stop()


@pytest.fixture
def window(browser: Browser) -> Iterator[Page]:
    """A browser that nobody has signed in with."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        yield context.new_page()


def sign_on(window: Page, place: Place, name: str) -> None:
    """As a person would: from a page of ours, through the provider's own pages, and back."""
    window.goto(f"{place.url}/attention/")
    window.get_by_role("link", name="Sign in with the house").click()
    window.get_by_placeholder("Enter any login").fill(name)
    window.get_by_placeholder("and password").fill("any")
    window.get_by_role("button", name="Sign-in").click()
    window.get_by_role("button", name="Continue").click()


def test_whoever_the_provider_knows_comes_in_with_the_role_of_their_groups(place: Place, window: Page) -> None:
    place.groups(olga=["llm", "llm-operators", "football"])
    sign_on(window, place, "olga")
    expect(window).to_have_url(f"{place.url}/attention/")
    expect(window.locator(".who__name")).to_contain_text("Olga of the provider, operator")
    [(password,)] = place.installation.rows("SELECT password FROM dashboard_user WHERE username = 'olga'")
    assert password.startswith("!"), "no password opens this account"
    assert place.installation.rows("SELECT * FROM socialaccount_socialtoken") == []
    assert SECRET not in place.log.words()
    assert "code=" not in place.log.words()
    # A link on another site must not tie this account to an identity of its choice; the page's own leads on.
    window.goto(f"{place.url}/sign-in/provider/login/?process=connect")
    expect(window).to_have_url(f"{place.url}/you/sign-on/")
    window.get_by_role("link", name="the house").click()
    expect(window).to_have_url(f"{place.url}/you/")
    assert ("person.connect",) not in place.installation.rows("SELECT verb FROM dashboard_auditentry")


def test_who_left_the_group_is_out_at_the_next_sign_on(place: Place, window: Page) -> None:
    place.groups(nina=["llm-admins"])
    sign_on(window, place, "nina")
    expect(window.locator(".who__name")).to_contain_text("admin")
    place.groups(nina=["football"])
    window.locator(".who button").click()
    window.get_by_role("link", name="Sign in with the house").click()
    expect(window.get_by_role("heading", name="No role here")).to_be_visible()
    window.goto(f"{place.url}/batches/")
    expect(window).to_have_url(re.compile("/sign-in/"))
    groups = (
        "SELECT count(*) FROM dashboard_user_groups g JOIN dashboard_user p ON p.id = g.user_id WHERE p.username = ?"
    )
    assert place.installation.rows(groups, "nina") == [(0,)]


def test_who_has_no_group_that_counts_makes_no_account(place: Place, window: Page) -> None:
    place.groups(stranger=["football"])
    sign_on(window, place, "stranger")
    expect(window.get_by_role("heading", name="No role here")).to_be_visible()
    assert place.installation.rows("SELECT * FROM dashboard_user WHERE username = 'stranger'") == []


def test_a_name_that_is_taken_does_not_open_the_account_of_whoever_has_it(place: Place, window: Page) -> None:
    place.installation.python(
        "from dashboard.models import User; User.objects.create_superuser('root', 'root@example.org', 'x')"
    )
    place.groups(root=["llm"])
    sign_on(window, place, "root")
    expect(window.locator(".who__name")).to_contain_text("Root of the provider, viewer")
    names = place.installation.rows("SELECT username FROM dashboard_user WHERE email = 'root@example.org' ORDER BY id")
    assert names[0] == ("root",)
    assert len(set(names)) == 2


def test_who_cancels_or_comes_back_with_nonsense_reads_what_happened(place: Place, window: Page) -> None:
    window.goto(f"{place.url}/sign-in/")
    window.get_by_role("link", name="Sign in with the house").click()
    window.get_by_role("link", name="[ Cancel ]").click()
    expect(window.get_by_role("main")).to_contain_text(re.compile("cancel", re.IGNORECASE))
    window.goto(f"{place.url}/sign-in/provider/login/callback/?code=made-up&state=made-up")
    expect(window.get_by_role("heading", name="Sign-on failed")).to_be_visible()
    assert "made-up" not in place.log.words()


def test_a_provider_that_does_not_answer_is_said_and_the_password_still_opens(place: Place, window: Page) -> None:
    place.provider.stop()
    try:
        window.goto(f"{place.url}/sign-in/")
        window.get_by_role("link", name="Sign in with the house").click()
        expect(window.get_by_role("heading", name="Sign-on failed")).to_be_visible()
        window.get_by_role("link", name="Try again").click()
        expect(window.get_by_label("Password")).to_be_visible()
    finally:
        place.provider.start()


def code(secret: str) -> str:
    """What an authenticator app shows now (RFC 6238: SHA-1, six digits, steps of 30 s)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, (int(time.time()) // 30).to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


def test_a_second_factor_is_asked_for_once_somebody_has_one(place: Place, window: Page) -> None:
    place.installation.python(
        "from django.contrib.auth.models import Group\n"
        "from dashboard.models import User\n"
        f"vic = User.objects.create_user('vic', password={PASSWORD!r})\n"
        "vic.groups.add(Group.objects.get(name='viewer'))"
    )

    def sign_in() -> None:
        window.goto(f"{place.url}/sign-in/")
        window.get_by_label("Name").fill("vic")
        window.get_by_label("Password").fill(PASSWORD)
        window.get_by_role("button", name="Sign in").click()

    sign_in()
    expect(window).to_have_url(f"{place.url}/")
    window.goto(f"{place.url}/you/")
    window.get_by_role("link", name="Second factor").click()
    window.get_by_role("link", name="Activate").click()
    if "again" in window.url:
        window.get_by_label("Password").fill(PASSWORD)
        window.get_by_role("button", name="Confirm").click()
    secret = window.get_by_label("Authenticator secret").input_value()
    window.get_by_label("Authenticator code").fill(code(secret))
    window.get_by_role("button", name="Activate").click()
    expect(window.get_by_role("main")).to_contain_text(re.compile(r"recovery codes", re.IGNORECASE))
    kept = str(place.installation.rows("SELECT data FROM mfa_authenticator"))
    assert "secret" in kept
    assert secret not in kept, "sealed, as vendors' keys are"
    assert "2 stored keys" in place.installation.manage("encryption_key", "--rotate")
    window.context.clear_cookies()
    noted = "SELECT actor, detail FROM dashboard_auditentry WHERE verb = 'person.second_factor' ORDER BY id"
    assert ("vic", "added: totp") in place.installation.rows(noted)

    sign_in()
    expect(window).to_have_url(re.compile("/second-factor/authenticate/"))
    window.goto(f"{place.url}/batches/")
    expect(window).to_have_url(re.compile("/sign-in/"))
    sign_in()
    window.get_by_label("Code").fill("000000")
    window.get_by_role("button", name="Sign in").click()
    expect(window.locator(".errorlist")).to_be_visible()
    # A code opens once: the app's next one comes within half a minute.
    window.wait_for_timeout(31_000)
    window.get_by_label("Code").fill(code(secret))
    window.get_by_role("button", name="Sign in").click()
    expect(window).to_have_url(f"{place.url}/")


def test_a_link_for_a_new_password_asks_for_the_second_factor_and_an_admin_removes_it(
    place: Place, window: Page
) -> None:
    place.installation.python(
        "from allauth.mfa.totp.internal.auth import TOTP\n"
        "from django.contrib.auth.models import Group\n"
        "from dashboard.models import Invitation, User\n"
        f"lena = User.objects.create_user('lena', password={PASSWORD!r})\n"
        "lena.groups.add(Group.objects.get(name='viewer'))\n"
        "TOTP.activate(lena, 'JBSWY3DPEHPK3PXP')\n"
        "link = Invitation(person=lena, who='mei')\n"
        "link.new_token()\n"
        "link.token_hash = Invitation.hash('a-token')\n"
        "link.save()\n"
        f"User.objects.create_superuser('chief', password={PASSWORD!r})"
    )
    window.goto(f"{place.url}/invitation/a-token/")
    window.get_by_label("New password", exact=True).fill(f"{PASSWORD} 2")
    window.get_by_label("New password, once more").fill(f"{PASSWORD} 2")
    window.get_by_role("button", name="Set the password and sign in").click()
    expect(window).to_have_url(re.compile("/second-factor/authenticate/"))
    window.goto(f"{place.url}/batches/")
    expect(window).to_have_url(re.compile("/sign-in/"))

    window.get_by_label("Name").fill("chief")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Sign in", exact=True).click()
    expect(window).to_have_url(f"{place.url}/batches/")
    [(pk,)] = place.installation.rows("SELECT id FROM dashboard_user WHERE username = 'lena'")
    window.goto(f"{place.url}/people/{pk}/")
    expect(window.get_by_role("main")).to_contain_text("gets the role of their groups there")
    window.get_by_role("button", name="Remove the second factor").click()
    expect(window.get_by_text("lena signs in without a second factor")).to_be_visible()
    expect(window.get_by_role("button", name="Remove the second factor")).to_have_count(0)
    entries = "SELECT actor, target FROM dashboard_auditentry WHERE detail = 'removed: all'"
    assert place.installation.rows(entries) == [("chief", "lena")]
