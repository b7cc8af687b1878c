"""What stands around every request: proxies, the log, clocks, cheap polls, logins, time zones."""

import ipaddress
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.sessions.models import Session
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, set_script_prefix

from dashboard import middleware
from dashboard.addresses import client_address
from dashboard.models import Connection, User
from dashboard.urls import urlpatterns
from tests.cast import PASSWORD, ClientOf

HTMX = {"HX-Request": "true"}

type Seen = dict[str, object]


@pytest.fixture
def connection(db: None) -> Connection:
    return Connection.objects.create(name="OpenAI / prod", base_url="http://127.0.0.1:9/v1", auth_style="none")


@pytest.fixture
def remembering(settings: LazySettings) -> None:
    """As in production, where tests would only wait."""
    settings.PULSE_SECONDS = 60.0
    settings.REMEMBER_SECONDS = 60.0


def poll(client: Client, token: str, path: str = "/connections/") -> Any:
    return client.get(path, {"seen": token}, headers=HTMX)


def token_of(client: Client) -> str:
    return str(client.get("/connections/").context["token"])


# --- Proxies ----------------------------------------------------------------------------------------------------------


def through(settings: LazySettings, trusted: str, **meta: str) -> HttpRequest:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(network) for network in trusted.split()]
    seen: list[HttpRequest] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse()

    middleware.TrustedProxies(view)(RequestFactory().get("/", **meta))  # type: ignore[arg-type]
    return seen[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # what the client wrote itself is not believed
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "203.0.113.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("192.0.2.9", "203.0.113.7", "192.0.2.9"),
        ("", "203.0.113.7", "0.0.0.0"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_proxy_of_ours(
    settings: LazySettings, peer: str, forwarded: str, client: str
) -> None:
    request = through(settings, "10.0.0.0/8", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == client


def test_a_trusted_proxy_says_scheme_and_host(settings: LazySettings) -> None:
    request = through(
        settings,
        "10.0.0.0/8",
        REMOTE_ADDR="10.0.0.1",
        HTTP_X_FORWARDED_PROTO="https",
        HTTP_X_FORWARDED_HOST="localhost:8443",
    )
    assert (request.scheme, request.get_host()) == ("https", "localhost:8443")


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8"])
def test_nobody_else_says_them(settings: LazySettings, trusted: str) -> None:
    claimed = dict.fromkeys(middleware.FORWARDED, "https")
    request = through(settings, trusted, REMOTE_ADDR="192.0.2.9", **claimed)
    assert request.scheme == "http"
    assert not set(claimed) & set(request.META)


# --- The log ----------------------------------------------------------------------------------------------------------


def test_the_log_names_the_route_and_the_person(
    client_of: ClientOf, vic: User, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dashboard.access")
    client_of(vic).get("/batches/4711/?q=secret-word")
    [line] = [record.getMessage() for record in caplog.records if record.name == "dashboard.access"]
    assert line.startswith("GET /batches/<int:pk>/ ")
    assert line.endswith(f"by user {vic.pk}")
    assert "4711" not in line
    assert "secret-word" not in line


def test_health_checks_and_static_files_are_not_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dashboard.access")
    client.get("/healthz")
    assert not [record for record in caplog.records if record.name == "dashboard.access"]


@pytest.mark.django_db
def test_an_unknown_address_is_not_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client.get("/wall/MARKER-token/?token=MARKER-query")
    ours = [record.getMessage() for record in caplog.records if record.name == "dashboard.access"]
    assert ours
    assert "MARKER" not in "".join(ours)


# --- Clocks -----------------------------------------------------------------------------------------------------------


def test_every_answer_says_build_and_time(client: Client, settings: LazySettings) -> None:
    response = client.get("/healthz")
    assert response["X-Build"] == settings.BUILD
    assert abs(float(response["X-Now"]) - time.time()) < 5


def test_last_good_syncs_are_told_only_to_who_is_signed_in(
    client: Client, client_of: ClientOf, vic: User, connection: Connection
) -> None:
    assert "X-Synced" not in client.get("/sign-in/")
    assert "X-Synced" not in client.get("/connections/")
    assert client_of(vic).get("/connections/")["X-Synced"] == f"{connection.pk}="


def test_pages_behind_the_login_are_kept_by_no_cache(client_of: ClientOf, vic: User, connection: Connection) -> None:
    response = client_of(vic).get("/connections/")
    assert response["Cache-Control"] == "private, no-store"
    assert "HX-Request" in response["Vary"]


# --- Polls ------------------------------------------------------------------------------------------------------------


def test_the_polled_pages_are_marked() -> None:
    marked = {
        pattern.name
        for pattern in urlpatterns
        if isinstance(pattern, URLPattern) and getattr(pattern.callback, "polled", None)
    }
    of_batch = {"batch", "batch-requests", "batch-files", "batch-activity"}
    assert marked == of_batch | {
        "overview",
        "batches",
        "attention",
        "errors",
        "error-group",
        "connections",
        "shared",
    } | {
        "wall",
        "wall-by-link",
    }


@pytest.mark.usefixtures("remembering")
def test_an_unchanged_poll_of_a_remembered_session_asks_nothing(
    client_of: ClientOf,
    vic: User,
    connection: Connection,
    django_assert_num_queries: Callable[[int], object],
) -> None:
    client = client_of(vic)
    token = token_of(client)
    with django_assert_num_queries(0):  # type: ignore[attr-defined]
        response = poll(client, token)
    assert response.status_code == 204
    assert not response.content
    assert {"X-Build", "X-Now", "X-Synced"} <= set(response.headers)
    assert response["Cache-Control"] == "private, no-store"


def test_without_memory_an_unchanged_poll_is_answered_the_same(
    client_of: ClientOf, vic: User, connection: Connection
) -> None:
    client = client_of(vic)
    assert poll(client, token_of(client)).status_code == 204


def test_a_changed_page_is_sent(client_of: ClientOf, vic: User, connection: Connection) -> None:
    client = client_of(vic)
    token = token_of(client)
    Connection.objects.update(revision=2)
    response = poll(client, token)
    assert response.status_code == 200
    assert b"<hx-partial" in response.content


@pytest.mark.usefixtures("remembering")
@pytest.mark.parametrize("case", ["no cookie", "another cookie", "no htmx", "post", "not a polled page"])
def test_the_cheap_answer_is_only_for_polls(client_of: ClientOf, mei: User, connection: Connection, case: str) -> None:
    client = client_of(mei)
    token = token_of(client)
    match case:
        case "no cookie":
            response = poll(Client(), token)
        case "another cookie":
            client.cookies["batches_session"] = "x" * 32
            response = poll(client, token)
        case "no htmx":
            response = client.get("/connections/", {"seen": token})
        case "post":
            response = client.post(f"/connections/?seen={token}", headers=HTMX)
        case _:
            response = poll(client, token, "/connections/add/")
    assert response.status_code != 204


def test_a_right_that_was_taken_away_acts_within_the_remembered_seconds(
    client_of: ClientOf, vic: User, connection: Connection, settings: LazySettings
) -> None:
    settings.REMEMBER_SECONDS = 0.3
    client = client_of(vic)
    token = token_of(client)
    vic.groups.clear()
    assert poll(client, token).status_code == 204
    time.sleep(0.35)
    assert poll(client, token).status_code == 403


def test_a_session_that_was_ended_elsewhere_acts_within_the_remembered_seconds(
    client_of: ClientOf, vic: User, connection: Connection, settings: LazySettings
) -> None:
    settings.REMEMBER_SECONDS = 0.3
    client = client_of(vic)
    token = token_of(client)
    # As another process would: whatever this one keeps in memory is not told.
    Session.objects.all().delete()
    assert poll(client, token).status_code == 204
    time.sleep(0.35)
    assert poll(client, token).status_code == 401


@pytest.mark.usefixtures("remembering")
def test_signing_out_is_known_at_once(client_of: ClientOf, vic: User, connection: Connection) -> None:
    client, thief = client_of(vic), Client()
    thief.cookies["batches_session"] = client.cookies["batches_session"].value
    token = token_of(client)
    assert poll(thief, token).status_code == 204
    client.post("/sign-out/")
    assert poll(thief, token).status_code == 401


def test_a_check_that_ends_after_the_sign_out_does_not_bring_the_session_back(settings: LazySettings) -> None:
    settings.REMEMBER_SECONDS = 60.0
    request = RequestFactory().get("/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = "a-session"
    middleware.forget(request)
    middleware.remember(request, 7)
    assert middleware.remembered(request) is None


def test_what_is_remembered_is_bounded(settings: LazySettings) -> None:
    settings.REMEMBER_SECONDS = 60.0
    request = RequestFactory().get("/")
    for number in range(middleware.MOST_REMEMBERED + 10):
        request.COOKIES[settings.SESSION_COOKIE_NAME] = f"session-{number}"
        middleware.remember(request, number + 1)
    assert len(middleware._known) <= middleware.MOST_REMEMBERED
    assert middleware.remembered(request) is not None


def test_a_poll_never_writes_or_lengthens_a_session(client_of: ClientOf, vic: User, connection: Connection) -> None:
    client = client_of(vic)
    before = Session.objects.values_list("session_key", "session_data", "expire_date").get()
    for token in (token_of(client), "something-else"):
        response = poll(client, token)
        assert "batches_session" not in response.cookies
    assert Session.objects.values_list("session_key", "session_data", "expire_date").get() == before


# --- People -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_page_that_needs_a_login_leads_back_to_itself(client: Client) -> None:
    assert client.get("/connections/?a=b")["Location"] == "/sign-in/?next=%2Fconnections%2F%3Fa%3Db"


@pytest.mark.django_db
def test_what_was_posted_without_a_login_does_not_lead_back_to_a_post(client: Client) -> None:
    assert client.post("/connections/1/pause/")["Location"] == "/sign-in/"


@pytest.mark.django_db
def test_an_expired_login_answers_htmx_with_a_way_to_sign_in(client: Client) -> None:
    response = client.get(
        "/connections/?seen=x",
        headers={**HTMX, "HX-Current-URL": "http://testserver/batches/?status=open&seen=1"},
    )
    assert response.status_code == 401
    assert response["HX-Redirect"] == "/sign-in/?next=%2Fbatches%2F%3Fstatus%3Dopen%26seen%3D1"
    assert not response.content


@pytest.mark.django_db
def test_next_never_leads_to_another_server(client: Client, vic: User) -> None:
    for bad in ("https://evil.example/", "//evil.example/", "javascript:alert(1)", r"/\evil.example"):
        response = client.post("/sign-in/", {"username": "vic", "password": PASSWORD, "next": bad})
        assert response["Location"] == "/"
        client.post("/sign-out/")


def test_who_has_no_role_is_told_who_can_give_one(client_of: ClientOf, stranger: User) -> None:
    response = client_of(stranger).get("/connections/")
    assert response.status_code == 403
    text = response.content.decode()
    assert "An admin must give you one" in text
    assert 'action="/sign-out/"' in text
    assert client_of(stranger).post("/sign-out/").status_code == 302


# --- Place and time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        ("Asia%2FTokyo", "Asia/Tokyo"),
        ("", "UTC"),
        ("../../etc/passwd", "UTC"),
        ("Mars/Phobos", "UTC"),
    ],
)
def test_times_are_shown_in_the_zone_of_the_browser(settings: LazySettings, zone: str, shown: str) -> None:
    from django.utils import timezone

    seen: list[str] = []

    def view(_request: HttpRequest) -> HttpResponse:
        seen.append(timezone.get_current_timezone_name())
        return HttpResponse()

    request = RequestFactory().get("/")
    request.COOKIES["zone"] = zone
    middleware.Locale(view)(request)
    assert seen == [shown]
    assert timezone.get_current_timezone_name() == settings.TIME_ZONE


@pytest.mark.django_db
def test_links_carry_the_prefix_of_a_sub_path(settings: LazySettings) -> None:
    """Through the real WSGI handler, which the test client leaves out; the proxy takes the prefix off the path."""
    settings.FORCE_SCRIPT_NAME = "/llm"
    started: list[tuple[str, dict[str, str]]] = []

    def get(path: str) -> tuple[dict[str, str], bytes]:
        environ = RequestFactory()._base_environ(PATH_INFO=path)  # type: ignore[attr-defined]
        body = b"".join(WSGIHandler()(environ, lambda status, headers: started.append((status, dict(headers)))))  # type: ignore[arg-type]
        return started[-1][1], body

    try:
        assert get("/connections/")[0]["Location"] == "/llm/sign-in/?next=%2Fllm%2Fconnections%2F"
        assert b'href="/llm/' in get("/no-such-page/")[1]
    finally:
        set_script_prefix("/")
