"""The list of batches: search, filter, sort, page by key, and keep the rows on the screen fresh."""

from collections import Counter as Tally
from typing import Any

from django.db.models import FETCH_RAISE, Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_GET

from dashboard.insight.pulse import Pulse, revisions_in
from dashboard.insight.search import LOOKED, find, tally
from dashboard.middleware import polled, pulse_of, viewer_of
from dashboard.models.connection import Connection
from dashboard.templatetags.columns import COLUMNS, chosen_of, fields_of
from dashboard.views.batch_list import CHIPS, OUTCOMES, PAGE, SORTS, Asked, Cursor, Page, page_of, shown_to
from dashboard.views.batch_row import SHOWN_COLUMNS, rows_of
from dashboard.views.shell import stale_connections

CAP = 10_000  # matches of a search are counted up to here
NEW_CAP = 1_000


# --- Views ------------------------------------------------------------------------------------------------------------


@polled
@require_GET
def batches(request: HttpRequest) -> HttpResponse:
    taken = pulse_of(request)  # before the rows: what moves in between is asked for again
    asked = Asked.of(request.GET, taken.names)
    seen, ids = request.GET.get("seen"), ids_in(request.GET)
    if is_htmx(request) and seen and ids:
        return render(request, "batches/_changed.html", changed(request, taken, asked, seen, ids))
    columns = chosen_of(getattr(request.user, "columns", None))
    page = page_of(request, taken, asked, columns=SHOWN_COLUMNS + fields_of(columns))
    context = listed(request, taken, asked, page, columns)
    return render(request, "batches/_refreshed.html" if is_htmx(request) else "batches/batches.html", context)


def is_htmx(request: HttpRequest) -> bool:
    return request.META.get("HTTP_HX_REQUEST") == "true"


def ids_in(query: QueryDict) -> list[int]:
    return [int(word) for word in query.get("ids", "").split(",") if word.isdecimal() and len(word) < 19][: 2 * PAGE]


def listed(request: HttpRequest, taken: Pulse, asked: Asked, page: Page, columns: tuple[str, ...]) -> dict[str, Any]:
    """Context of the list: with the shell around it, or its live pieces alone."""
    top = Cursor.at(page.batches[0], asked.sort) if page.batches else None
    ids = [batch.pk for batch in page.batches]
    context = common(request, taken, asked, ids, top if asked.is_top else None, columns)
    if page.batches:
        if page.newer:
            context["newer"] = asked.link(after=top)
        if page.older:
            context["older"] = asked.link(before=page.older)
    if page.looked_to:
        context["further"] = asked.link(before=page.looked_to)
        context["looked"] = LOOKED
    return context | {
        "rows": rows_of(page.batches, names_of(taken), stale_connections(taken), columns),
        "columns": columns,
        "all_columns": [(slug, column.label, slug in columns) for slug, column in COLUMNS.items()],
        "empty": "" if page.batches else "further" if page.looked_to else emptiness(taken, asked),
        "export_query": asked.link().rstrip("?"),
        "sorts": SORTS.items(),
        "newest_url": asked.link(sort="newest"),
    }


def common(
    request: HttpRequest, taken: Pulse, asked: Asked, ids: list[int], top: Cursor | None, columns: tuple[str, ...]
) -> dict[str, Any]:
    """What both the page and the answer to a poll show: counts, and the address of the next poll."""
    shown = ",".join(map(str, ids))
    drained = ",".join(str(pk) for pk in sorted(stale_connections(taken)))
    counts, is_all = counts_of(request, taken, asked)
    # With the columns that the page has: those of somebody may be others by then, and a row fits its own head.
    poll = asked.link(
        before=asked.before,
        after=asked.after,
        seen=taken.token,
        ids=shown,
        top=top,
        drained=drained,
        columns=",".join(columns) or "-",
    )
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
    met, is_all = tally(asked.query, asked.within(viewer_of(request), taken), most=CAP)
    return {slug: in_all(met, outcomes) for slug, outcomes in OUTCOMES.items()}, is_all


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
    columns = chosen_of(request.GET.get("columns", "").split(","))
    rows = shown_to(request, taken).filter(moved, pk__in=ids).select_related("worst_error")
    found = list(rows.only(*SHOWN_COLUMNS, *fields_of(columns)).fetch_mode(FETCH_RAISE))
    top = asked._cursor(request.GET.get("top", ""), [])
    return common(request, taken, asked, ids, top, columns) | {
        "rows": rows_of(found, names_of(taken), stale, columns),
        "fresh": fresh(request, taken, asked, top) if top and asked.is_top else 0,
    }


def fresh(request: HttpRequest, taken: Pulse, asked: Asked, top: Cursor) -> int:
    """How many rows a refresh would put above the first one."""
    if asked.query:
        within = asked.within(request.user, taken)
        return len(find(asked.query, within, asked.outcomes, limit=NEW_CAP, above=top.key).matches)
    above = asked.rows(shown_to(request, taken)).filter(place__gt=top.key)
    return above.order_by("-place").values("pk")[:NEW_CAP].count()
