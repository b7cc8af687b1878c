"""The first screen: is anything wrong, what runs, when is it done; and how the last day, week or month went."""

from collections import Counter as Tally
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from dashboard.insight import series
from dashboard.insight.charts import Chart, Series, stacked
from dashboard.insight.concerns import NOTICES, SEVERITY
from dashboard.insight.query import FAILED, Term, text_of
from dashboard.insight.series import HOUR, RANGES, Flowed, Range
from dashboard.middleware import polled, pulse_of
from dashboard.models import Concern
from dashboard.models.batch import Outcome
from dashboard.models.flow import DAY, QUARTER, day_of
from dashboard.views.attention import COLUMNS as CONCERN_COLUMNS
from dashboard.views.batch_list import Asked
from dashboard.views.batches import emptiness, is_htmx
from dashboard.views.concern_line import Line, Needs, needs_of
from dashboard.views.table import streamed
from dashboard.views.under_way import forecast, now_and_before, under_way

CONCERNS_SHOWN = 5
DEFAULT = "24h"
# What the columns of finished batches are made of, from the axis up: colour, words, outcomes, and the term of a search.
LAYERS: tuple[tuple[str, Any, tuple[str, ...], str], ...] = (
    ("ok", gettext_lazy("succeeded"), (Outcome.SUCCEEDED,), "succeeded"),
    ("part", gettext_lazy("partial"), (Outcome.PARTIAL,), "partial"),
    ("fail", gettext_lazy("failed"), FAILED, "failed"),
    ("expired", gettext_lazy("expired"), (Outcome.EXPIRED,), "expired"),
    ("cancelled", gettext_lazy("cancelled"), (Outcome.CANCELLED,), "cancelled"),
)
OTHERS = tuple(set(Outcome.values) - {one for _key, _name, outcomes, _term in LAYERS for one in outcomes})


@polled
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    taken = pulse_of(request)  # before the rows: what moves in between is asked for again
    asked = RANGES.get(request.GET.get("range", ""), RANGES[DEFAULT])
    now = timezone.now()
    watched = frozenset(taken.names)
    running, recent = now_and_before(request, taken)
    day = flow_of(watched, "requests", RANGES["24h"], now)
    needs = needs_of(request.user, taken.token)
    empty = "" if taken.count() else emptiness(taken, Asked())
    context = {
        "asked": asked,
        "ranges": [
            (one, "" if one.slug == DEFAULT else f"?{urlencode({'range': one.slug})}") for one in RANGES.values()
        ],
        "needs": needs.of(),
        "concerns": concerns_of(request, needs),
        "running": running,
        "forecast": ", ".join(forecast(running)),
        "now_running": under_way(request, taken),
        "last_day": last_day(watched, day, now),
        "recent": recent,
        "outcomes": outcomes_chart(watched, asked, now),
        "took": took_of(watched, asked, now),
        "charts": [(name, label, f"range={asked.slug}") for name, label in CHARTS.items()],
        "flow": flow_table(day if asked.seconds == DAY else flow_of(watched, "requests", asked, now), asked),
        "stamp": taken.token,
        "poll_url": "?" + urlencode({"range": asked.slug, "seen": taken.token} | ({"empty": 1} if empty else {})),
        "empty": empty,
    }
    if is_htmx(request) and request.GET.get("empty") and not empty:
        return HttpResponse(headers={"HX-Refresh": "true"})  # the first batches are another page
    is_poll = is_htmx(request)
    return render(request, f"overview/{'_changed' if is_poll else 'overview'}.html", context)


# --- Now --------------------------------------------------------------------------------------------------------------


