"""What reading a batch's files leaves behind, made directly: groups, days, reads and single results."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from dashboard.models import (
    Batch,
    BatchError,
    Connection,
    ErrorDay,
    ErrorGroup,
    FileRead,
    Reading,
    RemoteFile,
    Result,
)
from dashboard.models.connection import raise_revision
from dashboard.sync.files import note_outcome
from tests.batches_made import batch_made, connection_made, counts, everything_made

RATE = (
    429,
    "rate_limit_exceeded",
    "Rate limit reached for <model> on tokens per min. Limit <n>, used <n>",
    "rate_limited",
)
LENGTH = (400, "context_length_exceeded", "This model's maximum context length is <n> tokens", "too_long")
MODEL = (404, "model_not_found", "The model <model> does not exist or you do not have access to it", "no_such_model")
EXPIRED = (None, "batch_expired", "The request was not run before the completion window ended", "expired")
FILTER = (200, "content_filter", "The response was filtered due to the prompt triggering a content policy", "filtered")
SERVER = (500, "server_error", "The server had an error while processing your request", "server_error")
LINE = (None, "invalid_json_line", "Expecting <value> delimiter at column <n>", "invalid_request")

type Error = tuple[int | None, str, str, str]


def group_made(error: Error = RATE, **columns: Any) -> ErrorGroup:
    """The group of an error, as signature.py would tell it apart."""
    status, code, message, retry = error
    now = timezone.now()
    given: dict[str, Any] = {"http_status": status, "code": code, "message": message, "retry": retry}
    given |= {"first_seen_at": now - timedelta(days=40), "last_seen_at": now}
    group, _made = ErrorGroup.objects.get_or_create(signature=f"{status}{code}{message}"[:64], defaults=given | columns)
    return group


def read_made(batch: Batch, kind: str, lines: int = 0, **columns: Any) -> FileRead:
    """A whole read of a file, finished a moment ago."""
    now = timezone.now()
    given: dict[str, Any] = {
        "file_id": getattr(batch, f"{kind}_file_id") or f"file-{kind}-{batch.pk}",
        "state": "read",
        "wanted_at": now,
        "began_at": now,
        "ended_at": now,
        "lines": lines,
        "size": lines * 300,
    } | columns
    read = FileRead.objects.create(batch=batch, kind=kind, **given)
    if not getattr(batch, f"{kind}_file_id"):
        setattr(batch, f"{kind}_file_id", read.file_id)
        batch.save(update_fields=[f"{kind}_file_id"])
    return read


def file_made(batch: Batch, kind: str, **columns: Any) -> RemoteFile:
    now = timezone.now()
    given = {"filename": f"{batch.name}-{kind}.jsonl", "purpose": "batch_output", "size": 31_400, "seen_at": now}
    file_id = getattr(batch, f"{kind}_file_id")
    return RemoteFile.objects.create(connection=batch.connection, file_id=file_id, **(given | columns))


def errors_made(batch: Batch, found: dict[Error, int], *, source: str = "error", rows: bool = True) -> FileRead:
    """Failures of a batch by error, as reading its file would leave them: groups, day, worst error and results."""
    lines = sum(found.values())
    never = sum(requests for (status, *_words), requests in found.items() if status is None)
    read = read_made(batch, source, lines, failed=lines - never, never_ran=never)
    at = batch.finished_at or batch.ordered_at
    line = 0
    results: list[Result] = []
    for error, requests in found.items():
        group = group_made(error)
        status, _code, message, _retry = error
        samples = []
        for n in range(requests):
            line += 1
            custom_id = f"judge-{line:04d}"
            state = "never_ran" if status is None else "failed"
            results.append(
                Result(
                    read=read,
                    line=line,
                    offset=line * 300,
                    length=300,
                    custom_id=custom_id,
                    state=state,
                    group=group,
                    http_status=status,
                    request_id=f"req_{line:08x}",
                    words=message.replace("<n>", str(4_000 + line)),
                    tokens_input=None,
                    tokens_output=None,
                )
            )
            if n < 3:
                samples.append({"custom_id": custom_id, "line": line, "input_line": line, "words": results[-1].words})
        BatchError.objects.create(
            batch=batch, group=group, connection=batch.connection, source=source, requests=requests, samples=samples,
            first_line=line - requests + 1, last_line=line, at=at,
        )  # fmt: skip
        day_made(batch.connection, group, at)
    if rows:
        Result.objects.bulk_create(results, batch_size=1_000)
    worst, requests = max(found.items(), key=lambda item: item[1])
    Batch.objects.filter(pk=batch.pk).update(worst_error=group_made(worst), worst_requests=requests)
    note_outcome(batch)
    moved(batch)
    batch.refresh_from_db()
    return read


def day_made(connection: Connection, group: ErrorGroup, at: datetime) -> None:
    """The roll-up of one day, made anew."""
    day = at.astimezone(UTC).date()
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    errors = BatchError.objects.filter(
        connection=connection, group=group, at__gte=begin, at__lt=begin + timedelta(days=1)
    )
    total = errors.aggregate(total=Sum("requests"))["total"]
    batches = errors.values("batch").distinct().count()
    ErrorDay.objects.update_or_create(
        connection=connection, group=group, day=day, defaults={"batches": batches, "requests": total}
    )


def moved(batch: Batch) -> None:
    """As publishing does: what open pages show of this batch has changed."""
    Batch.objects.filter(pk=batch.pk).update(revision=raise_revision(batch.connection_id))


def succeeded_made(read: FileRead, number: int) -> None:
    """Rows of succeeded requests, as they stand for a while after somebody asked."""
    Result.objects.bulk_create(
        [
            Result(
                read=read, line=line, offset=line * 900, length=900, custom_id=f"judge-{line:04d}", state="succeeded",
                http_status=200, request_id=f"req_{line:08x}", tokens_input=800 + line, tokens_output=60 + line % 40,
            )
            for line in range(1, number + 1)
        ],
        batch_size=1_000,
    )  # fmt: skip
    FileRead.objects.filter(pk=read.pk).update(succeeded=number, lines=number, asked_by="ana")


def progress_made(batch: Batch) -> None:
    """Readings from creation to the end, so that there is a chart."""
    Reading.objects.filter(batch=batch).delete()
    total, done, failed = batch.requests_total or 0, batch.requests_completed or 0, batch.requests_failed or 0
    begin = batch.created_at or timezone.now()
    end = batch.finished_at or timezone.now()
    for i in range(21):
        Reading.objects.create(
            batch=batch, asked_at=begin + (end - begin) * i / 20, status="in_progress", total=total,
            completed=round(done * (i / 20) ** 0.8), failed=round(failed * i / 20),
        )  # fmt: skip


def everything_read() -> dict[str, Batch]:
    """Every state that these pages can show, beside those of the list."""
    made = everything_made()
    now = timezone.now()
    partial, failed, lost, expired = made["partial"], made["all_failed"], made["lost"], made["expired"]
    Batch.objects.filter(pk=partial.pk).update(output_file_id="file-9ZtAm0")
    partial.refresh_from_db()
    errors_made(partial, {RATE: 2, LENGTH: 1})
    output = read_made(partial, "output", 97)
    succeeded_made(output, 97)
    file_made(partial, "error", expires_at=now + timedelta(days=29), size=3_120)
    file_made(partial, "output", expires_at=now + timedelta(days=29), size=184_200)
    progress_made(partial)
    errors_made(failed, {MODEL: 800})
    errors_made(expired, {EXPIRED: 188})
    Batch.objects.filter(pk=lost.pk).update(output_file_id="file-lost-out")
    lost.refresh_from_db()
    errors_made(lost, {RATE: 5, SERVER: 2})
    read_made(lost, "output", 4981, succeeded=4981)
    missing = [f"call-2026-11-20-{n:05d}" for n in (17, 18, 19, 412, 413, 900, 1200, 1201, 3077, 3078, 4000, 4999)]
    read_made(lost, "input", 5000, missing=12, missing_ids=missing, asked_by="ana")
    progress_made(lost)
    prod = Connection.objects.get(name="OpenAI / prod")

    def more(key: str, name: str, failing: int, **ago: float) -> Batch:
        made[key] = batch_made(
            prod, "completed", name=name, created_at=now - timedelta(**ago) - timedelta(hours=2), owner="mei",
            finished_at=now - timedelta(**ago), **counts(2_000, 2_000 - failing, failing),
        )  # fmt: skip
        return made[key]

    unread = more("unread", "kb-dedupe-unread", 41, minutes=50)
    Batch.objects.filter(pk=unread.pk).update(error_file_id="file-unread", output_file_id="file-unread-out")
    reading = more("reading", "kb-dedupe-reading", 41, minutes=40)
    read_made(reading, "error", 12_000, state="reading", ended_at=None)
    gone = more("gone_file", "kb-dedupe-gone", 9, days=6)
    errors_made(gone, {FILTER: 9}, rows=False)
    read_made(gone, "error", state="gone", error_kind="not_found")
    file_made(gone, "error", gone_at=now - timedelta(hours=3))
    broken = more("broken_read", "kb-dedupe-broken", 12, days=1)
    read_made(broken, "error", state="wanted", failures=3, error_kind="timeout", next_try_at=now + timedelta(minutes=4))
    capped = more("capped", "kb-dedupe-capped", 1_200, days=2)
    FileRead.objects.filter(pk=errors_made(capped, {RATE: 1_100, SERVER: 97}).pk).update(is_capped=True, bad_lines=3)
    dice = random.Random(11)
    errors = [RATE, LENGTH, SERVER, FILTER, EXPIRED]
    for day in range(13):
        for n in range(dice.choice([0, 1, 2])):
            some = {error: dice.randint(1, 60) for error in dice.sample(errors, dice.randint(1, 3))}
            errors_made(
                more(f"day-{day}-{n}", f"nightly-eval-{day:02d}-{n}", sum(some.values()), days=day, hours=3), some
            )
    ErrorGroup.objects.filter(code="model_not_found").update(first_seen_at=now - timedelta(hours=9))
    for key, batch in made.items():
        made[key] = Batch.objects.get(pk=batch.pk)
    return made


def connection_with_errors() -> Connection:
    """One connection with one batch of two errors."""
    prod = connection_made()
    errors_made(batch_made(prod, "completed", name="nightly-eval", **counts(100, 97, 3)), {RATE: 2, LENGTH: 1})
    return prod
