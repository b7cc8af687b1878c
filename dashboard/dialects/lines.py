"""The lines of output and error files: bytes in, how each request ended out.

Like a record, a line is read by one of two readers that give the same answer: a strict msgspec Struct of OpenAI's own
shape (its API reference, "The request output object"), and a slow one that knows what other servers write. A line that
cannot be told costs only itself: reading never raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import quote

import msgspec
from msgspec import Meta

from . import fields
from .fields import Oddities, Record, pick
from .jsonl import LONGEST_LINE
from .pages import decode
from .scrub import SHORTEST_SECRET, scrub
from .words import MAX_MESSAGE, Told, hear, is_beyond, is_empty, opened, text_of, to_status

MAX_WORD: Final = 200
# What is looked at, and never more is kept in memory. Masking comes before the final cut: half a key is still a key.
_LONGEST_WORD: Final = 4 * MAX_WORD
_LONGEST_MESSAGE: Final = MAX_MESSAGE + MAX_WORD

type Ended = Literal["succeeded", "failed", "never_ran"]
"""How a request ended. One that never ran cost nothing: its batch expired or was cancelled before its turn came."""

ENDED: Final[tuple[str, ...]] = get_args(Ended.__value__)

type LineReason = Literal[
    "too_long",
    "too_deep",
    "not_json",
    "not_an_object",
    "no_outcome",  # an object, but none that says how a request ended: a line of an input file, for instance
]
"""Why a line could not be read. A code, not a sentence: the pages translate it."""

LINE_REASONS: Final[tuple[str, ...]] = get_args(LineReason.__value__)


class ResultLine(msgspec.Struct, frozen=True, gc=False):
    """How one request ended, as its line tells it. An absent text is "", an absent number None.

    `status` is the HTTP status of the request, where it had one. A request can have failed with 200: the Responses API
    puts an error into such a body, and the vendor's own counts then call it completed. `code`, `type`, `param` and
    `message` are the vendor's words, scrubbed; `message` is on one line and at most 1,000 characters. For a request
    that never ran `code` is OpenAI's word, also where the vendor has none (Anthropic). `custom_id` is the customer's
    and not scrubbed, because a retry must repeat it exactly; None when it is absent or could not be stored.
    """

    number: int
    custom_id: str | None
    ended: Ended
    status: int | None = None
    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""
    request_id: str = ""
    model: str = ""
    tokens_input: int | None = None
    tokens_output: int | None = None
    tokens_total: int | None = None

    @property
    def name(self) -> str:
        """What the vendor calls the error, in one word: its code, else its type."""
        return self.code or self.type


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line of which nobody can say how its request ended. `excerpt` is scrubbed and at most 200 characters."""

    number: int
    reason: LineReason
    excerpt: str = ""


def read_line(raw: bytes | None, number: int, secrets: Sequence[str] = ()) -> ResultLine | Unreadable:
    """One line of an output or error file, of any server. Never raises.

    `raw` is None for a line that was too long to be held. `secrets` are our own keys, which some vendors repeat.
    """
    if raw is None or len(raw) > LONGEST_LINE:
        return Unreadable(number, "too_long")
    secrets = tuple(secrets)
    return read_ordinary(raw, number, secrets) or read_any(raw, number, secrets)


type _Status = Annotated[int, Meta(ge=100, le=599)]
type _Tokens = Annotated[int, Meta(ge=0, le=fields.LARGEST_COUNT)] | None
type _Label = Annotated[str, Meta(max_length=MAX_WORD)] | None
type _Word = Annotated[str, Meta(max_length=_LONGEST_WORD)] | None


class _Usage(msgspec.Struct, gc=False):
    """The names of the Responses and of the chat API. Here and below: a member typed None belongs to another vendor,
    and when it is there, the slow reader is asked."""

    input_tokens: _Tokens = None
    prompt_tokens: _Tokens = None
    output_tokens: _Tokens = None
    completion_tokens: _Tokens = None
    total_tokens: _Tokens = None
    inputTokens: None = None  # noqa: N815
    promptTokens: None = None  # noqa: N815
    outputTokens: None = None  # noqa: N815
    completionTokens: None = None  # noqa: N815
    totalTokens: None = None  # noqa: N815


