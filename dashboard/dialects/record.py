"""One record: a batch's JSON in, `RemoteBatch` or `RefusedRecord` out.

Two readers give the same answer. The fast one is a strict msgspec Struct of OpenAI's own shape (its API reference, "The
batch object"); whatever does not fit it exactly goes to the slow one, which knows what other servers send.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from . import fields
from .base import Reason, RefusedRecord, RemoteBatch, RemoteError
from .fields import Oddities, pick
from .pages import decode, depth
from .scrub import scrub

MAX_RECORD: Final = 1024 * 1024
"""Bytes of one record's payload, inline results left out."""
MAX_DEPTH: Final = 32
"""Levels of nesting in one record."""
_BULK: Final = 256 * 1024

# Below the largest time that the slow reader takes, so that the two cannot differ about one in between.
_LATEST: Final = int(time.time()) + fields.HORIZON - 400 * 86_400

type _Time = Annotated[int, Meta(ge=fields.EARLIEST, le=_LATEST)] | None
type _Count = Annotated[int, Meta(ge=0, le=fields.LARGEST_COUNT)]
type _Short = Annotated[str, Meta(max_length=200)] | None
type _Id = Annotated[str, Meta(max_length=fields.MAX_ID)] | None
type _Pairs = Annotated[
    dict[Annotated[str, Meta(max_length=fields.MAX_KEY)], Annotated[str, Meta(max_length=fields.MAX_VALUE)]],
    Meta(max_length=fields.MAX_PAIRS),
]


class _Counts(msgspec.Struct, gc=False):
    total: _Count
    completed: _Count
    failed: _Count


