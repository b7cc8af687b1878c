"""What stands around every request. The order in settings.MIDDLEWARE, from the outside in:

1. TrustedProxies, before anything that looks at a host, a scheme or an address.
   Then Probes, before anything that refuses a host.
2. Django's security headers and CSP, then WhiteNoise: a static file passes nothing of ours and is not logged.
3. AccessLog, outside all that can refuse, so that refusals are in the log too.
4. Clocks, before sessions and users: an unchanged poll of a remembered session turns round here, at less than the
   cost of an empty page. Compression stands inside it: what turns round has no body. Django pads each answer by a
   random length and masks the CSRF token anew, so that its size tells nothing of what is in it.
5. Django's sessions, hosts, CSRF and users, then htmx's details.
6. LoginRequired, which needs the user and knows their language and zone, and Locale, which has set the browser's
   before that (every `process_request` runs before the first `process_view`).
7. Messages, framing, and axes innermost: it turns a failed sign-in into the page that says how long to wait.
"""

import logging
import threading
import time
import zoneinfo
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.signals import user_logged_out
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.shortcuts import resolve_url
from django.urls import Resolver404, resolve
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from dashboard.access import SEE
from dashboard.addresses import Address, address_in, client_address
from dashboard.insight.pulse import Pulse, pulse
from dashboard.models import Share, User
from dashboard.models.connection import Visible, visible_connections
from dashboard.sharing import Opened, door
from dashboard.sharing.door import OPENED

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

type View = Callable[..., HttpResponseBase]
type GetResponse = Callable[[HttpRequest], HttpResponseBase]
type Token = Callable[[Pulse], str]

# Who asks and which connections they may see, once that is known: kept where no client can write it and reading it
# loads nothing.
WHO, VISIBLE, PULSE = "dashboard.user_id", "dashboard.visible", "dashboard.pulse"
NOTHING: Visible = frozenset()
# What a proxy adds, and what anybody else may only claim.
FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
)
MOST_REMEMBERED = 10_000

log = logging.getLogger("dashboard.access")


# --- Behind a proxy ---------------------------------------------------------------------------------------------------


class TrustedProxies:
    """Believes X-Forwarded-For, -Proto and -Host from DASHBOARD_TRUSTED_PROXIES, and removes them from everybody else.

    Of several values the rightmost is taken: it is the one that our own proxy wrote. Of addresses it is the rightmost
    that is not a proxy of ours.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        meta = request.META
        said = {name: str(meta.pop(name, "")) for name in FORWARDED}
        if settings.TRUSTED_PROXIES and is_proxy(address_in(meta.get("REMOTE_ADDR", ""))):
            for hop in reversed(said["HTTP_X_FORWARDED_FOR"].split(",")):
                address = address_in(hop)
                if address is None:
                    break
                meta["REMOTE_ADDR"] = str(address)
                if not is_proxy(address):
                    break
            scheme = said["HTTP_X_FORWARDED_PROTO"].rpartition(",")[2].strip().lower()
            if scheme in {"http", "https"}:
                meta["wsgi.url_scheme"] = scheme
            if host := said["HTTP_X_FORWARDED_HOST"].rpartition(",")[2].strip():
                meta["HTTP_HOST"] = host  # checked against ALLOWED_HOSTS as any other
        return self.get_response(request)


class Probes:
    """Health checks are answered whatever the Host: a platform asks by the address of a container, which nobody knows
    beforehand, and a refusal would get a healthy process killed. They say no more than whether it is well."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in {"/healthz", "/readyz"}:
            request.META["HTTP_HOST"] = "localhost"  # always among ALLOWED_HOSTS
        return self.get_response(request)


def is_proxy(address: Address | None) -> bool:
    return address is not None and any(address in network for network in settings.TRUSTED_PROXIES)


# --- The access log ---------------------------------------------------------------------------------------------------


