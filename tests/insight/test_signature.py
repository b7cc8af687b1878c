"""Thousands of failures come down to the errors they are, and different errors stay apart.

`messages.json` holds messages as vendors write them: every group is one error, and no two groups are the same. They are
from the vendors' error references, from issues that quote them (openai-openapi#302, openai-python#2084, litellm#37527),
and from the sources of vLLM, OGX and pydantic; ids, names and numbers are made up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashboard.insight.api_words import API_WORDS
from dashboard.insight.signature import LONGEST_MESSAGE, Signature, normalised, signature_of
from dashboard.simulator.jobs import JOBS

# Of "Limit <n>", with 400 and the code "c".
KEY = "5d2355efec535dae4244df9ad58352ba"
GROUPS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "messages.json").read_text())
MESSAGES = [message for group in GROUPS.values() for message in group["messages"]]


def signatures(name: str) -> set[str]:
    group = GROUPS[name]
    return {signature_of(group["status"], group["code"], message).key for message in group["messages"]}


@pytest.mark.parametrize("name", GROUPS)
def test_messages_of_one_error_fall_together(name: str) -> None:
    group = GROUPS[name]
    assert len(signatures(name)) == 1, {normalised(message) for message in group["messages"]}


def test_no_two_errors_fall_together() -> None:
    assert len(MESSAGES) > 100
    for one, other in combinations(GROUPS, 2):
        assert not signatures(one) & signatures(other), (one, other)


@pytest.mark.parametrize("one", [name for name in GROUPS if len(GROUPS[name]["messages"]) > 1])
def test_a_normalised_message_says_what_was_wrong(one: str) -> None:
    """Nothing but values is lost: most of the words of a message are there after it was normalised."""
    for message in GROUPS[one]["messages"]:
        plain = [word for word in message.replace(".", " ").split() if word.isalpha() and len(word) > 3]
        said = normalised(message)
        assert sum(word in said for word in plain) >= 0.75 * len(plain), said


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("File file-8YqWn6vG2sQ1kRz4tXbLfM of batch_6853446a2f0c8190bd1c2a8a0e5c7d11", "File <id> of <id>"),
        ("req_018EeWyXxfu5pfWkrYcMdjWG, org-AbCdEf123456, proj_x1y2z3a4, chatcmpl-9rFGJ9dh", "<id>, <hidden>, <id>"),
        ("msg_01XFDUDYJgAACzvnptvVoYEL call_abc12345 asst_abc123def vllm-383d1c59835645ae", "<id> vllm-<id>"),
        ("in_progress batch_expired file_search call_id user-defined task-based", None),
        ("0b4e4b3e-9f5c-4c1d-8a61-1f0f5b1c2d3e and deadbeef01 or 0xdeadbeef", "<id>"),
        ("base64 gpt4 utf8 sha256 h264 int64 x2 v1", None),
        ("128000 128,000 1.5 -3 +4 1e-5 99% 12MB $5", "<n>% <n>MB $<n>"),
        ("4096-token 3rd 10k row-17 item_4711 img00042", "<n>-token <n>rd <n>k row-<n> item_<n> img<n>"),
        ("in 6m0s, 20ms, 1.2s, 20 seconds, 1 minute, 24h", "in <duration>"),
        ("at 2026-11-22, 2026-11-22T10:11:12.123Z, 10:11:12, Nov 22, 2026", "at <time>"),
        ("Sun, 22 Nov 2026 10:11:12 GMT", "<time>"),
        ("see https://a.example/b?c=1&d=2. And http://x/y, s3://bucket/key!", "see <url>. And <url>!"),
        ("(https://a.example/b); more", "(<url>); more"),
        ("ask ann.b+c@example.co.uk or […].", "ask <hidden>"),
        ("'a' and \"b\" or `c`; “d”, ‘e’", "<value>"),
        ("It's the model's fault, isn't it", None),
        ("expected 'messages' or 'tools' not 'mesages'", "expected 'messages' or 'tools' not <value>"),
        ("'messages.[0].content.[1].image_url'", "'messages[#].content[#].image_url'"),
        ("'$.messages[2].my_field', 'tools[0].parameters.total'", "'messages[#].*', 'tools[#].parameters.*'"),
        ("messages.0.content.12.text: bad, tools[3].name", "messages[#].content[#].text: bad, tools[#].name"),
        ("at /messages/0/content and /properties/total/items", "at /messages/#/content and /properties/*/items"),
        ("not in /v1/chat/completions or /v1beta/models", None),
        ("open /var/lib/x/y.json, ~/a/b, C:\\temp\\x", "open <path>"),
        ("photo.png, a-b_c.jsonl and 20250503_162129.jpg", "<file>"),
        ("gpt-4o-2024-08-06, o3-mini; claude-3-5-sonnet@20241022; meta-llama/Llama-3.3-70B-Instruct", "<model>"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "<model>"),
        ("The model 'mine' and model=`yours`", "The model <model> and model=<model>"),
        ("the model is overloaded, claude is not", None),
        ("HTTP 404, status code 429, error code: 500, code=400", None),
        ("got data:image/png;base64,iVBORw0KGgo= and " + "iVBORw0KGgoAAAANSUhEUgAA" * 3 + "==", "got <data>"),
        (
            "'type': 'missing', 'msg': 'Field 7 bad', 'input': 'x'",
            "'type': 'missing', 'msg': 'Field <n> bad', 'input': <value>",
        ),
        ("Unclosed '" + "my secret words " * 30, "Unclosed <value>"),
        ("限制为100个，用户“张三”", "限制为<n>个，用户<value>"),
        ("a\x00b\nc\u2028d\ud800e  f", "a b c d e f"),
        ("", ""),
    ],
)
def test_each_rule_takes_what_it_should(message: str, said: str | None) -> None:
    assert normalised(message) == (message if said is None else said)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((400, "x", "a"), (500, "x", "a")),
        ((400, "x", "a"), (400, "y", "a")),
        ((None, "", ""), (400, "", "")),
        ((None, "batch_expired", ""), (None, "batch_cancelled", "")),
        ((400, "", "Unknown parameter: 'seed'."), (400, "", "Unknown parameter: 'user'.")),
        ((400, "", "Missing 'messages[0].content'"), (400, "", "Missing 'messages[0].role'")),
        ((400, "", "expected a string, but got null"), (400, "", "expected a string, but got an object")),
        ((400, "", "The server answered 403."), (400, "", "The server answered 404.")),
        ((400, "", "at most 5 images"), (400, "", "at most 5 MB")),
        ((429, "", "on tokens per min (TPM): Limit 5"), (429, "", "on requests per min (RPM): Limit 5")),
    ],
)
def test_what_differs_in_meaning_stays_apart(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert signature_of(*one).key != signature_of(*other).key


def test_the_simulators_refusals_are_different_errors() -> None:
    refusals = {refusal for job in JOBS for refusal in job.refusals}
    made = {signature_of(refusal.status_code, refusal.code or refusal.type, refusal.message) for refusal in refusals}
    assert len(made) == len(refusals) > 5


def test_a_capital_a_stop_and_a_cut_make_no_other_error() -> None:
    keys = {signature_of(400, "Bad_Request", text).key for text in ("Too long.", "too long", "Too  long!", "too long…")}
    assert keys | {signature_of(400, "bad_request ", "Too long").key} == keys
    assert len(keys) == 1
    many = "Too many words. " * 40
    assert signature_of(400, "", many + "a") == signature_of(400, "", many + "b")


def test_two_thousand_failures_are_three_errors() -> None:
    made = [
        (400, f"This model's maximum context length is 128000 tokens. However, you sent {130_000 + n * 7} tokens.")
        for n in range(900)
    ]
    made += [(429, f"Rate limit reached for gpt-4o: Used {n}. Please try again in {n % 60}.{n}s.") for n in range(900)]
    made += [(400, f"Timeout while downloading https://cdn.example.com/{n:08x}/{n}.jpg.") for n in range(200)]
    assert len({signature_of(status, "", message).key for status, message in made}) == 3


def test_a_key_is_the_same_in_every_process() -> None:
    """It is stored: were it to change, a group would be split in two. So a change of the rules needs a migration, which
    can make the new keys from the stored messages: normalising them again changes nothing else."""
    same = (
        "import sys; from dashboard.insight.signature import signature_of; print(signature_of(400, 'c', 'Limit 5').key)"
    )
    printed = subprocess.run([sys.executable, "-c", same], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == signature_of(400, "c", "Limit 7").key == KEY
    assert signature_of(400, "c", "Limit 7") == Signature(KEY, "Limit <n>")


WORDS = """
    12 1,000 messages[0].content gpt-4o ft: sk-abcdefgh /v1/chat http://x context=( input_value= 6m0s 12:30 2026-01-02
    file_abc123 <n> <value> 你好 0xdeadbeef […] a@b.co code=400 x.png /var/a/b aA1+aA1+aA1+aA1+ and model 20 ms 'type':
