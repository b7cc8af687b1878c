"""One error: how often and since when, whose batches it hit, and which."""

import re
from collections import Counter as Count
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from dashboard.insight.advice import advice_of
from dashboard.insight.charts import Chart, Series, stacked
from dashboard.middleware import polled, pulse_of
from dashboard.models import Batch, BatchError, ErrorDay, ErrorGroup
from dashboard.views.batch_errors import copied, samples_of
from dashboard.views.batch_list import EPOCH
from dashboard.views.batches import is_htmx
from dashboard.views.error_sums import kept

PAGE = 50
TREND_DAYS = 30
LATEST = 100  # batches whose metadata are looked at
COLUMNS_SHOWN = 40
VALUES_SHOWN = 12
KEYS_SHOWN = 8
LONGEST_KEY = 64
CURSOR = re.compile(r"(\d{1,17})\.(\d{1,18})")
OWNER = "owner"
SHOWN_COLUMNS = (
    "batch_id", "group_id", "source", "requests", "samples", "at", "connection__name", "batch__name",
    "batch__remote_id", "batch__owner", "batch__status", "batch__raw_status", "batch__outcome", "batch__gone_at",
    "batch__is_open", "batch__requests_total", "batch__requests_completed", "batch__requests_failed",
    "batch__failed_in_files", "batch__worst_requests", "batch__finished_at", "batch__ordered_at",
    "batch__output_file_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    error: BatchError
    url: str
    requests_url: str
    total: int


@polled
@require_GET
def error_group(request: HttpRequest, pk: int) -> HttpResponse:
    token = pulse_of(request).token  # before the rows: what moves in between is asked for again
    group = get_object_or_404(ErrorGroup, pk=pk)
    days, errors = days_of(request, group), errors_of(request, group)
    if not errors.exists():
        # Nobody met it, or none that this person may see: its words are theirs.
        raise Http404
    before = place_in(request.GET.get("before", ""))
    rows = errors.select_related("batch", "connection").only(*SHOWN_COLUMNS)
    if before:
        at, last = before
        rows = rows.filter(at__lte=at).exclude(at=at, pk__gte=last)
    found = list(rows.order_by("-at", "-pk")[: PAGE + 1])
    by = request.GET.get("by", OWNER).replace("\0", "")[:LONGEST_KEY] or OWNER
    place = {"by": "" if by == OWNER else by, "before": request.GET.get("before", "") if before else ""}
    context = {
        "group": group,
        "advice": advice_of(group.retry),
        "rows": [row_of(reverse("batches"), error) for error in found[:PAGE]],
        "samples": samples_of(found[:5]),
        "copied": copied(group),
        "sums": days.aggregate(requests=Sum("requests"), batches=Sum("batches")),
        "chart": trend_of(request, group),
        "outcomes": outcomes_of(found[:COLUMNS_SHOWN]),
        "older": link(**place | {"before": place_of(found[PAGE - 1])}) if len(found) > PAGE else "",
        "is_top": not before,
        "top_url": link(**place | {"before": ""}),
        "poll_url": link(**place, seen=token),
    }
    context |= hit(request, group, by)
    return render(request, f"error_group/{'_changed' if is_htmx(request) else 'error_group'}.html", context)


def days_of(request: HttpRequest, group: ErrorGroup) -> QuerySet[ErrorDay]:
    return kept(request, ErrorDay.objects.visible_to(request.user)).filter(group=group)


def errors_of(request: HttpRequest, group: ErrorGroup) -> QuerySet[BatchError]:
    return kept(request, BatchError.objects.visible_to(request.user)).filter(group=group)


def link(**values: Any) -> str:
    return "?" + urlencode({name: value for name, value in values.items() if value})


def place_of(error: BatchError) -> str:
    return f"{(error.at - EPOCH) // timedelta(microseconds=1)}.{error.pk}"


def place_in(text: str) -> tuple[datetime, int] | None:
    """None for what nobody made: then the list starts at the top."""
    if not (found := CURSOR.fullmatch(text)):
        return None
    try:
        return EPOCH + timedelta(microseconds=int(found[1])), int(found[2])
    except OverflowError:
        return None


def row_of(base: str, error: BatchError) -> Row:
    return Row(
        error=error,
        url=f"{base}{error.batch_id}/",
        requests_url=f"{base}{error.batch_id}/requests/?group={error.group_id}",
        total=error.batch.requests_total or 0,
    )


def hit(request: HttpRequest, group: ErrorGroup, by: str) -> dict[str, Any]:
    """Whose batches it met, by the owner or by the values of a metadata key, among the latest ones."""
    errors = errors_of(request, group).order_by("-at", "-pk")
    keys: Count[str] = Count()
    batches: Count[str] = Count()
    requests: Count[str] = Count()
    for owner, metadata, number in errors.values_list("batch__owner", "batch__metadata", "requests")[:LATEST]:
        known = metadata if isinstance(metadata, dict) else {}
        keys.update(str(key) for key in known)
        value = owner if by == OWNER else str(known.get(by, ""))
        batches[value] += 1
        requests[value] += number
    ranked = sorted(batches, key=lambda value: (-requests[value], value))
    shown = [(value, batches[value], requests[value]) for value in ranked[:VALUES_SHOWN]]
    names = [OWNER, *(key for key, _times in keys.most_common(KEYS_SHOWN + 2) if key not in (OWNER, "name"))]
    return {
        "by": by,
        "is_owner": by == OWNER,
        "keys": [(key, link(by="" if key == OWNER else key), key == by) for key in names[:KEYS_SHOWN]],
        "values": shown,
        "values_left": max(0, len(ranked) - VALUES_SHOWN),
        "values_sum": sum(requests.values()),
        "looked_at": sum(batches.values()),
    }


def trend_of(request: HttpRequest, group: ErrorGroup) -> Chart:
    """Failing requests of each of the last thirty days (UTC)."""
    today = datetime.now(UTC).date()
    dates = [today - timedelta(days=TREND_DAYS - 1 - i) for i in range(TREND_DAYS)]
    days = days_of(request, group).filter(day__gte=dates[0]).order_by()
    sums = dict(days.values("day").annotate(total=Sum("requests")).values_list("day", "total"))
    failing = Series("fail", _("failed"), [sums.get(date, 0) for date in dates])
    return stacked([date_format(date, _("j M")) for date in dates], [failing])


def outcomes_of(errors: list[BatchError]) -> Chart | None:
    """How the requests of each batch ended, as shares of what its total says: oldest first."""
    batches = {error.batch_id: error.batch for error in reversed(errors) if error.batch.requests_total}
    if not batches:
        return None
    return stacked(
        [str(batch)[:40] for batch in batches.values()],
        [
            Series("done", _("completed"), [batch.completed or 0 for batch in batches.values()]),
            Series("fail", _("failed"), [batch.failed or 0 for batch in batches.values()]),
            Series("rest", _("not completed"), [(b.unaccounted or 0) * b.is_cut_short for b in batches.values()]),
            Series("lost", _("unaccounted"), [(b.unaccounted or 0) * (not b.is_cut_short) for b in batches.values()]),
        ],
        hrefs=[f"{reverse('batches')}{pk}/" for pk in batches],
        wholes=[batch.requests_total or 1 for batch in batches.values()],
        marks=[day_of(batch) for batch in batches.values()],
    )


def day_of(batch: Batch) -> str:
    at = batch.finished_at or batch.ordered_at
    return date_format(timezone.localtime(at), _("j M"))