class AccessLog:
    """One line a request. It names the route that matched, never the path or the query: tokens stand in those."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        # What a container platform asks every few seconds is news only when it fails.
        if match is None or match.url_name not in {"healthz", "readyz"} or response.status_code >= 500:
            # Of five hundred screens that ask every five seconds nobody wants to read that nothing was new.
            log.log(
                logging.DEBUG if response.status_code == 204 else logging.INFO,
                "%s %s %d in %.0f ms%s",
                request.method,
                f"/{match.route}" if match else "(no such page)",
                response.status_code,
                (time.perf_counter() - began) * 1000,
                f" by user {request.META[WHO]}" if WHO in request.META else "",
            )
        return response


# --- Polls ------------------------------------------------------------------------------------------------------------


def polled_by(token: Token) -> Callable[[View], View]:
    """Marks a page that open browsers ask again and again with `?seen=TOKEN`; `token` says what it depends on."""

    def mark(view: View) -> View:
        view.polled = token  # type: ignore[attr-defined]
        return view

    return mark


# For pages that show nothing but what a connection's revision covers.
polled = polled_by(lambda pulse: pulse.token)


def viewer_of(request: HttpRequest) -> "User | AnonymousUser | Share":
    """By whose rights something is shown: the link's where one was opened, whoever is signed in besides."""
    opened: Opened | None = request.META.get(OPENED)
    return opened.share if opened else request.user


def pulse_of(request: HttpRequest) -> Pulse:
    """One pulse for all of a request, taken before anything else is read: what moves later is asked for again."""
    taken: Pulse | None = request.META.get(PULSE)
    if taken is None:
        taken = request.META[PULSE] = pulse().seen_by(request.META.get(VISIBLE, NOTHING))
    return taken


def is_poll(request: HttpRequest) -> bool:
    return request.method == "GET" and request.META.get("HTTP_HX_REQUEST") == "true" and "seen" in request.GET


def unchanged(request: HttpRequest, view: View, visible: Visible) -> HttpResponse | None:
    """204 for a poll by somebody who may see the page and whose page is up to date."""
    token: Token | None = getattr(view, "polled", None)
    if token is None or not is_poll(request) or request.GET["seen"] != token(pulse().seen_by(visible)):
        return None
    return HttpResponse(status=204)


class Known(NamedTuple):
    user_id: int | None  # None: signed out, and not to be remembered again
    visible: Visible
    until: float


_known: dict[str, Known] = {}
_lock = threading.Lock()


def remember(request: HttpRequest, user_id: int | None, visible: Visible = NOTHING) -> None:
    """Keep for REMEMBER_SECONDS, in this process, that this session's person was checked and may see the pages."""
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not session_key:
        return
    now = time.monotonic()
    with _lock:
        # A check that began before the sign-out and ends after it does not bring the session back.
        if user_id is not None and session_key in _known and _known[session_key].user_id is None:
            return
        if len(_known) >= MOST_REMEMBERED:
            for key in [key for key, known in _known.items() if known.until <= now] or list(_known):
                del _known[key]
        _known[session_key] = Known(user_id, visible, now + settings.REMEMBER_SECONDS)


def remembered(request: HttpRequest) -> Known | None:
    """The person whose session was checked in full a moment ago, else None. Asks no database."""
    known = _known.get(request.COOKIES.get(settings.SESSION_COOKIE_NAME, ""))
    return known if known and known.user_id and known.until > time.monotonic() else None


@receiver(user_logged_out)
def forget(request: HttpRequest, **_kwargs: Any) -> None:
    """Every way of signing out ends what is remembered, at once."""
    remember(request, None)


def forget_person(user_id: int) -> None:
    """What was remembered of somebody whose rights were changed here; other processes see it in REMEMBER_SECONDS."""
    with _lock:
        for key in [key for key, known in _known.items() if known.user_id == user_id]:
            del _known[key]


