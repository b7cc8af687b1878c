"""What to write: remote batches into rows, and what changed into history.

One short transaction a page. Compare in Python, upsert only what changed, as plain tuples: Django's bulk_create costs
three times as much, and an import is a hundred thousand of these.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import msgspec
from django.db import connection as database
from django.db import transaction
from django.db.models import F, Max, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, Left, NullIf
from django.utils import timezone

from dashboard.dialects.base import RemoteBatch
from dashboard.insight.concerns import first_look
from dashboard.insight.outcome import outcome_of
from dashboard.models import Batch, Connection, Transition
from dashboard.models.batch import FOR_EVER, GRACE, TERMINAL, Status, place_of
from dashboard.models.connection import raise_revision
from dashboard.models.search import index_new, searchable
from dashboard.sync.concerns import judge
from dashboard.sync.files import is_news, note_ended

Source = Transition.Source
CLAIM_LIFE = timedelta(minutes=2)
GRACE_SECONDS = int(GRACE.total_seconds())
# A batch rarely carries the configured key; these are what people write instead.
NAME_KEYS = ("name", "job_name", "title", "description")
LIST_PROVES_NOTHING = 3  # cycles open and unchanged in the list, after which the batch itself is asked once

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
KEPT = ("payload", "asked_at", "revision", "unchanged_cycles", "misses", "gone_at", "judge_at")
ONCE = ("connection_id", "remote_id", "ordered_at", "place", "first_seen_at")
# Given in unix seconds, as vendors do. The database makes times of them: in Python that costs ten times as much.
SECONDS = {*TIMES, "finished_at", "refresh_until", "ordered_at", "judge_at"}
FROM_SECONDS = {"sqlite": "datetime(%s, 'unixepoch')", "postgresql": "to_timestamp(%s)"}
OVERWRITE = "ON CONFLICT (connection_id, remote_id) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}" for column in (*SAID, *KEPT)
)
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


class ClaimLost(Exception):
    """Somebody else syncs this connection now, or it was removed; nothing of this page was written."""


@dataclass(slots=True)
class Absorbed:
    """What a page came to."""

    new: int = 0
    changed: int = 0
    # Remote ids that the list shows open and unchanged for so long that the batch itself should be asked.
    suspects: list[str] = field(default_factory=list)


def absorb(
    connection: Connection,
    remotes: Sequence[RemoteBatch],
    *,
    asked_at: datetime,
    source: Source,
    claim: str = "",
    from_list: bool = False,
    place: dict[str, Any] | None = None,
) -> Absorbed:
    """Write what was seen and what that changed; returns what it came to.

    `asked_at` is when the request was sent: a row that was brought by a later request is left alone, so that a slow
    list cannot undo a cancel. With `claim` the caller must still hold the connection (else ClaimLost) and its hold is
    renewed. `place` holds columns of the connection that are true only together with this page (an import's cursor).
    """
    by_id = {remote.remote_id: remote for remote in remotes}  # a page may repeat itself
    second = int(asked_at.timestamp())
    # Reckoned before the database is locked; whether they are new is asked again behind the lock.
    known_ids = _known_ids(connection, by_id)
    said = {
        remote_id: columns_of(connection, remote, second, old=None, source=source)
        for remote_id, remote in by_id.items()
        if remote_id not in known_ids
    }
    result, news = Absorbed(), _News(asked_at, second, source, _stamp(asked_at))
    with transaction.atomic():
        # The connection's row is locked first, so that absorbs of one connection never interleave.
        held = Connection.objects.kept().select_for_update().filter(pk=connection.pk)
        if claim:
            held = held.filter(claim_token=claim)
        found = held.values_list("revision", "name_key", "owner_key").first()
        if found is None:
            raise ClaimLost
        revision, *keys = found
        if keys != [connection.name_key, connection.owner_key]:
            # Changed since the caller read the connection: what was reckoned above has the names of before.
            connection.name_key, connection.owner_key = keys
            said = {}
        known_ids = _known_ids(connection, by_id)
        known = Batch.objects.filter(pk__in=known_ids.values()) if known_ids else ()
        for remote_id, remote in by_id.items():
            if remote_id in known_ids:
                continue
            row = said.get(remote_id) or columns_of(connection, remote, second, old=None, source=source)
            _first_sight(connection, remote, row, revision + 1, news)
            result.new += 1
        unchanged = []
        for old in known:
            if old.asked_at > asked_at:
                continue
            if from_list and (connection.list_is_stale or connection.list_lacks_counts):
                # A list that is known not to show what its batches do has no say on a batch that we can ask itself.
                if old.gone_at:
                    result.suspects.append(old.remote_id)
                continue
            remote = by_id[old.remote_id]
            if from_list and not old.is_open and remote.status not in TERMINAL:
                # A list that lags must not bring a finished batch back to life; the batch itself may.
                result.suspects.append(old.remote_id)
                continue
            if from_list and remote.requests_total is None and old.requests_total is not None:
                counts = dict(zip(COUNTS, _counts(old), strict=True))
                remote = msgspec.structs.replace(remote, **counts)
            if _changed(connection, remote, old, revision + 1, news):
                result.changed += 1
            elif from_list and old.is_open and old.unchanged_cycles < LIST_PROVES_NOTHING:
                unchanged.append(old.pk)
                if old.unchanged_cycles + 1 == LIST_PROVES_NOTHING:
                    result.suspects.append(old.remote_id)
        if unchanged:
            Batch.objects.filter(pk__in=unchanged).update(unchanged_cycles=F("unchanged_cycles") + 1)
        if news.new or news.changed:
            _write(connection, news)
            if news.ended:
                note_ended(connection, news.ended)
        judged = bool(news.to_judge) and judge(
            connection, _known_ids(connection, news.to_judge).values(), timezone.now(), revision + 1
        )
        columns: dict[str, Any] = dict(place or {})
        if claim:
            columns["claim_until"] = timezone.now() + CLAIM_LIFE
        if result.changed or result.new or place or judged:
            columns["revision"] = revision + 1
        if columns:
            Connection.objects.filter(pk=connection.pk).update(**columns)
    return result


@dataclass(slots=True)
class _News:
    """What must be written; by remote id where rows have no number yet."""

    asked_at: datetime
    second: int  # of asked_at, in unix seconds
    source: Source
    asked: Any  # asked_at as the database's own driver takes it
    new: list[tuple[Any, ...]] = field(default_factory=list)
    changed: list[tuple[Any, ...]] = field(default_factory=list)
    transitions: list[tuple[str, str, str, int | None]] = field(default_factory=list)
    readings: list[RemoteBatch] = field(default_factory=list)
    tally: Tally[tuple[str, str]] = field(default_factory=Tally)
    to_judge: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)  # with errors, or files that may hold some


def _known_ids(connection: Connection, remote_ids: Iterable[str]) -> dict[str, int]:
    """Which of these have a row, and its number. By hand: in an import there are none, and the ORM's way costs 2 ms."""
    wanted = list(remote_ids)
    if not wanted:
        return {}
    marks = ", ".join(["%s"] * len(wanted))
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT remote_id, id FROM dashboard_batch WHERE connection_id = %s AND remote_id IN ({marks})",  # noqa: S608
            [connection.pk, *wanted],
        )
        return dict(cursor.fetchall())


