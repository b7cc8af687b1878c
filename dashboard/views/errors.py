"""Errors across batches: what thousands of failing requests come down to, how often, since when, and whose they are.

Counts and trends are read from the daily roll-up, so that a page costs what there are groups and days, never batches;
only the range of 24 hours is read from the batches' own rows, because a day is too coarse for it.
"""

from collections import Counter as Count
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.db import connection as database
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from dashboard.insight.advice import WORTH, advice_of
from dashboard.insight.charts import Chart, Series, stacked
from dashboard.middleware import polled
from dashboard.models import BatchError, ErrorDay, ErrorGroup
from dashboard.views.batches import is_htmx
from dashboard.views.shell import pulse_of
from dashboard.views.table import streamed

PAGE = 50
LONGEST_SEARCH = 200
TREND_DAYS = 14
LAYERS = 5  # groups that have a colour of their own in the chart
# Of each group so many of its latest batches are asked whose they are: all of them would be all batches.
LATEST = 20
OWNERS_SHOWN = 2
HOURS = 24

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
            return self.now - timedelta(hours=HOURS)
        midnight = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=DAYS[self.range] - 1)

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


@dataclass(slots=True)
class Tally:
    requests: int = 0
    batches: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """Every group that was met in the range, with the filters that narrow them down."""

    by_group: dict[int, Tally]
    worth: set[int]
    new: set[int]
    matching: set[int] | None  # None: no text is asked for

    def chosen(self, *, retry: bool, new: bool) -> list[int]:
        """Most requests first; a tie stands in the order of the groups' age."""
        found = (
            group
            for group in self.by_group
            if (self.matching is None or group in self.matching)
            and (not retry or group in self.worth)
            and (not new or group in self.new)
        )
        return sorted(found, key=lambda group: (-self.by_group[group].requests, group))

    def requests(self, groups: Iterable[int]) -> int:
        return sum(self.by_group[group].requests for group in groups)


@dataclass(frozen=True, slots=True)
class Row:
    group: ErrorGroup
    url: str
    requests: int
    batches: int
    trend: list[int]
    muted: int
    is_new: bool
    owners: str
    owners_title: str


# --- Reading ----------------------------------------------------------------------------------------------------------


def days_of(request: HttpRequest, asked: Asked) -> QuerySet[ErrorDay]:
    rows = ErrorDay.objects.visible_to(request.user)
    return rows if asked.connection is None else rows.filter(connection=asked.connection)


def errors_of(request: HttpRequest, asked: Asked) -> QuerySet[BatchError]:
    rows = BatchError.objects.visible_to(request.user)
    return rows if asked.connection is None else rows.filter(connection=asked.connection)


def totals_of(request: HttpRequest, asked: Asked) -> Totals:
    """All groups of the range by id. There are thousands at most: that is what groups are for."""
    tallies: dict[int, Tally] = {}
    if asked.is_hours:
        met: dict[int, set[int]] = defaultdict(set)
        rows = errors_of(request, asked).filter(at__gte=asked.since)
        for group, batch, requests in rows.values_list("group_id", "batch_id", "requests"):
            tallies.setdefault(group, Tally()).requests += requests
            met[group].add(batch)
        for group, tally in tallies.items():
            tally.batches = len(met[group])
    else:
        days = days_of(request, asked).filter(day__gte=asked.since.date()).order_by()
        sums = days.values("group_id").annotate(total=Sum("requests"), places=Sum("batches"))
        tallies = {
            group: Tally(requests, places)
            for group, requests, places in sums.values_list("group_id", "total", "places")
        }
    groups = ErrorGroup.objects.filter(last_seen_at__gte=asked.since)
    matching = None
    if asked.q:
        found = ErrorGroup.objects.filter(text_filter(asked.q))
        matching = set(found.values_list("pk", flat=True))
    return Totals(
        tallies,
        worth=set(groups.filter(retry__in=WORTH).values_list("pk", flat=True)),
        new=set(groups.filter(first_seen_at__gte=asked.since).values_list("pk", flat=True)),
        matching=matching,
    )


def text_filter(q: str) -> Q:
    """Every word, in the code or in the message; a number may also be the HTTP status."""
    found = Q()
    for word in q.split()[:10]:
        one = Q(message__icontains=word) | Q(code__icontains=word)
        if word.isdecimal() and len(word) == 3:
            one |= Q(http_status=int(word))
        found &= one
    return found


