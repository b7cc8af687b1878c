"""Which requests a cycle makes, and what of a vendor's manners is survived."""

from collections.abc import Callable

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.insight.causes import CAUSES
from dashboard.models import Batch, Connection, Transition
from dashboard.models.connection import reading_again
from dashboard.sync.absorb import absorb
from dashboard.sync.walk import WALK_EVERY
from tests.sync.conftest import Vendor, remote

VendorOf = Callable[..., Vendor]


def test_idle_account_costs_one_request_a_cycle(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_000)
    vendor.pull()
    vendor.requests()
    revision = vendor.connection.revision
    for _ in range(3):
        run = vendor.pull()
        assert (run.requests, run.changed) == (1, 0)
        assert len(vendor.requests()) == 1
    assert vendor.connection.revision == revision


@pytest.mark.parametrize(
    ("positions", "most"),
    [
        (range(0, 500, 10), 7),
        (range(0, 5_000, 100), 52),
        ([4_999], 2),
        (range(50), 1),
        (range(2_000, 2_200), 23),
        ([*range(0, 300, 2), *range(4_000, 4_010)], 14),
    ],
    ids=[
        "among the newest 500",
        "scattered",
        "one far back",
        "all on page one",
        "many far back",
        "many and a few far back",
    ],
)
def test_open_batches_are_refreshed_in_as_few_requests_as_that_takes(
    vendor_of: VendorOf, positions: range | list[int], most: int
) -> None:
    vendor = vendor_of(5_000, open_positions=list(positions))
    vendor.pull()
    vendor.clock.ahead += 3_600
    run = vendor.pull()
    assert run.requests <= most
    assert run.changed == len(positions)


def test_a_list_that_proves_nothing_is_not_paged_through(vendor_of: VendorOf) -> None:
    vendor = vendor_of(500, open_positions=range(100, 150))
    vendor.pull()
    Connection.objects.update(list_is_stale=True)
    vendor.requests()
    vendor.pull()
    asked = vendor.requests()
    assert len(asked) == 51
    assert len([path for path in asked if "?limit" in path]) == 1


def test_thousands_of_open_batches_are_placed_without_reading_all_rows(vendor_of: VendorOf) -> None:
    vendor = vendor_of(4_000, open_positions=range(0, 4_000, 2))
    vendor.pull()
    with CaptureQueriesContext(database) as captured:
        assert vendor.pull().requests == 40
    looks = [query["sql"] for query in captured if "LIMIT 1 OFFSET 99" in query["sql"]]
    assert 0 < len(looks) <= 40


def test_batches_move_and_their_history_is_kept(vendor_of: VendorOf) -> None:
    vendor = vendor_of(60, open=6, speed=20.0)
    vendor.pull()
    opened = list(Batch.objects.open())
    assert opened
    for _ in range(30):
        vendor.clock.ahead += 60
        vendor.pull()
    ended = [batch for batch in Batch.objects.filter(pk__in=[batch.pk for batch in opened]) if not batch.is_open]
    assert ended
    assert Batch.objects.count() > 60
    for batch in ended:
        steps = list(batch.transitions.order_by("pk"))
        assert steps[-1].new_status == batch.status
        assert [step.old_status for step in steps][1:] == [step.new_status for step in steps][:-1]
        last = batch.readings.order_by("pk").last()
        assert last is not None
        assert (last.completed, last.failed) == (batch.requests_completed, batch.requests_failed)


@pytest.mark.parametrize(
    ("lie", "told"), [("loop", "circle"), ("alternate", "circle"), ("empty_more", "empty_page"), ("restart", "")]
)
def test_paging_that_lies_ends(vendor_of: VendorOf, lie: str, told: str) -> None:
    vendor = vendor_of(500)
    vendor.world.faults.add(lie)
    run = vendor.pull()
    assert (run.ending, run.error_kind, vendor.connection.error_kind) == ("good", told, "")
    assert not told or told in CAUSES
    assert len(vendor.requests()) < 15
    assert vendor.connection.imported_at
    assert vendor.pull().ending == "good"


def test_a_record_that_cannot_be_read_never_costs_its_page(vendor_of: VendorOf) -> None:
    vendor = vendor_of(100)
    vendor.world.faults.add("bad_records")
    run = vendor.pull()
    assert run.ending == "good"
    assert run.refused > 0
    assert run.seen + run.refused == 100
    assert vendor.connection.refusals.count() > 0
    times = vendor.connection.refusals.get(pk=vendor.connection.refusals.first().pk).times  # type: ignore[union-attr]
    vendor.pull()
    assert vendor.connection.refusals.first().times == times + 1  # type: ignore[union-attr]


def test_odd_fields_never_cost_a_record(vendor_of: VendorOf) -> None:
    vendor = vendor_of(100)
    vendor.world.faults.add("odd_fields")
    assert vendor.pull().seen == 100
    odd = [batch for batch in Batch.objects.all() if batch.oddities]
    assert odd
    assert all(batch.ordered_at for batch in odd)


def test_camel_case_is_read_alike(vendor_of: VendorOf) -> None:
    vendor = vendor_of(100)
    vendor.pull()
    columns = ["remote_id", "outcome", "requests_total", "created_at", "finished_at", "input_file_id", "name"]
    before = list(Batch.objects.order_by("remote_id").values_list(*columns))
    vendor.world.faults.add("camel_case")
    run = vendor.pull()
    assert run.changed == 0
    assert list(Batch.objects.order_by("remote_id").values_list(*columns)) == before


