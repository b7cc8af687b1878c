"""What a log line and an error page may say."""

import json
import logging
from typing import Any

import pytest
from django.conf import LazySettings
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.views.debug import technical_500_response

from dashboard.logs import JsonFormatter, Reporter, Routes, TextFormatter, scrubbed

# Put together here, because an error page quotes the source.
KEY = "-".join(("sk", "MARKER0123456789"))


def explode(request: HttpRequest, token: str = "") -> HttpResponse:
    key = request.POST.get("key")  # a local variable, as in every view that is given one
    raise RuntimeError(f"it broke near {key}")


explode.login_required = False  # type: ignore[attr-defined]
urlpatterns = [path("explode/<str:token>/", explode)]
handler500 = "dashboard.views.health.broken"
handler404 = "dashboard.views.health.not_found"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"key {KEY} refused", "key [hidden] refused"),
        ("GET /sign-in/first/?token=abcDEF_123&x=1", "GET /sign-in/first/?token=[hidden]&x=1"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [hidden]"),
        ("api-key: abcdef", "api-key: [hidden]"),
        ("redis://:hunter2@broker:6379/0", "redis://[hidden]@broker:6379/0"),
        ("12 batches of OpenAI / prod", "12 batches of OpenAI / prod"),
    ],
)
def test_keys_tokens_and_passwords_are_taken_out(said: str, kept: str) -> None:
    assert scrubbed(said) == kept


def record_of(message: str, *args: Any, **more: Any) -> logging.LogRecord:
    record = logging.LogRecord("django.request", logging.WARNING, __file__, 1, message, args, None)
    record.__dict__.update(more)
    return record


def test_both_formats_are_scrubbed_and_json_is_one_object_a_line() -> None:
    record = record_of("with %s", KEY)
    assert TextFormatter().format(record).endswith("django.request: with [hidden]")
    assert json.loads(JsonFormatter().format(record))["message"] == "with [hidden]"


def test_a_traceback_is_scrubbed_too() -> None:
    try:
        raise RuntimeError(KEY)
    except RuntimeError as error:
        record = record_of("broke")
        record.exc_info = (type(error), error, error.__traceback__)
    assert KEY not in TextFormatter().format(record)
    assert KEY not in JsonFormatter().format(record)


def test_djangos_lines_name_the_route_and_not_the_path() -> None:
    request = RequestFactory().get("/wall/MARKER-tökén/")
    escaped = request.path.encode("unicode_escape").decode("ascii")
    record = record_of("%s: %s", "Not Found", escaped, request=request, status_code=404)
    assert Routes().filter(record)
    assert record.getMessage() == "Not Found: (no such page)"


class Collector(logging.Handler):
    """What the console would print."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(TextFormatter())
        self.addFilter(Routes())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def printed() -> Any:
    collector, root = Collector(), logging.getLogger()
    root.addHandler(collector)
    yield collector.lines
    root.removeHandler(collector)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("/wall/MARKER-in-path/?token=MARKER-in-query", "testserver"),
        ("/sign-in/first/?token=MARKER-in-query", "testserver"),
        ("/connections/?token=MARKER-in-query", "evil.example"),
        ("/explode/MARKER-in-path/?token=MARKER-in-query", "testserver"),
    ],
)
def test_no_token_reaches_the_log(address: str, host: str, printed: list[str], settings: LazySettings) -> None:
    if "explode" in address:
        settings.ROOT_URLCONF = __name__
    Client(raise_request_exception=False).get(address, headers={"host": host})
    assert printed
    assert "MARKER" not in "".join(printed)


@pytest.mark.parametrize("debug", [False, True])
def test_no_key_stands_on_an_error_page_or_in_its_log(
    debug: bool,  # noqa: FBT001
    printed: list[str],
    settings: LazySettings,
) -> None:
    settings.DEBUG = debug
    settings.ROOT_URLCONF = __name__
    settings.OPENAI_API_KEY = KEY
    settings.CELERY_BROKER_URL = f"redis://:{KEY}@broker/0"
    client = Client(raise_request_exception=False)
    response = client.post(f"/explode/x/?token={KEY}", {"key": KEY, "act_key": KEY})
    assert response.status_code == 500
    assert KEY not in response.content.decode()
    assert KEY not in "".join(printed)
    assert ("it broke near" in response.content.decode()) is debug


def test_the_plain_text_error_page_hides_the_same(settings: LazySettings) -> None:
    settings.DEBUG = True
    request = RequestFactory().post(f"/?token={KEY}", {"key": KEY}, headers={"accept": "text/plain"})
    try:
        explode(request)
    except RuntimeError as error:
        page = technical_500_response(request, type(error), error, error.__traceback__)
    assert KEY not in page.content.decode()


def test_the_reporter_is_the_one_in_the_settings(settings: LazySettings) -> None:
    assert f"{Reporter.__module__}.{Reporter.__qualname__}" == settings.DEFAULT_EXCEPTION_REPORTER
