"""The door for links: which pages a token opens, and who gets through.

Nothing here is told apart from outside but a page that asks for a password: an unknown token, one that has expired or
was revoked and one of another kind are all `NoShare`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare, salted_hmac

from dashboard.models import Share
from dashboard.sharing import guessing, seen
from dashboard.sharing.opening import Opened, opened_by

type View = Callable[..., HttpResponseBase]

# Where the share by which a request came is kept, where no client can write it.
OPENED = "dashboard.share"
COOKIE = "batches_link"
YEAR = 365 * 24 * 3600  # walls are switched on once


class NoShare(Http404):
    """A token that opens nothing; why is not told. `wait` is how many seconds its network must not ask again, or 0."""

    def __init__(self, wait: int = 0) -> None:
        super().__init__()
        self.wait = wait


def by_token(*kinds: str, asks: bool = False) -> Callable[[View], View]:
    """Marks a page that nobody signs in for: the token in its address, `token`, opens a share of one of these kinds.

    The view finds it by `share_of`, and is not called without one. GET and HEAD alone pass: a link shows, and does
    nothing. `asks`: this is the page that asks for the link's password, and the one that takes a POST.
    """

    def mark(view: View) -> View:
        view.login_required = False  # type: ignore[attr-defined]
        view.by_token = kinds  # type: ignore[attr-defined]
        view.asks_password = asks  # type: ignore[attr-defined]
        return view

    return mark


def share_of(request: HttpRequest) -> Share:
    """The share by which this request came; whatever is read for it goes by `visible_to(share)` and its scope."""
    opened: Opened = request.META[OPENED]
    return opened.share


def opened_for(request: HttpRequest, view: View, arguments: Mapping[str, Any], address: str) -> Opened | None:
    """What the token in the address opens on this page for who asks; None for nothing, for whatever reason."""
    opened = opened_by(arguments["token"])
    if opened is None:
        guessing.note_wrong_token(arguments["token"], address)
        return None
    if opened.share.kind not in view.by_token or not guessing.is_let_in(opened.share, address):  # type: ignore[attr-defined]
        return None
    if opened.share.password and not view.asks_password and not knows_password(request, opened.share):  # type: ignore[attr-defined]
        return None
    seen.note(opened.share.pk, address, is_view=False)
    return opened


def let_in(request: HttpRequest, view: View, arguments: Mapping[str, Any], address: str) -> Opened | HttpResponseBase:
    """What a page by token shows, or the answer instead: a refused method, or the way to the password.

    Raises NoShare.
    """
    asks: bool = view.asks_password  # type: ignore[attr-defined]
    if request.method not in {"GET", "HEAD", *({"POST"} if asks else ())}:
        return HttpResponseNotAllowed(["GET", "HEAD", *(["POST"] if asks else [])])
    if opened := opened_for(request, view, arguments, address):
        if request.method == "GET" and not asks and request.META.get("HTTP_HX_REQUEST") != "true":
            seen.note(opened.share.pk, address, is_view=True)
        return opened
    if request.META.get("HTTP_HX_REQUEST") != "true" and (locked := opened_by(arguments["token"])):
        kinds: tuple[str, ...] = view.by_token  # type: ignore[attr-defined]
        if locked.share.kind in kinds and locked.share.password and guessing.is_let_in(locked.share, address):
            return HttpResponseRedirect(with_query(request, f"{address_of(request, arguments['token'])}password/"))
    raise NoShare(guessing.seconds_to_wait(address))


def address_of(request: HttpRequest, token: str) -> str:
    """The path of the link itself, whichever of its pages was asked for."""
    before, _token, _after = request.path.partition(token)
    return f"{before}{token}/"


def with_query(request: HttpRequest, path: str) -> str:
    """The theme and the rotation of a wall stand behind its path, and outlive the question for its password."""
    query = request.META.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


# --- Passwords --------------------------------------------------------------------------------------------------------


def knows_password(request: HttpRequest, share: Share) -> bool:
    return constant_time_compare(request.COOKIES.get(COOKIE, ""), pass_of(share))


def pass_of(share: Share) -> str:
    """What the browser keeps that knew the password. Another password or another token ends it."""
    value = f"{share.pk}.{share.token_hash}.{share.password}"
    return salted_hmac("dashboard.sharing", value, algorithm="sha256").hexdigest()


def let_pass(response: HttpResponseBase, share: Share, path: str) -> None:
    """Below this path the password is not asked for again."""
    response.set_cookie(
        COOKIE, pass_of(share), max_age=YEAR, path=path, secure=settings.HTTPS, httponly=True, samesite="Lax"
    )


# --- What every answer by token says ----------------------------------------------------------------------------------


def close(response: HttpResponseBase, opened: Opened | None) -> None:
    """No search engine, no Referer and no frame learns of a link; a wall may be framed where both settings say so."""
    response["X-Robots-Tag"] = "noindex"
    response["Referrer-Policy"] = "no-referrer"
    if opened and opened.share.kind == Share.Kind.WALL and opened.share.frames and settings.FRAME_ANCESTORS:
        response._csp_config = settings.SECURE_CSP | {"frame-ancestors": settings.FRAME_ANCESTORS}  # type: ignore[attr-defined]
        del response["X-Frame-Options"]
    else:
        response["X-Frame-Options"] = "DENY"
