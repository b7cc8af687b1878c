"""One field at a time: what vendors really put into a time, a count, an id, metadata, errors and usage.

Every reader takes the decoded JSON value, answers with None, "" or nothing when it cannot be read, and notes in
`Oddities` what was wrong, so that a bad field never costs its record.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .base import RemoteError
from .scrub import scrub

type Record = Mapping[str, Any]

EARLIEST: Final = int(datetime(2015, 1, 1, tzinfo=UTC).timestamp())
"""No Batch API is older; a time before it is a placeholder or a mistake. Unix seconds."""
HORIZON: Final = 10 * 365 * 86_400
"""How far in the future a time may lie, in seconds."""
LARGEST_COUNT: Final = 2**53
"""Beyond this JavaScript, and every server that passed through it, no longer counts exactly."""
MAX_ID: Final = 512
MAX_PAIRS: Final = 64
MAX_KEY: Final = 64
MAX_VALUE: Final = 2_048
MAX_ERRORS: Final = 200
MAX_ODDITIES: Final = 50

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# U+0000 is refused by PostgreSQL, and half a surrogate pair by every UTF-8 encoder.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


class Oddities(list[str]):
    """Lines "field: what was wrong", bounded."""

    def note(self, field: str, what: str, value: Any = None) -> None:
        """Note that `field` could not be read; `value` is shown, shortened and scrubbed."""
        if len(self) < MAX_ODDITIES:
            shown = "" if value is None else f" ({scrub(compact(value, 80), limit=60)})"
            self.append(f"{field}: {what}{shown}")


def compact(value: Any, limit: int) -> str:
    """The value as JSON without spaces, at most `limit` characters."""
    return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":")))[:limit]


def clean(text: str) -> str:
    """`text` without the characters that no database and no encoder takes."""
    return _UNSTORABLE.sub("", text)


def camel(key: str) -> str:
    """`request_counts` as generated JavaScript spells it: `requestCounts`."""
    head, *rest = key.split("_")
    return head + "".join(word.capitalize() for word in rest)


_CAMEL: dict[str, str] = {}


def pick(record: Record, *keys: str) -> Any:
    """The first of `keys` that is present and not null, each also in camelCase; None when there is none."""
    for key in keys:
        value = record.get(key)
        if value is None:
            spelled = _CAMEL.get(key) or _CAMEL.setdefault(key, camel(key))
            value = record.get(spelled) if spelled != key else None
        if value is not None:
            return value
    return None


def text(value: Any, field: str, odd: Oddities, limit: int) -> str:
    """A short text. "None" is what a careless Python server makes of an absent one."""
    if value is None or value == "" or value == "None":
        return ""
    if not isinstance(value, str):
        odd.note(field, "not a text", value)
        return ""
    return clean(value)[:limit]


def is_id(value: str) -> bool:
    """Whether `value` can be an id: 1 to 512 printable characters, no white space."""
    return 0 < len(value) <= MAX_ID and value.isprintable() and " " not in value


def file_id(value: Any, field: str, odd: Oddities) -> str:
    """A file's id. Cutting or mending one would point to another file, so it is whole or absent."""
    if value is None or value == "" or value == "None":
        return ""
    if isinstance(value, str) and is_id(value):
        return value
    odd.note(field, "not an id", value)
    return ""


def moment(value: Any, field: str, odd: Oddities, now: int) -> int | None:
    """A time in unix seconds: from seconds, milli-, micro- or nanoseconds, as a number or a text, or from ISO 8601.

    0 is what generated code sends for "not yet", and is absent without a note.
    """
    if value is None or value == "" or value == "None":
        return None
    seconds: float | None = None
    if isinstance(value, bool):
        pass
    elif isinstance(value, int | float):
        seconds = value
    elif isinstance(value, str) and len(value) <= 64:
        seconds = _moment_in_text(value.strip())
    if seconds is None or not _is_finite(seconds):
        odd.note(field, "not a time", value)
        return None
    if seconds == 0:
        return None
    for _ in range(3):
        if seconds > 1e11:
            seconds /= 1000
    if not EARLIEST <= seconds <= now + HORIZON:
        odd.note(field, "an implausible time", value)
        return None
    return int(seconds)


def _is_finite(number: float) -> bool:
    # Whole numbers in JSON have no end, but floats do: asking math about 10**400 raises.
    return abs(number) < 10**30 if isinstance(number, int) else math.isfinite(number)


def _moment_in_text(value: str) -> float | None:
    if _NUMBER.fullmatch(value):
        return float(value)
    try:
        parsed = datetime.fromisoformat(value)
        # A time without a zone is UTC: no vendor documents another one.
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return (aware - _EPOCH) / timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None


