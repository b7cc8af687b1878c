"""Every line of an output or error file is read as it means, or named as unreadable; nothing is ever raised."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashboard.dialects import ENDED, LINE_REASONS, LONGEST_LINE, ResultLine, Unreadable, lines_of, read_line, scrub
from dashboard.dialects.lines import MAX_WORD, read_any, read_ordinary
from dashboard.dialects.words import MAX_DEPTH, MAX_MESSAGE
from dashboard.simulator import World, files
from dashboard.simulator.batches import render
from tests.simulator.conftest import START, Clock

from .conftest import KEY, PAYLOADS
from .test_reading import JSON

GOOD, BAD, NEVER = "succeeded", "failed", "never_ran"
INVALID = "invalid_request_error"

# Each file with where its shape is from, and what its lines mean. Ids, names and texts are made up, unless recorded.
FILES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    # As aimock 1.43.0 wrote them; tests/insight/test_recorded_lines.py says into which groups they go.
    "aimock/errors": (
        "s" * 3,
        [{"status": None, "code": "mock_failure", "custom_id": f"question-{n}"} for n in (1, 2, 3)],
    ),
    "aimock/output": ("ffff", [{"ended": GOOD, "status": 200, "tokens_total": 2}] * 4),
    # The bodies that FastAPI makes of a refusal, which AIBrix answers with, in OpenAI's envelope.
    "aibrix/errors": (
        "s",
        [
            {"status": 422, "type": "value_error.missing", "message": "field required", "param": "body.messages"},
            {"status": 400, "message": "The request is not valid", "code": "", "type": ""},
            {"status": 409, "code": "conflict", "type": INVALID, "message": "inner", "param": "x"},
            {"status": 500, "message": "upstream connect error or disconnect/reset before headers"},
            {"status": 400, "type": "BadRequestError", "message": "nested once more"},
            {"status": 400, "code": "INVALID_ARGUMENT", "message": "in a list"},
        ],
    ),
    # The official SDK's types for a message batch's results.
    "anthropic/results": (
        "s",
        [
            {"ended": GOOD, "model": "claude-opus-4-20250514", "tokens_input": 11, "tokens_output": 36},
            {
                "type": INVALID,
                "message": "messages.0.content.0.text: Field required",
                "request_id": "req_018EeWyXxfu5pfWkrYcMdjWG",
                "status": None,
            },
            {"name": "overloaded_error", "message": "Overloaded"},
            {"ended": NEVER, "code": "batch_cancelled", "message": ""},
            {"ended": NEVER, "code": "batch_expired", "message": ""},
        ],
    ),
    # A job without failures has an error file of no bytes (Azure's guide to batches).
    "azure/empty": ("", []),
    # The error of Azure's content filter, as its guide shows it; one status as a text.
    "azure/errors": (
        "s",
        [
            {
                "status": 400,
                "code": "content_filter",
                "param": "prompt",
                "request_id": "0d9f0b1c-6f1e-4b3d-8a53-0a0c6b8f1a11",
            },
            {"status": 404, "code": "DeploymentNotFound", "request_id": ""},
        ],
    ),
    # Azure's guide to batches, example of an output file.
    "azure/output": (
        "f",
        [{"ended": GOOD, "status": 200, "model": "gpt-4o-2024-05-13", "tokens_input": 24, "tokens_total": 40}],
    ),
    # The error code is BigModel's own number, which is no HTTP status.
    "bigmodel/errors": ("s", [{"status": 400, "code": "1301", "custom_id": "request-2"}]),
    # Gemini's guide to batches: results of a file, numbers as proto3 writes them.
    "gemini/results": (
        "s",
        [
            {
                "ended": GOOD,
                "custom_id": "request-1",
                "model": "gemini-2.5-flash",
                "tokens_input": 8,
                "tokens_output": 12,
                "tokens_total": 20,
            },
            {"custom_id": "request-2", "status": 429, "code": "RESOURCE_EXHAUSTED"},
        ],
    ),
    # AWS's guide to results of batch inference; LiteLLM hands the lines on as they are.
    "litellm/bedrock": (
        "s",
        [
            {
                "ended": GOOD,
                "custom_id": "3223593EFGH",
                "model": "claude-3-5-sonnet-20240620",
                "tokens_input": 8,
                "tokens_output": 4,
            },
            {"custom_id": "1223213ABCD", "status": 400, "code": "", "message": "bad request"},
            {"ended": GOOD, "tokens_input": 30, "tokens_output": 628, "tokens_total": 658},
        ],
    ),
    # What LiteLLM makes of a refusal by the vendor behind it: an error inside a text inside an error.
    "litellm/errors": (
        "s",
        [
            {"status": 500, "code": "", "type": "overloaded_error", "message": "Overloaded"},
            {
                "status": 429,
                "type": "rate_limit_error",
                "message": "Number of request tokens has exceeded your per-minute rate limit "
                "(https://docs.anthropic.com/en/api/rate-limits); see the response headers for current usage.",
            },
        ],
    ),
    # Mistral's SDK types; the body of the first is a JSON text, that of the second says its own status.
    "mistral/errors": (
        "s",
        [
            {"status": 422, "message": "Extra inputs are not permitted", "param": "body.max_completion_tokens"},
            {"custom_id": None, "status": 500, "message": "Internal server error"},
        ],
    ),
    # Mistral's SDK: custom_id may be null.
    "mistral/output": (
        "fs",
        [
            {"ended": GOOD, "custom_id": "0", "tokens_total": 50},
            {"ended": GOOD, "custom_id": None, "model": "mistral-embed", "tokens_output": 0},
        ],
    ),
    # OGX's source (inline reference provider): no response, no code, and the SDK's text of what was caught.
    "ogx/errors": (
        "s",
        [
            {
                "status": 400,
                "code": "context_length_exceeded",
                "type": INVALID,
                "message": "This model's maximum context length is 8192 tokens, however you requested 10240 tokens.",
                "param": "messages",
            },
            {"status": None, "type": "request_failed", "message": "Connection error.", "name": "request_failed"},
            {"status": None, "type": "request_failed"},
        ],
    ),
    # OGX's source: the answer is a JSON text.
    "ogx/output": ("f", [{"ended": GOOD, "status": 200, "model": "tiny/gpt-4o", "tokens_total": 10}]),
    # As OGX 1.5.0 wrote them, with llmock behind it.
    "ogx/recorded_errors": (
        "s" * 13,
        [{"status": status, "type": "request_failed"} for status in (400, 400, 400, 429, 429, 500, *[None] * 7)],
    ),
    "ogx/recorded_output": ("ff", [{"ended": GOOD, "status": 200, "model": "calm/gpt-4o", "tokens_total": 11}] * 2),
    # OpenAI's guide (expired), openai-openapi#302 (max_tokens), its forum (status_code 0), its error reference.
    "openai/errors": (
        "ffffffsfs",
        [
            {
                "status": 400,
                "code": "",
                "type": INVALID,
                "param": "max_tokens",
                "request_id": "l3hZ7ZRr0ImWOkf0DaTR2rpy",
            },
            {"status": 429, "code": "rate_limit_exceeded", "type": "tokens"},
            {"status": 500, "code": "", "type": "server_error", "name": "server_error"},
            {"status": 401, "code": "invalid_api_key"},
            {"ended": NEVER, "status": None, "code": "batch_expired"},
            {"ended": NEVER, "status": None, "code": "batch_cancelled"},
            {"ended": BAD, "status": None, "code": "", "message": ""},
            {"ended": BAD, "status": 200, "code": "server_error", "model": "gpt-5-2025-08-07"},
            {"status": 503, "message": "503 Service Temporarily Unavailable " * 2 + "cloudflare"},
        ],
    ),
    # OpenAI's API reference: chat, Responses, embeddings, moderations.
    "openai/output": (
        "ffff",
        [
            {"ended": GOOD, "tokens_input": 24, "tokens_output": 15, "tokens_total": 39},
            {"ended": GOOD, "tokens_input": 36, "tokens_output": 87, "model": "gpt-4.1-2025-04-14"},
            {"ended": GOOD, "tokens_input": 5, "tokens_output": None, "tokens_total": 5},
            {"ended": GOOD, "tokens_total": None, "model": "omni-moderation-latest"},
        ],
    ),
    # The body that SiliconFlow refuses with.
    "siliconflow/errors": ("s", [{"status": 400, "code": "20015", "message": '"messages" in request are illegal.'}]),
    # vLLM's run_batch.py: `error` is of any type.
    "vllm/run_batch": (
        "fssss",
        [
            {"ended": GOOD, "model": "meta-llama/Meta-Llama-3-8B-Instruct", "tokens_total": 56},
            {"status": 400, "message": "Request must not be sent in stream mode", "code": ""},
            {"status": 404, "code": "", "type": "NotFoundError", "param": "model"},
            {"status": 400, "type": "BadRequestError"},
            {"status": None, "message": "first thing; second thing"},
        ],
    ),
    # Voyage's guide to batches: batch_id, and a failure is a status and a message.
    "voyage/errors": ("sf", [{"status": 400, "code": ""}, {"ended": NEVER, "code": "batch_expired"}]),
    "voyage/output": ("f", [{"ended": GOOD, "model": "voyage-3.5", "tokens_input": None, "tokens_total": 6}]),
}
# vLLM's router writes a text where the output should be.
STUBS = ["vllm_router/stub"]


def lines_in(name: str) -> list[bytes]:
    raws = [line.raw for line in lines_of([(PAYLOADS / f"{name}.jsonl").read_bytes()])]
    return [raw for raw in raws if raw is not None]


def read(value: Any, *secrets: str) -> ResultLine:
    line = read_line(value if isinstance(value, bytes) else json.dumps(value).encode(), 7, secrets)
    assert isinstance(line, ResultLine), line
    return line


def failure(said: Any, status: Any = 400) -> dict[str, Any]:
    """OpenAI's line of a failure."""
    answer = {"status_code": status, "request_id": "r", "body": {"error": said}}
    return {"id": "b", "custom_id": "c", "response": answer, "error": None}


