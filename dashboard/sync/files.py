"""Which files of a batch are worth reading, and the wishes to read them.

A wish is a row, so a killed worker loses nothing; `reading.py` fulfils it. Files of batches with failures are wished
for by absorb, in the transaction that brought the batch; any other when somebody asks.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, Value, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from dashboard.dialects.base import RemoteBatch
from dashboard.insight.account import failed_in
from dashboard.insight.outcome import outcome_of
from dashboard.models import Batch, BatchError, Connection, FileKind, FileRead, Result, flow
from dashboard.models.batch import TERMINAL, Status, recount
from dashboard.models.connection import ConnectionQuerySet, raise_revision
from dashboard.models.flow import quarter_of
from dashboard.sync.columns import counts_of
from dashboard.sync.grouping import note_validation, publish_errors

State = FileRead.State
CLAIM_LIFE = timedelta(minutes=2)
# Of what a first import finds only this is looked into by itself; other files are read when somebody asks.
FRESH = timedelta(days=14)
# How long the requests that succeeded stay listed after somebody has asked for an output file.
OUTPUT_KEPT = timedelta(hours=1)
# As what the failures of a file are counted.
SOURCES = {FileKind.ERROR: BatchError.Source.ERROR, FileKind.OUTPUT: BatchError.Source.OUTPUT}
ROWS_AT_ONCE = 5_000  # deleted in one transaction, some 0.1 s
MOST_ROWS = 100_000  # deleted in one sweep


class NoFile(Exception):
    """The batch has no such file."""


def file_id_of(batch: Batch, kind: str) -> str:
    """The vendor's id of one of a batch's files; empty when it has none."""
    return {
        FileKind.INPUT: batch.input_file_id,
        FileKind.OUTPUT: batch.output_file_id,
        FileKind.ERROR: batch.error_file_id,
    }[FileKind(kind)]


def has_trouble(batch: Batch | RemoteBatch) -> bool:
    """Whether something of an ended batch failed, may have failed, or never ran."""
    total, completed, failed = batch.requests_total, batch.requests_completed, batch.requests_failed
    if batch.status not in TERMINAL:
        return False
    if batch.status in (Status.EXPIRED, Status.CANCELLED) or failed is None or failed > 0:
        return True
    # A vendor that counts no failure and yet wrote an error file has counted wrongly, or the file is empty and small.
    return bool(batch.error_file_id) or (total is not None and (completed or 0) + failed < total)


def wanted_files(batch: Batch, error_read: FileRead | None = None) -> list[FileKind]:
    """The files to read without anybody asking. `error_read` is what came of the error file, once it was read."""
    if not has_trouble(batch) or batch.gone_at is not None:
        return []
    if error_read is not None:
        # Some servers put failed lines into the output. What a cap hid explains itself.
        is_explained = error_read.is_capped or explains(batch, error_read)
        return [FileKind.OUTPUT] if batch.output_file_id and not is_explained else []
    if batch.error_file_id:
        return [FileKind.ERROR]
    # Without counts there is no reason to think that an output, which may be large, holds failures.
    is_counted = batch.requests_failed is not None or unfinished(batch) is not None
    return [FileKind.OUTPUT] if batch.output_file_id and is_counted else []


def unfinished(batch: Batch) -> int | None:
    """Requests that did not complete, failed or not; None when the vendor does not say."""
    if batch.requests_total is None or batch.requests_completed is None:
        return None
    return max(0, batch.requests_total - batch.requests_completed)


def explains(batch: Batch, read: FileRead) -> bool:
    """Whether an error file has a line for everything that failed by the vendor's counts."""
    failed, left = batch.requests_failed or 0, unfinished(batch) or 0
    if batch.status == Status.COMPLETED:
        # All of them had their turn, so what is not completed has failed, whether it is counted or not.
        return read.failed + read.never_ran >= max(failed, left)
    # Lines that never ran stand for what is neither completed nor failed; only what is left of them for failures.
    return read.failed + max(0, read.never_ran - max(0, left - failed)) >= failed