def concerns_of(request: HttpRequest, needs: Needs) -> list[Line]:
    """The worst, and of those the latest."""
    rows = Concern.objects.visible_to(request.user).open().exclude(reason__in=NOTICES)
    found: list[Concern] = []
    for reason in sorted(SEVERITY, key=SEVERITY.__getitem__):
        if reason in NOTICES or not needs.of(reason):
            continue
        if len(found) >= CONCERNS_SHOWN:
            break
        some = rows.filter(reason=reason).select_related("batch", "connection").only(*CONCERN_COLUMNS)
        found += some.order_by("-opened_at", "-pk")[: CONCERNS_SHOWN - len(found)]
    return [Line.of(concern) for concern in found]


@dataclass(frozen=True, slots=True)
class LastDay:
    """What ended since a moment a day ago; each number with the list that it counts."""

    batches: int
    url: str
    parts: list[tuple[str, str, int, str]]  # state, words, batches, list
    failed: int
    completed: int
    late: int


def last_day(connections: Collection[int], flow: Flowed, now: datetime) -> LastDay:
    since = RANGES["24h"].since(now)
    ended = series.finished(connections, since)
    states = {"ok": "succeeded", "part": "partial", "fail": "failed"}
    return LastDay(
        batches=ended.total(),
        url=finished_url(since),
        parts=[
            (states.get(key, key), str(name), number, finished_url(since, term))
            for key, name, outcomes, term in LAYERS
            if (number := of(ended, outcomes))
        ],
        failed=sum(step.failed or 0 for step in flow.steps),
        completed=sum(step.completed or 0 for step in flow.steps),
        late=flow.late,
    )


def of(ended: Tally[str], outcomes: Collection[str]) -> int:
    return sum(ended[outcome] for outcome in outcomes)


def finished_url(since: int, outcome: str = "", until: int | None = None) -> str:
    """The list of what ended since then, latest first."""
    # A moment at the end stands for its whole minute.
    terms = f"finished:{moment(since)}..{'' if until is None else moment(until - 60)}"
    if outcome:
        terms += f" outcome:{outcome}"
    return f"{reverse('batches')}?{urlencode({'q': terms, 'sort': 'finish'})}"


def moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")


# --- Over time --------------------------------------------------------------------------------------------------------


