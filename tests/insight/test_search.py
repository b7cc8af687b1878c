"""What a query finds: the same as reading every row would, newest first, whatever index chose the candidates."""

import json
import unicodedata
from collections import Counter as Tally
from datetime import datetime, timedelta

import pytest
from django.db import connection as database
from django.db.models import Q
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dashboard.insight import search
from dashboard.insight.query import query_of
from dashboard.models import Batch, Connection
from dashboard.models.batch import Outcome
from dashboard.models.search import facet
from tests.batches_made import batch_made, connection_made

pytestmark = pytest.mark.django_db

STATES = [("completed", (10, 10, 0)), ("completed", (10, 7, 3)), ("failed", (0, 0, 0)), ("in_progress", (10, 4, 1))]
MODELS = ["gpt-4o", "gpt-4o-mini", "o4", ""]
TEAMS = ["search", "Search", "ads", "ab", ""]
NAMES = ["nightly eval", "weekly", "ad", "nightly"]
OWNERS = ["ana", "mei", ""]


def holds(text: str, batch: Batch, names: dict[int, str], now: datetime) -> bool:
    """The same question, asked of one row in Python."""

    def one(term: str) -> bool:
        if term.startswith("-"):
            return not one(term[1:])
        name, colon, value = term.partition(":")
        value = value.strip('"').lower()
        match name:
            case "status":
                return batch.status == value
            case "outcome":
                return batch.outcome in value.split(",")
            case "conn":
                return names[batch.connection_id].lower() == value
            case "model" | "endpoint" | "owner" | "name":
                held = str(getattr(batch, name)).lower()
                return held == value[1:] if value.startswith("=") else value in held
            case "meta.team":
                held = batch.metadata.get("team", "").lower()
                return "team" in batch.metadata and (
                    held.startswith(value[:-1]) if value.endswith("*") else held == value
                )
            case "input":
                return batch.input_file_id.lower() == value
            case "failed":
                return (batch.requests_failed or 0) > 0
            case "created":
                return batch.ordered_at >= now - timedelta(hours=int(value[1:-1]))
        assert not colon
        word = term.strip('"').lower()
        values = [value.lower() for value in batch.metadata.values()] + [batch.remote_id[-8:].lower()]
        by_id = len(word) > 3 and batch.remote_id.startswith((word, f"batch_{word}"))
        return by_id or any(word in value if len(word) > 2 else word == value for value in values)

    clauses: list[list[str]] = []
    joins = False
    for term in text.split(" "):
        if term == "OR":
            joins = True
        elif joins:
            clauses[-1].append(term)
            joins = False
        else:
            clauses.append([term])
    return all(any(one(term) for term in clause) for clause in clauses)


TERMS = st.sampled_from(
    [
        "nightly", "eval", "ad", "ab", "batch_77", "77aa", "zzzz", "status:completed", "outcome:partial,all_failed",
        "outcome:open", "conn:prod", "conn:eu", "model:gpt-4o", "model:=gpt-4o", "model:mini", "model:none-such",
        "endpoint:responses", "owner:ana", "name:nightly", "name:ad", "meta.team:search", "meta.team:sea*",
        "meta.team:*", "failed:>0", "created:>3h", "input:file-shared", "input:none",
    ]
)  # fmt: skip
MINUS = st.builds(lambda minus, term: "-" * minus + term, st.booleans(), TERMS)


@st.composite
def queries(draw: st.DrawFn) -> str:
    terms = draw(st.lists(MINUS, min_size=1, max_size=4))
    joins: list[str] = [draw(st.sampled_from([" ", " ", " OR "])) for _ in terms[1:]]
    return "".join(map(str.__add__, terms, [*joins, ""]))


