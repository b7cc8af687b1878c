"""Error and output files into groups, with vendors in every mood; over a real socket."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from dashboard.dialects import jsonl
from dashboard.models import Batch, BatchError, Connection, ErrorDay, ErrorGroup, FileKind, FileRead, RemoteFile, Result
from dashboard.sync import files, held, reading
from dashboard.sync.reading import read_file
from tests.sync.conftest import Vendor
from tests.sync.test_sight import counted

VendorOf = Callable[..., Vendor]


@pytest.fixture
def vendor(vendor_of: VendorOf) -> Vendor:
    """Nothing but what a test makes."""
    vendor = vendor_of(0, failing=0.0)
    vendor.pull()
    return vendor


def read_all(**columns: object) -> list[FileRead]:
    """Read what is wanted, and what that leads to, as the tick would; whether or not it is to wait."""
    done: list[FileRead] = []
    while True:
        FileRead.objects.open().update(next_try_at=None, **columns)
        Connection.objects.update(reads_wait_until=None)
        due = files.due_reads(timezone.now())
        if not due or len(done) > 30:
            return done
        for pk in due:
            read = read_file(pk)
            assert read is not None
            done.append(read)


def errors_of(batch: Batch) -> list[tuple[str, str, int]]:
    rows = BatchError.objects.filter(batch=batch).order_by("-requests", "group__code")
    return list(rows.values_list("source", "group__code", "requests"))


def facts() -> dict[str, Any]:
    """All that was learned from files, but for when and by which numbers of rows."""
    return {
        "errors": sorted(
            (e.group.signature, e.group.message, e.source, e.requests, e.first_line, e.last_line, json.dumps(e.samples))
            for e in BatchError.objects.select_related("group")
        ),
        "days": sorted(ErrorDay.objects.values_list("group__signature", "batches", "requests")),
        "worst": list(Batch.objects.order_by("pk").values_list("worst_error__signature", "worst_requests")),
        "reads": list(
            FileRead.objects.exclude(kind=FileKind.INPUT).values_list(
                "kind", "state", "offset", "last_line", *reading.COUNTED
            )
        ),
        "results": list(
            Result.objects.order_by("read__kind", "line").values_list(
                "line", "offset", "length", "custom_id", "state", "group__signature", "http_status", "words"
            )
        ),
    }


def test_failures_become_groups_with_samples_days_and_the_worst_error(vendor: Vendor) -> None:
    batch = vendor.finished(*(f"ok-{n}" for n in range(20)), *(f"fail-{n}" for n in range(9)))
    [wanted] = FileRead.objects.all()
    assert (wanted.kind, wanted.state, wanted.asked_by) == ("error", "wanted", "")
    before = vendor.connection.revision
    [error_read, input_read] = read_all()
    assert (error_read.state, error_read.lines, error_read.failed, error_read.bad_lines) == ("read", 9, 9, 0)
    assert errors_of(batch) == [("error", "server_error", 9)]
    error = BatchError.objects.select_related("group").get()
    assert (error.first_line, error.last_line, len(error.samples)) == (1, 9, 5)
    assert error.samples[0] == {
        "custom_id": "fail-0",
        "line": 1,
        "input_line": 21,
        "words": "The server had an error while processing your request. Sorry about that!",
    }
    assert (error.group.http_status, error.group.retry) == (500, "server_error")
    batch.refresh_from_db()
    assert error.group.first_seen_at == error.group.last_seen_at == error.at == batch.finished_at
    assert (batch.worst_error, batch.worst_requests) == (error.group, 9)
    day = ErrorDay.objects.get()
    assert (day.day, day.batches, day.requests) == (error.at.date(), 1, 9)
    vendor.connection.refresh_from_db()
    assert vendor.connection.revision == batch.revision == before + 2, "open pages learn of each publication"
    assert input_read.kind == "input"
    file = RemoteFile.objects.get(file_id=batch.error_file_id)
    assert file.size == error_read.offset == error_read.size
    assert file.expires_at
    assert file.expires_at - timezone.now() > timedelta(days=25)


def test_a_batch_without_failures_is_left_alone(vendor: Vendor) -> None:
    batch = vendor.finished("a", "b", "c")
    assert batch.output_file_id
    assert not FileRead.objects.exists()


def test_requests_that_never_ran_are_told_from_those_that_failed(vendor: Vendor) -> None:
    batch = vendor.finished(*(f"ask-{n}" for n in range(10)), wish="expired")
    [read, _] = read_all()
    assert (read.failed, read.never_ran) == (0, 4)
    assert errors_of(batch) == [("error", "batch_expired", 4)]
    assert ErrorGroup.objects.get().retry == "expired"
    assert set(Result.objects.values_list("state", flat=True)) == {"never_ran"}


def test_the_same_error_of_two_batches_is_one_group(vendor: Vendor) -> None:
    vendor.finished("fail-1")
    vendor.finished("fail-2", "fail-3")
    read_all()
    group = ErrorGroup.objects.get()
    assert group.first_seen_at < group.last_seen_at
    assert ErrorDay.objects.aggregate(all=Sum("requests"))["all"] == 3


def test_results_hold_no_prompt_and_no_output(vendor: Vendor) -> None:
    batch = vendor.finished("ok-1", "fail-1")
    files.ask(batch, "output", "ana")
    read_all()
    kept = list(Result.objects.order_by("pk").values_list("custom_id", "state", "words", "tokens_output"))
    assert ("ok-1", "succeeded", "", 0) in [(a, b, c, d and 0) for a, b, c, d in kept]
    assert all("Category" not in str(row) and "gpt-5-mini" not in str(row) for row in kept)


def of_server(vendor: Vendor, *lines: object, counts: tuple[int, int] = (0, 3), into: str = "error") -> Batch:
    """A finished batch whose file holds these lines, whatever its vendor."""
    content = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    batch = vendor.finished("a", "b", "c")
    file = vendor.world.upload("theirs.jsonl", "batch_output", content)
    named = {"error_file_id": "", "output_file_id": "", f"{into}_file_id": file.id}
    Batch.objects.filter(pk=batch.pk).update(**named, requests_completed=counts[0], requests_failed=counts[1])
    batch.refresh_from_db()
    files.wish([batch], timezone.now())
    return batch


def refused(custom_id: str, message: str, status: int = 400) -> dict[str, object]:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "bad"}
    return {"custom_id": custom_id, "response": {"status_code": status, "body": {"error": error}}, "error": None}


def test_lines_that_cannot_be_read_are_counted_and_skipped(vendor: Vendor) -> None:
    batch = of_server(
        vendor, refused("a", "No."), b"garbage\n", b"\n", b"\xff\x00\n", b"[1]\n", refused("b", "No."), b'{"half'
    )
    [read, *_] = read_all()
    assert (read.lines, read.bad_lines, read.failed, read.last_line) == (6, 4, 2, 7)
    assert list(Result.objects.values_list("line", "custom_id")) == [(1, "a"), (6, "b")]
    assert errors_of(batch) == [("error", "bad", 2)]


def test_keys_addresses_and_organisations_are_masked(vendor: Vendor) -> None:
    key = vendor.connection.key
    batch = of_server(vendor, refused("a", f"Bad key {key} of bob@example.com in org-Qm7vX2kLd93TfWzR"))
    read_all()
    shown = json.dumps([*Result.objects.values(), facts()], default=str)
    assert "Bad key […] of […] in […]" in BatchError.objects.get(batch=batch).samples[0]["words"]
    assert key not in shown
    assert "bob@" not in shown
    assert "org-Qm" not in shown


def test_an_empty_file_is_fine(vendor: Vendor) -> None:
    batch = of_server(vendor)
    [read] = read_all()
    assert (read.state, read.lines, read.offset) == ("read", 0, 0)
    assert errors_of(batch) == []


@pytest.mark.parametrize("fault", ["packed_file", "packed_answer", "trickle", "no_parts"])
def test_a_file_is_the_same_however_it_comes(vendor_of: VendorOf, fault: str) -> None:
    plain, other = vendor_of(0, failing=0.0, name="plain"), vendor_of(0, failing=0.0, name="other")
    other.world.faults.add(fault)
    seen = []
    for vendor in (plain, other):
        vendor.pull()
        vendor.finished(*(f"ok-{n}" for n in range(20)), *(f"fail-{n}" for n in range(9)))
        read_all()
        seen.append(facts())
        vendor.connection.delete()
        ErrorGroup.objects.all().delete()
    assert seen[0] == seen[1]


def test_the_output_is_read_where_the_error_file_does_not_explain_the_counts(vendor: Vendor) -> None:
    batch = of_server(vendor, GOOD, refused("b", "No."), refused("c", "No."), into="output", counts=(1, 2))
    [read, _] = read_all()
    assert (read.kind, read.succeeded, read.failed) == ("output", 1, 2)
    assert errors_of(batch) == [("output", "bad", 2)]
    assert set(Result.objects.values_list("custom_id", flat=True)) == {"b", "c"}, "nobody asked for the others"


GOOD = {"custom_id": "a", "response": {"status_code": 200, "body": {"usage": {"total_tokens": 9}}}, "error": None}


@pytest.mark.parametrize(("good", "outcome", "ended_as"), [(2, "partial", (2, 1)), (0, "all_failed", (0, 3))])
def test_what_a_file_shows_becomes_the_outcome(
    vendor: Vendor, good: int, outcome: str, ended_as: tuple[int, int]
) -> None:
    """And stays it, whatever its vendor goes on to count."""
    bad = [refused(f"b{n}", "No.") for n in range(3 - good)]
    batch = of_server(vendor, *[GOOD] * good, *bad, into="output", counts=(3, 0))
    assert batch.outcome == "succeeded"
    files.ask(batch, "output", "ana")
    read_all()
    batch.refresh_from_db()
    assert (batch.outcome, batch.completed, batch.failed, batch.failing) == (outcome, *ended_as, ended_as[1])
    assert counted() == {outcome: 1}
    vendor.pull()
    Batch.objects.update(payload=b"")
    assert vendor.pull().changed == 1
    batch.refresh_from_db()
    assert (batch.outcome, batch.requests_completed) == (outcome, 3)
    assert counted() == {outcome: 1}


def test_an_outcome_is_put_back_by_a_file_without_errors(vendor: Vendor) -> None:
    batch = of_server(vendor, GOOD, refused("b", "No."), refused("c", "No."), into="output", counts=(3, 0))
    files.ask(batch, "output", "ana")
    read_all()
    mended = vendor.world.upload("mended.jsonl", "batch_output", b"\n".join([json.dumps(GOOD).encode()] * 3))
    Batch.objects.filter(pk=batch.pk).update(output_file_id=mended.id)
    assert counted() == {"partial": 1}
    batch.refresh_from_db()
    files.ask(batch, "output", "ana")
    read_all()
    batch.refresh_from_db()
    assert (batch.failed_in_files, batch.failed, batch.worst_error) == (0, 0, None)
    assert counted() == {"succeeded": 1}


def test_a_batch_out_of_sight_is_not_called_ended_by_its_files(vendor: Vendor) -> None:
    batch = of_server(vendor, refused("b", "No."), counts=(2, 1))
    Batch.objects.filter(pk=batch.pk).update(is_open=True, status="in_progress", outcome="unseen")
    read_all()
    batch.refresh_from_db()
    assert (batch.outcome, batch.failed_in_files, batch.failed) == ("unseen", 1, 1)


def test_an_empty_error_file_leads_to_the_output(vendor: Vendor) -> None:
    batch = of_server(vendor)
    output = vendor.world.upload("theirs.jsonl", "batch_output", json.dumps(refused("b", "No.")).encode())
    Batch.objects.filter(pk=batch.pk).update(output_file_id=output.id)
    assert [read.kind for read in read_all()] == ["error", "output", "input"]
    assert errors_of(batch) == [("output", "bad", 1)]


def test_a_line_cap_is_said(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_LINES", 5)
    batch = of_server(vendor, *(refused(f"r{n}", "No.") for n in range(6)), counts=(0, 6))
    [read, _] = read_all()
    assert (read.state, read.is_capped, read.lines) == ("read", True, 5)
    assert errors_of(batch) == [("error", "bad", 5)]
    assert not FileRead.objects.filter(kind="output").exists(), "what a cap hid is no reason to read on"


def test_as_many_lines_as_are_allowed_are_no_cap(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_LINES", 5)
    of_server(vendor, *(refused(f"r{n}", "No.") for n in range(5)))
    assert read_all()[0].is_capped is False


def test_a_byte_cap_holds_for_a_line_without_end(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held.Reading.paced, "__defaults__", (0, 3_000_000))
    of_server(vendor, refused("a", "No."))
    vendor.world.faults.add("long_line", 50, only="content")
    [read] = read_all()
    assert (read.state, read.is_capped, read.lines) == ("read", True, 0)


def test_a_file_that_unpacks_without_end_is_read_up_to_a_cap(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jsonl.lines_of.__kwdefaults__ or {}, "most_unpacked", 2_000_000)
    line = json.dumps(refused("a", "No.")).encode() + b"\n"
    batch = of_server(vendor, gzip.compress(line * 3 + b"\n" * 9_000_000))
    [read, _] = read_all()
    assert (read.state, read.is_capped, read.lines) == ("read", True, 3)
    assert errors_of(batch) == [("error", "bad", 3)]


def test_an_error_file_that_is_gone_leads_to_the_output(vendor: Vendor) -> None:
    batch = of_server(vendor)
    output = vendor.world.upload("theirs.jsonl", "batch_output", json.dumps(refused("b", "No.")).encode())
    Batch.objects.filter(pk=batch.pk).update(output_file_id=output.id)
    vendor.world.faults.add("file_gone", batch.error_file_id)
    assert [(read.kind, read.state) for read in read_all()][:2] == [("error", "gone"), ("output", "read")]
    assert errors_of(batch) == [("output", "bad", 1)]


def test_a_line_too_long_is_one_unreadable_line(vendor: Vendor) -> None:
    of_server(vendor, refused("a", "No."))
    vendor.world.faults.add("long_line", 20, only="content")
    [read, *_] = read_all()
    assert (read.lines, read.bad_lines, read.failed) == (2, 1, 1)


def test_a_file_of_nothing_but_different_errors_does_not_fill_the_groups(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.sync.grouping.MOST_GROUPS", 10)
    words = ["apple", "pear", "plum", "fig", "lime", "kiwi", "date", "melon", "grape", "peach", "cherry", "quince"]
    of_server(vendor, *(refused(f"r{n}", f"There is no {word} {m}.") for n, word in enumerate(words) for m in words))
    read_all()
    assert ErrorGroup.objects.count() == 11
    assert BatchError.objects.aggregate(all=Sum("requests"))["all"] == 144


def test_a_file_that_is_gone_keeps_what_was_read_before(vendor: Vendor) -> None:
    batch = vendor.finished("ok-1", "fail-1", "fail-2")
    read_all()
    before = facts()
    vendor.world.faults.add("file_gone")
    files.ask(batch, "error", "ana")
    [read] = read_all()
    assert (read.state, read.error_kind) == ("gone", "file_gone")
    after = facts()
    assert {name: after[name] for name in ("errors", "days", "worst", "results")} == {
        name: before[name] for name in ("errors", "days", "worst", "results")
    }
    file = RemoteFile.objects.get(file_id=batch.error_file_id)
    assert file.gone_at
    assert FileRead.objects.published(batch, "error")
    vendor.world.faults.clear()
    files.ask(batch, "error", "ana")
    read_all()
    assert RemoteFile.objects.get(pk=file.pk).gone_at is None
    assert facts()["errors"] == before["errors"]
    assert FileRead.objects.filter(kind="error").count() == 1


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_file_that_is_named_anew_while_the_old_one_is_read_is_read_as_well(vendor: Vendor, *, is_gone: bool) -> None:
    batch = of_server(vendor, refused("a", "No."))
    old = batch.error_file_id
    new = vendor.world.upload("new.jsonl", "batch_output", json.dumps(refused("b", "Never.", 403)).encode())
    Batch.objects.filter(pk=batch.pk).update(error_file_id=new.id)
    batch.refresh_from_db()
    files.wish([batch], timezone.now())
    if is_gone:
        vendor.world.faults.add("file_gone", old)
    read_all()
    assert BatchError.objects.get().group.http_status == 403
    assert FileRead.objects.filter(kind="error", file_id=new.id, state="read").exists()


def test_reading_again_replaces_all_or_nothing(vendor: Vendor) -> None:
    batch = of_server(vendor, refused("a", "No."), refused("b", "No."))
    read_all()
    other = vendor.world.upload("new.jsonl", "batch_output", json.dumps(refused("c", "Never.", 403)).encode())
    Batch.objects.filter(pk=batch.pk).update(error_file_id=other.id)
    batch.refresh_from_db()
    files.ask(batch, "error", "ana")
    vendor.world.faults.add("cut", 20)
    read_file(files.due_reads(timezone.now())[0])
    assert errors_of(batch) == [("error", "bad", 2)], "what was read before stands until all of the new one is read"
    vendor.world.faults.clear()
    read_all()
    assert errors_of(batch) == [("error", "bad", 1)]
    assert BatchError.objects.get().group.http_status == 403
    assert ErrorDay.objects.get().requests == 1
    batch.refresh_from_db()
    assert batch.worst_requests == 1


@pytest.mark.parametrize("has_parts", [True, False])
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_connection_goes_on_where_it_was(
    vendor_of: VendorOf, monkeypatch: pytest.MonkeyPatch, *, has_parts: bool, packed: bool
) -> None:
    monkeypatch.setattr(reading, "BLOCK", 10)
    seen = []
    for broken in (False, True):
        vendor = vendor_of(0, failing=0.0, name=f"sim-{broken}")
        vendor.pull()
        vendor.finished(*(f"fail-{n}" for n in range(100)))
        if packed:
            vendor.world.faults.add("packed_file")
        if not has_parts:
            vendor.world.faults.add("no_parts")
        if broken:
            vendor.world.faults.add("cut", 2_000 if packed else 9_000, count=1, only="content")
        vendor.requests()
        [pk] = files.due_reads(timezone.now())
        read = read_file(pk)
        assert read
        if broken:
            assert (read.state, read.error_kind) == ("reading", "unreachable")
            assert read.next_try_at
            assert read.next_try_at > timezone.now()
            assert read.claim_token == ""
            assert 0 < read.offset < (read.size or 0) or packed
            assert files.due_reads(timezone.now()) == []
            assert not BatchError.objects.exists(), "nothing shows before all of it does"
        read_all()
        seen.append(facts())
        vendor.connection.delete()
        ErrorGroup.objects.all().delete()
    assert seen[0] == seen[1]


def test_a_part_is_asked_for_only_where_something_was_read(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 10)
    vendor.finished(*(f"fail-{n}" for n in range(100)))
    vendor.world.faults.add("cut", 9_000, count=1, only="content")
    read = read_all()[1]
    assert read.failed == 100
    statuses = [call.status for call in vendor.world.requests if call.path.endswith("/content")]
    assert statuses[:2] == [200, 206]


@pytest.mark.parametrize("ending", [b"", b"\n\n  \n"])
def test_blank_lines_at_the_end_are_no_cut(vendor: Vendor, ending: bytes) -> None:
    of_server(vendor, refused("a", "No."), ending)
    assert read_all()[0].state == "read"


def test_a_file_that_became_another_one_is_read_from_the_start(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 2)
    batch = of_server(vendor, *(refused(f"r{n}", "No.") for n in range(9)))
    vendor.world.faults.add("cut", 700, count=1, only="content")
    vendor.world.faults.add("no_parts")
    [pk] = files.due_reads(timezone.now())
    read = read_file(pk)
    assert read
    assert read.offset
    content = b"".join(json.dumps(refused(f"longer-{n}", "Never.")).encode() + b"\n" for n in range(7))
    number = next(n for n, upload in enumerate(vendor.world.uploads) if upload.id == batch.error_file_id)
    vendor.world.uploads[number] = replace(vendor.world.uploads[number], content=content)
    read_all()
    assert errors_of(batch) == [("error", "bad", 7)]
    assert Result.objects.count() == 7


def test_two_workers_do_not_read_one_file(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 2)
    vendor.finished(*(f"fail-{n}" for n in range(20)))
    [pk] = files.due_reads(timezone.now())
    FileRead.objects.filter(pk=pk).update(claim_until=None)
    saved = 0

    def taken_over() -> bool:
        nonlocal saved
        saved += 1
        if saved == 3:
            # As if this one had slept for more than two minutes.
            FileRead.objects.filter(pk=pk).update(claim_until=timezone.now())
            second = read_file(pk)
            assert second
            assert second.failed == 20
        return False

    assert read_file(pk, stop=taken_over) is None, "the first one has lost it"
    assert saved == 3
    assert FileRead.objects.get(pk=pk).failed == 20
    assert Result.objects.count() == 20


def test_a_worker_that_stops_keeps_the_place(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 10)
    vendor.finished(*(f"fail-{n}" for n in range(95)))
    [pk] = files.due_reads(timezone.now())
    read = read_file(pk, stop=lambda: True)
    assert read
    assert (read.state, read.lines, read.claim_until) == ("reading", 10, None)
    [again] = [read for read in read_all() if read.kind == "error"]
    assert again.failed == 95


def test_a_file_in_gzip_of_several_members(vendor: Vendor) -> None:
    packed = gzip.compress(json.dumps(refused("a", "No.")).encode() + b"\n") + gzip.compress(
        json.dumps(refused("b", "No.")).encode()
    )
    of_server(vendor, packed)
    [read, *_] = read_all()
    assert (read.failed, read.is_packed) == (2, True)


def test_what_is_learned_of_a_file_is_looked_into_by_the_next_tick(vendor: Vendor) -> None:
    batch = vendor.finished("fail-1", "b")
    Batch.objects.update(judge_at=None)
    before = timezone.now()
    read_all()
    judge_at = Batch.objects.get(pk=batch.pk).judge_at
    assert judge_at is not None
    assert before <= judge_at <= timezone.now()
