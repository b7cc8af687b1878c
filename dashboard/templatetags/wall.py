"""What a wall says and draws: few words, clock times, and shapes whose sizes are per cent of their boxes."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape
from math import floor
from typing import Any

from django import template
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.insight.board import AT_RISK, Board, Line, Need
from dashboard.insight.concern_words import STATES, in_short
from dashboard.insight.outcome import amid, count, in_words, state_of
from dashboard.insight.privacy import masked
from dashboard.insight.pulse import Beat
from dashboard.insight.squares import SHAPES, Bar, Squares
from dashboard.models import Batch, Connection, Reason
from dashboard.models.batch import Status
from dashboard.models.search import ID_TAIL
from dashboard.templatetags.batches import COLOURS, icon, mid, now_of, parts, percent
from dashboard.templatetags.times import duration, words_of

register = template.Library()

Health = Connection.Health
MILLION = 1_000_000
DAY, WEEK = timedelta(hours=24), timedelta(days=6)


# --- Words ------------------------------------------------------------------------------------------------------------


def called(batch: Batch) -> str:
    """Its name, as anybody may read it; of a batch without one the end of its id."""
    return masked(batch.name) or masked(batch.remote_id[-ID_TAIL:])


@register.filter
def wall_name(batch: Batch) -> SafeString:
    return mid(called(batch))


@register.filter
def compact(value: int) -> str:
    """3,410,000 as 3.41 m: across a room nobody reads seven digits."""
    if value < MILLION:
        return count(value)
    return _("%(number)s m") % {"number": number_format(round(value / MILLION, 2), force_grouping=True)}


@register.filter
def wall_clock(at: datetime | None) -> str:
    """14:05; with the day of what is a day or more away. Text alone: nobody points at a wall."""
    return at_words(at) if at else "–"


def at_words(at: datetime, *, short: bool = False) -> str:
    """Within a day the time of the clock says it all; `short` has room for no more than that, or for a day."""
    local, apart = timezone.localtime(at), abs(at - timezone.now())
    if apart < DAY:
        return f"{local:%H:%M}"
    day = date_format(local, "D" if apart < WEEK else _("j M"))
    return day if short else f"{day} {local:%H:%M}"


@register.filter
def words_masked(text: str) -> str:
    return masked(str(text))


def share_done(batch: Batch) -> int | None:
    """Per cent of its requests that completed, in whole ones; None where the total is not known."""
    if not batch.requests_total:
        return None
    return min(100, floor(100 * (batch.completed or 0) / batch.requests_total))


# What a reason is called in a row. A few words: the name beside it says the rest.
SHORT: dict[Reason, Callable[[Need], str]] = {
    Reason.FAILED_VALIDATION: lambda _need: _("failed validation"),
    Reason.ALL_FAILED: lambda _need: _("all failed"),
    Reason.HIGH_FAILED_SHARE: lambda need: in_short(need.reason, need.evidence, at_words),
    Reason.EXPIRED: lambda _need: _("expired"),
    Reason.STALLED: lambda need: _("stalled %(time)s") % {"time": minutes(timezone.now() - need.since)},
    Reason.WINDOW_NEARLY_OVER: lambda _need: _("window nearly over"),
    Reason.OVERDUE: lambda _need: _("overdue"),
    Reason.CANCEL_STUCK: lambda _need: _("cancel stuck"),
    Reason.COUNTS_DIFFER: lambda _need: _("counts do not add up"),
    Reason.UNSEEN: lambda _need: _("no longer visible"),
    Reason.CONNECTION_FAILING: lambda _need: _("not answering"),
    Reason.SYNC_STALE: lambda _need: _("not synced"),
}


def minutes(past: timedelta) -> str:
    """61 min, and from three hours on hours alone."""
    whole = max(0, floor(past.total_seconds() / 60))
    return _("%(count)s min") % {"count": whole} if whole < 180 else duration(timedelta(hours=whole // 60))


def need_words(need: Need) -> str:
    if need.reason == AT_RISK:
        return _("at risk")
    return SHORT[Reason(need.reason)](need)


def need_state(need: Need) -> str:
    """As on the desk; but what runs and fails is not partial, which is how something ends."""
    if need.reason == Reason.HIGH_FAILED_SHARE and need.evidence.get("runs"):
        return "failed"
    return "risk" if need.reason == AT_RISK else STATES[Reason(need.reason)]


def need_icon(need: Need) -> str:
    return icon(f"st-{need_state(need)}")


@register.filter
def long_words(need: Need) -> str:
    """With room for a line of its own."""
    batch = need.batch
    if need.reason in (AT_RISK, Reason.WINDOW_NEARLY_OVER, Reason.OVERDUE) and batch and batch.expires_at:
        return _("%(why)s, deadline %(time)s") % {"why": need_words(need), "time": at_words(batch.expires_at)}
    if need.reason in (Reason.HIGH_FAILED_SHARE, Reason.ALL_FAILED) and (failed := need.evidence.get("failed")):
        words = ngettext("%(why)s, %(failed)s request", "%(why)s, %(failed)s requests", failed)
        return words % {"why": need_words(need), "failed": count(failed)}
    if need.reason == Reason.STALLED:
        return _("no change for %(time)s") % {"time": duration(timezone.now() - need.since)}
    if need.reason in (Reason.CONNECTION_FAILING, Reason.SYNC_STALE):
        return _("%(why)s since %(time)s") % {"why": need_words(need), "time": at_words(need.since)}
    return in_short(need.reason, need.evidence, at_words)


@register.simple_tag
def ended_words(batch: Batch) -> str:
    return masked(amid(in_words(batch)))


# --- The head ---------------------------------------------------------------------------------------------------------


@register.simple_tag
def said(board: Board, *, past: bool = False) -> SafeString:
    """The one sentence, whose numbers add up with the board; `past` is how it reads once nobody answers any more."""
    at, calm = {"time": wall_clock(board.now)}, {"count": count(board.running)}
    if board.load == "clear":
        words = _("At %(time)s nothing was running") if past else _("All clear at %(time)s")
        if not past and board.stale:
            words = _("Nothing is known to run")
        return SafeString(escape(words % at))  # safe: escaped here
    if board.load in ("nothing", "importing", "unmatched"):
        return SafeString(escape(_("At %(time)s") % at if past else wall_zone_said(board)))  # safe: escaped here
    if past:
        head = ngettext("needed attention", "needed attention", board.needed) if board.needed else ""
        rest = _("%(count)s more were running") if board.needed else _("were running")
        pieces = [head and f"<b>{escape(head)}</b>", escape(_("at %(time)s") % at)]
        if board.running or not board.needed:
            return SafeString(" ".join(filter(None, pieces)) + escape(f", {rest % calm}"))  # safe: escaped here
        return SafeString(" ".join(filter(None, pieces)))  # safe: escaped here
    forecast = ", ".join(forecast_words(board))
    if not board.needed:
        return SafeString(  # safe: escaped here
            f"<b>{escape(_('running'))}</b>" + escape(f": {forecast}" if forecast else "")
        )
    head = ngettext("needs attention", "need attention", board.needed)
    if not board.running:
        more = _("nothing else is running")
    else:
        more = _("%(count)s more running") % calm + (f": {forecast}" if forecast else "")
    return SafeString(f"<b>{escape(head)}</b>{escape(f', {more}')}")  # safe: escaped here


def wall_zone_said(board: Board) -> str:
    return _("Watching since the first sync") if board.load == "importing" else _("Nothing to show")


def forecast_words(board: Board) -> list[str]:
    forecast, told = board.forecast, []
    if forecast.by:
        words = ngettext("%(count)s done by %(time)s", "%(count)s done by %(time)s", forecast.number)
        told.append(words % {"count": count(forecast.number), "time": at_words(forecast.by)})
    if told and forecast.unknown:
        words = ngettext("%(count)s without an estimate", "%(count)s without an estimate", forecast.unknown)
        told.append(words % {"count": count(forecast.unknown)})
    if not told and forecast.deadline:
        told.append(_("latest deadline %(time)s") % {"time": at_words(forecast.deadline)})
    return told


@register.simple_tag
def one_said(board: Board) -> str:
    """The sentence over the one batch that runs."""
    line = board.lines[0]
    known = line.progress
    said = [_("1 running")]
    if line.as_of:
        said.append(_("as of %(time)s") % {"time": at_words(line.as_of)})
    elif line.need and line.need.reason:
        said.append(need_words(line.need))
    elif known and known.likely and known.deadline:
        said.append(_("on time"))
    if known and known.likely:
        said.append(_("done by about %(time)s") % {"time": at_words(known.likely)})
    elif line.batch.expires_at:
        said.append(_("deadline %(time)s") % {"time": at_words(line.batch.expires_at)})
    if others := board.needed - bool(line.need):
        words = ngettext("%(count)s other needs attention", "%(count)s others need attention", others)
        said.append(words % {"count": count(others)})
    return ", ".join(said)


@register.simple_tag
def one_was(board: Board) -> str:
    return _("1 was running at %(time)s") % {"time": wall_clock(board.now)}


@register.simple_tag
def zone_name(now: datetime) -> str:
    """CET; of a zone that has only a number the place it is named after."""
    local = timezone.localtime(now)
    short = local.tzname() or ""
    return short if short.isalpha() else timezone.get_current_timezone_name().rpartition("/")[2].replace("_", " ")


SIGNS = 3


@register.simple_tag
def beats(board: Board) -> SafeString:
    """How fresh each connection is, the oldest first; of more than fit their number and the oldest of them."""
    worst = sorted(board.beats, key=lambda beat: (beat.health not in (Health.LOST, Health.STALE), beat.name))
    shown = worst if len(worst) <= SIGNS + 1 else worst[:SIGNS]
    drawn = [beat_drawn(beat, board.now) for beat in shown]
    if left := worst[len(shown) :]:
        words = ngettext("+ %(count)s more", "+ %(count)s more", len(left)) % {"count": count(len(left))}
        oldest = min((beat.synced_at for beat in left if beat.synced_at), default=None)
        drawn.append(aged(words, oldest, board.now))
    return SafeString("".join(drawn))  # safe: escaped in both


def beat_drawn(beat: Beat, now: datetime) -> str:
    name = f"<bdi>{escape(masked(beat.name))}</bdi>"
    if beat.health in (Health.LOST, Health.STALE):
        words = _("as of %(time)s") % {"time": at_words(beat.synced_at)} if beat.synced_at else _("never synced")
        return f'<span data-state="stale">{icon("st-stale")}{name} {escape(words)}</span>'
    if beat.health == Health.PAUSED:
        return f"<span>{name} {escape(_('paused'))}</span>"
    if beat.synced_at is None:
        return f"<span>{name} {escape(_('not synced yet'))}</span>"
    return aged(f"{name}", beat.synced_at, now, beat.connection_id)


def aged(words: str, at: datetime | None, now: datetime, connection: int = 0) -> str:
    """wall.js goes on ageing it, and hears of later syncs of a connection."""
    if at is None:
        return f"<span>{words}</span>"
    mark = f' data-connection="{connection}"' if connection else ""
    age = escape(duration(max(timedelta(), now - at)))
    return f'<span>{words} <i data-at="{int(at.timestamp())}"{mark}>{age}</i></span>'


# --- Rows -------------------------------------------------------------------------------------------------------------


@register.simple_tag
def rows_of_wall(board: Board) -> SafeString:
    """What needs attention first: also what has ended, and connections; then what runs, the nearest deadline first."""
    drawn = [need_row(need, board) for need in board.needs]
    drawn += [line_row(line, None) for line in board.lines if line.need is None]
    return SafeString("".join(drawn))  # safe: escaped in both


def need_row(need: Need, board: Board) -> str:
    line = next((line for line in board.lines if need.batch and line.batch.pk == need.batch.pk), None)
    if line:
        return line_row(line, need)
    state, why = need_state(need), escape(need_words(need))
    if need.batch is None:
        name = next((beat.name for beat in board.beats if beat.connection_id == need.connection_id), "")
        drawn, by, bar = (
            mid(masked(name)),
            at_words(need.since, short=True),
            '<svg class="bar" aria-hidden="true"></svg>',
        )
        share = ""
    else:
        ended = need.batch.finished_at
        drawn, by, bar = wall_name(need.batch), at_words(ended, short=True) if ended else "–", wall_bar(need.batch)
        share = percent_words(need.batch)
    return (
        f'<li class="wrow" data-state="{state}">{icon(f"st-{state}")}<span class="nm mid">{drawn}</span>'
        f'<span class="why">{why}</span><span class="pc">{share}</span><span class="by">{escape(by)}</span>{bar}</li>'
    )


def line_row(line: Line, need: Need | None) -> str:
    batch = line.batch
    state, why, why_state = state_of(batch), "", ""
    if need:
        state, why = need_state(need), need_words(need)
    elif line.as_of:
        state, why = "stale", _("as of %(time)s") % {"time": at_words(line.as_of)}
    elif batch.failed:
        why, why_state = ngettext("%(count)s failed", "%(count)s failed", batch.failed), "failed"
        why %= {"count": count(batch.failed)}
    elif batch.status == Status.IN_PROGRESS:
        why, why_state = (_("running"), "calm") if batch.completed else (_("no progress yet"), "")
    else:
        why = masked(amid(in_words(batch)))
    stale = " is-stale" if line.is_stale else ""
    mark = f' data-state="{why_state}"' if why_state else ""
    return (
        f'<li class="wrow{stale}" data-state="{COLOURS.get(state, state)}">{icon(f"st-{state}")}'
        f'<span class="nm mid">{wall_name(batch)}</span><span class="why"{mark}>{escape(why)}</span>'
        f'<span class="pc">{percent_words(batch)}</span><span class="by">{escape(by_words(line))}</span>'
        f"{wall_bar(batch, late=line.is_late, stale=line.is_stale)}</li>"
    )


def percent_words(batch: Batch) -> str:
    share = share_done(batch)
    return "–" if share is None else f"{share} %"


def by_words(line: Line) -> str:
    """≈ 15:20 is an estimate; without one the deadline stands in its place, and says so."""
    if line.progress and line.progress.likely and not line.is_stale:
        return f"≈ {at_words(line.progress.likely, short=True)}"
    expires = line.batch.expires_at
    return _("till %(time)s") % {"time": at_words(expires, short=True)} if expires else "–"


# --- Drawings ---------------------------------------------------------------------------------------------------------


@register.simple_tag
def wall_bar(batch: Batch, *, late: bool = False, stale: bool = False, label: str = "") -> SafeString:
    """The request bar of templatetags.batches, in per cent of its box."""
    live = batch.is_open
    css = "bar" + " bar--live" * live + " bar--late" * late + " bar--stale" * stale
    access = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    box = 'y="36%" height="28%"'
    out = [f'<svg class="{css}" {access}>']
    if not batch.requests_total:
        out.append(f'<rect class="lost" width="100%" {box} rx="2"/>')
    else:
        out.append(f'<rect class="rest" width="100%" {box} rx="2"/>')
        lost = batch.unaccounted or 0
        d, f, m = parts(batch.requests_total, batch.completed or 0, batch.failed or 0, lost, live=live)
        if d:
            out.append(f'<rect class="done" width="{percent(d)}" {box} rx="2"/>')
        if f:
            x, width = percent(d + 0.25 if d else 0), percent(max(f - 0.25, 1.1))
            out.append(
                f'<rect class="halo" x="{percent(d)}" width="{percent(f)}" {box}/>'
                f'<rect class="fail" x="{x}" width="{width}" y="8%" height="84%" rx="1"/>'
            )
        if m:
            out.append(f'<rect class="lost" x="{percent(d + f + 0.3)}" width="{percent(m - 0.3)}" {box}/>')
    if live and (now := now_of(batch)) is not None:
        at = min(99.6, max(0.0, 100 * now - 0.2))
        out.append(
            f'<rect class="halo" x="{percent(max(0.0, at - 0.35))}" width="1.1%" {box}/>'
            f'<rect class="now" x="{percent(at)}" width=".4%" y="0" height="100%"/>'
        )
    out.append("</svg>")
    return SafeString("".join(out))  # safe: numbers, and a label that is escaped above


@register.simple_tag
def squares_drawn(drawn: Squares, label: str) -> SafeString:
    paths = "".join(f'<path class="{kind}" d="{path}"/>' for kind, path in drawn.paths.items())
    return SafeString(  # safe: numbers and kinds of ours, and a label that is escaped
        f'<svg class="squares" viewBox="0 0 {drawn.width} {drawn.height}" preserveAspectRatio="xMinYMin meet"'
        f' role="img" aria-label="{escape(label)}">{paths}</svg>'
    )


@register.simple_tag
def kind_drawn(kind: str) -> SafeString:
    path = f"M0 0{SHAPES[kind]}"
    if kind == "run":
        inner = '<path class="rest" d="M5 1v4"/><path class="run" d="M5 9v-4"/>'
    else:
        # Of a second stroke the place is absolute.
        inner = f'<path class="{kind}" d="{path}"/>'
    return SafeString(f'<svg class="squares" viewBox="0 0 10 10" aria-hidden="true">{inner}</svg>')  # safe: of ours


@register.simple_tag
def bar_drawn(bar: Bar) -> SafeString:
    pieces = "".join(
        f'<rect class="{kind}" x="{percent(x)}" width="{percent(max(0.4, width - 0.3))}" height="100%"/>'
        for kind, x, width in bar.pieces
    )
    return SafeString(f'<svg class="stack" aria-hidden="true">{pieces}</svg>')  # safe: numbers and kinds of ours


@register.simple_tag
def course_drawn(board: Board) -> SafeString:
    """How many requests of the one that runs were processed, over its window; dotted the even pace."""
    batch = board.lines[0].batch
    begin, end, total = batch.created_at, batch.expires_at or board.now, batch.requests_total
    if not begin or not total or end <= begin or len(board.course) < 2:
        return SafeString("")
    whole = (end - begin).total_seconds()

    def place(at: datetime) -> float:
        return round(1000 * min(1.0, max(0.0, (at - begin).total_seconds() / whole)), 1)

    points = " ".join(f"{place(at):g},{100 - 100 * min(1.0, done / total):.4g}" for at, done in board.course)
    last = 100 - 100 * min(1.0, board.course[-1][1] / total)
    now = place(min(board.now, end))
    line = f"0,100 {points} {now:g},{last:.4g}"
    pace = '<line class="pace" x1="0" y1="100" x2="1000" y2="0"/>' if batch.expires_at else ""
    return SafeString(  # safe: numbers
        '<svg class="chartw" viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">'
        '<line class="axis" x2="1000" y1="99.5" y2="99.5"/><line class="grid" x2="1000" y1="50" y2="50"/>'
        f'<line class="grid" x2="1000" y1=".5" y2=".5"/>{pace}'
        f'<polygon class="area" points="{line} {now:g},100"/><polyline class="l-done" points="{line}"/></svg>'
    )


@register.simple_tag
def scale_drawn(board: Board) -> SafeString:
    """Under the bar of the one: when it was created, now, and its deadline; "now" makes way for neither."""
    batch = board.lines[0].batch
    created = _("created %(time)s") % {"time": wall_clock(batch.created_at)}
    out = [f'<text x="0" y="80%">{escape(created)}</text>']
    if batch.expires_at:
        words = _("deadline %(time)s") % {"time": wall_clock(batch.expires_at)}
        out.append(f'<text x="100%" y="80%" text-anchor="end">{escape(words)}</text>')
        now = now_of(batch)
        if now is not None and 0.26 < now < 0.74:
            out.append(
                f'<text class="on" x="{percent(100 * now)}" y="80%" text-anchor="middle">{escape(_("now"))}</text>'
            )
    return SafeString(f'<svg class="scale" aria-hidden="true">{"".join(out)}</svg>')  # safe: escaped here


@register.simple_tag
def day_drawn(hours: Sequence[tuple[int, int, int, int]], since: datetime, middle: datetime) -> SafeString:
    """24 columns, each (succeeded, partial, failed, other) from the axis up."""
    most = max((sum(hour) for hour in hours), default=0) or 1
    unit = 66 / most
    out = []
    for i, hour in enumerate(hours):
        x, y = percent(i * 100 / 24 + 0.5), 84.0
        for kind, number in zip(("ok", "part", "fail", "other"), hour, strict=True):
            if number:
                y -= number * unit
                height = number * unit - (0.6 if number * unit > 1.5 else 0)
                out.append(f'<rect class="{kind}" x="{x}" width="3.2%" y="{percent(y)}" height="{percent(height)}"/>')
    out.append('<line class="axis" x2="100%" y1="84%" y2="84%"/>')
    first = _("%(time)s yesterday") % {"time": words_of(timezone.localtime(since))[-5:]}
    half = words_of(timezone.localtime(middle))[-5:]
    out.append(
        f'<text x="0" y="99%">{escape(first)}</text><text x="50%" y="99%" text-anchor="middle">{escape(half)}</text>'
    )
    out.append(f'<text x="100%" y="99%" text-anchor="end">{escape(_("now"))}</text>')
    return SafeString(f'<svg class="day" aria-hidden="true">{"".join(out)}</svg>')  # safe: escaped here


@register.simple_tag
def strip_drawn(last_day: Sequence[tuple[str, Any, int]]) -> SafeString:
    """What ended within a day, beside each other; failures stand taller."""
    total = sum(number for _state, _words, number in last_day)
    if not total:
        return SafeString("")
    out, at = [], 0.0
    wide = {state: max(1.2, 100 * number / total) for state, _words, number in last_day if number}
    scale = (100 - 0.5 * (len(wide) - 1)) / sum(wide.values())
    for state, width in wide.items():
        box = 'y="0" height="100%"' if state == "failed" else 'y="30%" height="40%"'
        out.append(f'<rect class="{state}" x="{percent(at)}" width="{percent(width * scale)}" {box}/>')
        at += width * scale + 0.5
    return SafeString(f'<svg class="strip" aria-hidden="true">{"".join(out)}</svg>')  # safe: numbers


# --- Pieces of the boards ---------------------------------------------------------------------------------------------


@register.simple_tag
def zone_key() -> str:
    return timezone.get_current_timezone_name()


@register.simple_tag
def line_state(line: Line) -> str:
    if line.need and line.need.reason:
        return need_state(line.need)
    state = state_of(line.batch)
    return COLOURS.get(state, state)


@register.simple_tag
def line_icon(line: Line) -> SafeString:
    state = need_state(line.need) if line.need and line.need.reason else state_of(line.batch)
    return icon(f"st-{state}", label=masked(in_words(line.batch)))


@register.simple_tag
def one_percent(batch: Batch) -> SafeString:
    share = share_done(batch)
    return SafeString("–" if share is None else f"{share}<small>%</small>")  # safe: a number


@register.simple_tag
def one_status(line: Line) -> str:
    if line.need and line.need.reason:
        return need_words(line.need)
    if line.batch.status == Status.IN_PROGRESS and not line.batch.completed:
        return _("no progress yet")
    return masked(amid(in_words(line.batch)))


@register.simple_tag
def per_minute(rate: float) -> str:
    """Of requests an hour; below ten a minute one digit more."""
    minutely = rate / 60
    shown = number_format(round(minutely, 1), 1) if minutely < 10 else count(round(minutely))
    return _("%(rate)s per minute") % {"rate": shown}


@register.simple_tag
def oldest_words(board: Board) -> SafeString:
    batch = board.sums.oldest
    if batch is None or batch.created_at is None:
        return SafeString("–")
    since = escape(_("since %(time)s") % {"time": at_words(batch.created_at)})
    return SafeString(f"{escape(duration(board.now - batch.created_at))}<small>{since}</small>")  # safe: escaped here


@register.simple_tag
def need_item(need: Need, board: Board) -> SafeString:
    if need.batch is None:
        name = next((beat.name for beat in board.beats if beat.connection_id == need.connection_id), "")
        drawn = mid(masked(name))
    else:
        drawn = wall_name(need.batch)
    state = need_state(need)
    return item(
        state,
        state,
        drawn,
        long_words(need),
        wall_clock(need.batch.finished_at) if need.batch and need.batch.finished_at else "",
    )


@register.simple_tag
def ended_item(batch: Batch) -> SafeString:
    state = state_of(batch)
    return item(
        COLOURS.get(state, state), state, wall_name(batch), masked(amid(in_words(batch))), wall_clock(batch.finished_at)
    )


def item(state: str, shape: str, name: str, what: str, when: str) -> SafeString:
    return SafeString(  # safe: escaped here and in `mid`
        f'<li class="f" data-state="{state}">{icon(f"st-{shape}")}<span class="nm mid">{name}</span>'
        f'<span class="when">{escape(when)}</span><span class="what">{escape(what)}</span></li>'
    )


@register.simple_tag
def ended_state(batch: Batch) -> str:
    state = state_of(batch)
    return COLOURS.get(state, state)


@register.simple_tag
def ended_long(batch: Batch) -> str:
    """100 of 100 succeeded, or what else became of it."""
    if batch.requests_total and batch.failed == 0 and batch.completed == batch.requests_total:
        return _("%(done)s of %(total)s succeeded") % {
            "done": count(batch.completed),
            "total": count(batch.requests_total),
        }
    return masked(amid(in_words(batch)))


@register.simple_tag
def watching(board: Board) -> str:
    """How many connections are watched, and whether what they say can be relied on."""
    number, stale = len(board.beats), len(board.stale)
    paused = sum(beat.health == Health.PAUSED for beat in board.beats)
    words = ngettext("Watching %(count)s connection", "Watching %(count)s connections", number) % {
        "count": count(number)
    }
    if stale:
        words += ngettext(", %(count)s of them not up to date", ", %(count)s of them not up to date", stale) % {
            "count": count(stale)
        }
    elif paused:
        words += ngettext(", %(count)s of them paused", ", %(count)s of them paused", paused) % {"count": count(paused)}
    else:
        words += _(", all in step") if number > 1 else _(", in step")
    return f"{words}."


@register.simple_tag
def importing_words(board: Board) -> str:
    number = sum(beat.import_count for beat in board.beats)
    names = ", ".join(masked(beat.name) for beat in board.beats[:3])
    words = ngettext("%(names)s: %(count)s batch so far.", "%(names)s: %(count)s batches so far.", number)
    return words % {"names": names, "count": count(number)}
