"""How the words of a vendor and the figures of errors are written.

Everything from a vendor is hostile: markup, control characters, and marks that turn the direction of the text around
them. So its words stand in a `<bdi>` of their own, and what cannot be seen is made visible.
"""

from html import escape
from urllib.parse import urlencode

from django import template
from django.utils.safestring import SafeString, mark_safe

from dashboard.insight.advice import advice_of
from dashboard.templatetags.batches import percent

register = template.Library()

# Control characters as their pictures (U+2400 ...), but for the tab and the line break; those above 0x7f have none.
VISIBLE = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}
VISIBLE |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
LEAST = 1.2  # per cent; a group is never too thin to be seen


@register.filter
def said(text: object) -> SafeString:
    """Words of a vendor or of a customer, kept to themselves."""
    return mark_safe(f"<bdi>{escape(visible(text))}</bdi>")  # noqa: S308 (escaped here)


def visible(text: object) -> str:
    return str("" if text is None else text).translate(VISIBLE)


@register.simple_tag
def querystring_of(**values: object) -> str:
    """A query with these values alone."""
    return urlencode(values)


@register.simple_tag
def share_bar(part: int, whole: int) -> SafeString:
    """How much of all failures one group is."""
    width = percent(min(100.0, max(LEAST, 100 * part / whole))) if part and whole else "0"
    return mark_safe(  # noqa: S308 (numbers)
        '<svg class="sharebar" aria-hidden="true"><rect class="rest" width="100%" y="2" height="4" rx="1"/>'
        f'<rect class="fail" width="{width}" height="8" rx="1"/></svg>'
    )


@register.simple_tag
def share(part: int, whole: int) -> str:
    """67 %; a share that is not nothing is never 0 %, one that is not all never 100 %."""
    if not whole:
        return ""
    value = 100 * part / whole
    if 0 < value < 0.1:
        return "< 0.1 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1f} %"


@register.simple_tag
def spark(days: list[int], muted: int, width: int = 112) -> SafeString:
    """A column a day. The first `muted` are outside of the range that the numbers beside it are of."""
    top, step = max([*days, 1]), width / max(1, len(days))
    out = [f'<svg class="spark" width="{width}" height="22" aria-hidden="true">']
    out.append(f'<rect class="base" width="{width}" y="21" height="1"/>')
    for i, number in enumerate(days):
        if number:
            height = max(2.0, 20 * number / top)
            css = "ok" if i < muted else "col"
            out.append(
                f'<rect class="{css}" x="{i * step:.1f}" y="{21 - height:.1f}" width="{step - 1.5:.1f}"'
                f' height="{height:.1f}"/>'
            )
    return mark_safe("".join(out) + "</svg>")  # noqa: S308 (numbers)


@register.simple_tag
def advice(code: str) -> SafeString:
    """Whether another try is worth it, in a few words; the sentence is under the pointer."""
    found = advice_of(code)
    words, sentence = escape(str(found.words)), escape(str(found.sentence))
    return mark_safe(  # noqa: S308 (escaped here)
        f'<span class="tag{" tag--worth" if found.is_worth else ""}" title="{sentence}">{words}</span>'
    )


@register.filter
def size(value: int | None) -> str:
    """1.4 MB; nothing for what is not known."""
    if value is None:
        return ""
    number, unit = float(value), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
