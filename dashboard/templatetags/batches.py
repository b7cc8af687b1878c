"""Pure formatters: the one component for a status, the one for a request bar, and how numbers are written.

A page calls these some five hundred times, so they write their markup themselves and escape with `html.escape`:
Django's `format_html` takes several times as long, and `mark_safe` asks first whether its argument is lazy.
"""

from functools import cache
from html import escape
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import get_script_prefix
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from dashboard.insight import oddities
from dashboard.insight.outcome import amid, count, in_words, is_running, state_of, unseen_since
from dashboard.models import Batch
from dashboard.models.batch import Outcome
from dashboard.models.search import ID_TAIL
from dashboard.templatetags.times import clock, duration
from dashboard.templatetags.visible import visible

register = template.Library()

TAIL = 9  # of a name: where dates and shards stand
LEAST = 1.4  # per cent; a failure is never too thin to be seen
ALMOST = 99.2  # per cent; what runs never looks done


# --- Numbers ----------------------------------------------------------------------------------------------------------


@register.filter
def number(value: float | None) -> str:
    """12,000; nothing for what is not known."""
    if value is None:
        return ""
    if isinstance(value, int):
        return count(value)
    return number_format(value, force_grouping=True)


register.filter("amid", amid)
register.filter("oddity", oddities.in_words)


@register.filter
def left(batch: Batch) -> int | None:
    """Requests still to be run; None when nobody knows or when there will be none."""
    if not is_running(batch) or not batch.requests_total:
        return None
    return max(0, batch.requests_total - (batch.requests_completed or 0) - (batch.requests_failed or 0))


# --- Names ------------------------------------------------------------------------------------------------------------


@register.filter
def mid(name: str) -> SafeString:
    """A name that shortens in the middle: its head gives way, its tail with the date or the shard stays."""
    name = visible(name)
    if len(name) < TAIL + 5:
        return SafeString(f"<span>{escape(name)}</span>")  # safe: escaped here
    head, tail = escape(name[:-TAIL]), escape(name[-TAIL:])
    return SafeString(f"<span>{head}</span><span>{tail}</span>")  # safe: escaped here


@register.filter
def short_id(remote_id: str) -> str:
    return remote_id if len(remote_id) <= ID_TAIL + 2 else remote_id[-ID_TAIL:]


@register.filter
def short_endpoint(endpoint: str) -> str:
    """/v1/chat/completions as people call it: chat."""
    return endpoint.removeprefix("/v1/").removesuffix("/completions")


# --- What stands still ------------------------------------------------------------------------------------------------


class Fixed(template.Node):
    """Drawn once for each language. Its pieces see no context, so nothing of one person's page can reach another's."""

    def __init__(self, pieces: template.NodeList) -> None:
        self.pieces = pieces
        self.drawn: dict[tuple[str | None, str], SafeString] = {}

    def render(self, context: template.Context) -> SafeString:
        key = get_language(), get_script_prefix()
        if key not in self.drawn:
            self.drawn[key] = self.pieces.render(context.new({}))
        return self.drawn[key]


@register.tag
def fixed(parser: template.base.Parser, _token: template.base.Token) -> Fixed:
    """{% fixed %}...{% endfixed %} around what is the same on every page: half of a page's nodes never change."""
    pieces = parser.parse(("endfixed",))
    parser.delete_first_token()
    return Fixed(pieces)


# --- Pieces -----------------------------------------------------------------------------------------------------------


@cache
def sprite() -> str:
    return static("icons.svg")


@register.simple_tag
def icon(name: str, state: str = "", label: str = "", css: str = "") -> SafeString:
    """One drawing of the sprite. Hidden from readers unless it has a label."""
    extra = f' data-state="{escape(state)}"' if state else ""
    access = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    css = f"i {css}" if css else "i"
    return SafeString(  # safe: escaped here
        f'<svg class="{css}" {access}{extra}><use href="{sprite()}#{escape(name)}"/></svg>'
    )


@register.simple_tag
def status(batch: Batch, css: str = "") -> SafeString:
    """Icon, word and colour: the same component everywhere."""
    return drawn(state_of(batch), in_words(batch), css)


