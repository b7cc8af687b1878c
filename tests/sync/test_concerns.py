"""What needs attention: each reason opens and closes, by absorb or by the tick, and never while nobody knows."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from dashboard import tasks
from dashboard.insight.concern_words import sentence
from dashboard.insight.concerns import Usual
from dashboard.models import Act, Batch, Concern, Connection, Reading, Reason, RemoteFile, Transition, User
from dashboard.sync import acts, concerns
from dashboard.sync.absorb import absorb
from dashboard.sync.files import note_outcome
from tests.batches_made import batch_made, connection_made, counts
from tests.errors_made import RATE, SERVER, errors_made
from tests.sync.conftest import Vendor, remote

type VendorOf = Callable[..., Vendor]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NONE = {"total": 100, "completed": 0, "failed": 0}
pytestmark = pytest.mark.django_db


@pytest.fixture
def prod() -> Connection:
    return connection_made(synced_at=timezone.now())


def unix(at: datetime) -> int:
    return int(at.timestamp())


def ago(span: timedelta) -> int:
    return unix(timezone.now() - span)


def seen(connection: Connection, status: str = "in_progress", **fields: object) -> Batch:
    """One batch as a sync of this moment brings it."""
    connection.refresh_from_db()
    batch = remote("batch_1", status, **fields)
    absorb(connection, [batch], asked_at=timezone.now(), source=Transition.Source.POLL)
    return Batch.objects.get(remote_id="batch_1")


def tick(after: timedelta = timedelta(0), *, in_step: bool = True) -> datetime:
    """What the tick does at a later moment, with a sync that went well just before or not."""
    now = timezone.now() + after
    if in_step:
        Connection.objects.update(synced_at=now - timedelta(seconds=1))
    tasks.judge_health(now)
    concerns.judge_connections(now)
    concerns.judge_due(now)
    return now


def reasons() -> set[str]:
    return set(Concern.objects.open().values_list("reason", flat=True))


def evidence(reason: Reason) -> dict[str, object]:
    return dict(Concern.objects.open().get(reason=reason).evidence)


# --- How it ended -----------------------------------------------------------------------------------------------------


def test_its_words_hold_no_organisation_no_address_and_no_key(prod: Connection) -> None:
    words = "Limit reached in org-Qm7vX2kLd93TfWzR, ask bob@example.com, not sk-proj-abcdefgh1234"
    errors = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": words}]}
    failed = remote("b", "failed", failed_at=ago(MINUTE), in_progress_at=None, errors=errors)
    absorb(prod, [failed], asked_at=timezone.now(), source=Transition.Source.POLL)
    said = Concern.objects.get().evidence["first"]["words"]
    assert said == "token_limit_exceeded: Limit reached in […], ask […], not […]"
    assert Batch.objects.get().errors[0]["message"] in said


def test_failed_validation_opens_with_the_vendors_words_and_closes_after_three_days(prod: Connection) -> None:
    errors = {"data": [{"code": "invalid_json_line", "message": "Expecting value", "line": 212}]}
    fields = {"in_progress_at": None, "errors": errors, "request_counts": None}
    batch = seen(prod, "failed", failed_at=ago(MINUTE), **fields)
    assert reasons() == {Reason.FAILED_VALIDATION}
    assert evidence(Reason.FAILED_VALIDATION)["first"] == {"line": 212, "words": "invalid_json_line: Expecting value"}
    prod.refresh_from_db()
    assert batch.revision == prod.revision, "open pages learn of it with the row"
    tick(3 * DAY - HOUR)
    assert reasons() == {Reason.FAILED_VALIDATION}
    tick(3 * DAY)
    assert not reasons()


def test_all_failed_opens_and_closes_when_the_counts_come_late(prod: Connection) -> None:
    seen(prod, "completed", request_counts={"total": 800, "completed": 0, "failed": 800})
    assert reasons() == {Reason.ALL_FAILED}
    seen(prod, "completed", request_counts={"total": 800, "completed": 800, "failed": 0})
    assert not reasons()


def test_a_batch_that_broke_after_it_had_started_is_named_by_what_is_left_of_it(prod: Connection) -> None:
    seen(prod, "failed", failed_at=ago(MINUTE), request_counts=NONE)
    assert reasons() == {Reason.ALL_FAILED}
    seen(prod, "failed", failed_at=ago(MINUTE), request_counts={"total": 100, "completed": 40, "failed": 0})
    assert reasons() == {Reason.HIGH_FAILED_SHARE}


def test_many_failed_requests_open_from_the_share_that_is_set(prod: Connection, settings: Settings) -> None:
    seen(prod, "completed", request_counts={"total": 100, "completed": 91, "failed": 9})
    assert not reasons()
    seen(prod, "completed", request_counts={"total": 100, "completed": 90, "failed": 10})
    assert reasons() == {Reason.HIGH_FAILED_SHARE}
    settings.FAILED_SHARE = 20
    seen(prod, "completed", request_counts={"total": 100, "completed": 89, "failed": 11})
    assert not reasons()


def test_failures_that_only_the_files_show_are_failures(prod: Connection) -> None:
    batch = seen(prod, "completed", request_counts={"total": 100, "completed": 100, "failed": 0})
    assert not reasons()
    error_read = errors_made(batch, {RATE: 10}, source="output")
    concerns.look_again([batch.pk], timezone.now())
    tick()
    assert reasons() == {Reason.HIGH_FAILED_SHARE}
    found = evidence(Reason.HIGH_FAILED_SHARE)
    assert sentence(Reason.HIGH_FAILED_SHARE, found, str, str) == (
        "10 of 100 requests failed (10 %). The vendor counts 10 of those as completed; its files hold the errors."
    )
    error_read.delete()
    errors_made(batch, {SERVER: 100}, source="output")
    concerns.look_again([batch.pk], timezone.now())
    tick()
    assert reasons() == {Reason.ALL_FAILED}
    found = evidence(Reason.ALL_FAILED)
    assert "The vendor counts 100 of those as completed" in sentence(Reason.ALL_FAILED, found, str, str)
    error_read = batch.file_reads.get()
    error_read.failed, error_read.succeeded = 0, 100
    error_read.save()
    note_outcome(batch)
    concerns.look_again([batch.pk], timezone.now())
    tick()
    assert not reasons()


def test_a_running_share_opens_early_and_does_not_come_and_go(prod: Connection) -> None:
    seen(prod, request_counts={"total": 1000, "completed": 2, "failed": 10})
    assert not reasons(), "twelve requests say nothing about a share"
    seen(prod, request_counts={"total": 1000, "completed": 89, "failed": 11})
    assert evidence(Reason.HIGH_FAILED_SHARE)["runs"] is True
    seen(prod, request_counts={"total": 1000, "completed": 109, "failed": 11})
    assert evidence(Reason.HIGH_FAILED_SHARE)["done"] == 109, "just below the limit: open, with the figures of now"
    seen(prod, request_counts={"total": 1000, "completed": 400, "failed": 11})
    assert not reasons()
    seen(prod, request_counts={"total": 1000, "completed": 401, "failed": 44})
    assert not reasons(), "just below the limit: not opened again"


def test_expired_opens_with_what_is_usable_and_closes_after_three_days(prod: Connection) -> None:
    over = {"expires_at": ago(MINUTE), "expired_at": ago(MINUTE)}
    seen(prod, "expired", request_counts={"total": 1000, "completed": 812, "failed": 0}, **over)
    assert reasons() == {Reason.EXPIRED}
    assert evidence(Reason.EXPIRED)["done"] == 812
    tick(3 * DAY)
    assert not reasons()


def test_an_expired_batch_that_was_done_needs_nobody(prod: Connection) -> None:
    over = {"expires_at": ago(MINUTE), "expired_at": ago(MINUTE)}
    seen(prod, "expired", request_counts={"total": 1000, "completed": 1000, "failed": 0}, **over)
    assert not reasons()


def test_a_revived_batch_is_no_concern_any_more(prod: Connection) -> None:
    seen(prod, "completed", request_counts={"total": 800, "completed": 0, "failed": 800})
    assert reasons()
    seen(prod, "in_progress", request_counts={"total": 800, "completed": 0, "failed": 0})
    assert not reasons()


def test_an_end_that_was_noticed_late_is_news_all_the_same(prod: Connection) -> None:
    """The dashboard was off over a long weekend."""
    seen(prod, "in_progress")
    times = {"created_at": ago(5 * DAY), "completed_at": ago(4 * DAY)}
    seen(prod, "completed", request_counts={"total": 9, "completed": 0, "failed": 9}, **times)
    assert reasons() == {Reason.ALL_FAILED}
    tick(3 * DAY + MINUTE)
    assert not reasons()


# --- Counts, sight and results ----------------------------------------------------------------------------------------


def test_counts_that_do_not_add_up_open_once_they_had_time_to_settle(prod: Connection) -> None:
    lost = {"total": 5000, "completed": 4981, "failed": 7}
    seen(prod, "completed", completed_at=ago(timedelta(0)), request_counts=lost)
    assert not reasons()
    tick(4 * MINUTE)
    assert not reasons()
    tick(6 * MINUTE)
    assert reasons() == {Reason.COUNTS_DIFFER}
    seen(prod, "completed", completed_at=ago(timedelta(0)), request_counts=lost | {"completed": 4993})
    assert not reasons()


def test_more_done_than_there_are_opens_and_a_cancelled_rest_explains_itself(prod: Connection) -> None:
    end = {"cancelled_at": ago(HOUR)}
    seen(prod, "cancelled", request_counts={"total": 100, "completed": 40, "failed": 0}, **end)
    assert not reasons()
    seen(prod, "cancelled", request_counts={"total": 100, "completed": 101, "failed": 0}, **end)
    assert reasons() == {Reason.COUNTS_DIFFER}


def test_no_longer_visible_opens_with_the_third_404_and_closes_when_it_is_back(vendor_of: VendorOf) -> None:
    vendor = vendor_of(3, open=1)
    vendor.pull()
    batch = Batch.objects.get(is_open=True)
    vendor.world.faults.add("vanish", batch.remote_id)
    for opened in (False, False, True):
        vendor.pull()
        tick()
        assert (Reason.UNSEEN in reasons()) is opened
    vendor.world.faults.clear()
    vendor.pull()
    assert Reason.UNSEEN not in reasons()


def test_no_longer_visible_closes_after_three_days(prod: Connection) -> None:
    now = timezone.now()
    batch = batch_made(prod, "in_progress", gone_at=now, judge_at=now)
    tick()
    assert reasons() == {Reason.UNSEEN}
    tick(3 * DAY)
    assert not reasons()
    assert Batch.objects.get(pk=batch.pk).judge_at is None, "nothing more can happen to it by time alone"


def test_results_expire_opens_three_days_before_and_closes_when_they_are_gone(prod: Connection) -> None:
    done = {"total": 100, "completed": 100, "failed": 0}
    seen(prod, "completed", completed_at=ago(timedelta(0)), output_file_id="file-out", request_counts=done)
    tick(27 * DAY - HOUR)
    assert not reasons()
    tick(27 * DAY)
    assert reasons() == {Reason.RESULTS_EXPIRE}
    assert evidence(Reason.RESULTS_EXPIRE)["usual"] is True
    tick(30 * DAY)
    assert not reasons()


def test_what_the_vendor_says_of_a_file_counts_more_than_what_is_usual(prod: Connection) -> None:
    done = {"total": 100, "completed": 100, "failed": 0}
    batch = seen(prod, "completed", output_file_id="file-out", request_counts=done)
    now = timezone.now()
    file = RemoteFile.objects.create(connection=prod, file_id="file-out", expires_at=now + 2 * DAY, seen_at=now)
    concerns.look_again([batch.pk], now)
    tick()
    assert "usual" not in evidence(Reason.RESULTS_EXPIRE)
    file.gone_at = now
    file.save()
    concerns.look_again([batch.pk], now)
    tick()
    assert not reasons()


def test_results_without_a_file_never_expire_and_a_setting_turns_it_off(prod: Connection, settings: Settings) -> None:
    done = {"total": 100, "completed": 100, "failed": 0}
    seen(prod, "completed", completed_at=ago(28 * DAY), created_at=ago(29 * DAY), request_counts=done)
    assert not reasons()
    settings.RESULTS_EXPIRE_DAYS = 0
    seen(prod, "completed", completed_at=ago(28 * DAY), output_file_id="file-out", request_counts=done)
    assert not reasons()


# --- While it runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "times", "minutes"),
    [
        ("validating", {"created_at": 0, "in_progress_at": None}, 15),
        ("in_progress", {"in_progress_at": 0}, 60),
        ("finalizing", {"finalizing_at": 0}, 30),
    ],
)
def test_stalled_opens_after_the_time_of_its_state_and_closes_when_it_moves(
    status: str, times: dict[str, int | None], minutes: int, prod: Connection
) -> None:
    began = ago(timedelta(0))
    fields: dict[str, object] = {name: None if at is None else began for name, at in times.items()}
    seen(prod, status, expires_at=began + 9 * 86_400, **fields)
    tick((minutes - 1) * MINUTE)
    assert not reasons()
    tick(minutes * MINUTE + timedelta(seconds=2))
    assert reasons() == {Reason.STALLED}
    assert (
        evidence(Reason.STALLED)["since"] == datetime.fromtimestamp(began, UTC).isoformat() or status == "in_progress"
    )
    seen(
        prod, "in_progress", expires_at=began + 9 * 86_400, request_counts={"total": 100, "completed": 50, "failed": 0}
    )
    assert not reasons()


def test_in_progress_is_not_stalled_while_a_count_changes(prod: Connection) -> None:
    long_ago = timezone.now() - 5 * HOUR
    batch = seen(prod, in_progress_at=unix(long_ago), created_at=unix(long_ago))
    Reading.objects.update(asked_at=long_ago)
    Reading.objects.create(batch=batch, asked_at=timezone.now(), status="in_progress", total=100, completed=60)
    concerns.look_again([batch.pk], timezone.now())
    tick()
    assert not reasons()


def test_a_vendor_that_reports_rarely_has_more_time_by_its_own_usual(prod: Connection) -> None:
    began = timezone.now() - 10 * DAY
    for number in range(12):
        ended = batch_made(prod, "completed", created_at=began, **counts(10, 10))
        Reading.objects.filter(batch=ended).delete()
        for hours, status in ((0, "in_progress"), (1, "in_progress"), (2, "completed")):
            at = began + hours * HOUR + number * MINUTE
            Reading.objects.create(batch=ended, asked_at=at, status=status, total=10, completed=hours)
    concerns._usual.clear()
    seen(prod, expires_at=unix(timezone.now() + 9 * DAY), in_progress_at=ago(timedelta(0)))
    tick(2 * HOUR)
    assert not reasons(), "three times the usual hour"
    tick(3 * HOUR + MINUTE)
    assert evidence(Reason.STALLED)["usual_most"] == 3600
    concerns._usual.clear()


def test_what_is_usual_needs_enough_to_go_by(prod: Connection) -> None:
    now = timezone.now()
    for number in range(9):
        batch_made(
            prod, "completed", in_progress_at=now - 2 * HOUR + 2 * MINUTE, created_at=now - 2 * HOUR, owner=str(number)
        )
    assert concerns.read_usual(prod.pk, "validating", now) is None
    batch_made(prod, "completed", in_progress_at=now - 2 * HOUR + 2 * MINUTE, created_at=now - 2 * HOUR)
    assert concerns.read_usual(prod.pk, "validating", now) == Usual(120.0, 120.0, 10)


def test_a_batch_without_counts_is_never_called_stalled_for_them(prod: Connection) -> None:
    seen(prod, request_counts=None, expires_at=unix(timezone.now() + 9 * DAY))
    tick(20 * HOUR)
    assert not reasons()


def test_the_window_is_nearly_over_then_overdue_then_expired(prod: Connection) -> None:
    created, deadline = ago(HOUR), unix(timezone.now() + 23 * HOUR)
    times: dict[str, Any] = {"created_at": created, "in_progress_at": created, "expires_at": deadline}
    seen(prod, request_counts={"total": 100, "completed": 45, "failed": 0}, **times)
    tick(20 * HOUR)
    Reading.objects.update(asked_at=timezone.now() + 25 * HOUR)  # so that it is not also stalled
    assert Reason.WINDOW_NEARLY_OVER not in reasons()
    Batch.objects.update(judge_at=timezone.now())
    tick(22 * HOUR)
    assert reasons() == {Reason.WINDOW_NEARLY_OVER}
    now = timezone.now() + 23 * HOUR + timedelta(seconds=5)
    Connection.objects.update(synced_at=now - timedelta(seconds=30))
    concerns.judge_due(now)
    assert reasons() == {Reason.WINDOW_NEARLY_OVER}, "nobody has asked the vendor since the deadline"
    tick(23 * HOUR + MINUTE)
    assert reasons() == {Reason.OVERDUE}
    seen(prod, "expired", expired_at=deadline, request_counts={"total": 100, "completed": 45, "failed": 0}, **times)
    assert reasons() == {Reason.EXPIRED}


def test_a_window_is_no_concern_with_nine_of_ten_requests_done(prod: Connection) -> None:
    times: dict[str, Any] = {"created_at": ago(HOUR), "expires_at": unix(timezone.now() + 2 * MINUTE)}
    seen(prod, request_counts={"total": 100, "completed": 89, "failed": 0}, **times)
    assert reasons() == {Reason.WINDOW_NEARLY_OVER}
    seen(prod, request_counts={"total": 100, "completed": 89, "failed": 1}, **times)
    assert not reasons()


def test_a_deadline_by_a_clock_that_is_ahead_is_not_overdue_early(prod: Connection) -> None:
    """The vendor's clock is behind ours by ten minutes: its 14:00 is our 14:10."""
    Connection.objects.update(clock_offset=-600.0)
    seen(prod, "cancelling", expires_at=ago(MINUTE), cancelling_at=ago(11 * MINUTE))
    assert not reasons()
    tick(10 * MINUTE)
    assert reasons() == {Reason.OVERDUE}