class _Error(msgspec.Struct, gc=False):
    message: str
    code: _Word = None
    type: _Word = None
    param: _Word = None
    error: None = None
    errors: None = None
    detail: None = None
    status: None = None
    request_id: None = None
    requestId: None = None  # noqa: N815
    innererror: None = None
    inner_error: None = None
    error_code: None = None
    errorCode: None = None  # noqa: N815
    loc: None = None


class _Body(msgspec.Struct, gc=False):
    """What matters in an answer. The rest, which may be megabytes, is skipped and never built."""

    error: _Error | None = None
    model: _Label = None
    usage: _Usage | None = None
    model_version: None = None
    modelVersion: None = None  # noqa: N815
    usage_metadata: None = None
    usageMetadata: None = None  # noqa: N815
    request_id: None = None
    requestId: None = None  # noqa: N815


class _Answer(msgspec.Struct, gc=False):
    status_code: _Status
    body: _Body | str
    request_id: _Label = None
    requestId: None = None  # noqa: N815


class _Line(msgspec.Struct, gc=False):
    custom_id: Annotated[str, Meta(max_length=fields.MAX_ID)]
    response: _Answer | None = None
    error: _Error | None = None
    status_code: None = None
    statusCode: None = None  # noqa: N815
    result: None = None
    modelOutput: None = None  # noqa: N815
    model_output: None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_body = msgspec.json.Decoder(_Body).decode

_EXPIRED: Final = "batch_expired"
_CANCELLED: Final = "batch_cancelled"
_NEVER_RAN: Final = {_EXPIRED: _EXPIRED, _CANCELLED: _CANCELLED, "batch_canceled": _CANCELLED}


