"""What was seen of a batch and when, and who did what to it, as lines of one list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from dashboard.insight.batch_files import detail_in_words
from dashboard.insight.causes import cause_of_act
from dashboard.insight.outcome import lost_with_connection, state_of
from dashboard.models import Act, AuditEntry, Batch, Transition
from dashboard.models.batch import Status


@dataclass(frozen=True, slots=True)
class Event:
    """One line of "seen": a status that changed, or something that somebody did."""

    at: datetime
    state: str
    words: str
    more: str = ""
    by_vendor: datetime | None = None


def events(
    found: Batch, most: int, transitions: Sequence[Transition] | None = None, acts: Sequence[Act] | None = None
) -> list[Event]:
    """What was seen and what was done, newest first; asked for unless a page has them, newest first as well."""
    if transitions is None:
        transitions = list(found.transitions.order_by("-pk")[:most])
    if acts is None:
        acts = list(Act.objects.filter(batch=found).order_by("-began_at")[:most])
    seen = [
        Event(
            at=transition.noticed_at,
            state=drawn_as(found, transition.new_status),
            words=status_words(found, transition),
            more=source_words(transition.source),
            by_vendor=transition.at,
        )
        for transition in transitions[:most]
    ]
    done = [
        Event(
            at=act.began_at,
            state={"accepted": "cancelling", "refused": "failed"}.get(act.state, "stale"),
            words=_("Cancel by %(who)s: %(how)s") % {"who": act.who, "how": how_it_ended(act)},
            more=act.words,
        )
        for act in acts[:most]
    ]
    lost = [Event(at=at, state="gone", words=str(words)) for at, words in out_of_sight(found)]
    audited = AuditEntry.objects.filter(batch=found).exclude(verb__startswith="batch.cancel").order_by("-pk")[:most]
    read = [
        Event(at=entry.at, state="none", words=read_words(entry), more=detail_in_words(entry.detail))
        for entry in audited
    ]
    return sorted([*seen, *done, *read, *lost], key=lambda event: event.at, reverse=True)[:most]


def read_words(entry: AuditEntry) -> str:
    """Who read what of it."""
    said = {
        "read.file": _("%(who)s had a file read"),
        "read.preview": _("%(who)s looked into a file"),
        "read.download": _("%(who)s downloaded a file"),
        "read.body": _("%(who)s read what a request says"),
        "export.errors": _("%(who)s exported its errors"),
        "export.requests": _("%(who)s exported its failing requests"),
    }.get(entry.verb, _("%(who)s: %(verb)s"))
    return said % {"who": entry.actor, "verb": entry.verb}


def out_of_sight(found: Batch) -> list[tuple[datetime, str]]:
    """When and why it could not be seen any more."""
    when = [
        (None if lost_with_connection(found) else found.gone_at, _("No longer visible with this key")),
        (found.connection.retired_at, _("Its connection was removed")),
    ]
    return [(at, words) for at, words in when if at]


def drawn_as(found: Batch, status: str) -> str:
    """The status that a batch ended with is drawn as the batch is; "completed" alone says nothing of the outcome."""
    if status == found.status and not found.is_open:
        return state_of(found)
    return "none" if status == Status.COMPLETED else status


def status_words(found: Batch, transition: Transition) -> str:
    new = str(Status(transition.new_status).label) if transition.new_status in Status else transition.new_status
    if transition.new_status == Status.UNKNOWN and found.status == Status.UNKNOWN:
        new = found.raw_status
    if not transition.old_status:
        return _("First seen as %(status)s") % {"status": new}
    return new


def source_words(source: str) -> str:
    return {
        Transition.Source.IMPORT: _("in the first import"),
        Transition.Source.POLL: _("by a sync"),
        Transition.Source.ACT: _("after a cancel"),
    }.get(Transition.Source(source), source)


def how_it_ended(act: Act) -> str:
    match act.state:
        case Act.State.ACCEPTED:
            return _("accepted")
        case Act.State.REFUSED:
            return _("refused. %(cause)s") % {"cause": cause_of_act(act.error_kind or "refused")}
        case Act.State.SENDING:
            return _("being sent")
        case _:
            return _("no answer, looked at again by itself")
