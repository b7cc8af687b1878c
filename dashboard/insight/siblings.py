"""Batches like one: with the same metadata value, input file or model. A few of each, and how to find them all."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import FETCH_RAISE, Q

from dashboard.insight.query import Query, Term, text_of
from dashboard.insight.search import find
from dashboard.models import Batch

SHOWN = 3
COUNTED = 100  # and no more: a model may have hundreds of thousands
GROUPS = 4
KEYS = 3  # of the metadata that are looked up, which bounds what a page asks

# What a name and an outcome are made of.
NAMED = (
    "name",
    "remote_id",
    "status",
    "raw_status",
    "outcome",
    "is_open",
    "gone_at",
    "output_file_id",
    "requests_total",
    "requests_completed",
    "requests_failed",
    "failed_in_files",
)


@dataclass(frozen=True, slots=True)
class Siblings:
    """`text` finds all of them, this batch among them; `number` counts them, or is COUNTED when there are more."""

    field: str  # "meta", "input" or "model"
    key: str
    value: str
    text: str
    number: int
    batches: Sequence[Batch]  # the newest others


def siblings_of(batch: Batch, within: Q, *, telling: Sequence[str] = ()) -> list[Siblings]:
    """Groups with at least one other batch, smallest first; `within` is what this person may see.

    `telling` are metadata keys that say nothing of a group, as the one that names the batch.
    """
    found: list[tuple[Term, str, list[int]]] = []
    for term in _terms(batch, telling):
        text = text_of(term)
        if not text:
            continue
        matches = find(Query(((term,),)), within, limit=COUNTED + 1).matches
        pks = [match.pk for match in matches]
        # The same batches by another key are nothing new.
        if set(pks) - {batch.pk} and pks not in [known for _term, _text, known in found]:
            found.append((term, text, pks))
    wanted = {pk for _term, _text, pks in found for pk in _others(pks, batch)}
    rows = Batch.objects.only(*NAMED).fetch_mode(FETCH_RAISE).in_bulk(wanted) if wanted else {}
    groups = [
        Siblings(
            field=term.field,
            key=term.key,
            value=str(term.values[0]),
            text=text,
            number=min(len(pks), COUNTED + 1),
            batches=[rows[pk] for pk in _others(pks, batch) if pk in rows],
        )
        for term, text, pks in found
    ]
    return sorted(groups, key=lambda group: group.number)[:GROUPS]


def _terms(batch: Batch, telling: Sequence[str]) -> list[Term]:
    pairs = [(key, value) for key, value in batch.metadata.items() if key not in telling and isinstance(value, str)]
    terms = [Term("meta", (value,), key=key) for key, value in sorted(pairs)[:KEYS]]
    if batch.input_file_id:
        terms.append(Term("input", (batch.input_file_id,)))
    if batch.model:
        terms.append(Term("model", (batch.model,), "="))
    return terms


def _others(pks: Sequence[int], batch: Batch) -> list[int]:
    return [pk for pk in pks if pk != batch.pk][:SHOWN]
