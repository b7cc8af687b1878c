"""Boards for screens that nobody touches: for who is signed in, and by a link.

A board is drawn and compressed once for all screens that show it; see `drawn_once`.
"""

import gzip
import threading
import time
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from dashboard.insight.board import EIGHT, FIVE, ROWS, Board, Scope, board_of
from dashboard.insight.outcome import count
from dashboard.insight.privacy import masked
from dashboard.insight.pulse import Pulse
from dashboard.insight.search_conditions import condition_of
from dashboard.insight.series import HOUR
from dashboard.insight.squares import MOST_SQUARES, SHAPES, bars, kind_of, squares
from dashboard.middleware import polled_by, pulse_of, zones
from dashboard.models import SavedView
from dashboard.models.batch import Outcome
from dashboard.sharing import by_token, share_of
from dashboard.templatetags.wall import need_state
from dashboard.views.batch_list import Asked
from dashboard.views.batches import is_htmx
from dashboard.views.overview import LAYERS, OTHERS, of

LOOKS = ("theme", "rotate", "shift", "zone", "language")
THEMES = ("dark", "light")
ROTATE = (10, 3600)  # seconds
MOST_BOARDS = 12
TITLE = "\ue000"  # where a board's name stands until it is sent; private, and nobody's
OLD = 15  # seconds after which a board is too old to be shown while the next is drawn
MOST_DRAWN = 200  # kept at once: some 30 kB each
BARS = 8  # connections, where there are too many batches for squares
KINDS: dict[str, Any] = {
    "run": translation.gettext_lazy("in progress"),
    "validating": translation.gettext_lazy("validating"),
    "finalizing": translation.gettext_lazy("finalizing"),
    "risk": translation.gettext_lazy("at risk"),
    "failed": translation.gettext_lazy("failing"),
    "stalled": translation.gettext_lazy("stalled"),
    "cancelling": translation.gettext_lazy("cancelling"),
    "stale": translation.gettext_lazy("not up to date"),
    "unknown": translation.gettext_lazy("unknown"),
}


def token_of(taken: Pulse) -> str:
    """A board also changes by the clock: what is stalled, late or a day old. Once a minute is often enough."""
    return f"{taken.token}-m{int(time.time()) // 60}"


@polled_by(token_of)
@require_safe
def wall(request: HttpRequest) -> HttpResponse:
    taken = pulse_of(request)
    return shown(request, taken, boards_of(request, taken))


@by_token("wall")
@polled_by(token_of)
@require_safe
def wall_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """The scope is the share's alone: the address may choose looks, and nothing of what is seen."""
    share, taken = share_of(request), pulse_of(request)
    board = Shown(masked(share.name), share.query, scope_of(QueryDict(share.query), taken))
    response = shown(request, taken, turns_of(board, taken) if rotation_of(request.GET) else [board], by_link=True)
    response["Referrer-Policy"] = "no-referrer"
    return response


# --- Which batches ----------------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """One board: what it is called, the address of a list that it shows, and what that finds now."""

    title: str
    source: str
    scope: Scope


def scope_of(query: QueryDict, taken: Pulse) -> Scope:
    """What a query string of the list asks for. What is not understood finds nothing: left out it would find more."""
    asked = Asked.of(query, taken.names)
    if asked.notes:
        return Scope(frozenset(taken.names), Q(pk__in=[]), is_searched=True)
    connections = frozenset(taken.names) if asked.connection is None else frozenset({asked.connection})
    condition = condition_of(asked.query) if asked.query else Q()
    if asked.outcomes:
        condition &= Q(outcome__in=asked.outcomes)
    has_ended = not asked.outcomes or set(asked.outcomes) != {Outcome.OPEN}
    return Scope(connections, condition, is_searched=bool(asked.query), has_ended=has_ended)


def boards_of(request: HttpRequest, taken: Pulse) -> list[Shown]:
    """Of `view=7` and `connection=2`, each as often as liked, in this order; else of a filter, else of everything.

    Of several the first is everything that they show together, and comes back after each: what needs attention on
    any of them stands on every second one.
    """
    views, connections = request.GET.getlist("view"), request.GET.getlist("connection")
    found = [view_shown(request, taken, text) for text in views]
    if views or len(connections) > 1:
        found += [connection_shown(taken, text) for text in connections]
    else:
        asked = QueryDict(urlencode({name: request.GET.get(name, "") for name in ("q", "status", "connection")}))
        found.append(filter_shown(taken, asked))
    found = found[:MOST_BOARDS]
    if len(found) == 1:
        return found
    source = " + ".join(board.source for board in found)
    together = Shown(_("All boards"), source, together_of([board.scope for board in found]))
    return [each for board in found for each in (together, board)]


def turns_of(board: Shown, taken: Pulse) -> list[Shown]:
    """What a link shows in turn where that is asked for: all of it, and between that each of its connections."""
    scope = board.scope
    if len(scope.connections) < 2:
        return [board]
    parts = [
        Shown(
            f"{board.title} · {masked(taken.names[connection])}",
            f"{board.source} / {connection}",
            replace(scope, connections=frozenset({connection})),
        )
        for connection in sorted(scope.connections)[:MOST_BOARDS]
    ]
    return [each for part in parts for each in (board, part)]