def trends_of(request: HttpRequest, asked: Asked, groups: list[int], days: int) -> dict[int, list[int]]:
    """Failing requests of each of the last days, oldest first."""
    today = asked.now.astimezone(UTC).date()
    trends = {group: [0] * days for group in groups}
    rows = days_of(request, asked).filter(group__in=groups, day__gt=today - timedelta(days=days), day__lte=today)
    for group, day, requests in rows.order_by().values_list("group_id", "day", "requests"):
        trends[group][days - 1 - (today - day).days] += requests
    return trends


def owners_of(request: HttpRequest, asked: Asked, groups: list[int]) -> dict[int, Count[str]]:
    """Whose the latest batches of each group are: one short walk of the index `errors_of_group` for each."""
    owners: dict[int, Count[str]] = {group: Count() for group in groups}
    if not groups:
        return owners
    walks = [
        errors_of(request, asked)
        .filter(group=group, at__gte=asked.since)
        .order_by("-at")
        .values("group_id", "batch_id")[:LATEST]
        .query.sql_with_params()
        for group in groups
    ]
    union = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS of_{i}" for i, (sql, _params) in enumerate(walks))  # noqa: S608 (Django wrote it)
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT found.group_id, batch.owner FROM ({union}) AS found"  # noqa: S608 (as above)
            " JOIN dashboard_batch batch ON batch.id = found.batch_id",
            [param for _sql, own in walks for param in own],
        )
        for group, owner in cursor.fetchall():
            owners[group][owner] += 1
    return owners


# --- The page ---------------------------------------------------------------------------------------------------------


@polled
@require_GET
def errors(request: HttpRequest) -> HttpResponse:
    token = pulse_of(request).token  # before the rows: what moves in between is asked for again
    asked = Asked.of(request.GET)
    context = listed(request, asked) | {"poll_url": asked.link(page=asked.page if asked.page > 1 else "", seen=token)}
    if not is_htmx(request):
        return render(request, "errors/errors.html", context)
    return render(request, "errors/_changed.html", context)


