"""What the headers of an answer say: when to come again, the vendor's clock, which part of a file it holds."""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

LONGEST_WAIT: Final = 3_600.0
"""Seconds: a vendor that asks for more is asked again after an hour all the same."""


def retry_after(headers: httpx.Headers, now: float) -> float | None:
    """How long the vendor asks to wait, in seconds from 0 to an hour; None when it does not say.

    Read in the order of the official SDK: `retry-after-ms`, then `retry-after` as seconds or as a date, which is
    compared with the vendor's own clock when the answer has one. `now` is unix seconds.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if not math.isnan(seconds):
            return min(max(seconds, 0.0), LONGEST_WAIT)
    until = _date(headers.get("retry-after", ""))
    if until is None:
        return None
    vendor_now = clock(headers)
    return min(max(until - (now if vendor_now is None else vendor_now), 0.0), LONGEST_WAIT)


def clock(headers: httpx.Headers) -> int | None:
    return _date(headers.get("date", ""))


def _date(text: str) -> int | None:
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def is_past_the_end(response: httpx.Response) -> bool:
    """Whether a part was asked for that begins exactly where the file ends (416, with the size)."""
    if response.status_code != 416:
        return False
    size = re.fullmatch(r"bytes \*/(\d{1,18})", response.headers.get("content-range", ""))
    return bool(size and response.request.headers.get("range", "").startswith(f"bytes={size[1]}-"))


def part_of(response: httpx.Response) -> tuple[int | None, int | None]:
    """Where in the file an answer begins, None when nobody can tell, and the size of the whole file, where it is said.

    A part that was packed for the way is a part of the packed file: it is of no use.
    """
    said, is_packed = response.headers.get("content-range", ""), "content-encoding" in response.headers
    if response.status_code == 416:
        size = int(said.rpartition("/")[2])
        return size, size
    if response.status_code == 206:
        part = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", said)
        if part is None or is_packed:
            return None, None
        return int(part[1]), None if part[2] == "*" else int(part[2])
    length = response.headers.get("content-length", "")
    return 0, int(length) if length.isdecimal() and not is_packed else None
