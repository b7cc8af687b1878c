"""Everything that needs attention, by reason, the worst first."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from dashboard.insight.concern_words import STATES
from dashboard.insight.concerns import NOTICES
from dashboard.insight.pulse import Beat, Pulse
from dashboard.middleware import polled, pulse_of
from dashboard.models import Concern, Connection, Reason
from dashboard.models.concern import ConcernQuerySet
from dashboard.views.batches import is_htmx
from dashboard.views.concern_line import Line, Needs, needs_of

Health = Connection.Health
SHOWN = 10  # of each reason, while all are shown
PAGE = 50
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CURSOR = re.compile(r"(\d{1,17})\.(\d{1,18})")
# Never the batch's payload or the connection's key.
COLUMNS = (
    "reason",
    "opened_at",
    "evidence",
    "connection__name",
    "batch__name",
    "batch__remote_id",
    "batch__is_open",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for; what makes no sense is left out."""

    reason: str = ""
    connection: int | None = None
    before: tuple[datetime, int] | None = None

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        reason, connection, before = (query.get(name, "") for name in ("reason", "connection", "before"))
        known = connection.isdecimal() and len(connection) < 19
        found = CURSOR.fullmatch(before) if reason in Reason else None
        return cls(
            reason if reason in Reason else "",
            int(connection) if known else None,
            (EPOCH + timedelta(microseconds=int(found[1])), int(found[2])) if found else None,
        )

    def link(self, **changes: object) -> str:
        values: dict[str, object] = {"reason": self.reason, "connection": self.connection} | changes
        return "?" + urlencode({name: value for name, value in values.items() if value not in ("", None)})

    def rows(self, concerns: ConcernQuerySet, reason: str) -> ConcernQuerySet:
        """One reason's, the latest first; rows of the same moment stand in the order of their ids."""
        rows = concerns.filter(reason=reason).order_by("-opened_at", "-pk")
        if self.connection is not None:
            rows = rows.filter(connection=self.connection)
        if self.before:
            at, pk = self.before
            rows = rows.filter(Q(opened_at__lt=at) | Q(pk__lt=pk), opened_at__lte=at)
        return rows.select_related("batch", "connection").only(*COLUMNS)


def cursor(at: datetime, pk: int) -> str:
    return f"{(at - EPOCH) // timedelta(microseconds=1)}.{pk}"


@dataclass(slots=True)
class Group:
    """One reason and its concerns."""

    reason: Reason
    count: int
    lines: list[Line] = field(default_factory=list)
    more: str = ""  # where the others are

    @property
    def state(self) -> str:
        return STATES[self.reason]


@polled
@require_GET
def attention(request: HttpRequest) -> HttpResponse:
    taken = pulse_of(request)  # before the rows: what moves in between is asked for again
    asked = Asked.of(request.GET)
    needs = needs_of(request.user, taken.token)
    groups = groups_of(Concern.objects.visible_to(request.user).open(), asked, needs)
    context = {
        "asked": asked,
        "count": needs.of(),
        "chips": chips_of(asked, needs),
        "groups": groups,
        "notices": [] if asked.reason else notices_of(asked, needs),
        "held": held_of(taken, asked),
        # Else a row says it.
        "says_held": not any(group.reason == Reason.SYNC_STALE for group in groups),
        "empty": "" if groups else emptiness(taken, asked, needs),
        "watched": watched(taken),
        "last_sync": max((beat.synced_at for beat in taken.beats if beat.synced_at), default=None),
        "top_url": asked.link() if asked.before else "",
        "all_url": asked.link(reason="", connection=None),
        "poll_url": asked.link(before=cursor(*asked.before) if asked.before else None, seen=taken.token),
    }
    return render(request, f"attention/{'_changed' if is_htmx(request) else 'attention'}.html", context)


def groups_of(concerns: ConcernQuerySet, asked: Asked, needs: Needs) -> list[Group]:
    """A page of one reason, or the latest of each with a link to the rest."""
    wanted = [Reason(asked.reason)] if asked.reason else [reason for reason in Reason if reason not in NOTICES]
    most = PAGE if asked.reason else SHOWN
    groups = []
    for reason in wanted:
        count = needs.of(reason, asked.connection)
        if not count:
            continue
        found = list(asked.rows(concerns, reason)[: most + 1])
        shown = found[:most]
        if not shown:
            continue
        group = Group(reason, count, [Line.of(concern) for concern in shown])
        if len(found) > most:
            last = shown[-1]
            before = cursor(last.opened_at, last.pk) if asked.reason else None
            group.more = asked.link(reason=reason.value, before=before)
        groups.append(group)
    return groups


def chips_of(asked: Asked, needs: Needs) -> list[tuple[str, str, str, int, str]]:
    """All, then every reason that there is, and the one that was asked for even when it is gone."""
    chips = [("", _("All"), "", needs.of(connection=asked.connection), asked.link(reason=""))]
    for reason in Reason:
        count = needs.of(reason, asked.connection)
        if count or reason == asked.reason:
            chips.append((reason.value, str(reason.label), STATES[reason], count, asked.link(reason=reason.value)))
    return chips


def notices_of(asked: Asked, needs: Needs) -> list[tuple[Reason, int, str]]:
    counts = [(Reason(reason), needs.of(reason, asked.connection)) for reason in sorted(NOTICES)]
    return [(reason, count, asked.link(reason=reason.value)) for reason, count in counts if count]


def held_of(taken: Pulse, asked: Asked) -> list[Beat]:
    """The connections whose batches nobody can judge by the clock at the moment."""
    troubled = (Health.STALE, Health.LOST)
    return [beat for beat in taken.beats if beat.health in troubled and asked.connection in (None, beat.connection_id)]


def watched(taken: Pulse) -> int:
    return sum(beat.health != Health.PAUSED for beat in taken.beats)


def emptiness(taken: Pulse, asked: Asked, needs: Needs) -> str:
    """Why there is nothing to see. Only what was looked at may be called fine."""
    if asked.before:
        return "end"
    if (asked.reason or asked.connection) and (needs.of() or asked.reason):
        return "filter"
    if not taken.beats:
        return "connection"
    if not watched(taken):
        return "paused"
    if all(beat.health in (Health.NEW, Health.IMPORTING, Health.PAUSED) for beat in taken.beats):
        return "import"
    return "clear"
