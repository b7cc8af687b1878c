"""The shape around the records: lenient JSON, depth, and a list cut into its records.

Records are kept as the bytes that came. When a body is not proper JSON as a whole (NaN in one record, half a surrogate
pair, nesting without end), it is cut by its brackets, so that the damage stays with the record that has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from .fields import is_id, pick

# Possessive throughout: no backtracking over megabytes.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# The next bracket that is not inside a string; or a quote that no other closes; or the end. One of them always comes,
# so that a search never starts again one byte further on.
_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+([\[\]{}"]|\Z)', re.DOTALL)
# What stands between commas.
_PIECE = re.compile(rb"(?:" + _STRING + rb"|[^,])++", re.DOTALL)
_LIST_FOLLOWS = re.compile(rb'"(?:data|value)"\s*:\s*\[\Z')
_LONGEST_CURSOR: Final = 4_096
# A record has several members of some length each; a body with this many commas is there to fill the memory.
_MOST_COMMAS: Final = 2_000_000


class TooManyItemsError(Exception):
    """The list holds more records than it may."""


@dataclass(slots=True)
class Envelope:
    """A list's records as raw JSON, None when it holds no list, and what the list says about the next page."""

    items: Sequence[bytes | msgspec.Raw] | None
    has_more: bool | None = None
    next_page_token: str = ""
    last_id: str = ""
    is_bare: bool = False


class _Strict(msgspec.Struct, gc=False):
    """The ordinary list. A member typed None is another vendor's spelling: with it, the body is cut instead."""

    data: list[msgspec.Raw]
    has_more: bool | None = None
    next_page_token: str | None = None
    last_id: str | None = None
    hasMore: None = None  # noqa: N815
    nextPageToken: None = None  # noqa: N815


_decode_strict = msgspec.json.Decoder(_Strict).decode


def split(body: bytes, most: int) -> Envelope:
    """Cut a list into records. Accepts OpenAI's envelope, `value` instead of `data` (Azure's samples), `data: null`
    (orq.ai), and a bare array (Together).

    Raises TooManyItemsError for more than `most` records, ValueError when the body is not JSON.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    if body.count(b",") > _MOST_COMMAS:
        raise TooManyItemsError
    try:
        strict = _decode_strict(body)
        envelope = Envelope(strict.data, strict.has_more, strict.next_page_token or "", strict.last_id or "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        envelope = _lenient(body)
    if envelope.items is not None and len(envelope.items) > most:
        raise TooManyItemsError
    if len(envelope.next_page_token) > _LONGEST_CURSOR or not envelope.next_page_token.isprintable():
        envelope.next_page_token = ""
    if not is_id(envelope.last_id):
        envelope.last_id = ""
    return envelope


def _lenient(body: bytes) -> Envelope:
    rest, items = _cut(body)
    value = decode(rest)
    if isinstance(value, list):
        return Envelope(items, is_bare=True)
    if not isinstance(value, Mapping):
        return Envelope(None)
    if items is None and "data" in value and value["data"] is None:
        items = []
    token, last_id = pick(value, "next_page_token"), pick(value, "last_id")
    return Envelope(
        items,
        _truth(pick(value, "has_more")),
        token if isinstance(token, str) else "",
        last_id if isinstance(last_id, str) else "",
    )


def _truth(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return bool(value) if value in (True, False) else None


def _cut(body: bytes) -> tuple[bytes, list[bytes] | None]:
    """Take the records out of the list: what is left of the body, and the records; None when there is no list."""
    items: list[bytes] = []
    level = list_level = list_start = start = 0
    for match in _BRACKET.finditer(body):
        bracket, end = match[1], match.end()
        if bracket == b"]" or bracket == b"}":
            if list_level and level == list_level:
                items += _pieces(body[start : end - 1])
                return body[:list_start] + body[end - 1 :], items
            level -= 1
            if list_level and level == list_level:
                items.append(body[start:end].strip())
                start = end
            continue
        if bracket != b"[" and bracket != b"{":
            break
        level += 1
        if not list_level:
            if bracket == b"[" and (level == 1 or (level == 2 and _LIST_FOLLOWS.search(match[0]))):
                list_level, list_start, start = level, end, end
        elif level == list_level + 1:
            # Up to here only records that are no objects, which will be refused one by one.
            items += _pieces(body[start : end - 1])
            start = end - 1
    return body, None


def _pieces(between: bytes) -> list[bytes]:
    return [piece for match in _PIECE.finditer(between) if (piece := match[0].strip())]


def depth(body: bytes, enough: int) -> int:
    """Levels of nesting, exactly above `enough` and an upper bound below it."""
    bound = body.count(b"{") + body.count(b"[")
    if bound <= enough:
        return bound
    level = deepest = 0
    for match in _BRACKET.finditer(body):
        if match[1] in (b"[", b"{"):
            level += 1
            deepest = max(deepest, level)
        else:
            level -= 1
    return deepest


def decode(body: bytes) -> Any:
    """JSON, also the kind that other languages' encoders let through: NaN, bare control characters, half surrogate
    pairs, bytes that are not UTF-8, numbers of any length. Raises ValueError when it is not JSON at all."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body.decode("utf-8", "replace"), strict=False, parse_int=_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _number(digits: str) -> int | float:
    # int() refuses thousands of digits, and nobody counts that far.
    return int(digits) if len(digits) <= 30 else float(digits)
