"""What test_postgresql.py runs with DATABASE_URL set. Not collected by itself, because it means nothing elsewhere."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.dialects.base import RemotePage
from dashboard.insight.query import query_of
from dashboard.insight.search import find
from dashboard.models import Batch, Connection, Counter, Transition, User
from dashboard.simulator import KEY, World, serve
from dashboard.sync import acts
from dashboard.sync.absorb import absorb
from dashboard.sync.pull import claim, pull
from dashboard.sync.vendor import open_vendor
from tests.searched import words_query

WAIT = 60


@pytest.fixture(autouse=True)
def _on_postgresql() -> None:
    assert database.vendor == "postgresql", "this run was meant for PostgreSQL"


@pytest.fixture
def world() -> World:
    """Quiet but for its three newest batches, which stay in progress."""
    return World(250, open=0, open_positions=(0, 1, 2))


@pytest.fixture
def base_url(world: World) -> Iterator[str]:
    with serve(world) as url:
        yield url


@pytest.fixture
def connection(transactional_db: None, base_url: str) -> Connection:
    connection = Connection(name="lab", base_url=base_url)
    connection.set_key(KEY)
    connection.save()
    return connection


def in_parallel(*works: Callable[[], object]) -> list[object]:
    """What each returned, all of them let go at the same moment, each with a database connection of its own."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        try:
            gate.wait(WAIT)
            return work()
        finally:
            database.close()

    with ThreadPoolExecutor(len(works)) as pool:
        running: list[Future[object]] = [pool.submit(run, work) for work in works]
        return [future.result(WAIT) for future in running]


@pytest.mark.django_db
def test_the_migrations_have_made_everything_that_the_models_say() -> None:
    call_command("makemigrations", check=True, dry_run=True, stdout=StringIO())
    with database.cursor() as cursor:
        cursor.execute("SELECT extname FROM pg_extension")
        assert ("pg_trgm",) in cursor.fetchall()


@pytest.mark.django_db(transaction=True)
def test_the_migrations_go_back_and_forth() -> None:
    call_command("migrate", "dashboard", "0001", verbosity=0)
    call_command("migrate", "dashboard", verbosity=0)
    with database.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'dashboard_batch'")
        assert ("dashboard_batch_search",) in cursor.fetchall()


def found(*words: str) -> set[int]:
    return {match.pk for match in find(words_query(words), limit=1000).matches}


def test_search_finds_by_name_id_and_metadata_whatever_the_case(connection: Connection) -> None:
    run = pull(connection.pk)
    assert run is not None
    assert (run.ending, run.seen) == ("good", 250)
    batch = Batch.objects.exclude(name="").order_by("pk")[0]
    word = max(batch.name.split(), key=len)
    remote_id = batch.remote_id
    starts = (remote_id, remote_id[:14], remote_id.removeprefix("batch_")[:14])
    for words in ([word], [word.upper()], [word[1:]], *([start] for start in starts), [remote_id[-8:], word]):
        assert batch.pk in found(*words), words
    tagged = Batch.objects.exclude(metadata={}).order_by("pk")[0]
    for value in tagged.metadata.values():
        assert tagged.pk in found(value)
    for hostile in ("100%", "a_b%c", "\\", "it's", '"; DROP TABLE', "%%%"):
        assert not found(hostile), hostile


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("nightly", "dashboard_batch_search "),
        ("model:gpt", "dashboard_batch_search_line "),
        ("meta.team:research -outcome:expired", "dashboard_batch_search_line "),
        ("id:batch_6", "dashboard_batch_search_id "),
    ],
)
def test_search_can_go_by_its_index(connection: Connection, text: str, index: str) -> None:
    pull(connection.pk)
    with CaptureQueriesContext(database) as asked:
        assert find(query_of(text, {}), limit=1000).matches
    plans = []
    with database.cursor() as cursor:
        # What is left are indexes of many values, if the query is one that they serve, and lists in their order.
        cursor.execute("SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off")
        try:
            for query in asked:
                cursor.execute(f"EXPLAIN {query['sql']}")
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
        finally:
            cursor.execute("RESET enable_seqscan; RESET enable_indexscan; RESET enable_indexonlyscan")
    assert any(index in plan for plan in plans), plans