def ordinary(message: str = "Broken.") -> dict[str, Any]:
    return failure({"message": message, "type": INVALID, "param": None, "code": None})


def test_every_file_of_lines_is_tried() -> None:
    found = sorted(str(path.relative_to(PAYLOADS).with_suffix("")) for path in PAYLOADS.glob("*/*.jsonl"))
    assert sorted([*FILES, *STUBS]) == found


@pytest.mark.parametrize("name", FILES)
def test_a_vendors_lines_are_read_as_they_mean(name: str) -> None:
    meant = FILES[name][1]
    raws = lines_in(name)
    assert len(raws) == len(meant)
    for number, (raw, fields) in enumerate(zip(raws, meant, strict=True), 1):
        line = read_line(raw, number)
        assert isinstance(line, ResultLine)
        expected = {"ended": BAD, "number": number} | fields
        assert {field: getattr(line, field) for field in expected} == expected


@pytest.mark.parametrize("name", FILES)
def test_ordinary_lines_take_the_fast_reader_and_both_agree(name: str) -> None:
    readers, _ = FILES[name]
    for reader, raw in zip(readers or "s", lines_in(name), strict=False):
        fast = read_ordinary(raw, 1)
        assert (fast is not None) == (reader == "f"), raw
        assert fast in (None, read_any(raw, 1))