@pytest.fixture
def some() -> tuple[list[Batch], dict[int, str]]:
    """Sixty batches of two connections, some of which share their second."""
    names = {connection_made("prod").pk: "prod", connection_made("eu").pk: "eu"}
    now = timezone.now()
    for i in range(60):
        status, (total, completed, failed) = STATES[i * 7 % 4]
        metadata = {"team": TEAMS[i % 5]} if i % 6 else {}
        batch_made(
            Connection.objects.get(pk=list(names)[i % 3 % 2]),
            status,
            remote_id=f"batch_77{'aa' if i % 4 else 'bb'}{i * 7919 % 10**7:07d}{i:04x}",
            created_at=now - timedelta(minutes=10 * (i // 2), seconds=7),
            model=MODELS[i % 4],
            endpoint="/v1/responses" if i % 3 else "",
            name=NAMES[i * 3 % 4],
            owner=OWNERS[i % 3],
            metadata=metadata,
            input_file_id="file-shared" if i % 9 == 4 else f"file-{i}",
            requests_total=total,
            requests_completed=completed,
            requests_failed=failed,
        )
    return list(Batch.objects.order_by("-place")), names


@example(text="nightly batch_77 OR -nightly", page=70, looked=1000, few=1000)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=queries(), page=st.integers(3, 70), looked=st.sampled_from([9, 1000]), few=st.sampled_from([5, 1000]))
def test_a_query_finds_what_reading_every_row_would(
    some: tuple[list[Batch], dict[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    page: int,
    looked: int,
    few: int,
) -> None:
    monkeypatch.setattr(search, "LOOKED", looked)
    monkeypatch.setattr(search, "FEW_IDS", few)
    batches, names = some
    now = timezone.now()
    query = query_of(text, names, now)
    assert not query.notes
    expected = [batch.pk for batch in batches if holds(text, batch, names, now)]
    found: list[int] = []
    below = None
    for _ in range(200):
        some_of_it = search.find(query, limit=page, below=below)
        found += [match.pk for match in some_of_it.matches]
        if len(some_of_it.matches) >= page:
            below = some_of_it.matches[-1].place
        elif some_of_it.looked_to is not None:
            assert below is None or some_of_it.looked_to < below, "looking further goes further"
            below = some_of_it.looked_to
        else:
            break
    assert found == expected
    outcomes = {batch.pk: batch.outcome for batch in batches}
    counted, is_all = search.tally(query, most=1000)
    if is_all:
        assert counted == Tally(outcomes[pk] for pk in expected)
    else:
        assert looked == 9
        assert counted.total() <= len(expected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=queries(), outcomes=st.sampled_from([(Outcome.PARTIAL,), (Outcome.OPEN, Outcome.PARTIAL)]))
def test_a_search_goes_both_ways_and_stays_within_what_is_asked(
    some: tuple[list[Batch], dict[int, str]], text: str, outcomes: tuple[str, ...]
) -> None:
    batches, names = some
    now = timezone.now()
    query, eu = query_of(text, names, now), max(names)
    wanted = [
        batch
        for batch in batches
        if holds(text, batch, names, now) and batch.outcome in outcomes and batch.connection_id == eu
    ]
    within = Q(connection=eu)
    assert [match.pk for match in search.find(query, within, outcomes, limit=99).matches] == [one.pk for one in wanted]
    middle = batches[30].place
    above = search.find(query, within, outcomes, limit=2, above=middle).matches
    assert [match.pk for match in above] == [one.pk for one in wanted if one.place > middle][-2:]


def test_a_facet_stands_for_one_value_of_one_field_whatever_its_case() -> None:
    facets = {facet(field, f"value {i}") for field in ("model", "meta.team") for i in range(20_000)}
    assert len(facets) == 40_000
    assert facet("meta.team", "SEARCH") == facet("meta.team", "search")
    assert all(unicodedata.category(character) == "Co" for one in facets for character in one), "nobody types these"


def test_keys_of_any_kind_are_looked_up() -> None:
    prod = connection_made()
    for key in ("1", "a.b", "$", "it's", "%s", "ключ"):
        own = batch_made(prod, metadata={key: "held"})
        # As absorb writes it: Django escapes what is not ASCII, and SQLite does not see through that in a key.
        with database.cursor() as cursor:
            written = json.dumps({key: "held"}, ensure_ascii=False)
            cursor.execute("UPDATE dashboard_batch SET metadata = %s WHERE id = %s", [written, own.pk])
        assert [match.pk for match in search.find(query_of(f'meta."{key}":held', {}), limit=9).matches] == [own.pk]
