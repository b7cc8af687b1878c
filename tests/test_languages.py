"""Who sees which language, and that a whole page is in it: its words, its numbers, and nothing that a program reads."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from dashboard.management import catalog
from dashboard.models import User
from tests.batches_made import batch_made, connection_made, everything_made
from tests.cast import PASSWORD, ClientOf
from tests.errors_made import LENGTH, RATE, errors_made

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}
HTMX = {"HX-Request": "true"}
NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)(%|px|em)?")
PAIR = re.compile(r"-?\d+(\.\d+)?,-?\d+(\.\d+)?")
SIZES = {"x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "cx", "cy", "r", "rx", "ry", "width", "height", "stroke-width"}
# What our scripts read as numbers.
READ = {"data-now", "data-at", "data-stale", "data-lost", "data-poll", "data-default", "data-sign", "data-chosen"}
TOO_MANY = 120


@pytest.fixture
def german(client_of: ClientOf, mei: User) -> Client:
    User.objects.filter(pk=mei.pk).update(language="de")
    return client_of(mei)


@pytest.fixture
def everything(db: None) -> dict[str, Any]:
    made = everything_made()
    errors_made(made["partial"], {LENGTH: 1200, RATE: 2})
    return made


class Read(HTMLParser):
    """Attributes that hold numbers, texts, and where a page leads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.language = ""
        self.silent = 0
        self.numbers = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = given["lang"]
        if tag in {"pre", "code", "bdi", "script", "template"}:
            self.silent += 1
        if tag == "a" and "download" not in given:
            self.links.append(given.get("href", ""))
        for name in ("hx-get",):
            self.links.append(given.get(name, ""))
        for name, value in given.items():
            # A template holds words for the scripts, under names of its own.
            if (name in SIZES or name in READ) and value and tag != "template":
                self.numbers += 1
                if not NUMBER.fullmatch(value):
                    self.wrong.append(f"<{tag} {name}={value!r}>")
            if tag in {"progress", "meter"} and name in {"value", "max"} and not NUMBER.fullmatch(value):
                self.wrong.append(f"<{tag} {name}={value!r}>")
            if name == "points" and not all(PAIR.fullmatch(point) for point in value.split()):
                self.wrong.append(f"<{tag} {name}={value[:80]!r}>")
            if name in {"transform", "viewbox", "d"} and re.search(r"\d,\d", value):
                self.wrong.append(f"<{tag} {name}={value!r}>")
            if name == "datetime" and not re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+\d\d:\d\d", value):
                self.wrong.append(f"<{tag} {name}={value!r}>")
            if name in {"title", "aria-label", "placeholder"}:
                self.texts.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"pre", "code", "bdi", "script", "template"}:
            self.silent -= 1

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(data)


def untranslated(texts: list[str], allowed: set[str]) -> list[str]:
    """What is said in English although there are German words for it."""
    german = {
        message.id
        for message in catalog.read("de")
        if isinstance(message.id, str) and message.id != message.string and re.search("[a-z]{3}", message.id)
    }
    return [text for text in map(str.strip, texts) if text in german - allowed]


def pages_from(client: Client, *begin: str) -> Iterator[tuple[str, str]]:
    """Each page of the product that a link or a poll leads to, once; of a kind with many, a few."""
    waiting, seen, kinds = list(begin), set(begin), dict[str, int]()
    while waiting and len(seen) < TOO_MANY:
        path = waiting.pop(0)
        is_poll = "seen=" in path
        response = client.get(path.replace("&amp;", "&"), headers=HTMX if is_poll else {})
        assert response.status_code in {200, 204, 302}, path
        if response.status_code != 200 or not response["Content-Type"].startswith("text/html"):
            continue
        html = response.content.decode()
        yield path, html
        for link in Read(html).links:
            found = urlsplit(urljoin(path, link))
            following = f"{found.path}?{found.query}" if found.query else found.path
            following = re.sub(r"seen=[^&]*", "seen=0", following)  # something moved
            kind = re.sub(r"\d+", "#", found.path) + ("?poll" if "seen=" in following else "?" * bool(found.query))
            if found.netloc or following in seen or kinds.get(kind, 0) >= 3:
                continue
            kinds[kind] = kinds.get(kind, 0) + 1
            seen.add(following)
            waiting.append(following)


def test_every_page_and_every_poll_is_in_german_and_no_number_that_a_program_reads_is(
    german: Client, everything: dict[str, Any]
) -> None:
    numbers, polls, paths = 0, 0, []
    # Names of columns of a table's data, and what this cast's vendors and people wrote.
    allowed = {"name", "viewer", "operator", "admin"}
    for path, html in pages_from(german, "/", f"/batches/{everything['partial'].pk}/", "/batches/?q=nothing-is-so"):
        read = Read(html)
        paths.append(path)
        assert read.wrong == [], path
        assert untranslated(read.texts, allowed) == [], path
        if "seen=" in path:
            polls += 1
            assert "hx-partial" in html, path
        else:
            assert read.language == "de", path
        numbers += read.numbers
    assert numbers > 2_000, "attributes were looked at"
    assert polls >= 5, "polls were looked at"
    kinds = {re.sub(r"\d+", "#", urlsplit(path).path) for path in paths}
    assert {"/", "/batches/", "/batches/#/", "/attention/", "/errors/", "/errors/#/", "/connections/", "/you/"} <= kinds
    assert {"/batches/#/requests/", "/batches/#/files/", "/batches/#/activity/", "/connections/#/"} <= kinds