def view_shown(request: HttpRequest, taken: Pulse, text: str) -> Shown:
    number = int(text) if text.isdecimal() and len(text) < 19 else 0
    view = SavedView.objects.visible_to(request.user).filter(pk=number).first()
    if view is None:
        return Shown(_("no such view"), "-", Scope(frozenset(taken.names), Q(pk__in=[]), is_searched=True))
    return Shown(masked(view.name), view.query, scope_of(QueryDict(view.query), taken))


def connection_shown(taken: Pulse, text: str) -> Shown:
    return filter_shown(taken, QueryDict(urlencode({"connection": text})))


def filter_shown(taken: Pulse, asked: QueryDict) -> Shown:
    return Shown(title_of(asked, taken), asked.urlencode(), scope_of(asked, taken))


def title_of(asked: QueryDict, taken: Pulse) -> str:
    said = [asked.get("q", ""), asked.get("status", "")]
    connection = asked.get("connection", "")
    if connection.isdecimal() and len(connection) < 19:
        said.append(taken.names.get(int(connection), ""))
    return masked(" · ".join(filter(None, said))) or _("All batches")


def together_of(scopes: list[Scope]) -> Scope:
    connections = frozenset[int]().union(*(scope.connections for scope in scopes))
    if all(scope.is_whole for scope in scopes):
        return Scope(connections)
    either = Q()
    for scope in scopes:
        either |= Q(scope.condition, connection__in=scope.connections)
    return Scope(connections, either, is_searched=True, has_ended=any(scope.has_ended for scope in scopes))


# --- How it looks -----------------------------------------------------------------------------------------------------


def theme_of(query: QueryDict) -> str:
    return query.get("theme", "") if query.get("theme") in THEMES else THEMES[0]


def rotation_of(query: QueryDict) -> int:
    """Seconds between two boards; 0 unless asked for."""
    text = query.get("rotate", "")
    return max(ROTATE[0], min(ROTATE[1], int(text))) if text.isdecimal() and 0 < len(text) < 6 else 0


@contextmanager
def suited(query: QueryDict) -> Iterator[None]:
    """In the language and the zone of the address, where it names one."""
    language = query.get("language", "")
    zone = query.get("zone", "")
    with (
        translation.override(language if language in dict(settings.LANGUAGES) else translation.get_language()),
        timezone.override(zone if zone in zones() else timezone.get_current_timezone()),
    ):
        yield


def shown(request: HttpRequest, taken: Pulse, boards: list[Shown], *, by_link: bool = False) -> HttpResponse:
    query = request.GET
    slide = query.get("slide", "")
    place = int(slide) % len(boards) if slide.isdecimal() and len(slide) < 10 else 0
    with suited(query):
        zone = timezone.get_current_timezone_name()
        board = boards[place]
        # Who may see the same connections and asks for the same sees the same: no board knows who looks at it.
        key = (frozenset(taken.names), board.source, translation.get_language(), zone)
        drawn = drawn_once(key, taken, board)
        if is_htmx(request):
            return sent(request, drawn, board.title)
        named = query.get("zone") in zones() or bool(getattr(request.user, "time_zone", ""))
        context = {
            "board": SafeString(titled(drawn, board.title)),  # safe: drawn by a template
            "title": board.title,
            "theme": theme_of(query),
            "build": settings.BUILD,
            "now": time.time(),
            "clocks": taken.clocks,
            "slides": len(boards) if rotation_of(query) and len(boards) > 1 else 1,
            "rotate": rotation_of(query),
            "shift": query.get("shift") != "off",
            "follows_zone": not named,
            "by_link": by_link,
        }
        return HttpResponse(render_to_string("wall/wall.html", context))


# --- Drawn once -------------------------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """A board as it goes out, but for what it is called: walls of one scope may have many names."""

    token: str
    text: str
    until: float  # by the monotonic clock; before that no newer one is drawn


_drawn: dict[tuple[object, ...], Drawn] = {}
_lock = threading.Lock()


def drawn_once(key: tuple[object, ...], taken: Pulse, board: Shown) -> Drawn:
    """What all screens with this board get. While a sync writes every moment has another token, and hundreds of screens
    ask: a board is drawn at most once in BOARD_SECONDS, by one of them, and nobody waits who can have the last one."""
    token, now = token_of(taken), time.monotonic()
    known = _drawn.get(key)
    if known and (known.token == token or now < known.until):
        return known
    # One that nobody has asked for lately is not handed out, so whoever asks now waits for its successor.
    if known is None or now > known.until + OLD:
        _lock.acquire()
    elif not _lock.acquire(blocking=False):
        return known
    try:
        again = _drawn.get(key)
        if again and (again.token == token or again is not known):
            return again
        if len(_drawn) >= MOST_DRAWN:
            _drawn.clear()
        text = rendered(taken, board, token)
        drawn = _drawn[key] = Drawn(token, text, time.monotonic() + settings.BOARD_SECONDS)
        return drawn
    finally:
        _lock.release()