class _Cached(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None


class _Reasoning(msgspec.Struct, gc=False):
    reasoning_tokens: _Count | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: _Count
    output_tokens: _Count
    total_tokens: _Count
    input_tokens_details: _Cached | None = None
    output_tokens_details: _Reasoning | None = None


class _Error(msgspec.Struct, gc=False):
    code: _Short = None
    message: Annotated[str, Meta(max_length=2_000)] | None = None
    param: _Short = None
    line: _Count | None = None


class _Errors(msgspec.Struct, gc=False):
    data: Annotated[list[_Error], Meta(max_length=fields.MAX_ERRORS)] | None


class _Ordinary(msgspec.Struct, gc=False):
    """OpenAI's own shape. A member typed None belongs to another vendor: when it is there, the slow reader is asked."""

    id: Annotated[str, Meta(min_length=1, max_length=fields.MAX_ID)]
    object: Literal["batch"]
    status: Literal[
        "validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"
    ]
    endpoint: _Short
    input_file_id: _Id
    completion_window: Annotated[str, Meta(max_length=32)] | None
    created_at: Annotated[int, Meta(ge=fields.EARLIEST, le=_LATEST)]
    model: _Short = None
    output_file_id: _Id = None
    error_file_id: _Id = None
    in_progress_at: _Time = None
    expires_at: _Time = None
    finalizing_at: _Time = None
    completed_at: _Time = None
    failed_at: _Time = None
    expired_at: _Time = None
    cancelling_at: _Time = None
    cancelled_at: _Time = None
    request_counts: _Counts | None = None
    metadata: _Pairs | None = None
    usage: _Usage | None = None
    errors: _Errors | None = None
    error: None = None
    results: None = None
    input_files: None = None
    file_counts: None = None
    succeeded_requests: None = None
    total_requests: None = None
    completed_requests: None = None
    failed_requests: None = None
    total: None = None
    completed: None = None
    failed: None = None
    model_id: None = None
    type: None = None
    processing_status: None = None
    expire_time: None = None
    finalized_at: None = None
    canceling_at: None = None
    canceled_at: None = None


_BACKSLASH: Final = ord("\\")
_BRACKET: Final = ord("[")

_decode_ordinary = msgspec.json.Decoder(_Ordinary).decode
_decode_top = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# Compared in lower case, with spaces and hyphens as underscores and without JOB_STATE_ and BATCH_STATE_ in front.
_SYNONYMS: Final[dict[str, str]] = {
    synonym: status
    for status, synonyms in {
        "validating": "pending queued in_queue scheduling created submitted draft creating re_queueing",
        "in_progress": "running progress processing inprogress scheduled paused updating idle",
        "finalizing": "writing_results",
        "completed": "success succeeded ended partiallycompleted partially_completed partially_succeeded early_stopped",
        "failed": "error",
        "expired": "timeout_exceeded",
        "cancelling": "canceling cancellation_requested stopping",
        "cancelled": "canceled stopped",
    }.items()
    for synonym in (status, *synonyms.split())
}


def read_record(payload: bytes, now: int, secrets: Sequence[str] = ()) -> RemoteBatch | RefusedRecord:
    """One record, by the fast reader when it is ordinary, else by the slow one. Never raises."""
    record = read_ordinary(payload) or read_any(payload, now, secrets)
    if isinstance(record, RemoteBatch) and record.errors:
        record.errors = tuple(_masked(error, secrets) for error in record.errors)
    return record


def _masked(error: RemoteError, secrets: Sequence[str]) -> RemoteError:
    """A quota's message names the organisation, and the people of it may be named too: none of that is shown."""
    code, param = scrub(error.code, secrets, limit=200), scrub(error.param, secrets, limit=200)
    return RemoteError(code, scrub(error.message, secrets, limit=2_000), param, error.line)


def read_ordinary(payload: bytes) -> RemoteBatch | None:
    """The fast reader: None for every record that differs in anything from OpenAI's own shape."""
    # Looks at the bytes stand for longer ones at the values, and a byte given as a number is found ten times faster.
    if _BACKSLASH in payload and b"\\u0000" in payload:
        return None
    if len(payload) > MAX_RECORD or payload.count(b"{") > MAX_DEPTH or (_BRACKET in payload and not _is_flat(payload)):
        return None
    try:
        o = _decode_ordinary(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    input_file, output_file, error_file = o.input_file_id or "", o.output_file_id or "", o.error_file_id or ""
    ids = o.id + input_file + output_file + error_file
    if not ids.isprintable() or " " in ids:
        return None
    total = completed = failed = None
    if (c := o.request_counts) is not None:
        total, completed, failed = c.total, c.completed, c.failed
        if completed + failed > total:
            return None
    given = cached = written = reasoning = tokens = None
    if (u := o.usage) is not None:
        given, written, tokens = u.input_tokens, u.output_tokens, u.total_tokens
        cached = u.input_tokens_details.cached_tokens if u.input_tokens_details else None
        reasoning = u.output_tokens_details.reasoning_tokens if u.output_tokens_details else None
    # By position: naming thirty fields costs as much again as reading them.
    return RemoteBatch(
        o.id,
        o.status,
        o.status,
        _absent(o.endpoint),
        _absent(o.model),
        _absent(o.completion_window),
        _absent(input_file),
        _absent(output_file),
        _absent(error_file),
        o.created_at,
        o.in_progress_at,
        o.expires_at,
        o.finalizing_at,
        o.completed_at,
        o.failed_at,
        o.expired_at,
        o.cancelling_at,
        o.cancelled_at,
        total,
        completed,
        failed,
        o.metadata or {},
        _errors(o.errors.data) if o.errors and o.errors.data else (),
        given,
        cached,
        written,
        reasoning,
        tokens,
        (),
        payload,
    )


def _is_flat(payload: bytes) -> bool:
    return depth(payload, MAX_DEPTH) <= MAX_DEPTH


def _errors(given: list[_Error]) -> tuple[RemoteError, ...]:
    return tuple(RemoteError(_absent(e.code), _absent(e.message), _absent(e.param), e.line) for e in given)


def _absent(value: str | None) -> str:
    return "" if value is None or value == "None" else value


def read_any(payload: bytes, now: int, secrets: Sequence[str] = ()) -> RemoteBatch | RefusedRecord:
    """The slow reader: every variation that is known, and a refusal for what cannot be told to be a batch."""

    def refuse(reason: Reason, remote_id: str = "") -> RefusedRecord:
        return RefusedRecord(reason, scrub(payload[:4_000].decode(errors="replace"), secrets, limit=200), remote_id)

    if depth(payload, MAX_DEPTH) > MAX_DEPTH:
        return refuse("too_deep")
    try:
        record = decode(payload)
    except ValueError:
        return refuse("unreadable")
    if not isinstance(record, Mapping):
        return refuse("not_an_object")
    remote_id = record.get("id")
    usable_id = remote_id if isinstance(remote_id, str) and fields.is_id(remote_id) else ""
    if reason := _foreign(record):
        return refuse(reason, usable_id)
    if not usable_id:
        return refuse("no_id" if remote_id is None or remote_id == "" else "bad_id")
    raw_status = record.get("status")
    if not isinstance(raw_status, str) or not fields.clean(raw_status).strip():
        return refuse("no_status", usable_id)
    odd = Oddities()
    kept = _without_bulk(payload, record, odd)
    if len(kept) > MAX_RECORD:
        return refuse("too_large", usable_id)
    return _batch(record, usable_id, fields.clean(raw_status).strip(), kept, odd, now)


def _batch(
    record: fields.Record, remote_id: str, raw_status: str, payload: bytes, odd: Oddities, now: int
) -> RemoteBatch:
    status = to_status(raw_status)

    def moment(field: str, *others: str) -> int | None:
        return fields.moment(pick(record, field, *others), field, odd, now)

    def ended(field: str, ends_as: str) -> int | None:
        # OpenRouter has one end time for every ending.
        return moment(field, *(("finalized_at",) if status == ends_as else ()))

    created_at = moment("created_at", "create_time")
    if created_at is None and not any(line.startswith("created_at:") for line in odd):
        odd.note("created_at", "missing")
    total, completed, failed = fields.counts(record, odd)
    given, cached, written, reasoning, tokens = fields.usage(pick(record, "usage"), odd)
    return RemoteBatch(
        remote_id=remote_id,
        raw_status=raw_status[:64],
        status=status,
        endpoint=fields.text(pick(record, "endpoint"), "endpoint", odd, 200),
        model=fields.text(pick(record, "model", "model_id"), "model", odd, 200),
        completion_window=fields.text(pick(record, "completion_window"), "completion_window", odd, 32),
        input_file_id=fields.file_id(pick(record, "input_file_id"), "input_file_id", odd),
        output_file_id=fields.file_id(pick(record, "output_file_id"), "output_file_id", odd),
        error_file_id=fields.file_id(pick(record, "error_file_id"), "error_file_id", odd),
        created_at=created_at,
        in_progress_at=moment("in_progress_at"),
        expires_at=moment("expires_at", "expire_time"),
        finalizing_at=moment("finalizing_at"),
        completed_at=ended("completed_at", "completed"),
        failed_at=ended("failed_at", "failed"),
        expired_at=ended("expired_at", "expired"),
        cancelling_at=moment("cancelling_at", "canceling_at"),
        cancelled_at=moment("cancelled_at", "canceled_at", *(("finalized_at",) if status == "cancelled" else ())),
        requests_total=total,
        requests_completed=completed,
        requests_failed=failed,
        metadata=fields.metadata(pick(record, "metadata"), odd),
        errors=fields.errors(record, odd),
        tokens_input=given,
        tokens_cached=cached,
        tokens_output=written,
        tokens_reasoning=reasoning,
        tokens_total=tokens,
        oddities=tuple(odd),
        payload=payload,
    )


def to_status(raw: str) -> str:
    """OpenAI's word for a vendor's status, "unknown" for one we do not know."""
    word = re.sub(r"[\s\-]+", "_", raw.strip().lower())
    return _SYNONYMS.get(word.removeprefix("job_state_").removeprefix("batch_state_"), "unknown")


def _foreign(record: fields.Record) -> Reason | None:
    """What the record says it is, when that is not a batch of this kind."""
    said = record.get("object")
    words = {value.lower() for value in (said, record.get("type")) if isinstance(value, str)}
    if "message_batch" in words or pick(record, "processing_status") is not None:
        return "looks_like_anthropic"
    if any("vector_store" in word for word in words) or pick(record, "file_counts") is not None:
        return "looks_like_vector_store"
    if said is None or said == "":
        return None
    if not isinstance(said, str) or said.lower() != "batch":
        return "not_a_batch"
    if pick(record, "request_counts") is None:
        # Mistral's jobs call themselves batch too, with other members.
        ours = pick(record, "input_file_id") is not None
        if (
            isinstance(pick(record, "input_files"), list)
            or pick(record, "succeeded_requests") is not None
            or (not ours and (pick(record, "total_requests") is not None or record.get("status") == "SUCCESS"))
        ):
            return "looks_like_mistral"
    return None


def _without_bulk(payload: bytes, record: fields.Record, odd: Oddities) -> bytes:
    """The payload without inline results (OpenRouter), which may be as large as a file; untouched when it has none.

    Members that make a record too large to keep are left out as well, and noted.
    """
    if record.get("results") is None and len(payload) <= MAX_RECORD:
        return payload
    members: dict[str, Any]
    try:
        members = dict(_decode_top(payload))
    except (msgspec.DecodeError, UnicodeDecodeError):
        # JSON that only the lenient reader takes: it cannot be kept byte for byte.
        members = {key: json.dumps(value).encode() for key, value in record.items()}
    members.pop("results", None)
    if sum(map(len, map(bytes, members.values()))) > MAX_RECORD:
        for key in [key for key, value in members.items() if len(bytes(value)) > _BULK]:
            odd.note("payload", f"{fields.clean(key)[:60]} was too large to keep")
            del members[key]
    raw = ((json.dumps(key).encode() + b":" + bytes(value)) for key, value in members.items())
    return b"{" + b",".join(raw) + b"}"
