"""Signing in, being locked out, and the one-time link that makes the first admin."""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from dashboard.access import role_of
from dashboard.management.commands.sign_in_link import make_first_link
from dashboard.models import AuditEntry, SignInLink, User
from dashboard.models.installation import LINK_LIFE
from tests.cast import PASSWORD

FIRST = "/sign-in/first/"
CHOSEN = {"username": "mei", "password1": "a long and good one", "password2": "a long and good one"}


def sign_in(client: Client, password: str, name: str = "vic") -> int:
    return client.post("/sign-in/", {"username": name, "password": password}).status_code


def test_the_right_password_opens_the_door(client: Client, vic: User) -> None:
    assert sign_in(client, PASSWORD) == 302
    assert client.get("/connections/").status_code == 200


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(client: Client, vic: User) -> None:
    answers = [
        client.post("/sign-in/", {"username": name, "password": "wrong"}).context["form"].non_field_errors()
        for name in ("vic", "nobody")
    ]
    assert answers[0] == answers[1]
    assert answers[0]


def test_the_password_is_not_sent_back(client: Client, vic: User) -> None:
    page = client.post("/sign-in/", {"username": "vic", "password": "MARKER-typed"}).content
    assert b"MARKER-typed" not in page


def autocomplete_of(page: bytes) -> dict[str, str]:
    return dict(re.findall(r'<input type="(?:text|password)" name="(\w+)"[^>]* autocomplete="([\w-]+)"', page.decode()))


def test_password_managers_are_told_what_each_field_is(client: Client, token: str) -> None:
    assert autocomplete_of(client.get("/sign-in/").content) == {"username": "username", "password": "current-password"}
    new = {"username": "username", "password1": "new-password", "password2": "new-password"}
    assert autocomplete_of(client.get(FIRST, {"token": token}).content) == new


def test_next_is_kept_through_a_mistake(client: Client, vic: User) -> None:
    page = client.post("/sign-in/", {"username": "vic", "password": "wrong", "next": "/connections/"})
    assert b'name="next" value="/connections/"' in page.content


def test_too_many_wrong_passwords_are_answered_with_how_long_to_wait(
    client: Client, vic: User, settings: LazySettings
) -> None:
    statuses = [sign_in(client, "wrong") for _ in range(settings.AXES_FAILURE_LIMIT)]
    assert statuses == [200] * (settings.AXES_FAILURE_LIMIT - 1) + [429]
    response = client.post("/sign-in/", {"username": "vic", "password": PASSWORD})
    assert response.status_code == 429
    assert "Wait 15 minutes" in response.content.decode()
    assert response["Retry-After"] == "900"


def test_the_lock_is_for_one_name_from_one_address(
    client: Client, vic: User, ana: User, settings: LazySettings
) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT):
        sign_in(client, "wrong")
    assert sign_in(client, PASSWORD, "ana") == 302
    elsewhere = Client(REMOTE_ADDR="198.51.100.7")
    assert sign_in(elsewhere, PASSWORD) == 302


TRY = """
import django; django.setup()
from django.core.management import call_command
from django.test import Client
from dashboard.models import User
import sys
if sys.argv[1] == "prepare":
    call_command("migrate", verbosity=0)
    User.objects.create_user("vic", password="the right one")
else:
    client = Client(SERVER_NAME="localhost")
    said = [client.post("/sign-in/", {"username": "vic", "password": word}).status_code for word in sys.argv[1:]]
    print(*said)
"""