@pytest.mark.parametrize("name", STUBS)
def test_what_is_no_jsonl_is_unreadable_line_by_line(name: str) -> None:
    lines = [read_line(raw, number) for number, raw in enumerate(lines_in(name), 1)]
    assert lines
    for number, line in enumerate(lines, 1):
        assert isinstance(line, Unreadable)
        assert (line.number, line.reason) == (number, "not_json")
        assert line.excerpt


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not_json"),
        (b"{nonsense}", "not_json"),
        (b'{"custom_id":"a","response":{"status_code":2', "not_json"),
        (b"\x1f\x8b\x08\x00\xff", "not_json"),
        (b"\xff\xfe{\x00}\x00", "not_json"),
        (b"5", "not_an_object"),
        (b"null", "not_an_object"),
        (b'["a"]', "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"{}", "no_outcome"),
        (b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}', "no_outcome"),
        (b'{"custom_id":"a","response":null,"error":null}', "no_outcome"),
        (b'{"custom_id":"a","response":{},"error":{}}', "no_outcome"),
        (b'{"custom_id":"a","response":{"status_code":null,"body":null},"error":""}', "no_outcome"),
        (b'{"custom_id":"a","response":[]}', "no_outcome"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "too_deep"),
        (b'{"response":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too_deep"),
        (b"[" * 1_000_000, "too_deep"),
        (None, "too_long"),
        (b" " * (LONGEST_LINE + 1), "too_long"),
    ],
)
def test_a_line_that_cannot_be_told_names_its_reason(raw: bytes | None, reason: str) -> None:
    line = read_line(raw, 3)
    assert isinstance(line, Unreadable)
    assert (line.number, line.reason) == (3, reason)
    assert reason in LINE_REASONS
    assert len(line.excerpt) <= 200


