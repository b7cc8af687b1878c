"""How the words of a vendor and the figures of errors are written.

Everything from a vendor is hostile: markup, control characters, and marks that turn the direction of the text around
them. So its words stand in a `<bdi>` of their own, and what cannot be seen is made visible.
"""

from functools import lru_cache
from html import escape
from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from dashboard.insight.advice import advice_of
from dashboard.insight.charts import Chart
from dashboard.insight.retry import NEVER_RAN
from dashboard.templatetags.batches import drawn, number, percent
from dashboard.templatetags.times import clock, clock_words
from dashboard.templatetags.visible import MARKS, visible

register = template.Library()

LEAST = 1.2  # per cent; a group is never too thin to be seen


@register.filter
def said(text: object) -> SafeString:
    """Words of a vendor or of a customer, kept to themselves."""
    return mark_safe(f"<bdi>{escape(visible(text))}</bdi>")  # noqa: S308 (escaped here)


@register.filter
def bare(text: object) -> str:
    """The same for where no element can stand, as in an attribute or a drawing: without marks of direction."""
    words = visible(text)
    return words if words.isprintable() else words.translate(MARKS)


@register.simple_tag
def share_bar(part: int, whole: int, retry: str = "") -> SafeString:
    """How much of all failures one group is; not in the colour of failures where nobody tried."""
    width = percent(min(100.0, max(LEAST, 100 * part / whole))) if part and whole else "0"
    return mark_safe(  # noqa: S308 (numbers)
        '<svg class="sharebar" aria-hidden="true"><rect class="rest" width="100%" y="2" height="4" rx="1"/>'
        f'<rect class="{"never" if retry in NEVER_RAN else "fail"}" width="{width}" height="8" rx="1"/></svg>'
    )


@register.simple_tag
def share(part: int, whole: int) -> str:
    """67 %; a share that is not nothing is never 0 %, one that is not all never 100 %."""
    if not whole:
        return ""
    value = 100 * part / whole
    if 0 < value < 0.1:
        return f"< {rounded(0.1, 1)} %"
    if 99.9 < value < 100:
        return f"> {rounded(99.9, 1)} %"
    return f"{rounded(value, 0 if value in {0, 100} or 10 <= value < 99.5 else 1)} %"


def rounded(value: float, places: int) -> str:
    """Django's own cuts digits off."""
    return number_format(round(value, places), places)


@register.simple_tag
def spark(days: list[int], muted: int, width: int = 112) -> SafeString:
    """A column a day. The first `muted` are outside of the range that the numbers beside it are of."""
    top, step = max([*days, 1]), width / max(1, len(days))
    out = [f'<svg class="spark" width="{width}" height="22" aria-hidden="true">']
    out.append(f'<rect class="base" width="{width}" y="21" height="1"/>')
    for i, failing in enumerate(days):
        if failing:
            height = max(2.0, 20 * failing / top)
            css = "ok" if i < muted else "col"
            out.append(
                f'<rect class="{css}" x="{i * step:.1f}" y="{21 - height:.1f}" width="{step - 1.5:.1f}"'
                f' height="{height:.1f}"/>'
            )
    return mark_safe("".join(out) + "</svg>")  # noqa: S308 (numbers)


@register.simple_tag
def advice(code: str) -> SafeString:
    """Whether another try is worth it, in a few words; the sentence is under the pointer."""
    return tag_of(code, get_language())


@lru_cache(200)
def tag_of(code: str, _language: str | None) -> SafeString:
    """Remembered, because a page says the same few things again and again."""
    found = advice_of(code)
    words, sentence = escape(found.words), escape(found.sentence)
    return mark_safe(  # noqa: S308 (escaped here)
        f'<span class="tag{" tag--worth" if found.is_worth else ""}" title="{sentence}">{words}</span>'
    )


# --- Rows and columns: drawn by hand, as those of the list, because a page has hundreds of them -----------------------


@lru_cache(50)
def row_words(_language: str | None) -> tuple[str, ...]:
    """Each is said in every row."""
    words = (
        _("new"),
        _("since %(time)s"),
        _("no code"),
        ngettext("batch", "batches", 1),
        ngettext("batch", "batches", 2),
    )
    return tuple(map(escape, words))


