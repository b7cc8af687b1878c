"""What errors come to over a range: asked for by an address, summed up by the database, kept until a day's rows change.

Read from the daily roll-up, so that a page costs what there are groups and days, never batches; only the range of 24
hours is read from the batches' own rows, because a day is too coarse for it.
"""

import time
from collections import Counter as Tallies
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.core.exceptions import EmptyResultSet
from django.db import connection as database
from django.db.models import CharField, Count, Func, Q, QuerySet, Sum
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.insight.advice import WORTH
from dashboard.insight.retry import NEVER_RAN
from dashboard.middleware import pulse_of
from dashboard.models import BatchError, ErrorDay, ErrorGroup
from dashboard.models.connection import Visible, visible_connections

LONGEST_SEARCH = 200
TREND_DAYS = 14
# Of each group so many of its latest batches are asked whose they are: all of them would be all batches.
LATEST = 10
ANY = -1  # stands for a group where the same query is asked for many
HOURS = 24
MOST_SUMS = 64
MOST_NAMED = 300  # groups that are named one by one in a query

# The word in the address, what the chip says, and how many days it is; 0 is the last 24 hours.
RANGES: tuple[tuple[str, Any, int], ...] = (
    ("24h", gettext_lazy("24 h"), 0),
    ("7d", gettext_lazy("7 days"), 7),
    ("14d", gettext_lazy("14 days"), 14),
    ("30d", gettext_lazy("30 days"), 30),
)
DAYS = {slug: days for slug, _label, days in RANGES}
DEFAULT = "14d"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for. Values that make no sense are left out, and a note says so."""

    range: str = DEFAULT
    connection: int | None = None
    retry: bool = False
    new: bool = False
    q: str = ""
    page: int = 1
    notes: tuple[str, ...] = ()
    now: datetime = field(default_factory=timezone.now)

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        notes: list[str] = []
        span, connection, page = query.get("range") or DEFAULT, query.get("connection", ""), query.get("page") or "1"
        if span not in DAYS:
            span = DEFAULT
            notes.append(_("There is no such range, so 14 days are shown."))
        known = connection.isdecimal() and len(connection) < 19
        if connection and not known:
            notes.append(_("There is no such connection, so all are shown."))
        return cls(
            range=span,
            connection=int(connection) if known else None,
            retry=query.get("retry") == "1",
            new=query.get("new") == "1",
            q=query.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH],
            page=int(page) if page.isdecimal() and 0 < len(page) < 6 and int(page) else 1,
            notes=tuple(notes),
        )

    @property
    def is_hours(self) -> bool:
        return not DAYS[self.range]

    @property
    def since(self) -> datetime:
        """From when on. Days begin at midnight UTC, as the roll-up's do; today is one of them."""
        if self.is_hours:
            return self.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
        midnight = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=DAYS[self.range] - 1)

    @property
    def trend_days(self) -> int:
        return max(TREND_DAYS, DAYS[self.range])

    @property
    def is_filtered(self) -> bool:
        return bool(self.connection or self.retry or self.new or self.q)

    @property
    def words(self) -> str:
        return str(next(label for slug, label, _days in RANGES if slug == self.range))

    def values(self) -> dict[str, Any]:
        return {
            "range": "" if self.range == DEFAULT else self.range,
            "connection": self.connection,
            "retry": "1" if self.retry else "",
            "new": "1" if self.new else "",
            "q": self.q,
        }

    def link(self, **changes: Any) -> str:
        """The address of this page with some of it changed; the place in it is left behind."""
        values = self.values() | {"page": ""} | changes
        if values["range"] == DEFAULT:
            values["range"] = ""
        return "?" + urlencode({name: value for name, value in values.items() if value not in ("", None)})