@register.simple_tag
def status_of(state: str, words: str, css: str = "") -> SafeString:
    return drawn(state, words, css)


# What has an icon of its own but borrows a colour.
COLOURS = {"none": "cancelled", "gone": "unknown"}


def drawn(state: str, words: str, css: str = "") -> SafeString:
    css, words = f"status {css}" if css else "status", escape(words)
    return SafeString(  # safe: escaped here
        f'<span class="{css}" data-state="{COLOURS.get(state, state)}"><svg class="i" aria-hidden="true">'
        f'<use href="{sprite()}#st-{state}"/></svg><span title="{words}">{words}</span></span>'
    )


@register.simple_tag
def ticks(letters: str) -> SafeString:
    """A column a sync, told apart by height: good short, slow taller, failed tallest, a dot for not tried."""
    shapes = {"o": ("ok", 6.0), "s": ("slow", 9.6), "x": ("bad", 12.0), ".": ("none", 2.0)}
    columns = []
    for i, letter in enumerate(letters):
        kind, height = shapes[letter]
        columns.append(f'<rect class="{kind}" x="{i * 3}" y="{12 - height:g}" width="2" height="{height:g}"/>')
    return SafeString(  # safe: letters and numbers of ours alone
        f'<svg class="ticks" width="{max(1, len(letters) * 3)}" height="12" aria-hidden="true">{"".join(columns)}</svg>'
    )


@register.simple_tag
def done(batch: Batch, has_bar: bool) -> SafeString:  # noqa: FBT001 (tags take what templates have)
    """1,180 / 1,500, or why there is no such number."""
    if batch.outcome == Outcome.NO_REQUESTS:
        return SafeString('<span class="dim">0</span>')
    if batch.requests_total:
        return SafeString(  # safe: numbers
            f'{number(batch.completed or 0)} <span class="dim">/ {number(batch.requests_total)}</span>'
        )
    words = _("total unknown") if has_bar else _("not started")
    return SafeString(f'<span class="dim">{escape(words)}</span>')  # safe: escaped here


@register.simple_tag
def failures(batch: Batch) -> SafeString | str:
    """Nothing where the vendor did not say: that is not zero."""
    if batch.failed:
        return SafeString(f'<span class="fails">{number(batch.failed)}</span>')  # safe: a number
    if batch.requests_total and batch.failed is not None:
        return SafeString('<span class="zero">0</span>')
    return ""


@register.simple_tag
def finish(batch: Batch) -> SafeString:
    """When it ended and how long it took; while open the deadline, and whether that has passed."""
    second = ""
    if batch.finished_at:
        first = clock(batch.finished_at)
        if batch.created_at and batch.created_at <= batch.finished_at:
            second = escape(_("took %(time)s") % {"time": duration(batch.finished_at - batch.created_at)})
    elif unseen_since(batch):
        first = f'<span class="dim">{escape(_("not known"))}</span>'
    elif not batch.expires_at:
        first = f'<span class="dim">{escape(_("no deadline"))}</span>'
    elif batch.is_overdue:
        first = f'<span data-state="risk" class="word">{escape(_("overdue"))}</span>'
        second = escape(_("deadline was %(time)s")) % {"time": clock(batch.expires_at)}
    else:
        first = f'<span class="soft">{clock(batch.expires_at)}</span>'
        second = escape(_("deadline"))
    return SafeString(f'{first}<span class="l2">{second}</span>')  # safe: escaped here


# --- The list ---------------------------------------------------------------------------------------------------------


@register.simple_tag
def chip(slug: str, label: str, state: str, batches: int, link: str, current: str, *, more: bool) -> SafeString:
    """An outcome to filter by and how many batches have it, or `more` than that."""
    drawing = icon(f"st-{state}", state=state) if state else ""
    mark = ' aria-current="true"' if slug == current else ""
    return SafeString(  # safe: escaped here
        f'<a class="chip" href="{escape(link)}"{mark}>{drawing}{escape(str(label))} '
        f"<b>{number(batches)}{'+' if more else ''}</b></a>"
    )


