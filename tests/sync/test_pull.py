"""Who syncs a connection and when, and the account that every sync leaves."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from dashboard.models import Batch, Connection, SyncRun, Transition
from dashboard.sync.absorb import ClaimLost, absorb
from dashboard.sync.pull import IDLE_CADENCE, OPEN_CADENCE, cadence_of, claim, pull
from tests.sync.conftest import Vendor, remote

VendorOf = Callable[..., Vendor]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("unauthorized", "bad_key"),
        ("rate_limit", "rate_limited"),
        ("server_error", "server_error"),
        ("html", "not_json"),
        ("not_found", "not_found"),
        ("disconnect", "unreachable"),
        ("error_200", "refused"),
    ],
)
def test_a_failure_is_named_and_what_was_known_stays(vendor_of: VendorOf, fault: str, kind: str) -> None:
    vendor = vendor_of(100)
    vendor.pull()
    good = vendor.connection.synced_at
    vendor.world.faults.add(fault)
    run = vendor.pull()
    assert run.ending == "failed"
    assert run.error_kind == vendor.connection.error_kind == kind
    assert vendor.connection.synced_at == good
    assert vendor.connection.failing_since
    assert vendor.connection.batches.count() == 100
    vendor.world.faults.clear()
    assert vendor.pull().ending == "good"
    assert (vendor.connection.error_kind, vendor.connection.failures) == ("", 0)
    assert vendor.connection.failing_since is None


def test_retry_after_is_honoured(vendor_of: VendorOf) -> None:
    vendor = vendor_of(10)
    vendor.world.faults.add("rate_limit", 77)
    vendor.pull()
    assert vendor.connection.next_sync_at
    assert 70 < (vendor.connection.next_sync_at - timezone.now()).total_seconds() <= 77


def test_back_off_grows_and_is_bounded(vendor_of: VendorOf) -> None:
    vendor = vendor_of(10)
    vendor.world.faults.add("server_error", 503)
    waits = []
    for _ in range(12):
        vendor.pull()
        assert vendor.connection.next_sync_at
        waits.append((vendor.connection.next_sync_at - timezone.now()).total_seconds())
    assert waits[0] < 35
    assert waits[3] > 2 * waits[0]
    assert max(waits) <= 900


def test_a_key_that_is_gone_asks_nothing(vendor_of: VendorOf) -> None:
    vendor = vendor_of(10)
    Connection.objects.update(sealed_key="gAAAAA-not-ours")
    assert vendor.pull().error_kind == "key_lost"
    Connection.objects.update(sealed_key="")
    assert vendor.pull().error_kind == "key_missing"
    assert not vendor.requests()


def test_only_one_worker_syncs_a_connection(vendor_of: VendorOf) -> None:
    vendor = vendor_of(10)
    assert claim(vendor.connection.pk)
    assert claim(vendor.connection.pk) == ""
    assert pull(vendor.connection.pk) is None
    assert not vendor.requests()


def test_a_claim_left_by_a_killed_worker_lapses_in_two_minutes(vendor_of: VendorOf) -> None:
    vendor = vendor_of(10)
    now = timezone.now()
    assert claim(vendor.connection.pk, now)
    assert claim(vendor.connection.pk, now + timedelta(seconds=119)) == ""
    assert claim(vendor.connection.pk, now + timedelta(seconds=121))


def test_who_lost_the_claim_writes_nothing(vendor_of: VendorOf) -> None:
    vendor = vendor_of(10)
    old = claim(vendor.connection.pk)
    assert claim(vendor.connection.pk, timezone.now() + timedelta(minutes=3))
    with pytest.raises(ClaimLost):
        absorb(vendor.connection, [remote()], asked_at=timezone.now(), source=Transition.Source.POLL, claim=old)
    assert not Batch.objects.exists()


def test_paused_and_retired_connections_are_left_alone(vendor_of: VendorOf) -> None:
    vendor = vendor_of(10)
    Connection.objects.update(paused_at=timezone.now())
    assert pull(vendor.connection.pk) is None
    Connection.objects.update(paused_at=None, retired_at=timezone.now())
    assert pull(vendor.connection.pk) is None
    assert pull(vendor.connection.pk, only_due=False) is None
    assert not vendor.requests()


def test_cadence_follows_the_data(vendor_of: VendorOf) -> None:
    now = timezone.now()
    idle, busy = vendor_of(20, name="idle"), vendor_of(20, name="busy", open_positions=[2])
    for vendor in (idle, busy):
        vendor.pull()
        assert vendor.connection.next_sync_at
        assert vendor.connection.next_sync_at <= timezone.now(), "what an import read first is read again at once"
        vendor.pull()
    assert cadence_of(idle.connection, now) == IDLE_CADENCE
    assert cadence_of(busy.connection, now) == OPEN_CADENCE
    idle.connection.hurry_until = now + timedelta(minutes=3)
    assert cadence_of(idle.connection, now) <= 10
    busy.connection.interval = 5
    assert cadence_of(busy.connection, now) == 5
    assert busy.connection.next_sync_at
    wait = (busy.connection.next_sync_at - now).total_seconds()
    assert 0.8 * OPEN_CADENCE <= wait <= 1.25 * OPEN_CADENCE


def test_every_cycle_leaves_an_account(vendor_of: VendorOf) -> None:
    vendor = vendor_of(20)
    vendor.pull()
    vendor.pull()
    kinds = list(SyncRun.objects.order_by("pk").values_list("kind", "ending", "requests", "seen", "changed"))
    assert kinds == [("import", "good", 1, 20, 20), ("cycle", "good", 1, 20, 0)]


def test_a_connection_dropped_in_mid_sync_ends_quietly(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_500)

    def drop(_count: int) -> None:
        Connection.objects.all().delete()

    assert pull(vendor.connection.pk, progress=drop) is None or not SyncRun.objects.exists()
    assert not Batch.objects.exists()
