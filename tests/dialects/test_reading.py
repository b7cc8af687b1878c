"""Reading never loses a good record, never raises anything undeclared, and never reads without bounds."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.dialects import REASONS, RefusedRecord, RemoteBatch, VendorError
from dashboard.dialects import record as reader
from dashboard.dialects.fields import MAX_ERRORS, MAX_ODDITIES, MAX_PAIRS, MAX_VALUE
from dashboard.dialects.record import MAX_RECORD, read_any, read_ordinary, read_record
from dashboard.dialects.wire import MAX_ITEMS, read_batch, read_error, read_page

from .conftest import KEY, NOW, page, payload, record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
ODD_JSON = st.one_of(
    JSON,
    st.sampled_from(
        ["", "None", "12", "-1", "1e3", "2026-02-03", "9" * 40, "\x00", "\ud800", 0, -1, 2**64, 10**400, {}, []]
    ),
)
NAMES = [
    *RemoteBatch.__struct_fields__,
    *reader._Ordinary.__struct_fields__,
    *("requestCounts", "createdAt", "inputFileId", "errors", "error", "results", "create_time"),
]
TIMES = st.none() | st.integers(1_500_000_000, 1_900_000_000)
FILE_IDS = st.none() | st.sampled_from(["", "None", "file-8YqWn6vG2sQ1kRz4tXbLfM"])
COUNTS = st.integers(0, 1_000_000)
WORDS = st.none() | st.sampled_from(["", "None"]) | st.text(max_size=300)
ERROR = st.fixed_dictionaries(
    {}, optional={"code": WORDS, "message": WORDS, "param": WORDS, "line": st.none() | st.integers(-1, 50_000)}
)
ERRORS = st.none() | st.fixed_dictionaries(
    {}, optional={"object": st.just("list"), "data": st.none() | st.lists(ERROR, max_size=4), "message": WORDS}
)


@st.composite
def ordinary_records(draw: st.DrawFn) -> dict[str, Any]:
    """What OpenAI itself may send: every member of its documented shape, with and without the optional ones."""
    completed, failed = draw(COUNTS), draw(COUNTS)
    optional: dict[str, Any] = {name: draw(TIMES) for name in RemoteBatch.__struct_fields__ if name.endswith("_at")}
    optional |= {
        "model": draw(st.none() | st.text(max_size=30)),
        "output_file_id": draw(FILE_IDS),
        "error_file_id": draw(FILE_IDS),
        "errors": draw(ERRORS),
        "request_counts": draw(
            st.none() | st.just({"total": completed + failed + draw(COUNTS), "completed": completed, "failed": failed})
        ),
        "usage": draw(
            st.none()
            | st.fixed_dictionaries(
                {"input_tokens": COUNTS, "output_tokens": COUNTS, "total_tokens": COUNTS},
                optional={
                    "input_tokens_details": st.none() | st.fixed_dictionaries({"cached_tokens": COUNTS}),
                    "output_tokens_details": st.none() | st.fixed_dictionaries({"reasoning_tokens": COUNTS}),
                },
            )
        ),
        "metadata": draw(
            st.none() | st.dictionaries(st.text(max_size=64), st.text(max_size=512) | st.none(), max_size=16)
        ),
        "a_new_member": draw(JSON),
    }
    dropped = draw(st.sets(st.sampled_from(sorted(optional))))
    return {
        "id": draw(st.from_regex(r"\Abatch_[A-Za-z0-9:_\-]{1,60}\Z")),
        "object": "batch",
        "endpoint": draw(st.none() | st.text(max_size=40)),
        "input_file_id": draw(FILE_IDS),
        "completion_window": draw(st.sampled_from(["24h", "7d", "background", None])),
        "status": draw(st.sampled_from(sorted(set(reader._SYNONYMS.values())))),
        **{name: value for name, value in optional.items() if name not in dropped},
        "created_at": draw(st.integers(1_500_000_000, 1_900_000_000)),
    }


@given(ordinary_records())
def test_both_readers_give_the_same_batch(given_record: dict[str, Any]) -> None:
    body = json.dumps(given_record).encode()
    slow = read_any(body, NOW)
    assert isinstance(slow, RemoteBatch)
    assert read_ordinary(body) in (None, slow)


@given(ordinary_records().filter(lambda r: "NaN" not in json.dumps(r) and "Infinity" not in json.dumps(r)))
@settings(max_examples=50)
def test_ordinary_records_mostly_take_the_fast_reader(given_record: dict[str, Any]) -> None:
    given_record |= {"metadata": {"name": "x"}, "a_new_member": {"y": [1]}, "model": "m", "endpoint": "/v1/responses"}
    given_record["errors"] = {"object": "list", "data": [{"code": "c", "message": "m", "param": None, "line": 1}]}
    assert read_ordinary(json.dumps(given_record).encode()) is not None


@given(st.dictionaries(st.sampled_from(NAMES), ODD_JSON), st.booleans())
@settings(max_examples=300)
def test_no_field_costs_its_record(odd: dict[str, Any], pretty: bool) -> None:  # noqa: FBT001
    """Whatever stands in any field, the record is read, or refused for what it says it is."""
    body = json.dumps(odd | {"id": "batch_1", "object": "batch", "status": "failed"}, indent=1 if pretty else None)
    batch = read_record(body.encode(), NOW)
    if isinstance(batch, RefusedRecord):
        assert batch.reason.startswith("looks_like_")
        return
    assert batch.remote_id == "batch_1"
    assert len(batch.oddities) <= MAX_ODDITIES
    texts = [batch.endpoint, batch.model, *batch.metadata, *batch.metadata.values(), *batch.oddities]
    texts += [text for error in batch.errors for text in (error.code, error.message, error.param)]
    assert not any("\x00" in text for text in texts)
    "".join(texts).encode()  # raises for half a surrogate pair
    for name in RemoteBatch.__struct_fields__:
        if name.endswith("_at"):
            assert getattr(batch, name) is None or 1_400_000_000 < getattr(batch, name) < NOW + 3_660 * 86_400
        if name.startswith(("requests_", "tokens_")):
            assert getattr(batch, name) is None or 0 <= getattr(batch, name) <= 2**53


@given(st.lists(ODD_JSON, max_size=5), st.lists(ODD_JSON, max_size=5), st.dictionaries(st.text(max_size=10), ODD_JSON))
@settings(max_examples=200)
def test_a_good_record_is_never_lost_to_its_neighbours(
    before: list[Any], after: list[Any], envelope: dict[str, Any]
) -> None:
    body = json.dumps(envelope | {"data": [*before, record(id="batch_good"), *after]}).encode()
    found = read_page(body, now=NOW)
    assert "batch_good" in [batch.remote_id for batch in found.batches]
    assert len(found.batches) + len(found.refused) == len(before) + len(after) + 1
    assert {refused.reason for refused in found.refused} <= set(REASONS)


@given(
    JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200) | st.text().map(lambda t: t.encode())
)
def test_no_body_raises_anything_but_a_vendor_error(body: bytes) -> None:
    for read in (lambda: read_page(body, "text/html"), lambda: read_batch(body, "batch_1", "text/html")):
        with suppress(VendorError):
            read()
    assert len(read_error(body, "text/html")) <= 500


@pytest.mark.parametrize(
    "bad",
    [
        b'{"id":"batch_x","object":"batch","status":"failed","created_at":NaN}',
        b'{"id":"batch_x","object":"batch","status":"failed","model":"\\ud800"}',
        b'{"id":"batch_x","object":"batch","status":"failed","model":"\xff\xfe"}',
        b'{"id":"batch_x","object":"batch","status":"failed","created_at":' + b"9" * 5_000 + b"}",
        b'{"id":"batch_x","object":"batch","status":"failed","model":"a\nb\x00"}',
    ],
)
def test_improper_json_in_one_record_harms_neither_it_nor_the_page(bad: bytes) -> None:
    good = json.dumps(record()).encode()
    found = read_page(b'{"object":"list","data":[' + good + b"," + bad + b"," + good + b'],"has_more":true}', now=NOW)
    assert [batch.remote_id for batch in found.batches] == [record()["id"], "batch_x", record()["id"]]
    assert found.has_more is True
    assert found.batches[1].payload == bad


@pytest.mark.parametrize(
    "bad", [b"{nonsense}", b'{"id":1 2}', b"5", b'"text, [with] {brackets}"', b"null", b"[[]]", b"{}"]
)
def test_a_record_that_is_no_record_costs_only_itself(bad: bytes) -> None:
    good = json.dumps(record()).encode()
    found = read_page(b'{"data":[' + bad + b"," + good + b"," + bad + b"]}", now=NOW)
    assert len(found.batches) == 1
    assert len(found.refused) == 2
    assert found.next_cursor == record()["id"]


def test_endless_nesting_costs_only_its_record() -> None:
    deep = '{"id":"batch_deep","object":"batch","status":"failed","x":' + '{"a":[' * 50_000 + "]}" * 50_000 + "}"
    body = f'{{"data":[{json.dumps(record())},{deep}]}}'.encode()
    found = read_page(body, now=NOW)
    assert [refused.reason for refused in found.refused] == ["too_deep"]
    assert len(found.batches) == 1
    with pytest.raises(VendorError) as raised:
        read_batch(deep.encode(), "batch_deep")
    assert raised.value.kind == "too_large"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "body", [b'"' * 2_000_001, b"x" * 4_000_000 + b'"', b'{"data":[' + b'"\\"' * 500_000, b"[" * 2_000_000]
)
def test_a_hostile_body_takes_no_longer_than_its_length(body: bytes) -> None:
    with pytest.raises(VendorError):
        read_page(body)


def test_a_page_of_countless_records_is_too_large() -> None:
    for body in (page(*[0] * (MAX_ITEMS + 1)), b"[" + b"0," * 2_000_001 + b"0]"):
        with pytest.raises(VendorError) as raised:
            read_page(body)
        assert raised.value.kind == "too_large"


def test_inline_results_are_never_kept() -> None:
    body = json.dumps(record(results=[{"body": "x" * (3 * MAX_RECORD)}])).encode()
    batch = read_record(body, NOW)
    assert isinstance(batch, RemoteBatch)
    assert json.loads(batch.payload) == record()


def test_a_member_too_large_to_keep_is_left_out_and_the_record_stays() -> None:
    batch = read_record(json.dumps(record(analytics=["x" * 2 * MAX_RECORD])).encode(), NOW)
    assert isinstance(batch, RemoteBatch)
    assert json.loads(batch.payload) == record()
    assert batch.oddities == ("payload: analytics was too large to keep",)


def test_a_record_large_through_and_through_is_refused() -> None:
    refused = read_record(json.dumps(record(**{f"x{n}": "y" * 200_000 for n in range(9)})).encode(), NOW)
    assert isinstance(refused, RefusedRecord)
    assert (refused.reason, refused.remote_id) == ("too_large", record()["id"])


def test_metadata_and_errors_are_bounded() -> None:
    wide = record(
        metadata={f"key {n}": "v" * 5_000 for n in range(100)},
        errors={"data": [{"code": "c", "message": "m" * 9_000, "line": n} for n in range(500)]},
    )
    batch = read_record(json.dumps(wide).encode(), NOW)
    assert isinstance(batch, RemoteBatch)
    assert len(batch.metadata) == MAX_PAIRS
    assert {len(value) for value in batch.metadata.values()} == {MAX_VALUE}
    assert len(batch.errors) == MAX_ERRORS
    assert len(batch.errors[0].message) == 2_000


@pytest.mark.parametrize("key", ["id", "file-1", "a/b", "x" * 512])
def test_ids_of_many_shapes_are_ids(key: str) -> None:
    batch = read_record(json.dumps(record(id=key, output_file_id=key)).encode(), NOW)
    assert isinstance(batch, RemoteBatch)
    assert (batch.remote_id, batch.output_file_id) == (key, key)


@pytest.mark.parametrize("key", ["a b", "a\n", "a\x00", "\u202ea", "x" * 513, "a\u2028", 5, True, [], {}])
def test_what_cannot_be_an_id_is_refused_and_as_a_file_id_unread(key: Any) -> None:
    refused = read_record(json.dumps(record(id=key)).encode(), NOW)
    assert isinstance(refused, RefusedRecord)
    assert refused.reason == "bad_id"
    batch = read_record(json.dumps(record(output_file_id=key)).encode(), NOW)
    assert isinstance(batch, RemoteBatch)
    assert batch.output_file_id == ""
    assert [line.partition(":")[0] for line in batch.oddities] == ["output_file_id"]


def test_the_cursor_is_the_last_id_that_can_be_one() -> None:
    assert read_page(page(record(id="a"), record(id="b", object="file"), last_id="zzz")).next_cursor == "b"
    assert read_page(page(record(id="a"), {"x": 1})).next_cursor == "a"
    assert read_page(page({"x": 1}, last_id="zzz")).next_cursor == "zzz"
    assert read_page(page(record(id="a"), next_page_token="tok")).next_cursor == "tok"
    assert read_page(page(record(id="a"), nextPageToken="tok", hasMore=True)).next_cursor == "tok"
    assert read_page(page()).next_cursor is None


@pytest.mark.parametrize(
    ("said", "meant"), [(True, True), (False, False), ("true", True), ("False", False), (0, False)]
)
def test_has_more_is_read_in_any_spelling(said: Any, meant: bool) -> None:  # noqa: FBT001
    assert read_page(page(record(), has_more=said)).has_more is meant


@pytest.mark.parametrize(
    ("body", "content_type", "kind", "words"),
    [
        (b"<!doctype html><title>Sign in</title><p>to the Wi-Fi", "text/html", "not_json", "text/html: Sign in"),
        (b"", "", "not_json", ""),
        (b"upstream gone", "text/plain", "not_json", "text/plain: upstream gone"),
        (b'{"error":{"message":"Quota exceeded","code":null}}', "", "refused", "Quota exceeded"),
        (b'{"error":"boom"}', "", "refused", "boom"),
        (b'{"object":"list","data":{"a":1}}', "", "not_a_batch_api", "{data, object}"),
        (b'{"object":"list","data":"text"}', "", "not_a_batch_api", "{data, object}"),
        (b'{"edges":[],"page_info":{}}', "", "not_a_batch_api", "edges, page_info"),
        (b'{"detail":"Not here"}', "", "not_a_batch_api", "Not here"),
        (b"5", "", "not_a_batch_api", "5"),
    ],
)
def test_an_answer_that_is_no_list_says_why(body: bytes, content_type: str, kind: str, words: str) -> None:
    with pytest.raises(VendorError) as raised:
        read_page(body, content_type)
    assert raised.value.kind == kind
    assert words in raised.value.words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"message":"No batch","type":"x","param":null,"code":null}}', "No batch"),
        (b'{"error":{"message":"Bad","type":"None","param":"None","code":"400"}}', "Bad"),
        (
            b'{"error":{"message":"limit is 101","code":"integer_above_max_value"}}',
            "limit is 101 (integer_above_max_value)",
        ),
        (b'{"error":{"code":429,"message":"Slow","status":"RESOURCE_EXHAUSTED","details":[{}]}}', "Slow"),
        (b'{"error":"text"}', "text"),
        (b'{"detail":"text"}', "text"),
        (b'{"detail":{"error":{"message":"inner"}}}', "inner"),
        (b'{"detail":[{"loc":["query","limit"],"msg":"too large","type":"x"}]}', "too large"),
        (b'{"message":"cohere"}', "cohere"),
        (b'{"type":"error","error":{"type":"a","message":"claude"},"request_id":"r"}', "claude"),
        (b"", ""),
        (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway nginx"),
        (b'"plain"', "plain"),
        (b"[]", ""),
    ],
)
def test_the_vendors_words_are_found_in_any_envelope(body: bytes, words: str) -> None:
    assert read_error(body) == words


def test_a_batch_that_was_not_asked_for_is_an_error() -> None:
    with pytest.raises(VendorError) as raised:
        read_batch(payload("openai/completed"), "batch_other")
    assert raised.value.kind == "wrong_batch"


@pytest.mark.parametrize("prefix", ["", "batch_"])
def test_a_proxys_coded_id_is_the_same_batch(prefix: str) -> None:
    for text in (f"litellm:{record()['id']};model,gpt-4o", f"litellm_proxy;model_id:m;llm_batch_id:{record()['id']}"):
        coded = prefix + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        assert read_batch(payload("openai/completed"), coded).remote_id == coded


def test_a_record_of_another_kind_says_so_when_retrieved() -> None:
    with pytest.raises(VendorError) as raised:
        read_batch(payload("mistral/refused_looks_like_mistral"), "x")
    assert raised.value.kind == "not_a_batch_api"
    assert raised.value.refused is not None
    assert raised.value.refused.reason == "looks_like_mistral"


def test_excerpts_and_words_are_scrubbed() -> None:
    body = page({"note": f"{KEY} ann@example.com org-aBcDeFgH1234 \u202e"})
    excerpt = read_page(body, secrets=[KEY]).refused[0].excerpt
    assert not any(word in excerpt for word in (KEY, KEY[8:20], "example.com", "aBcDeFgH", "\u202e"))