class Clocks:
    """Puts build, server time and last good syncs into every answer, and answers the poll that brings nothing new.

    The poll of a remembered session costs no session, no user and no right; a right that was taken away therefore acts
    within REMEMBER_SECONDS. Nothing here writes, so a poll never lengthens a session.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.turned_round(request) or self.get_response(request)
        response["X-Build"] = settings.BUILD
        response["X-Now"] = f"{time.time():.3f}"
        match = request.resolver_match
        if match and (getattr(match.func, "login_required", True) or hasattr(match.func, "by_token")):
            response["Cache-Control"] = "private, no-store"
            patch_vary_headers(response, ("HX-Request",))
            if hasattr(match.func, "by_token"):
                door.close(response, request.META.get(OPENED))
            # A page that says the database is gone must not ask the database.
            if VISIBLE in request.META and response.status_code < 500:
                response["X-Synced"] = pulse_of(request).clocks
        return response

    def turned_round(self, request: HttpRequest) -> HttpResponseBase | None:
        """The 204 of an unchanged poll, or None for everything that must go further in."""
        if not is_poll(request):
            return None
        try:
            match = resolve(request.path_info)
        except Resolver404:
            return None
        if hasattr(match.func, "by_token"):
            if (opened := door.opened_for(request, match.func, match.kwargs, client_address(request))) is None:
                return None
            response = unchanged(request, match.func, opened.visible)
            found: dict[str, Any] = {OPENED: opened, VISIBLE: opened.visible}
        else:
            if not (known := remembered(request)):
                return None
            response = unchanged(request, match.func, known.visible)
            found = {WHO: known.user_id, VISIBLE: known.visible}
        if response:
            # For the headers above and the log outside.
            request.resolver_match = match
            request.META.update(found)
        return response


# --- People -----------------------------------------------------------------------------------------------------------


class NoRole(PermissionDenied):
    """Signed in, and may see nothing: no page here is of any use to them."""


class LoginRequired(LoginRequiredMiddleware):
    """Every page but the exempt ones needs a login and a role. A poll that passes and brings nothing new ends here."""

    def process_view(self, request: HttpRequest, view: View, _args: Any, kwargs: Any) -> HttpResponseBase | None:
        if hasattr(view, "by_token"):
            opened = door.let_in(request, view, kwargs, client_address(request))
            if isinstance(opened, HttpResponseBase):
                return opened
            request.META[OPENED], request.META[VISIBLE] = opened, opened.visible
            return unchanged(request, view, opened.visible)
        if not getattr(view, "login_required", True):
            return None
        if not request.user.is_authenticated:
            return self.handle_no_permission(request, view)
        request.META[WHO] = request.user.pk
        suit(request, request.user)
        if not request.user.has_perm(SEE):
            raise NoRole(
                _("You are signed in as %(name)s, but you have no role here yet.")
                % {"name": request.user.get_username()}
            )
        visible = request.META[VISIBLE] = visible_connections(request.user)
        remember(request, request.user.pk, visible)
        return unchanged(request, view, visible)

    def handle_no_permission(self, request: HttpRequest, view: View) -> HttpResponseBase:  # type: ignore[override]
        login = resolve_url(self.get_login_url(view))
        if request.META.get("HTTP_HX_REQUEST") == "true":
            # A login page must never be swapped into a table.
            page = urlsplit(request.META.get("HTTP_HX_CURRENT_URL", ""))
            back = f"{page.path}?{page.query}" if page.query else page.path
            return HttpResponse(status=401, headers={"HX-Redirect": self.login_with(login, back)})
        if request.method in {"GET", "HEAD"}:
            return HttpResponse(status=302, headers={"Location": self.login_with(login, request.get_full_path())})
        # Back to the form, where the browser kept what was typed: the address itself may take posts alone.
        page = urlsplit(request.META.get("HTTP_REFERER", ""))
        back = page._replace(scheme="", netloc="", fragment="").geturl() if page.netloc == request.get_host() else ""
        return HttpResponse(status=302, headers={"Location": self.login_with(login, back)})

    def login_with(self, login: str, back: str) -> str:
        return f"{login}?{urlencode({self.redirect_field_name: back})}" if back.startswith("/") else login


@cache
def zones() -> frozenset[str]:
    """Every time zone this machine knows; reading them takes a while."""
    return frozenset(zoneinfo.available_timezones())


def suit(request: HttpRequest, user: User) -> None:
    """From here on in the language and zone of the profile, where one is chosen there.

    An open page says in which language it was written, so that what a poll brings is written in the same.
    """
    language = request.META.get("HTTP_X_LANGUAGE") or user.language
    if language in dict(settings.LANGUAGES):
        translation.activate(language)
        request.LANGUAGE_CODE = language
    if user.time_zone in zones():
        timezone.activate(user.time_zone)  # until Locale, which is around this, takes its own back


class Locale(LocaleMiddleware):
    """The browser's language, and the time zone that it named in the cookie `zone`, until it is known who asks."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        zone = unquote(request.COOKIES.get("zone", ""))
        # The list is asked before a file is opened by that name.
        with timezone.override(zone if zone and zone in zones() else settings.TIME_ZONE):
            return cast(HttpResponseBase, super().__call__(request))