def test_an_excerpt_is_scrubbed() -> None:
    line = read_line(f"oh: {KEY} ann@example.com org-aBcDeFgH1234 \u202e".encode(), 1, [KEY])
    assert isinstance(line, Unreadable)
    assert not any(word in line.excerpt for word in (KEY[8:20], "example.com", "aBcDeFgH", "\u202e"))


@pytest.mark.parametrize(
    ("error", "code", "kind", "message"),
    [
        ("plain text", "", "", "plain text"),
        ({"message": "a", "code": None, "type": "None", "param": "None"}, "", "", "a"),
        ({"message": "a", "code": "429"}, "", "", "a"),
        ({"message": "a", "code": 429, "status": "RESOURCE_EXHAUSTED"}, "RESOURCE_EXHAUSTED", "", "a"),
        ({"message": "a", "code": 1113}, "1113", "", "a"),
        ({"type": "error", "error": {"type": "api_error", "message": "a"}}, "", "api_error", "a"),
        ({"error": {"error": {"error": "a"}}}, "", "", "a"),
        ({"detail": "a"}, "", "", "a"),
        ({"detail": [{"loc": ["body", "n"], "msg": "a", "type": "t"}, {"msg": "b"}, {"msg": "a"}]}, "", "t", "a; b"),
        (["a", {"message": "b", "code": "c"}], "c", "", "a; b"),
        ([], "", "", ""),
        (5, "", "", "5"),
        (True, "", "", "true"),
        ({"odd": {"thing": 1}}, "", "", '{"odd":{"thing":1}}'),
        ({"code": "only_a_code"}, "only_a_code", "", ""),
        ({"errorCode": 400, "errorMessage": "a"}, "", "", "a"),
        ({"error_description": "a", "error": "invalid_grant"}, "", "", "a"),
        ({"innererror": {"code": "Filter"}, "message": "a"}, "Filter", "", "a"),
        ('{"error":{"message":"a","code":"c"}}', "c", "", "a"),
        ("Error code: 400 - {'error': {'message': \"it's a\", 'type': 't', 'code': None}}", "", "t", "it's a"),
        ("Error code: 400 - {'error': {'message': 'a \\'b\\' c', 'code': 'c'}}", "c", "", "a 'b' c"),
        ('X - b\'{"type":"error","error":{"type":"t","message":"a"}}\'. More', "", "t", "a"),
        ('oh: {\\"error\\":{\\"message\\":\\"a\\",\\"code\\":\\"c\\"}}', "c", "", "a"),
        ("Error code: 400 - {'error': {'message': 'cut off in the mid", "", "", "cut off in the mid"),
        ("no error: {'role': 'user', 'content': 'x'}", "", "", "no error: {'role': 'user', 'content': 'x'}"),
        ("<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "", "", "502 Bad Gateway nginx"),
        ({"message": {"detail": [{"msg": "a"}]}}, "", "", "a"),
    ],
)
def test_an_error_of_any_shape_gives_its_words(error: Any, code: str, kind: str, message: str) -> None:
    above = {"custom_id": "c", "response": {"status_code": 400}, "error": error}
    for line in (read(failure(error)), read(above)):
        assert (line.ended, line.status) == (BAD, 400)
        assert (line.code, line.type, line.message) == (code, kind, message)


@pytest.mark.parametrize(
    "body", [{"detail": "words"}, {"message": "words"}, "words", [{"msg": "words"}], {"error": "", "title": "words"}]
)
def test_a_body_without_an_error_is_searched_when_the_status_is_one(body: Any) -> None:
    given = {"custom_id": "c", "response": {"status_code": 400, "body": body}}
    assert read(given).message == "words"


@pytest.mark.parametrize(
    ("status", "read_as", "ended"),
    [
        (200, 200, GOOD),
        ("200", 200, GOOD),
        (200.0, 200, GOOD),
        (201, 201, GOOD),
        ("429 Too Many Requests", 429, BAD),
        ("429", 429, BAD),
        (302, 302, BAD),
        (0, None, BAD),
        (-1, None, BAD),
        (99999, None, BAD),
        (None, None, GOOD),
        (10**400, None, BAD),
    ],
)
def test_a_status_is_read_in_any_spelling(status: Any, read_as: int | None, ended: str) -> None:
    line = read({"custom_id": "c", "response": {"status_code": status, "body": {"choices": [1]}}})
    assert (line.status, line.ended) == (read_as, ended)


@pytest.mark.parametrize("error", [None, {}, "", [], False, {"code": None, "message": None}, {"code": "", "x": []}])
def test_an_empty_error_is_none(error: Any) -> None:
    assert read(failure(error, 200)).ended == GOOD
    assert read(failure(error, 200) | {"error": error}).ended == GOOD


@pytest.mark.parametrize("word", ["batch_expired", "batch_cancelled", "batch_canceled", "BATCH_EXPIRED"])
def test_a_request_whose_turn_never_came_did_not_fail(word: str) -> None:
    for response in ({"response": None}, {}, {"response": {"status_code": None, "body": None}}):
        line = read({"custom_id": "c", "error": {"code": word, "message": "m"}} | response)
        assert line.ended == NEVER
        assert line.code in ("batch_expired", "batch_cancelled")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a", "a"),
        ("", ""),
        ("Ünï 你好 🚀\n\u202e", "Ünï 你好 🚀\n\u202e"),
        ("ann@example.com", "ann@example.com"),
        (17, "17"),
        (None, None),
        (True, None),
        ({}, None),
        ("a\x00b", None),
        ("a\ud800b", None),
        ("x" * 512, "x" * 512),
        ("x" * 513, None),
    ],
)
def test_a_custom_id_is_whole_or_absent(given: Any, kept: str | None) -> None:
    assert read(ordinary() | {"custom_id": given}).custom_id == kept