def read_ordinary(raw: bytes, number: int, secrets: tuple[str, ...] = ()) -> ResultLine | None:
    """The fast reader: None for every line that differs in anything from OpenAI's own shape."""
    try:
        line = _decode_line(raw)
        answer = line.response
        body = None if answer is None else answer.body
        if isinstance(body, str):
            # OGX writes the answer as a JSON text.
            body = _decode_body(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    custom_id, error = line.custom_id, line.error
    if answer is None or body is None:
        if error is None or error.code not in _NEVER_RAN or "\0" in custom_id or _holds_key(custom_id, secrets):
            return None
        code, kind, message, param, is_odd = _shown(error.code, error.type, error.message, error.param, secrets)
        if is_odd:
            return None
        return ResultLine(number, custom_id, "never_ran", None, _NEVER_RAN[code], kind, message, param)
    status, request_id, model = answer.status_code, answer.request_id or "", body.model or ""
    labels = custom_id + request_id + model if model else custom_id + request_id
    if error is not None or "\0" in labels or request_id == "None" or model == "None" or _holds_key(labels, secrets):
        return None
    given = written = total = None
    if (usage := body.usage) is not None:
        given = usage.prompt_tokens if usage.input_tokens is None else usage.input_tokens
        written = usage.completion_tokens if usage.output_tokens is None else usage.output_tokens
        total = usage.total_tokens
    if body.error is None:
        if not 200 <= status < 300:
            return None
        return ResultLine(
            number, custom_id, "succeeded", status, "", "", "", "", request_id, model, given, written, total
        )
    error = body.error
    code, kind, message, param, is_odd = _shown(error.code, error.type, error.message, error.param, secrets)
    if is_odd or code in _NEVER_RAN:
        return None
    return ResultLine(
        number, custom_id, "failed", status, code, kind, message, param, request_id, model, given, written, total
    )


def read_any(raw: bytes, number: int, secrets: tuple[str, ...] = ()) -> ResultLine | Unreadable:
    """The slow reader: every shape that is known, and a reason for what cannot be told."""

    def unreadable(reason: LineReason) -> Unreadable:
        return Unreadable(number, reason, scrub(raw[:4_000].decode(errors="replace"), secrets, limit=200))

    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if is_beyond(raw):
        return unreadable("too_deep")
    try:
        record = decode(raw)
    except ValueError:
        return unreadable("not_json")
    if not isinstance(record, Mapping):
        return unreadable("not_an_object")
    told = Told()
    ended = _of_anthropic(record, told) or _of_others(record, told)
    if ended is None:
        return unreadable("no_outcome")
    words = (told.code[:_LONGEST_WORD], told.type[:_LONGEST_WORD], told.message, told.param[:_LONGEST_WORD])
    code, kind, message, param, _ = _shown(*words, secrets)
    given, written, total = _tokens(told.body)
    return ResultLine(
        number,
        # Bedrock, whose lines LiteLLM hands on as they are, and Gemini have names of their own for it.
        _custom_id(pick(record, "custom_id", "record_id", "key"), secrets),
        ended,
        told.status,
        code,
        kind,
        message,
        param,
        _label(told.request_id, secrets),
        _label(pick(told.body, "model", "model_version"), secrets),
        given,
        written,
        total,
    )


# https://docs.anthropic.com/en/api/retrieving-message-batch-results
_OF_ANTHROPIC: Final[dict[str, Ended]] = {
    "succeeded": "succeeded",
    "errored": "failed",
    "expired": "never_ran",
    "canceled": "never_ran",
}


def _of_anthropic(record: Record, told: Told) -> Ended | None:
    """Anthropic's `result`, which names its own type; None for another vendor's line."""
    result = record.get("result")
    kind = result.get("type") if isinstance(result, Mapping) else None
    if not isinstance(result, Mapping) or not isinstance(kind, str) or kind not in _OF_ANTHROPIC:
        return None
    if isinstance(message := result.get("message"), Mapping):
        told.body = message
    hear(result.get("error"), told)
    ended = _OF_ANTHROPIC[kind]
    if ended == "never_ran":
        told.code = _EXPIRED if kind == "expired" else _CANCELLED
    return ended


def _of_others(record: Record, told: Told) -> Ended | None:
    """OpenAI's `response` and `error`, and what others put there; None when neither tells an end."""
    answer = pick(record, "response", "result")
    if answer is None:
        answer = record if pick(record, "status_code") is not None else {"body": pick(record, "model_output")}
    elif not isinstance(answer, Mapping):
        answer = {"body": answer}
    said = pick(answer, "status_code", "status")
    told.status = to_status(said)
    told.request_id = text_of(pick(answer, "request_id"))
    # Gemini's response is the answer itself.
    body = opened(answer.get("body") if "body" in answer or told.status is not None else answer)
    if isinstance(body, Mapping):
        told.body = body
    good = told.status is not None and 200 <= told.status < 300
    failed = hear(record.get("error"), told)
    if isinstance(body, Mapping) and hear(body.get("error"), told):
        failed = True
    elif told.status is not None and not good:
        failed = True
        # Voyage has a message beside the status, and no body.
        hear({key: answer[key] for key in answer.keys() - _NO_WORDS} if is_empty(body) else body, told)
    told.request_id = told.request_id or text_of(pick(told.body, "request_id"))
    if not good and (never_ran := _NEVER_RAN.get(told.code.lower())):
        told.code = never_ran
        return "never_ran"
    # OpenAI was seen to write "status_code": 0 when no answer came.
    if failed or (told.status is None and isinstance(said, int | float)):
        return "failed"
    return "succeeded" if good or not is_empty(body) else None


_NO_WORDS: Final = {"status_code", "status", "request_id", "body", "id", "custom_id", "response", "result", "error"}


def _tokens(body: Record) -> tuple[int | None, int | None, int | None]:
    """Tokens in, out and in all, by the names of OpenAI, Anthropic, Bedrock's Converse, and Gemini."""
    odd = Oddities()
    if isinstance(usage := pick(body, "usage"), Mapping):
        given, _, written, _, total = fields.usage(usage, odd)
        return given, written, total
    if isinstance(usage := pick(body, "usage_metadata"), Mapping):
        names = ("prompt_token_count", "candidates_token_count", "total_token_count")
        given, written, total = (fields.count(pick(usage, name), name, odd) for name in names)
        return given, written, total
    return None, None, None


def _holds_key(text: str, secrets: tuple[str, ...]) -> bool:
    """Whether a vendor that was given our key repeats it. What is shorter is none, and part of many a word."""
    return any(len(key) >= SHORTEST_SECRET and key in text for key in secrets)


def _custom_id(value: Any, secrets: tuple[str, ...]) -> str | None:
    """The customer's own id. Cutting or mending one would mean another request, so it is whole or absent."""
    if isinstance(value, str):
        if _holds_key(value, secrets):
            return None
        return value if len(value) <= fields.MAX_ID and fields.clean(value) == value else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _label(value: Any, secrets: tuple[str, ...]) -> str:
    """A name that says nothing of a person: of a model, of a request."""
    if isinstance(value, str) and _holds_key(value, secrets):
        return ""
    if isinstance(value, str) and len(value) <= MAX_WORD and value.isprintable():
        return "" if value == "None" else value
    return fields.clean(text_of(value))[:MAX_WORD]


# Scrubbing costs twenty times what decoding does, and the errors of a file differ in little but numbers. No rule of
# `scrub` tells one digit from another, so what is found of an error holds for all that are alike but for their digits.
_TO_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")


def _shown(
    code: str | None, kind: str | None, message: str, param: str | None, secrets: tuple[str, ...]
) -> tuple[str, str, str, str, bool]:
    """An error's code, type, message and param, scrubbed; and whether more may be behind it than these say."""
    is_cut_odd = False
    if len(message) > _LONGEST_MESSAGE:
        is_cut_odd = "{" in message
        # Not through the middle of a word, if it can be helped.
        message = message[: max(message.rfind(" ", MAX_MESSAGE, _LONGEST_MESSAGE), MAX_MESSAGE)]
    shape = message.encode(errors="surrogatepass").translate(_TO_ZERO)
    code, kind, param, is_clean, is_odd = _scrubbed(shape, code, kind, param, secrets)
    if not is_clean:
        message = scrub(message, secrets, limit=MAX_MESSAGE)
    elif len(message) > MAX_MESSAGE:
        message = message[: MAX_MESSAGE - 1] + "…"
    return code, kind, message, param, is_odd or is_cut_odd


@lru_cache(maxsize=1024)
def _scrubbed(
    shape: bytes, code: str | None, kind: str | None, param: str | None, secrets: tuple[str, ...]
) -> tuple[str, str, str, bool, bool]:
    """Code, type and param, scrubbed; whether the message is clean; whether more may be behind it."""
    message = shape.decode(errors="surrogatepass")
    zeroed = (_zeroed(form) for key in secrets for form in (key, quote(key, safe="")))
    is_clean = scrub(message, tuple(zeroed), limit=_LONGEST_MESSAGE) == message
    is_odd = (
        # Another error inside the text, or words elsewhere.
        "{" in message
        or message.lstrip()[:1] in ("", "<")
        or message == "None"
        or kind == "error"
        # A status instead of a code, or OpenAI's words in other letters.
        or bool(code and (code[0].isspace() or code[0].isdecimal()))
        or bool(code and code not in _NEVER_RAN and code.lower() in _NEVER_RAN)
    )
    return _word(code, secrets), _word(kind, secrets), _word(param, secrets), is_clean, is_odd


def _word(text: str | None, secrets: tuple[str, ...]) -> str:
    return scrub(text, secrets, limit=MAX_WORD) if text and text != "None" else ""


def _zeroed(text: str) -> str:
    return text.encode(errors="surrogatepass").translate(_TO_ZERO).decode(errors="surrogatepass")