def count(value: Any, field: str, odd: Oddities) -> int | None:
    """A number of requests, tokens or lines: a whole number from 0 to 2^53, also as a text (proto JSON's int64)."""
    if value is None or value == "":
        return None
    number = value
    if isinstance(value, str) and len(value) <= 64 and _NUMBER.fullmatch(value.strip()):
        number = float(value) if not value.strip().lstrip("+-").isdigit() else int(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not _is_finite(number):
        odd.note(field, "not a number", value)
    elif number < 0:
        odd.note(field, "negative", value)
    elif number > LARGEST_COUNT:
        odd.note(field, "too large to be exact", value)
    elif number != int(number):
        odd.note(field, "not a whole number", value)
    else:
        return int(number)
    return None


def counts(record: Record, odd: Oddities) -> tuple[int | None, int | None, int | None]:
    """Total, completed and failed requests, wherever the vendor puts them: nested (OpenAI), flat (vLLM's router), or
    flat beside a total (BigModel sends `"request_counts": 123`)."""
    nested = pick(record, "request_counts")
    found: list[int | None] = []
    for name in ("total", "completed", "failed"):
        field, value = f"request_counts.{name}", None
        if isinstance(nested, Mapping):
            value = nested.get(name)
        if value is None:
            value = pick(record, f"{name}_requests")
        if value is None and not isinstance(nested, Mapping):
            value = record.get(name)
            if value is None and name == "total" and isinstance(nested, int | float | str):
                value = nested
        found.append(count(value, field, odd))
    total, completed, failed = found
    if nested is not None and not isinstance(nested, Mapping | int | float | str):
        odd.note("request_counts", "not an object", nested)
    if total is not None and (completed or 0) + (failed or 0) > total:
        odd.note("request_counts", "more done than there are", f"{completed} + {failed} of {total}")
    return total, completed, failed


def metadata(value: Any, odd: Oddities) -> dict[str, str]:
    """The creator's own pairs, as texts: other values become compact JSON, null ones are left out."""
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        odd.note("metadata", "not an object", value)
        return {}
    pairs: dict[str, str] = {}
    for key, held in value.items():
        if held is None:
            continue
        if len(pairs) == MAX_PAIRS:
            odd.note("metadata", f"{len(value)} pairs, {MAX_PAIRS} kept")
            break
        shown = clean(held) if isinstance(held, str) else compact(held, MAX_VALUE + 1)
        name = clean(key)
        if len(name) > MAX_KEY or len(shown) > MAX_VALUE:
            odd.note("metadata", "a pair was cut", name[:MAX_KEY])
        pairs[name[:MAX_KEY]] = shown[:MAX_VALUE]
    return pairs


def errors(record: Record, odd: Oddities) -> tuple[RemoteError, ...]:
    """Why the batch failed: OpenAI's `errors.data`, a bare list (Mistral), an object (OpenRouter), a text (Novita)."""
    entries: list[Any] = []
    for name in ("errors", "error"):
        given = pick(record, name)
        found = _entries(given)
        if found is None:
            odd.note(name, "not a list of errors", given)
        else:
            entries += found
    if len(entries) > MAX_ERRORS:
        odd.note("errors", f"{len(entries)} given, {MAX_ERRORS} kept")
    return tuple(_error(entry, odd) for entry in entries[:MAX_ERRORS] if entry is not None)


def _entries(given: Any) -> list[Any] | None:
    if given is None or given == "":
        return []
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping):
        if "data" in given:
            return _entries(given["data"])
        if {"code", "message"} & given.keys():
            return [given]
        return [] if given.keys() <= {"object"} else None
    return given if isinstance(given, list) else None


def _error(entry: Any, odd: Oddities) -> RemoteError:
    if not isinstance(entry, Mapping):
        return RemoteError(message=clean(entry)[:2_000] if isinstance(entry, str) else compact(entry, 2_000))
    said = {name: _plain(entry.get(name)) for name in ("code", "message", "param")}
    return RemoteError(
        code=said["code"][:200],
        message=said["message"][:2_000],
        param=said["param"][:200],
        line=count(entry.get("line"), "errors.line", odd),
    )


def _plain(value: Any) -> str:
    if value is None or value == "None":
        return ""
    return clean(value) if isinstance(value, str) else compact(value, 2_000)


def usage(value: Any, odd: Oddities) -> tuple[int | None, int | None, int | None, int | None, int | None]:
    """Tokens: input, cached, output, reasoning, total; by the names of the Responses or the chat API (OpenRouter)."""
    if value is None or value == "":
        return None, None, None, None, None
    if not isinstance(value, Mapping):
        odd.note("usage", "not an object", value)
        return None, None, None, None, None

    def detail(names: tuple[str, str], name: str) -> int | None:
        details = pick(value, *names)
        if details is not None and not isinstance(details, Mapping):
            odd.note(f"usage.{names[0]}", "not an object", details)
            return None
        return count(pick(details, name), f"usage.{name}", odd) if details else None

    return (
        count(pick(value, "input_tokens", "prompt_tokens"), "usage.input_tokens", odd),
        detail(("input_tokens_details", "prompt_tokens_details"), "cached_tokens"),
        count(pick(value, "output_tokens", "completion_tokens"), "usage.output_tokens", odd),
        detail(("output_tokens_details", "completion_tokens_details"), "reasoning_tokens"),
        count(pick(value, "total_tokens"), "usage.total_tokens", odd),
    )