ORDINARY = json.dumps(ordinary() | {"x": 1}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + ORDINARY,
        ORDINARY + b"\r",
        b"  " + ORDINARY + b"\t",
        ORDINARY.replace(b'"x": 1', b'"x": NaN'),
        ORDINARY.replace(b'"x": 1', b'"x": "\xff\xfe\xed\xa0\x80"'),
        ORDINARY.replace(b'"x": 1', b'"x": "\\ud800"'),
        ORDINARY.replace(b'"x": 1', b'"x": "a\x01\x1f"'),
        ORDINARY.replace(b'"x": 1', b'"x": ' + b"9" * 5_000),
        # The last of two members of one name counts, as everywhere in JSON.
        ORDINARY.replace(b'"message": "Broken."', b'"message": "first", "message": "Broken."'),
        ORDINARY.replace(b'"id": "b"', b'"response": {"status_code": 200}'),
    ],
)
def test_improper_json_is_read_all_the_same(raw: bytes) -> None:
    line = read(raw)
    assert (line.status, line.type, line.message) == (400, INVALID, "Broken.")


def test_words_are_scrubbed_on_one_line_and_bounded() -> None:
    said = f"a\x00b\u2028c\n{KEY} org-aBcDeFgH1234 ann@example.com \ud800 " + "word " * 3_000
    line = read(failure({"message": said, "code": said, "type": said, "param": said}), KEY)
    for text, limit in ((line.message, MAX_MESSAGE), *((t, MAX_WORD) for t in (line.code, line.type, line.param))):
        assert len(text) <= limit
        assert text.isprintable()
        assert not any(word in text for word in (KEY[8:16], "aBcDeFgH", "ann@"))
    assert line.message.startswith("a b c […] […] […] word word")
    assert line.message.endswith("word w…")