@register.simple_tag
def row_of_list(row: Any) -> SafeString:
    """One `<tr>` from a views.batch_row.Row. Drawn by hand: fifty small templates took longer than all the rest."""
    batch = row.batch
    remote_id = escape(batch.remote_id)
    if batch.name:
        name = escape(visible(batch.name))
        name = (
            f'<a class="rowlink mid" href="{row.url}" title="{name}" aria-label="{name}">{mid(batch.name)}</a>'
            f'<span class="id" title="{remote_id}">{escape(short_id(batch.remote_id))}</span>'
        )
    else:
        name = f'<a class="rowlink mid mono" href="{row.url}" title="{remote_id}">{mid(batch.remote_id)}</a>'
    second = escape(visible(row.second))
    select = escape(_("Select %(name)s") % {"name": batch.name or batch.remote_id})
    return SafeString(  # safe: what a vendor wrote is escaped above
        f'<tr id="row-{batch.pk}" role="row"{' class="is-stale"' if row.stale else ""}>\n'
        f'<td class="c-check" role="cell"><input type="checkbox" name="batch" value="{batch.pk}" form="selection" '
        f'data-id="{remote_id}" aria-label="{select}" autocomplete="off"></td>\n'
        f'<td class="c-status" role="cell">{status(batch)}{noted(row)}</td>\n'
        f'<td class="c-name" role="cell"><span class="nm">{name}</span>'
        f'<span class="l2{" err" if row.is_error else ""}" title="{second}"><bdi>{second}</bdi></span></td>\n'
        f"{row.chosen}{counted(row)}"
        f'<td class="c-fin num" role="cell">{finish(batch)}</td>\n</tr>\n'
    )


def counted(row: Any) -> str:
    """How far it is: the bar, the numbers."""
    batch = row.batch
    return (
        f'<td class="c-bar" role="cell">{bar(batch, stale=row.stale) if row.has_bar else ""}</td>\n'
        f'<td class="c-req num" role="cell">{done(batch, row.has_bar)}</td>\n'
        f'<td class="c-fail num" role="cell" data-word="{escape(_("failed"))}">{failures(batch)}</td>\n'
    )


def noted(row: Any) -> str:
    """What there is to know besides the status."""
    if not row.note:
        return ""
    shape = icon(f"st-{row.note_state}") if row.note_state else "<span></span>"
    state = f' data-state="{row.note_state}"' if row.note_state else ""
    words = escape(row.note)
    return f'<span class="note"{state} title="{words}">{shape}<span>{words}</span></span>'


@register.simple_tag
def row_of_shared(row: Any) -> SafeString:
    """One `<tr>` of a list that a link shows: it leads nowhere, and nothing is done with it."""
    batch, second = row.row.batch, escape(visible(row.row.second))
    name, remote_id = escape(visible(batch.name)), escape(visible(batch.remote_id))
    named = f'<span class="id" title="{remote_id}">{escape(short_id(batch.remote_id))}</span>' if batch.name else ""
    css = "mid" if batch.name else "mid mono"
    likely = f'<span class="soft">{escape(row.finish)}</span>' if row.finish else ""
    return SafeString(  # safe: what a vendor wrote is escaped above
        f'<tr id="row-{batch.pk}" role="row"{' class="is-stale"' if row.row.stale else ""}>\n'
        f'<td class="c-status" role="cell">{status(batch)}{noted(row.row)}</td>\n'
        f'<td class="c-name" role="cell"><span class="nm"><b class="{css}" title="{name or remote_id}">'
        f"{mid(batch.name or batch.remote_id)}</b>{named}</span>"
        f'<span class="l2{" err" if row.row.is_error else ""}" title="{second}"><bdi>{second}</bdi></span></td>\n'
        f"{counted(row.row)}"
        f'<td class="c-fin num" role="cell">{likely}{finish(batch)}</td>\n</tr>\n'
    )


# --- The request bar --------------------------------------------------------------------------------------------------