def test_cancel_stuck_opens_while_the_vendor_says_cancelling(prod: Connection) -> None:
    seen(prod, "cancelling", cancelling_at=ago(timedelta(0)))
    tick(14 * MINUTE)
    assert not reasons()
    tick(15 * MINUTE)
    assert reasons() == {Reason.CANCEL_STUCK}
    seen(prod, "cancelled", cancelled_at=ago(timedelta(0)))
    assert not reasons()


def test_cancel_stuck_opens_when_an_accepted_cancel_changes_nothing(vendor_of: VendorOf, ana: User) -> None:
    vendor = vendor_of(2, open=1)
    vendor.pull()
    batch = Batch.objects.get(is_open=True)
    acts.cancel(batch, ana)
    # A vendor that answers "cancelling" and goes on.
    back = remote(batch.remote_id, "in_progress", expires_at=unix(timezone.now() + 9 * DAY))
    vendor.connection.refresh_from_db()
    absorb(vendor.connection, [back], asked_at=timezone.now(), source=Transition.Source.POLL)
    assert Act.objects.get().state == "accepted"
    tick(14 * MINUTE)
    assert not reasons()
    tick(16 * MINUTE)
    assert evidence(Reason.CANCEL_STUCK)["by"] == "ana"
    gone = remote(batch.remote_id, "cancelled", cancelled_at=ago(timedelta(0)))
    absorb(vendor.connection, [gone], asked_at=timezone.now(), source=Transition.Source.POLL)
    assert not reasons()