@pytest.mark.parametrize("digits", ["0", "7", "31415926"])
def test_a_secret_is_masked_behind_a_message_that_was_clean(digits: str) -> None:
    """What is remembered of messages alike but for their digits never lets one through."""
    key = f"Kq{digits}zT{digits}pW"
    before = read(ordinary(f"Your text Kq{'1' * len(digits)}zT{'2' * len(digits)}pX is {digits} long."), key)
    after = read(ordinary(f"Your text {key} is {digits} long."), key)
    assert "Kq" in before.message or len(key) < 8
    assert key not in after.message


@pytest.mark.parametrize("piece", [b"[],", b'{"a":1},', b'"b",'])
def test_a_line_of_millions_of_pieces_is_never_built(piece: bytes) -> None:
    pieces = b"[" + piece * (6_000_000 // len(piece)) + b"0]"
    tracemalloc.start()
    try:
        for inside in (pieces, b'"{\\"a\\":' + pieces.replace(b'"', b'\\"') + b'}"'):
            raw = b'{"custom_id":"x","response":{"status_code":400,"body":{"detail":' + inside + b"}}}"
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            began = time.process_time()
            read_line(raw, 1)
            assert tracemalloc.get_traced_memory()[1] - before < 40_000_000, "some times its own size"
            assert time.process_time() - began < 5
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reader", [read_line, read_any])
def test_a_vendor_that_repeats_our_key_as_a_name_is_not_believed(reader: Any) -> None:
    told = {"custom_id": f"id-{KEY}", "response": {"status_code": 200, "request_id": KEY, "body": {"model": KEY}}}
    line = reader(json.dumps(told).encode(), 1, (KEY,))
    assert isinstance(line, ResultLine)
    assert (line.custom_id, line.request_id, line.model, line.ended) == (None, "", "", "succeeded")
    never = {"custom_id": KEY, "response": None, "error": {"code": "batch_expired", "message": "."}}
    assert reader(json.dumps(never).encode(), 1, (KEY,)).custom_id is None
    kept = reader(json.dumps(told | {"custom_id": "x"}).encode(), 1, ("x",))
    assert kept.custom_id == "x", "what is that short is no key"


@given(st.text(max_size=80), st.sampled_from([(), (KEY,), ("a/b+c=1234567890",)]))
@example("Incorrect API key provided: sk-1234567", ())
@example("a secret of ours: a/b+c=1234567890, a%2Fb%2Bc%3D1234567890", ("a/b+c=1234567890",))
@example("org-123456 bearer 12345678 AKIA12345678 a@b.c1", ())
@example("x" * 999 + " " + "y" * 400, ())
@settings(max_examples=300, deadline=None)
def test_the_remembered_way_masks_as_scrub_does(message: str, secrets: tuple[str, ...]) -> None:
    said = f"A {message} 1 Z."
    line = read(failure({"message": said}), *secrets)
    if "{" not in said and len(said) <= MAX_MESSAGE:
        assert line.message == scrub(said, secrets, limit=MAX_MESSAGE)


TEXT = st.text(max_size=30)
SAID = TEXT.map("Oh {}.".format) | st.sampled_from(
    ["None", " ", "{", "<p>", "Error code: 503 - {'error': {'message': 'x'}}"]
)
CODES = st.none() | TEXT | st.sampled_from(["batch_expired", "Batch_Expired", "429", "None", "error"])
COUNTS = st.none() | st.integers(0, 10_000)
ERRORS = st.fixed_dictionaries({"message": SAID}, optional={"code": CODES, "type": CODES, "param": st.none() | TEXT})
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "error": st.none() | ERRORS,
        "model": st.none() | TEXT,
        "usage": st.dictionaries(
            st.sampled_from(["input_tokens", "prompt_tokens", "output_tokens", "completion_tokens", "total_tokens"]),
            COUNTS,
        ),
        "choices": JSON,
    },
)
STRANGE: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "line": st.sampled_from([{"result": {}}, {"status_code": 500}, {"modelOutput": {"a": 1}}, {"custom_id": None}]),
    "answer": st.sampled_from([{"status_code": 0}, {"status_code": "200"}, {"body": None}, {"requestId": "x"}]),
    "body": st.sampled_from(
        [{"request_id": "x"}, {"usageMetadata": {"totalTokenCount": 1}}, {"detail": "x"}, {"error": "x"}]
    ),
    "usage": st.sampled_from(
        [{"promptTokens": 1}, {"input_tokens": "12"}, {"input_tokens": 1.5}, {"total_tokens": -1}]
    ),
    "error": st.sampled_from(
        [{"status": 429}, {"innererror": {"code": "x"}}, {"loc": ["a"]}, {"detail": {"code": "y"}}]
    ),
}


