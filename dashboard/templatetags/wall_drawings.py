"""What a wall draws: bars, squares, a course and a day, whose sizes are per cent of their boxes."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dashboard.insight.board import Board
from dashboard.insight.squares import SHAPES, Bar, Squares
from dashboard.models import Batch
from dashboard.templatetags.batches import now_of, parts, percent
from dashboard.templatetags.times import words_of
from dashboard.templatetags.wall_words import wall_clock

register = template.Library()


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