def test_numbers_dates_and_durations_are_written_as_in_german(german: Client, everything: dict[str, Any]) -> None:
    # The others may all be of today, as late in the evening, whose dates are times alone.
    batch_made(everything["partial"].connection, created_at=timezone.now() - timedelta(days=9))
    html = german.get("/batches/").content.decode()
    assert "4.981 von 5.000" in html
    assert "Dauer 1 h 20 min" in html
    assert re.search(r"\d\d?\. (Jan|Feb|März|April|Mai|Juni|Juli|Aug|Sept|Okt|Nov|Dez)", html)
    errors = german.get("/errors/").content.decode()
    assert "99,8 %" in errors
    assert "0,2 %" in errors


def test_exports_and_numbers_for_charts_know_no_language(german: Client, everything: dict[str, Any]) -> None:
    numbers = german.get("/charts/requests.json").json()
    assert all(isinstance(at, int) for at in numbers["at"])
    export = b"".join(german.get("/batches.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert ",4981," in export
    assert ",partial," in export


def test_who_is_signed_out_sees_the_browsers_language(client: Client, db: None) -> None:
    response = client.get("/sign-in/", headers=GERMAN)
    assert '<html lang="de"' in response.content.decode()
    assert "Anmelden" in response.content.decode()
    assert response["Content-Language"] == "de"
    assert "Accept-Language" in response["Vary"]
    assert "Sign in" in client.get("/sign-in/", headers={"Accept-Language": "fr"}).content.decode()


def test_a_mistake_at_sign_in_is_told_in_the_browsers_language(client: Client, ana: User) -> None:
    response = client.post("/sign-in/", {"username": "ana", "password": "wrong"}, headers=GERMAN)
    assert "Name und Passwort passen nicht zusammen" in response.content.decode()


def test_the_profile_outranks_the_browser(client_of: ClientOf, ana: User) -> None:
    client = client_of(ana)
    assert '<html lang="de"' in client.get("/", headers=GERMAN).content.decode()
    User.objects.filter(pk=ana.pk).update(language="en")
    assert '<html lang="en"' in client.get("/", headers=GERMAN).content.decode()
    User.objects.filter(pk=ana.pk).update(language="de")
    response = client.get("/", headers={"Accept-Language": "en"})
    assert '<html lang="de"' in response.content.decode()
    assert response["Content-Language"] == "de"


def test_a_refusal_is_said_in_the_language_of_the_profile(client_of: ClientOf, vic: User, stranger: User) -> None:
    User.objects.update(language="de")
    refused = client_of(vic).post("/connections/add/", headers={"Accept-Language": "en"})
    assert refused.status_code == 403
    assert "braucht die Rolle admin" in refused.content.decode()
    assert "noch ohne Rolle" in client_of(stranger).get("/").content.decode()


def test_an_address_that_is_none_is_told_in_the_language_of_the_profile(client_of: ClientOf, vic: User) -> None:
    User.objects.update(language="de")
    missing = client_of(vic).get("/nowhere/", headers={"Accept-Language": "en"})
    assert missing.status_code == 404
    assert "Diese Seite gibt es nicht" in missing.content.decode()


def test_a_poll_is_answered_in_the_language_of_its_page(client_of: ClientOf, ana: User, everything: Any) -> None:
    """Also where the profile was changed in another tab since."""
    client = client_of(ana)
    page = client.get("/attention/", headers=GERMAN).content.decode()
    assert '"X-Language": "de"' in page
    changed = client.get("/attention/?seen=0", headers=HTMX | GERMAN).content.decode()
    assert "Seite gerade eben" in changed
    User.objects.filter(pk=ana.pk).update(language="en")
    assert "Seite gerade eben" in client.get("/attention/?seen=0", headers=HTMX | {"X-Language": "de"}).content.decode()
    assert "page just now" in client.get("/attention/?seen=0", headers=HTMX | {"X-Language": "xx"}).content.decode()


def test_one_persons_language_is_not_the_next_ones(client_of: ClientOf, ana: User, vic: User, everything: Any) -> None:
    """What is drawn once and remembered is remembered by language."""
    User.objects.filter(pk=ana.pk).update(language="de")
    for path in ("/", "/batches/", "/errors/", "/connections/"):
        assert '<html lang="de"' in client_of(ana).get(path).content.decode()
        english = client_of(vic).get(path).content.decode()
        assert '<html lang="en"' in english
        for word in ("Übersicht", "Verbindungen", "Abmelden", "Tastenkürzel"):
            assert word not in english, path


def test_times_are_of_the_zone_in_the_profile_then_of_the_browsers(client_of: ClientOf, ana: User) -> None:
    path = f"/batches/{batch_made(connection_made()).pk}/"
    client = client_of(ana)
    client.cookies["zone"] = "Asia/Tokyo"
    assert ">JST<" in client.get(path).content.decode()
    User.objects.filter(pk=ana.pk).update(time_zone="America/Sao_Paulo")
    assert ">-03<" in client.get(path).content.decode()
    assert 'data-zone="America/Sao_Paulo"' in client.get("/").content.decode()
    User.objects.filter(pk=ana.pk).update(time_zone="Atlantis/Old")
    assert ">JST<" in client.get(path).content.decode(), "a zone that this machine does not know is none"


def test_signing_in_ends_in_the_language_of_the_profile(client: Client, ana: User) -> None:
    User.objects.filter(pk=ana.pk).update(language="de")
    client.post("/sign-in/", {"username": "ana", "password": PASSWORD}, headers={"Accept-Language": "en"})
    assert '<html lang="de"' in client.get("/", headers={"Accept-Language": "en"}).content.decode()