@st.composite
def ordinary_lines(draw: st.DrawFn) -> dict[str, Any]:
    """What OpenAI writes, with and without each member; now and then with something in it that is another's."""
    strange = draw(st.none() | st.sampled_from(sorted(STRANGE)))

    def mixed(what: str, made: Any) -> Any:
        return made | draw(STRANGE[what]) if strange == what and isinstance(made, dict) else made

    body = mixed("body", draw(BODIES))
    body |= {name: mixed(name, body[name]) for name in ("usage", "error") if name in body}
    status = (
        draw(st.sampled_from([200, 400, 429, 500])) if body.get("error") else draw(st.sampled_from([200, 201, 404]))
    )
    shown = draw(st.sampled_from([body, body, json.dumps(body)]))
    answer = mixed("answer", {"status_code": status, "request_id": draw(st.none() | TEXT), "body": shown})
    line = {"id": "batch_req_1", "custom_id": draw(TEXT), "response": answer, "error": None}
    if draw(st.integers(0, 3)) == 0:
        line |= {"response": draw(st.sampled_from([None, answer])), "error": mixed("error", draw(ERRORS))}
    return dict(mixed("line", line))


@given(ordinary_lines())
@settings(max_examples=200, deadline=None)
def test_both_readers_say_the_same(line: dict[str, Any]) -> None:
    raw = json.dumps(line).encode()
    fast = read_ordinary(raw, 1)
    assert fast is None or fast == read_any(raw, 1)


