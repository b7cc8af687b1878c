"""The log of who did what, for who may read it: newest first, filtered by its address, as a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import wraps
from typing import Any, Self

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from dashboard.access import AUDIT, ROLE_NAMES, role_needed
from dashboard.audit import GROUPS, VERBS, record
from dashboard.models import AuditEntry, Batch, User
from dashboard.models.audit import AuditQuerySet
from dashboard.views.table import streamed

PAGE = 50
BLOCK = 1_000  # rows in memory at once, while they are written to a file
LONGEST = 200
COLUMNS = (
    *("at", "who", "from", "verb", "target", "detail", "changes", "vendor_status", "vendor_words"),
    *("batch", "person"),
)

type View = Callable[..., HttpResponseBase]


def for_auditors(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(AUDIT):
            raise PermissionDenied(
                _("Reading the audit needs the role %(role)s.") % {"role": ROLE_NAMES[role_needed(AUDIT)]}
            )
        return view(request, **kwargs)

    return guarded


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for. What makes no sense is left out, and a note says so."""

    who: str = ""
    what: str = ""  # one of GROUPS
    target: str = ""
    since: date | None = None
    until: date | None = None  # with that day
    before: int | None = None  # the place in the list
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        text = {name: query.get(name, "").replace("\0", "").strip()[:LONGEST] for name in ("who", "what", "target")}
        notes, days = [], []
        for name in ("from", "to"):
            given = query.get(name, "").strip()
            days.append(day := day_in(given))
            if given and not day:
                notes.append(_("“%(text)s” is no day; write it as 2026-11-22.") % {"text": given[:20]})
        if text["what"] not in GROUPS:
            text["what"] = ""
        before = query.get("before", "")
        place = int(before) if before.isdecimal() and len(before) < 19 else None
        return cls(**text, since=days[0], until=days[1], before=place, notes=tuple(notes))

    def values(self) -> dict[str, str]:
        """As the form and an address have them, without the place."""
        since, until = (day.isoformat() if day else "" for day in (self.since, self.until))
        every = {"who": self.who, "what": self.what, "target": self.target, "from": since, "to": until}
        return {name: value for name, value in every.items() if value}

    def rows(self) -> AuditQuerySet:
        rows: AuditQuerySet = AuditEntry.objects.order_by("-pk")
        if self.who:
            rows = rows.filter(actor__icontains=self.who)
        if self.what:
            rows = rows.filter(verb__startswith=f"{self.what}.")
        if self.target:
            rows = rows.filter(Q(target__icontains=self.target) | Q(detail__icontains=self.target))
        if self.since:
            rows = rows.filter(at__gte=midnight(self.since))
        if self.until:
            rows = rows.filter(at__lt=midnight(self.until + timedelta(days=1)))
        return rows.filter(pk__lt=self.before) if self.before else rows


def day_in(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 < day.year < 9000 else None


def midnight(day: date) -> datetime:
    """When that day begins for whoever asks."""
    return timezone.make_aware(datetime(day.year, day.month, day.day))  # noqa: DTZ001 (made aware here)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry, ready to be shown. `batch` and `person` are numbers to link to, where they still exist."""

    entry: AuditEntry
    verb: str
    changes: list[tuple[str, str, str]]
    answer: str
    batch: int | None
    person: int | None
    actor: int | None


def lines_of(entries: list[AuditEntry], request: HttpRequest) -> list[Line]:
    batches = {entry.batch_id for entry in entries if entry.batch_id}
    people = {pk for entry in entries for pk in (entry.person_id, entry.user_id) if pk}
    there = set(Batch.objects.visible_to(request.user).filter(pk__in=batches).values_list("pk", flat=True))
    here = set(User.objects.filter(pk__in=people).values_list("pk", flat=True))
    return [
        Line(
            entry,
            str(VERBS.get(entry.verb, entry.verb)),
            [(name, shown(before), shown(after)) for name, (before, after) in entry.changes.items()],
            answer_words(entry),
            entry.batch_id if entry.batch_id in there else None,
            entry.person_id if entry.person_id in here else None,
            entry.user_id if entry.user_id in here else None,
        )
        for entry in entries
    ]


def shown(value: Any) -> str:
    return _("nothing") if value in (None, "") else str(value)


def answer_words(entry: AuditEntry) -> str:
    """What the vendor said, in a line; empty where nobody was asked."""
    if entry.verb != "batch.cancel_answer":
        return ""
    state = {"accepted": _("accepted"), "refused": _("refused"), "unknown": _("no answer")}.get(entry.detail, "")
    http = f"HTTP {entry.http_status}" if entry.http_status else ""
    return " · ".join(filter(None, (state, http, entry.words)))


@for_auditors
@require_GET
def audit(request: HttpRequest) -> HttpResponse:
    """As of when it was read: it is not polled."""
    asked = Asked.of(request.GET)
    found = list(asked.rows()[: PAGE + 1])
    older = found[PAGE - 1].pk if len(found) > PAGE else None
    kept = urlencode(asked.values())
    context = {
        "asked": asked,
        "values": asked.values(),
        "lines": lines_of(found[:PAGE], request),
        "groups": GROUPS,
        "older": f"?{urlencode(asked.values() | {'before': str(older)})}" if older else "",
        "newest": f"?{kept}" if asked.before else "",
        "kept": f"?{kept}" if kept else "",
        "read_at": timezone.now(),
    }
    return render(request, "audit/audit.html", context)


@for_auditors
@require_GET
def export(request: HttpRequest, form: str) -> HttpResponseBase:
    """What the address asks for, all of it, newest first."""
    asked = replace(Asked.of(request.GET), before=None)
    response = streamed(COLUMNS, cells_of(asked), form, f"audit-{timezone.now():%Y-%m-%dT%H%MZ}")
    record(request, "export.audit", "audit", detail=urlencode(asked.values()))
    return response


def cells_of(asked: Asked) -> Iterator[tuple[Any, ...]]:
    """Block after block, each a question of its own, so that a slow download holds no transaction open."""
    while True:
        block = list(asked.rows()[:BLOCK])
        for entry in block:
            yield (
                *(entry.at, entry.actor, entry.address, entry.verb, entry.target, entry.detail),
                *(entry.changes or "", entry.http_status, entry.words, entry.batch_id, entry.person_id),
            )
        if len(block) < BLOCK:
            return
        asked = replace(asked, before=block[-1].pk)
