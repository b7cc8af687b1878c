"""What a batch's page alone needs: money, and its course drawn by hand, because a poll has dozens of moments of it."""

from decimal import Decimal
from html import escape

from django import template
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dashboard.insight.curve import Curve, Moment
from dashboard.templatetags.batches import number
from dashboard.templatetags.times import clock_words

register = template.Library()


@register.simple_tag
def course_plot(curve: Curve) -> SafeString:
    """Bands, lines and what shows under the pointer. Lines stand in an SVG of their own, which alone stretches."""
    height, width = curve.height, curve.width
    out = [
        f'<rect class="unseen" x="{band.x}" width="{band.width}" y="0" height="{height}"><title>{escape(band.words)}'
        "</title></rect>"
        for band in curve.gaps
    ]
    out.append(f'<svg width="100%" height="{height}" viewBox="0 0 {width} {height}" preserveAspectRatio="none">')
    scaled = ' vector-effect="non-scaling-stroke"'
    if curve.pace:
        x, y = curve.pace.split(",")
        out.append(f'<line class="pace" x1="0" y1="{height}" x2="{x}" y2="{y}"{scaled}/>')
    out += [f'<polygon class="area" points="{piece.area}"/>' for piece in curve.pieces]
    out += [f'<polyline class="l-done" points="{piece.done}"{scaled}/>' for piece in curve.pieces]
    if curve.has_failed:
        out += [f'<polyline class="l-fail" points="{piece.failed}"{scaled}/>' for piece in curve.pieces]
    out.append("</svg>")
    if curve.deadline:
        out.append(f'<line class="deadline" x1="{curve.deadline.at}" x2="{curve.deadline.at}" y1="0" y2="{height}"/>')
    out += [_moment(moment, height) for moment in curve.moments]
    return SafeString("".join(out))  # safe: numbers of ours, and words that are escaped


def _moment(moment: Moment, height: int) -> str:
    words, x = escape(moment.words), moment.x
    dots = f'<circle class="dot" cx="{x}" cy="{moment.done_y}" r="4"/>' if moment.done_y else ""
    dots += f'<circle class="dot dot--fail" cx="{x}" cy="{moment.failed_y}" r="3.5"/>' if moment.failed_y else ""
    return (
        f'<g class="column" role="img" aria-label="{words}"><rect class="room" x="{moment.room_x}"'
        f' width="{moment.room}" y="0" height="{height}"/><g class="tip"><line class="cursor" x1="{x}" x2="{x}" y1="14"'
        f' y2="{height}"/>{dots}<text class="on" x="100%" y="10" text-anchor="end">{words}</text></g></g>\n'
    )


@register.simple_tag
def course_rows(curve: Curve) -> SafeString:
    """The same as rows of a table."""
    unseen = escape(_("not synced"))
    rows = []
    for moment in curve.moments:
        cells = "".join(f"<td>{number(value)}</td>" for value in moment.values)
        if not moment.done_y:
            cells = f'<td colspan="3">{unseen}</td>'
        rows.append(f'<tr><th scope="row">{escape(clock_words(moment.at))}</th>{cells}</tr>\n')
    return SafeString("".join(rows))  # safe: numbers and words of ours, escaped


@register.filter
def money(dollars: Decimal) -> str:
    """$1,204.30, $0.081; what is not nothing is never $0."""
    if not dollars:
        return _("$%(amount)s") % {"amount": 0}
    if dollars < Decimal("0.0001"):
        return "< " + _("$%(amount)s") % {"amount": number_format(Decimal("0.0001"))}
    places = 2 if dollars >= 1 else 1 - dollars.adjusted()
    return _("$%(amount)s") % {"amount": number_format(round(dollars, places), places, force_grouping=True)}