def is_news(remote: RemoteBatch, ended_at: int | None, second: int, *, is_import: bool) -> bool:
    """Whether an ended batch, as it came, is worth a look at its errors; asked for each of a hundred thousand."""
    holds_errors = bool(remote.errors) and remote.status in TERMINAL
    if not holds_errors and not (has_trouble(remote) and (remote.error_file_id or remote.output_file_id)):
        return False
    return not is_import or (ended_at is not None and ended_at > second - FRESH.total_seconds())


def note_ended(connection: Connection, remote_ids: Sequence[str], ended_now: Sequence[str]) -> None:
    """Of batches that came or changed: wish for their files, and group what their own `errors` say. Of those that were
    open before: wish again for what was read before that, which was of a file or an end that came before.

    To be called in absorb's transaction, which holds the connection's row.
    """
    now = timezone.now()
    batches = list(Batch.objects.filter(connection=connection, remote_id__in=remote_ids).defer("payload"))
    earlier = FileRead.objects.filter(
        batch__connection=connection, batch__remote_id__in=ended_now, kind__in=SOURCES
    ).exclude(state__in=FileRead.OPEN)
    stale = {(read.batch_id, read.kind): read.batch for read in earlier.select_related("batch")}
    wish(batches, now, stale)
    for (_pk, kind), batch in stale.items():
        if not file_id_of(batch, kind):
            publish_errors([(batch, {})], SOURCES[FileKind(kind)], batch.revision)
            note_outcome(batch)
    validated = BatchError.objects.filter(batch__in=batches, source=BatchError.Source.VALIDATION)
    known = set(validated.values_list("batch", flat=True))
    note_validation([one for one in batches if one.errors or one.pk in known])


def note_outcome(batch: Batch) -> None:
    """What became of it, now that its files say more than its counts do. To be called where they are published."""
    shown = FileRead.objects.filter(batch=batch, kind__in=SOURCES, state=State.READ).order_by("pk")
    # Of each kind the latest, and none of a file that the batch does not have any more.
    latest = {read.kind: read for read in shown if read.file_id == file_id_of(batch, read.kind)}
    failed, outcome = failed_in(latest.values(), batch.requests_total), batch.outcome
    if not batch.is_open:
        started = batch.in_progress_at is not None
        outcome = outcome_of(batch.status, *counts_of(batch), started=started, failed_in_files=failed).value
    Batch.objects.filter(pk=batch.pk).update(failed_in_files=failed, outcome=outcome)
    if outcome != batch.outcome:
        recount(batch.connection_id, batch.status, batch.outcome, outcome)
        if batch.finished_at:
            quarter = quarter_of(int(batch.finished_at.timestamp()))
            flow.note_ended(batch.connection_id, {(quarter, batch.outcome): -1, (quarter, outcome): 1}, {})


def wish(batches: Iterable[Batch], now: datetime, stale: Mapping[tuple[int, str], Batch] | None = None) -> None:
    """Write the wishes for what is worth reading and has not been wished for before. `stale` is what was, and is to be
    read again."""
    stale = stale or {}
    wished = {(batch.pk, kind.value): file_id_of(batch, kind) for batch in batches for kind in wanted_files(batch)}
    wished |= {(pk, kind): file_id for (pk, kind), batch in stale.items() if (file_id := file_id_of(batch, kind))}
    known = FileRead.objects.filter(batch__in={pk for pk, _kind in wished})
    for pk, kind, file_id in known.values_list("batch", "kind", "file_id"):
        if wished.get((pk, kind)) == file_id and (pk, kind) not in stale:
            del wished[pk, kind]
    new = [FileRead(batch_id=pk, kind=kind, file_id=file_id, wanted_at=now) for (pk, kind), file_id in wished.items()]
    FileRead.objects.bulk_create(new, ignore_conflicts=True)


