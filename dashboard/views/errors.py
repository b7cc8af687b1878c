"""Errors across batches: what thousands of failing requests come down to, how often, since when, and whose they are."""

from collections import Counter as Tallies
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from dashboard.audit import record
from dashboard.insight.advice import advice_of
from dashboard.insight.charts import Chart, Series, stacked
from dashboard.middleware import polled, pulse_of
from dashboard.models import ErrorGroup
from dashboard.views.batches import is_htmx
from dashboard.views.error_sums import (
    DAYS,
    HOURS,
    RANGES,
    Asked,
    Totals,
    Trend,
    by_time,
    hours_of,
    hours_since,
    owners_of,
    totals_of,
    trends_of,
)
from dashboard.views.table import streamed

PAGE = 50
LAYERS = 5  # groups that have a colour of their own in the chart
OWNERS_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Row:
    group: ErrorGroup
    url: str
    requests: int
    every: int  # of all groups together
    batches: int
    trend: list[int]
    muted: int
    is_new: bool
    owners: str
    owners_title: str


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
    top = chosen[:LAYERS]
    trends = trends_of(request, asked, totals.sums, {*shown, *top})
    found = totals.found()
    worth = [group for group in chosen if group in totals.sums.worth]
    new = [group for group in chosen if group in totals.sums.new]
    groups = ErrorGroup.objects.in_bulk({*shown, *top, *new[:1]})
    owners = owners_of(request, asked, shown)
    every_request = totals.requests(chosen)
    said = Said(
        totals.sums.new, asked.trend_days - (DAYS[asked.range] or 1), _("Of its latest batches:"), _("no owner")
    )
    base = reverse("errors")  # a group stands below; resolving fifty addresses takes a while
    return {
        "asked": asked,
        "rows": [
            row_of(f"{base}{pk}/", groups[pk], totals.sums.by_group[pk], every_request, trends[pk], owners[pk], said)
            for pk in shown
            if pk in groups
        ],
        "groups": len(chosen),
        "requests": every_request,
        "worth_requests": totals.requests(worth),
        "never_requests": totals.requests(group for group in chosen if group in totals.sums.never),
        "new_groups": len(new),
        "newest": groups.get(new[0]) if new else None,
        "trend_days": asked.trend_days,
        "ranges": [(label, asked.link(range=slug), slug == asked.range) for slug, label, _days in RANGES],
        "worth_count": len(found & totals.sums.worth),
        "new_count": len(found & totals.sums.new),
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


@dataclass(frozen=True, slots=True)
class Said:
    """What all rows of a page have in common, worked out once."""

    new: set[int]
    muted: int
    of_latest: str
    no_owner: str


def row_of(
    url: str, group: ErrorGroup, requests: int, every: int, trend: Trend, owners: Tallies[str], said: Said
) -> Row:
    named = [(owner or said.no_owner, batches) for owner, batches in owners.most_common()]
    more = len(named) - OWNERS_SHOWN
    words = ", ".join(owner for owner, _batches in named[:OWNERS_SHOWN])
    return Row(
        group=group,
        url=url,
        requests=requests,
        every=every,
        batches=trend.batches,
        trend=trend.days,
        muted=said.muted,
        is_new=group.pk in said.new,
        owners=f"{words} +{more}" if more > 0 else words,
        owners_title=f"{said.of_latest} {', '.join(f'{owner} {batches}' for owner, batches in named)}",
    )


def chart_of(
    request: HttpRequest,
    asked: Asked,
    totals: Totals,
    chosen: list[int],
    groups: dict[int, ErrorGroup],
    trends: dict[int, Trend],
) -> Chart:
    """Failing requests over the range: a layer for each of the largest groups, and one for all others."""
    top = chosen[:LAYERS]
    if asked.is_hours:
        own = hours_of(request, asked, totals.sums, top)
        times = hours_since(asked)
        starts = [timezone.localtime(asked.since + timedelta(hours=i)) for i in range(HOURS)]
        labels = [f"{start:%H:%M}" for start in starts]
    else:
        days = DAYS[asked.range]
        today = asked.now.astimezone(UTC).date()
        dates = [today - timedelta(days=days - 1 - i) for i in range(days)]
        labels = [date_format(day, _("j M")) for day in dates]
        own = {group: trends[group].days[-days:] for group in top}
        times = [str(day) for day in dates]
    sums = by_time(request, asked, totals.sums, chosen)
    every = [sums.get(time, 0) for time in times]
    if asked.is_hours:
        every[-1] = sum(sums.values()) - sum(every[:-1])  # with what a vendor's clock, ahead of ours, puts behind it
    layers = [Series(f"g{i + 1}", name_of(groups[group]), own[group]) for i, group in enumerate(top) if group in groups]
    others = [max(0, total - sum(layer.values[i] for layer in layers)) for i, total in enumerate(every)]
    if any(others):
        layers.append(Series("done", _("other groups"), others))
    return stacked(labels, layers)


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
    record(request, "export.errors", asked.range, detail=request.GET.urlencode()[:1000])
    return streamed(COLUMNS, export_rows(request, asked), form, f"errors-{asked.range}")


def export_rows(request: HttpRequest, asked: Asked) -> Iterator[tuple[object, ...]]:
    totals = totals_of(request, asked)
    chosen = totals.chosen(retry=asked.retry, new=asked.new)
    for start in range(0, len(chosen), PAGE):
        some = chosen[start : start + PAGE]
        groups, owners = ErrorGroup.objects.in_bulk(some), owners_of(request, asked, some)
        trends = trends_of(request, asked, totals.sums, some)
        for pk in some:
            if group := groups.get(pk):
                yield (
                    group.http_status,
                    group.code,
                    group.message,
                    str(advice_of(group.retry).words),
                    totals.sums.by_group[pk],
                    trends[pk].batches,
                    group.first_seen_at,
                    group.last_seen_at,
                    ", ".join(owner for owner, _batches in owners[pk].most_common() if owner),
                )
