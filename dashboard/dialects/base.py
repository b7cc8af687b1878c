"""The border with the vendors: what a dialect takes and what it hands back.

Everything here is plain data. Texts in it were written by a vendor or by whoever created the batch: whoever shows them
must escape them. No object in this module ever holds a key in a place that its `repr` or `str` would print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, get_args

import msgspec

if TYPE_CHECKING:
    from .lines import ResultLine, Unreadable

type Status = Literal[
    "validating",
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
    "unknown",
]
"""OpenAI's eight statuses, and "unknown" for a word we do not know: such a batch still counts as open."""

STATUSES: Final[tuple[str, ...]] = get_args(Status.__value__)

type Reason = Literal[
    "no_id",
    "bad_id",
    "no_status",
    "not_a_batch",
    "not_an_object",
    "unreadable",
    "looks_like_mistral",
    "looks_like_anthropic",
    "looks_like_vector_store",
    "too_deep",
    "too_large",
]
"""Why a record was refused. A code, not a sentence: the pages translate it."""

REASONS: Final[tuple[str, ...]] = get_args(Reason.__value__)

type Kind = Literal[
    "bad_key",  # 401
    "forbidden",  # 403: the key is known but may not do this
    "not_found",  # 404: wrong path, or a batch this key cannot see
    "conflict",  # 409: how OpenAI refuses to cancel a finished batch
    "rate_limited",  # 429
    "refused",  # another 4xx, or a 2xx that holds nothing but an error
    "server_error",  # 5xx
    "timeout",
    "unreachable",  # no such name, nothing listening, connection cut
    "certificate",
    "redirected",  # to another origin, or more often than once
    "not_json",
    "not_a_batch_api",  # JSON, but of something else
    "wrong_batch",  # the answer is about another batch than the one asked for
    "too_large",
    "address_refused",  # by us: the address guard
    "name_refused",  # by us: the name leads to an address that the guard refuses
    "cannot_be_sent",  # the address, the key or a header holds what no request can hold
]
"""How a call failed. A code, not a sentence: the pages translate it."""

KINDS: Final[tuple[str, ...]] = get_args(Kind.__value__)


class RemoteError(msgspec.Struct, frozen=True, gc=False):
    """One entry of a batch's own `errors` (why validation failed), not of its error file.

    `line` is the line of the input file, when the vendor says so. Absent texts are "".
    """

    code: str = ""
    message: str = ""
    param: str = ""
    line: int | None = None


