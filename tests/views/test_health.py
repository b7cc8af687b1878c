"""What machines ask, and the pages for when something went wrong."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import unquote

import pytest
from django.conf import LazySettings
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone

from dashboard.models import Part, User
from dashboard.views import health
from tests.cast import ClientOf


def explode(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("broken on purpose")


explode.login_required = False  # type: ignore[attr-defined]


def seen(ago: timedelta) -> None:
    now = timezone.now()
    Part.objects.create(name="worker", state=Part.State.RUNNING, since_at=now, seen_at=now - ago)


def test_healthz_answers_without_the_database(client: Client) -> None:
    # No mark: a query would fail this test.
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["10.1.2.3:8000", "evil.example", "no_host_at all"])
def test_probes_are_answered_whatever_the_host_and_nothing_else_is(client: Client, host: str) -> None:
    seen(timedelta(seconds=30))
    for path_, words in (("/healthz", b"ok"), ("/readyz", b'{"database": "ok", "broker": "ok", "tick": "ok"}')):
        response = client.get(path_, headers={"Host": host})
        assert (response.status_code, response.content) == (200, words)
        assert host not in str(response.headers)
        assert not response.cookies
    assert client.get("/sign-in/", headers={"Host": host}).status_code == 400


@pytest.mark.django_db
def test_readyz_is_ready_when_everything_is(client: Client) -> None:
    seen(timedelta(seconds=30))
    response = client.get("/readyz")
    assert response.json() == {"database": "ok", "broker": "ok", "tick": "ok"}
    assert response.status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(("ago", "why"), [(None, "never seen"), (timedelta(minutes=3), "two minutes")])
def test_readyz_notices_a_dead_tick(client: Client, ago: timedelta | None, why: str) -> None:
    if ago:
        seen(ago)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert why in response.json()["tick"]


def test_a_dead_broker_is_noticed_within_the_limit_and_named_no_further(settings: LazySettings) -> None:
    from dashboard.celery import app

    before = app.conf["broker_url"]
    app.conf.update(broker_url="redis://:MARKER@127.0.0.1:9/0", broker_read_url="redis://:MARKER@127.0.0.1:9/0")
    try:
        assert health.Broker().ask() == "does not answer"
    finally:
        app.conf.update(broker_url=before, broker_read_url=before)


def test_the_broker_is_asked_at_most_every_five_seconds() -> None:
    broker = health.Broker()
    assert broker.ask() == "ok"
    asked_at = broker.asked_at
    broker.ask()
    assert broker.asked_at == asked_at


def test_robots_are_kept_out(client: Client) -> None:
    assert client.get("/robots.txt").content == b"User-agent: *\nDisallow: /\n"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "host", "status", "says"),
    [
        ("/no-such-page/", "testserver", 404, "nothing at this address"),
        ("/connections/", "evil.example", 400, "could not be read"),
    ],
)
def test_what_went_wrong_is_said_with_what_to_do(
    client: Client, address: str, host: str, status: int, says: str
) -> None:
    page = client.get(address, headers={"host": host})
    assert page.status_code == status
    assert says in page.content.decode()
    short = client.get(address, headers={"host": host, "HX-Request": "true"})
    assert short.status_code == status
    assert says in unquote(short["X-Reason"])
    assert b"<" not in short.content


urlpatterns = [path("explode/", explode, name="overview")]
handler500 = "dashboard.views.health.broken"


def test_a_broken_view_answers_without_the_database(settings: LazySettings) -> None:
    settings.ROOT_URLCONF = __name__
    client = Client(raise_request_exception=False)
    page = client.get("/explode/")
    assert page.status_code == 500
    assert "Something broke here" in page.content.decode()
    assert "broken on purpose" not in page.content.decode()
    assert "log says why" in unquote(client.get("/explode/", headers={"HX-Request": "true"})["X-Reason"])


def test_the_500_page_falls_back_to_words_when_it_breaks_too(settings: LazySettings) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    response = health.broken(RequestFactory().get("/"))
    assert response.status_code == 500
    assert b"Something broke here" in response.content


def test_a_form_without_its_token_says_to_reload(client_of: ClientOf, vic: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(vic, backend="dashboard.access.Roles")
    response = client.post("/sign-out/")
    assert response.status_code == 403
    assert "reload the page" in response.content.decode()


def test_the_chosen_theme_is_kept_on_plain_pages(client: Client, db: None) -> None:
    themed: Callable[[str], bytes] = lambda theme: client.get("/no/", headers={"cookie": f"theme={theme}"}).content  # noqa: E731
    assert b'data-theme="dark"' in themed("dark")
    assert b"data-theme" not in themed('"><script>')
