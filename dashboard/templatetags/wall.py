"""What a wall says and draws: few words, clock times, and shapes whose sizes are per cent of their boxes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from html import escape
from math import floor

from django import template
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.insight.board import AT_RISK, Board, Line, Need
from dashboard.insight.concern_words import STATES, in_short
from dashboard.insight.outcome import amid, count, in_words, state_of
from dashboard.insight.privacy import masked
from dashboard.insight.pulse import Beat
from dashboard.models import Batch, Connection, Reason
from dashboard.models.batch import Status
from dashboard.models.search import ID_TAIL
from dashboard.templatetags.batches import COLOURS, icon, mid
from dashboard.templatetags.times import duration
from dashboard.templatetags.wall_drawings import wall_bar
from dashboard.templatetags.wall_words import at_words, wall_clock

register = template.Library()
register.filter(wall_clock)

Health = Connection.Health
MILLION = 1_000_000


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


# --- The head ---------------------------------------------------------------------------------------------------------


@register.simple_tag
def said(board: Board, *, past: bool = False) -> SafeString:
    """The one sentence, whose numbers add up with the board; `past` is how it reads once nobody answers any more."""
    past = past or board.is_stale
    at, calm = {"time": wall_clock(board.as_of)}, {"count": count(board.running)}
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
    return _("1 was running at %(time)s") % {"time": wall_clock(board.as_of)}


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
    needs, calm = board.rows
    drawn = [need_row(need, board) for need in needs_shown(board, needs)]
    if left := board.needed - len(drawn):
        words = ngettext("+ %(count)s more needs attention", "+ %(count)s more need attention", left)
        drawn.append(more_row(words % {"count": count(left)}))
    lines = [line for line in board.lines if line.need is None]
    drawn += [line_row(line, None) for line in lines[:calm]]
    if left := len(lines) - calm:
        drawn.append(
            more_row(ngettext("+ %(count)s more running", "+ %(count)s more running", left) % {"count": count(left)})
        )
    return SafeString("".join(drawn))  # safe: escaped in both


def needs_shown(board: Board, most: int) -> list[Need]:
    """Where not all fit, what runs and may still be saved is not left out for what ended long ago."""
    if board.needed <= most:
        return board.needs
    running = [line.need for line in board.lines if line.need]
    places = {need.batch.pk for need in running if need.batch}
    others = [need for need in board.needs if need.batch is None or need.batch.pk not in places]
    kept = running[: most - min(3, len(others))]
    return others[: most - len(kept)] + kept


def more_row(words: str) -> str:
    return f'<li class="more">{escape(words)}</li>'


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
