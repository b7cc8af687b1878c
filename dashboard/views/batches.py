"""The list of batches: search, filter, sort, page by key, and keep the rows on the screen fresh."""

import re
from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import FETCH_RAISE, Q
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from dashboard.insight.pulse import Pulse, revisions_in
from dashboard.insight.query import FAILED, Query, query_of
from dashboard.insight.search import LOOKED, condition_of, find, tally
from dashboard.middleware import polled, pulse_of
from dashboard.models import Batch
from dashboard.models.batch import BatchQuerySet, Outcome
from dashboard.models.connection import Connection, visible_connections
from dashboard.models.search import SHORTEST_INDEXED_WORD
from dashboard.views.batch_row import SHOWN_COLUMNS, rows_of
from dashboard.views.shell import stale_connections

PAGE = 50
CAP = 10_000  # matches of a search are counted up to here
NEW_CAP = 1_000
SORTED = 2_000  # so many matches are put into another order; of more, the list in that order is looked through
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

UNKNOWN = (Outcome.UNKNOWN, Outcome.UNCOUNTED, Outcome.NO_REQUESTS, Outcome.UNSEEN)
# The word in the address, what the chip says, how it is drawn, and which outcomes it stands for.
CHIPS: tuple[tuple[str, Any, str, tuple[str, ...] | None], ...] = (
    ("", gettext_lazy("All"), "", None),
    ("running", gettext_lazy("Running"), "in_progress", (Outcome.OPEN,)),
    ("succeeded", gettext_lazy("Succeeded"), "succeeded", (Outcome.SUCCEEDED,)),
    ("partial", gettext_lazy("Partial"), "partial", (Outcome.PARTIAL,)),
    ("failed", gettext_lazy("Failed"), "failed", FAILED),
    ("expired", gettext_lazy("Expired"), "expired", (Outcome.EXPIRED,)),
    ("cancelled", gettext_lazy("Cancelled"), "cancelled", (Outcome.CANCELLED,)),
    ("unknown", gettext_lazy("Unknown"), "unknown", UNKNOWN),
)
OUTCOMES: Mapping[str, tuple[str, ...] | None] = {slug: outcomes for slug, _label, _state, outcomes in CHIPS}
# What the list can be sorted by, always from the greatest down and then by id.
SORTS = {"newest": "place", "finish": "finished_at", "failed": "failing"}
CURSOR = re.compile(r"(-?\d{1,19})\.(\d{1,18})")
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of one row in a sorted list: its key as a whole number (microseconds for a time) and its id."""

    key: int
    pk: int

    @classmethod
    def at(cls, batch: Batch, sort: str) -> Self:
        value = getattr(batch, SORTS[sort])
        return cls((value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value, batch.pk)

    def value(self, sort: str) -> datetime | int:
        if sort == "finish":
            return EPOCH + timedelta(microseconds=self.key)
        if abs(self.key) > LARGEST:
            raise OverflowError
        return self.key

    def __str__(self) -> str:
        return f"{self.key}.{self.pk}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for. Values that make no sense are left out, and a note says so."""

    q: str = ""
    status: str = ""
    connection: int | None = None
    sort: str = "newest"
    before: Cursor | None = None
    after: Cursor | None = None
    query: Query = field(default_factory=Query)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: QueryDict, names: Mapping[int, str]) -> Self:
        notes: list[str] = []
        q = query.get("q", "").replace("\0", "").strip()
        meant = query_of(q, names)
        notes += meant.notes
        status, sort, connection = query.get("status", ""), query.get("sort") or "newest", query.get("connection", "")
        if status not in OUTCOMES:
            status = ""
            notes.append(_("There is no such status, so all are shown."))
        if sort not in SORTS:
            sort = "newest"
            notes.append(_("There is no such order, so the newest come first."))
        known = connection.isdecimal() and len(connection) < 19
        if connection and not known:
            notes.append(_("There is no such connection, so all are shown."))
        asked = cls(q, status, int(connection) if known else None, sort, query=meant)
        return replace(
            asked,
            before=asked._cursor(query.get("before", ""), notes),
            after=asked._cursor(query.get("after", ""), notes),
            notes=tuple(notes),
        )

    def _cursor(self, text: str, notes: list[str]) -> Cursor | None:
        if not text:
            return None
        if found := CURSOR.fullmatch(text):
            cursor = Cursor(int(found[1]), int(found[2]))
            try:
                cursor.value(self.sort)
            except OverflowError:
                pass
            else:
                return cursor
        notes.append(_("The place in the list could not be read, so it starts at the top."))
        return None

    @property
    def short_words(self) -> list[str]:
        words = [term.values[0] for clause in self.query.clauses for term in clause if not term.field]
        return [word for word in words if len(word) < SHORTEST_INDEXED_WORD]

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.status or self.connection)

    @property
    def is_top(self) -> bool:
        """The newest first and from the start: the only place where new rows would appear."""
        return self.sort == "newest" and not self.before and not self.after

    def link(self, **changes: Any) -> str:
        """The address of this list with some of it changed; the place in it is left behind."""
        values = {"q": self.q, "status": self.status, "connection": self.connection, "sort": self.sort} | changes
        if values["sort"] == "newest":
            values["sort"] = ""
        return "?" + urlencode({name: value for name, value in values.items() if value not in ("", None)})

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Those of the chip; none is any."""
        return OUTCOMES[self.status] or ()

    def rows(self, batches: BatchQuerySet) -> BatchQuerySet:
        """Everything that is asked for but the query, in no order yet."""
        found = batches
        if self.connection is not None:
            found = found.filter(connection=self.connection)
        if self.outcomes:
            found = found.filter(outcome__in=self.outcomes)
        if self.sort == "finish":
            found = found.filter(finished_at__isnull=False)
        elif self.sort == "failed":
            # A literal: SQLite takes a partial index only when it can see that the condition holds.
            found = found.filter(failing__gt=RawSQL("0", []))
        return found

    def within(self, user: Any, taken: Pulse) -> Q:
        """What narrows a search besides its query and the chip."""
        within = Q()
        if self.connection is not None:
            within &= Q(connection=self.connection)
        if (visible := visible_connections(user)) is not None:
            within &= Q(connection__in=visible)
        if taken.dropped:
            within &= ~Q(connection__in=taken.dropped)
        return within


@dataclass(frozen=True, slots=True)
class Page:
    """Up to fifty batches and what lies on both sides of them."""

    batches: list[Batch]
    newer: bool
    older: bool
    # Where looking ended before the page was full: the batches below were not looked at.
    looked_to: Cursor | None = None


def page_of(request: HttpRequest, taken: Pulse, asked: Asked) -> Page:
    """One page by keyset: rows that share a key stand in the order of their ids, so none is lost or shown twice."""
    rows = asked.rows(shown_to(request, taken))
    if not asked.query:
        return walked(rows, asked)
    within = asked.within(request.user, taken)
    if asked.sort == "newest":
        return searched(rows, asked, within)
    some = find(asked.query, within, asked.outcomes, limit=SORTED + 1)
    if len(some.matches) <= SORTED and some.looked_to is None:
        return walked(rows.filter(pk__in=[match.pk for match in some.matches]), asked, is_small=True)
    return looked_through(rows, asked)


def searched(rows: BatchQuerySet, asked: Asked, within: Q) -> Page:
    """A page of what a query finds, newest first."""
    if asked.after:
        # At its own place as well: batches of one second may share it.
        found = find(asked.query, within, asked.outcomes, limit=PAGE + 2, above=asked.after.key - 1)
        later = [match.pk for match in found.matches if (match.place, match.pk) > (asked.after.key, asked.after.pk)]
        if len(later) > PAGE:
            return Page(fetched(rows.filter(pk__in=later[-PAGE:]), asked, "-place", "-pk"), newer=True, older=True)
    before = asked.before
    found = find(asked.query, within, asked.outcomes, limit=PAGE + 2, below=before.key + 1 if before else None)
    pks = [match.pk for match in found.matches if before is None or (match.place, match.pk) < (before.key, before.pk)]
    batches = fetched(rows.filter(pk__in=pks[: PAGE + 1]), asked, "-place", "-pk")
    is_full = len(batches) > PAGE
    looked_to = None if is_full or found.looked_to is None else Cursor(found.looked_to, 0)
    return Page(batches[:PAGE], newer=bool(before), older=is_full, looked_to=looked_to)


def walked(rows: BatchQuerySet, asked: Asked, *, is_small: bool = False) -> Page:
    """A page of a list in the order of an index."""
    key = SORTS[asked.sort]
    if asked.after:
        at = asked.after.value(asked.sort)
        later = rows.filter(Q(**{f"{key}__gt": at}) | Q(pk__gt=asked.after.pk), **{f"{key}__gte": at})
        found = fetched(later, asked, key, "pk", is_small=is_small)
        if len(found) > PAGE:
            return Page(found[:PAGE][::-1], newer=True, older=True)
        # The top is nearer than a whole page: show the top.
    if asked.before:
        rows = below(rows, asked, asked.before)
    found = fetched(rows, asked, f"-{key}", "-pk", is_small=is_small)
    return Page(found[:PAGE], newer=bool(asked.before), older=len(found) > PAGE)


def below(rows: BatchQuerySet, asked: Asked, cursor: Cursor) -> BatchQuerySet:
    key, at = SORTS[asked.sort], cursor.value(asked.sort)
    return rows.filter(Q(**{f"{key}__lt": at}) | Q(pk__lt=cursor.pk), **{f"{key}__lte": at})


def looked_through(rows: BatchQuerySet, asked: Asked) -> Page:
    """Of so many of the list the ones that the query holds for; paging back is a look from the top."""
    key = SORTS[asked.sort]
    if asked.before:
        rows = below(rows, asked, asked.before)
    some = rows.order_by(f"-{key}", "-pk").values("pk")[:LOOKED]
    found = fetched(Batch.objects.filter(condition_of(asked.query), pk__in=some), asked, f"-{key}", "-pk")
    if len(found) > PAGE:
        return Page(found[:PAGE], newer=bool(asked.before), older=True)
    last = rows.order_by(f"-{key}", "-pk").only(key)[LOOKED - 1 : LOOKED].first()
    return Page(found, bool(asked.before), older=False, looked_to=Cursor.at(last, asked.sort) if last else None)


def fetched(rows: BatchQuerySet, asked: Asked, *order: str, is_small: bool = True) -> list[Batch]:
    """The first rows in this order, one more than a page holds."""
    if len(asked.outcomes) > 1 and not is_small and asked.sort == "newest":
        # No index is in order for several outcomes, and walking the whole list for rare ones takes long: so the first
        # of each, by the index of outcomes, and then the first of those.
        firsts = [
            rows.filter(outcome=outcome).order_by(*order).values("pk")[: PAGE + 1].query.sql_with_params()
            for outcome in asked.outcomes
        ]
        union = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS of_{i}" for i, (sql, _params) in enumerate(firsts))  # noqa: S608 (Django wrote it)
        params = [param for _sql, own in firsts for param in own]
        rows = Batch.objects.filter(pk__in=RawSQL(union, params))  # noqa: S611 (Django wrote it)
    return list(
        rows.select_related("worst_error").only(*SHOWN_COLUMNS).fetch_mode(FETCH_RAISE).order_by(*order)[: PAGE + 1]
    )


# --- Views ------------------------------------------------------------------------------------------------------------


@polled
@require_GET
def batches(request: HttpRequest) -> HttpResponse:
    taken = pulse_of(request)  # before the rows: what moves in between is asked for again
    asked = Asked.of(request.GET, taken.names)
    seen, ids = request.GET.get("seen"), ids_in(request.GET)
    if is_htmx(request) and seen and ids:
        return render(request, "batches/_changed.html", changed(request, taken, asked, seen, ids))
    context = listed(request, taken, asked, page_of(request, taken, asked))
    return render(request, "batches/_refreshed.html" if is_htmx(request) else "batches/batches.html", context)


def shown_to(request: HttpRequest, taken: Pulse) -> BatchQuerySet:
    """What this person may see, without what is being deleted: that may take minutes, and is gone all the same."""
    visible = Batch.objects.visible_to(request.user)
    return visible.exclude(connection__in=taken.dropped) if taken.dropped else visible


def is_htmx(request: HttpRequest) -> bool:
    return request.META.get("HTTP_HX_REQUEST") == "true"


def ids_in(query: QueryDict) -> list[int]:
    return [int(word) for word in query.get("ids", "").split(",") if word.isdecimal() and len(word) < 19][: 2 * PAGE]


def listed(request: HttpRequest, taken: Pulse, asked: Asked, page: Page) -> dict[str, Any]:
    """Context of the list: with the shell around it, or its live pieces alone."""
    top = Cursor.at(page.batches[0], asked.sort) if page.batches else None
    ids = [batch.pk for batch in page.batches]
    context = common(request, taken, asked, ids, top if asked.is_top else None)
    if page.batches:
        if page.newer:
            context["newer"] = asked.link(after=top)
        if page.older:
            context["older"] = asked.link(before=Cursor.at(page.batches[-1], asked.sort))
    if page.looked_to:
        context["further"] = asked.link(before=page.looked_to)
        context["looked"] = LOOKED
    return context | {
        "rows": rows_of(page.batches, names_of(taken), stale_connections(taken)),
        "empty": "" if page.batches else "further" if page.looked_to else emptiness(taken, asked),
        "sorts": {name: asked.link(sort=name) for name in SORTS},
    }


def common(request: HttpRequest, taken: Pulse, asked: Asked, ids: list[int], top: Cursor | None) -> dict[str, Any]:
    """What both the page and the answer to a poll show: counts, and the address of the next poll."""
    shown = ",".join(map(str, ids))
    drained = ",".join(str(pk) for pk in sorted(stale_connections(taken)))
    counts, is_all = counts_of(request, taken, asked)
    poll = asked.link(before=asked.before, after=asked.after, seen=taken.token, ids=shown, top=top, drained=drained)
    return {
        "asked": asked,
        "poll_url": poll,
        "chips": [
            (slug, label, state, counts[slug], asked.link(status=slug)) for slug, label, state, _outcomes in CHIPS
        ],
        "count": counts[asked.status],
        "capped": not is_all,
        "removed": removed_of(taken),
        "top_url": asked.link(),
        "clear_url": asked.link(q="", status="", connection=None),
    }


def counts_of(request: HttpRequest, taken: Pulse, asked: Asked) -> tuple[dict[str, int], bool]:
    """How many batches each chip stands for, and whether these are all. The sort leaves some out, the chips do not."""
    if not asked.query:
        return {slug: taken.count(outcomes, asked.connection) for slug, outcomes in OUTCOMES.items()}, True
    met, is_all = tally(asked.query, asked.within(request.user, taken), most=CAP)
    return {slug: min(CAP, in_all(met, outcomes)) for slug, outcomes in OUTCOMES.items()}, is_all


def in_all(met: Tally[str], outcomes: tuple[str, ...] | None) -> int:
    return sum(met[outcome] for outcome in (met if outcomes is None else outcomes))


def names_of(taken: Pulse) -> dict[int, str]:
    """The names of the connections that are kept."""
    return {beat.connection_id: beat.name for beat in taken.beats}


def removed_of(taken: Pulse) -> list[tuple[int, str]]:
    """The removed connections of which there are batches: they can be asked for as well."""
    kept = names_of(taken)
    return [(pk, name) for pk, name in taken.names.items() if pk not in kept and taken.count(connection=pk)]


def emptiness(taken: Pulse, asked: Asked) -> str:
    """Why there is nothing to see; each of these has its own next step."""
    if asked.before or asked.after:
        return "end"
    if taken.count():
        return "filter" if asked.is_filtered else "sort"
    if not taken.beats:
        return "connection"
    if any(beat.health in (Connection.Health.NEW, Connection.Health.IMPORTING) for beat in taken.beats):
        return "import"
    return "filter" if asked.is_filtered else "upstream"


# --- Polls ------------------------------------------------------------------------------------------------------------


def changed(request: HttpRequest, taken: Pulse, asked: Asked, seen: str, ids: list[int]) -> dict[str, Any]:
    """Only the rows on the screen that moved since `seen`. New ones are counted, not pushed under the pointer."""
    revisions = revisions_in(seen)
    stale = stale_connections(taken)
    drained = {int(word) for word in request.GET.get("drained", "").split(",") if word.isdecimal()}
    # A row is drawn again, too, when its connection has become stale, has come back or was removed.
    turned = (drained ^ stale.keys()) | (revisions.keys() - {beat.connection_id for beat in taken.beats})
    moved = Q(connection__in=turned)
    for beat in taken.beats:
        if beat.connection_id not in turned and beat.revision != revisions.get(beat.connection_id):
            moved |= Q(connection=beat.connection_id, revision__gt=revisions.get(beat.connection_id, 0))
    rows = shown_to(request, taken).filter(moved, pk__in=ids)
    found = list(rows.select_related("worst_error").only(*SHOWN_COLUMNS).fetch_mode(FETCH_RAISE))
    top = asked._cursor(request.GET.get("top", ""), [])
    return common(request, taken, asked, ids, top) | {
        "rows": rows_of(found, names_of(taken), stale),
        "fresh": fresh(request, taken, asked, top) if top and asked.is_top else 0,
    }


def fresh(request: HttpRequest, taken: Pulse, asked: Asked, top: Cursor) -> int:
    """How many rows a refresh would put above the first one."""
    if asked.query:
        within = asked.within(request.user, taken)
        return len(find(asked.query, within, asked.outcomes, limit=NEW_CAP, above=top.key).matches)
    above = asked.rows(shown_to(request, taken)).filter(place__gt=top.key)
    return above.order_by("-place").values("pk")[:NEW_CAP].count()
