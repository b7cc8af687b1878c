"""The text index: what it holds, and the search that walks it newest first.

SQLite has an FTS5 table of trigrams (migration 0002), PostgreSQL two pg_trgm indexes. A word with thousands of matches
must cost what is shown of them, so the walk goes in the order of lists and stops; nothing collects all matches first.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from django.db import connection as database
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat

from dashboard.models.batch import Batch

SHORTEST_INDEXED_WORD = 3  # trigrams
ID_TAIL = 8
FEW_IDS = 4_000  # looked up one by one: some 15 ms
LAST = chr(0x10FFFF)  # sorts behind every other character


class Match(NamedTuple):
    """A batch that a search found, with what lists need to count and place it."""

    pk: int
    place: int
    outcome: str


def searchable(remote_id: str, metadata: dict[str, str]) -> str:
    """What the text index holds: the id's end, and a line for each metadata value."""
    return "\n".join([remote_id[-ID_TAIL:], *metadata.values(), ""])


def index_new(after: int) -> None:
    """Add every row with an id above `after` to the text index; the other half of SQLite's triggers in 0002_search.

    In rising order: FTS5 writes its buffer to disk at every number that is lower than the last.
    """
    if database.vendor == "sqlite":
        with database.cursor() as cursor:
            cursor.execute(
                "INSERT INTO dashboard_batch_search(rowid, search_text)"
                " SELECT place, search_text FROM dashboard_batch WHERE id > %s ORDER BY place",
                [after],
            )


def search(
    words: Sequence[str],
    *,
    limit: int,
    outcomes: Sequence[str] | None = None,
    connection: int | None = None,
    below: int | None = None,
    above: int | None = None,
    hidden: Collection[int] = (),
) -> list[Match]:
    """The newest `limit` batches in which every word appears: in the metadata, or at either end of the id.

    A word of fewer than three characters has no trigram: it matches a whole metadata value instead. `below` and `above`
    are places: below one the newest are taken, above one the oldest. The answer is newest first in any case. Batches of
    the `hidden` connections are left out.
    """
    lookups = {"outcome__in": outcomes, "connection": connection, "place__lt": below, "place__gt": above}
    wanted = Batch.objects.filter(**{name: value for name, value in lookups.items() if value is not None})
    if hidden:
        wanted = wanted.exclude(connection__in=hidden)
    wanted = wanted.order_by("-place" if above is None else "place")
    if database.vendor == "sqlite":
        found = _by_text_on_sqlite(words, limit, outcomes, connection, below, above, hidden)
    else:
        found = _matches(wanted.filter(*[Q(search_text__icontains=_text_of(word)) for word in words])[:limit])
    found += _by_id(words, wanted, limit)
    newest_first = sorted(set(found), key=lambda match: match.place, reverse=True)
    return newest_first[:limit] if above is None else newest_first[-limit:]


def _text_of(word: str) -> str:
    return f"\n{word}\n" if len(word) < SHORTEST_INDEXED_WORD else word


def _matches(rows: QuerySet[Batch]) -> list[Match]:
    return [Match(*row) for row in rows.values_list("pk", "place", "outcome")]


def _by_text_on_sqlite(
    words: Sequence[str],
    limit: int,
    outcomes: Sequence[str] | None,
    connection: int | None,
    below: int | None,
    above: int | None,
    hidden: Collection[int],
) -> list[Match]:
    """By hand, because the ORM cannot say CROSS JOIN, which makes SQLite walk the text index and not the table."""
    where, values = ["f.search_text MATCH %s"], [" ".join(f'"{_text_of(word).replace('"', '""')}"' for word in words)]
    terms: list[tuple[str, Sequence[object] | None]] = [
        ("f.rowid < %s", None if below is None else [below]),
        ("f.rowid > %s", None if above is None else [above]),
        ("b.connection_id = %s", None if connection is None else [connection]),
        (f"b.outcome IN ({', '.join(['%s'] * len(outcomes or ()))})", outcomes),
        (f"b.connection_id NOT IN ({', '.join(['%s'] * len(hidden))})", list(hidden) or None),
    ]
    for term, given in terms:
        if given is not None:
            where.append(term)
            values += given  # type: ignore[arg-type]  # of several types
    order = "DESC" if above is None else "ASC"
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT b.id, b.place, b.outcome FROM dashboard_batch_search f"  # noqa: S608 (terms of our own)
            f" CROSS JOIN dashboard_batch b ON b.place = f.rowid WHERE {' AND '.join(where)}"
            f" ORDER BY f.rowid {order} LIMIT %s",
            [*values, limit],
        )
        return [Match(*row) for row in cursor.fetchall()]


def _by_id(words: Sequence[str], wanted: QuerySet[Batch], limit: int) -> list[Match]:
    """Batches whose id begins with one of the words, with or without "batch_", and that have the other words too.

    All of them where few begin alike, else the first `limit` in the order of `wanted`.
    """
    starts = [start for word in words if _is_telling(word) for start in (word, f"batch_{word}")]
    if not starts:
        return []
    few = wanted.order_by().filter(_begins("remote_id", starts))
    # In no order, or SQLite would walk the whole list; and the other words are looked for here.
    columns = ("pk", "place", "outcome", "remote_id", *(["search_text"] if len(words) > 1 else []))
    rows = list(few.values_list(*columns)[: FEW_IDS + 1])
    if len(rows) <= FEW_IDS:
        return [Match(*row[:3]) for row in rows if all(_has(row[3], row[4:], word) for word in words)]
    # Of many the first stand near the start of the list. An expression, so that SQLite walks that and not the ids.
    begun = wanted.alias(begins=Concat("remote_id", Value(""))).filter(_begins("begins", starts))
    for word in words if len(words) > 1 else ():
        begun = begun.filter(Q(search_text__icontains=_text_of(word)) | _begins("begins", [word, f"batch_{word}"]))
    return _matches(begun[:limit])


def _begins(column: str, starts: Sequence[str]) -> Q:
    either = Q()
    for start in starts:
        # SQLite's LIKE ignores case and with it the index; PostgreSQL's order of texts is no order of prefixes.
        if database.vendor == "sqlite":
            either |= Q(**{f"{column}__gte": start, f"{column}__lt": start + LAST})
        else:
            either |= Q(**{f"{column}__istartswith": start})
    return either


def _has(remote_id: str, texts: Sequence[str], word: str) -> bool:
    if remote_id.startswith((word, f"batch_{word}")):
        return True
    # PostgreSQL's search of ids ignores case, and a single word was looked for already.
    return not texts or _text_of(word).casefold() in texts[0].casefold()


def _is_telling(word: str) -> bool:
    return len(word) > SHORTEST_INDEXED_WORD and not "batch_".startswith(word)
