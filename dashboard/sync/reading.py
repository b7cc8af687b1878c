"""Reads one output or error file into results and error groups, in the memory of a thousand lines.

What a block of lines came to is written in one transaction with the place where the next one begins, so that a killed
worker's successor goes on there. Nothing of it shows until the whole file is read; then all of it does.
"""

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from dashboard.dialects.base import VendorError
from dashboard.dialects.jsonl import Line, lines_of
from dashboard.dialects.lines import ResultLine
from dashboard.models import Batch, Connection, FileKind, FileRead, RemoteFile
from dashboard.models.connection import raise_revision
from dashboard.sync import files, inputs
from dashboard.sync.concerns import look_again
from dashboard.sync.files import State, begin_again
from dashboard.sync.grouping import Grouper, met_in, publish_errors, words_of
from dashboard.sync.held import CannotTell, Capped, NotYet, Reading, ReadLost, Stopped, note_file
from dashboard.sync.vendor import KeyUnavailable, open_vendor

logger = logging.getLogger(__name__)

BLOCK = 1_000  # lines in one transaction, some 0.1 s
MOST_LINES = 50_000  # no batch has more requests
# In a row, without a block between them.
MOST_FAILURES = 6
LONGEST_BACKOFF = 900
LOOK_AGAIN = timedelta(seconds=15)
# What the connection's own sync complains of too: waited for, however long that takes.
NOT_THE_FILES = {"bad_key", "key_lost", "key_missing", "rate_limited"}
# These every other file of the connection would meet as well, so none of them is asked for meanwhile.
OF_ALL_FILES = NOT_THE_FILES | {"forbidden"}
# Perhaps the file's fault and perhaps the vendor's, which may last: the others wait a moment, and tries go on for so
# long after the first.
OUTAGES = {"server_error", "timeout", "unreachable"}
BREATH = timedelta(seconds=15)
GIVE_UP = timedelta(hours=24)
COUNTED = ("lines", "bad_lines", "succeeded", "failed", "never_ran")
INSERT = (
    'INSERT INTO dashboard_result (read_id, line, "offset", length, custom_id, state, group_id, http_status,'
    " request_id, words, tokens_input, tokens_output) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


class _Changed(Exception):
    """The file is not the one of which we read the beginning."""


def read_file(read_id: int, *, stop: Callable[[], bool] = lambda: False) -> FileRead | None:
    """Read a wanted file now; None when it was not ours to read. Never raises for what a vendor does."""
    token = files.claim(read_id)
    if not token:
        return None
    read = FileRead.objects.select_related("batch__connection").get(pk=read_id)
    try:
        with open_vendor(read.batch.connection) as vendor:
            reading = Reading(read, vendor, token, stop)
            if read.kind == FileKind.INPUT:
                inputs.compare(reading)
            else:
                _read(reading)
    except Stopped:
        _release(read, token, next_try_at=timezone.now())
    except NotYet:
        _release(read, token, next_try_at=timezone.now() + LOOK_AGAIN)
    except CannotTell:
        _end(read, token, State.FAILED, {"error_kind": "not_comparable"})
    except ReadLost:
        logger.info("%s: somebody else reads it now", read)
        return None
    except KeyUnavailable as error:
        _failed(read, token, error.kind)
    except VendorError as error:
        logger.info("%s: %s", read, error)
        if error.kind == "not_found":
            _gone(read, token)
        else:
            _failed(read, token, error.kind, error.words, error.retry_after)
    except Exception:
        # A defect of ours must not leave the file claimed or be tried for ever.
        logger.exception("%s: reading broke", read)
        _failed(read, token, "defect")
    # Nothing is left of it when the history of its connection was dropped meanwhile.
    return FileRead.objects.select_related("batch__connection").filter(pk=read_id).first()


def _read(reading: Reading) -> None:
    read = reading.read
    before = read.size
    note_file(reading)
    if read.offset and before is not None and read.size != before:
        with transaction.atomic():
            reading.hold()
            begin_again(read)
    try:
        _stream(reading)
    except _Changed:
        logger.info("%s: its beginning is not what it was; it is read from the start", read)
        with transaction.atomic():
            reading.hold()
            begin_again(read)
        _stream(reading)
    _publish(reading)


@dataclass(slots=True)
class _Block:
    """What some lines come to, and where the last one ends."""

    read_id: int
    last_line: int
    offset: int
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    lines: int = 0
    bad_lines: int = 0
    succeeded: int = 0
    failed: int = 0
    never_ran: int = 0


def _stream(reading: Reading) -> None:
    """Count every line from where the last reader stopped."""
    read, grouper = reading.read, Grouper.of(reading.read)
    block = _Block(read.pk, read.last_line, read.offset)
    with reading.vendor.open_file(read.file_id, 0 if read.is_packed else read.offset) as content:
        begins_at = content.begins_at
        chunks = _begun(reading, reading.paced(content.chunks, begins_at), at_start=not begins_at)
        try:
            for line in _rest(read, chunks, begins_at):
                if read.lines + block.lines >= MOST_LINES:
                    raise Capped
                _count(block, line, reading, grouper)
                if block.lines >= BLOCK:
                    block = _save(reading, block)
                    if reading.stop():
                        raise Stopped
            _save(reading, block)
        except (Capped, VendorError) as error:
            # What unpacks to more than is read has a cap too: trying again would end in the same place.
            if isinstance(error, VendorError) and error.kind != "too_large":
                raise
            _save(reading, block)
            reading.hold(is_capped=True)
            return
        # A part that is shorter than what was asked for, or an end that looks like a cut.
        size = content.size or (read.size if content.ends_unmarked else None)
        if size is not None and reading.came < size:
            raise VendorError("unreachable", detail=f"{reading.came} of {size} bytes came")


def _begun(reading: Reading, chunks: Iterator[bytes], *, at_start: bool) -> Iterator[bytes]:
    """The chunks, after a look at whether the file is gzip."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) > 1:
            break
    if at_start and head.startswith(b"\x1f\x8b") and not reading.read.is_packed:
        reading.hold(is_packed=True)
    yield head
    yield from chunks


def _rest(read: FileRead, chunks: Iterator[bytes], begins_at: int) -> Iterator[Line]:
    """The lines that have not been counted yet. Raises _Changed when those that have been are not the same any more."""
    if begins_at or not read.offset:
        yield from lines_of(chunks, number=read.last_line, offset=begins_at)
        return
    passed = (0, 0)
    for line in lines_of(chunks):
        if line.end <= read.offset:
            passed = (line.number, line.end)
            continue
        if passed != (read.last_line, read.offset):
            raise _Changed
        yield line
    if passed[1] < read.offset:
        raise _Changed


def _count(block: _Block, line: Line, reading: Reading, grouper: Grouper) -> None:
    begin, block.offset, block.last_line = block.offset, line.end, line.number
    block.lines += 1
    found = reading.vendor.read_result(line.raw, line.number)
    if not isinstance(found, ResultLine):
        block.bad_lines += 1
        return
    group, words = None, ""
    if found.ended == "succeeded":
        block.succeeded += 1
        if reading.read.kind != FileKind.ERROR and not reading.read.asked_by:
            return
    else:
        group, words = grouper.group_of(found.status, found.name, found.message), words_of(found)
        if found.ended == "failed":
            block.failed += 1
        else:
            block.never_ran += 1
    block.rows.append(
        (
            block.read_id,
            line.number,
            begin,
            line.end - begin,
            found.custom_id or "",
            found.ended,
            group,
            found.status,
            found.request_id,
            words,
            found.tokens_input,
            found.tokens_output,
        )
    )


def _save(reading: Reading, block: _Block) -> _Block:
    """Write a block and where the next one begins, both or neither; the next block."""
    read = reading.read
    if block.lines:
        sums = {name: getattr(read, name) + getattr(block, name) for name in COUNTED}
        with transaction.atomic():
            reading.hold(offset=block.offset, last_line=block.last_line, failures=0, **sums)
            if block.rows:
                with database.cursor() as cursor:
                    cursor.executemany(INSERT, block.rows)
    return _Block(read.pk, block.last_line, block.offset)


def _publish(reading: Reading) -> None:
    """Show what was read, all at once, in the place of what was read before."""
    read = reading.read
    batch, now = read.batch, timezone.now()
    met = met_in(read)
    source = files.SOURCES[FileKind(read.kind)]
    with transaction.atomic():
        revision = raise_revision(batch.connection_id)
        reading.hold(state=State.READ, ended_at=now, error_kind="", error_words="")
        batch = Batch.objects.select_related("connection").get(pk=batch.pk)
        publish_errors([(batch, met)], source, revision)
        files.note_outcome(batch)
        if read.kind == FileKind.ERROR:
            files.wish_after(batch, read, now)
        files.wish_renamed(batch, read, now)
        if any(sample["custom_id"] for one in met.values() for sample in one.samples):
            files.wish_for(batch, FileKind.INPUT, now)
        FileRead.objects.filter(pk=read.pk).update(claim_token="", claim_until=None)
        look_again([batch.pk], now)
    files.drop_older(read)


def _release(read: FileRead, token: str, **columns: object) -> bool:
    held = FileRead.objects.filter(pk=read.pk, claim_token=token)
    return bool(held.update(claim_token="", claim_until=None, **columns))


def _failed(read: FileRead, token: str, kind: str, words: str = "", retry_after: float | None = None) -> None:
    """Say why, and when it is tried again; after some tries never, unless somebody asks."""
    now = timezone.now()
    row = FileRead.objects.filter(pk=read.pk, claim_token=token).values_list("failures", "began_at").first()
    if row is None:
        return
    failures, began_at = row[0] + 1, row[1] or now
    wait = min(LONGEST_BACKOFF, 15.0 * 2 ** min(failures, 10)) * random.uniform(0.8, 1.0)  # noqa: S311 (jitter)
    again_at = now + timedelta(seconds=retry_after or wait)
    columns: dict[str, object] = {
        "failures": failures,
        "error_kind": kind,
        "error_words": words,
        "next_try_at": again_at,
    }
    if kind in OF_ALL_FILES | OUTAGES:
        until = again_at if kind in OF_ALL_FILES else now + BREATH
        Connection.objects.filter(pk=read.batch.connection_id).update(reads_wait_until=until)
    too_often = failures >= MOST_FAILURES and kind not in NOT_THE_FILES
    if too_often and (kind not in OUTAGES or now - began_at > GIVE_UP):
        _end(read, token, State.FAILED, columns)
    else:
        _release(read, token, **columns)


def _gone(read: FileRead, token: str) -> None:
    """404: expired or deleted at the vendor. What an earlier read has found stays."""
    now = timezone.now()
    file, _made = RemoteFile.objects.get_or_create(
        connection=read.batch.connection, file_id=read.file_id, defaults={"seen_at": now}
    )
    RemoteFile.objects.filter(pk=file.pk).update(gone_at=Coalesce("gone_at", now))
    _end(read, token, State.GONE, {"error_kind": "file_gone"})


def _end(read: FileRead, token: str, state: State, columns: dict[str, object]) -> None:
    """Without a result that shows. What was read before stays, and what was read now goes."""
    if not FileRead.objects.filter(pk=read.pk, claim_token=token).exists():
        return
    with transaction.atomic():
        revision = raise_revision(read.batch.connection_id)
        now = timezone.now()
        if not _release(read, token, state=state, ended_at=now, **columns):
            return
        Batch.objects.filter(pk=read.batch_id).update(revision=revision)
        batch = Batch.objects.get(pk=read.batch_id)
        if read.kind == FileKind.ERROR and not FileRead.objects.published(batch, read.kind):
            # It explains nothing; perhaps the output does.
            files.wish_after(batch, FileRead(batch=batch, kind=read.kind), now)
        files.wish_renamed(batch, read, now)
        look_again([read.batch_id], now)
    files.drop_results(Q(read=read.pk))