@register.simple_tag
def row_of_errors(row: Any) -> SafeString:
    """One `<tr>` from a views.errors.Row."""
    group = row.group
    new_word, since, no_code, one, many = row_words(get_language())
    code = said(group.code) if group.code else no_code
    new = f' <span class="tag">{new_word}</span>' if row.is_new else ""
    batches = one if row.batches == 1 else many
    return mark_safe(  # noqa: S308 (what a vendor wrote is escaped by `said` and `escape`)
        f'<tr role="row">\n<td class="e-code mono" role="cell">{group.http_status or "—"}</td>\n'
        f'<td class="e-what" role="cell"><a class="rowlink mono" href="{row.url}">{code}</a>{new}'
        f'<span class="l2" title="{escape(bare(group.message))}">{said(group.message)}</span></td>\n'
        f'<td class="e-share" role="cell">{share_bar(row.requests, row.every, group.retry)}</td>\n'
        f'<td class="e-num num" role="cell">{number(row.requests)}'
        f'<span class="l2">{escape(share(row.requests, row.every))}</span></td>\n'
        f'<td class="e-batches num" role="cell">{number(row.batches)}<span class="unit"> {batches}</span></td>\n'
        f'<td class="e-spark c-espark" role="cell">{spark(row.trend, row.muted)}</td>\n'
        f'<td class="e-seen" role="cell">{clock(group.last_seen_at)}'
        f'<span class="l2">{since % {"time": escape(clock_words(group.first_seen_at))}}</span></td>\n'
        f'<td class="e-owner" role="cell"><span title="{escape(bare(row.owners_title))}">{said(row.owners)}</span>'
        f'</td>\n<td class="e-retry" role="cell">{advice(group.retry)}</td>\n</tr>\n'
    )


@register.simple_tag
def row_of_requests(row: Any, has_tokens: bool) -> SafeString:  # noqa: FBT001 (tags take what templates have)
    """One `<tr>` from a views.batch_requests.Row."""
    result = row.result
    custom_id = said(result.custom_id) if result.custom_id else escape(_("no custom_id"))
    error = f'<span class="l2 err" title="{escape(bare(row.error))}">{said(row.error)}</span>' if row.error else ""
    tokens = ""
    if has_tokens:
        tokens = "".join(
            f'<td class="r-tok num" role="cell">{number(count)}</td>\n'
            for count in (result.tokens_input, result.tokens_output)
        )
    return mark_safe(  # noqa: S308 (what a vendor or a customer wrote is escaped by `said` and `escape`)
        f'<tr role="row">\n<td class="r-state" role="cell">{drawn(row.state, str(row.words))}</td>\n'
        f'<td class="r-http mono" role="cell">{result.http_status or "—"}</td>\n'
        f'<td class="r-id" role="cell"><a class="rowlink mono" href="{row.url}">{custom_id}</a>{error}</td>\n{tokens}'
        f'<td class="r-line num" role="cell" data-word="{escape(_("Line"))}">{number(result.line)}'
        f'<span class="l2">{escape(row.kind)}</span></td>\n</tr>\n'
    )


@register.simple_tag
def columns(chart: Chart) -> SafeString:
    """The columns of a chart, each with the words that show while it is under the pointer or chosen by arrow keys."""
    out = []
    for column in chart.columns:
        words = escape(bare(column.words))
        tag, link = ("a", f' href="{escape(column.href)}" tabindex="-1"') if column.href else ("g", ' role="img"')
        boxes = "".join(
            f'<rect class="c-{box.key}" x="{column.x}" width="{column.width}" y="{box.y}" height="{box.height}"/>'
            for box in column.boxes
        )
        out.append(
            f'<{tag} class="column"{link} aria-label="{words}"><rect class="room" x="{column.room_x}"'
            f' width="{column.room}" y="0" height="{chart.height}"/>{boxes}'
            f'<text class="on tip" x="100%" y="10" text-anchor="end">{words}</text></{tag}>\n'
        )
    return mark_safe("".join(out))  # noqa: S308 (words are escaped above, the rest are numbers of ours)


@register.simple_tag
def table_rows(chart: Chart) -> SafeString:
    """The numbers of a chart, a row for each column."""
    rows = (
        f'<tr><th scope="row">{said(label)}</th>{"".join(f"<td>{number(value)}</td>" for value in values)}</tr>'
        for label, values in chart.rows
    )
    return mark_safe("".join(rows))  # noqa: S308 (labels are escaped by `said`, the rest are numbers)


@register.filter
def size(value: int | None) -> str:
    """1.4 MB; nothing for what is not known."""
    if value is None:
        return ""
    amount, unit = float(value), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{rounded(amount, 0 if unit == 'B' or amount >= 100 else 1)} {unit}"
