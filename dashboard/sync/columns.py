"""A remote batch as the columns of its row: what it is called, how it ended, when, and with which counts."""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, Left, NullIf

from dashboard.dialects.base import RemoteBatch
from dashboard.insight.outcome import outcome_of
from dashboard.models import Batch, Connection, Transition
from dashboard.models.batch import FOR_EVER, GRACE, TERMINAL, Status
from dashboard.models.connection import raise_revision
from dashboard.models.search import searchable

Source = Transition.Source
GRACE_SECONDS = int(GRACE.total_seconds())
# A batch rarely carries the configured key; these are what people write instead.
NAME_KEYS = ("name", "job_name", "title", "description")

TIMES = (
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)
_times_of = attrgetter(*TIMES)
# What the vendor said, as columns, in the order of `columns_of`.
SAID = (
    "status",
    "raw_status",
    "outcome",
    "name",
    "owner",
    "metadata",
    "model",
    "endpoint",
    "completion_window",
    "input_file_id",
    "output_file_id",
    "error_file_id",
    "requests_total",
    "requests_completed",
    "requests_failed",
    *TIMES,
    "finished_at",
    "is_open",
    "refresh_until",
    "tokens_input",
    "tokens_cached",
    "tokens_output",
    "tokens_reasoning",
    "tokens_total",
    "errors",
    "oddities",
    "search_text",
    "is_overdue",
)
OUTCOME = SAID.index("outcome")
ALWAYS = int(FOR_EVER.timestamp())

# When the vendor says that a status began.
BEGAN = {
    Status.VALIDATING: "created_at",
    Status.IN_PROGRESS: "in_progress_at",
    Status.FINALIZING: "finalizing_at",
    Status.COMPLETED: "completed_at",
    Status.FAILED: "failed_at",
    Status.EXPIRED: "expired_at",
    Status.CANCELLING: "cancelling_at",
    Status.CANCELLED: "cancelled_at",
}


def columns_of(
    connection: Connection,
    remote: RemoteBatch,
    second: int,
    *,
    old: Batch | None,
    source: Source,
) -> tuple[Any, ...]:
    """The values of SAID for a remote batch asked for at a `second`; times in unix seconds."""
    counts = counts_of(remote)
    is_open = remote.status not in TERMINAL
    finished_at: int | None = None
    if not is_open:
        finished_at = end_of(remote)
        if finished_at is None and old is not None and old.finished_at:
            finished_at = int(old.finished_at.timestamp())
        if finished_at is None and source != Source.IMPORT:
            # Never guessed for history: it would look as if it had ended just now.
            finished_at = second
    refresh_until = ALWAYS if is_open else None
    if finished_at is not None and finished_at + GRACE_SECONDS > second:
        refresh_until = finished_at + GRACE_SECONDS
    metadata = remote.metadata
    return (
        remote.status,
        remote.raw_status[:64],
        outcome_of(
            remote.status,
            *counts,
            started=remote.in_progress_at is not None,
            failed_in_files=old.failed_in_files if old else 0,
        ).value,
        next((metadata[key] for key in (connection.name_key, *NAME_KEYS) if metadata.get(key)), "")[:512],
        metadata.get(connection.owner_key, "")[:512],
        _json(metadata) if metadata else "{}",
        remote.model[:200],
        remote.endpoint[:200],
        remote.completion_window[:32],
        remote.input_file_id[:512],
        remote.output_file_id[:512],
        remote.error_file_id[:512],
        *counts,
        *_times_of(remote),
        finished_at,
        is_open,
        refresh_until,
        remote.tokens_input,
        remote.tokens_cached,
        remote.tokens_output,
        remote.tokens_reasoning,
        remote.tokens_total,
        _json(remote.errors) if remote.errors else "[]",
        _json(remote.oddities) if remote.oddities else "[]",
        searchable(remote.remote_id, metadata, remote.model[:200], remote.endpoint[:200]),
        is_open and remote.expires_at is not None and remote.expires_at < second,
    )


COUNTS = ("requests_total", "requests_completed", "requests_failed")


def counts_of(batch: Batch | RemoteBatch) -> tuple[int | None, int | None, int | None]:
    return batch.requests_total, batch.requests_completed, batch.requests_failed


def _json(value: Any) -> str:
    # Sorted, because PostgreSQL gives an object's keys back in an order of its own.
    return msgspec.json.encode(value, order="sorted").decode()


def said_of(batch: Batch) -> Iterable[Any]:
    for column in SAID:
        value = getattr(batch, column)
        if isinstance(value, datetime):
            yield int(value.timestamp())
        else:
            yield _json(value) if column in {"errors", "oddities", "metadata"} else value


def end_of(remote: RemoteBatch) -> int | None:
    """The vendor's time of the end. Azure gives a failed batch completed_at and no failed_at."""
    match remote.status:
        case "completed":
            return remote.completed_at
        case "failed":
            return remote.failed_at or remote.completed_at
        case "expired":
            return remote.expired_at or remote.completed_at
        case "cancelled":
            return remote.cancelled_at
        case _:
            return None


def began_at(remote: RemoteBatch, status: str) -> int | None:
    name = BEGAN.get(Status(status))
    return getattr(remote, name) if name else None


def rename(connection: Connection) -> None:
    """Give every batch its name and owner again, after the connection's name_key or owner_key changed."""
    names = [NullIf(KeyTextTransform(key, "metadata"), Value("")) for key in (connection.name_key, *NAME_KEYS) if key]
    owner = KeyTextTransform(connection.owner_key, "metadata") if connection.owner_key else Value("")
    with transaction.atomic():
        connection.batches.update(
            # First, for it locks the connection: no absorb may write an old name behind this.
            revision=raise_revision(connection.pk),
            name=Left(Coalesce(*names, Value("")), 512),
            owner=Left(Coalesce(owner, Value("")), 512),
        )
