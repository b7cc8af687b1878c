"""Batches made with the official SDK on servers that somebody else wrote, seen through our rows and pages."""

import time

import pytest
from django.utils import timezone

from dashboard.models import Batch, Counter, Transition
from dashboard.sync.pull import pull
from tests.servers.conftest import Connect, Follow, Page
from tests.servers.vendors import Vendor, questions

pytestmark = [pytest.mark.server, pytest.mark.django_db]


def test_a_batch_is_followed_from_upload_to_success(
    vendor: Vendor, connect: Connect, follow: Follow, page: Page
) -> None:
    connection = connect(vendor)
    made = vendor.make(questions(6), metadata={"name": "nightly greetings", "owner": "ana"})
    batch = follow(connection, made.id)

    assert batch.outcome == "succeeded"
    assert (batch.requests_total, batch.requests_completed, batch.requests_failed) == (6, 6, 0)
    assert (batch.name, batch.owner) == ("nightly greetings", "ana")
    assert batch.endpoint == "/v1/chat/completions"
    assert batch.input_file_id == made.input_file_id
    assert batch.output_file_id == vendor.look(made.id).output_file_id
    assert batch.created_at is not None
    assert batch.finished_at is not None
    assert batch.created_at <= batch.finished_at <= timezone.now()
    seen = page(batch)
    assert "Succeeded" in seen
    assert "nightly greetings" in seen
    assert made.id in seen


def test_what_was_seen_on_the_way_is_kept_as_history(vendor: Vendor, connect: Connect, follow: Follow) -> None:
    connection = connect(vendor)
    pull(connection.pk)
    made = vendor.make(questions(12))
    batch = follow(connection, made.id)

    steps = list(Transition.objects.filter(batch=batch).order_by("pk").values_list("old_status", "new_status"))
    assert steps[0][0] == ""
    assert steps[-1][1] == "completed"
    assert [after for _before, after in steps[:-1]] == [before for before, _after in steps[1:]]


def test_the_counters_agree_with_the_rows(vendor: Vendor, connect: Connect, follow: Follow) -> None:
    connection = connect(vendor)
    made = [vendor.make(questions(2)).id for _ in range(3)]
    for remote_id in made:
        follow(connection, remote_id)

    counted = {(c.status, c.outcome): c.batches for c in Counter.objects.filter(connection=connection) if c.batches}
    rows: dict[tuple[str, str], int] = {}
    for kind in Batch.objects.filter(connection=connection).values_list("status", "outcome"):
        rows[kind] = rows.get(kind, 0) + 1
    assert counted == rows


def test_some_failures_are_partial_with_the_true_counts(
    ogx: Vendor, connect: Connect, follow: Follow, page: Page
) -> None:
    connection = connect(ogx)
    made = ogx.make(questions(60, "mixed/gpt-4o"))
    batch = follow(connection, made.id)

    truth = ogx.look(made.id)
    assert truth.status == "completed"
    assert truth.request_counts is not None
    assert 0 < truth.request_counts.failed < 60
    assert batch.outcome == "partial"
    assert (batch.requests_total, batch.requests_completed, batch.requests_failed) == (
        60,
        truth.request_counts.completed,
        truth.request_counts.failed,
    )
    assert f"Partial, {truth.request_counts.completed} of 60" in page(batch)


def test_a_batch_of_which_every_request_failed_is_never_called_a_success(
    ogx: Vendor, connect: Connect, follow: Follow, page: Page
) -> None:
    connection = connect(ogx)
    made = ogx.make(questions(8, "failing/gpt-4o"))
    batch = follow(connection, made.id)

    assert ogx.look(made.id).status == "completed"
    assert batch.outcome == "all_failed"
    assert (batch.requests_completed, batch.requests_failed) == (0, 8)
    seen = page(batch)
    assert "All failed" in seen
    assert "Succeeded" not in seen


def test_a_file_that_fails_validation_shows_the_line(ogx: Vendor, connect: Connect, follow: Follow, page: Page) -> None:
    connection = connect(ogx)
    made = ogx.make([*questions(2), "this is not JSON", *questions(1)])
    batch = follow(connection, made.id)

    assert batch.outcome == "failed_validation"
    assert batch.requests_total is None, "null counts are not zero"
    assert [error["line"] for error in batch.errors] == [3]
    seen = page(batch)
    assert "Failed validation" in seen
    assert batch.errors[0]["message"] in seen


