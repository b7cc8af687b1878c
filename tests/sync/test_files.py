"""Which files are wished for, and what people may ask."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import Q
from django.utils import timezone

from dashboard.models import Batch, BatchError, Connection, ErrorDay, FileKind, FileRead, Result, Transition
from dashboard.sync import files, reading
from dashboard.sync.absorb import absorb
from dashboard.sync.files import wanted_files
from tests.batches_made import batch_made, connection_made, counts
from tests.sync.conftest import Vendor, remote
from tests.sync.test_reading import errors_of, of_server, read_all, refused, vendor

__all__ = ["vendor"]
VendorOf = Callable[..., Vendor]
Source = Transition.Source
BOTH = {"error_file_id": "file-e", "output_file_id": "file-o"}


@pytest.mark.parametrize(
    ("status", "columns", "wanted"),
    [
        ("in_progress", BOTH | counts(10, 2, 3), []),
        ("completed", BOTH | counts(10, 10), ["error"]),
        ("completed", {"output_file_id": "file-o"} | counts(10, 10), []),
        ("completed", BOTH | counts(10, 7, 3), ["error"]),
        ("completed", BOTH | counts(10, 9, 0), ["error"]),
        ("completed", BOTH, ["error"]),
        ("completed", {"output_file_id": "file-o"} | counts(10, 7, 3), ["output"]),
        ("completed", {"output_file_id": "file-o"}, []),
        ("completed", counts(10, 7, 3), []),
        ("expired", BOTH | counts(10, 10), ["error"]),
        ("cancelled", BOTH | counts(10, 4), ["error"]),
        ("completed", {"output_file_id": "file-o"} | {"requests_total": 10, "requests_completed": 7}, ["output"]),
        ("cancelled", {"output_file_id": "file-o"} | counts(10, 4), ["output"]),
        ("failed", {}, []),
        ("completed", BOTH | counts(10, 7, 3) | {"gone_at": timezone.now()}, []),
    ],
)
def test_what_is_worth_reading(db: None, status: str, columns: dict[str, object], wanted: list[str]) -> None:
    assert wanted_files(batch_made(connection_made(), status, **columns)) == wanted


@pytest.mark.parametrize(
    ("status", "numbers", "read", "wanted"),
    [
        ("completed", (10, 7, 3), {"failed": 3}, []),
        ("completed", (10, 7, 3), {"failed": 1, "never_ran": 2}, []),
        ("completed", (10, 7, 3), {"failed": 2}, ["output"]),
        ("completed", (10, 7, 3), {"failed": 2, "is_capped": True}, []),
        ("completed", (10, 7, None), {"failed": 2}, ["output"]),
        ("completed", (10, 7, 0), {}, ["output"]),
        ("completed", (None, None, 3), {"failed": 3}, []),
        ("expired", (10, 1, 0), {"never_ran": 9}, []),
        ("expired", (10, 1, 0), {}, []),
        ("expired", (10, 1, 4), {"never_ran": 5}, ["output"]),
        ("expired", (10, 1, 4), {"failed": 4}, []),
        ("cancelled", (10, 1, 9), {"never_ran": 9}, []),
    ],
)
def test_what_the_error_file_does_not_explain(
    db: None, status: str, numbers: tuple[int | None, ...], read: dict[str, int], wanted: list[str]
) -> None:
    columns = dict(zip(("requests_total", "requests_completed", "requests_failed"), numbers, strict=True))
    batch = batch_made(connection_made(), status, **BOTH, **columns)
    assert wanted_files(batch, FileRead(batch=batch, **read)) == wanted


def test_thousands_of_wishes_are_looked_through_at_once(connection: Connection) -> None:
    made = [batch_made(connection, "completed", **BOTH, **counts(10, 7, 3)) for _ in range(40)]
    wishes = [
        FileRead(batch=made[n % 40], kind="error", file_id="f", state="read", wanted_at=timezone.now())
        for n in range(3_000)
    ]
    FileRead.objects.bulk_create(wishes)
    with pytest.MonkeyPatch.context() as patch:
        # What one batch may have open is one of a kind; here it is only about the number.
        patch.setattr(FileRead, "OPEN", ("read",))
        began = time.perf_counter()
        assert len(files.due_reads(timezone.now())) == 1
        assert time.perf_counter() - began < 0.5, "no wish is compared with every other"


def test_what_people_ask_for_comes_before_what_nobody_waits_for(connection: Connection) -> None:
    now = timezone.now()
    wishes = [
        ("error", "", 1, "third"),
        ("error", "", 9, "fourth"),
        ("input", "", 1, "last"),
        ("input", "ana", 9, "second"),
        ("output", "ana", 9, "first"),
    ]
    for kind, who, days, place in wishes:
        batch = batch_made(connection, "completed", finished_at=now - timedelta(days=days))
        FileRead.objects.create(batch=batch, kind=kind, asked_by=who, wanted_at=now, file_id=place)
    order = []
    while due := files.due_reads(now):
        order.append(FileRead.objects.get(pk=due[0]).file_id)
        FileRead.objects.filter(pk=due[0]).update(state="read")
    assert order == ["first", "second", "third", "fourth", "last"]


BAD_FILE = {"object": "list", "data": [{"code": "invalid_json_line", "message": "Not JSON.", "line": 7}]}


def test_what_is_said_no_more_of_a_batch_is_an_error_no_more(connection: Connection) -> None:
    now = timezone.now()
    second = int(now.timestamp())
    absorb(connection, [remote("b", "failed", failed_at=second, errors=BAD_FILE)], asked_at=now, source=Source.POLL)
    assert Batch.objects.get().worst_requests == 1
    good = {"errors": None, "request_counts": {"total": 100, "completed": 100, "failed": 0}}
    again = remote("b", "completed", **good)
    absorb(connection, [again], asked_at=now + timedelta(seconds=1), source=Source.POLL)
    assert (Batch.objects.get().worst_requests, Batch.objects.get().worst_error) == (0, None)
    assert not BatchError.objects.exists()
    assert not ErrorDay.objects.exists()


def test_a_batch_that_runs_and_ends_again_is_read_again(vendor: Vendor) -> None:
    batch = of_server(vendor, refused("a", "No."), refused("b", "No."), counts=(1, 2))
    read_all()
    assert errors_of(batch) == [("error", "bad", 2)]
    now, named = timezone.now(), {"error_file_id": batch.error_file_id}

    def seen(status: str, seconds: int, **fields: object) -> None:
        came = remote(batch.remote_id, status, **(named | fields))
        absorb(vendor.connection, [came], asked_at=now + timedelta(seconds=seconds), source=Source.POLL)

    seen("in_progress", 1)
    assert not FileRead.objects.open().exists()
    number = next(n for n, upload in enumerate(vendor.world.uploads) if upload.id == batch.error_file_id)
    rest = json.dumps(refused("b", "Still no.")).encode()
    vendor.world.uploads[number] = replace(vendor.world.uploads[number], content=rest)
    seen("completed", 2, request_counts={"total": 3, "completed": 2, "failed": 1})
    read_all()
    assert errors_of(batch) == [("error", "bad", 1)]
    seen("in_progress", 3)
    seen("completed", 4, error_file_id=None, request_counts={"total": 3, "completed": 3, "failed": 0})
    assert errors_of(batch) == []
    assert Batch.objects.get().worst_requests == 0


def ended(remote_id: str, days_ago: float, **fields: object) -> dict[str, object]:
    at = int((timezone.now() - timedelta(days=days_ago)).timestamp())
    return {
        "remote_id": remote_id,
        "created_at": at - 100,
        "completed_at": at,
        "error_file_id": f"file-{remote_id}",
        "request_counts": {"total": 10, "completed": 7, "failed": 3},
    } | fields


def test_an_import_wishes_only_for_the_last_two_weeks_and_newest_first(connection: Connection) -> None:
    came = [remote(status="completed", **ended(f"b{days}", days)) for days in (20, 3, 13, 1)]  # type: ignore[arg-type]
    absorb(connection, came, asked_at=timezone.now(), source=Source.IMPORT)
    assert set(FileRead.objects.values_list("batch__remote_id", flat=True)) == {"b1", "b3", "b13"}
    order = []
    while due := files.due_reads(timezone.now()):
        order.append(FileRead.objects.get(pk=due[0]).batch.remote_id)
        FileRead.objects.filter(pk=due[0]).update(state="read")
    assert order == ["b1", "b3", "b13"]
    absorb(
        connection,
        [remote(status="completed", **ended("b30", 30))],  # type: ignore[arg-type]
        asked_at=timezone.now(),
        source=Source.POLL,
    )
    assert FileRead.objects.filter(batch__remote_id="b30").exists(), "what ends before our eyes is read"


def test_a_wish_is_made_once_and_again_for_another_file(connection: Connection) -> None:
    def see(**fields: object) -> None:
        one = remote(status="completed", **ended("b1", 0.001, **fields))  # type: ignore[arg-type]
        absorb(connection, [one], asked_at=timezone.now(), source=Source.POLL)

    see(error_file_id=None)
    assert not FileRead.objects.exists(), "file ids come late"
    see()
    see(metadata={"name": "renamed"})
    [read] = FileRead.objects.all()
    FileRead.objects.update(state="read")
    see(metadata={"name": "again"})
    see(error_file_id="file-new")
    assert list(FileRead.objects.order_by("pk").values_list("file_id", "state")) == [
        ("file-b1", "read"),
        ("file-new", "wanted"),
    ]
    assert read.wanted_at


def test_errors_of_a_validation_are_groups_at_once(connection: Connection) -> None:
    data = [
        {"code": "invalid_json_line", "message": "This line is not parseable as valid JSON.", "line": line}
        for line in (9, 4, 7)
    ]
    data.append({"code": "token_limit_exceeded", "message": "Enqueued limit reached in organization org-Qm7vX2kLd93T."})
    at = int(timezone.now().timestamp()) - 90
    one = remote(status="failed", failed_at=at, errors={"object": "list", "data": data})
    absorb(connection, [one], asked_at=timezone.now(), source=Source.IMPORT)
    batch = Batch.objects.get()
    assert errors_of(batch) == [("validation", "invalid_json_line", 3), ("validation", "token_limit_exceeded", 1)]
    error = BatchError.objects.get(requests=3)
    assert (error.first_line, error.last_line) == (4, 9)
    assert [sample["input_line"] for sample in error.samples] == [9, 4, 7]
    assert (batch.worst_error_id, batch.worst_requests) == (error.group_id, 3)
    connection.refresh_from_db()
    assert batch.revision == connection.revision
    assert "org-Qm" not in str(list(BatchError.objects.values("samples")))
    assert sorted(ErrorDay.objects.values_list("requests", flat=True)) == [1, 3]


def test_two_reads_of_one_connection_are_never_under_way(connection: Connection) -> None:
    other = connection_made("other")
    for of in (connection, connection, other):
        batch = batch_made(of, "completed", error_file_id="file-e", **counts(10, 7, 3))
        files.wish([batch], timezone.now())
    first, third, second = FileRead.objects.order_by("pk").values_list("pk", flat=True)
    assert set(files.due_reads(timezone.now())) == {third, second}, "the batch that ended last comes first"
    assert files.claim(first)
    assert not files.claim(first)
    assert files.due_reads(timezone.now()) == [second]
    assert not files.claim(third), "two messages for one connection"
    assert files.claim(second)
    FileRead.objects.filter(pk=first).update(claim_until=timezone.now() - timedelta(seconds=1))
    assert files.claim(third), "whoever held it was killed"


def test_a_paused_connection_is_not_read_from(connection: Connection) -> None:
    batch = batch_made(connection, "completed", error_file_id="file-e", **counts(10, 7, 3))
    files.wish([batch], timezone.now())
    Connection.objects.update(paused_at=timezone.now())
    [read] = FileRead.objects.all()
    assert files.due_reads(timezone.now()) == []
    assert not files.claim(read.pk)


def test_asking_twice_is_one_wish(vendor: Vendor) -> None:
    batch = vendor.finished("a", "b")
    first, second = files.ask(batch, "output", "ana"), files.ask(batch, "output", "mei")
    assert (first.pk, second.asked_by) == (second.pk, "ana")
    with pytest.raises(files.NoFile):
        files.ask(batch, "error", "ana")
    batch.refresh_from_db()
    vendor.connection.refresh_from_db()
    assert batch.revision == vendor.connection.revision
    read_all()
    third = files.ask(batch, "output", "ana")
    assert third.pk != first.pk


def test_what_people_ask_for_comes_first_and_holds_everything(vendor: Vendor) -> None:
    batch = vendor.finished("ok-1", "fail-1")
    vendor.finished("fail-2")
    read = files.ask(batch, "output", "ana")
    assert files.due_reads(timezone.now()) == [read.pk]
    read_all()
    assert set(read.results.values_list("custom_id", "state")) == {("ok-1", "succeeded")}


def test_a_wish_of_the_dashboard_becomes_somebodys(vendor: Vendor) -> None:
    batch = vendor.finished("ok-1", "fail-1")
    Batch.objects.filter(pk=batch.pk).update(requests_failed=5)
    read_all()
    [output] = FileRead.objects.filter(kind="output")
    FileRead.objects.filter(pk=output.pk).update(state="reading", offset=10, claim_token="x", lines=3)
    asked = files.ask(batch, "output", "ana")
    assert (asked.pk, asked.offset, asked.lines, asked.claim_token, asked.asked_by) == (output.pk, 0, 0, "", "ana")


def test_old_results_are_swept_and_groups_stay(vendor: Vendor) -> None:
    batch = vendor.finished("ok-1", "ok-2", "fail-1")
    files.ask(batch, "output", "ana")
    read_all()
    now = timezone.now()
    files.sweep_results(now + timedelta(minutes=50), timedelta(days=30))
    assert Result.objects.count() == 3
    files.sweep_results(now + timedelta(minutes=70), timedelta(days=30))
    assert list(Result.objects.values_list("custom_id", flat=True)) == ["fail-1"]
    Batch.objects.filter(pk=batch.pk).update(finished_at=now - timedelta(days=31))
    files.sweep_results(now, timedelta(days=30))
    assert not Result.objects.exists()
    assert errors_of(batch) == [("error", "server_error", 1)]


def test_results_are_dropped_a_few_at_a_time(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.finished(*(f"fail-{n}" for n in range(25)))
    read_all()
    monkeypatch.setattr(files, "ROWS_AT_ONCE", 10)
    assert files.drop_results(Q(custom_id__startswith="fail"), most=15) == 15
    assert files.drop_results(Q()) == 10


def test_which_requests_nobody_answered(vendor: Vendor) -> None:
    batch = vendor.finished(*(f"ok-{n}" for n in range(10)), "fail-1", "lost-1", "lost-2")
    read_all()
    files.ask(batch, FileKind.INPUT, "ana")
    assert FileRead.objects.open().count() == 2, "the output has to be read first"
    reads = read_all()
    assert [read.kind for read in reads] == ["output", "input"]
    assert (reads[-1].missing, reads[-1].missing_ids, reads[-1].lines) == (0, [], 13)
    Result.objects.filter(custom_id__startswith="lost").delete()
    files.ask(batch, FileKind.INPUT, "ana")
    reads = read_all()
    assert (reads[-1].missing, reads[-1].missing_ids) == (2, ["lost-1", "lost-2"])


def test_nobody_can_say_what_is_missing_behind_a_cap(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_LINES", 5)
    batch = vendor.finished(*(f"ok-{n}" for n in range(10)), "fail-1")
    files.ask(batch, FileKind.INPUT, "ana")
    last = read_all()[-1]
    assert (last.kind, last.state, last.error_kind, last.missing) == ("input", "failed", "not_comparable", None)


def test_nobody_can_say_what_is_missing_without_the_output(vendor: Vendor) -> None:
    batch = vendor.finished("ok-1", "fail-1")
    vendor.world.faults.add("file_gone", batch.output_file_id)
    files.ask(batch, FileKind.INPUT, "ana")
    reads = read_all()
    assert (reads[-1].kind, reads[-1].state, reads[-1].error_kind) == ("input", "failed", "not_comparable")
