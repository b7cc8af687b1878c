"""How a wall writes times."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

DAY, WEEK = timedelta(hours=24), timedelta(days=6)


def wall_clock(at: datetime | None) -> str:
    """14:05; with the day of what is a day or more away. Text alone: nobody points at a wall."""
    return at_words(at) if at else "–"


def at_words(at: datetime, *, short: bool = False) -> str:
    """Within a day the time of the clock says it all; `short` has room for no more than that, or for a day."""
    local, apart = timezone.localtime(at), abs(at - timezone.now())
    if apart < DAY:
        return f"{local:%H:%M}"
    day = date_format(local, "D" if apart < WEEK else _("j M"))
    return day if short else f"{day} {local:%H:%M}"