def test_thresholds_are_settings(prod: Connection, settings: Settings) -> None:
    settings.STALLED_VALIDATING = 1
    seen(prod, "validating", created_at=ago(2 * MINUTE), in_progress_at=None)
    assert reasons() == {Reason.STALLED}


# --- While nobody knows -----------------------------------------------------------------------------------------------


def stale_batches() -> None:
    """Everything that time alone brings about is about to happen to these."""
    now = timezone.now()
    prod = Connection.objects.get()
    soon = {"created_at": now - 22 * HOUR, "expires_at": now + 2 * HOUR, "judge_at": now}
    batch_made(prod, "in_progress", name="stalls", **counts(100, 1), **soon)
    batch_made(prod, "cancelling", name="sticks", cancelling_at=now - MINUTE, **soon)
    batch_made(prod, "finalizing", name="late", finalizing_at=now - MINUTE, **soon)


def test_nothing_derived_from_time_opens_while_the_data_is_stale(prod: Connection) -> None:
    stale_batches()
    tick(4 * HOUR, in_step=False)
    assert reasons() == {Reason.SYNC_STALE}, "the connection's own concern opens, its batches' do not"
    tick(4 * HOUR + MINUTE)
    expected = {Reason.STALLED, Reason.OVERDUE, Reason.CANCEL_STUCK}
    assert reasons() == expected, "the first good sync brings out what was held back"