@dataclass(frozen=True, slots=True)
class Sums:
    """What a range comes to, without any filter on groups."""

    by_group: dict[int, int]
    batches: dict[int, int]  # of the last 24 hours alone
    worth: set[int]
    never: set[int]
    new: set[int]
    # What was asked for already: groups that were shown, those drawn by hour, and for filters on groups the requests of
    # each day ("2026-11-22") or hour ("2026-11-22 14").
    trends: "dict[int, Trend]" = field(default_factory=dict)
    by_hour: dict[int, list[int]] = field(default_factory=dict)
    by_time: dict[tuple[bool, bool, str], dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trend:
    """One group's failing requests of each of the last days, oldest first; and how many batches met it in the range."""

    days: list[int]
    batches: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Every group that was met in the range, with the filters that narrow them down."""

    sums: Sums
    matching: set[int] | None  # None: no text is asked for

    def chosen(self, *, retry: bool, new: bool) -> list[int]:
        """Most requests first; a tie stands in the order of the groups' age."""
        found = self.found()
        if retry:
            found &= self.sums.worth
        if new:
            found &= self.sums.new
        return sorted(sorted(found), key=self.sums.by_group.__getitem__, reverse=True)

    def found(self) -> set[int]:
        """Those that the text matches."""
        return set(self.sums.by_group) if self.matching is None else self.matching & self.sums.by_group.keys()

    def requests(self, groups: Iterable[int]) -> int:
        return sum(map(self.sums.by_group.__getitem__, groups))


# --- Reading ----------------------------------------------------------------------------------------------------------


def fetched(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """The rows as the database's driver gives them: of thousands the ORM's way costs more than the query.

    A day is a text on SQLite, a date on PostgreSQL, where a sum of large numbers is a Decimal.
    """
    try:
        sql = rows.query.sql_with_params()
    except EmptyResultSet:
        return []
    with database.cursor() as cursor:
        cursor.execute(*sql)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def kept[Rows: (QuerySet[ErrorDay], QuerySet[BatchError])](request: HttpRequest, rows: Rows) -> Rows:
    """Without what is being deleted with its connection."""
    dropped = pulse_of(request).dropped
    return rows.exclude(connection__in=dropped) if dropped else rows


def days_of(request: HttpRequest, asked: Asked) -> QuerySet[ErrorDay]:
    rows = kept(request, ErrorDay.objects.visible_to(request.user))
    return rows if asked.connection is None else rows.filter(connection=asked.connection)


def errors_of(request: HttpRequest, asked: Asked) -> QuerySet[BatchError]:
    rows = kept(request, BatchError.objects.visible_to(request.user))
    return rows if asked.connection is None else rows.filter(connection=asked.connection)


def totals_of(request: HttpRequest, asked: Asked) -> Totals:
    """All groups of the range by id. There are thousands at most: that is what groups are for."""
    matching = None
    if asked.q:
        found = ErrorGroup.objects.filter(text_filter(asked.q))
        matching = set(found.values_list("pk", flat=True))
    return Totals(sums_of(request, asked), matching)


type Stamp = tuple[int | None, int]

# Two publications that overlap on PostgreSQL may leave the same stamp behind them.
SUMS_LAST = 60.0  # seconds

# By what one may see and what is being dropped, range and connection: what was summed up, and what of the roll-up it
# was made of.
_sums: dict[tuple[Visible, frozenset[int], datetime, int | None], tuple[Stamp, float, Sums]] = {}


def sums_of(request: HttpRequest, asked: Asked) -> Sums:
    """Summed up anew when a day's rows have changed, and those change whenever an error of a batch does.

    A group changes in no other way: what is worth a retry, and when it was first seen, is written together with them.
    """
    with database.cursor() as cursor:
        # Two subqueries, because both are quick and an aggregate of both is not.
        cursor.execute("SELECT (SELECT max(id) FROM dashboard_errorday), (SELECT count(*) FROM dashboard_errorday)")
        stamp = cursor.fetchone()
    key = (visible_connections(request.user), pulse_of(request).dropped, asked.since, asked.connection)
    known = _sums.get(key)
    if known and known[0] == stamp and time.monotonic() < known[1]:
        return known[2]
    groups = ErrorGroup.objects.filter(last_seen_at__gte=asked.since)
    retries = fetched(groups.filter(retry__in={*WORTH, *NEVER_RAN}).values("pk", "retry"))
    sums = Sums(
        by_group={},
        batches={},
        worth={pk for pk, retry in retries if retry in WORTH},
        never={pk for pk, retry in retries if retry in NEVER_RAN},
        new={pk for (pk,) in fetched(new_groups(asked).values("pk"))},
    )
    if asked.is_hours:
        met = errors_of(request, asked).filter(at__gte=asked.since).order_by().values("group_id")
        for group, requests, batches in fetched(met.annotate(total=Sum("requests"), places=Count("pk"))):
            sums.by_group[group], sums.batches[group] = requests, batches
    else:
        days = days_of(request, asked).filter(day__gte=asked.since.date()).order_by()
        found = fetched(days.values("group_id").annotate(total=Sum("requests")))
        sums.by_group.update((group, int(requests)) for group, requests in found)
    if len(_sums) >= MOST_SUMS:
        _sums.clear()
    _sums[key] = stamp, time.monotonic() + SUMS_LAST, sums
    return sums


def new_groups(asked: Asked) -> QuerySet[ErrorGroup]:
    """Those first seen in the range. While nothing older is known, nobody can tell what is new."""
    if not ErrorGroup.objects.filter(first_seen_at__lt=asked.since).exists():
        return ErrorGroup.objects.none()
    return ErrorGroup.objects.filter(first_seen_at__gte=asked.since)


class Hour(Func):
    """The hour (UTC) of a time, as a text: a database compares it faster than it could make a time of it."""

    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, template="substr(%(expressions)s, 1, 13)", **more)

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        template = "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"
        return self.as_sql(compiler, connection, template=template, **more)


def hours_of(request: HttpRequest, asked: Asked, sums: Sums, groups: list[int]) -> dict[int, list[int]]:
    """Each group's failing requests in each of the last 24 hours; the running one is the last."""
    if missing := [group for group in groups if group not in sums.by_hour]:
        places = {hour: i for i, hour in enumerate(hours_since(asked))}
        sums.by_hour.update((group, [0] * HOURS) for group in missing)
        rows = errors_of(request, asked).filter(group__in=missing, at__gte=asked.since).order_by()
        found = rows.values("group_id", hour=Hour("at")).annotate(total=Sum("requests"))
        for group, hour, requests in fetched(found.values_list("group_id", "hour", "total")):
            sums.by_hour[group][places.get(hour, HOURS - 1)] += requests
    return sums.by_hour


def hours_since(asked: Asked) -> list[str]:
    return [f"{asked.since + timedelta(hours=i):%Y-%m-%d %H}" for i in range(HOURS)]


def text_filter(q: str) -> Q:
    """Every word, in the code or in the message; a number may also be the HTTP status."""
    found = Q()
    for word in q.split()[:10]:
        one = Q(message__icontains=word) | Q(code__icontains=word)
        if word.isdecimal() and len(word) == 3:
            one |= Q(http_status=int(word))
        found &= one
    return found


def trends_of(request: HttpRequest, asked: Asked, sums: Sums, groups: Iterable[int]) -> dict[int, Trend]:
    """How each group went over the last days: two weeks, or the range if that is longer."""
    today, begin = asked.now.astimezone(UTC).date(), str(asked.since.date())
    number = asked.trend_days
    if not (missing := [group for group in groups if group not in sums.trends]):
        return sums.trends
    days = {group: [0] * number for group in missing}
    batches = dict.fromkeys(missing, 0)
    rows = days_of(request, asked).filter(group__in=missing, day__gt=today - timedelta(days=number), day__lte=today)
    found = rows.order_by().values("group_id", "day").annotate(total=Sum("requests"), places=Sum("batches"))
    at = {str(today - timedelta(days=number - 1 - i)): i for i in range(number)}
    for group, day, requests, places in fetched(found):
        days[group][at[str(day)]] = int(requests)
        if str(day) >= begin:
            batches[group] += places
    for group in missing:
        sums.trends[group] = Trend(days[group], sums.batches.get(group, batches[group]))
    return sums.trends


def by_time(request: HttpRequest, asked: Asked, sums: Sums, chosen: list[int]) -> dict[str, int]:
    """Failing requests of each day or hour, of the chosen groups together."""
    filters = asked.retry, asked.new, asked.q
    if (known := sums.by_time.get(filters)) is None:
        few = Q()
        if len(chosen) < len(sums.by_group):
            few = Q(group__in=chosen) if len(chosen) <= MOST_NAMED else narrowed(asked)
        found: QuerySet[Any, Any]
        if asked.is_hours:
            found = errors_of(request, asked).filter(few, at__gte=asked.since).order_by().values(hour=Hour("at"))
        else:
            found = days_of(request, asked).filter(few, day__gte=asked.since.date()).order_by().values("day")
        known = {str(time): int(requests) for time, requests in fetched(found.annotate(total=Sum("requests")))}
        if len(sums.by_time) >= MOST_SUMS:
            sums.by_time.clear()
        sums.by_time[filters] = known
    return known


def narrowed(asked: Asked) -> Q:
    """The filters on groups, as a condition on their days."""
    groups = ErrorGroup.objects.filter(text_filter(asked.q)) if asked.q else ErrorGroup.objects.all()
    if asked.retry:
        groups = groups.filter(retry__in=WORTH)
    if asked.new:
        groups = groups.filter(pk__in=new_groups(asked).values("pk"))
    return Q(group__in=groups.values("pk"))


def owners_of(request: HttpRequest, asked: Asked, groups: list[int]) -> dict[int, Tallies[str]]:
    """Whose the latest batches of each group are: one short walk of the index `errors_of_group` for each."""
    owners: dict[int, Tallies[str]] = {group: Tallies() for group in groups}
    if not groups:
        return owners
    # Written once and asked for each: the ORM takes longer to write it than the database to answer it.
    walk = errors_of(request, asked).filter(group=ANY, at__gte=asked.since).order_by("-at")
    sql, params = walk.values("group_id", "batch_id")[:LATEST].query.sql_with_params()
    union = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS of_{i}" for i in range(len(groups)))  # noqa: S608 (Django wrote it)
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT found.group_id, batch.owner FROM ({union}) AS found"  # noqa: S608 (as above)
            " JOIN dashboard_batch batch ON batch.id = found.batch_id",
            [group if param == ANY else param for group in groups for param in params],
        )
        for group, owner in cursor.fetchall():
            owners[group][owner] += 1
    return owners
