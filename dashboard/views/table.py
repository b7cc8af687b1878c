"""Rows as a file that streams: CSV for spreadsheets, JSON for programs, as lines or as one array."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.http import Http404, StreamingHttpResponse
from django.utils.http import content_disposition_header

TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8", "json": "application/json"}
# A spreadsheet runs what begins with one of these; the full-width ones count as much, and what cannot be seen before
# them does not.
_RUN = "=+\\-@＝＋－＠|%"
_UNSEEN = "\\s\\x00-\\x1f\\x7f-\\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
FORMULA = re.compile(f"[{_UNSEEN}]*[{_RUN}]|[\\t\\r\\n]")
# In many countries a spreadsheet takes ; for the end of a cell, also in a quoted one that is not the first.
INSIDE = re.compile(f'([;\\t\\r\\n][{_UNSEEN}"]*)(?=[=+@＝＋＠])')


class _Line:
    """What csv.writer writes to: hands each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def streamed(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: str, name: str) -> StreamingHttpResponse:
    """An attachment of that name. Nothing is held in memory but a row."""
    if form not in TYPES:
        raise Http404
    lines = LINES[form](columns, rows)
    response = StreamingHttpResponse((line.encode(errors="replace") for line in lines), content_type=TYPES[form])
    response["Content-Disposition"] = content_disposition_header(True, f"{name}.{form}") or "attachment"
    return response


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    writer = csv.writer(_Line(), lineterminator="\r\n")
    yield "\ufeff" + writer.writerow(columns)
    for row in rows:
        yield writer.writerow([cell(value) for value in row])


def json_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(dict(zip(columns, map(plain, row), strict=True)), ensure_ascii=False) + "\n"


def json_array(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """What is called .json is one value that any program reads, and still comes row by row."""
    before = "[\n"
    for line in json_lines(columns, rows):
        yield f"{before}{line.rstrip()}"
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


LINES = {"csv": csv_lines, "jsonl": json_lines, "json": json_array}


def plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def cell(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets a quotation mark before it, and shows as it is."""
    value = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else plain(value)
    if not isinstance(value, str):
        return "" if value is None else value
    value = INSIDE.sub(r"\1'", value.replace("\0", ""))
    return f"'{value}" if FORMULA.match(value) else value
