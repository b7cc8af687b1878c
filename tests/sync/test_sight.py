"""What is no longer visible: kept, neither running nor ended, and what it was again when it is seen again."""

from collections.abc import Callable

import pytest
from django.db import transaction
from django.utils import timezone

from dashboard.models import Batch, Connection, Counter, Transition
from dashboard.models.batch import FOR_EVER
from dashboard.models.connection import reading_again
from dashboard.sync.absorb import ClaimLost, absorb
from dashboard.sync.sight import lose, missed
from tests.sync.conftest import Vendor, remote

VendorOf = Callable[..., Vendor]


def counted() -> dict[str, int]:
    """Batches by outcome, after a proof that the counters say the same."""
    kept = {(c.status, c.outcome): c.batches for c in Counter.objects.all() if c.batches}
    rows: dict[tuple[str, str], int] = {}
    outcomes: dict[str, int] = {}
    for status, outcome in Batch.objects.values_list("status", "outcome"):
        rows[status, outcome] = rows.get((status, outcome), 0) + 1
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert kept == rows
    return outcomes


def test_one_miss_is_not_gone_and_three_are(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300, open_positions=[250])
    vendor.pull()
    batch = Batch.objects.open().get()
    vendor.world.faults.add("vanish", batch.remote_id)
    for misses in (1, 2):
        vendor.pull()
        batch.refresh_from_db()
        assert (batch.misses, batch.gone_at, batch.outcome) == (misses, None, "open")
    revision = vendor.connection.revision
    vendor.pull()
    batch.refresh_from_db()
    assert batch.gone_at
    assert batch.revision > revision
    assert vendor.connection.revision >= batch.revision
    assert (batch.outcome, batch.status) == ("unseen", "in_progress")
    assert "open" not in counted(), "it does not count as running"
    assert vendor.pull().requests == 1, "what is gone is not asked for in every cycle"
    assert vendor.connection.batches.count() == 300, "the list never shrinks"


@pytest.mark.parametrize("trait", ["", "list_is_stale"])
def test_what_is_seen_again_is_what_it_is(vendor_of: VendorOf, trait: str) -> None:
    vendor = vendor_of(50, open_positions=[3])
    vendor.pull()
    if trait:
        Connection.objects.update(**{trait: True})
    batch = Batch.objects.open().get()
    vendor.world.faults.add("vanish", batch.remote_id)
    for _ in range(3):
        vendor.pull()
    assert counted()["unseen"] == 1
    vendor.world.faults.clear()
    vendor.pull()
    batch.refresh_from_db()
    assert (batch.outcome, batch.gone_at, batch.misses) == ("open", None, 0)
    assert counted()["open"] == 1


def test_a_finished_batch_that_goes_keeps_its_outcome(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300)
    vendor.pull()
    batch = Batch.objects.order_by("place")[10]
    before = counted()
    Batch.objects.filter(pk=batch.pk).update(refresh_until=FOR_EVER)
    vendor.world.faults.add("vanish", batch.remote_id)
    for _ in range(3):
        vendor.pull()
    outcome = batch.outcome
    batch.refresh_from_db()
    assert batch.gone_at
    assert batch.outcome == outcome
    assert counted() == before


def test_a_connection_that_comes_back_sees_again_what_is_still_there(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300, open_positions=[3, 250])
    vendor.pull()
    with transaction.atomic():
        lose(vendor.connection.pk, Batch.objects.open(), timezone.now())
    assert counted()["unseen"] == 2
    vendor.world.faults.add("vanish", Batch.objects.filter(outcome="unseen").order_by("place")[0].remote_id)
    Connection.objects.update(**reading_again())
    vendor.pull()
    outcomes = counted()
    assert (outcomes["open"], outcomes["unseen"]) == (1, 1)


def test_nothing_is_written_into_a_kept_history(connection: Connection) -> None:
    absorb(connection, [remote()], asked_at=timezone.now(), source=Transition.Source.POLL)
    Connection.objects.update(retired_at=timezone.now())
    with pytest.raises(ClaimLost):
        absorb(connection, [remote(status="cancelling")], asked_at=timezone.now(), source=Transition.Source.ACT)
    assert Batch.objects.get().status == "in_progress"


def test_who_lost_the_claim_misses_nothing(connection: Connection) -> None:
    absorb(connection, [remote()], asked_at=timezone.now(), source=Transition.Source.POLL)
    with pytest.raises(ClaimLost):
        missed(connection, "batch_1", timezone.now(), "the token of before")
    assert Batch.objects.get().misses == 0
