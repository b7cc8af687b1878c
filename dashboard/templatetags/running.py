"""The overview's rows of what runs, drawn by hand as those of the list."""

from html import escape
from typing import Any

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dashboard.templatetags.batches import COLOURS, bar, done, failures, icon, mid
from dashboard.templatetags.times import clock, clock_words
from dashboard.templatetags.visible import visible

register = template.Library()


@register.simple_tag
def running_row(one: Any) -> SafeString:
    """One `<tr>` from a views.under_way.Running."""
    row, batch = one.row, one.row.batch
    name, second = escape(visible(str(batch))), escape(visible(row.note or one.connection))
    note_state = f' data-state="{row.note_state}"' if row.note and row.note_state else ""
    state = COLOURS.get(row.state, row.state)
    return SafeString(  # safe: what a vendor wrote is escaped above
        f'<tr id="run-{batch.pk}" role="row"{' class="is-stale"' if row.stale else ""}>\n'
        f'<td class="c-run-name" role="cell"><span class="status" data-state="{state}">'
        f'{icon(f"st-{row.state}", label=row.words)}<a class="rowlink mid" href="{row.url}" title="{name}" '
        f'aria-label="{name}">{mid(str(batch))}</a></span>'
        f'<span class="l2"{note_state} title="{second}"><bdi>{second}</bdi></span></td>\n'
        f'<td class="w-bar" role="cell">{bar(batch, stale=row.stale) if row.has_bar else ""}</td>\n'
        f'<td class="w-req num" role="cell">{done(batch, row.has_bar)}</td>\n'
        f'<td class="w-fail num" role="cell" data-word="{escape(_("failed"))}">{failures(batch)}</td>\n'
        f'<td class="w-est num" role="cell" data-word="{escape(_("done by"))}">{estimate(one)}</td>\n'
        f'<td class="w-dl num" role="cell" data-word="{escape(_("deadline"))}">{deadline(one)}</td></tr>\n'
    )


def estimate(one: Any) -> str:
    """≈ 14:40 and the range under the pointer, or why there is none; trouble has the colour of trouble."""
    words, note, title = escape(one.finish), escape(one.note), escape(one.title)
    is_time = bool(one.progress and one.progress.likely) and not one.is_frozen
    css = ' class="word" data-state="risk"' if one.is_late else "" if is_time else ' class="dim"'
    return f'<span{css} title="{title or words}">{words}</span><span class="l2">{note}</span>'


def deadline(one: Any) -> str:
    expires = one.row.batch.expires_at
    if not expires:
        return f'<span class="dim">{escape(_("none"))}</span>'
    if not one.is_overdue:
        return str(clock(expires))
    since = escape(_("since %(time)s") % {"time": clock_words(expires)})
    return f'<span class="word" data-state="risk">{escape(_("overdue"))}</span><span class="l2">{since}</span>'
