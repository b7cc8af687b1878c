"""Thousands of failures into the few errors that they come down to, and what follows from those: samples, days, the
worst error of a batch. Everything here is made anew from rows, so that a kill in between changes nothing."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection as database
from django.db.models import Count, F, Max, Min, Sum, Window
from django.db.models.functions import RowNumber, TruncDate

from dashboard.dialects import scrub
from dashboard.dialects.lines import ResultLine
from dashboard.insight.retry import is_retryable
from dashboard.insight.signature import signature_of
from dashboard.models import Batch, BatchError, ErrorDay, ErrorGroup, FileRead, Result

Source = BatchError.Source
SAMPLES = 5
# Beyond so many different errors in one file its messages are told apart no more, only their statuses.
MOST_GROUPS = 200
_MOST_SHAPES = 4_096


class Grouper:
    """Finds the group of each failure of a file, making those that are new. `at` is when its batch ended."""

    def __init__(self, at: datetime, known: Iterable[tuple[str, int]] = ()) -> None:
        self.at = at
        self._groups = dict(known)  # signature to number
        self._plain: dict[tuple[int | None, str, bytes], int] = {}
        self._exact: dict[tuple[int | None, str, bytes], int] = {}

    @classmethod
    def of(cls, read: FileRead) -> "Grouper":
        """Goes on where an earlier reader of the file stopped, so that the same lines end in the same groups."""
        met = Result.objects.filter(read=read).exclude(group=None).values("group").distinct()
        return cls(ended_at(read.batch), ErrorGroup.objects.filter(pk__in=met).values_list("signature", "pk"))

    def group_of(self, status: int | None, name: str, message: str) -> int:
        """The group's number. To normalise a message costs a hundred times what all else of its line does, and most
        differ in numbers alone: those are looked up by what they have in common."""
        raw = message.encode(errors="surrogatepass")
        plain = (status, name, raw.translate(_TO_ZERO))
        if (group := self._plain.get(plain)) is not None:
            return group
        exact = (status, name, told_apart(raw))
        if (group := self._exact.get(exact)) is None:
            group = self._find(status, name, message)
            _keep(self._exact, exact, group)
        if not _telling(plain[2]):
            _keep(self._plain, plain, group)
        return group

    def _find(self, status: int | None, name: str, message: str) -> int:
        signature = signature_of(status, name, message)
        if signature.key not in self._groups and len(self._groups) >= MOST_GROUPS:
            signature, name = signature_of(status, "", ""), ""
        if signature.key not in self._groups:
            group, _made = ErrorGroup.objects.get_or_create(
                signature=signature.key,
                defaults={
                    "http_status": status,
                    "code": name[:200],
                    "message": signature.message[:600],
                    "retry": is_retryable(status, name, message).reason,
                    "first_seen_at": self.at,
                    "last_seen_at": self.at,
                },
            )
            self._groups[signature.key] = group.pk
        return self._groups[signature.key]


_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_ZEROS = re.compile(rb"0+")
_UNIT = re.compile(rb"(?:ms|us|s|m|h|d)(?![A-Za-z])")
_OF_NAMES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_'\"`<")
_LONG_RUN = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Za-z]{20,}+")


def told_apart(raw: bytes) -> bytes:
    """What messages with the same signature may have in common, and no two with different ones do: without ids, and
    without numbers that stand alone."""
    raw = _LONG_RUN.sub(_without_id, raw)
    zeros = raw.translate(_TO_ZERO)
    return b"\0".join([zeros, *(raw[start:end] for start, end in _telling(zeros))])


def _telling(zeros: bytes) -> list[tuple[int, int]]:
    """Where a message whose digits are all zeros has some that may tell errors apart: parts of a name ("base64", but
    not "20s"), and what may be a status."""
    spans = [match.span() for match in _ZEROS.finditer(zeros)]
    return [
        (start, end)
        for start, end in spans
        if end - start == 3
        or (start and zeros[start - 1] in _OF_NAMES)
        or (end < len(zeros) and zeros[end] in _OF_NAMES and not _UNIT.match(zeros, end))
    ]


def _without_id(match: re.Match[bytes]) -> bytes:
    """Letters and as many digits among them are an id, whichever they are."""
    run = match[0]
    digits = len(run) - len(run.translate(None, b"0123456789"))
    return b"<id>" if 4 <= digits < len(run) else run


def _keep(known: dict[tuple[int | None, str, bytes], int], shape: tuple[int | None, str, bytes], group: int) -> None:
    if len(known) >= _MOST_SHAPES:
        known.clear()
    known[shape] = group


@dataclass(slots=True)
class Met:
    """How often a file met an error."""

    requests: int = 0
    first_line: int | None = None
    last_line: int | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)


def words_of(line: ResultLine) -> str:
    """The vendor's own words, as they are kept; already scrubbed."""
    return line.message[:500] or line.name


def met_in(read: FileRead) -> dict[int, Met]:
    """What the results of a file come to, by group."""
    failing = Result.objects.filter(read=read).exclude(group=None)
    met = {
        group: Met(requests, first, last)
        for group, requests, first, last in failing.values_list("group").annotate(Count("pk"), Min("line"), Max("line"))
    }
    place = Window(RowNumber(), partition_by=[F("group")], order_by=F("line").asc())
    first = failing.annotate(place=place).filter(place__lte=SAMPLES).values_list("pk", flat=True)
    samples = Result.objects.filter(pk__in=list(first)).order_by("line")
    for group, custom_id, line, words in samples.values_list("group", "custom_id", "line", "words"):
        met[group].samples.append({"custom_id": custom_id, "line": line, "input_line": None, "words": words})
    return met


type Found = Sequence[tuple[Batch, dict[int, Met]]]
"""Batches of one connection, with what one source met of each."""


