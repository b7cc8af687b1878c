"""What is written, and what is left alone."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.insight.search import find
from dashboard.models import Batch, Connection, Counter, Reading, Transition
from dashboard.models.batch import GRACE, Outcome
from dashboard.sync.absorb import absorb
from tests.searched import words_query
from tests.sync.conftest import Vendor, remote

Source = Transition.Source
POLL, ACT, IMPORT = Source.POLL, Source.ACT, Source.IMPORT


def test_a_list_asked_for_before_a_cancel_cannot_undo_it(connection: Connection) -> None:
    now = timezone.now()
    absorb(connection, [remote(status="in_progress")], asked_at=now, source=POLL)
    absorb(connection, [remote(status="cancelling")], asked_at=now + timedelta(seconds=10), source=ACT)
    late = now + timedelta(seconds=9)
    result = absorb(connection, [remote(status="in_progress")], asked_at=late, source=POLL, from_list=True)
    assert (result.new, result.changed) == (0, 0)
    assert Batch.objects.get().status == "cancelling"
    absorb(connection, [remote(status="cancelled")], asked_at=now + timedelta(seconds=11), source=POLL, from_list=True)
    assert Batch.objects.get().status == "cancelled"


def test_a_cancel_that_changed_nothing_still_stands_against_earlier_lists(connection: Connection) -> None:
    now = timezone.now()
    absorb(connection, [remote(status="cancelling")], asked_at=now, source=POLL)
    absorb(connection, [remote(status="cancelling")], asked_at=now + timedelta(seconds=10), source=ACT)
    absorb(connection, [remote(status="in_progress")], asked_at=now + timedelta(seconds=5), source=POLL)
    assert Batch.objects.get().status == "cancelling"


def test_what_did_not_change_moves_nothing(connection: Connection) -> None:
    page = [remote(f"batch_{number}") for number in range(20)]
    absorb(connection, page, asked_at=timezone.now(), source=POLL, from_list=True)
    connection.refresh_from_db()
    before = (connection.revision, list(Batch.objects.order_by("pk").values_list("revision", "asked_at")))
    result = absorb(connection, page, asked_at=timezone.now(), source=POLL, from_list=True)
    connection.refresh_from_db()
    assert (result.new, result.changed) == (0, 0)
    assert (connection.revision, list(Batch.objects.order_by("pk").values_list("revision", "asked_at"))) == before


def test_what_files_show_is_part_of_the_outcome_whatever_the_vendor_counts(connection: Connection) -> None:
    def seen(status: str, completed: int, failed: int) -> str:
        counts = {"total": 100, "completed": completed, "failed": failed}
        said = remote("batch_1", status, request_counts=counts)
        absorb(connection, [said], asked_at=timezone.now(), source=POLL, from_list=False)
        kept = {counter.outcome: counter.batches for counter in Counter.objects.all() if counter.batches}
        outcome = str(Batch.objects.get().outcome)
        assert kept == {outcome: 1}
        return outcome

    assert seen("completed", 100, 0) == Outcome.SUCCEEDED
    Batch.objects.update(failed_in_files=40)
    assert seen("completed", 99, 1) == Outcome.PARTIAL
    assert (Batch.objects.get().completed, Batch.objects.get().failed) == (60, 40)
    assert seen("completed", 100, 0) == Outcome.PARTIAL
    assert seen("completed", 0, 100) == Outcome.ALL_FAILED
    assert seen("in_progress", 100, 0) == Outcome.OPEN
    assert Batch.objects.get().completed == 100, "of a batch that runs again its files say nothing"


def test_only_the_changed_rows_carry_the_new_revision(connection: Connection) -> None:
    page = [remote(f"batch_{number}") for number in range(5)]
    absorb(connection, page, asked_at=timezone.now(), source=POLL)
    connection.refresh_from_db()
    old = connection.revision
    page[2] = remote("batch_2", request_counts={"total": 100, "completed": 11, "failed": 1})
    absorb(connection, page, asked_at=timezone.now(), source=POLL)
    connection.refresh_from_db()
    assert connection.revision == old + 1
    assert list(Batch.objects.filter(revision__gt=old).values_list("remote_id", flat=True)) == ["batch_2"]


def test_a_page_that_repeats_itself_is_one_row_each(connection: Connection) -> None:
    absorb(connection, [remote(), remote()], asked_at=timezone.now(), source=POLL)
    assert Batch.objects.count() == 1
    assert Counter.objects.get().batches == 1


def test_the_same_id_at_two_connections_is_two_batches(connection: Connection) -> None:
    other = Connection.objects.create(name="other", base_url="http://127.0.0.1:9/v1")
    for one in (connection, other):
        absorb(one, [remote()], asked_at=timezone.now(), source=POLL)
    assert Batch.objects.count() == 2


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(["validating", "in_progress", "completed", "failed", "cancelled", "wizardry"]),
            st.integers(0, 12),
        ),
        max_size=15,
    )
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counters_always_equal_a_count(connection: Connection, steps: list[tuple[int, str, int]]) -> None:
    Batch.objects.all().delete()
    Counter.objects.all().delete()
    for number, status, failed in steps:
        counts = {"total": 12, "completed": 12 - failed, "failed": failed}
        batch = remote(f"batch_{number}", status, request_counts=counts)
        absorb(connection, [batch], asked_at=timezone.now(), source=POLL)
    kept = {(c.status, c.outcome): c.batches for c in Counter.objects.all() if c.batches}
    counted: dict[tuple[str, str], int] = {}
    for row in Batch.objects.all():
        counted[row.status, row.outcome] = counted.get((row.status, row.outcome), 0) + 1
    assert kept == counted


def test_every_change_of_counts_is_a_reading_and_every_change_of_status_a_transition(connection: Connection) -> None:
    for done in (0, 40, 40, 90):
        batch = remote(request_counts={"total": 100, "completed": done, "failed": 0})
        absorb(connection, [batch], asked_at=timezone.now(), source=POLL)
    end = remote(status="completed", request_counts={"total": 100, "completed": 97, "failed": 3})
    absorb(connection, [end], asked_at=timezone.now(), source=POLL)
    assert [reading.completed for reading in Reading.objects.order_by("pk")] == [0, 40, 90, 97]
    assert list(Transition.objects.order_by("pk").values_list("old_status", "new_status")) == [
        ("", "in_progress"),
        ("in_progress", "completed"),
    ]
    batch_row = Batch.objects.get()
    assert batch_row.outcome == Outcome.PARTIAL
    assert Transition.objects.latest("pk").at == batch_row.completed_at


def test_a_finished_batch_is_refreshed_through_its_grace_and_can_be_revived(connection: Connection) -> None:
    now = timezone.now()
    absorb(connection, [remote(status="completed")], asked_at=now, source=POLL)
    batch = Batch.objects.get()
    assert batch.finished_at
    assert batch.refresh_until == batch.finished_at + GRACE
    assert Batch.objects.to_refresh(now).exists()
    assert not Batch.objects.to_refresh(now + GRACE).exists()
    absorb(connection, [remote(status="in_progress")], asked_at=now + timedelta(hours=3), source=POLL)
    batch.refresh_from_db()
    assert (batch.status, batch.is_open) == ("in_progress", True)
    assert batch.finished_at is None


def test_the_payload_is_kept_as_it_came(connection: Connection) -> None:
    absorb(connection, [remote(surprise={"n": 12345678901234567890})], asked_at=timezone.now(), source=POLL)
    assert json.loads(bytes(Batch.objects.get().payload))["surprise"] == {"n": 12345678901234567890}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["nightly"], True),
        (["ghtly-e"], True),
        (["NIGHTLY", "search"], True),
        (["nightly", "absent"], False),
        (["batch_6920aa07"], True),
        (["6920aa07"], True),
        (["7777d5f0"], True),
        (["q4"], True),
        (["q"], False),
        (["100%"], False),
        (['"; DROP TABLE x; --'], False),
        (["日本"], True),
        (["本"], False),
    ],
)
def test_search_finds_words_in_metadata_and_ids(connection: Connection, words: list[str], *, found: bool) -> None:
    metadata = {"name": "nightly-eval", "team": "search", "quarter": "q4", "lang": "日本"}
    batch = remote("batch_6920aa07000000000000000000007777d5f0", metadata=metadata)
    absorb(connection, [batch, remote("batch_other", metadata=None)], asked_at=timezone.now(), source=POLL)
    assert bool(find(words_query(words), limit=10).matches) is found


def test_search_follows_changed_metadata(connection: Connection) -> None:
    absorb(connection, [remote(metadata={"name": "before"})], asked_at=timezone.now(), source=POLL)
    absorb(connection, [remote(metadata={"name": "after"})], asked_at=timezone.now(), source=POLL)
    assert not find(words_query(["before"]), limit=10).matches
    assert Batch.objects.get(pk=find(words_query(["after"]), limit=10).matches[0].pk).name == "after"
    Batch.objects.all().delete()
    assert not find(words_query(["after"]), limit=10).matches


def test_hostile_texts_are_stored_whole_and_found(connection: Connection) -> None:
    metadata = {"name": "<script>alert(1)</script>\u202e", "owner": "x" * 3_000, "nul": "a\x00b"}
    absorb(connection, [remote(metadata=metadata)], asked_at=timezone.now(), source=POLL)
    batch = Batch.objects.get()
    assert batch.name.startswith("<script>")
    assert len(batch.owner) <= 512
    assert "\x00" not in json.dumps(batch.metadata)


def test_a_late_deadline_is_known_at_once(vendor_of: Callable[..., Vendor], connection: Connection) -> None:
    past = int(timezone.now().timestamp()) - 60
    absorb(connection, [remote(expires_at=past)], asked_at=timezone.now(), source=POLL)
    assert Batch.objects.get().is_overdue


def test_a_list_that_lags_does_not_revive_a_finished_batch(connection: Connection) -> None:
    now = timezone.now()
    absorb(connection, [remote(status="completed")], asked_at=now, source=POLL)
    late = now + timedelta(seconds=9)
    result = absorb(connection, [remote(status="in_progress")], asked_at=late, source=POLL, from_list=True)
    assert Batch.objects.get().status == "completed"
    assert result.suspects == ["batch_1"], "the batch itself is asked instead"
