"""What an address of the list asks for, and a page of it by keyset: for the screen, and block by block for a file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from django.db.models import FETCH_RAISE, Q
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.insight.pulse import Pulse
from dashboard.insight.query import FAILED, Query, query_of
from dashboard.insight.search import LOOKED, Match, find
from dashboard.insight.search_conditions import condition_of
from dashboard.middleware import viewer_of
from dashboard.models import Batch
from dashboard.models.batch import BatchQuerySet, Outcome
from dashboard.models.connection import visible_connections
from dashboard.models.search import SHORTEST_INDEXED_WORD
from dashboard.views.batch_row import SHOWN_COLUMNS

PAGE = 50
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


class Order(NamedTuple):
    """One way to sort the list: by a column, then by id in the same direction. `other` is the way back."""

    column: str
    up: bool  # the least first
    other: str
    words: Any


SORTS = {
    "newest": Order("place", False, "oldest", gettext_lazy("Newest first")),
    "oldest": Order("place", True, "newest", gettext_lazy("Oldest first")),
    "deadline": Order("expires_at", True, "deadline-desc", gettext_lazy("Nearest deadline first")),
    "deadline-desc": Order("expires_at", False, "deadline", gettext_lazy("Furthest deadline first")),
    "finish": Order("finished_at", False, "finish-asc", gettext_lazy("Latest finish first")),
    "finish-asc": Order("finished_at", True, "finish", gettext_lazy("Earliest finish first")),
    "failed": Order("failing", False, "failed-asc", gettext_lazy("Most failed first")),
    "failed-asc": Order("failing", True, "failed", gettext_lazy("Fewest failed first")),
    "total": Order("requests_total", False, "total-asc", gettext_lazy("Most requests first")),
    "total-asc": Order("requests_total", True, "total", gettext_lazy("Fewest requests first")),
}
# Which batches have a place in an order; and what is said when none has.
ONLY = {
    "expires_at": (
        gettext_lazy("Only batches running to a deadline."),
        gettext_lazy("None is running to a deadline."),
    ),
    "finished_at": (gettext_lazy("Only batches that have ended."), gettext_lazy("No batch has ended yet.")),
    "failing": (gettext_lazy("Only batches with failed requests."), gettext_lazy("None has failed requests.")),
    "requests_total": (gettext_lazy("Only batches that say how many requests."), gettext_lazy("None says how many.")),
}
# What an address may say; the second line is what polls add.
READ = {"q", "status", "connection", "sort", "before", "after"}
READ |= {"seen", "ids", "top", "drained", "columns"}
TIMES = {"expires_at", "finished_at"}
CURSOR = re.compile(r"(-?\d{1,19})\.(\d{1,18})")
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of one row in a sorted list: its key as a whole number (microseconds for a time) and its id."""

    key: int
    pk: int

    @classmethod
    def at(cls, batch: Batch, sort: str) -> Self:
        value = getattr(batch, SORTS[sort].column)
        return cls((value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value, batch.pk)

    def value(self, sort: str) -> datetime | int:
        if SORTS[sort].column in TIMES:
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
        known = connection.isdecimal() and len(connection) < 19 and int(connection) in names
        if connection and not known:
            notes.append(_("There is no such connection, so all are shown."))
        if strange := sorted(query.keys() - READ):
            # A saved view, or a link, of another version.
            said = ", ".join(name[:40] for name in strange[:5])
            notes.append(_("The list knows no %(names)s, so it is left out.") % {"names": said})
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
    def order(self) -> Order:
        return SORTS[self.sort]

    @property
    def only(self) -> tuple[Any, Any]:
        """Which batches the order leaves in, and what is said when there is none; empty when it leaves out none."""
        return ONLY.get(self.order.column, ("", ""))

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
        match self.order.column:
            case "finished_at":
                found = found.filter(finished_at__isnull=False)
            case "expires_at":
                found = found.filter(is_open=True, gone_at=None, expires_at__isnull=False)
            case "failing" | "requests_total" as column:
                # A literal: SQLite takes a partial index only when it can see that the condition holds.
                found = found.filter(**{f"{column}__gt": RawSQL("0", [])})
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
    """Some batches in a row and what lies on both sides of them."""

    batches: list[Batch]
    newer: bool
    # Where the page below begins; None at the end.
    older: Cursor | None = None
    # Where looking ended before the page was full: the batches below were not looked at.
    looked_to: Cursor | None = None


def shown_to(request: HttpRequest, taken: Pulse) -> BatchQuerySet:
    """What this person or link may see, without what is being deleted: that takes minutes, and is gone all the same."""
    visible = Batch.objects.visible_to(viewer_of(request))
    return visible.exclude(connection__in=taken.dropped) if taken.dropped else visible


def page_of(
    request: HttpRequest, taken: Pulse, asked: Asked, size: int = 0, columns: tuple[str, ...] = SHOWN_COLUMNS
) -> Page:
    """One page by keyset: rows that share a key stand in the order of their ids, so none is lost or shown twice.

    `columns` are all that is read of each row.
    """
    rows = asked.rows(shown_to(request, taken)).only(*columns).fetch_mode(FETCH_RAISE)
    if joined := {column.partition("__")[0] for column in columns if "__" in column}:
        rows = rows.select_related(*joined)
    size = size or PAGE
    if not asked.query:
        return walked(rows, asked, size)
    within = asked.within(viewer_of(request), taken)
    if asked.order.column == "place":
        return searched(rows, asked, size, within)
    some = find(asked.query, within, asked.outcomes, limit=SORTED + 1)
    if len(some.matches) <= SORTED and some.looked_to is None:
        return walked(rows.filter(pk__in=[match.pk for match in some.matches]), asked, size, is_small=True)
    return looked_through(rows, asked, size)


def searched(rows: BatchQuerySet, asked: Asked, size: int, within: Q) -> Page:
    """A page of what a query finds, by when it was created."""
    up = asked.order.up
    if asked.after:
        back, _looked_to = matches_next_to(asked, asked.after, size, within, up=not up)
        if len(back) > size:
            return page_of_matches(rows, asked, back[:size][::-1], newer=True, older=True)
    found, looked_to = matches_next_to(asked, asked.before, size, within, up=up)
    page = page_of_matches(rows, asked, found[:size], newer=bool(asked.before), older=len(found) > size)
    return page if page.older or looked_to is None else replace(page, looked_to=Cursor(looked_to, LARGEST if up else 0))


def matches_next_to(
    asked: Asked, cursor: Cursor | None, size: int, within: Q, *, up: bool
) -> tuple[list[Match], int | None]:
    """The matches above or below a place, the nearest first, and where looking ended."""
    # At its own place as well: batches of one second may share it.
    if up:
        found = find(asked.query, within, asked.outcomes, limit=size + 2, above=cursor.key - 1 if cursor else -1)
        near = found.matches[::-1]
        beyond = [match for match in near if not cursor or (match.place, match.pk) > (cursor.key, cursor.pk)]
    else:
        found = find(asked.query, within, asked.outcomes, limit=size + 2, below=cursor.key + 1 if cursor else None)
        beyond = [match for match in found.matches if not cursor or (match.place, match.pk) < (cursor.key, cursor.pk)]
    return beyond, found.looked_to


def page_of_matches(rows: BatchQuerySet, asked: Asked, matches: list[Match], *, newer: bool, older: bool) -> Page:
    """Of these. One may have changed since it was found and be left out; where the page ends does not depend on it."""
    batches = list(rows.filter(pk__in=[match.pk for match in matches]).order_by(*order_of(asked)))
    return Page(batches, newer, Cursor(matches[-1].place, matches[-1].pk) if older else None)


def order_of(asked: Asked, *, back: bool = False) -> tuple[str, str]:
    sign = "" if asked.order.up != back else "-"
    return f"{sign}{asked.order.column}", f"{sign}pk"


def beyond(rows: BatchQuerySet, asked: Asked, cursor: Cursor, *, back: bool = False) -> BatchQuerySet:
    """What comes after a place in the list, or before it."""
    key, at = asked.order.column, cursor.value(asked.sort)
    way = "gt" if asked.order.up != back else "lt"
    return rows.filter(Q(**{f"{key}__{way}": at}) | Q(**{f"pk__{way}": cursor.pk}), **{f"{key}__{way}e": at})


def walked(rows: BatchQuerySet, asked: Asked, size: int, *, is_small: bool = False) -> Page:
    """A page of a list in the order of an index."""
    if asked.after:
        before = beyond(rows, asked, asked.after, back=True)
        found = firsts(before, asked, size, order_of(asked, back=True), is_small=is_small)
        if len(found) > size:
            shown = found[:size][::-1]
            return Page(shown, newer=True, older=Cursor.at(shown[-1], asked.sort))
        # The top is nearer than a whole page: show the top.
    if asked.before:
        rows = beyond(rows, asked, asked.before)
    return cut(firsts(rows, asked, size, order_of(asked), is_small=is_small), asked, size)


def cut(found: list[Batch], asked: Asked, size: int) -> Page:
    """A page of up to one more than it holds."""
    older = Cursor.at(found[size - 1], asked.sort) if len(found) > size else None
    return Page(found[:size], bool(asked.before), older)


def looked_through(rows: BatchQuerySet, asked: Asked, size: int) -> Page:
    """Of so many of the list the ones that the query holds for; paging back is a look from the top."""
    order = order_of(asked)
    if asked.before:
        rows = beyond(rows, asked, asked.before)
    # The last first: what comes between the two questions is asked for again.
    last = rows.order_by(*order)[LOOKED - 1 : LOOKED].first()
    some = rows.order_by(*order).values("pk")[:LOOKED]
    found = rows.filter(condition_of(asked.query), pk__in=some).order_by(*order)[: size + 1]
    page = cut(list(found), asked, size)
    return page if page.older or last is None else replace(page, looked_to=Cursor.at(last, asked.sort))


def firsts(rows: BatchQuerySet, asked: Asked, size: int, order: tuple[str, str], *, is_small: bool) -> list[Batch]:
    """The first rows in this order, one more than a page holds."""
    if len(asked.outcomes) > 1 and not is_small and asked.order.column == "place":
        # No index is in order for several outcomes, and walking the whole list for rare ones takes long: so the first
        # of each, by the index of outcomes, and then the first of those.
        parts = [
            rows.filter(outcome=outcome).order_by(*order).values("pk")[: size + 1].query.sql_with_params()
            for outcome in asked.outcomes
        ]
        union = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS of_{i}" for i, (sql, _params) in enumerate(parts))  # noqa: S608 (Django wrote it)
        params = [param for _sql, own in parts for param in own]
        rows = rows.filter(pk__in=RawSQL(union, params))  # noqa: S611 (Django wrote it)
    return list(rows.order_by(*order)[: size + 1])