def publish_errors(found: Found, source: str, revision: int) -> None:
    """Put what one kind of file (or the batches' own errors) met in the place of what was known from it before.

    To be called in a transaction that has raised the connection's revision, which locks its row.
    """
    batches = [batch for batch, _met in found]
    connection_id = batches[0].connection_id
    old = BatchError.objects.filter(batch__in=batches, source=source)
    touched = {(group, _day(at)) for group, at in old.values_list("group", "at")}
    # The numbers of input lines were found at a cost; they hold for as long as the samples are the same.
    lines = _input_lines(old.values_list("batch", "samples"))
    new: list[BatchError] = []
    for batch, met in found:
        for group, one in sorted(met.items()):
            for sample in one.samples:
                sample["input_line"] = sample["input_line"] or lines.get((batch.pk, sample["custom_id"]))
            new.append(
                BatchError(
                    batch=batch,
                    group_id=group,
                    connection_id=connection_id,
                    source=source,
                    requests=one.requests,
                    first_line=one.first_line,
                    last_line=one.last_line,
                    samples=one.samples,
                    at=ended_at(batch),
                )
            )
    old.delete()
    BatchError.objects.bulk_create(new)
    _note_seen(new)
    make_days(connection_id, touched | {(one.group_id, _day(one.at)) for one in new})
    _note_worst(batches, revision)


def _note_worst(batches: Sequence[Batch], revision: int) -> None:
    worst: dict[int, tuple[int, int]] = {}
    sums = BatchError.objects.filter(batch__in=batches).values_list("batch", "group").annotate(requests=Sum("requests"))
    for batch, group, requests in sums.order_by("requests", "-group"):
        worst[batch] = group, requests
    with database.cursor() as cursor:
        cursor.executemany(
            "UPDATE dashboard_batch SET worst_error_id = %s, worst_requests = %s, revision = %s WHERE id = %s",
            [(*worst.get(one.pk, (None, 0)), revision, one.pk) for one in batches],
        )


def ended_at(batch: Batch) -> datetime:
    return batch.finished_at or batch.ordered_at


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _input_lines(samples: Iterable[tuple[int, list[dict[str, Any]]]]) -> dict[tuple[int, str], int]:
    return {
        (batch, one["custom_id"]): one["input_line"]
        for batch, some in samples
        for one in some
        if one["custom_id"] and one["input_line"]
    }


def _note_seen(errors: Sequence[BatchError]) -> None:
    """When each error was first and last seen, by when its batches ended."""
    times: dict[int, list[datetime]] = {}
    for error in errors:
        times.setdefault(error.group_id, []).append(error.at)
    # Locked in one order: two connections may meet the same errors at once.
    changed = []
    for group in ErrorGroup.objects.select_for_update().filter(pk__in=times).order_by("pk"):
        first, last = min(times[group.pk]), max(times[group.pk])
        if first < group.first_seen_at or last > group.last_seen_at:
            group.first_seen_at, group.last_seen_at = min(group.first_seen_at, first), max(group.last_seen_at, last)
            changed.append(group)
    ErrorGroup.objects.bulk_update(changed, ["first_seen_at", "last_seen_at"])


def make_days(connection_id: int, touched: Collection[tuple[int, date]]) -> None:
    """Count errors anew, on the days on which something of them has changed."""
    if not touched:
        return
    groups, days = {group for group, _day in touched}, {day for _group, day in touched}
    ErrorDay.objects.filter(connection=connection_id, day__in=days, group__in=groups).delete()
    begin = datetime.combine(min(days), time.min, UTC)
    end = datetime.combine(max(days), time.min, UTC) + timedelta(days=1)
    met = (
        BatchError.objects.filter(connection=connection_id, group__in=groups, at__gte=begin, at__lt=end)
        .annotate(day=TruncDate("at", tzinfo=UTC))
        .filter(day__in=days)
        .values_list("group", "day")
        .annotate(Count("batch", distinct=True), Sum("requests"))
    )
    ErrorDay.objects.bulk_create(
        ErrorDay(connection_id=connection_id, group_id=group, day=day, batches=batches, requests=requests)
        for group, day, batches, requests in met
    )


def note_validation(batches: Sequence[Batch]) -> None:
    """Group what the batches' own `errors` say: why their check failed, with the line of the input file.

    To be called in absorb's transaction, which holds the connection's row; the rows have its new revision.
    """
    if not batches:
        return
    said = {batch.pk: [_said(error) for error in batch.errors] for batch in batches}
    grouper = Grouper(ended_at(batches[0]))
    # Made in one order, whoever else meets the same errors now.
    different = {(code, words) for errors in said.values() for code, words, _line in errors}
    for code, words in sorted(different, key=lambda one: signature_of(None, *one).key):
        grouper.group_of(None, code, words)
    found: list[tuple[Batch, dict[int, Met]]] = []
    for batch in batches:
        met: dict[int, Met] = {}
        for code, words, line in said[batch.pk]:
            one = met.setdefault(grouper.group_of(None, code, words), Met())
            one.requests += 1
            if line is not None:
                one.first_line = line if one.first_line is None else min(one.first_line, line)
                one.last_line = line if one.last_line is None else max(one.last_line, line)
            if len(one.samples) < SAMPLES:
                one.samples.append({"custom_id": "", "line": None, "input_line": line, "words": words or code})
        found.append((batch, met))
    publish_errors(found, Source.VALIDATION, max(batch.revision for batch in batches))


def _said(error: dict[str, Any]) -> tuple[str, str, int | None]:
    """Code, scrubbed words and input line of an entry of a batch's `errors`, which absorb wrote."""
    return str(error.get("code") or ""), scrub(str(error.get("message") or "")), error.get("line")
