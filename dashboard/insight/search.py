"""Finds the batches that a query asks for, newest first, at the cost of what is shown of them.

What an index knows (words, metadata, model, endpoint, connection, outcome, when it was created) chooses candidates; the
rest of the query is held against their rows. Of candidates so many are looked through and no more: who wants the older
ones asks again from there, and is told so. Nothing here collects all matches first.
"""

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connection as database
from django.db.models import Q, Value
from django.db.models.functions import Concat

from dashboard.insight import search_on_postgresql
from dashboard.insight.query import Query, Term
from dashboard.insight.search_conditions import (
    begins_with,
    condition_of,
    condition_of_term,
    holds,
    id_starts_of,
    is_told_by_facets,
    outcomes_of_clause,
    text_of_word,
    values_that_hold,
)
from dashboard.models import Batch
from dashboard.models.batch import TERMINAL, Outcome
from dashboard.models.search import ID_TAIL, SHORTEST_INDEXED_WORD, facet

LOOKED = 6_000  # candidates in one question: some 20 ms
TRIGRAMS = 30_000  # compared while counting: some 10 ms
FEW_IDS = 4_000  # looked up one by one: some 15 ms
LAST = chr(0x10FFFF)  # sorts behind every other character


class Match(NamedTuple):
    """A batch that was found, with what lists need to count and place it."""

    pk: int
    place: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Found:
    """Newest first. `looked_to` is the place at which looking ended before everything had been seen, else None."""

    matches: list[Match]
    looked_to: int | None = None


def find(
    query: Query,
    within: Q | None = None,
    outcomes: tuple[str, ...] = (),
    *,
    limit: int,
    below: int | None = None,
    above: int | None = None,
) -> Found:
    """The newest `limit` batches of a query, `within` a condition on rows and of these outcomes, or of any.

    `below` and `above` are places: below one the newest are taken, above one the oldest. Newest first in any case.
    """
    within = within or Q()
    if database.vendor == "postgresql":
        whole = condition_of(query) & within & (Q(outcome__in=outcomes) if outcomes else Q())
        rows = search_on_postgresql.found(query, whole, outcomes, limit, below, above)
        if rows is not None:
            return Found([Match(*row) for row in (rows if above is None else rows[::-1])])
    plan = _plan_of(query, within, outcomes, below, above)
    if plan is None:
        return Found([])
    matches, looked_to = _walked(plan, limit)
    matches += _begun(plan, limit)
    if looked_to is not None and above is None:
        matches = [match for match in matches if match.place >= looked_to]
    elif looked_to is not None:
        matches = [match for match in matches if match.place <= looked_to]
    newest_first = sorted(set(matches), key=lambda match: match.place, reverse=True)
    return Found(newest_first[:limit] if above is None else newest_first[-limit:], looked_to)