def test_a_list_that_never_moves_is_found_out(vendor_of: VendorOf) -> None:
    vendor = vendor_of(50, open_positions=[3])
    vendor.world.faults.add("stale_list")
    vendor.pull()
    for _ in range(5):
        vendor.clock.ahead += 600
        vendor.pull()
    assert vendor.connection.list_is_stale
    before = Batch.objects.open().get().requests_completed
    vendor.clock.ahead += 3_600
    vendor.pull()
    after = Batch.objects.open().get().requests_completed
    assert before is not None
    assert after is not None
    assert after > before


def test_a_list_without_counts_is_found_out(vendor_of: VendorOf) -> None:
    vendor = vendor_of(50, open_positions=[3])
    vendor.world.faults.add("list_lacks_counts")
    vendor.pull()
    assert Batch.objects.open().get().requests_total is None
    for _ in range(4):
        vendor.pull()
    assert vendor.connection.list_lacks_counts
    vendor.clock.ahead += 3_600
    vendor.pull()
    assert Batch.objects.open().get().requests_total == 50_000


def test_a_batch_that_fails_alone_does_not_stop_the_others(vendor_of: VendorOf) -> None:
    vendor = vendor_of(600, open_positions=[250, 450])
    vendor.pull()
    vendor.clock.ahead += 3_600
    vendor.world.faults.add("server_error", 500, only="retrieve", count=1)
    run = vendor.pull()
    assert run.ending == "good"
    assert run.changed == 1


def test_a_list_without_counts_never_erases_what_is_known(vendor_of: VendorOf) -> None:
    vendor = vendor_of(50)
    vendor.pull()
    before = list(Batch.objects.order_by("pk").values_list("outcome", "requests_total", "requests_completed"))
    vendor.world.faults.add("list_lacks_counts")
    vendor.pull()
    assert list(Batch.objects.order_by("pk").values_list("outcome", "requests_total", "requests_completed")) == before


def test_when_every_batch_fails_alone_the_connection_does(vendor_of: VendorOf) -> None:
    vendor = vendor_of(600, open_positions=[250, 450])
    vendor.pull()
    vendor.world.faults.add("server_error", 503, only="retrieve")
    run = vendor.pull()
    assert (run.ending, run.error_kind) == ("failed", "server_error")


# --- Lists that begin with the oldest ---------------------------------------------------------------------------------


def created(vendor: Vendor) -> str:
    """A batch that the vendor has from now on."""
    line = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "gpt-5-mini"}}'
    return vendor.world.create(vendor.world.upload("in.jsonl", "batch", line), "/v1/responses", None).id


@pytest.mark.parametrize("batches", [100, 1_000], ids=["known since the second page", "known since the import"])
def test_a_new_batch_at_the_end_of_the_list_appears_within_one_cycle(vendor_of: VendorOf, batches: int) -> None:
    vendor = vendor_of(batches)
    vendor.world.faults.add("oldest_first")
    vendor.pull()
    remote_id = created(vendor)
    assert vendor.pull().ending == "good"
    assert Batch.objects.filter(remote_id=remote_id).exists()
    assert vendor.connection.list_is_oldest_first


def test_an_idle_account_costs_one_request_in_either_order(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_000)
    vendor.world.faults.add("oldest_first")
    vendor.pull()
    for _ in range(3):
        run = vendor.pull()
        assert (run.ending, run.requests, run.changed) == ("good", 1, 0)
    vendor.world.faults.clear()
    Connection.objects.update(**reading_again())
    vendor.pull()
    assert not vendor.connection.list_is_oldest_first
    assert vendor.pull().requests == 1


def test_open_batches_of_a_list_that_begins_with_the_oldest_are_refreshed(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_000, open_positions=[3, 600])
    vendor.world.faults.add("oldest_first")
    vendor.pull()
    vendor.clock.ahead += 3_600
    run = vendor.pull()
    assert (run.requests, run.changed) == (3, 2)


def test_an_order_is_learned_anew_when_the_vendor_changes_it(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300)
    vendor.pull()
    Connection.objects.update(list_is_oldest_first=True, walked_at=timezone.now() - WALK_EVERY)
    vendor.pull()
    assert not vendor.connection.list_is_oldest_first


@pytest.mark.parametrize("manners", ["", "restart"], ids=["refuses its cursor", "begins again"])
def test_a_last_batch_that_is_gone_hides_no_new_ones(vendor_of: VendorOf, manners: str) -> None:
    vendor = vendor_of(1_000)
    vendor.world.faults.add("oldest_first")
    if manners:
        vendor.world.faults.add(manners)
    vendor.pull()
    newest = remote("batch_of_another_life", "completed", created_at=int(timezone.now().timestamp()))
    absorb(vendor.connection, [newest], asked_at=timezone.now(), source=Transition.Source.POLL)
    Batch.objects.filter(remote_id="batch_of_another_life").update(refresh_until=None)
    vendor.clock.ahead += 60
    remote_id = created(vendor)
    for _ in range(4):
        run = vendor.pull()
        assert run.ending == "good"
        assert run.requests <= 3
    assert Batch.objects.get(remote_id="batch_of_another_life").gone_at
    assert Batch.objects.filter(remote_id=remote_id).exists()


@pytest.mark.parametrize(("fault", "kind"), [("not_found", "not_found"), ("error_200", "refused")])
def test_a_list_that_is_not_there_takes_no_batch_out_of_sight(vendor_of: VendorOf, fault: str, kind: str) -> None:
    vendor = vendor_of(300, open_positions=[0])
    vendor.world.faults.add("oldest_first")
    vendor.pull()
    vendor.world.faults.add(fault)
    for _ in range(4):
        run = vendor.pull()
        assert (run.ending, run.error_kind) == ("failed", kind)
    assert not Batch.objects.filter(misses__gt=0).exists()
