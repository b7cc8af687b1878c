"""What to write: remote batches into rows, and what changed into history.

One short transaction a page. Compare in Python, upsert only what changed, as plain tuples: Django's bulk_create costs
three times as much, and an import is a hundred thousand of these.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection as database
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from dashboard.dialects.base import RemoteBatch
from dashboard.insight.concerns import first_look
from dashboard.models import Batch, Connection, Transition
from dashboard.models.batch import TERMINAL, Status, place_of
from dashboard.models.flow import QUARTER, Took, day_of, length_of, note_ended, note_flow, quarter_of
from dashboard.models.search import index_new, note_facets
from dashboard.sync.columns import COUNTS, OUTCOME, SAID, TIMES, began_at, columns_of, counts_of, end_of, said_of
from dashboard.sync.concerns import judge
from dashboard.sync.files import is_news
from dashboard.sync.files import note_ended as wish_for_files

Source = Transition.Source
CLAIM_LIFE = timedelta(minutes=2)
LATE_SECONDS = 2 * QUARTER
LIST_PROVES_NOTHING = 3  # cycles open and unchanged in the list, after which the batch itself is asked once

ENDED = [SAID.index(column) for column in ("status", "outcome", "created_at", "finished_at", "model", "endpoint")]
KEPT = ("payload", "asked_at", "revision", "unchanged_cycles", "misses", "gone_at", "judge_at")
ONCE = ("connection_id", "remote_id", "ordered_at", "place", "first_seen_at")
FACETS = [(field, len(ONCE) + SAID.index(field)) for field in ("model", "endpoint")]  # and where they stand in a row
# Given in unix seconds, as vendors do. The database makes times of them: in Python that costs ten times as much.
SECONDS = {*TIMES, "finished_at", "refresh_until", "ordered_at", "judge_at"}
FROM_SECONDS = {"sqlite": "datetime(%s, 'unixepoch')", "postgresql": "to_timestamp(%s)"}
OVERWRITE = "ON CONFLICT (connection_id, remote_id) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}" for column in (*SAID, *KEPT)
)


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
                counts = dict(zip(COUNTS, counts_of(old), strict=True))
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
            if news.ended or news.ended_now:
                wish_for_files(connection, news.ended, news.ended_now)
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
    # What charts are made of: ends by quarter of an hour and outcome, and how long those took; requests that ended.
    ends: Tally[tuple[int, str]] = field(default_factory=Tally)
    took: Tally[Took] = field(default_factory=Tally)
    completed: int = 0
    failed: int = 0
    ended_now: list[str] = field(default_factory=list)  # that were seen open before


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
    _count_end(said, 1, news)
    if is_news(remote, end_of(remote), news.second, is_import=news.source == Source.IMPORT):
        news.ended.append(remote.remote_id)
    if news.source == Source.IMPORT and remote.status in TERMINAL:
        # Its row says all there is: a transition would flood the activity, a reading would repeat the counts.
        return
    news.transitions.append((remote.remote_id, "", said[0], began_at(remote, said[0])))
    news.readings.append(remote)
    if news.source != Source.IMPORT:
        news.completed += remote.requests_completed or 0
        news.failed += remote.requests_failed or 0


def _changed(connection: Connection, remote: RemoteBatch, old: Batch, revision: int, news: _News) -> bool:
    """Whether anything that shows has changed; what must be written goes into the news."""
    if bytes(old.payload) == remote.payload and not old.misses and not old.gone_at:
        if news.source == Source.ACT:
            # An act's answer stands against every list that was asked for before it came, changed or not.
            Batch.objects.filter(pk=old.pk).update(asked_at=news.asked_at)
        return False
    said = columns_of(connection, remote, news.second, old=old, source=news.source)
    before = tuple(said_of(old))
    changed = before != said or old.gone_at is not None
    news.changed.append(_row_of(connection, remote, said, revision if changed else old.revision, news))
    if not changed:
        return False
    is_over = bool(old.errors) and not remote.errors
    if is_over or is_news(remote, end_of(remote), news.second, is_import=news.source == Source.IMPORT):
        news.ended.append(remote.remote_id)
    if old.is_open and remote.status in TERMINAL:
        news.ended_now.append(remote.remote_id)
    status, outcome = str(said[0]), str(said[2])
    if (old.status, old.outcome) != (status, outcome):
        news.tally[old.status, old.outcome] -= 1
        news.tally[status, outcome] += 1
    if old.status != status:
        news.transitions.append((remote.remote_id, old.status, status, began_at(remote, status)))
    if (old.status, *counts_of(old)) != (status, *counts_of(remote)):
        news.readings.append(remote)
        # A vendor may count down, when a retry revives a batch: that undoes nothing that has ended.
        news.completed += max(0, (remote.requests_completed or 0) - (old.requests_completed or 0))
        news.failed += max(0, (remote.requests_failed or 0) - (old.requests_failed or 0))
    if [before[at] for at in ENDED] != [said[at] for at in ENDED]:
        _count_end(before, -1, news)
        _count_end(said, 1, news)
    return True


def _count_end(said: tuple[Any, ...], more: int, news: _News) -> None:
    """Count an end for the charts, or take it back."""
    status, outcome, created_at, finished_at, model, endpoint = (said[at] for at in ENDED)
    if finished_at is None:
        return
    news.ends[quarter_of(finished_at), outcome] += more
    if status == Status.COMPLETED and created_at is not None and created_at <= finished_at:
        news.took[day_of(finished_at), model, endpoint, length_of(finished_at - created_at)] += more


def _row_of(
    connection: Connection, remote: RemoteBatch, said: tuple[Any, ...], revision: int, news: _News
) -> tuple[Any, ...]:
    second = news.second if remote.created_at is None else remote.created_at
    place = place_of(connection.pk, remote.remote_id, second)
    once = (connection.pk, remote.remote_id, second, place, news.asked)
    judge_at = news.second
    if news.source == Source.IMPORT:
        has_output = bool(remote.output_file_id)
        judge_at = first_look(remote.status, said[OUTCOME], end_of(remote), news.second, has_output=has_output)
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
        rows = [*news.new, *news.changed]
        note_facets(connection.pk, [(field, row[at]) for field, at in FACETS for row in rows])
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
                [(pks[remote.remote_id], news.asked, remote.status, *counts_of(remote)) for remote in news.readings],
            )
        if tally := [(connection.pk, *kind, delta) for kind, delta in news.tally.items() if delta]:
            cursor.executemany(
                "INSERT INTO dashboard_counter (connection_id, status, outcome, batches) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (connection_id, status, outcome)"
                " DO UPDATE SET batches = dashboard_counter.batches + excluded.batches",
                tally,
            )
    note_ended(connection.pk, news.ends, news.took)
    if news.completed or news.failed:
        _note_flow(connection, news)


def _note_flow(connection: Connection, news: _News) -> None:
    """Requests that ended since we last looked, in the quarter of now; of a long absence nobody knows when in it."""
    seen = connection.synced_at
    if seen is not None and news.second - seen.timestamp() <= LATE_SECONDS:
        note_flow(connection.pk, news.second, completed=news.completed, failed=news.failed)
    else:
        note_flow(connection.pk, news.second, late=news.completed + news.failed)


def _insert_into_batches(from_seconds: str) -> str:
    columns = (*ONCE, *SAID, *KEPT)
    values = ", ".join(from_seconds if column in SECONDS else "%s" for column in columns)
    return f"INSERT INTO dashboard_batch ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 (of our own)


def _stamp(moment: datetime) -> Any:
    """A time as the database's own driver takes it: on SQLite a text without a zone."""
    return database.ops.adapt_datetimefield_value(moment)
