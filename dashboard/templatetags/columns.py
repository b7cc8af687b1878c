"""The columns of the list: their heads."""

from html import escape
from typing import Any

from django import template
from django.utils.safestring import SafeString

from dashboard.templatetags.batches import icon

register = template.Library()


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