def test_what_was_open_stays_while_the_data_is_stale_and_closes_by_facts(prod: Connection) -> None:
    seen(prod, "validating", created_at=ago(16 * MINUTE), in_progress_at=None)
    assert reasons() == {Reason.STALLED}
    Batch.objects.update(judge_at=timezone.now())
    tick(HOUR, in_step=False)
    assert reasons() == {Reason.STALLED, Reason.SYNC_STALE}
    seen(prod, "in_progress")
    assert Reason.STALLED not in reasons()


def test_a_paused_connection_holds_everything_back(prod: Connection) -> None:
    stale_batches()
    Connection.objects.update(paused_at=timezone.now(), paused_by="mei")
    tick(4 * HOUR, in_step=False)
    assert not reasons()


def test_a_batch_that_answers_404_is_not_called_stalled(prod: Connection) -> None:
    now = timezone.now()
    batch_made(prod, "validating", created_at=now - HOUR, in_progress_at=None, misses=1, judge_at=now)
    tick()
    assert not reasons()


# --- Connections ------------------------------------------------------------------------------------------------------


def test_connection_failing_opens_with_the_third_try_and_closes_with_a_good_one(vendor_of: VendorOf) -> None:
    vendor = vendor_of(1)
    vendor.pull()
    Connection.objects.update(base_url="http://127.0.0.1:9/v1")
    for opened in (False, False, True):
        vendor.pull()
        concerns.judge_connections(timezone.now())
        assert (Reason.CONNECTION_FAILING in reasons()) is opened
    assert evidence(Reason.CONNECTION_FAILING)["kind"] == "unreachable"
    before = Connection.objects.get().revision
    concerns.judge_connections(timezone.now())
    assert Connection.objects.get().revision == before, "unchanged is not news"
    Connection.objects.update(base_url=vendor.url)
    vendor.pull()
    concerns.judge_connections(timezone.now())
    assert not reasons()
    assert Connection.objects.get().revision > before


