"""What pages say of concerns: the line of each, the few words in a row of the list, and how many there are."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db.models import Count

from dashboard.dialects.scrub import scrub
from dashboard.insight.concern_words import STATES, in_short, sentence, since_of
from dashboard.insight.concerns import NOTICES, SEVERITY, Evidence
from dashboard.models import Batch, Concern, Reason
from dashboard.models.connection import Visible, visible_connections
from dashboard.templatetags.times import clock_words, duration

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from dashboard.models import User

# Beside a status that is coloured already, only these have a colour of their own.
NOTED = {
    Reason.HIGH_FAILED_SHARE: "risk",
    Reason.STALLED: "stalled",
    Reason.WINDOW_NEARLY_OVER: "risk",
    Reason.OVERDUE: "risk",
    Reason.CANCEL_STUCK: "stalled",
    Reason.COUNTS_DIFFER: "risk",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One concern, ready to be shown."""

    concern: Concern
    label: str
    state: str
    sentence: str
    since: datetime

    @classmethod
    def of(cls, concern: Concern) -> Self:
        reason = Reason(concern.reason)
        return cls(
            concern=concern,
            label=str(reason.label),
            state=STATES[reason],
            sentence=sentence(reason, masked(concern.evidence), clock_words, duration),
            since=since_of(concern.evidence) or concern.opened_at,
        )


def masked(evidence: Evidence) -> Evidence:
    """The vendor's words without keys, addresses and organisation ids."""
    first = evidence.get("first")
    return evidence | {"first": first | {"words": scrub(str(first.get("words", "")))}} if first else evidence


def lines_of(concerns: Iterable[Concern]) -> list[Line]:
    """The worst first."""
    return [Line.of(concern) for concern in sorted(concerns, key=lambda concern: SEVERITY[concern.reason])]


def lines_of_connections(connections: Collection[int]) -> dict[int, list[Line]]:
    """What the connections themselves need attention for, with one query."""
    lines: dict[int, list[Line]] = {}
    of_connections = (Reason.CONNECTION_FAILING, Reason.SYNC_STALE)
    for line in lines_of(Concern.objects.open().filter(reason__in=of_connections, connection__in=list(connections))):
        lines.setdefault(line.concern.connection_id, []).append(line)
    return lines


# --- In the rows of the list ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Note:
    """The worst of a batch in a few words."""

    reason: str
    words: str
    state: str


def notes_of(batches: Collection[Batch]) -> dict[int, Note]:
    """For those that have one, with one query."""
    rows = Concern.objects.open().filter(batch__in=[batch.pk for batch in batches])
    worst: dict[int | None, tuple[int, str, dict[str, object]]] = {}
    for pk, reason, evidence in rows.values_list("batch_id", "reason", "evidence"):
        if pk not in worst or SEVERITY[reason] < worst[pk][0]:
            worst[pk] = (SEVERITY[reason], reason, evidence)
    return {
        pk: Note(reason, in_short(reason, evidence, clock_words), NOTED.get(Reason(reason), ""))
        for pk, (_severity, reason, evidence) in worst.items()
        if pk is not None
    }


# --- How many ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Needs:
    """How many concerns are open, by connection and reason."""

    counts: dict[tuple[int, str], int]

    def of(self, reason: str | None = None, connection: int | None = None) -> int:
        """Of one reason; without it all but the notices, which ask nothing of anybody yet."""
        return sum(
            number
            for (connection_id, of_reason), number in self.counts.items()
            if (of_reason not in NOTICES if reason is None else of_reason == reason)
            and connection in (None, connection_id)
        )


# By what one may see; the token, the end of its time, and the counts.
_needs: dict[Visible, tuple[str, float, Needs]] = {}
_MOST_KEPT = 100


def needs_of(user: "User | AnonymousUser", token: str) -> Needs:
    """Counted again when a revision has moved, which rises with whatever opens or closes."""
    visible = visible_connections(user)
    known, until, needs = _needs.get(visible, ("", 0.0, Needs({})))
    if known != token or until < time.monotonic():
        rows = Concern.objects.visible_to(user).open().values_list("connection_id", "reason")
        needs = Needs({(pk, reason): number for pk, reason, number in rows.annotate(number=Count("pk"))})
        if len(_needs) >= _MOST_KEPT:
            _needs.clear()
        _needs[visible] = token, time.monotonic() + settings.REMEMBER_SECONDS, needs
    return needs
