"""What machines ask, and the pages for when something went wrong. None of these needs a login."""

import threading
import time
from contextlib import suppress
from datetime import timedelta
from urllib.parse import quote

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from kombu.transport import virtual

from dashboard.celery import app
from dashboard.middleware import WHO, NoRole, suit
from dashboard.models import Part
from dashboard.sharing import NoShare

BROKER_SECONDS = 2.0
BROKER_REMEMBERED = 5.0
TICK_LIFE = timedelta(minutes=2)

OK = "ok"


@login_not_required
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """This process answers. Nothing else is asked, so that a slow database does not get it killed."""
    return HttpResponse(OK, content_type="text/plain")


@login_not_required
@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """Whether everything that the pages need is there. Says which part is missing and nothing else."""
    database = database_state()
    parts = {
        "database": database,
        "broker": broker_state(),
        "tick": tick_state() if database == OK else "not known without the database",
    }
    return JsonResponse(parts, status=200 if all(state == OK for state in parts.values()) else 503)


@login_not_required
@require_safe
def robots(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("User-agent: *\nDisallow: /\n", content_type="text/plain")


def database_state() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "does not answer"
    return OK


def tick_state() -> str:
    """The worker's row is written by the tick, so a fresh one proves beat, broker and worker in one go."""
    try:
        seen_at = Part.objects.filter(name="worker").values_list("seen_at", flat=True).first()
    except DatabaseError:
        return "not known without the database"
    if seen_at is None:
        return "never seen"
    return OK if timezone.now() - seen_at < TICK_LIFE else "not seen for more than two minutes"


class Broker:
    """Asks the broker in a thread of its own: not every transport keeps to a time limit."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asking: threading.Thread | None = None
        self.state = "does not answer"
        self.asked_at = float("-inf")

    def ask(self) -> str:
        with self.lock:
            if time.monotonic() - self.asked_at < BROKER_REMEMBERED:
                return self.state
            if self.asking is None or not self.asking.is_alive():
                self.state = "does not answer"
                # Importing the transport takes a second the first time, and says nothing about the broker.
                app.connection_for_read().get_transport_cls()
                self.asking = threading.Thread(target=self.connect, daemon=True)
                self.asking.start()
            self.asking.join(BROKER_SECONDS)
            self.asked_at = time.monotonic()
            return self.state

    def connect(self) -> None:
        try:
            with app.connection_for_read() as broker:
                broker.ensure_connection(max_retries=1, interval_start=0, timeout=int(BROKER_SECONDS))
                channel = broker.default_channel
                if isinstance(channel, virtual.Channel):
                    # Transports over a database connect only when asked for something.
                    with suppress(*broker.channel_errors):  # an answer, too: the worker has not made the queue yet
                        channel.queue_declare(queue=settings.CELERY_TASK_DEFAULT_QUEUE, passive=True)
            self.state = OK
        except Exception:  # noqa: BLE001 (every transport has its own errors, and all of them mean the same here)
            self.state = "does not answer"


broker_state = Broker().ask


# --- Pages for when something went wrong ------------------------------------------------------------------------------


def problem(request: HttpRequest, status: int, title: str, why: str, what: str, **more: object) -> HttpResponse:
    """A plain page, rendered without context processors: what broke may be what they ask. htmx gets the sentence."""
    if request.META.get("HTTP_HX_REQUEST") == "true":
        reason = f"{why} {what}"
        return HttpResponse(reason, status=status, content_type="text/plain", headers={"X-Reason": quote(reason)})
    context = {"title": title, "why": why, "what": what, "theme": theme_of(request), "status": status, **more}
    if status == 403 and WHO in request.META:
        # Whoever may not do this can be somebody else.
        context["csrf_token"] = get_token(request)
    return HttpResponse(render_to_string(f"{status}.html", context), status=status)


def theme_of(request: HttpRequest) -> str:
    theme = request.COOKIES.get("theme", "")
    return theme if theme in {"light", "dark"} else ""


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem(
        request,
        400,
        _("This request makes no sense here"),
        _("The address or what was sent with it could not be read. Nothing was changed."),
        _("If you typed the address of the server, check it; an admin lists the good ones in DASHBOARD_URL."),
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The sentence that the code gave with PermissionDenied, which names the role needed."""
    if isinstance(exception, NoRole):
        return problem(request, 403, _("No role yet"), str(exception), _("An admin must give you one."), no_role=True)
    return problem(
        request,
        403,
        _("Your role does not allow this"),
        str(exception) or _("Nothing was changed."),
        _("An admin can give you another role."),
    )


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    return problem(
        request,
        403,
        _("This form is too old"),
        _("You have signed in or out since the page was loaded, or cookies are blocked. Nothing was changed."),
        _("Go back, reload the page and send it again."),
    )


def dark(request: HttpRequest, wait: int, *, wall: bool) -> HttpResponse:
    """What a link shows that opens nothing, for whatever reason; 429 where its network guesses too often.

    That of a wall is a sentence that a screen can keep, and that asks again by itself.
    """
    if wall:
        theme = "light" if request.GET.get("theme") == "light" else "dark"
        page = render_to_string("wall/dark.html", {"theme": theme, "build": settings.BUILD})
    else:
        page = render_to_string("shared/dark.html", {"theme": theme_of(request)})
    headers = {"Retry-After": str(wait)} if wait else {}
    return HttpResponse(page, status=429 if wait else 404, headers=headers)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, NoShare):
        match = request.resolver_match
        return dark(request, exception.wait, wall=bool(match and match.url_name and match.url_name.startswith("wall")))
    if WHO not in request.META:
        # There was no view, so nobody has asked yet whose language this is.
        with suppress(DatabaseError):
            if request.user.is_authenticated:
                suit(request, request.user)
    return problem(
        request,
        404,
        _("No such page"),
        _("There is nothing at this address, or it belongs to a connection you cannot see."),
        _("The list has every batch that you may see, also those that the vendor no longer shows."),
    )


def broken(request: HttpRequest) -> HttpResponse:
    title = _("Something broke here")
    why = _("The server could not answer this request. What is stored was not harmed.")
    what = _("Try again in a moment. If it happens again, the server's log says why.")
    try:
        return problem(request, 500, title, why, what)
    except Exception:  # noqa: BLE001 (without its static files not even the plain page can be rendered)
        return HttpResponse(f"{title}. {why} {what}", status=500, content_type="text/plain")


def not_allowed(request: HttpRequest) -> HttpResponse:
    """Acts on an installation that only shows."""
    response = problem(
        request,
        405,
        _("This installation only shows"),
        _("It runs with DASHBOARD_READ_ONLY, so nothing can be changed from its pages."),
        _("An admin changes that in the server's settings."),
    )
    response["Allow"] = ""
    return response