def test_a_missing_key_is_said_at_once(prod: Connection) -> None:
    Connection.objects.update(failures=1, error_kind="key_missing", failing_since=timezone.now())
    concerns.judge_connections(timezone.now())
    assert reasons() == {Reason.CONNECTION_FAILING}


def test_sync_stale_opens_after_three_intervals_and_closes_with_a_good_sync(prod: Connection) -> None:
    tick(2 * MINUTE, in_step=False)
    assert not reasons()
    tick(4 * MINUTE, in_step=False)
    assert reasons() == {Reason.SYNC_STALE}
    tick(5 * MINUTE)
    assert not reasons()


def test_nobody_watches_a_removed_connection(prod: Connection) -> None:
    seen(prod, "completed", request_counts={"total": 8, "completed": 0, "failed": 8})
    Connection.objects.update(failures=5, error_kind="timeout", failing_since=timezone.now())
    concerns.judge_connections(timezone.now())
    assert len(reasons()) == 2
    Connection.objects.update(retired_at=timezone.now())
    concerns.close_all(prod, timezone.now())
    tick(MINUTE)
    assert not reasons()


# --- The tick and the import ------------------------------------------------------------------------------------------


def test_an_import_floods_nothing(prod: Connection) -> None:
    """Ten thousand old failures are history; what failed yesterday or runs now is not."""
    failed = {"request_counts": {"total": 9, "completed": 0, "failed": 9}}
    history = [
        remote(f"old_{i}", "completed", created_at=ago((4 + i) * DAY + HOUR), completed_at=ago((4 + i) * DAY), **failed)
        for i in range(20)
    ]
    recent = [remote("new", "completed", created_at=ago(DAY + HOUR), completed_at=ago(DAY), **failed)]
    absorb(prod, [*recent, *history], asked_at=timezone.now(), source=Transition.Source.IMPORT)
    assert [concern.batch and concern.batch.remote_id for concern in Concern.objects.all()] == ["new"]
    tick()
    assert Concern.objects.count() == 1


