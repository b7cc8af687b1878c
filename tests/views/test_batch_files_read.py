"""The tabs of a batch with a vendor behind them: ask, read, look into a body, download, until it is gone."""

import json
import re
from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client

from dashboard.models import AuditEntry, Batch, FileRead, Result, User
from dashboard.simulator.batches import processed
from tests.cast import ClientOf
from tests.sync.conftest import Vendor, vendor_of
from tests.sync.test_reading import read_all

__all__ = ["vendor_of"]
HTMX = {"HX-Request": "true"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def vendor(vendor_of: Callable[..., Vendor]) -> Vendor:
    return vendor_of(1)


@pytest.fixture
def desk(ana: User, client_of: ClientOf) -> Client:
    return client_of(ana)


@pytest.fixture
def batch(vendor: Vendor) -> Batch:
    return vendor.finished(*(f"ok-{n}" for n in range(20)), *(f"fail-{n}" for n in range(10)))


def get(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_batch_from_its_end_to_the_body_of_a_request(desk: Client, vendor: Vendor, batch: Batch) -> None:
    address = f"/batches/{batch.pk}/"
    page = get(desk, address)
    assert "Waiting to be read." in page
    found = re.search(r'id="poll"[^>]* hx-get="([^"]*)"', page)
    assert found
    read_all()
    moved = desk.get(f"{address}{unescape(found[1])}", headers=HTMX).content.decode()
    assert 'class="groups"' in moved
    assert "10 failed requests" in get(desk, "/errors/")
    assert f'href="/batches/{batch.pk}/"' in get(desk, get_group(desk))
    result = Result.objects.get(custom_id="fail-3")
    body = desk.post(f"{address}requests/{result.read.kind}/{result.line}/body/").content.decode()
    assert "&quot;custom_id&quot;: &quot;fail-3&quot;" in body
    assert [entry.verb for entry in AuditEntry.objects.all()] == ["read.body"]


def get_group(desk: Client) -> str:
    found = re.search(r'class="rowlink mono" href="(/errors/\d+/)"', get(desk, "/errors/"))
    assert found
    return found[1]


def test_succeeded_requests_come_when_asked_for_and_everything_adds_up(desk: Client, batch: Batch) -> None:
    read_all()
    desk.post(f"/batches/{batch.pk}/files/output/read/")
    read_all()
    page = get(desk, f"/batches/{batch.pk}/requests/?outcome=succeeded&q=ok-1")
    assert page.count('class="rowlink') == 11
    assert "Every request is in one of the files." in get(desk, f"/batches/{batch.pk}/")


def test_a_download_and_a_preview_are_the_vendors_own_bytes(desk: Client, batch: Batch) -> None:
    answer = desk.post(f"/batches/{batch.pk}/files/output/download/")
    lines = b"".join(answer).decode().splitlines()
    assert sorted(json.loads(line)["custom_id"] for line in lines) == sorted(f"ok-{n}" for n in range(20))
    page = desk.post(f"/batches/{batch.pk}/files/input/preview/").content.decode()
    assert "The first 20 lines." in page
    assert "ok-0" in page


def test_a_comparison_with_the_input_names_nothing_when_nothing_is_missing(desk: Client, batch: Batch) -> None:
    read_all()
    desk.post(f"/batches/{batch.pk}/files/input/read/", {"back": "batch"})
    for _ in range(3):
        read_all()
    read = FileRead.objects.filter(kind="input", state="read").latest("pk")
    assert read.missing == 0
    assert "Compared with the results." in get(desk, f"/batches/{batch.pk}/files/")


def test_a_file_that_is_gone_is_said_and_what_was_read_stays(desk: Client, vendor: Vendor, batch: Batch) -> None:
    read_all()
    vendor.world.faults.add("file_gone")
    page = desk.post(f"/batches/{batch.pk}/files/error/preview/").content.decode()
    assert "expired or was deleted" in page
    desk.post(f"/batches/{batch.pk}/files/error/read/")
    read_all()
    assert "What was read before is kept" in get(desk, f"/batches/{batch.pk}/files/")
    assert "fail-3" in get(desk, f"/batches/{batch.pk}/requests/")


def ended_early(vendor: Vendor, how: str) -> Batch:
    """A batch of ten, of which some had completed when it was cancelled or its deadline passed."""
    ids = [f"ask-{n}" for n in range(10)]
    if how == "expired":
        return vendor.finished(*ids, wish=how)
    line = '{{"custom_id":"{}","method":"POST","url":"/v1/responses","body":{{"model":"gpt-5-mini"}}}}\n'
    content = "".join(map(line.format, ids)).encode()
    made = vendor.world.create(vendor.world.upload("mine.jsonl", "batch", content), "/v1/responses", None)
    while processed(made, vendor.world.now()) < 4:
        vendor.clock.ahead += 1
    vendor.world.cancel(made)
    vendor.clock.ahead += 3_600
    vendor.pull()
    return Batch.objects.select_related("connection").get(remote_id=made.id)


@pytest.mark.parametrize("how", ["expired", "cancelled"])
def test_a_batch_that_ended_early_shows_what_is_usable_and_what_never_ran(
    desk: Client, vendor: Vendor, how: str
) -> None:
    batch = ended_early(vendor, how)
    assert (batch.status, batch.requests_total) == (how, 10)
    done = batch.requests_completed
    assert done
    assert done < 10
    address = f"/batches/{batch.pk}/"
    assert f"{done} of 10 requests completed and are usable." in get(desk, address)
    page = get(desk, f"{address}files/")
    assert f"Not read yet. {done} usable lines by the vendor’s count." in page
    assert f'action="{address}files/output/download/"' in page
    answer = desk.post(f"{address}files/output/download/")
    assert len(b"".join(answer).splitlines()) == done

    read_all()
    page = get(desk, address)
    assert ">never ran<" in page
    assert f"{10 - done} requests never ran." in page
    assert "unaccounted for" not in page, "a line says what became of each"
    assert "No failed request" not in page
    assert 'class="never"' in page
    assert 'class="fail"' not in page.split('class="groups"')[1].split("</ol>")[0]
    listed = get(desk, "/batches/")
    if how == "expired":
        assert f'class="l2" title="{10 - done} never ran: ' in listed, "not as an error"
    else:
        assert "never ran" not in listed, "whoever cancelled it knows why"
    assert set(Result.objects.values_list("state", flat=True)) == {"never_ran"}
    assert "Failing <b>" in get(desk, f"{address}requests/")
    desk.post(f"{address}files/output/read/")
    read_all()
    assert f"{done} usable lines." in get(desk, f"{address}files/")


def test_a_cancelled_batch_whose_output_was_thrown_away_is_not_called_usable(desk: Client, vendor: Vendor) -> None:
    batch = ended_early(vendor, "cancelled")
    Batch.objects.filter(pk=batch.pk).update(output_file_id="")
    page = get(desk, f"/batches/{batch.pk}/")
    assert f"{batch.requests_completed} of 10 requests completed, but the vendor names no output." in page
    assert f"Cancelled, {batch.requests_completed} done, no output" in get(desk, "/batches/")
    assert "keeps no answers to them" in get(desk, f"/batches/{batch.pk}/files/")
