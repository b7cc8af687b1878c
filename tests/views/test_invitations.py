"""Invitations and links for a new password: made by an admin, used once by whoever has them."""

import logging
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import LazySettings
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from dashboard.models import AuditEntry, Connection, Invitation, User
from tests.cast import PASSWORD, ClientOf, person

pytestmark = pytest.mark.django_db
NEW = {"username": "nora", "password1": "a long enough one", "password2": "a long enough one"}
AGAIN = {"new_password1": "another long one", "new_password2": "another long one"}


def link_in(page: str) -> str:
    found = re.search(r'id="link" value="http://testserver(/invitation/[^"]+)"', page)
    assert found
    return found[1]


def invited(admin: Client, **given: Any) -> str:
    return link_in(admin.post("/people/invite/", {"role": "viewer", "sees": "all"} | given).content.decode())


def test_the_link_makes_a_person_with_the_role_and_limits_that_were_chosen(admin: Client, prod: Connection) -> None:
    link = invited(admin, role="operator", sees="some", connections=[prod.pk], email="nora@example.org")
    assert link not in admin.get("/people/").content.decode(), "shown once"
    browser = Client()
    page = browser.get(link)
    assert page["Referrer-Policy"] == "strict-origin"
    assert "mei invites you, with the role operator" in page.content.decode()
    assert browser.post(link, NEW)["Location"] == "/"
    nora = User.objects.get(username="nora")
    assert (nora.email, nora.is_limited, nora.visible) == ("nora@example.org", True, frozenset({prod.pk}))
    assert "nora, operator" in browser.get("/").content.decode()
    verbs = AuditEntry.objects.order_by("pk").values_list("actor", "verb", "target")
    assert list(verbs) == [
        ("mei", "invitation.make", "nora@example.org"),
        ("nora", "invitation.accept", "nora"),
    ]
    assert Invitation.objects.get().used_by == nora


