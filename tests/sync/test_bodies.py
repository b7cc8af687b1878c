"""What is read while somebody waits, with vendors in every mood."""

import gzip
import json
import random
import threading
import time
from collections.abc import Callable

import pytest

from dashboard.models import Batch, Connection, FileKind, Result
from dashboard.sync import bodies, files
from dashboard.sync.acts import Busy
from dashboard.sync.bodies import Unavailable, body_of, download, lines_of_input, preview
from tests.sync.conftest import Vendor
from tests.sync.test_reading import of_server, read_all, refused, vendor

__all__ = ["vendor"]


@pytest.fixture
def batch(vendor: Vendor) -> Batch:
    """Thirty requests, of which the last ten have failed; all are listed."""
    batch = vendor.finished(*(f"ok-{n}" for n in range(20)), *(f"fail-{n}" for n in range(10)))
    files.ask(batch, "output", "ana")
    read_all()
    vendor.requests()
    return batch


@pytest.mark.parametrize("fault", ["", "no_parts", "wrong_part", "packed_answer"])
@pytest.mark.parametrize("custom_id", ["ok-0", "ok-13", "fail-9"])
def test_the_body_of_one_request(vendor: Vendor, batch: Batch, custom_id: str, fault: str) -> None:
    if fault:
        vendor.world.faults.add(fault)
    result = Result.objects.get(custom_id=custom_id)
    body = body_of(result)
    assert json.loads(body.text)["custom_id"] == custom_id
    assert (body.line, body.is_cut) == (result.line, False)


def test_the_body_costs_one_request_for_its_bytes_alone(vendor: Vendor, batch: Batch) -> None:
    result = Result.objects.get(custom_id="ok-13")
    body_of(result)
    [call] = list(vendor.world.requests)[-1:]
    assert call.status == 206
    assert len(vendor.requests()) == 1


def test_a_body_in_a_file_that_is_gzip(vendor: Vendor) -> None:
    batch = vendor.finished("fail-1", "fail-2")
    vendor.world.faults.add("packed_file")
    read_all()
    assert json.loads(body_of(Result.objects.get(custom_id="fail-2")).text)["custom_id"] == "fail-2"
    assert preview(batch, "error").lines[0].text.startswith('{"id"')


