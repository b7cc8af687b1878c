"""Why a request failed, in the vendor's words, out of an error of any shape.

Shapes: OpenAI's envelope, the same nested or listed, FastAPI's detail, a text, a text that repeats what another server
said, Google's and Azure's members, the HTML of a proxy. What they look like is in `tests/payloads/*/*.jsonl`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from . import fields
from .fields import Record, pick
from .pages import decode, depth
from .wire import read_error

MAX_DEPTH: Final = 128
"""Levels of nesting in one line, which may hold a JSON schema with everything that is inside it."""
MAX_MESSAGE: Final = 1_000
MAX_CONTAINERS: Final = 100_000
"""Objects and lists in one line. As objects of Python they take a hundred times the room of their two brackets."""
MAX_VALUES: Final = 1_000_000


@dataclass(slots=True)
class Told:
    """What is known of a request so far: what was told first stays. `body` is its answer, when that is an object."""

    status: int | None = None
    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""
    request_id: str = ""
    body: Record = field(default_factory=dict)


_LEVELS: Final = 6
_SAID: Final = ("message", "error_message", "msg", "detail", "error_description", "description", "title", "error")


def hear(error: Any, told: Told) -> bool:
    """Take from an error of any shape what is not known yet; False when there is no error in it."""
    if is_empty(error):
        return False
    _tell(error, told, _LEVELS)
    if not (told.message or told.code or told.type):
        told.message = fields.compact(error, MAX_MESSAGE)
    return True


def _tell(error: Any, told: Told, levels: int) -> None:
    if isinstance(error, str):
        _tell_text(error, told, levels)
    elif isinstance(error, list) and levels:
        _tell_list(error, told, levels)
    elif isinstance(error, Mapping) and levels:
        # What is wrapped knows more than the wrapping: {"detail": {"error": {...}}}.
        for name in ("error", "detail", "errors", "message"):
            if isinstance(error.get(name), Mapping | list):
                _tell(error[name], told, levels - 1)
        for name in _SAID:
            if not told.message and isinstance(words := pick(error, name), str) and text_of(words).strip():
                _tell_text(words, told, levels)
        _tell_rest(error, told)


def _tell_text(text: str, told: Told, levels: int) -> None:
    if match := _SDK_STATUS.search(text[:300]):
        told.status = told.status or int(match[1])
    inside = opened(text)
    if not isinstance(inside, Mapping):
        inside = _echoed(text)
    if inside and levels:
        _tell(inside, told, levels - 1)
    if not told.message:
        is_markup = text[:200].lstrip().startswith("<")
        told.message = read_error(text.encode("utf-8", "replace")) if is_markup else text_of(text)


def _tell_list(errors: Sequence[Any], told: Told, levels: int) -> None:
    """FastAPI's "detail" and other lists: the words of the first three, and what else the first one says."""
    words: dict[str, None] = {}
    for error in errors[:3]:
        one = Told(told.status)
        _tell(error, one, levels - 1)
        words[one.message] = None
        told.status = one.status
        told.code, told.type, told.param = told.code or one.code, told.type or one.type, told.param or one.param
    told.message = told.message or "; ".join(filter(None, words))


def _tell_rest(error: Record, told: Told) -> None:
    """Everything but the words."""
    code, state = text_of(pick(error, "code", "error_code")), text_of(error.get("status"))
    if (status := to_status(code)) is not None and code[3:].strip() == "":
        # LiteLLM, Google and OpenRouter give the HTTP status as the code.
        told.status, code = told.status or status, ""
    told.status = told.status or to_status(pick(error, "status_code", "status"))
    # Google has a word besides: "RESOURCE_EXHAUSTED".
    told.code = told.code or code or (state if state.isupper() else "")
    if not told.code and isinstance(inner := pick(error, "innererror", "inner_error"), Mapping):
        told.code = text_of(inner.get("code"))
    kind = text_of(error.get("type"))
    # "error" is what Anthropic's wrapping calls itself.
    told.type = told.type or (kind if kind != "error" else "")
    place = error.get("loc")
    told.param = told.param or (
        ".".join(map(text_of, place)) if isinstance(place, list) else text_of(error.get("param"))
    )
    told.request_id = told.request_id or text_of(pick(error, "request_id"))


# What the SDKs of OpenAI and Anthropic make of a refusal; OGX keeps that text.
_SDK_STATUS: Final = re.compile(r"Error code: ([1-5][0-9]{2})\b")
# An error put into a text as JSON, as Python shows a dict, or as bytes: LiteLLM and OGX hand on what they caught.
_ECHO_BEGINS: Final = re.compile(
    r"""(?:\A|[\s'"])\{\s*\\?["'](?:error|message|code|type|detail|object|status|request_id)\\?["']\s*:"""
)
_ECHOED: Final = re.compile(
    r"""
    (["'])(message|code|type|param|request_id)\1\s*:\s*
    (?: '(?P<single>[^'\\]*+(?:\\.[^'\\]*+)*+) | "(?P<double>[^"\\]*+(?:\\.[^"\\]*+)*+) | (?P<number>[0-9]{1,9}\b) )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_LONGEST_ECHO: Final = 16_000


def _echoed(text: str) -> dict[str, str]:
    """The error that a text repeats behind words of its own, also when it was cut off; nothing without a message."""
    text = text[:_LONGEST_ECHO]
    begin = _ECHO_BEGINS.search(text) if "{" in text else None
    if begin is None:
        return {}
    echo = text[begin.start() :]
    if "\\" in begin[0]:
        echo = _ESCAPED.sub(_unescape, echo)
    found: dict[str, str] = {}
    for match in _ECHOED.finditer(echo):
        said = match["single"] or match["double"] or match["number"] or ""
        if match[2] not in found and said != "error":
            found[match[2]] = _ESCAPED.sub(_unescape, said)
    return found if found.get("message") else {}


def _unescape(escaped: re.Match[str]) -> str:
    return " " if escaped[1] in "nrt" else escaped[1]


def opened(body: Any) -> Any:
    """A body that came as a JSON text is opened; anything else is what it is."""
    if not isinstance(body, str) or not body[:200].lstrip().startswith("{"):
        return body
    raw = body.encode("utf-8", "replace")
    if is_beyond(raw):
        return body
    try:
        return decode(raw)
    except ValueError:
        return body


def is_beyond(raw: bytes) -> bool:
    """Whether JSON is nested, or made of more pieces, than any answer is; nobody builds it then."""
    pieces = raw.count(b"{") + raw.count(b"[")
    return pieces > MAX_CONTAINERS or raw.count(b",") > MAX_VALUES or depth(raw, MAX_DEPTH) > MAX_DEPTH


def is_empty(value: Any) -> bool:
    """Whether there is nothing in it: null, "", {}, [], false, 0, or containers of nothing else."""
    if isinstance(value, Mapping):
        return all(map(is_empty, value.values()))
    if isinstance(value, list):
        return all(map(is_empty, value))
    return not value or value == "None"


def to_status(value: Any) -> int | None:
    """An HTTP status: 429, "429", 429.0, "429 Too Many Requests"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _STATUS.match(str(value))
    return int(match[1]) if match else None


_STATUS: Final = re.compile(r"\s*([1-5][0-9]{2})(?:\.0+)?(?:\s|\Z)")


def text_of(value: Any) -> str:
    if value is None or value == "None" or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else fields.compact(value, MAX_MESSAGE)
