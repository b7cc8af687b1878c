"""Which requests are made, and what of a vendor's manners is survived."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from dashboard.models import Batch, Connection, Reading, SyncRun, Transition
from dashboard.models.batch import Status
from dashboard.sync import pull as pulling
from dashboard.sync.absorb import ClaimLost, absorb
from dashboard.sync.pull import IDLE_CADENCE, OPEN_CADENCE, cadence_of, claim, pull
from tests.sync.conftest import Vendor, remote

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


def test_import_whose_cursor_is_gone_begins_again(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300)
    Connection.objects.update(import_cursor="batch_of_another_life", import_count=100)
    assert vendor.pull().ending == "failed"
    assert vendor.connection.import_cursor == ""
    assert vendor.pull().ending == "good"
    assert vendor.connection.batches.count() == vendor.connection.import_count == 300


def test_import_does_not_flood_the_activity(vendor_of: VendorOf) -> None:
    vendor_of(300).pull()
    assert not Transition.objects.exists()
    assert not Reading.objects.exists()


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
    [(range(0, 500, 10), 7), (range(0, 5_000, 100), 52), ([4_999], 2), (range(50), 1)],
    ids=["among the newest 500", "scattered", "one far back", "all on page one"],
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


@pytest.mark.parametrize("lie", ["loop", "empty_more", "restart"])
def test_paging_that_lies_ends(vendor_of: VendorOf, lie: str) -> None:
    vendor = vendor_of(500)
    vendor.world.faults.add(lie)
    assert vendor.pull().ending == "good"
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


def test_one_miss_is_not_gone_and_three_are(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300, open_positions=[250])
    vendor.pull()
    batch = Batch.objects.open().get()
    vendor.world.faults.add("vanish", batch.remote_id)
    for misses in (1, 2):
        vendor.pull()
        batch.refresh_from_db()
        assert (batch.misses, batch.gone_at) == (misses, None)
    revision = vendor.connection.revision
    vendor.pull()
    batch.refresh_from_db()
    assert batch.gone_at
    assert batch.revision > revision
    assert vendor.connection.revision >= batch.revision
    assert vendor.pull().requests == 1, "what is gone is not asked for in every cycle"
    assert vendor.connection.batches.count() == 300, "the list never shrinks"


def test_a_batch_that_fails_alone_does_not_stop_the_others(vendor_of: VendorOf) -> None:
    vendor = vendor_of(600, open_positions=[250, 450])
    vendor.pull()
    vendor.clock.ahead += 3_600
    vendor.world.faults.add("server_error", 500, only="retrieve", count=1)
    run = vendor.pull()
    assert run.ending == "good"
    assert run.changed == 1


def test_the_walk_catches_what_cycles_cannot_see(vendor_of: VendorOf) -> None:
    vendor = vendor_of(700)
    vendor.pull()
    lost = Batch.objects.order_by("ordered_at").first()
    assert lost
    Batch.objects.filter(pk=lost.pk).update(status=Status.IN_PROGRESS, payload=b"{}", refresh_until=None)
    vendor.pull()
    lost.refresh_from_db()
    assert lost.status == Status.IN_PROGRESS
    Connection.objects.update(walked_at=timezone.now() - pulling.WALK_EVERY)
    for _ in range(3):
        assert vendor.pull().requests <= 1 + pulling.WALK_PAGES
    lost.refresh_from_db()
    assert not lost.is_open
    assert vendor.connection.walked_at
    assert timezone.now() - vendor.connection.walked_at < timedelta(minutes=1)
    assert vendor.pull().requests == 1


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


def test_a_walk_whose_place_is_gone_never_breaks_a_cycle(vendor_of: VendorOf) -> None:
    vendor = vendor_of(300)
    vendor.pull()
    Connection.objects.update(walk_cursor="batch_of_another_life")
    for _ in range(2):
        assert vendor.pull().ending == "good"
    assert vendor.connection.walk_cursor == ""


def test_a_walk_over_a_list_that_begins_again_ends(vendor_of: VendorOf) -> None:
    vendor = vendor_of(800)
    vendor.pull()
    Connection.objects.update(walked_at=timezone.now() - pulling.WALK_EVERY)
    vendor.pull()
    assert vendor.connection.walk_cursor
    vendor.world.faults.add("loop")
    vendor.pull()
    assert vendor.connection.walk_cursor == ""


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


def test_a_connection_dropped_in_mid_sync_ends_quietly(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1_500)

    def drop(_count: int) -> None:
        Connection.objects.all().delete()

    assert pull(vendor.connection.pk, progress=drop) is None or not SyncRun.objects.exists()
    assert not Batch.objects.exists()