@lru_cache(maxsize=MOST_DRAWN)
def packed(text: str) -> bytes:
    """Compressed once for all screens with the same name."""
    return gzip.compress(text.encode(), 6, mtime=0)


def sent(request: HttpRequest, drawn: Drawn, title: str) -> HttpResponse:
    if request.GET.get("seen") == drawn.token:
        return HttpResponse(status=204)
    text = titled(drawn, title)
    if "gzip" not in request.META.get("HTTP_ACCEPT_ENCODING", ""):
        response = HttpResponse(text)
    else:
        response = HttpResponse(packed(text), headers={"Content-Encoding": "gzip"})
    patch_vary_headers(response, ("Accept-Encoding",))
    return response


def titled(drawn: Drawn, title: str) -> str:
    return drawn.text.replace(TITLE, escape(title))


def rendered(taken: Pulse, shown: Shown, token: str) -> str:
    board = board_of(taken, shown.scope, timezone.now())
    return render_to_string(
        "wall/_board.html", context_of(board) | {"title": TITLE, "token": token, "has_ended": shown.scope.has_ended}
    )


def context_of(board: Board) -> dict[str, Any]:
    context: dict[str, Any] = {
        "board": board,
        "day": last_day(board),
        "worst": worst_state(board),
        "synced": min((beat.synced_at for beat in board.beats if beat.synced_at), default=None),
        "local": timezone.localtime(board.now),
    }
    match board.load:
        case "clear":
            context |= {"hours": hours_of(board), "since": begin_of(board), "middle": begin_of(board, 12)}
        case "one":
            line = board.lines[0]
            others = [need for need in board.needs if not (need.batch and need.batch.pk == line.batch.pk)]
            more = board.needed - bool(line.need) - len(others[:FIVE])
            context |= {"line": line, "others": others[:FIVE], "more": more, "facts": facts_of(board)}
        case "rows":
            per_column = max(1, (min(ROWS, board.running + board.needed) + 1) // 2)
            context |= {"per_column": per_column, "few": board.running + board.needed <= 7}
        case "many":
            context |= many_of(board)
    return context


def facts_of(board: Board) -> dict[str, Any]:
    batch = board.lines[0].batch
    began = batch.in_progress_at or batch.created_at
    done = (batch.completed or 0) + (batch.failed or 0)
    progress = board.lines[0].progress
    return {
        "running_for": max(timedelta(), board.now - began) if began else None,
        "left_of_window": batch.expires_at - board.now if batch.expires_at and batch.expires_at > board.now else None,
        "left": max(0, batch.requests_total - done) if batch.requests_total else None,
        "rate": progress.rates[1] if progress and progress.rates else None,
    }


def many_of(board: Board) -> dict[str, Any]:
    needs = board.needs[:EIGHT]
    context: dict[str, Any] = {"needs": needs, "more": board.needed - len(needs)}
    if len(board.lines) <= MOST_SQUARES:
        drawn = context["squares"] = squares(board.lines)
        counts = drawn.counts
    else:
        names = {beat.connection_id: masked(beat.name) for beat in board.beats}
        context["bars"] = [(names.get(bar.connection_id, _("removed")), bar) for bar in bars(board.lines, BARS)]
        counts = Tally(kind_of(line) for line in board.lines)
    context["legend"] = [(kind, KINDS[kind], count(counts[kind])) for kind in SHAPES if counts[kind]]
    return context


def worst_state(board: Board) -> str:
    """What colour the one number has."""
    return need_state(board.needs[0]) if board.needs else ""


def last_day(board: Board) -> list[tuple[str, Any, int]]:
    """State, words and number of what ended within 24 hours; the first three are always said."""
    states = {"ok": "succeeded", "part": "partial", "fail": "failed"}
    said = [(states.get(key, key), name, of(board.day.ended, outcomes)) for key, name, outcomes, _term in LAYERS]
    said.append(("unknown", _("other"), of(board.day.ended, OTHERS)))
    return [one for i, one in enumerate(said) if i < 3 or one[2]]


def begin_of(board: Board, hours: int = 0) -> datetime:
    until = int(board.now.timestamp())
    return datetime.fromtimestamp(until - until % HOUR - (23 - hours) * HOUR, UTC)


def hours_of(board: Board) -> list[tuple[int, int, int, int]]:
    begin = int(begin_of(board).timestamp())
    found = []
    for i in range(24):
        ended = board.day.hours.get(begin + i * HOUR)
        if ended is None:
            found.append((0, 0, 0, 0))
            continue
        shares = [of(ended, outcomes) for _key, _name, outcomes, _term in LAYERS[:3]]
        found.append((shares[0], shares[1], shares[2], ended.total() - sum(shares)))
    return found
