"""The same search on PostgreSQL, whose indexes of texts find matches but in no order.

So what is asked first is where enough of them are likely: the newest of the list for words; for facets, which are
indexed together with the stretch of some twelve days in which a batch was created, the newest stretch, then wider ones.
"""

from collections import Counter as Tally
from collections.abc import Iterator, Sequence

from django.db.models import BooleanField, F, Max, Min, Q
from django.db.models.expressions import RawSQL

from dashboard.insight.query import Query, Term
from dashboard.insight.search_conditions import (
    begins_with,
    id_starts_of,
    is_told_by_facets,
    outcomes_of_clause,
    text_of_word,
    values_that_hold,
)
from dashboard.models import Batch
from dashboard.models.batch import BatchQuerySet
from dashboard.models.search import ID_TAIL, SHORTEST_INDEXED_WORD, facet

NEAR = 2_000  # of the list, that are looked at before the index of words is asked: some 5 ms
COUNTED = 2_000  # and no more: each is a page of the table
# As in migration 0002: the lines of the text and the outcome, each with its stretch.
LINES = (
    "array_append(string_to_array(replace(upper(dashboard_batch.search_text), E'\\n',"
    " '@' || (dashboard_batch.place >> 50)::text || E'\\n'), E'\\n'),"
    " (dashboard_batch.outcome || '@') || (dashboard_batch.place >> 50)::text) && %s::text[]"
)
STRETCH = 50  # bits of a place
END = 5
OUTCOMES = ("outcome", "status")

type Rows = list[tuple[int, int, str]]


def found(
    query: Query, whole: Q, outcomes: Sequence[str], limit: int, below: int | None, above: int | None
) -> Rows | None:
    """The (pk, place, outcome) of what `whole` holds for; None where no index of texts helps with the query."""
    told, facets = _told(query)
    if not (told or facets):
        return None
    if not all(facets):
        return []  # no batch has such a value
    up = above is not None
    bounds = {"place__lt": below, "place__gt": above}
    near = Batch.objects.filter(**{name: at for name, at in bounds.items() if at is not None})
    rows = near.filter(whole)
    matches: Rows = []
    if facets:
        facets += [outcomes] if outcomes else []
        for stretches in _stretches(below, above):
            matches += _sorted(rows.filter(told, _in(facets, stretches)), limit - len(matches), up=up)
            if len(matches) >= limit:
                break
        return matches
    order, beyond = ("place", "place__gt") if up else ("-place", "place__lt")
    last = near.order_by(order).values_list("place", flat=True)[NEAR - 1 : NEAR].first()
    if last is None:
        return _sorted(rows.filter(told), limit, up=up)
    matches += rows.exclude(**{beyond: last}).order_by(order).values_list("pk", "place", "outcome")[:limit]
    if len(matches) < limit:
        matches += _sorted(rows.filter(told, **{beyond: last}), limit - len(matches), up=up)
    return matches


def tallied(query: Query, whole: Q, most: int) -> tuple[Tally[str], bool] | None:
    """How many of each outcome, and whether these are all; None where no index of texts helps with the query."""
    told, facets = _told(query)
    if not (told or facets):
        return None
    if not all(facets):
        return Tally(), True
    most = min(most, COUNTED)
    rows = Batch.objects.filter(whole, told).order_by().values_list("outcome", flat=True)
    counted: Tally[str] = Tally()
    for condition in (_in(facets, some) for some in _stretches(None, None)) if facets else [Q()]:
        counted.update(rows.filter(condition)[: most - counted.total()])
        if counted.total() >= most:
            return counted, False
    return counted, True


def _sorted(rows: BatchQuerySet, limit: int, *, up: bool) -> Rows:
    """The first of them. By an expression: by place itself PostgreSQL may walk the whole list for a few."""
    at = rows.annotate(at=F("place") + 0)
    return list(at.order_by("at" if up else "-at").values_list("pk", "place", "outcome")[:limit])


def _stretches(below: int | None, above: int | None) -> Iterator[range]:
    """From the nearest on, each eight times as wide as the one before, until all are covered."""
    ends = Batch.objects.aggregate(first=Min("place"), last=Max("place"))
    if ends["last"] is None:
        return
    first = (ends["first"] if above is None else above) >> STRETCH
    last = (ends["last"] if below is None else min(below, ends["last"])) >> STRETCH
    width = 2
    while first <= last:
        if above is None:
            yield range(max(first, last - width + 1), last + 1)
            last -= width
        else:
            yield range(first, min(last, first + width - 1) + 1)
            first += width
        width *= 8


def _in(facets: Sequence[Sequence[str]], stretches: range) -> Q:
    """Each clause has one of its facets, in one of these stretches."""
    whole = Q()
    for either in facets:
        lines = [f"{one}@{stretch}" for one in either for stretch in stretches]
        whole &= Q(RawSQL(LINES, [lines], output_field=BooleanField()))  # noqa: S611 (a constant)
    return whole


def _told(query: Query) -> tuple[Q, list[Sequence[str]]]:
    """What the index of trigrams can be asked for; and for each clause that facets tell, these and outcomes."""
    told, lines, outcomes = Q(), [], []
    for clause in query.clauses:
        if any(term.is_not for term in clause):
            continue
        if (possible := outcomes_of_clause(clause)) is not None:
            outcomes.append(sorted(possible))
        elif is_told_by_facets([term for term in clause if term.field not in OUTCOMES]):
            lines.append([one for term in clause for one in _lines_of(term)])
        elif (either := _by_trigrams(clause)) is not None:
            told &= either
    # By outcome alone a list is in order anyhow.
    return told, [*lines, *outcomes] if lines else []


def _lines_of(term: Term) -> list[str]:
    if term.field in OUTCOMES:
        return sorted(outcomes_of_clause([term]) or ())
    if term.field == "meta":
        return [facet(f"meta.{term.key}", value) for value in term.values]
    return [facet(term.field, one) for value in term.values for one in values_that_hold(term, value)]


def _by_trigrams(clause: Sequence[Term]) -> Q | None:
    either = Q(pk__in=[])
    for term in clause:
        for value in term.values:
            match term.field:
                case "":
                    either |= _has_ends(text_of_word(value))
                    either |= begins_with("remote_id", id_starts_of(value))
                case "meta" | "name" | "owner" if len(value := value.rstrip("*")) >= SHORTEST_INDEXED_WORD:
                    either |= _has_ends(value)
                case "id" if len(value) >= SHORTEST_INDEXED_WORD:
                    either |= begins_with("remote_id", [value, f"batch_{value}"])
                    either |= Q(search_text__icontains=value[-ID_TAIL:])
                case _:
                    return None
    return either


def _has_ends(word: str) -> Q:
    """The first and last letters of a long word: each trigram that is asked for costs, and the row tells the rest."""
    if len(word) <= 2 * END:
        return Q(search_text__icontains=word)
    return Q(search_text__icontains=word[:END]) & Q(search_text__icontains=word[-END:])
