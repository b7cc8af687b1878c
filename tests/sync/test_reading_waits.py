"""How long a file is waited for, and what else of its connection is asked for meanwhile; over a real socket."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from dashboard.models import Connection, FileRead, Result
from dashboard.sync import files, grouping, reading
from dashboard.sync.reading import read_file
from tests.sync.conftest import Vendor
from tests.sync.test_reading import errors_of, read_all, vendor

__all__ = ["vendor"]


def test_it_is_tried_some_times_and_then_given_up_with_the_reason(vendor: Vendor) -> None:
    batch = vendor.finished("fail-1")
    vendor.world.faults.add("server_error", 418, only="content")
    reads = read_all()
    assert [read.state for read in reads] == ["reading"] * 5 + ["failed"]
    assert (reads[-1].error_kind, reads[-1].failures) == ("refused", 6)
    assert "The server had an error" in reads[-1].error_words
    assert not files.due_reads(timezone.now() + timedelta(days=1))
    vendor.world.faults.clear()
    files.ask(batch, "error", "ana")
    assert read_all()[0].state == "read"


def test_a_vendor_that_asks_to_wait_is_given_the_time(vendor: Vendor) -> None:
    vendor.finished("fail-1")
    vendor.world.faults.add("rate_limit", 300, only="content")
    read = read_file(files.due_reads(timezone.now())[0])
    assert read
    assert read.next_try_at
    assert timedelta(seconds=250) < read.next_try_at - timezone.now() < timedelta(seconds=301)


def days_ago(days: float) -> dict[str, object]:
    """As if a wish had been made, and first been tried, so long ago."""
    at = timezone.now() - timedelta(days=days)
    return {"wanted_at": at, "began_at": at}


def test_a_key_that_is_rejected_is_the_connections_matter(vendor: Vendor) -> None:
    vendor.finished("fail-1")
    vendor.world.faults.add("unauthorized")
    assert {read.state for read in read_all(**days_ago(3))} == {"reading"}
    vendor.world.faults.clear()
    assert {read.state for read in read_all()} == {"read"}, "the wish outlives every weekend"


def test_a_wish_that_waited_for_days_is_not_given_up_at_its_first_failure(vendor: Vendor) -> None:
    vendor.finished("fail-1")
    FileRead.objects.update(**days_ago(3))
    vendor.world.faults.add("rate_limit", 1, count=1, only="content")
    assert [read.state for read in read_all()] == ["reading", "read", "read"]


def test_an_outage_of_the_vendor_is_waited_for_until_the_next_day(vendor: Vendor) -> None:
    vendor.finished("fail-1")
    vendor.world.faults.add("server_error", 503)
    reads = read_all()
    assert {read.state for read in reads} == {"reading"}
    assert reads[-1].failures > reading.MOST_FAILURES
    assert [read.state for read in read_all(**days_ago(1.1))] == ["failed"]


@pytest.mark.parametrize("fault", ["rate_limit", "unauthorized", "server_error", "disconnect"])
def test_a_vendor_in_trouble_is_not_asked_for_the_next_file(vendor: Vendor, fault: str) -> None:
    for _ in range(3):
        vendor.finished("fail-1")
    vendor.world.faults.add(fault, 300 if fault == "rate_limit" else None)
    now = timezone.now()
    [pk] = files.due_reads(now)
    other = FileRead.objects.exclude(pk=pk).values_list("pk", flat=True)[0]
    assert read_file(pk)
    assert files.due_reads(timezone.now()) == []
    assert read_file(other) is None, "nor by a message that was sent before"
    waits = timedelta(minutes=5) if fault == "rate_limit" else timedelta(seconds=60)
    assert len(files.due_reads(now + waits + timedelta(seconds=5))) == 1


def test_a_key_that_may_read_files_but_not_describe_them_is_enough(vendor: Vendor) -> None:
    batch = vendor.finished("fail-1")
    vendor.world.faults.add("server_error", 403, only="file")
    assert [read.state for read in read_all()] == ["read", "read"]
    assert errors_of(batch) == [("error", "server_error", 1)]


def test_while_its_sync_fails_only_what_somebody_asked_for_is_read(vendor: Vendor) -> None:
    first, _second = vendor.finished("fail-1"), vendor.finished("fail-2")
    Connection.objects.update(failures=2)
    assert files.due_reads(timezone.now()) == []
    asked = files.ask(first, "error", "ana")
    assert files.due_reads(timezone.now()) == [asked.pk]


def test_a_defect_of_ours_leaves_nothing_claimed(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.finished("fail-1")
    monkeypatch.setattr(reading, "met_in", lambda read: 1 / 0)
    reads = read_all()
    assert [read.state for read in reads] == ["reading"] * 5 + ["failed"]
    assert (reads[-1].error_kind, reads[-1].claim_token) == ("defect", "")
    assert not Result.objects.exists()


def test_a_database_that_is_locked_for_once_costs_no_wish(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = vendor.finished("fail-1")
    locked = [True]

    def met_in(read: FileRead) -> Any:
        if locked.pop():
            locked.append(False)
            raise OperationalError("database is locked")
        locked.append(False)
        return grouping.met_in(read)

    monkeypatch.setattr(reading, "met_in", met_in)
    assert [read.state for read in read_all()] == ["reading", "read", "read"]
    assert errors_of(batch) == [("error", "server_error", 1)]


def test_a_read_whose_history_was_dropped_ends_quietly(vendor: Vendor) -> None:
    vendor.finished("fail-1")
    [pk] = files.due_reads(timezone.now())

    def stop() -> bool:
        vendor.connection.delete()
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", 1)
        assert read_file(pk, stop=stop) is None
    assert not FileRead.objects.exists()


def test_no_key_is_no_reason_to_give_up(vendor: Vendor) -> None:
    vendor.finished("fail-1")
    Connection.objects.update(sealed_key="gAAAAA-not-ours")
    read = read_file(files.due_reads(timezone.now())[0])
    assert read
    assert (read.state, read.error_kind) == ("reading", "key_lost")