def tally(query: Query, within: Q | None = None, *, most: int) -> tuple[Tally[str], bool]:
    """How many there are of each outcome, and whether these are all.

    So many are counted and no more; of long texts, where each costs more, fewer.
    """
    within = within or Q()
    if database.vendor == "postgresql":
        told = search_on_postgresql.tallied(query, condition_of(query) & within, most)
        if told is not None:
            return told
    plan = _plan_of(query, within, (), None, None)
    if plan is None:
        return Tally(), True
    most = min(most, max(1_000, TRIGRAMS // max(1, sum(map(len, plan.text))) // 1_000 * 1_000))
    sql, params = plan.sql("dashboard_batch.outcome", most + 1)
    counted: Tally[str] = Tally()
    with database.cursor() as cursor:
        cursor.execute(f"SELECT outcome, count(*) FROM ({sql}) AS met GROUP BY outcome", params)  # noqa: S608
        counted.update(dict(cursor.fetchall()))
    is_all = counted.total() <= most and plan.end() is None
    for match in _begun(plan, most + 1, ~plan.by_text):
        counted[match.outcome] += 1
    while counted.total() > most:
        is_all = False
        [(commonest, number)] = counted.most_common(1)
        counted[commonest] = max(0, number - (counted.total() - most))
    return counted, is_all


# --- Candidates -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Plan:
    """How a query is asked."""

    below: int | None
    above: int | None
    text: list[str] = field(default_factory=list)  # what FTS5 is asked, each of which must match
    inner: Q = field(default_factory=Q)  # what other indexes choose candidates by
    outcomes: tuple[str, ...] = ()
    rest: Q = field(default_factory=Q)  # what is held against the rows
    # Batches whose ids begin so are looked for apart, unless the text alone would find them.
    starts: list[str] = field(default_factory=list)
    by_text: Q = field(default_factory=Q)  # those batches that the text would find
    whole: Q = field(default_factory=Q)

    def candidates(self, limit: int | None) -> tuple[str, list[Any]]:
        if self.text:
            where, params = ["search_text MATCH %s"], [" AND ".join(self.text)]
            for term, place in (("rowid < %s", self.below), ("rowid > %s", self.above)):
                if place is not None:
                    where.append(term)
                    params.append(place)  # type: ignore[arg-type]  # a number among texts
            sql = f"SELECT rowid AS place FROM dashboard_batch_search WHERE {' AND '.join(where)} ORDER BY rowid"  # noqa: S608
            sql += " ASC" if self.above is not None else " DESC"
            return (f"{sql} LIMIT %s", [*params, limit]) if limit else (sql, params)
        order = "place" if self.above is not None else "-place"
        bounds = {"place__lt": self.below, "place__gt": self.above}
        rows = Batch.objects.filter(self.inner, **{name: at for name, at in bounds.items() if at is not None})
        if not self.outcomes:
            return _sql_of(rows.order_by(order).values("place")[:limit])
        # No index is in order for several outcomes, so the first of each, and then the first of those.
        parts = [_sql_of(rows.filter(outcome=one).order_by(order).values("place")[:limit]) for one in self.outcomes]
        union = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS of_{i}" for i, (sql, _params) in enumerate(parts))  # noqa: S608 (Django wrote it)
        turned = "ASC" if self.above is not None else "DESC"
        params = [param for _sql, own in parts for param in own]
        return f"SELECT place FROM ({union}) AS firsts ORDER BY place {turned} LIMIT %s", [*params, limit or LOOKED]  # noqa: S608 (the same)

    def sql(self, columns: str, limit: int) -> tuple[str, list[Any]]:
        """The rows among the candidates that the rest of the query holds for, in the candidates' order."""
        candidates, params = self.candidates(LOOKED if self.rest else None if self.text else limit)
        where, more = _where(self.rest)
        sql = (
            f"SELECT {columns} FROM ({candidates}) AS candidate"  # noqa: S608 (columns of ours, SQL of Django's)
            # In this order: SQLite would walk the table and ask the index of each row.
            " CROSS JOIN dashboard_batch WHERE dashboard_batch.place = candidate.place"
        )
        # SQLite gives a limited part of the candidates in its own order, and told to sort would fetch all of it first.
        order = "" if database.vendor == "sqlite" and "LIMIT" in candidates else " ORDER BY candidate.place"
        order += " DESC" if order and self.above is None else ""
        return f"{sql} AND ({where}){order} LIMIT %s", [*params, *more, limit]

    def end(self) -> int | None:
        """The place of the last candidate, when there are more than were looked through."""
        if not self.rest:
            return None
        sql, params = self.candidates(LOOKED)
        last = "max" if self.above is not None else "min"
        with database.cursor() as cursor:
            cursor.execute(f"SELECT count(*), {last}(place) FROM ({sql}) AS candidate", params)  # noqa: S608
            number, place = cursor.fetchone()
        return place if number >= LOOKED else None


def _sql_of(rows: Any) -> tuple[str, list[Any]]:
    try:
        sql, params = rows.query.sql_with_params()
    except EmptyResultSet:
        return "SELECT place FROM dashboard_batch WHERE 1 = 0", []
    return sql, list(params)


def _where(condition: Q) -> tuple[str, list[Any]]:
    rows = Batch.objects.filter(condition)
    compiler = rows.query.get_compiler(database.alias)
    try:
        sql, params = compiler.compile(rows.query.where)
    except FullResultSet:
        return "1 = 1", []
    except EmptyResultSet:
        return "1 = 0", []
    return sql, list(params)


def _plan_of(query: Query, within: Q, outcomes: tuple[str, ...], below: int | None, above: int | None) -> _Plan | None:
    """None when nothing can match."""
    wanted = frozenset(outcomes or Outcome.values)
    plan = _Plan(below, above)
    for clause in query.clauses:
        held = condition_of(Query((clause,)))
        if any(term.is_not for term in clause):
            plan.rest &= held
            continue
        if (possible := outcomes_of_clause(clause)) is not None:
            wanted &= possible
            if not all(term.field == "outcome" or set(term.values) <= set(TERMINAL) for term in clause):
                plan.rest &= held
        elif len(clause) == 1 and clause[0].field in PLACED:
            plan.inner &= _placed(clause[0])
        elif database.vendor != "sqlite" or (texts := _texts_of(clause)) is None:
            plan.rest &= held
        elif not texts:
            return None
        else:
            plan.text.append(f"({' OR '.join(texts)})")
            plan.by_text &= _by_text(clause)
            plan.starts += [start for term in clause for start in _id_starts(term)]
            if any(term.field for term in clause) and not is_told_by_facets(clause):
                plan.rest &= held  # a text may stand elsewhere in the row
    if not wanted:
        return None
    if wanted < set(Outcome.values):
        within &= Q(outcome__in=sorted(wanted))
        plan.outcomes = tuple(sorted(wanted)) if len(wanted) > 1 and not plan.text else ()
    plan.whole = condition_of(query) & within
    if plan.text:
        plan.rest &= plan.inner & within
    else:
        plan.inner &= within
    return plan


PLACED = {"conn", "created", "input"}  # by which lists are in order, one index or another


def _placed(term: Term) -> Q:
    """A condition by which lists are in order. A place begins with the second in which the batch was created."""
    if term.field != "created":
        return condition_of_term(term)
    either = Q()
    for since, until in term.values:
        bounds = {"place__gte": since, "place__lt": until}
        either |= Q(**{bound: int(at.timestamp()) << 30 for bound, at in bounds.items() if at is not None})
    return either


def _texts_of(clause: Sequence[Term]) -> list[str] | None:
    """What FTS5 is asked for a clause, None when it cannot know: then rows are looked at."""
    texts: list[str] = []
    for term in clause:
        for value in term.values:
            match term.field:
                case "":
                    texts.append(_phrase(text_of_word(value)))
                case "model" | "endpoint":
                    texts += [_phrase(f"\n{facet(term.field, one)}\n") for one in values_that_hold(term, value)]
                case "meta" if not value.endswith("*"):
                    texts.append(_phrase(f"\n{facet(f'meta.{term.key}', value)}\n"))
                case "meta" if len(value) > SHORTEST_INDEXED_WORD:
                    texts.append(_phrase(f"\n{value[:-1]}"))
                case "name" | "owner" if len(value) >= SHORTEST_INDEXED_WORD:
                    texts.append(_phrase(value))
                case "id" if len(value) >= SHORTEST_INDEXED_WORD:
                    texts.append(_phrase(f"{value[-ID_TAIL:]}\n"))
                case _:
                    return None
    return texts


def _phrase(text: str) -> str:
    return f'"{text.replace('"', '""')}"'


def _by_text(clause: Sequence[Term]) -> Q:
    """What a clause holds for by the text alone, where its words or ids may also be the beginning of an id."""
    either = Q()
    for term in clause:
        for value in term.values:
            if term.field == "id":
                either |= Q(remote_id__iendswith=value)
            else:
                either |= holds(term, value) if term.field else Q(search_text__icontains=text_of_word(value))
    return either


def _id_starts(term: Term) -> list[str]:
    if term.field == "id":
        return [start for value in term.values for start in (value, f"batch_{value}")]
    return [] if term.field else id_starts_of(term.values[0])


# --- Asking -----------------------------------------------------------------------------------------------------------


def _walked(plan: _Plan, limit: int) -> tuple[list[Match], int | None]:
    sql, params = plan.sql("dashboard_batch.id, dashboard_batch.place, dashboard_batch.outcome", limit)
    with database.cursor() as cursor:
        cursor.execute(sql, params)
        matches = [Match(*row) for row in cursor.fetchall()]
    return matches, None if len(matches) >= limit else plan.end()


def _begun(plan: _Plan, limit: int, apart: Q | None = None) -> list[Match]:
    """Batches whose id begins with a word of the query.

    All of them where few begin alike, else the first `limit` in the order of lists.
    """
    if not plan.starts:
        return []
    whole = plan.whole & (apart or Q())
    bounds = {"place__lt": plan.below, "place__gt": plan.above}
    whole &= Q(**{name: at for name, at in bounds.items() if at is not None})
    # In no order, or SQLite would walk the whole list.
    begins = begins_with("remote_id", plan.starts)
    alike = Batch.objects.filter(begins).order_by()
    number = alike.values("pk")[: FEW_IDS + 1].count()
    if not number:
        return []
    if number <= FEW_IDS:
        rows = alike.filter(whole)
    else:
        # Of many the first stand near the start of the list. An expression, so that SQLite walks that and not the ids.
        rows = Batch.objects.alias(begins=Concat("remote_id", Value(""))).filter(
            begins_with("begins", plan.starts), whole
        )
        rows = rows.order_by("-place" if plan.above is None else "place")[:limit]
    return [Match(*row) for row in rows.values_list("pk", "place", "outcome")]
