"""What only the input file tells: on which of its lines a failed request stood, and which requests nobody answered."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from dashboard.dialects.base import VendorError
from dashboard.dialects.jsonl import lines_of
from dashboard.models import Batch, BatchError, FileKind, FileRead, Result
from dashboard.models.connection import raise_revision
from dashboard.sync import files
from dashboard.sync.concerns import look_again
from dashboard.sync.held import MOST_BYTES, CannotTell, Capped, NotYet, Reading, Stopped, note_file

MISSING_SHOWN = 100
# Only to find the samples' lines, less is spent.
MOST_UNASKED = 64 << 20
STOP_EVERY = 1_000  # lines


class _Request(msgspec.Struct, gc=False):
    custom_id: str | int | None = None


_decode = msgspec.json.Decoder(_Request).decode


def custom_id_of(raw: bytes | None) -> str | None:
    """The custom_id of an input line; None when it cannot be read."""
    try:
        custom_id = None if raw is None else _decode(raw).custom_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if custom_id is None else str(custom_id)


@dataclass(slots=True)
class _Found:
    """What an input file told so far."""

    total: int = 0
    lines: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    missing_ids: list[str] = field(default_factory=list)
    is_capped: bool = False


def compare(reading: Reading) -> None:
    """Read an input file against the results: for the samples' lines, and, if somebody asked, for what is missing."""
    read, batch = reading.read, reading.read.batch
    answered = _answered(batch) if read.asked_by else None
    wanted = _samples_without_line(batch)
    note_file(reading)
    found = _Found()
    try:
        _stream(reading, wanted, answered, found)
    except Capped:
        found.is_capped = True
    except VendorError as error:
        if error.kind != "too_large":
            raise
        found.is_capped = True
    _publish(reading, found, asked=answered is not None)


def _stream(reading: Reading, wanted: set[str], answered: set[str] | None, found: _Found) -> None:
    most = MOST_UNASKED if answered is None else MOST_BYTES
    with reading.vendor.open_file(reading.read.file_id) as content:
        for line in lines_of(reading.paced(content.chunks, most=most)):
            if answered is None and len(found.lines) == len(wanted):
                return
            found.total += 1
            if found.total % STOP_EVERY == 0 and reading.stop():
                raise Stopped
            custom_id = custom_id_of(line.raw)
            if custom_id in wanted:
                found.lines.setdefault(custom_id, line.number)
            if answered is not None and custom_id is not None and custom_id not in answered:
                found.missing += 1
                if len(found.missing_ids) < MISSING_SHOWN:
                    found.missing_ids.append(custom_id)


def _answered(batch: Batch) -> set[str]:
    """The custom_ids of every result. Raises NotYet while one of the files has to be read first, CannotTell when one
    of them could not be."""
    ids: set[str] = set()
    for kind in (FileKind.ERROR, FileKind.OUTPUT):
        if not files.file_id_of(batch, kind):
            continue
        if FileRead.objects.open().filter(batch=batch, kind=kind).exists():
            raise NotYet
        if not files.is_listed(batch, kind, timezone.now()):
            raise CannotTell
        read = FileRead.objects.published(batch, kind)
        if read is None or read.is_capped:
            # What stands behind the cap would be called missing.
            raise CannotTell
        ids.update(Result.objects.filter(read=read).values_list("custom_id", flat=True).iterator())
    return ids


def _samples_without_line(batch: Batch) -> set[str]:
    samples = BatchError.objects.filter(batch=batch).values_list("samples", flat=True)
    return {one["custom_id"] for some in samples for one in some if one["custom_id"] and not one["input_line"]}


def _publish(reading: Reading, found: _Found, *, asked: bool) -> None:
    read, batch = reading.read, reading.read.batch
    told: dict[str, Any] = {"lines": found.total, "is_capped": found.is_capped}
    if asked:
        told |= {"missing": found.missing, "missing_ids": found.missing_ids}
    now = timezone.now()
    with transaction.atomic():
        revision = raise_revision(batch.connection_id)
        reading.hold(state=FileRead.State.READ, ended_at=now, error_kind="", error_words="", **told)
        errors = list(BatchError.objects.filter(batch=batch))
        for error in errors:
            for sample in error.samples:
                sample["input_line"] = sample["input_line"] or found.lines.get(sample["custom_id"])
        BatchError.objects.bulk_update(errors, ["samples"])
        Batch.objects.filter(pk=batch.pk).update(revision=revision)
        FileRead.objects.filter(pk=read.pk).update(claim_token="", claim_until=None)
        look_again([batch.pk], now)
    files.drop_older(read)