"""
PIECES = st.sampled_from([*"'\"`.-/_ ,<>[]{}()\\@:#*$%…“”a1é", *WORDS.split(), "A" * 45])
TEXTS = (
    st.text(max_size=60)
    | st.lists(PIECES, max_size=14).map("".join)
    | st.lists(st.sampled_from(" ".join(MESSAGES).split()) | PIECES, max_size=90).map(" ".join)
    | st.sampled_from(MESSAGES)
)


@given(TEXTS)
@example("' '" * 400)
@example("<<n>>" * 100)
@example("a" * 299 + " " + "b" * 300)
@example("x" * 5_000)
@settings(max_examples=400, deadline=None)
def test_normalising_again_changes_nothing(message: str) -> None:
    said = normalised(message)
    assert normalised(said) == said
    assert len(said) <= LONGEST_MESSAGE
    said.encode()  # raises for half a surrogate pair
    assert not any(character in said for character in "\x00\n\r\x1b")


@given(TEXTS, st.integers(10_000, 99_999), st.integers(10_000, 99_999))
@settings(max_examples=100, deadline=None)
def test_another_number_is_no_other_error(message: str, one: int, other: int) -> None:
    assert signature_of(400, "c", f"Got {one} for it. {message}") == signature_of(
        400, "c", f"Got {other} for it. {message}"
    )


@pytest.mark.parametrize("message", MESSAGES)
def test_every_real_message_settles_and_stays(message: str) -> None:
    said = normalised(message)
    assert normalised(said) == said
    assert 0 < len(said) <= LONGEST_MESSAGE


def hostile() -> Iterator[str]:
    pieces = [*"'`a1.-/ ,<[\\@:", "a.", "1,", "gpt-", "/v1/", "sk-", "http://", "context=(", "data:", "file_", "aA1/"]
    for one, other in product(pieces, pieces):
        yield (one + other) * (1_000_000 // len(one + other))


@pytest.mark.timeout(120)
def test_a_megabyte_of_anything_takes_no_time() -> None:
    slowest = 0.0
    for message in hostile():
        began = time.process_time()
        signature_of(500, "", message)
        slowest = max(slowest, time.process_time() - began)
    assert slowest < 1


def test_the_parameters_are_those_of_the_official_sdk() -> None:
    """A parameter that is new at OpenAI would be taken for somebody's value, and two errors for one."""
    from openai.types import (
        batch_create_params,
        completion_create_params,
        embedding_create_params,
        image_edit_params,
        image_generate_params,
        moderation_create_params,
    )
    from openai.types.chat import completion_create_params as chat
    from openai.types.responses import response_create_params

    taken: set[str] = set()
    for params in (
        chat.CompletionCreateParamsBase,
        response_create_params.ResponseCreateParamsBase,
        completion_create_params.CompletionCreateParamsBase,
        embedding_create_params.EmbeddingCreateParams,
        moderation_create_params.ModerationCreateParams,
        image_generate_params.ImageGenerateParamsBase,
        image_edit_params.ImageEditParamsBase,
        batch_create_params.BatchCreateParams,
    ):
        taken |= params.__annotations__.keys()
    assert taken - {"background"} <= API_WORDS
    assert len(taken) > 50
