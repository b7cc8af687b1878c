"""What tests and the benchmark search for."""

from collections.abc import Iterable

from dashboard.insight.query import Query, Term


def words_query(words: Iterable[str]) -> Query:
    """Every one of these words."""
    return Query(tuple((Term("", (word,)),) for word in words))
