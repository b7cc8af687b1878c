"""How a wall writes times."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

HALF_DAY, WEEK = timedelta(hours=12), timedelta(days=6)


def wall_clock(at: datetime | None) -> str:
    """14:05; with the day where the time alone would leave it open. Text alone: nobody points at a wall."""
    return at_words(at) if at else "–"


def at_words(at: datetime, *, short: bool = False) -> str:
    """Today, and at most half a day away, the time of the clock says it all: at 23:11 a deadline of "23:10" would seem
    to be over. `short` has room for that, or for a day and, within a week, its hour."""
    now = timezone.now()
    local, apart = timezone.localtime(at), abs(at - now)
    if apart < HALF_DAY or local.date() == timezone.localdate(now):
        return f"{local:%H:%M}"
    day = date_format(local, "D" if apart < WEEK else _("j M"))
    return day if short and apart >= WEEK else f"{day} {local:%H:%M}"