@pytest.mark.parametrize("outcome", ["failed", "expired", "cancelled"])
def test_every_other_end_is_called_by_its_name(
    aimock: Vendor, connect: Connect, follow: Follow, page: Page, outcome: str
) -> None:
    connection = connect(aimock)
    made = aimock.make(questions(3), headers={"X-AIMock-Batch-Outcome": outcome})
    batch = follow(connection, made.id)

    assert batch.status == outcome
    assert batch.outcome in {outcome, "failed_validation"}
    assert batch.finished_at is not None
    seen = page(batch)
    assert outcome in seen.lower()
    assert "Succeeded" not in seen


def test_a_list_that_never_moves_is_found_out_and_its_batches_are_asked_one_by_one(
    aimock: Vendor, connect: Connect, follow: Follow
) -> None:
    connection = connect(aimock)
    pull(connection.pk)
    made = aimock.make(questions(3))
    cycles = 0
    while not connection.list_is_stale:
        assert cycles < 5, "the list has shown the same for five cycles"
        run = pull(connection.pk, only_due=False)
        assert run is not None
        assert run.ending == "good"
        cycles += 1
        connection.refresh_from_db()

    assert follow(connection, made.id).outcome == "succeeded"


def test_the_list_of_ogx_is_trusted_because_it_moves(ogx: Vendor, connect: Connect, follow: Follow) -> None:
    connection = connect(ogx)
    made = ogx.make(questions(4, "slow/gpt-4o"))
    follow(connection, made.id)
    connection.refresh_from_db()
    assert not connection.list_is_stale
    assert not connection.list_lacks_counts


def test_an_idle_account_costs_one_request_a_cycle(vendor: Vendor, connect: Connect, follow: Follow) -> None:
    connection = connect(vendor)
    made = vendor.make(questions(1))
    follow(connection, made.id)
    # The grace period after an end is not waited for.
    Batch.objects.filter(connection=connection, is_open=False).update(refresh_until=None)
    while Batch.objects.filter(connection=connection).open().exists():
        time.sleep(0.2)
        pull(connection.pk, only_due=False)
        Batch.objects.filter(connection=connection, is_open=False).update(refresh_until=None)

    run = pull(connection.pk, only_due=False)
    assert run is not None
    assert (run.ending, run.requests, run.changed) == ("good", 1, 0)


def test_times_that_ogx_never_gives_do_not_make_a_row_odd(ogx: Vendor, connect: Connect, follow: Follow) -> None:
    connection = connect(ogx)
    batch = follow(connection, ogx.make(questions(2)).id)
    assert batch.in_progress_at is None
    assert batch.finalizing_at is None
    assert batch.expires_at is None
    assert batch.oddities == []


def test_an_import_that_goes_on_from_a_dead_cursor_still_ends_with_every_batch(
    mortal_ogx: Vendor, connect: Connect
) -> None:
    with mortal_ogx.sdk() as sdk:
        file = sdk.files.create(file=("input.jsonl", b"not JSON\n"), purpose="batch")
        made = {
            sdk.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h").id
            for _ in range(103)
        }
    # OGX answers an unknown cursor with page one.
    connection = connect(mortal_ogx, import_cursor="batch_of_an_earlier_life", import_count=100)
    run = pull(connection.pk, only_due=False)

    assert run is not None
    assert (run.ending, run.requests) == ("good", 2)
    connection.refresh_from_db()
    assert connection.imported_at is not None
    assert connection.import_cursor == ""
    assert set(Batch.objects.filter(connection=connection).values_list("remote_id", flat=True)) == made


def test_a_cursor_that_aimock_refuses_starts_the_import_again(aimock: Vendor, connect: Connect) -> None:
    made = aimock.make(questions(1))
    connection = connect(aimock, import_cursor="batch_of_an_earlier_life", import_count=100)
    refused = pull(connection.pk, only_due=False)
    assert refused is not None
    assert (refused.ending, refused.error_kind) == ("failed", "refused")

    run = pull(connection.pk, only_due=False)
    assert run is not None
    assert run.ending == "good"
    connection.refresh_from_db()
    assert connection.imported_at is not None
    assert connection.error_kind == ""
    assert Batch.objects.filter(connection=connection, remote_id=made.id).exists()
