"""The list of batches: search, filter, sort, page by key, and keep the rows on the screen fresh."""

import re
from collections import Counter as Count
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import FETCH_RAISE, Q
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from dashboard.insight.pulse import Pulse, revisions_in
from dashboard.middleware import polled, pulse_of
from dashboard.models import Batch
from dashboard.models.batch import BatchQuerySet, Outcome
from dashboard.models.connection import Connection
from dashboard.models.search import SHORTEST_INDEXED_WORD, Match, search
from dashboard.views.batch_row import SHOWN_COLUMNS, rows_of
from dashboard.views.shell import stale_connections

PAGE = 50
CAP = 1_000  # matches of a search are counted up to here: ten times as many take longer than the page itself
NEW_CAP = 1_000
LONGEST_SEARCH = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

UNKNOWN = (Outcome.UNKNOWN, Outcome.UNCOUNTED, Outcome.NO_REQUESTS, Outcome.UNSEEN)
FAILED = (Outcome.ALL_FAILED, Outcome.FAILED_VALIDATION, Outcome.FAILED)
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
OUTCOMES = {slug: outcomes for slug, _label, _state, outcomes in CHIPS}
# What the list can be sorted by, always from the greatest down and then by id.
SORTS = {"newest": "place", "finish": "finished_at", "failed": "failing"}
WORD = re.compile(r'"([^"]+)"|(\S+)')
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
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        notes: list[str] = []
        q = query.get("q", "").replace("\0", "").strip()
        if len(q) > LONGEST_SEARCH:
            q = q[:LONGEST_SEARCH]
            notes.append(_("The search was cut to its first %(count)d characters.") % {"count": LONGEST_SEARCH})
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
        asked = cls(q, status, int(connection) if known else None, sort)
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
    def words(self) -> list[str]:
        return [quoted or word for quoted, word in WORD.findall(self.q)]

    @property
    def short_words(self) -> list[str]:
        return [word for word in self.words if len(word) < SHORTEST_INDEXED_WORD]

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

    def rows(self, batches: BatchQuerySet) -> BatchQuerySet:
        """Everything that is asked for but the words of the search, in no order yet."""
        found = batches
        if self.connection is not None:
            found = found.filter(connection=self.connection)
        if (outcomes := OUTCOMES[self.status]) is not None:
            found = found.filter(outcome__in=outcomes)
        if self.sort == "finish":
            found = found.filter(finished_at__isnull=False)
        elif self.sort == "failed":
            # A literal: SQLite takes a partial index only when it can see that the condition holds.
            found = found.filter(failing__gt=RawSQL("0", []))
        return found


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search found, newest first, and whether it is all."""

    found: list[Match]
    is_all: bool

    def near(self, asked: Asked, hidden: frozenset[int]) -> list[int]:
        """The ids among which the page that is asked for is found."""
        wanted = OUTCOMES[asked.status]
        if asked.sort != "newest":
            # By another key the page may hold any of them.
            return [match.pk for match in self.found if wanted is None or match.outcome in wanted]
        below, above = asked.before.key if asked.before else None, asked.after.key if asked.after else None
        found = [match for match in self.found if wanted is None or match.outcome in wanted]
        if self.is_all or (below is None and above is None and len(found) > PAGE):
            later = [match for match in found if above is not None and match.place >= above]
            # One more than is fetched: the row that the cursor names may be among them.
            near = later[-PAGE - 2 :] if len(later) > PAGE + 1 else found
            near = [match for match in near if below is None or match.place <= below][: PAGE + 2]
        else:
            limits: dict[str, Any] = {
                "outcomes": wanted,
                "connection": asked.connection,
                "limit": PAGE + 1,
                "hidden": hidden,
            }
            near = search(asked.words, above=above, **limits) if asked.after else []
            if len(near) <= PAGE:
                near = search(asked.words, below=below, **limits)
        return [match.pk for match in near]


def matches_of(taken: Pulse, asked: Asked) -> Matches | None:
    """By the text index; so many and no more, because a common word has most batches."""
    if not asked.words:
        return None
    found = search(asked.words, limit=CAP + 1, connection=asked.connection, hidden=taken.dropped)
    return Matches(found[:CAP], is_all=len(found) <= CAP)


@dataclass(frozen=True, slots=True)
class Page:
    """Up to fifty batches and what lies on both sides of them."""

    batches: list[Batch]
    newer: bool
    older: bool


def page_of(
    batches: BatchQuerySet, asked: Asked, matches: Matches | None, hidden: frozenset[int] = frozenset()
) -> Page:
    """One page by keyset: rows that share a key stand in the order of their ids, so none is lost or shown twice."""
    key = SORTS[asked.sort]
    rows = asked.rows(batches)
    if matches:
        rows = rows.filter(pk__in=matches.near(asked, hidden))
    if asked.after:
        at = asked.after.value(asked.sort)
        later = rows.filter(Q(**{f"{key}__gt": at}) | Q(pk__gt=asked.after.pk), **{f"{key}__gte": at})
        found = fetched(later, asked, key, "pk", is_small=matches is not None)
        if len(found) > PAGE:
            return Page(found[:PAGE][::-1], newer=True, older=True)
        # The top is nearer than a whole page: show the top.
    if asked.before:
        at = asked.before.value(asked.sort)
        rows = rows.filter(Q(**{f"{key}__lt": at}) | Q(pk__lt=asked.before.pk), **{f"{key}__lte": at})
    found = fetched(rows, asked, f"-{key}", "-pk", is_small=matches is not None)
    return Page(found[:PAGE], newer=bool(asked.before), older=len(found) > PAGE)


def fetched(rows: BatchQuerySet, asked: Asked, *order: str, is_small: bool) -> list[Batch]:
    """The first rows in this order, one more than a page holds."""
    outcomes = OUTCOMES[asked.status] or ()
    if len(outcomes) > 1 and not is_small and asked.sort == "newest":
        # No index is in order for several outcomes, and walking the whole list for rare ones takes long: so the first
        # of each, by the index of outcomes, and then the first of those.
        firsts = [
            rows.filter(outcome=outcome).order_by(*order).values("pk")[: PAGE + 1].query.sql_with_params()
            for outcome in outcomes
        ]
        union = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS of_{i}" for i, (sql, _params) in enumerate(firsts))  # noqa: S608 (Django wrote it)
        params = [param for _sql, own in firsts for param in own]
        rows = Batch.objects.filter(pk__in=RawSQL(union, params))  # noqa: S611 (Django wrote it)
    return list(
        rows.select_related("worst_error").only(*SHOWN_COLUMNS).fetch_mode(FETCH_RAISE).order_by(*order)[: PAGE + 1]
    )


# --- Views ------------------------------------------------------------------------------------------------------------


@require_GET
def home(_request: HttpRequest) -> HttpResponse:
    return redirect("batches")


@polled
@require_GET
def batches(request: HttpRequest) -> HttpResponse:
    taken = pulse_of(request)  # before the rows: what moves in between is asked for again
    asked = Asked.of(request.GET)
    seen, ids = request.GET.get("seen"), ids_in(request.GET)
    if is_htmx(request) and seen and ids:
        return render(request, "batches/_changed.html", changed(request, taken, asked, seen, ids))
    matches = matches_of(taken, asked)
    page = page_of(shown_to(request, taken), asked, matches, taken.dropped)
    context = listed(taken, asked, page, matches)
    return render(request, "batches/_refreshed.html" if is_htmx(request) else "batches/batches.html", context)


def shown_to(request: HttpRequest, taken: Pulse) -> BatchQuerySet:
    """What this person may see, without what is being deleted: that may take minutes, and is gone all the same."""
    visible = Batch.objects.visible_to(request.user)
    return visible.exclude(connection__in=taken.dropped) if taken.dropped else visible


def is_htmx(request: HttpRequest) -> bool:
    return request.META.get("HTTP_HX_REQUEST") == "true"


def ids_in(query: QueryDict) -> list[int]:
    return [int(word) for word in query.get("ids", "").split(",") if word.isdecimal() and len(word) < 19][: 2 * PAGE]


def listed(taken: Pulse, asked: Asked, page: Page, matches: Matches | None) -> dict[str, Any]:
    """Context of the list: with the shell around it, or its live pieces alone."""
    top = Cursor.at(page.batches[0], asked.sort) if page.batches else None
    ids = [batch.pk for batch in page.batches]
    context = common(taken, asked, matches, ids, top if asked.is_top else None)
    if page.batches:
        if page.newer:
            context["newer"] = asked.link(after=top)
        if page.older:
            context["older"] = asked.link(before=Cursor.at(page.batches[-1], asked.sort))
    return context | {
        "rows": rows_of(page.batches, names_of(taken), stale_connections(taken)),
        "empty": "" if page.batches else emptiness(taken, asked),
        "sorts": {name: asked.link(sort=name) for name in SORTS},
    }


def common(taken: Pulse, asked: Asked, matches: Matches | None, ids: list[int], top: Cursor | None) -> dict[str, Any]:
    """What both the page and the answer to a poll show: counts, and the address of the next poll."""
    shown = ",".join(map(str, ids))
    drained = ",".join(str(pk) for pk in sorted(stale_connections(taken)))
    counts = counts_of(taken, asked, matches)
    poll = asked.link(before=asked.before, after=asked.after, seen=taken.token, ids=shown, top=top, drained=drained)
    return {
        "asked": asked,
        "poll_url": poll,
        "chips": [
            (slug, label, state, counts[slug], asked.link(status=slug)) for slug, label, state, _outcomes in CHIPS
        ],
        "count": counts[asked.status],
        "capped": matches is not None and not matches.is_all,
        "removed": removed_of(taken),
        "top_url": asked.link(),
        "clear_url": asked.link(q="", status="", connection=None),
    }


def counts_of(taken: Pulse, asked: Asked, matches: Matches | None) -> dict[str, int]:
    """How many batches each chip stands for. The sort leaves some out, the chips do not."""
    if matches is None:
        return {slug: taken.count(outcomes, asked.connection) for slug, outcomes in OUTCOMES.items()}
    seen = Count(match.outcome for match in matches.found)
    return {
        slug: sum(seen[outcome] for outcome in (seen if outcomes is None else outcomes))
        for slug, outcomes in OUTCOMES.items()
    }


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
    matches = matches_of(taken, asked)
    return common(taken, asked, matches, ids, top) | {
        "rows": rows_of(found, names_of(taken), stale),
        "fresh": fresh(request, taken, asked, top) if top and asked.is_top else 0,
    }


def fresh(request: HttpRequest, taken: Pulse, asked: Asked, top: Cursor) -> int:
    """How many rows a refresh would put above the first one."""
    if asked.words:
        outcomes = OUTCOMES[asked.status]
        lookups: dict[str, Any] = {"outcomes": outcomes, "connection": asked.connection, "hidden": taken.dropped}
        return len(search(asked.words, limit=NEW_CAP, above=top.key, **lookups))
    above = asked.rows(shown_to(request, taken)).filter(place__gt=top.key)
    return above.order_by("-place").values("pk")[:NEW_CAP].count()
