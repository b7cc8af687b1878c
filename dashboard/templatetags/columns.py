"""The columns of the list that people choose among, and the heads of those to sort by."""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from dashboard.models import Batch
from dashboard.templatetags.batches import icon, number, short_endpoint
from dashboard.templatetags.times import clock, duration

register = template.Library()


class Column(NamedTuple):
    """One that may be chosen. `draw` makes markup of a batch, `fields` are what it reads that every row has not."""

    label: Any
    draw: Callable[[Batch], str]
    fields: tuple[str, ...] = ()
    sort: str = ""
    is_number: bool = False


def text(value: str) -> str:
    return f'<span class="l1" title="{escape(value)}">{escape(value)}</span>' if value else ""


def took(batch: Batch) -> str:
    begun, ended = batch.created_at, batch.finished_at
    return escape(duration(ended - begun)) if begun and ended and begun <= ended else ""


def tokens(batch: Batch) -> str:
    if batch.tokens_total is None:
        return ""
    parts = f"{number(batch.tokens_input)} + {number(batch.tokens_output)}"
    return f'<span title="{escape(parts)}">{escape(number(batch.tokens_total))}</span>'


CONNECTION = "connection"
TOKENS = ("tokens_input", "tokens_output", "tokens_total")
COLUMNS: Mapping[str, Column] = {
    CONNECTION: Column(_("Connection"), lambda _batch: ""),  # drawn from what the page knows of connections
    "model": Column(_("Model"), lambda batch: text(batch.model)),
    "endpoint": Column(_("Endpoint"), lambda batch: text(short_endpoint(batch.endpoint))),
    "owner": Column(_("Owner"), lambda batch: text(batch.owner)),
    "created": Column(_("Created"), lambda batch: clock(batch.created_at), is_number=True),
    "deadline": Column(_("Deadline"), lambda batch: clock(batch.expires_at), sort="deadline", is_number=True),
    "duration": Column(_("Took"), took, is_number=True),
    "tokens": Column(_("Tokens"), tokens, TOKENS, is_number=True),
    "window": Column(_("Window"), lambda batch: text(batch.completion_window), ("completion_window",)),
}
USUAL = (CONNECTION,)


def chosen_of(words: Iterable[str] | None) -> tuple[str, ...]:
    """Those that there are, in their own order; the usual ones when nobody has chosen."""
    return USUAL if words is None else tuple(slug for slug in COLUMNS if slug in set(words))


def fields_of(chosen: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for slug in chosen for name in COLUMNS[slug].fields)


def cells_of(batch: Batch, connection: str, chosen: tuple[str, ...]) -> SafeString:
    """The chosen cells of one row."""
    cells = []
    for slug in chosen:
        if slug == CONNECTION:
            name = escape(connection)
            owner = "" if "owner" in chosen else escape(batch.owner)
            cells.append(
                f'<td class="c-conn" role="cell"><span class="l1" title="{name}">{name}</span>'
                f'<span class="l2" title="{owner}">{owner}</span></td>\n'
            )
            continue
        column = COLUMNS[slug]
        css = f"c-more c-{slug} num" if column.is_number else f"c-more c-{slug}"
        word = escape(str(column.label))
        cells.append(f'<td class="{css}" role="cell" data-word="{word}">{column.draw(batch)}</td>\n')
    return SafeString("".join(cells))  # safe: what a vendor wrote is escaped above


@register.simple_tag
def head(css: str, label: str, asked: Any, sort: str) -> SafeString:
    """The head of a column to sort by: a link to its first order, and to the other way round when that is shown."""
    is_other = asked.order.other == sort
    is_current = asked.sort == sort or is_other
    link = escape(asked.link(sort=asked.order.other if is_current else sort))
    state = f' aria-sort="{"ascending" if asked.order.up else "descending"}"' if is_current else ""
    arrow = icon("ui-down") if is_current else ""
    return SafeString(  # safe: escaped here
        f'<th class="{css}" scope="col" role="columnheader"{state}><a href="{link}">{escape(label)}{arrow}</a></th>'
    )


@register.simple_tag
def chosen_heads(chosen: tuple[str, ...], asked: Any) -> SafeString:
    """The heads of the chosen columns."""
    heads: list[str] = []
    for slug in chosen:
        column = COLUMNS[slug]
        label = str(column.label)
        css = "c-conn" if slug == CONNECTION else f"c-more c-{slug}{' num' if column.is_number else ''}"
        if column.sort:
            heads.append(head(css, label, asked, column.sort))
        else:
            heads.append(f'<th class="{css}" scope="col" role="columnheader">{escape(label)}</th>')
    return SafeString("".join(heads))  # safe: words of ours