def wish_after(batch: Batch, error_read: FileRead, now: datetime) -> None:
    """Wish for what an error file turned out not to explain."""
    for kind in wanted_files(batch, error_read):
        wish_for(batch, kind, now)


def wish_renamed(batch: Batch, read: FileRead, now: datetime) -> None:
    """Wish for the file that the vendor named in the place of this one meanwhile; of each kind one is open at most, so
    that it could not be wished for then."""
    if read.file_id != file_id_of(batch, read.kind) and read.kind in wanted_files(batch):
        wish_for(batch, FileKind(read.kind), now)


def wish_for(batch: Batch, kind: FileKind, now: datetime) -> None:
    """Wish for a file once: never again for one that was read, or that could not be."""
    file_id = file_id_of(batch, kind)
    if file_id and not FileRead.objects.filter(batch=batch, kind=kind, file_id=file_id).exists():
        FileRead.objects.bulk_create(
            [FileRead(batch=batch, kind=kind, file_id=file_id, wanted_at=now)], ignore_conflicts=True
        )


def ask(batch: Batch, kind: str, who: str) -> FileRead:
    """Somebody wants a file read, now and whatever was read before. Raises NoFile.

    The one wish that is open already, if it is; of an output, every request is then listed for OUTPUT_KEPT. To ask for
    the input means to compare: which of its requests are in neither of the other files.
    """
    file_id = file_id_of(batch, kind)
    if not file_id:
        raise NoFile
    now = timezone.now()
    if kind == FileKind.INPUT:
        for other in (FileKind.ERROR, FileKind.OUTPUT):
            if file_id_of(batch, other) and not is_listed(batch, other, now):
                ask(batch, other, who)
    with transaction.atomic():
        revision = raise_revision(batch.connection_id)
        read, made = FileRead.objects.get_or_create(
            batch=batch,
            kind=kind,
            state__in=FileRead.OPEN,
            defaults={"file_id": file_id, "wanted_at": now, "asked_by": who[:150], "state": State.WANTED},
        )
        if not made and not read.asked_by:
            # What the dashboard reads for itself leaves out what succeeded: begin again with everything.
            begin_again(read, file_id=file_id, asked_by=who[:150], claim_token="", claim_until=None)
        if not made:
            FileRead.objects.filter(pk=read.pk).update(next_try_at=None)
        Batch.objects.filter(pk=batch.pk).update(revision=revision)
    read.refresh_from_db()
    return read


def is_listed(batch: Batch, kind: str, now: datetime) -> bool:
    """Whether every request of an output or error file is in the database."""
    read = FileRead.objects.published(batch, kind)
    if read is None or read.file_id != file_id_of(batch, kind):
        return False
    if kind == FileKind.ERROR:
        return not read.lines or read.results.exists()
    return bool(read.asked_by and read.ended_at and read.ended_at > now - OUTPUT_KEPT / 2)


def begin_again(read: FileRead, **columns: object) -> None:
    """Forget what was read so far. To be called in a transaction."""
    zero = ("offset", "last_line", "lines", "bad_lines", "succeeded", "failed", "never_ran")
    columns |= dict.fromkeys(zero, 0) | {"is_capped": False, "is_packed": False}
    for name, value in columns.items():
        setattr(read, name, value)
    FileRead.objects.filter(pk=read.pk).update(**columns)
    Result.objects.filter(read=read).delete()


