"""The first import: all of it, once, whatever happens in the middle."""

from collections.abc import Callable

from dashboard.models import Batch, Connection, Reading, Transition
from dashboard.sync.columns import rename
from dashboard.sync.pull import pull
from tests.sync.conftest import Vendor

VendorOf = Callable[..., Vendor]


def test_first_import_brings_every_batch_once(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_234)
    run = vendor.pull()
    assert (run.kind, run.ending, run.seen, run.changed) == ("import", "good", 1_234, 1_234)
    assert vendor.connection.batches.count() == vendor.connection.import_count == 1_234
    assert vendor.connection.imported_at
    assert len(vendor.requests()) == 13


def test_import_goes_on_after_a_crash_from_where_it_was(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_500)
    pages = iter(range(100))
    run = pull(vendor.connection.pk, stop=lambda: next(pages) > 7)
    assert run is not None
    assert run.ending == "stopped"
    first = vendor.requests()
    vendor.connection.refresh_from_db()
    assert 0 < vendor.connection.import_count < 1_500
    assert vendor.connection.import_cursor
    assert not vendor.connection.claim_token
    assert vendor.pull().ending == "good"
    assert vendor.connection.batches.count() == 1_500
    assert len(first) + len(vendor.requests()) == 15


def test_import_keeps_what_it_has_when_the_vendor_fails(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_200)
    pages = iter(range(100))
    pull(vendor.connection.pk, stop=lambda: next(pages) > 7)
    kept = vendor.connection.batches.count()
    vendor.world.faults.add("server_error", 500, only="list")
    assert vendor.pull().error_kind == "server_error"
    assert vendor.connection.batches.count() == kept > 0
    assert not vendor.connection.imported_at
    vendor.world.faults.clear()
    assert vendor.pull().ending == "good"
    assert vendor.connection.batches.count() == 1_200


def test_import_of_two_pages_in_turn_ends_at_the_first_with_nothing_new(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300)
    vendor.world.faults.add("alternate")
    run = pull(vendor.connection.pk)
    assert run
    assert (run.ending, run.error_kind, run.requests) == ("good", "circle", 3)
    assert Batch.objects.count() == 200


def test_import_whose_cursor_is_gone_begins_again(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300)
    Connection.objects.update(import_cursor="batch_of_another_life", import_count=100)
    assert vendor.pull().ending == "failed"
    assert vendor.connection.import_cursor == ""
    assert vendor.pull().ending == "good"
    assert vendor.connection.batches.count() == vendor.connection.import_count == 300


def test_names_that_are_changed_in_mid_import_are_the_names_of_every_batch(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_500)

    def change(_count: int) -> None:
        connection = Connection.objects.get()
        if connection.name_key != "team":
            connection.name_key = "team"
            connection.save(update_fields=["name_key"])
            rename(connection)

    pull(vendor.connection.pk, progress=change)
    batches = list(Batch.objects.filter(metadata__team__isnull=False))
    assert len(batches) > 1_000
    assert all(batch.name == batch.metadata["team"] for batch in batches)


def test_import_does_not_flood_the_activity(vendor_of: VendorOf) -> None:
    vendor_of(300).pull()
    assert not Transition.objects.exists()
    assert not Reading.objects.exists()