def _first_sight(
    connection: Connection, remote: RemoteBatch, said: tuple[Any, ...], revision: int, news: _News
) -> None:
    news.new.append(_row_of(connection, remote, said, revision, news))
    news.tally[said[0], said[2]] += 1
    if is_news(remote, _end_of(remote), news.second, is_import=news.source == Source.IMPORT):
        news.ended.append(remote.remote_id)
    if news.source == Source.IMPORT and remote.status in TERMINAL:
        # Its row says all there is: a transition would flood the activity, a reading would repeat the counts.
        return
    news.transitions.append((remote.remote_id, "", said[0], _began(remote, said[0])))
    news.readings.append(remote)


def _changed(connection: Connection, remote: RemoteBatch, old: Batch, revision: int, news: _News) -> bool:
    """Whether anything that shows has changed; what must be written goes into the news."""
    if bytes(old.payload) == remote.payload and not old.misses and not old.gone_at:
        if news.source == Source.ACT:
            # An act's answer stands against every list that was asked for before it came, changed or not.
            Batch.objects.filter(pk=old.pk).update(asked_at=news.asked_at)
        return False
    said = columns_of(connection, remote, news.second, old=old, source=news.source)
    changed = tuple(_said_of(old)) != said or old.gone_at is not None
    news.changed.append(_row_of(connection, remote, said, revision if changed else old.revision, news))
    if not changed:
        return False
    if is_news(remote, _end_of(remote), news.second, is_import=news.source == Source.IMPORT):
        news.ended.append(remote.remote_id)
    status, outcome = str(said[0]), str(said[2])
    if (old.status, old.outcome) != (status, outcome):
        news.tally[old.status, old.outcome] -= 1
        news.tally[status, outcome] += 1
    if old.status != status:
        news.transitions.append((remote.remote_id, old.status, status, _began(remote, status)))
    if (old.status, *_counts(old)) != (status, *_counts(remote)):
        news.readings.append(remote)
    return True