NAMES = [
    "custom_id",
    "response",
    "error",
    "result",
    "status_code",
    "body",
    "modelOutput",
    "message",
    "type",
    "code",
    "request_id",
    "detail",
    "usage",
    "loc",
]
ODD_LINES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        ["", "None", "429", "a\x00b", "\ud800", "batch_expired", '{"error":"x"}', 0, -1, 503, 10**400, None, []]
    )
    | st.booleans()
    | st.floats()
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "model", "param"]), inner, max_size=5)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(NAMES), ODD_LINES))
@settings(max_examples=150, deadline=None)
def test_nothing_in_a_line_makes_it_raise(value: dict[str, Any]) -> None:
    line = read_line(json.dumps(value).encode(), 5)
    assert line.number == 5
    if isinstance(line, Unreadable):
        assert line.reason == "no_outcome"
        return
    assert line.ended in ENDED
    assert line.status is None or 100 <= line.status <= 599
    texts = [line.custom_id or "", line.code, line.type, line.message, line.param, line.request_id, line.model]
    "".join(texts).encode()  # raises for half a surrogate pair
    assert not any("\x00" in text for text in texts)
    for count in (line.tokens_input, line.tokens_output, line.tokens_total):
        assert count is None or 0 <= count <= 2**53


@given(st.binary(max_size=300) | st.text().map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(deadline=None)
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    line = read_line(raw, 1)
    assert isinstance(line, ResultLine) or line.reason in LINE_REASONS


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(ordinary("{'message': " * 100_000)).encode(),
        json.dumps(ordinary("{ " * 500_000)).encode(),
        json.dumps(ordinary('{"error":{"message":"' + "\\" * 1_000_000)).encode(),
        json.dumps(ordinary("<" * 1_000_000)).encode(),
        json.dumps(ordinary("a" * 10_000_000)).encode(),
        json.dumps(failure(["x"] * 1_000_000)).encode(),
        json.dumps(failure({str(n): None for n in range(100_000)})).encode(),
        b'{"custom_id":"' + b"\\" * 5_000_000,
        b'"' * 3_000_001,
        b"[1," * 500_000,
    ],
)
def test_a_hostile_line_takes_no_longer_than_its_length(raw: bytes) -> None:
    began = time.process_time()
    read_line(raw, 1, [KEY])
    assert time.process_time() - began < 10


def test_an_error_far_behind_in_a_text_is_found_by_either_reader() -> None:
    raw = json.dumps(ordinary("x " * 900 + '{"error": {"message": "inner"}}')).encode()
    assert read_ordinary(raw, 1) is None
    assert read(raw).message == "inner"


def test_a_body_of_ten_megabytes_is_not_built() -> None:
    line = ordinary()
    line["response"] |= {
        "status_code": 200,
        "body": {"data": [{"b64_json": "A" * 10_000_000}], "usage": {"total_tokens": 3}},
    }
    raw = json.dumps(line).encode()
    fast = read_ordinary(raw, 1)
    assert fast is not None
    assert (fast.ended, fast.tokens_total) == (GOOD, 3)


def test_deep_but_proper_answers_are_read() -> None:
    schema: Any = {}
    for _ in range(MAX_DEPTH - 10):
        schema = {"properties": schema}
    line = {"custom_id": None, "response": {"status_code": 200, "body": {"text": schema}}}
    assert read(line).ended == GOOD


@pytest.mark.parametrize("end", ["completed", "expired", "cancelled"])
def test_the_simulators_files_add_up_with_its_counts(end: str) -> None:
    lives, _ = World(300, seed=7, start=START, clock=Clock(), open=0).page(None, 300)
    smallest = sorted((life for life in lives if life.end == end), key=lambda life: life.total)[:3]
    assert len(smallest) == 3
    for life in smallest:
        counts = json.loads(render(life, life.ends + 1))["request_counts"]
        found: Counter[str] = Counter()
        for kind in ("output", "error"):
            for line in lines_of(files.content(life, kind)):
                result = read_ordinary(line.raw or b"", line.number)
                assert result is not None
                found[result.ended] += 1
        lost = counts["total"] - counts["completed"] - counts["failed"]
        assert found == Counter(succeeded=counts["completed"], failed=counts["failed"], never_ran=lost)
        assert found.total() > 0
