"""The line of the input file: of a request that failed, and of a check that failed. With a vendor behind the pages."""

import html
from collections.abc import Callable

import pytest
from django.test import Client

from dashboard.models import AuditEntry, Batch, BatchError, Connection, Result, User
from tests.cast import ClientOf
from tests.sync.conftest import Vendor, vendor_of
from tests.sync.test_reading import read_all

__all__ = ["vendor_of"]
HTMX = {"HX-Request": "true"}
SECRET = "what a customer asked"
EVIL = "<script>alert(1)</script>"
pytestmark = pytest.mark.django_db


@pytest.fixture
def vendor(vendor_of: Callable[..., Vendor]) -> Vendor:
    return vendor_of(1)


@pytest.fixture
def desk(ana: User, client_of: ClientOf) -> Client:
    return client_of(ana)


@pytest.fixture
def viewer(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


@pytest.fixture
def batch(vendor: Vendor) -> Batch:
    """Twenty requests that succeeded, then ten that failed with one error; five of those are samples."""
    line = '{{"custom_id":"{}","method":"POST","url":"/v1/responses","body":{{"model":"gpt-5-mini","input":"{}"}}}}\n'
    ids = [*(f"ok-{n}" for n in range(20)), *(f"fail-{n}" for n in range(10))]
    content = "".join(line.format(custom_id, f"{SECRET} {EVIL} {custom_id}.") for custom_id in ids)
    found = vendor.finished(content=content.encode())
    read_all()
    return found


def address_of(batch: Batch, custom_id: str) -> str:
    result = Result.objects.get(custom_id=custom_id)
    return f"/batches/{batch.pk}/requests/{result.read.kind}/{result.line}/"


def shown(client: Client, address: str, **headers: str) -> str:
    answer = client.post(address, headers=headers or None) if address.endswith("t/") else client.get(address)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def test_a_sample_says_on_which_input_line_it_stood_before_anything_is_read(viewer: Client, batch: Batch) -> None:
    assert "line 24 of the input file" in shown(viewer, address_of(batch, "fail-3"))
    assert "line 4 of the error file" in shown(viewer, address_of(batch, "fail-3"))
    # No sample: nobody has looked for it yet.
    assert "of the input file" not in shown(viewer, address_of(batch, "fail-8"))


@pytest.mark.parametrize(("custom_id", "line"), [("fail-3", 24), ("fail-8", 29)])
def test_a_failing_request_leads_to_its_line_of_the_input_file(
    desk: Client, vendor: Vendor, batch: Batch, custom_id: str, line: int
) -> None:
    address = address_of(batch, custom_id)
    before = shown(desk, address)
    assert SECRET not in before
    page = shown(desk, f"{address}input/")
    assert f"{SECRET} {EVIL} {custom_id}." in page
    assert f"line {line} of the input file" in page
    assert f"<dd>{line}</dd>" in page
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb) == ("ana", "read.body")
    assert entry.detail.startswith("input file, ")
    assert custom_id in entry.detail
    assert SECRET not in entry.detail


def test_what_was_asked_is_never_markup(desk: Client, batch: Batch) -> None:
    answer = desk.post(f"{address_of(batch, 'fail-3')}input/")
    assert EVIL not in answer.content.decode()
    assert html.escape(EVIL) in answer.content.decode()
    assert answer["Cache-Control"] == "private, no-store"


def test_a_script_gets_the_line_alone_so_that_both_stay_in_sight(desk: Client, batch: Batch) -> None:
    address = address_of(batch, "fail-3")
    for part, other in (("input", "result"), ("body", "input")):
        answer = desk.post(f"{address}{part}/", headers=HTMX).content.decode()
        assert "<html" not in answer
        assert f'id="line-{other}"' not in answer
        assert "<pre" in answer


def test_an_input_file_that_is_gone_is_said_and_what_was_read_stays(desk: Client, vendor: Vendor, batch: Batch) -> None:
    vendor.world.faults.add("file_gone")
    page = shown(desk, f"{address_of(batch, 'fail-3')}input/")
    assert "The file expired or was deleted at the vendor." in page
    assert "line 24 of the input file" in page
    assert "Try again" in page


def test_a_custom_id_that_the_input_file_has_not_is_said(desk: Client, batch: Batch) -> None:
    Result.objects.filter(custom_id="fail-8").update(custom_id="nobody-asked-this")
    page = shown(desk, f"{address_of(batch, 'nobody-asked-this')}input/")
    assert "No line of the input file has this custom_id." in page


def test_a_viewer_sees_the_number_and_never_the_line(viewer: Client, vendor: Vendor, batch: Batch) -> None:
    address = address_of(batch, "fail-3")
    vendor.requests()
    page = shown(viewer, address)
    assert "for the role operator" in page
    assert "input/" not in page
    for refused in (f"{address}input/", f"/batches/{batch.pk}/input/24/read/"):
        assert viewer.post(refused).status_code == 403
    assert not vendor.requests()
    assert not AuditEntry.objects.exists()


# --- A failed check ---------------------------------------------------------------------------------------------------


def test_a_failed_check_leads_from_its_error_to_the_line_it_names(desk: Client, vendor: Vendor) -> None:
    good = b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"model":"gpt-5-mini"}}\n'
    batch = vendor.finished(content=good + b'{"custom_id":"b", half a line ' + SECRET.encode() + b"\n")
    assert batch.outcome == "failed_validation"
    sample = BatchError.objects.get(source="validation").samples[0]
    assert sample["input_line"] == 2
    page = shown(desk, f"/batches/{batch.pk}/")
    address = f"/batches/{batch.pk}/input/2/"
    assert page.count(f'href="{address}"') == 2, "from the group and from what the vendor says"
    assert address in shown(desk, f"/errors/{BatchError.objects.get().group_id}/")
    page = shown(desk, address)
    assert "Line 2 of the input file" in page
    assert batch.errors[0]["message"] in page
    assert SECRET not in page
    answer = desk.post(f"{address}read/")
    assert SECRET in answer.content.decode()
    assert AuditEntry.objects.get().detail == "input file, line 2"


def test_a_line_that_there_is_not_is_said(desk: Client, vendor: Vendor, batch: Batch) -> None:
    answer = desk.post(f"/batches/{batch.pk}/input/31/read/").content.decode()
    assert "The input file has no such line" in answer
    assert desk.get(f"/batches/{batch.pk}/input/0/").status_code == 404
    vendor.world.faults.add("file_gone")
    answer = desk.post(f"/batches/{batch.pk}/input/3/read/").content.decode()
    assert "The file expired or was deleted at the vendor." in answer


@pytest.mark.parametrize(
    ("columns", "words"),
    [({"input_file_id": ""}, "The vendor names no such file."), ({}, "Its connection was removed")],
)
def test_where_no_file_can_be_asked_for_nothing_is_offered(
    desk: Client, batch: Batch, columns: dict[str, str], words: str
) -> None:
    if columns:
        Batch.objects.filter(pk=batch.pk).update(**columns)
    else:
        Connection.objects.update(retired_at=batch.finished_at)
    page = shown(desk, f"/batches/{batch.pk}/input/3/")
    assert words in page
    assert "/read/" not in page