def test_only_a_hash_is_stored_and_no_log_has_the_link(admin: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    link = invited(admin)
    token = link.split("/")[2]
    Client().get(link)
    Client().get(f"/invitation/wrong-{token}/")
    with connection.cursor() as cursor:
        for table in [name for name in connection.introspection.table_names(cursor) if "_search" not in name]:
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 (the names come from the database)
            assert token not in str(cursor.fetchall()), table
    assert token not in "".join(record.getMessage() for record in caplog.records if record.name != "django.db.backends")


def test_mistakes_are_told_and_use_nothing_up(admin: Client, vic: User) -> None:
    link = invited(admin)
    for wrong in ({"username": "vic"}, {"password2": "other"}, {"password1": "123", "password2": "123"}):
        assert "errorlist" in Client().post(link, NEW | wrong).content.decode()
    assert Client().post(link, NEW).status_code == 302


def test_a_link_that_does_not_work_does_not_tell_why(admin: Client, settings: LazySettings) -> None:
    links = {state: invited(admin, email=f"{state}@example.org") for state in ("used", "expired", "revoked", "renewed")}
    pks = {invitation.email.split("@")[0]: invitation.pk for invitation in Invitation.objects.all()}
    Client().post(links["used"], NEW)
    Invitation.objects.filter(pk=pks["expired"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    admin.post(f"/people/invitations/{pks['revoked']}/revoke/")
    fresh = link_in(admin.post(f"/people/invitations/{pks['renewed']}/renew/").content.decode())
    pages = set()
    for link in (*links.values(), "/invitation/wrong/"):
        for response in (Client().get(link), Client().post(link, NEW | {"username": "other"})):
            assert response.status_code == 404
            pages.add(response.content)
        AccessAttempt.objects.all().delete()
    assert len(pages) == 1
    assert Client().get(fresh).status_code == 200
    assert not User.objects.filter(username="other").exists()


def test_guessing_has_to_wait_and_a_good_link_too(admin: Client) -> None:
    link = invited(admin)
    answers = [Client().get(f"/invitation/guess-{i}/").status_code for i in range(10)]
    assert answers[0] == 404
    assert answers[-1] == 429
    locked = Client().get(link)
    assert locked.status_code == 429
    assert int(locked["Retry-After"]) > 60
    assert Client(REMOTE_ADDR="192.0.2.9").get(link).status_code == 200, "from elsewhere it works"
    assert AuditEntry.objects.filter(verb="session.lock").count() == 1
    assert not AccessAttempt.objects.filter(path_info__contains="guess").exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_comes_in(admin: Client) -> None:
    link = invited(admin)
    gate = threading.Barrier(2)

    def come(name: str) -> int:
        browser = Client()
        gate.wait()
        try:
            return browser.post(link, NEW | {"username": name}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as both:
        assert sorted(both.map(come, ("one", "two"))) == [302, 404]
    assert User.objects.filter(username__in=("one", "two")).count() == 1


def test_an_invitation_of_an_admin_is_never_limited(admin: Client, prod: Connection) -> None:
    given = {"role": "admin", "sees": "some", "connections": [prod.pk]}
    assert "no admin can be limited" in admin.post("/people/invite/", given).content.decode()
    assert not Invitation.objects.exists()


# --- A forgotten password ---------------------------------------------------------------------------------------------


def test_a_link_for_a_new_password_works_once_and_ends_what_was_open(
    admin: Client, ana: User, client_of: ClientOf
) -> None:
    desk = client_of(ana)
    first = link_in(admin.post(f"/people/{ana.pk}/reset/").content.decode())
    link = link_in(admin.post(f"/people/{ana.pk}/reset/").content.decode())
    assert Client().get(first).status_code == 404, "the newer one counts"
    old = {"username": "ana", "password": PASSWORD}
    assert Client().post("/sign-in/", old).status_code == 302, "until it is used the old one works"
    browser = Client()
    assert browser.post(link, AGAIN).status_code == 302
    assert browser.get("/").status_code == 200
    assert desk.get("/").status_code == 302
    assert Client().post("/sign-in/", {"username": "ana", "password": "another long one"}).status_code == 302
    assert Client().get(link).status_code == 404
    assert AuditEntry.objects.filter(verb="person.password", target="ana").exists()


def test_it_brings_nobody_in_who_was_deactivated(admin: Client, ana: User) -> None:
    link = link_in(admin.post(f"/people/{ana.pk}/reset/").content.decode())
    admin.post(f"/people/{ana.pk}/deactivate/")
    assert Client().post(link, AGAIN).status_code == 404


def test_nobody_becomes_a_superuser_by_anothers_password(admin: Client) -> None:
    chief = User.objects.create_superuser("chief", password=PASSWORD)
    assert admin.post(f"/people/{chief.pk}/reset/").status_code == 302
    assert not Invitation.objects.exists()


# --- By mail ----------------------------------------------------------------------------------------------------------

BY_MAIL = {"role": "viewer", "sees": "all", "email": "nora@example.org", "mail": "1"}


def test_without_a_mail_server_the_link_is_shown(admin: Client) -> None:
    assert "by e-mail" not in admin.get("/people/invite/").content.decode()
    link_in(admin.post("/people/invite/", BY_MAIL).content.decode())


def test_by_mail_the_link_is_in_the_mail_alone(admin: Client, settings: LazySettings) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    page = admin.post("/people/invite/", BY_MAIL, follow=True).content.decode()
    assert "Sent to nora@example.org." in page
    assert "/invitation/" not in page
    (sent,) = mail.outbox
    assert sent.to == ["nora@example.org"]
    link = re.search(r"http://testserver(/invitation/\S+)", str(sent.body))
    assert link
    assert Client().get(link[1]).status_code == 200


def test_mail_needs_an_address(admin: Client, settings: LazySettings) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    assert "Enter the address" in admin.post("/people/invite/", BY_MAIL | {"email": ""}).content.decode()
    assert not Invitation.objects.exists()


class MailServer(socketserver.StreamRequestHandler):
    """Says what it is told to for each command, or nothing."""

    said: dict[str, str] = {}

    def handle(self) -> None:
        if "hello" not in self.said:
            time.sleep(2)
            return
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            command = line[:4].decode().upper().strip()
            self.wfile.write(f"{self.said.get(command, '250 fine')}\r\n".encode())


@pytest.fixture
def mail_server(settings: LazySettings) -> Iterator[dict[str, str]]:
    said = MailServer.said = {"hello": "220"}
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = {"host": "127.0.0.1", "port": server.server_address[1], "timeout": 8}
        backend = "django.core.mail.backends.smtp.EmailBackend"
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
        settings.EMAIL_SECONDS = 0.5
        yield said
        server.shutdown()


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"RCPT": "550 MARKER no such box"}, "does not take mail for this address"),
        ({"MAIL": "554 MARKER go away"}, "refused it"),
        ({"hello": ""}, "gave no answer"),
    ],
)
def test_what_a_mail_server_refuses_is_said_and_the_link_shown(
    admin: Client, mail_server: dict[str, str], says: dict[str, str], why: str
) -> None:
    mail_server |= says
    if says.get("hello") == "":
        del mail_server["hello"]
    began = time.monotonic()
    page = admin.post("/people/invite/", BY_MAIL).content.decode()
    assert time.monotonic() - began < 1.9
    assert "Nothing was sent to nora@example.org." in page
    assert why in page
    assert "MARKER" not in page
    assert Client().get(link_in(page)).status_code == 200


def test_where_only_looking_is_allowed_no_link_makes_anybody(admin: Client, settings: LazySettings) -> None:
    link = invited(admin)
    settings.READ_ONLY = True
    assert Client().post(link, NEW).status_code == 405
    settings.READ_ONLY = False
    assert Client().post(link, NEW).status_code == 302


def test_who_was_an_admin_when_the_page_was_opened_invites_nobody(client_of: ClientOf) -> None:
    second = person("second", "admin")
    desk = client_of(second)
    second.groups.clear()
    assert desk.post("/people/invite/", BY_MAIL).status_code == 403


class WhileChoosing:
    """A validator of passwords, which are checked between reading somebody and writing them: then things happen."""

    def validate(self, _password: str, _user: User | None = None) -> None:
        User.objects.filter(username="vic").update(is_active=False, session_round=7)


def test_a_link_for_a_new_password_activates_nobody_who_is_deactivated_meanwhile(
    admin: Client, vic: User, settings: LazySettings
) -> None:
    link = link_in(admin.post(f"/people/{vic.pk}/reset/").content.decode())
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": "tests.views.test_invitations.WhileChoosing"}]
    browser = Client()
    browser.post(link, AGAIN)
    vic.refresh_from_db()
    assert (vic.is_active, vic.session_round) == (False, 7)
    assert browser.get("/batches/").status_code == 302


def test_a_link_for_a_new_password_does_not_outlive_a_deactivation(admin: Client, vic: User) -> None:
    link = link_in(admin.post(f"/people/{vic.pk}/reset/").content.decode())
    admin.post(f"/people/{vic.pk}/deactivate/")
    admin.post(f"/people/{vic.pk}/activate/")
    assert Client().get(link).status_code == 404