def test_a_body_that_is_not_reached_says_so(vendor: Vendor, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.world.faults.add("no_parts")
    monkeypatch.setattr(bodies._Patient.__init__, "__defaults__", (500,))
    with pytest.raises(Unavailable, match="not_reached"):
        body_of(Result.objects.get(custom_id="ok-13"))


def test_a_very_long_body_is_cut(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BODY", 50)
    of_server(vendor, refused("a", "No." * 100))
    read_all()
    body = body_of(Result.objects.get())
    assert (len(body.text), body.is_cut) == (50, True)


def test_the_first_lines_of_a_file(batch: Batch) -> None:
    seen = preview(batch, FileKind.INPUT, 3)
    assert [json.loads(line.text)["custom_id"] for line in seen.lines] == ["ok-0", "ok-1", "ok-2"]
    assert (seen.is_all, [line.line for line in seen.lines]) == (False, [1, 2, 3])
    seen = preview(batch, FileKind.ERROR, 10)
    assert (seen.is_all, len(seen.lines)) == (True, 10)


def test_a_preview_of_lines_without_end(vendor: Vendor, batch: Batch) -> None:
    vendor.world.faults.add("long_line", 20)
    seen = preview(batch, FileKind.ERROR)
    assert not seen.is_all
    assert [(len(line.text), line.is_cut) for line in seen.lines] == [(bodies.MOST_SHOWN, True)]


def test_a_preview_of_the_beginning_of_a_packed_file(
    vendor: Vendor, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(7)
    lines = [json.dumps({"custom_id": str(n), "noise": noise.randbytes(3_000).hex()}) for n in range(9)]
    file = vendor.world.upload("packed.jsonl", "batch", gzip.compress("\n".join(lines).encode()))
    Batch.objects.update(input_file_id=file.id)
    batch.refresh_from_db()
    monkeypatch.setattr(bodies, "PREVIEW_BYTES", 16_000)
    seen = preview(batch, FileKind.INPUT)
    assert [json.loads(line.text)["custom_id"] for line in seen.lines[:3]] == ["0", "1", "2"]
    assert not seen.is_all


def test_lines_of_the_input(vendor: Vendor, batch: Batch) -> None:
    found = lines_of_input(batch, {2, 30, 99})
    assert {number: json.loads(text.text)["custom_id"] for number, text in found.items()} == {2: "ok-1", 30: "fail-9"}


def test_lines_of_a_slow_input_are_what_came_in_time(
    vendor: Vendor, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 1.0)
    content = b"".join(b'{"custom_id":"%d"}%s\n' % (n, b" " * 16_000) for n in range(200))
    file = vendor.world.upload("large.jsonl", "batch", content)
    Batch.objects.filter(pk=batch.pk).update(input_file_id=file.id)
    batch.refresh_from_db()
    vendor.world.faults.add("trickle", 0.2)
    began = time.monotonic()
    found = lines_of_input(batch, {1, 150})
    assert list(found) == [1]
    assert time.monotonic() - began < 5


def test_a_whole_file(vendor: Vendor, batch: Batch) -> None:
    for _ in range(5):
        file = download(batch, "error")
        content = b"".join(file)
        assert len(content.splitlines()) == 10
        assert file.name.endswith("_error.jsonl")
        file.close()
    file = download(batch, "input")
    assert (file.name, file.size) == ("mine.jsonl", len(b"".join(file)))


def test_a_download_that_nobody_took_gives_its_place_back(batch: Batch) -> None:
    held = [download(batch, "error"), download(batch, "error")]
    with pytest.raises(Busy):
        download(batch, "error")
    for one in held:
        one.close()
        one.close()
    assert b"".join(download(batch, "error"))


def test_a_download_may_be_taken_by_another_thread(batch: Batch) -> None:
    whole = b"".join(download(batch, "error"))
    pieces = iter(download(batch, "error"))
    came = [next(pieces)]
    thread = threading.Thread(target=lambda: came.extend(pieces))
    thread.start()
    thread.join()
    assert whole.count(b"\n") == 10
    assert b"".join(came) == whole


@pytest.mark.parametrize("call", [lambda b: preview(b, "error"), lambda b: download(b, "error")])
def test_what_goes_wrong_is_told_in_one_way(vendor: Vendor, batch: Batch, call: Callable[[Batch], object]) -> None:
    for fault, kind in (("file_gone", "file_gone"), ("server_error", "server_error"), ("unauthorized", "bad_key")):
        vendor.world.faults.clear()
        vendor.world.faults.add(fault)
        with pytest.raises(Unavailable) as raised:
            call(batch)
        assert raised.value.kind == kind
        assert vendor.connection.key not in raised.value.words
    vendor.world.faults.clear()
    Connection.objects.update(sealed_key="gAAAAA-not-ours")
    with pytest.raises(Unavailable, match="key_lost"):
        call(Batch.objects.select_related("connection").get(pk=batch.pk))


def test_a_file_that_does_not_exist(vendor: Vendor) -> None:
    batch = vendor.finished("a")
    for call in (preview, download):
        with pytest.raises(files.NoFile):
            call(batch, "error")


def test_no_more_than_four_wait_for_vendors(batch: Batch) -> None:
    for _ in range(4):
        assert bodies._slots.acquire(blocking=False)
    try:
        with pytest.raises(Busy):
            preview(batch, "error")
    finally:
        for _ in range(4):
            bodies._slots.release()
    assert preview(batch, "error").lines


def test_a_vendor_that_hangs_is_waited_for_in_vain_and_not_for_long(
    vendor: Vendor, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.5)
    vendor.world.faults.add("hang")
    began = time.monotonic()
    with pytest.raises(Unavailable, match="timeout"):
        body_of(Result.objects.select_related("read__batch__connection").get(custom_id="ok-1"))
    assert time.monotonic() - began < 5