def test_old_ends_of_an_import_cost_not_one_query(prod: Connection) -> None:
    def queries(*remotes: object) -> int:
        with CaptureQueriesContext(database) as taken:
            absorb(prod, list(remotes), asked_at=timezone.now(), source=Transition.Source.IMPORT)  # type: ignore[arg-type]
        return len([query for query in taken if "concern" in query["sql"] or "judge_at" in query["sql"][:20]])

    old = {"created_at": ago(60 * DAY), "completed_at": ago(59 * DAY)}
    assert queries(*[remote(f"old_{i}", "completed", **old) for i in range(100)]) == 0
    assert queries(remote("open")) > 0


def test_imported_results_that_are_about_to_expire_are_left_to_the_tick(prod: Connection) -> None:
    old = {"created_at": ago(29 * DAY), "completed_at": ago(28 * DAY), "output_file_id": "file-out"}
    done = {"request_counts": {"total": 9, "completed": 9, "failed": 0}}
    absorb(prod, [remote("old", "completed", **old, **done)], asked_at=timezone.now(), source=Transition.Source.IMPORT)
    assert not reasons()
    time.sleep(1.1)  # due a second later: absorb has none of the work
    tick()
    assert reasons() == {Reason.RESULTS_EXPIRE}


@pytest.mark.sqlite
def test_the_ticks_queries_walk_indexes(prod: Connection) -> None:
    stale_batches()
    with CaptureQueriesContext(database) as taken:
        concerns.judge_due(timezone.now())
        concerns.judge_connections(timezone.now())
        concerns.back_in_step(prod, timezone.now())
    scans = []
    with database.cursor() as cursor:
        for query in taken:
            if query["sql"].startswith(("SELECT", "UPDATE")):
                cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
                scans += [(row[3], query["sql"]) for row in cursor.fetchall() if row[3].startswith("SCAN")]
    # Connections are few.
    assert [scan for scan in scans if not scan[0].startswith("SCAN dashboard_connection")] == []


def test_a_tick_takes_a_bite_and_the_next_one_goes_on(prod: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concerns, "MOST_AT_ONCE", 2)
    now = timezone.now()
    for _ in range(3):
        batch_made(prod, "validating", created_at=now - HOUR, in_progress_at=None, judge_at=now - MINUTE)
    tick()
    assert Concern.objects.count() == 2
    tick()
    assert Concern.objects.count() == 3


def test_a_concern_opens_once_and_again_after_it_was_closed(prod: Connection) -> None:
    for completed in (0, 0, 800, 0):
        seen(prod, "completed", request_counts={"total": 800, "completed": completed, "failed": 800 - completed})
        tick()
    opened = Concern.objects.filter(reason=Reason.ALL_FAILED).order_by("pk")
    assert [concern.closed_at is None for concern in opened] == [False, True]
