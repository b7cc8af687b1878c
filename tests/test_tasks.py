"""What the tick does; messages are read off a real queue, tasks called as the worker calls them."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.beat import Scheduler
from django.utils import timezone
from pytest_django import Settings

from dashboard import tasks
from dashboard.celery import TICK_SECONDS, app
from dashboard.insight.pulse import read_pulse
from dashboard.models import Act, Batch, Connection, FileRead, Part, SyncRun, Transition, User
from dashboard.sync.absorb import absorb
from tests.sync.conftest import Vendor, connection, remote, vendor_of

__all__ = ["connection", "vendor_of"]
type VendorOf = Callable[..., Vendor]
type Take = Callable[[], list[tuple[str, list[Any], datetime]]]


@pytest.fixture
def take() -> Iterator[Take]:
    """Takes every waiting message off the queue: (task, arguments, when it expires)."""
    with app.connection_for_read() as broker:
        queue = broker.SimpleQueue("dashboard")

        def take() -> list[tuple[str, list[Any], datetime]]:
            messages: list[tuple[str, list[Any], datetime]] = []
            while True:
                try:
                    message = queue.get(block=False)
                except queue.Empty:
                    return messages
                message.ack()
                expires = datetime.fromisoformat(message.headers["expires"]).astimezone(UTC)
                messages.append((message.headers["task"], message.payload[0], expires))

        take()
        yield take
        queue.close()


def test_the_only_entry_of_the_schedule_expires_just_before_the_next(take: Take) -> None:
    scheduler = Scheduler(app=app)
    assert [name for name in scheduler.schedule if not name.startswith("celery.")] == ["tick"]
    scheduler.apply_async(scheduler.schedule["tick"], producer=scheduler.producer, advance=False)
    [(task, _arguments, expires)] = take()
    assert task == "dashboard.tasks.tick"
    life = (expires - timezone.now()).total_seconds()
    assert 0.5 * TICK_SECONDS < life < TICK_SECONDS


def test_the_tick_sends_what_is_to_be_dropped_until_it_is_gone(connection: Connection, take: Take) -> None:
    now = timezone.now()
    Connection.objects.update(retired_at=now, dropped_at=now)
    tasks.tick()
    assert [(task, arguments) for task, arguments, _expires in take()] == [
        ("dashboard.tasks.drop_history", [connection.pk])
    ]
    tasks.drop_history(connection.pk)
    assert not Connection.objects.exists()


def test_the_tick_sends_each_due_connection_by_number_alone(vendor_of: VendorOf, take: Take) -> None:
    due, later, paused = vendor_of(1, name="due"), vendor_of(1, name="later"), vendor_of(1, name="paused")
    Connection.objects.filter(pk=later.connection.pk).update(next_sync_at=timezone.now() + timedelta(minutes=1))
    Connection.objects.filter(pk=paused.connection.pk).update(paused_at=timezone.now())
    tasks.tick()
    [(task, arguments, expires)] = take()
    assert (task, arguments) == ("dashboard.tasks.sync_connection", [due.connection.pk])
    assert expires < timezone.now() + timedelta(seconds=tasks.MESSAGE_LIFE + 1)
    tasks.sync_connection(*arguments)
    assert Batch.objects.count() == 1
    tasks.sync_connection(*arguments)  # an import is followed by a cycle at once
    tasks.tick()
    assert take() == []


def test_a_message_that_comes_twice_syncs_once(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1)
    vendor.pull()
    tasks.sync_connection(vendor.connection.pk)
    tasks.sync_connection(vendor.connection.pk)
    assert [run.kind for run in SyncRun.objects.order_by("pk")] == ["import", "cycle"]


def test_one_bad_connection_does_not_delay_another(vendor_of: VendorOf, take: Take) -> None:
    bad, good = vendor_of(1, name="bad"), vendor_of(1, name="good")
    Connection.objects.filter(pk=bad.connection.pk).update(base_url="http://127.0.0.1:9/v1")
    tasks.tick()
    for _task, arguments, _expires in take():
        tasks.sync_connection(*arguments)
    bad.connection.refresh_from_db()
    good.connection.refresh_from_db()
    assert bad.connection.error_kind == "unreachable"
    assert good.connection.synced_at


def test_a_deadline_that_passes_moves_the_token(connection: Connection) -> None:
    soon = int(timezone.now().timestamp()) + 60
    absorb(connection, [remote(expires_at=soon)], asked_at=timezone.now(), source=Transition.Source.POLL)
    before = read_pulse().token
    tasks.mark_overdue(timezone.now())
    assert read_pulse().token == before
    tasks.mark_overdue(timezone.now() + timedelta(seconds=61))
    batch = Batch.objects.get()
    connection.refresh_from_db()
    assert batch.is_overdue
    assert batch.status == "in_progress", "overdue is not expired: only the vendor says expired"
    assert batch.revision == connection.revision
    assert read_pulse().token != before


def test_health_follows_the_clock_and_moves_the_token(connection: Connection) -> None:
    now = timezone.now()
    Connection.objects.update(synced_at=now, cadence=45, tried_at=now)
    healths, tokens = [], []
    for minutes in (0, 2, 4, 11):
        tasks.judge_health(now + timedelta(minutes=minutes))
        healths.append(Connection.objects.get().health)
        tokens.append(read_pulse().token)
    assert healths == ["in_step", "in_step", "stale", "lost"]
    assert tokens[0] == tokens[1]
    assert len(set(tokens)) == 3


def test_the_tick_leaves_a_sign_of_life(db: None) -> None:
    tasks.tick()
    part = Part.objects.get(name="worker")
    assert part.seen_at
    assert timezone.now() - part.seen_at < timedelta(seconds=5)


def test_connections_are_synced_whatever_breaks_in_judging_them(
    connection: Connection, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.sync.concerns.judge_due", lambda now: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tasks.tick()
    assert [(task, arguments) for task, arguments, _ in take()] == [
        ("dashboard.tasks.sync_connection", [connection.pk])
    ]


def test_an_act_left_behind_is_sent_to_be_settled(connection: Connection, ana: User, take: Take) -> None:
    absorb(connection, [remote()], asked_at=timezone.now(), source=Transition.Source.POLL)
    Connection.objects.update(next_sync_at=timezone.now() + timedelta(hours=1))
    long_ago = timezone.now() - timedelta(minutes=1)
    act = Act.objects.create(batch=Batch.objects.get(), kind="cancel", user=ana, who="ana", began_at=long_ago)
    tasks.tick()
    assert [(task, arguments) for task, arguments, _ in take()] == [("dashboard.tasks.settle_act", [act.pk])]


def test_wanted_files_are_read_one_after_another_of_each_connection(vendor_of: VendorOf, take: Take) -> None:
    one, two = vendor_of(0, name="one", failing=0.0), vendor_of(0, name="two", failing=0.0)
    for vendor in (one, one, two):
        vendor.pull()
        vendor.finished("ok-1", "fail-1")
    Connection.objects.update(next_sync_at=timezone.now() + timedelta(hours=1))
    tasks.tick()
    messages = take()
    assert {task for task, _, _ in messages} == {"dashboard.tasks.read_file"}
    reads = [FileRead.objects.get(pk=arguments[0]) for _, arguments, _ in messages]
    assert {read.batch.connection.name for read in reads} == {"one", "two"}
    assert len(reads) == 2
    tasks.read_file(reads[0].pk)
    tasks.read_file(reads[0].pk)  # a message that comes twice
    first = FileRead.objects.filter(batch__connection=reads[0].batch.connection_id)
    assert set(first.values_list("state", flat=True)) == {"read"}, "one message goes on with the connection's next file"
    tasks.tick()
    assert [arguments for _, arguments, _ in take()] == [[reads[1].pk]]


def test_files_never_take_the_threads_of_the_tick(vendor_of: VendorOf) -> None:
    vendor = vendor_of(0, failing=0.0)
    vendor.pull()
    vendor.finished("fail-1")
    for _ in range(tasks.READERS):
        assert tasks._readers.acquire(blocking=False)
    try:
        tasks.read_file(FileRead.objects.get().pk)
        assert FileRead.objects.get().state == "wanted", "with every reader taken, the next tick asks again"
        tasks.sync_connection(vendor.connection.pk)
    finally:
        for _ in range(tasks.READERS):
            tasks._readers.release()


def test_a_worker_that_is_asked_to_end_begins_no_file(vendor_of: VendorOf) -> None:
    vendor = vendor_of(0, failing=0.0)
    vendor.pull()
    vendor.finished("fail-1")
    tasks.stop_at_next_page()
    try:
        tasks.read_file(FileRead.objects.get().pk)
    finally:
        tasks._stopping.clear()
    assert FileRead.objects.get().state == "wanted"


def test_the_sweep_throws_away_only_what_is_old(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    now = timezone.now()
    for days in (1, 13, 15, 40):
        SyncRun.objects.create(connection=connection, kind="cycle", began_at=now - timedelta(days=days), ending="good")
    settings.CELERY_BROKER_URL = f"sqla+sqlite:///{tmp_path / 'broker.sqlite3'}"
    with sqlite3.connect(tmp_path / "broker.sqlite3") as broker:
        broker.execute("CREATE TABLE kombu_message (id integer, visible boolean)")
        broker.execute("INSERT INTO kombu_message VALUES (1, 0), (2, 1)")
    tasks.sweep()
    assert SyncRun.objects.count() == 2
    assert broker.execute("SELECT id FROM kombu_message").fetchall() == [(2,)]
    broker.close()