class RemoteBatch(msgspec.Struct, gc=False):
    """A batch as a vendor reported it, in our words. Built by `wire` alone, a hundred per page, hence a msgspec Struct.

    Times are whole unix seconds, UTC. None means that the vendor did not say, or said something unreadable, in which
    case `oddities` holds a line "field: what was wrong". An absent text is "". `status` is one of `STATUSES`;
    `raw_status` is the vendor's own word. `payload` is the record's JSON as it came on the wire, without inline
    results; it may hold any bytes, so read it back with errors="replace".
    """

    remote_id: str
    raw_status: str
    status: str
    endpoint: str
    model: str
    completion_window: str
    input_file_id: str
    output_file_id: str
    error_file_id: str
    created_at: int | None
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    requests_total: int | None
    requests_completed: int | None
    requests_failed: int | None
    metadata: dict[str, str]
    errors: tuple[RemoteError, ...]
    tokens_input: int | None
    tokens_cached: int | None
    tokens_output: int | None
    tokens_reasoning: int | None
    tokens_total: int | None
    oddities: tuple[str, ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that cannot be told to be a batch. `excerpt` is scrubbed and at most 200 characters; `remote_id` is ""
    when there was no usable id."""

    reason: Reason
    excerpt: str
    remote_id: str = ""


@dataclass(slots=True)
class RemotePage:
    """One page of a list, in the vendor's order.

    `next_cursor` is what to pass as `after` for the following page, None when the page offers no way on. `has_more`
    may lie (some servers say True for ever): whoever walks the pages must stop at one without a new id.
    `vendor_now` is the vendor's clock (its Date header), unix seconds.
    """

    batches: list[RemoteBatch]
    refused: list[RefusedRecord]
    next_cursor: str | None
    has_more: bool
    vendor_now: int | None = None


@dataclass(frozen=True, slots=True)
class RemoteFileInfo:
    """A file as its vendor describes it. None and "" mean that it does not say."""

    file_id: str
    filename: str = ""
    purpose: str = ""
    size: int | None = None
    created_at: int | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class RemoteContent:
    """A file's bytes as they arrive, unpacked if they were packed for the way.

    `begins_at` is where in the file they begin: at the offset that was asked for, or at 0 where the server does not
    give parts of files, and then it is the caller who passes over what it has. `size` is that of the whole file,
    where the answer says it. With `ends_unmarked` the end of the connection is all that marks the end of the file, so
    that a cut looks like an end.
    """

    begins_at: int
    size: int | None
    ends_unmarked: bool
    chunks: Iterator[bytes]


class VendorError(Exception):
    """A call to a vendor failed; the only exception that a dialect's calls raise.

    `words` are the vendor's own, scrubbed and at most 500 characters. `retry_after` is in seconds, as the vendor asked
    for, at most an hour. `sent` is False only when the request certainly never reached the vendor: after a cancel
    that failed with `sent` True and no `status`, nobody knows whether it was carried out. `refused` is the record that
    came instead of a batch, when there was one.
    """

    def __init__(
        self,
        kind: Kind,
        words: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str = "",
        sent: bool = True,
        refused: RefusedRecord | None = None,
    ) -> None:
        super().__init__(kind, words)
        self.kind: Kind = kind
        self.words = words
        self.status = status
        self.retry_after = retry_after
        self.request_id = request_id
        self.sent = sent
        self.refused = refused

    def __str__(self) -> str:
        status = f" {self.status}" if self.status is not None else ""
        return f"{self.kind}{status}: {self.words}" if self.words else f"{self.kind}{status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a vendor is and how to speak to it. Times are in seconds.

    `base_url` may carry a query (Azure's `?api-version=`), which then goes with every request. `auth_style` says which
    header takes the key: `Authorization: Bearer`, `api-key`, or neither. `total_seconds` bounds a whole reading call,
    `cancel_seconds` a whole cancel, from the name look-up to the last byte. `max_bytes` bounds one answer, unpacked.
    A file may be larger and take `file_seconds`, as long as no `read_seconds` go by without a byte.
    """

    base_url: str
    key: str = field(default="", repr=False)
    batches_path: str = "batches"
    auth_style: Literal["bearer", "api-key", "none"] = "bearer"
    organization: str = field(default="", repr=False)
    project: str = field(default="", repr=False)
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    allow_private: bool = True
    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    total_seconds: float = 60.0
    cancel_seconds: float = 8.0
    file_seconds: float = 3_600.0
    max_bytes: int = 32 * 1024 * 1024


class Dialect(Protocol):
    """How a vendor speaks. Every call raises `VendorError` and nothing else; an object serves one thread at a time."""

    name: str

    def list_batches(self, after: str | None = None, limit: int = 100) -> RemotePage:
        """One page, newest first where the vendor keeps to that, starting behind the cursor `after`."""
        ...

    def retrieve(self, remote_id: str) -> RemoteBatch:
        """One batch as it is now."""
        ...

    def cancel(self, remote_id: str) -> RemoteBatch:
        """Ask the vendor to cancel, once: never retried, and never by DELETE, which erases the batch at some vendors.

        The answer is the batch as the vendor then saw it, mostly "cancelling".
        """
        ...

    def describe_file(self, file_id: str) -> RemoteFileInfo:
        """What the vendor says of a file."""
        ...

    def open_file(
        self, file_id: str, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[RemoteContent]:
        """A file's bytes, for as long as the block lasts: from `offset` on, `length` of them where the server gives
        parts. Reading the chunks raises VendorError too. Nothing else may be asked meanwhile."""
        ...

    def read_result(self, raw: bytes | None, number: int) -> ResultLine | Unreadable:
        """What a line of an output or error file says. Never raises."""
        ...

    def close(self) -> None:
        """Let go of the connections. A closed dialect cannot be used again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