@register.simple_tag
def bar(batch: Batch, *, big: bool = False, stale: bool = False, label: str = "") -> SafeString:
    """Completed, failed and the rest in one line, with a hairline for now against the deadline at the right end."""
    live = is_running(batch)
    return draw_bar(
        batch.requests_total or 0,
        batch.completed or 0,
        batch.failed or 0,
        lost=batch.unaccounted or 0,
        live=live and not stale,
        now=now_of(batch) if live and not stale else None,
        late=live and batch.is_overdue,
        stale=stale,
        big=big,
        label=label,
    )


def now_of(batch: Batch) -> float | None:
    """How much of the window is gone, from 0 to 1; None where one of its ends is not known."""
    if not batch.created_at or not batch.expires_at or batch.expires_at <= batch.created_at:
        return None
    gone = (timezone.now() - batch.created_at) / (batch.expires_at - batch.created_at)
    return min(1.0, max(0.0, gone))


def percent(share: float) -> str:
    """Rounded, so that the same state is the same markup."""
    return f"{share:.2f}".rstrip("0").rstrip(".") + "%"


def parts(total: int, done: int, failed: int, lost: int, *, live: bool) -> tuple[float, float, float]:
    """The widths of completed, failed and unaccounted in per cent; they never add up to more than 100."""
    fail = min(100.0, max(100 * failed / total, LEAST)) if failed else 0.0
    miss = min(100.0 - fail, max(100 * lost / total, LEAST)) if lost else 0.0
    room = 100.0 - fail - miss
    full_width = min(100 * done / total, room)
    if live and done < total:
        full_width = min(full_width, ALMOST)
    return max(0.0, full_width), fail, miss


def draw_bar(
    total: int,
    done: int,
    failed: int,
    *,
    lost: int = 0,
    live: bool = False,
    now: float | None = None,
    late: bool = False,
    stale: bool = False,
    big: bool = False,
    label: str = "",
) -> SafeString:
    """The specification is mock/generator/parts.py of the design notes. Sizes are SVG attributes: CSP kills styles."""
    y, height, fail_y, fail_height, radius = (11, 14, 6, 24, 3) if big else (5, 6, 3, 10, 2)
    css = "bar" + " bar--live" * live + " bar--late" * late + " bar--stale" * stale
    access = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    out = [f'<svg class="{css}" {access}>']
    box = f'y="{y}" height="{height}"'
    if not total:
        # Not known is not zero: neither 0 % nor 100 %.
        out.append(f'<rect class="lost" width="100%" {box} rx="{radius}"/>')
    else:
        out.append(f'<rect class="rest" width="100%" {box} rx="{radius}"/>')
        d, f, m = parts(total, done, failed, lost, live=live)
        if d:
            out.append(f'<rect class="done" width="{percent(d)}" {box} rx="{radius}"/>')
        if f:
            x, width = (d + 0.25, max(f - 0.25, 1.1)) if d else (0.0, f)
            out.append(
                f'<rect class="halo" x="{percent(d)}" width="{percent(f)}" {box}/><rect class="fail" x="{percent(x)}" '
                f'width="{percent(width)}" y="{fail_y}" height="{fail_height}" rx="1"/>'
            )
        if m:
            out.append(
                f'<rect class="halo" x="{percent(d + f)}" width="{percent(m)}" {box}/><rect class="lost" '
                f'x="{percent(d + f + 0.3)}" width="{percent(m - 0.3)}" {box}/>'
            )
    if now is not None:
        width = 2.0 if big else 1.5
        at = percent(100 * now)
        out.append(
            f'<rect class="end" x="100%" width="1" y="{fail_y}" height="{fail_height}" transform="translate(-1)"/>'
            f'<rect class="halo" x="{at}" width="{width + 3:g}" {box} transform="translate({-(width + 3) / 2:g})"/>'
            f'<rect class="now" x="{at}" width="{width:g}" y="0" height="100%" transform="translate({-width / 2:g})"/>'
        )
    out.append("</svg>")
    return SafeString("".join(out))  # safe: numbers of ours, and a label that is escaped above


@register.simple_tag
def unknown_bar() -> SafeString:
    """Something is under way and nobody knows how much of it there is."""
    return draw_bar(0, 0, 0)
