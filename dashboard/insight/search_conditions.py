"""A query as a condition on the row of a batch."""

from collections.abc import Sequence
from typing import Any

from django.db import connection as database
from django.db.models import F, Func, Q, TextField, Value
from django.db.models.functions import Coalesce, StrIndex, Upper
from django.db.models.lookups import GreaterThan, IExact, IsNull, IStartsWith

from dashboard.insight.outcome import outcomes_of_status
from dashboard.insight.query import COUNTS, TIMES, Query, Term
from dashboard.models import Facet
from dashboard.models.search import SHORTEST_INDEXED_WORD

LAST = chr(0x10FFFF)  # sorts behind every other character


def condition_of(query: Query) -> Q:
    """The whole of a query as a condition on a row."""
    whole = Q()
    for clause in query.clauses:
        either = Q()
        for term in clause:
            either |= ~condition_of_term(term) if term.is_not else condition_of_term(term)
        whole &= either
    return whole


class _MetadataValue(Func):
    """What stands behind a key of the metadata, whatever the key is: Django takes "1" for a place in a list."""

    output_field = TextField()

    def __init__(self, key: str) -> None:
        super().__init__(F("metadata"), Value(key if database.vendor == "postgresql" else f'$."{key}"'))

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, function="json_extract", **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s)", arg_joiner=" ->> ", **extra)


def condition_of_term(term: Term) -> Q:
    either = Q()
    for value in term.values:
        either |= holds(term, value)
    return either


def holds(term: Term, value: Any) -> Q:
    match term.field:
        case "":
            return _in_text(text_of_word(value)) | begins_with("remote_id", id_starts_of(value))
        case "conn":
            return Q(connection=value)
        case "status" | "outcome":
            return Q(**{term.field: value})
        case "id":
            return begins_with("remote_id", [value, f"batch_{value}"]) | Q(remote_id__iendswith=value)
        case "input":
            return Q(input_file_id=value)
        case "window":
            return Q(completion_window__iexact=value)
        case "meta":
            return _metadata(term.key, value)
        case name if name in COUNTS:
            return Q(**{f"{COUNTS[name]}__gte": value[0], f"{COUNTS[name]}__lte": value[1]})
        case name if name in TIMES:
            since, until = value
            bounds = {f"{TIMES[name]}__gte": since, f"{TIMES[name]}__lt": until}
            return Q(**{bound: moment for bound, moment in bounds.items() if moment is not None})
        case name:
            return Q(**{f"{name}__{'iexact' if term.op == '=' else 'icontains'}": value})


def _in_text(text: str) -> Q:
    if database.vendor == "sqlite":
        return Q(search_text__icontains=text)
    # Not by LIKE, for which PostgreSQL would ask its index of trigrams, whether or not that is the short way.
    return Q(GreaterThan(StrIndex(Upper("search_text"), Upper(Value(text))), 0))


def _metadata(key: str, value: str) -> Q:
    """`meta.team:search` is the value itself, `meta.team:sea*` its beginning, `meta.team:*` any."""
    held = _MetadataValue(key)
    if value == "*":
        return Q(IsNull(held, False))
    known = Coalesce(
        held, Value(""), output_field=TextField()
    )  # what has no such key is not the value, and its negation is
    return Q(IStartsWith(known, value[:-1]) if value.endswith("*") else IExact(known, value))


def text_of_word(word: str) -> str:
    return f"\n{word}\n" if len(word) < SHORTEST_INDEXED_WORD else word


def id_starts_of(word: str) -> list[str]:
    """What an id may begin with that somebody looks for by this word; nothing if most ids would."""
    is_telling = len(word) > SHORTEST_INDEXED_WORD and not "batch_".startswith(word)
    return [word, f"batch_{word}"] if is_telling else []


def begins_with(column: str, starts: Sequence[str]) -> Q:
    either = Q()
    for start in starts:
        # SQLite's LIKE ignores case and with it the index; PostgreSQL's order of texts is no order of prefixes.
        if database.vendor == "sqlite":
            either |= Q(**{f"{column}__gte": start, f"{column}__lt": start + LAST})
        else:
            either |= Q(**{f"{column}__startswith": start})
    return either


def values_that_hold(term: Term, value: str) -> list[str]:
    """The values of a facet that a term asks for by a part of them, or by the whole."""
    wanted = {"value__iexact" if term.op == "=" else "value__icontains": value}
    return list(Facet.objects.filter(field=term.field, **wanted).values_list("value", flat=True).distinct())


def is_told_by_facets(clause: Sequence[Term]) -> bool:
    """Whether an index of facets knows exactly what a clause asks for."""
    return all(
        term.field in Facet.Field or (term.field == "meta" and not any(value.endswith("*") for value in term.values))
        for term in clause
    )


def outcomes_of_clause(clause: Sequence[Term]) -> frozenset[str] | None:
    """The outcomes that a clause leaves, None when it does not speak of them alone."""
    possible: frozenset[str] = frozenset()
    for term in clause:
        match term.field:
            case "outcome":
                possible |= frozenset(term.values)
            case "status":
                possible = possible.union(*map(outcomes_of_status, term.values))
            case _:
                return None
    return possible