def test_of_two_workers_that_start_together_one_syncs(connection: Connection, world: World) -> None:
    for _ in range(5):
        Connection.objects.filter(pk=connection.pk).update(imported_at=None, import_cursor="", next_sync_at=None)
        runs = in_parallel(*[lambda: pull(connection.pk)] * 4)
        assert len([run for run in runs if run is not None]) == 1
    listed = [call for call in world.requests if call.path.startswith("/v1/batches?")]
    assert len(listed) == 5 * 3, "nobody asked for a page that another one had"
    assert Batch.objects.count() == 250


def test_a_claim_goes_to_exactly_one(connection: Connection) -> None:
    for _ in range(20):
        Connection.objects.filter(pk=connection.pk).update(claim_until=None)
        tokens = in_parallel(*[lambda: claim(connection.pk)] * 4)
        won = [token for token in tokens if token]
        assert len(won) == 1
        assert Connection.objects.get(pk=connection.pk).claim_token == won[0]


def test_a_list_and_a_cancel_that_are_absorbed_at_once_leave_the_cancel(connection: Connection, ana: User) -> None:
    pull(connection.pk)
    for batch in Batch.objects.open().order_by("pk"):
        asked_at = timezone.now()
        with open_vendor(connection) as vendor:
            page = vendor.list_batches()
        before = {remote.remote_id: remote.status for remote in page.batches}
        assert before[batch.remote_id] == "in_progress"

        def read(batch: Batch = batch) -> object:
            return acts.cancel(batch, ana).state

        def write(asked_at: datetime = asked_at, page: RemotePage = page) -> object:
            return absorb(connection, page.batches, asked_at=asked_at, source=Transition.Source.POLL, from_list=True)

        cancelled, *_ = in_parallel(read, write, write, write)
        assert cancelled == "accepted"
        batch.refresh_from_db()
        assert batch.status in {"cancelling", "cancelled"}
        write()
        batch.refresh_from_db()
        assert batch.status in {"cancelling", "cancelled"}, "a list that was asked for earlier cannot undo it"
        assert Transition.objects.filter(batch=batch, new_status="in_progress", source="poll").count() == 0


def test_counters_stay_true_when_many_write_at_once(connection: Connection) -> None:
    with open_vendor(connection) as vendor:
        first = vendor.list_batches()
        second = vendor.list_batches(first.next_cursor)
        third = vendor.list_batches(second.next_cursor)
    asked_at = timezone.now()
    pages = [first, second, third, first, second, third]

    def write(number: int) -> Callable[[], object]:
        later = asked_at + timedelta(seconds=number)
        return lambda: absorb(connection, pages[number].batches, asked_at=later, source=Transition.Source.POLL)

    in_parallel(*[write(number) for number in range(6)])
    assert Batch.objects.count() == 250
    counted = {(c.status, c.outcome): c.batches for c in Counter.objects.all() if c.batches}
    rows: dict[tuple[str, str], int] = {}
    for kind in Batch.objects.values_list("status", "outcome"):
        rows[kind] = rows.get(kind, 0) + 1
    assert counted == rows
    assert Transition.objects.filter(old_status="").count() == 250, "each was seen for the first time once"


def test_a_double_click_sends_one_cancel(connection: Connection, world: World, ana: User) -> None:
    pull(connection.pk)
    batch = Batch.objects.open().order_by("pk")[0]
    in_parallel(*[lambda: acts.cancel(Batch.objects.get(pk=batch.pk), ana).pk] * 2)
    sent = [call for call in world.requests if call.method == "POST" and call.path.endswith("/cancel")]
    # The second may come when the first has ended; then it is a second act, but never two at once.
    assert 1 <= len(sent) <= 2
    assert not batch.acts.filter(state__in=["sending", "unknown"]).exists()
