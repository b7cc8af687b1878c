"""How times are written: of day, ago, how long. In the person's own zone, the full time and zone under the pointer.

Markup is written by hand, as in batches.py, because a page has hundreds of them.
"""

from datetime import date, datetime, timedelta
from functools import lru_cache
from html import escape
from math import floor

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_noop
from django.utils.translation import gettext as _

register = template.Library()

# How long something takes or is ago; dashboard.js keeps ageing it in the same words (see `spans`).
SPANS = {
    "s": gettext_noop("%(s)d s"),
    "m": gettext_noop("%(m)d min"),
    "h": gettext_noop("%(h)d h"),
    "hm": gettext_noop("%(h)d h %(m)02d min"),
    "d": gettext_noop("%(d)d d"),
    "dh": gettext_noop("%(d)d d %(h)d h"),
}


@register.simple_tag
def spans() -> SafeString:
    """Those words as attributes."""
    return SafeString(
        " ".join(f'data-span-{name}="{escape(_(words))}"' for name, words in SPANS.items())
    )  # safe: escaped here


def span(name: str, **values: int) -> str:
    return _(SPANS[name]) % values


@register.filter
def duration(value: timedelta | float | None) -> str:
    """The two largest units: 41 s, 6 min, 24 h, 13 h 11 min, 3 d 4 h."""
    if value is None:
        return ""
    seconds = floor(value.total_seconds() if isinstance(value, timedelta) else value)
    if seconds < 60:
        return span("s", s=seconds)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return span("m", m=minutes)
    if hours < 48:
        rest = minutes % 60
        return span("hm" if rest else "h", h=hours, m=rest)
    rest = hours % 24
    return span("dh" if rest else "d", d=days, h=rest)


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """A `<time>` that dashboard.js keeps ageing: "38 s ago", with the full time and zone under the pointer."""
    if at is None:
        return ""
    past = (timezone.now() - at).total_seconds()
    words = _("%(time)s ago") % {"time": duration(past)} if past >= 0 else _("in %(time)s") % {"time": duration(-past)}
    return SafeString(  # safe: times and words of ours
        f'<time datetime="{at.isoformat()}" title="{full(timezone.localtime(at))}" data-ago>{escape(words)}</time>'
    )


@register.filter
def due(at: datetime) -> SafeString:
    """The same of what is to come: "in 12 s", and "due now" rather than that it was some seconds ago."""
    words, ahead = _("due now"), (at - timezone.now()).total_seconds()
    said = _("in %(time)s") % {"time": duration(ahead)} if ahead > 0 else words
    return SafeString(  # safe: times and words of ours
        f'<time datetime="{at.isoformat()}" title="{full(timezone.localtime(at))}" data-ago'
        f' data-over="{escape(words)}">{escape(said)}</time>'
    )


@register.filter
def clock(at: datetime | None) -> SafeString | str:
    """14:06; with the days between when it is not today: 14:06 +1 d, and a date when it is further away."""
    return "" if at is None else timed(at)


@register.filter
def clock_words(at: datetime, seconds: str = "") -> str:
    return words_of(timezone.localtime(at), seconds=bool(seconds))


def words_of(local: datetime, *, seconds: bool = False) -> str:
    today = datetime.now(local.tzinfo).date()
    day, time = local.date(), local.isoformat(" ", "seconds")[11 : 19 if seconds else 16]
    days = (day - today).days
    if days == 0:
        return time
    if days == 1:
        return _("%(time)s +1 d") % {"time": time}
    return f"{day_words(day, get_language(), day.year == today.year)} {time}"


@lru_cache(2_000)
def day_words(day: date, _language: str | None, is_this_year: bool) -> str:  # noqa: FBT001
    """3 Oct, or 3 Oct 2025; remembered, because a list says the same few days again and again."""
    return date_format(day, _("j M") if is_this_year else _("j M Y"))


@register.filter
def exact(at: datetime | None) -> SafeString | str:
    """With seconds, for the timeline."""
    return "" if at is None else timed(at, seconds=True)


def full(local: datetime) -> str:
    return f"{local.isoformat(' ', 'seconds')[:19]} {local.tzname()}"


def timed(at: datetime, *, seconds: bool = False) -> SafeString:
    local = timezone.localtime(at)
    words = escape(words_of(local, seconds=seconds))
    return SafeString(  # safe: times and words of ours
        f'<time datetime="{at.isoformat()}" title="{full(local)}">{words}</time>'
    )
