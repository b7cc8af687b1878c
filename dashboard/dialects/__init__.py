"""How a vendor speaks: HTTP in, `RemoteBatch` out. Knows neither Django nor anything else of the dashboard.

A new dialect is a file here, a line in `DIALECTS`, payload files in `tests/payloads/<name>/`, and a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from .base import (
    KINDS,
    REASONS,
    STATUSES,
    Address,
    Dialect,
    Kind,
    Reason,
    RefusedRecord,
    RemoteBatch,
    RemoteContent,
    RemoteError,
    RemoteFileInfo,
    RemotePage,
    Status,
    VendorError,
)
from .guard import FLAWS, BadAddress, Flaw, check_base_url
from .jsonl import LONGEST_LINE, Line, lines_of
from .lines import ENDED, LINE_REASONS, Ended, LineReason, ResultLine, Unreadable, read_line
from .openai import OpenAI
from .scrub import scrub


class Entry(NamedTuple):
    """A dialect's label, as shown in the connection form, and what opens it."""

    label: str
    open: Callable[[Address], Dialect]


DIALECTS: Final[dict[str, Entry]] = {
    "openai": Entry("OpenAI Batch API", OpenAI),
}


def open_dialect(name: str, address: Address) -> Dialect:
    """The dialect `name` at `address`; close it, or use it in a `with`.

    Raises KeyError for a name that is not in `DIALECTS`, VendorError (address_refused, cannot_be_sent) for an address
    or a key that cannot be used at all. Nothing is sent yet.
    """
    return DIALECTS[name].open(address)


__all__ = [
    "DIALECTS",
    "ENDED",
    "FLAWS",
    "KINDS",
    "LINE_REASONS",
    "LONGEST_LINE",
    "REASONS",
    "STATUSES",
    "Address",
    "BadAddress",
    "Dialect",
    "Ended",
    "Entry",
    "Flaw",
    "Kind",
    "Line",
    "LineReason",
    "Reason",
    "RefusedRecord",
    "RemoteBatch",
    "RemoteContent",
    "RemoteError",
    "RemoteFileInfo",
    "RemotePage",
    "ResultLine",
    "Status",
    "Unreadable",
    "VendorError",
    "check_base_url",
    "lines_of",
    "open_dialect",
    "read_line",
    "scrub",
]
