"""Cancel, on batches in every state and with vendors in every mood."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from dashboard.models import Act, AuditEntry, Batch, Connection, User
from dashboard.sync import acts
from tests.sync.conftest import READ_ONLY_KEY, Vendor

VendorOf = Callable[..., Vendor]


@pytest.fixture
def vendor(vendor_of: VendorOf) -> Vendor:
    vendor = vendor_of(50, open_positions=[3])
    vendor.pull()
    vendor.requests()
    return vendor


def running() -> Batch:
    return Batch.objects.select_related("connection").open().get()


def test_cancel_of_a_running_batch(vendor: Vendor, ana: User) -> None:
    batch = running()
    act = acts.cancel(batch, ana, address="127.0.0.1")
    assert (act.state, act.who) == ("accepted", "ana")
    assert act.ended_at
    batch.refresh_from_db()
    assert batch.status == "cancelling"
    assert vendor.requests() == [f"POST /v1/batches/{batch.remote_id}/cancel"]
    step = batch.transitions.latest("pk")
    assert (step.new_status, step.source) == ("cancelling", "act")
    entry, answer = AuditEntry.objects.order_by("pk")
    assert (entry.actor, entry.verb, entry.address) == ("ana", "batch.cancel", "127.0.0.1")
    assert (answer.actor, answer.verb) == ("ana", "batch.cancel_answer")
    assert (answer.detail, answer.http_status, answer.batch_id) == ("accepted", 200, batch.pk)


def test_after_a_cancel_the_next_sync_comes_sooner(vendor: Vendor, ana: User) -> None:
    acts.cancel(running(), ana)
    vendor.connection.refresh_from_db()
    assert vendor.connection.next_sync_at
    assert vendor.connection.next_sync_at < timezone.now() + timedelta(seconds=5)
    vendor.pull()
    assert vendor.connection.cadence <= 10


def test_cancel_of_a_finished_batch_is_refused_and_shows_what_is(vendor: Vendor, ana: User) -> None:
    batch = Batch.objects.select_related("connection").filter(outcome="succeeded").first()
    assert batch
    Batch.objects.filter(pk=batch.pk).update(status="in_progress", is_open=True, payload=b"{}")
    act = acts.cancel(batch, ana)
    assert (act.state, act.http_status) == ("refused", 409)
    assert "Cannot cancel a batch with status 'completed'" in act.words
    answer = AuditEntry.objects.get(verb="batch.cancel_answer")
    assert (answer.detail, answer.http_status, answer.words) == ("refused", 409, act.words)
    batch.refresh_from_db()
    assert batch.status == "completed"


def test_cancel_of_a_batch_already_being_cancelled(vendor: Vendor, ana: User) -> None:
    batch = running()
    acts.cancel(batch, ana)
    act = acts.cancel(batch, ana)
    assert act.state == "accepted"
    batch.refresh_from_db()
    assert batch.status == "cancelling"


def test_cancel_of_a_vanished_batch(vendor: Vendor, ana: User) -> None:
    batch = running()
    vendor.world.faults.add("vanish", batch.remote_id)
    act = acts.cancel(batch, ana)
    assert (act.state, act.http_status, act.error_kind) == ("refused", 404, "not_found")
    batch.refresh_from_db()
    assert batch.status == "in_progress"
    assert batch.gone_at is None


def test_cancel_with_a_key_that_may_only_read(vendor: Vendor, ana: User) -> None:
    vendor.connection.set_key(READ_ONLY_KEY)
    vendor.connection.save()
    act = acts.cancel(running(), ana)
    assert (act.state, act.http_status, act.error_kind) == ("refused", 403, "forbidden")
    assert running().status == "in_progress"


def test_cancel_uses_the_second_key(vendor: Vendor, ana: User) -> None:
    able = vendor.connection.key
    vendor.connection.set_key(READ_ONLY_KEY)
    vendor.connection.set_act_key(able)
    vendor.connection.save()
    assert acts.cancel(running(), ana).state == "accepted"


def test_cancel_with_a_lost_key_sends_nothing(vendor: Vendor, ana: User) -> None:
    Connection.objects.update(sealed_key="gAAAAA-not-ours")
    act = acts.cancel(running(), ana)
    assert (act.state, act.error_kind) == ("refused", "key_lost")
    assert not vendor.requests()


def test_cancel_with_the_vendor_down_was_not_sent(vendor: Vendor, ana: User) -> None:
    Connection.objects.update(base_url="http://127.0.0.1:9/v1")
    act = acts.cancel(running(), ana)
    assert (act.state, act.error_kind) == ("refused", "unreachable")


def test_cancel_whose_answer_is_lost_is_settled_by_a_look(vendor: Vendor, ana: User) -> None:
    vendor.world.faults.add("lost_answer", count=1, only="cancel")
    batch = running()
    act = acts.cancel(batch, ana)
    assert act.state == "accepted"
    batch.refresh_from_db()
    assert batch.status == "cancelling"
    cancels = [request for request in vendor.requests() if request.startswith("POST")]
    assert len(cancels) == 1, "a cancel is never sent twice"


def test_cancel_that_nobody_can_tell_stays_unknown_until_it_is_settled(
    vendor: Vendor, ana: User, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.world.faults.add("server_error", 502, only="cancel")
    vendor.world.faults.add("server_error", 502, only="retrieve")
    act = acts.cancel(running(), ana)
    assert (act.state, act.ended_at) == ("unknown", None)
    assert acts.cancel(running(), ana).pk == act.pk, "a second click does not send a second cancel"
    assert acts.unsettled() == [], "it is given a moment"
    Act.objects.update(began_at=timezone.now() - timedelta(minutes=1))
    assert acts.unsettled() == [act.pk]
    assert acts.unsettled() == [], "once a minute is often enough"
    caplog.clear()
    with caplog.at_level("INFO", "dashboard.sync.acts"):
        acts.settle(act.pk)
    act.refresh_from_db()
    assert act.state == "unknown", "the vendor still does not answer"
    assert "server_error 502" in caplog.text
    vendor.world.faults.clear()
    acts.settle(act.pk)
    act.refresh_from_db()
    assert (act.state, act.error_kind) == ("refused", "unconfirmed")


def test_a_process_killed_in_the_middle_leaves_an_act_that_is_settled(vendor: Vendor, ana: User) -> None:
    batch = running()
    act = Act.objects.create(batch=batch, kind="cancel", user=ana, who="ana", began_at=timezone.now())
    life = vendor.world.find(batch.remote_id)
    assert life
    vendor.world.cancel(life)
    assert acts.unsettled() == []
    Act.objects.update(began_at=timezone.now() - timedelta(minutes=1))
    assert acts.unsettled() == [act.pk]
    acts.settle(act.pk)
    act.refresh_from_db()
    batch.refresh_from_db()
    assert (act.state, batch.status) == ("accepted", "cancelling")


@pytest.mark.parametrize("auth_style", ["bearer", "none"])
def test_an_act_of_a_removed_connection_is_given_up_without_a_call(vendor: Vendor, ana: User, auth_style: str) -> None:
    act = Act.objects.create(batch=running(), kind="cancel", who="ana", state="unknown", began_at=timezone.now())
    Connection.objects.update(retired_at=timezone.now(), sealed_key="", auth_style=auth_style)
    acts.settle(act.pk)
    act.refresh_from_db()
    assert (act.state, act.error_kind) == ("refused", "never_known")
    assert not vendor.requests()


@pytest.mark.django_db(transaction=True)
def test_a_double_click_sends_one_cancel(vendor: Vendor, ana: User) -> None:
    vendor.world.faults.add("slow", 0.5, only="cancel")
    batch, states = running(), []

    def click() -> None:
        from django.db import connection

        states.append(acts.cancel(batch, ana).state)
        connection.close()

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert sorted(states) == ["accepted", "sending"]
    assert len([request for request in vendor.requests() if request.startswith("POST")]) == 1
    assert Act.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_fifth_act_at_once_is_told_to_wait(vendor_of: VendorOf, ana: User) -> None:
    vendor = vendor_of(50, open_positions=range(5))
    vendor.pull()
    vendor.world.faults.add("slow", 1.0, only="cancel")
    batches = list(Batch.objects.select_related("connection").open())

    def click(batch: Batch) -> None:
        from django.db import connection

        acts.cancel(batch, ana)
        connection.close()

    clicks = [threading.Thread(target=click, args=(batch,)) for batch in batches[:4]]
    for thread in clicks:
        thread.start()
    while Act.objects.count() < 4:
        pass
    with pytest.raises(acts.Busy):
        acts.cancel(batches[4], ana)
    for thread in clicks:
        thread.join()
    assert Act.objects.filter(state="accepted").count() == 4


def test_cancel_at_an_address_that_is_not_allowed_any_more_is_refused(
    vendor: Vendor, ana: User, settings: Settings
) -> None:
    settings.ALLOW_PRIVATE = False
    act = acts.cancel(running(), ana)
    assert (act.state, act.error_kind) == ("refused", "address_refused")


def test_cancel_takes_no_longer_than_somebody_waits(vendor: Vendor, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "PATIENCE", 1.5)  # less than in life, so that the test is short
    vendor.world.faults.add("server_error", 500, only="cancel")
    vendor.world.faults.add("hang", only="retrieve")
    began = time.monotonic()
    assert acts.cancel(running(), ana).state == "unknown"
    assert time.monotonic() - began < 4


def test_a_second_click_after_the_answer_sends_nothing(vendor: Vendor, ana: User) -> None:
    first, second = acts.cancel(running(), ana), acts.cancel(running(), ana)
    assert first.pk == second.pk
    assert len([request for request in vendor.requests() if request.startswith("POST")]) == 1


def test_a_vendor_that_asked_to_be_left_alone_is(vendor: Vendor, ana: User) -> None:
    later = timezone.now() + timedelta(minutes=5)
    Connection.objects.update(failures=1, next_sync_at=later)
    acts.cancel(running(), ana)
    vendor.connection.refresh_from_db()
    assert vendor.connection.next_sync_at == later
