"""What the search box understands, and what it says of what it does not."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.query import LARGEST, LONGEST, Query, Term, query_of, text_of, typed_in

NAMES = {1: "OpenAI / prod", 2: "Azure / eu", 3: "prod"}
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


def asked(text: str) -> Query:
    with timezone.override(UTC):
        return query_of(text, NAMES, NOW)


def term(text: str) -> Term:
    query = asked(text)
    assert not query.notes
    assert [len(clause) for clause in query.clauses] == [1]
    return query.clauses[0][0]


def test_words_and_quotes() -> None:
    query = asked('nightly "two words" eval')
    assert [clause[0].values for clause in query.clauses] == [("nightly",), ("two words",), ("eval",)]
    assert not query.notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status:in_progress", Term("status", ("in_progress",))),
        ("status:In-Progress", Term("status", ("in_progress",))),
        ("status:running", Term("outcome", ("open",))),
        ("-status:partial", Term("outcome", ("partial",), is_not=True)),
        ("status:failed", Term("status", ("failed",))),
        ("outcome:partial,expired", Term("outcome", ("partial", "expired"))),
        ("outcome:failed", Term("outcome", ("all_failed", "failed_validation", "failed"))),
        ("-outcome:running", Term("outcome", ("open",), is_not=True)),
        ("conn:azure", Term("conn", (2,))),
        ("conn:prod", Term("conn", (3,))),
        ('conn:"OpenAI / prod"', Term("conn", (1,))),
        ("conn:/", Term("conn", (1, 2))),
        ("model:gpt-4o", Term("model", ("gpt-4o",))),
        ("MODEL:=gpt-4o", Term("model", ("gpt-4o",), "=")),
        ("endpoint:/v1/responses", Term("endpoint", ("/v1/responses",))),
        ("meta.team:search", Term("meta", ("search",), key="team")),
        ('meta."cost centre":"a, b",c', Term("meta", ("a, b", "c"), key="cost centre")),
        ("failed:>0", Term("failed", ((1, LARGEST),))),
        ("failed:<=2k", Term("failed", ((0, 2000),))),
        ("total:10..50", Term("total", ((10, 50),))),
        ("total:10..", Term("total", ((10, LARGEST),))),
        ("completed:7", Term("completed", ((7, 7),))),
        ("window:24H", Term("window", ("24h",))),
        ("input:file-Kq81", Term("input", ("file-Kq81",))),
        ("created:>7d", Term("created", ((datetime(2026, 11, 15, 15, 0, tzinfo=UTC), None),))),
        ("created:7d", Term("created", ((datetime(2026, 11, 15, 15, 0, tzinfo=UTC), None),))),
        ("created:<2h", Term("created", ((None, datetime(2026, 11, 22, 13, 0, tzinfo=UTC)),))),
        ("deadline:2h", Term("deadline", ((NOW, datetime(2026, 11, 22, 17, 0, tzinfo=UTC)),))),
        ("deadline:<2h", Term("deadline", ((None, datetime(2026, 11, 22, 17, 0, tzinfo=UTC)),))),
        ("deadline:>2h", Term("deadline", ((datetime(2026, 11, 22, 17, 0, tzinfo=UTC), None),))),
        (
            "deadline:1h..2h",
            Term("deadline", ((datetime(2026, 11, 22, 16, tzinfo=UTC), datetime(2026, 11, 22, 17, tzinfo=UTC)),)),
        ),
        (
            "finished:yesterday",
            Term("finished", ((datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)),)),
        ),
        ("created:>2026-11-20", Term("created", ((datetime(2026, 11, 21, tzinfo=UTC), None),))),
        ("created:>=2026-11-20", Term("created", ((datetime(2026, 11, 20, tzinfo=UTC), None),))),
        (
            "created:2026-11-01..2026-11-02",
            Term("created", ((datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)),)),
        ),
    ],
)
def test_fields(text: str, expected: Term) -> None:
    assert term(text) == expected


def test_days_are_those_of_the_persons_own_zone() -> None:
    with timezone.override("Asia/Tokyo"):
        [[today]] = query_of("created:today", NAMES, NOW).clauses
    since, until = today.values[0]
    assert (since, until) == (datetime(2026, 11, 22, 15, 0, tzinfo=UTC), datetime(2026, 11, 23, 15, 0, tzinfo=UTC))


def test_or_joins_its_two_neighbours_alone() -> None:
    query = asked("conn:azure status:failed OR status:expired OR word other")
    assert [[one.field for one in clause] for clause in query.clauses] == [["conn"], ["status", "status", ""], [""]]


@pytest.mark.parametrize(
    ("text", "said", "left"),
    [
        ("status:done nightly", "“done” is no status; there are validating, in_progress", 1),
        ("conn:nowhere nightly", "no connection is called “nowhere”; there are “OpenAI / prod”", 1),
        ("failed:many nightly", "“many” is no number", 1),
        ("created:soon nightly", "“soon” is no time", 1),
        ("created:2026-13-41 nightly", "is no time", 1),
        ("failed: nightly", "a value is missing behind the colon", 1),
        ("meta:team nightly", "it needs a key of the metadata", 1),
        ("status:>failed nightly", "neither more nor less", 1),
        ("total:>1..5 nightly", "two dots and a comparison", 1),
        ("nightly OR", "OR stands between two terms", 1),
        ("OR nightly", "OR stands between two terms", 1),
        ("a_b OR OR c_d", "OR stands between two terms", 1),
        ("- nightly", "there is nothing in it", 1),
        ('nightly "not closed', "reaches to the end", 2),
        ("urn:nightly", "There is no field urn, so “urn:nightly” is looked for as a word.", 1),
    ],
)
def test_a_mistake_is_explained_and_the_rest_still_applies(text: str, said: str, left: int) -> None:
    query = asked(text)
    assert any(said in note for note in query.notes), query.notes
    assert len(query.clauses) == left


def test_an_alternative_to_a_mistake_stands_alone() -> None:
    query = asked("conn:azure status:wrong OR status:failed")
    assert [[one.field for one in clause] for clause in query.clauses] == [["conn"], ["status"]]


def test_too_long_a_search_is_cut_and_says_so() -> None:
    query = asked("x" * (LONGEST + 1))
    assert "cut to its first 500" in query.notes[0]
    assert len(asked(" ".join(f"w{i}" for i in range(60))).clauses) == 40


@given(st.text(alphabet=st.sampled_from("ab:-\"., <>=ORstatusmeailed0123456789\n\u202e'%_"), max_size=60))
def test_whatever_is_typed_is_read_without_an_error(text: str) -> None:
    query = asked(text)
    assert isinstance(query.clauses, tuple)
    at = 0
    for typed in typed_in(text):
        assert text[at : typed.start].strip() == "", "nothing but spaces lies between two terms"
        assert typed.text == text[typed.start : typed.end]
        at = typed.end
    assert text[at:].strip() == ""


any_text = st.one_of(st.text(max_size=30), st.text('a "*\\:,-.=\n\0', max_size=8))


@given(
    st.one_of(
        st.builds(lambda key, value: Term("meta", (value,), key=key), any_text, any_text),
        st.builds(lambda value: Term("model", (value,), "="), any_text),
        st.builds(lambda value: Term("input", (value,)), any_text),
    )
)
def test_what_a_link_asks_is_what_it_says_or_there_is_no_link(term: Term) -> None:
    text = text_of(term)
    if text:
        assert asked(text) == Query(((term,),))
        assert "\0" not in text
    elif all(part.strip() == part != "" for part in (term.values[0], term.key if term.field == "meta" else "-")):
        assert set(term.values[0] + term.key) & {'"', "\0"} or term.values[0].endswith("*")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("team", "search", 'meta."team":"search"'),
        ("cost centre", "a, b", 'meta."cost centre":"a, b"'),
        ("team", 'say "hi"', ""),
        ('a"b', "x", ""),
        ("", "x", ""),
        ("team", "", ""),
        ("team", "sea*", ""),
        ("team", " padded", ""),
        ("team", "x" * LONGEST, ""),
    ],
)
def test_metadata_is_quoted_or_cannot_be_asked(key: str, value: str, text: str) -> None:
    assert text_of(Term("meta", (value,), key=key)) == text