@pytest.mark.process
def test_the_lock_counts_over_several_processes(tmp_path: Path) -> None:
    """Two processes of four wrong passwords each; a third has the right one and is refused."""
    environment = {
        "PATH": os.environ["PATH"],
        "DASHBOARD_DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'batches.sqlite3'}",
    }

    def process(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", TRY, *words],
            cwd=Path(__file__).parent.parent.parent,
            env={**environment, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout.strip()

    process("prepare")
    assert process(*["wrong"] * 4) == "200 200 200 200"
    assert process(*["wrong"] * 4) == "200 200 200 429"
    assert process("the right one") == "429"


def test_signing_out_needs_a_post(client: Client, vic: User) -> None:
    sign_in(client, PASSWORD)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert client.get("/connections/").status_code == 302


# --- The first admin --------------------------------------------------------------------------------------------------


@pytest.fixture
def token(db: None) -> str:
    link = make_first_link("http://localhost:8000")
    return parse_qs(urlsplit(link).query)["token"][0]


def test_the_link_names_the_server_once(db: None, settings: LazySettings) -> None:
    assert make_first_link("https://batches.example.org/").startswith(
        "https://batches.example.org/sign-in/first/?token="
    )


def test_the_link_makes_an_admin_who_is_signed_in(client: Client, token: str) -> None:
    page = client.get(FIRST, {"token": token})
    assert page.status_code == 200
    assert page["Referrer-Policy"] == "strict-origin"
    assert "no-store" in page["Cache-Control"]
    assert client.post(FIRST, {**CHOSEN, "token": token})["Location"] == "/"
    mei = User.objects.get()
    assert role_of(mei) == "admin"
    assert mei.is_superuser
    assert client.get("/connections/").status_code == 200
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.address) == ("mei", "person.first_admin", "127.0.0.1")
    assert token not in entry.detail + entry.target


def test_opening_the_link_does_not_use_it_up(client: Client, token: str) -> None:
    client.get(FIRST, {"token": token})
    assert client.get(FIRST, {"token": token}).status_code == 200


def test_a_mistake_in_the_form_does_not_use_it_up(client: Client, token: str) -> None:
    page = client.post(FIRST, {**CHOSEN, "password2": "MARKER another", "token": token})
    assert page.status_code == 200
    assert b"MARKER" not in page.content
    assert b"a long and good one" not in page.content
    assert client.post(FIRST, {**CHOSEN, "token": token}).status_code == 302


def test_the_link_works_once(client: Client, token: str) -> None:
    client.post(FIRST, {**CHOSEN, "token": token})
    second = Client().post(FIRST, {**CHOSEN, "username": "eve", "token": token})
    assert second.status_code == 410
    assert not User.objects.filter(username="eve").exists()
    assert "There is an admin already" in second.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("case", ["none", "wrong", "old", "replaced"])
def test_a_link_that_does_not_work_says_how_to_get_another(client: Client, case: str) -> None:
    token = SignInLink.make()
    if case == "old":
        SignInLink.objects.update(made_at=timezone.now() - LINK_LIFE)
    if case == "replaced":
        SignInLink.make()
    given = {"none": "", "wrong": token + "x"}.get(case, token)
    for response in (client.get(FIRST, {"token": given}), client.post(FIRST, {**CHOSEN, "token": given})):
        assert response.status_code == 410
        assert "manage.py sign_in_link" in response.content.decode()
    assert not User.objects.exists()


def test_a_link_is_of_no_use_while_an_admin_can_sign_in(client: Client, mei: User) -> None:
    token = SignInLink.make()
    assert client.get(FIRST, {"token": token}).status_code == 410
    assert client.post(FIRST, {**CHOSEN, "username": "eve", "token": token}).status_code == 410
    assert make_first_link("http://localhost") == ""


def test_a_link_makes_a_further_admin_when_none_can_sign_in(client: Client, mei: User) -> None:
    mei.set_unusable_password()
    mei.save()
    token = SignInLink.make()
    assert client.post(FIRST, {**CHOSEN, "username": "zoe", "token": token}).status_code == 302
    assert role_of(User.objects.get(username="zoe")) == "admin"


@pytest.mark.django_db
def test_the_command_prints_a_link_that_works(client: Client) -> None:
    out = StringIO()
    call_command("sign_in_link", "--url", "http://testserver", stdout=out)
    assert client.get(out.getvalue().strip()).status_code == 200


def test_the_command_refuses_when_somebody_is_admin(mei: User) -> None:
    with pytest.raises(CommandError, match="changepassword"):
        call_command("sign_in_link", stdout=StringIO())


def test_the_stored_link_is_not_the_link(token: str) -> None:
    assert token not in str(list(SignInLink.objects.values()))