def due_reads(now: datetime, connection_id: int | None = None) -> list[int]:
    """The next read of each connection that has one due and none under way: what people ask for first, then the batch
    that ended last."""
    # Asked for by itself: beside each of ten thousand wishes it would be worked out ten thousand times.
    at_work = FileRead.objects.open().filter(claim_until__gt=now).values_list("batch__connection", flat=True)
    askable = readable(now).exclude(pk__in=list(at_work))
    if connection_id is not None:
        askable = askable.filter(pk=connection_id)
    due = FileRead.objects.due(now).filter(batch__connection__in=list(askable.values_list("pk", flat=True)))
    # What nobody waits for is left until the connection's own sync is well again.
    due = due.filter(Q(batch__connection__failures=0) | ~Q(asked_by=""))
    order = Case(
        When(~Q(asked_by="") & ~Q(kind=FileKind.INPUT), then=Value(0)),
        When(~Q(asked_by=""), then=Value(1)),  # it is compared with the others
        When(~Q(kind=FileKind.INPUT), then=Value(2)),
        default=Value(3),
        output_field=IntegerField(),
    )
    turn = Window(
        RowNumber(),
        partition_by=[F("batch__connection")],
        order_by=[order, F("batch__finished_at").desc(nulls_last=True), F("pk")],
    )
    return list(due.annotate(turn=turn).filter(turn=1).order_by("pk").values_list("pk", flat=True))


def readable(now: datetime) -> ConnectionQuerySet:
    """The connections whose files may be asked for now."""
    return Connection.objects.kept().filter(
        Q(reads_wait_until=None) | Q(reads_wait_until__lte=now),
        paused_at=None,
    )


def claim(read_id: int, now: datetime | None = None) -> str:
    """Take a read for two minutes, renewed with every block; the token, or "" when it is not ours to take."""
    now, token = now or timezone.now(), secrets.token_hex(16)
    read = FileRead.objects.select_related("batch__connection").filter(pk=read_id).first()
    if read is None:
        return ""
    with transaction.atomic():
        # Two messages for one connection must not both find it free.
        if not readable(now).filter(pk=read.batch.connection_id).select_for_update().exists():
            return ""
        others = FileRead.objects.open().filter(batch__connection=read.batch.connection_id, claim_until__gt=now)
        if others.exclude(pk=read_id).exists():
            return ""
        free = FileRead.objects.due(now).filter(pk=read_id)
        taken = free.update(claim_token=token, claim_until=now + CLAIM_LIFE, state=State.READING)
        FileRead.objects.filter(pk=read_id, claim_token=token, began_at=None).update(began_at=now)
    return token if taken else ""


def drop_older(read: FileRead) -> None:
    """Delete the reads that this one has replaced."""
    older = FileRead.objects.filter(batch=read.batch_id, kind=read.kind, pk__lt=read.pk).exclude(
        state__in=FileRead.OPEN
    )
    for pk in older.exclude(state__in=FileRead.OPEN).values_list("pk", flat=True):
        drop_results(Q(read=pk))
        FileRead.objects.filter(pk=pk).delete()


def drop_results(which: Q, most: int = 10_000_000) -> int:
    """Delete results a few thousand at a time, so that nobody waits for long; how many that were."""
    dropped = 0
    while dropped < most:
        at_once = min(ROWS_AT_ONCE, most - dropped)
        pks = list(Result.objects.filter(which).values_list("pk", flat=True)[:at_once])
        Result.objects.filter(pk__in=pks).delete()
        dropped += len(pks)
        if len(pks) < at_once:
            break
    return dropped


def sweep_results(now: datetime, kept: timedelta) -> None:
    """Throw away single results that are old, and those of outputs an hour after they were asked for."""
    left = MOST_ROWS
    reads = FileRead.objects.filter(Exists(Result.objects.filter(read=OuterRef("pk"))))
    old = reads.filter(Q(batch__finished_at__lt=now - kept) | Q(batch__finished_at=None, ended_at__lt=now - kept))
    for pk in old.exclude(state__in=FileRead.OPEN).values_list("pk", flat=True)[:1_000]:
        left -= drop_results(Q(read=pk), left)
    done = Exists(Result.objects.filter(read=OuterRef("pk"), state=Result.State.SUCCEEDED))
    outputs = FileRead.objects.filter(done, kind=FileKind.OUTPUT, state=State.READ, ended_at__lt=now - OUTPUT_KEPT)
    for pk in outputs.values_list("pk", flat=True)[:1_000]:
        left -= drop_results(Q(read=pk, state=Result.State.SUCCEEDED), left)
