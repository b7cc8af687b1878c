"""The text index: what it holds of a batch, and how that gets in. insight/search.py asks it.

SQLite has an FTS5 table of trigrams (migration 0002), numbered by place, so that a search walks its matches newest
first and stops; PostgreSQL has indexes of its own.
"""

from collections.abc import Iterable
from hashlib import blake2b

from django.db import connection as database
from django.db import models

from dashboard.models.connection import Connection

SHORTEST_INDEXED_WORD = 3  # trigrams
ID_TAIL = 8
# Characters that nobody types (the private planes 15 and 16, without the last two of each).
_PLANES = ((0xF0000, 0xFFFE), (0x100000, 0xFFFE))
_MANY = sum(size for _first, size in _PLANES)


class Facet(models.Model):
    """A value that batches of a connection have in a field with few values: so a part of one finds the whole."""

    class Field(models.TextChoices):
        MODEL = "model"
        ENDPOINT = "endpoint"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="facets", db_index=False)
    field = models.CharField(max_length=8, choices=Field)
    value = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "field", "value"], name="one_facet")]

    def __str__(self) -> str:
        return f"{self.field}:{self.value}"


def facet(field: str, value: str) -> str:
    """Two characters that stand for a value of a field, whatever its case.

    On a line of their own they are two trigrams, which the index finds at once where a long value takes as many as it
    has characters. Two values share both once in seventeen thousand million.
    """
    digest = blake2b(f"{field}={value.casefold()}".encode(errors="surrogatepass"), digest_size=8).digest()
    number = int.from_bytes(digest)
    return _private(number) + _private(number // _MANY)


def _private(number: int) -> str:
    number %= _MANY
    (first, size), (second, _size) = _PLANES
    return chr(first + number) if number < size else chr(second + number - size)


def searchable(remote_id: str, metadata: dict[str, str], model: str = "", endpoint: str = "") -> str:
    """What the text index holds: the id's end, a line for each metadata value, then the facets."""
    facets = [facet(f"meta.{key}", value) for key, value in metadata.items()]
    facets += [facet(field, value) for field, value in (("model", model), ("endpoint", endpoint)) if value]
    return "\n".join([remote_id[-ID_TAIL:], *metadata.values(), *facets, ""])


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


def note_facets(connection_id: int, values: Iterable[tuple[str, str]]) -> None:
    """Keep the (field, value) pairs that are new."""
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO dashboard_facet (connection_id, field, value) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [(connection_id, field, value) for field, value in sorted(set(values)) if value],
        )