def listed(request: HttpRequest, asked: Asked) -> dict[str, Any]:
    totals = totals_of(request, asked)
    chosen = totals.chosen(retry=asked.retry, new=asked.new)
    pages = max(1, -(-len(chosen) // PAGE))
    page = min(asked.page, pages)
    shown = chosen[(page - 1) * PAGE : page * PAGE]
    days = max(TREND_DAYS, DAYS[asked.range])
    top = chosen[:LAYERS]
    trends = trends_of(request, asked, list({*shown, *top}), days)
    every = totals.chosen(retry=False, new=False)
    worth = [group for group in chosen if group in totals.worth]
    new = [group for group in chosen if group in totals.new]
    groups = ErrorGroup.objects.in_bulk({*shown, *top, *new[:1]})
    owners = owners_of(request, asked, shown)
    return {
        "asked": asked,
        "rows": [
            row_of(groups[pk], totals.by_group[pk], trends[pk], asked, owners[pk]) for pk in shown if pk in groups
        ],
        "groups": len(chosen),
        "requests": totals.requests(chosen),
        "worth_requests": totals.requests(worth),
        "new_groups": len(new),
        "newest": groups.get(new[0]) if new else None,
        "trend_days": days,
        "ranges": [(label, asked.link(range=slug), slug == asked.range) for slug, label, _days in RANGES],
        "worth_count": sum(group in totals.worth for group in every),
        "new_count": sum(group in totals.new for group in every),
        "retry_url": asked.link(retry="" if asked.retry else "1"),
        "new_url": asked.link(new="" if asked.new else "1"),
        "clear_url": asked.link(q="", retry="", new="", connection=None),
        "chart": chart_of(request, asked, totals, chosen, groups, trends) if chosen else None,
        "previous": asked.link(page=page - 1 if page > 2 else "") if page > 1 else "",
        "next": asked.link(page=page + 1) if page < pages else "",
        "place": page,
        "pages": pages,
        "export_query": asked.link() if asked.link() != "?" else "",
        "is_empty": not ErrorGroup.objects.exists() if not chosen else False,
    }


def row_of(group: ErrorGroup, tally: Tally, trend: list[int], asked: Asked, owners: Count[str]) -> Row:
    named = [(owner or _("no owner"), batches) for owner, batches in owners.most_common()]
    more = len(named) - OWNERS_SHOWN
    words = ", ".join(owner for owner, _batches in named[:OWNERS_SHOWN])
    return Row(
        group=group,
        url=reverse("error-group", args=[group.pk]),
        requests=tally.requests,
        batches=tally.batches,
        trend=trend,
        muted=max(0, len(trend) - (DAYS[asked.range] or 1)),
        is_new=group.first_seen_at >= asked.since,
        owners=f"{words} +{more}" if more > 0 else words,
        owners_title=_("Of its latest %(count)d batches: %(owners)s")
        % {"count": sum(owners.values()), "owners": ", ".join(f"{owner} {batches}" for owner, batches in named[:20])},
    )


def chart_of(
    request: HttpRequest,
    asked: Asked,
    totals: Totals,
    chosen: list[int],
    groups: dict[int, ErrorGroup],
    trends: dict[int, list[int]],
) -> Chart:
    """Failing requests over the range: a layer for each of the largest groups, and one for all others."""
    top = chosen[:LAYERS]
    if asked.is_hours:
        labels, every, own = by_hour(request, asked, set(chosen), top)
    else:
        days = DAYS[asked.range]
        today = asked.now.astimezone(UTC).date()
        dates = [today - timedelta(days=days - 1 - i) for i in range(days)]
        labels = [date_format(date, "j M") for date in dates]
        own = {group: trends[group][-days:] for group in top}
        rows = days_of(request, asked).filter(day__gte=dates[0], day__lte=today)
        if len(chosen) < len(totals.by_group):
            rows = rows.filter(narrowed(asked))
        sums = dict(rows.order_by().values("day").annotate(total=Sum("requests")).values_list("day", "total"))
        every = [sums.get(date, 0) for date in dates]
    layers = [Series(f"g{i + 1}", name_of(groups[group]), own[group]) for i, group in enumerate(top) if group in groups]
    others = [max(0, total - sum(layer.values[i] for layer in layers)) for i, total in enumerate(every)]
    if any(others):
        layers.append(Series("rest", _("other groups"), others))
    return stacked(labels, layers)


def narrowed(asked: Asked) -> Q:
    """The filters on groups, as a condition on their days."""
    groups = ErrorGroup.objects.filter(text_filter(asked.q)) if asked.q else ErrorGroup.objects.all()
    if asked.retry:
        groups = groups.filter(retry__in=WORTH)
    if asked.new:
        groups = groups.filter(first_seen_at__gte=asked.since)
    return Q(group__in=groups.values("pk"))


def by_hour(
    request: HttpRequest, asked: Asked, chosen: set[int], top: list[int]
) -> tuple[list[str], list[int], dict[int, list[int]]]:
    every, own = [0] * HOURS, {group: [0] * HOURS for group in top}
    rows = errors_of(request, asked).filter(at__gte=asked.since)
    for group, at, requests in rows.values_list("group_id", "at", "requests"):
        if group in chosen:
            hour = min(HOURS - 1, int((at - asked.since) / timedelta(hours=1)))
            every[hour] += requests
            if group in own:
                own[group][hour] += requests
    starts = [timezone.localtime(asked.since + timedelta(hours=i)) for i in range(HOURS)]
    return [f"{start:%H:%M}" for start in starts], every, own


def name_of(group: ErrorGroup) -> str:
    """A few words for a legend."""
    words = " ".join(str(part) for part in (group.http_status, group.code or group.message) if part)
    return words[:48] or _("no words")


# --- Export -----------------------------------------------------------------------------------------------------------

COLUMNS = (
    "http_status",
    "code",
    "message",
    "retry",
    "requests",
    "batches",
    "first_seen_at",
    "last_seen_at",
    "owners_of_latest_batches",
)


@require_GET
def export(request: HttpRequest, form: str) -> HttpResponseBase:
    """All groups that the page would show, page after page."""
    asked = Asked.of(request.GET)
    return streamed(COLUMNS, export_rows(request, asked), form, f"errors-{asked.range}")


def export_rows(request: HttpRequest, asked: Asked) -> Iterator[tuple[object, ...]]:
    totals = totals_of(request, asked)
    chosen = totals.chosen(retry=asked.retry, new=asked.new)
    for start in range(0, len(chosen), PAGE):
        some = chosen[start : start + PAGE]
        groups, owners = ErrorGroup.objects.in_bulk(some), owners_of(request, asked, some)
        for pk in some:
            if group := groups.get(pk):
                yield (
                    group.http_status,
                    group.code,
                    group.message,
                    str(advice_of(group.retry).words),
                    totals.by_group[pk].requests,
                    totals.by_group[pk].batches,
                    group.first_seen_at,
                    group.last_seen_at,
                    ", ".join(owner for owner, _batches in owners[pk].most_common() if owner),
                )