def columns_of(
    connection: Connection,
    remote: RemoteBatch,
    second: int,
    *,
    old: Batch | None,
    source: Source,
) -> tuple[Any, ...]:
    """The values of SAID for a remote batch asked for at a `second`; times in unix seconds."""
    counts = _counts(remote)
    is_open = remote.status not in TERMINAL
    finished_at: int | None = None
    if not is_open:
        finished_at = _end_of(remote)
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
        searchable(remote.remote_id, metadata),
        is_open and remote.expires_at is not None and remote.expires_at < second,
    )


COUNTS = ("requests_total", "requests_completed", "requests_failed")


def _counts(batch: Batch | RemoteBatch) -> tuple[int | None, int | None, int | None]:
    return batch.requests_total, batch.requests_completed, batch.requests_failed


def _json(value: Any) -> str:
    # Sorted, because PostgreSQL gives an object's keys back in an order of its own.
    return msgspec.json.encode(value, order="sorted").decode()


def _said_of(batch: Batch) -> Iterable[Any]:
    for column in SAID:
        value = getattr(batch, column)
        if isinstance(value, datetime):
            yield int(value.timestamp())
        else:
            yield _json(value) if column in {"errors", "oddities", "metadata"} else value


def _end_of(remote: RemoteBatch) -> int | None:
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


def _began(remote: RemoteBatch, status: str) -> int | None:
    name = BEGAN.get(Status(status))
    return getattr(remote, name) if name else None


def _row_of(
    connection: Connection, remote: RemoteBatch, said: tuple[Any, ...], revision: int, news: _News
) -> tuple[Any, ...]:
    second = news.second if remote.created_at is None else remote.created_at
    place = place_of(connection.pk, remote.remote_id, second)
    once = (connection.pk, remote.remote_id, second, place, news.asked)
    judge_at = news.second
    if news.source == Source.IMPORT:
        has_output = bool(remote.output_file_id)
        judge_at = first_look(remote.status, said[OUTCOME], _end_of(remote), news.second, has_output=has_output)
    if judge_at == news.second:
        news.to_judge.append(remote.remote_id)
    return (*once, *said, remote.payload, news.asked, revision, 0, 0, None, judge_at or None)


def _write(connection: Connection, news: _News) -> None:
    noticed_at = _stamp(timezone.now())
    from_seconds = FROM_SECONDS[database.vendor]
    insert = _insert_into_batches(from_seconds)
    with database.cursor() as cursor:
        if news.changed:
            cursor.executemany(f"{insert} {OVERWRITE}", news.changed)
        if news.new:
            newest = Batch.objects.aggregate(newest=Max("pk"))["newest"] or 0
            cursor.executemany(insert, news.new)
            index_new(newest)
        changed = {change[0] for change in news.transitions} | {remote.remote_id for remote in news.readings}
        pks = _known_ids(connection, changed)
        if news.transitions:
            cursor.executemany(
                "INSERT INTO dashboard_transition (batch_id, old_status, new_status, at, noticed_at, source)"  # noqa: S608
                f" VALUES (%s, %s, %s, {from_seconds}, %s, %s)",
                [
                    (pks[rid], before, after, at, noticed_at, news.source.value)
                    for rid, before, after, at in news.transitions
                ],
            )
        if news.readings:
            cursor.executemany(
                "INSERT INTO dashboard_reading (batch_id, asked_at, status, total, completed, failed)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [(pks[remote.remote_id], news.asked, remote.status, *_counts(remote)) for remote in news.readings],
            )
        if tally := [(connection.pk, *kind, delta) for kind, delta in news.tally.items() if delta]:
            cursor.executemany(
                "INSERT INTO dashboard_counter (connection_id, status, outcome, batches) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (connection_id, status, outcome)"
                " DO UPDATE SET batches = dashboard_counter.batches + excluded.batches",
                tally,
            )


def _insert_into_batches(from_seconds: str) -> str:
    columns = (*ONCE, *SAID, *KEPT)
    values = ", ".join(from_seconds if column in SECONDS else "%s" for column in columns)
    return f"INSERT INTO dashboard_batch ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 (of our own)


def _stamp(moment: datetime) -> Any:
    """A time as the database's own driver takes it: on SQLite a text without a zone."""
    return database.ops.adapt_datetimefield_value(moment)


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