def outcomes_chart(connections: Collection[int], asked: Range, now: datetime) -> Chart:
    """Batches by outcome: of each hour of a day, else of each day in the person's own zone."""
    if asked.seconds <= DAY:
        end = int(now.timestamp()) - int(now.timestamp()) % HOUR
        begins = [end - i * HOUR for i in range(23, -1, -1)]
        hours = series.finished_by_hour(connections, begins[0])
        ended = [hours.get(begin, Tally()) for begin in begins]
        marks = [clock_of(begin) for begin in begins]
        labels = [f"{clock_of(begin)}–{clock_of(begin + HOUR)}" for begin in begins]
        links = [finished_url(begin, until=begin + HOUR) for begin in begins]
    else:
        today = timezone.localdate(now)
        dates = [today - timedelta(days=i) for i in range(asked.seconds // DAY - 1, -1, -1)]
        by_day = series.finished_by_day(
            connections, asked.since(now), int(now.timestamp()) + 1, timezone.get_current_timezone()
        )
        ended = [by_day.get(day, Tally()) for day in dates]
        marks = [date_format(day, _("j M")) for day in dates]
        labels = [date_format(day, _("D j M")) for day in dates]
        links = [f"{reverse('batches')}?{urlencode({'q': f'finished:{day}', 'sort': 'finish'})}" for day in dates]
    layers = [Series(key, str(name), [of(one, outcomes) for one in ended]) for key, name, outcomes, _term in LAYERS]
    layers.append(Series("other", _("other"), [of(one, OTHERS) for one in ended]))
    return stacked(labels, layers, hrefs=links, marks=marks)


def clock_of(second: int) -> str:
    return f"{timezone.localtime(datetime.fromtimestamp(second, UTC)):%H:%M}"


def took_of(connections: Collection[int], asked: Range, now: datetime) -> list[tuple[series.Took, str, int, int]]:
    """Each kind with the list of it and its median and p90 in per cent of the longest p90."""
    day = day_of(asked.since(now))
    kinds = series.took(connections, day)
    longest = max((kind.p90 for kind in kinds), default=0) or 1
    return [
        (kind, kind_url(kind, day), round(100 * kind.median / longest), round(100 * kind.p90 / longest))
        for kind in kinds
    ]


def kind_url(kind: series.Took, since: int) -> str:
    """The list of what was counted; of a name that cannot be typed, of all names."""
    named = (("model", kind.model), ("endpoint", kind.endpoint))
    typed = [text_of(Term(field, (value,), "=")) for field, value in named if value]
    terms = ["status:completed", f"finished:{moment(since)}..", *filter(None, typed)]
    return f"{reverse('batches')}?{urlencode({'q': ' '.join(terms), 'sort': 'finish'})}"


# --- Charts that the browser draws ------------------------------------------------------------------------------------

CHARTS = {
    "requests": gettext_lazy("Requests per hour"),
    "in-flight": gettext_lazy("Requests in flight"),
}
COLUMNS = ("from", "until", "completed", "failed", "in_flight", "batches_open", "connections_not_synced")


def flow_of(connections: Collection[int], name: str, asked: Range, now: datetime) -> Flowed:
    # How much is under way is known at every look, and of a day there is room for each quarter of an hour.
    step = QUARTER if name == "in-flight" and asked.seconds <= DAY else HOUR
    return series.flowed(connections, asked.since(now), int(now.timestamp()), step)


@require_GET
def chart(request: HttpRequest, name: str, form: str) -> HttpResponseBase:
    """The numbers of one chart: `json` for the page, `csv` for people."""
    if name not in CHARTS or form not in {"json", "csv"}:
        raise Http404
    asked = RANGES.get(request.GET.get("range", ""), RANGES[DEFAULT])
    flow = flow_of(frozenset(pulse_of(request).names), name, asked, timezone.now())
    if form == "csv":
        return streamed(COLUMNS, csv_rows(flow), "csv", f"{name}-{asked.slug}")
    keys = ("completed", "failed") if name == "requests" else ("in_flight",)
    names = {"completed": _("completed"), "failed": _("failed"), "in_flight": _("in flight")}
    return JsonResponse(
        {
            "at": [step.at for step in flow.steps],
            "step": flow.step,
            "layers": [
                {"key": key, "name": names[key], "values": [getattr(step, key) for step in flow.steps]} for key in keys
            ],
            "unseen": [step.unseen for step in flow.steps],
        }
    )


def csv_rows(flow: Flowed) -> Iterator[tuple[object, ...]]:
    for step in flow.steps:
        begin = datetime.fromtimestamp(step.at, UTC)
        until = begin + timedelta(seconds=flow.step)
        yield begin, until, step.completed, step.failed, step.in_flight, step.batches_open, step.unseen


@dataclass(frozen=True, slots=True)
class FlowTable:
    """The same for who cannot see the charts: of each hour of a day, else of each day."""

    rows: list[tuple[str, int | None, int | None, int | None]]  # label, completed, failed, most in flight
    late: int


def flow_table(flow: Flowed, asked: Range) -> FlowTable:
    # Grouped first and written afterwards: a month has 720 hours, and writing a date costs.
    zone = timezone.get_current_timezone()
    sums: dict[datetime | date, list[int | None]] = {}
    for step in flow.steps:
        local = datetime.fromtimestamp(step.at, zone)
        held = sums.setdefault(local if asked.seconds <= DAY else local.date(), [None, None, None])
        if step.completed is None:
            continue
        held[0] = (held[0] or 0) + step.completed
        held[1] = (held[1] or 0) + (step.failed or 0)
        held[2] = max(held[2] or 0, step.in_flight or 0)
    form = _("D H:i") if asked.seconds <= DAY else _("D j M")
    return FlowTable([(date_format(at, form), *held) for at, held in reversed(sums.items())], flow.late)  # type: ignore[misc]
