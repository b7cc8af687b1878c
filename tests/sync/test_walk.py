"""The weekly walk over the whole list."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from dashboard.models import Batch, Connection
from dashboard.models.batch import Status
from dashboard.sync.walk import WALK_EVERY, WALK_PAGES
from tests.sync.conftest import Vendor

VendorOf = Callable[..., Vendor]


@pytest.mark.parametrize("order", ["ordered_at", "-ordered_at"])
def test_the_walk_catches_what_cycles_cannot_see(vendor_of: VendorOf, order: str) -> None:
    vendor = vendor_of(700)
    if order == "-ordered_at":
        vendor.world.faults.add("oldest_first")
    vendor.pull()
    lost = Batch.objects.order_by(order).first()
    assert lost
    Batch.objects.filter(pk=lost.pk).update(status=Status.IN_PROGRESS, payload=b"{}", refresh_until=None)
    vendor.pull()
    lost.refresh_from_db()
    assert lost.status == Status.IN_PROGRESS
    Connection.objects.update(walked_at=timezone.now() - WALK_EVERY)
    for _ in range(3):
        assert vendor.pull().requests <= 1 + WALK_PAGES
    lost.refresh_from_db()
    assert not lost.is_open
    assert vendor.connection.walked_at
    assert timezone.now() - vendor.connection.walked_at < timedelta(minutes=1)
    assert vendor.pull().requests == 1


def test_a_walk_whose_place_is_gone_never_breaks_a_cycle(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300)
    vendor.pull()
    Connection.objects.update(walk_cursor="batch_of_another_life")
    for _ in range(2):
        assert vendor.pull().ending == "good"
    assert vendor.connection.walk_cursor == ""


@pytest.mark.parametrize("order", ["", "oldest_first"])
def test_a_walk_over_a_list_that_begins_again_ends(vendor_of: VendorOf, order: str) -> None:
    vendor = vendor_of(800)
    if order:
        vendor.world.faults.add(order)
    vendor.pull()
    Connection.objects.update(walked_at=timezone.now() - WALK_EVERY)
    vendor.pull()
    assert vendor.connection.walk_cursor
    vendor.world.faults.add("loop")
    vendor.pull()
    assert vendor.connection.walk_cursor == ""
