"""/batches/<pk>/requests/: what the tab of requests promises, and who may read a body."""

import csv
import io
import json
import re
from html import unescape

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from dashboard.models import AuditEntry, Batch, Connection, FileRead, Result, User
from dashboard.sync import bodies
from tests.batches_made import batch_made, connection_made, counts
from tests.cast import ClientOf
from tests.errors_made import EXPIRED, LENGTH, RATE, errors_made, group_made, read_made, succeeded_made

HTMX = {"HX-Request": "true"}
SECRET = "what a customer asked"
EVIL = "<script>alert(1)</script>\u202e\x07"
pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


@pytest.fixture
def desk(ana: User, client_of: ClientOf) -> Client:
    return client_of(ana)


@pytest.fixture
def prod(db: None) -> Connection:
    return connection_made(base_url="http://127.0.0.1:9/v1", auth_style="none")


@pytest.fixture
def batch(prod: Connection) -> Batch:
    made = batch_made(prod, "completed", name="nightly-eval", output_file_id="file-out", **counts(200, 80, 120))
    errors_made(made, {RATE: 70, LENGTH: 30, EXPIRED: 20})
    return made


def get(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def ids(page: str) -> list[str]:
    return re.findall(r'class="rowlink mono" href="[^"]+"><bdi>([^<]+)', page)


def walked(client: Client, address: str, rel: str = "next") -> list[str]:
    """Every custom_id from a page on, by following its links."""
    base, seen = address.partition("?")[0], list[str]()
    while address:
        page = get(client, address)
        seen += ids(page)
        found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
        address = f"{base}{unescape(found[1])}" if found else ""
    return seen


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_every_failing_request_is_found_by_paging_and_none_twice(viewer: Client, batch: Batch) -> None:
    seen = walked(viewer, f"/batches/{batch.pk}/requests/")
    assert seen == [f"judge-{n:04d}" for n in range(1, 121)]


def test_pages_go_over_from_the_error_file_to_the_output_and_back(viewer: Client, batch: Batch) -> None:
    succeeded_made(read_made(batch, "output", 80), 80)
    address = f"/batches/{batch.pk}/requests/?outcome=all"
    assert len(walked(viewer, address)) == 200
    page = get(viewer, f"{address}&before=output.60")
    assert ids(page)[0] == "judge-0061"
    back = re.search(r'rel="prev" href="([^"]+)"', page)
    assert back
    assert ids(get(viewer, f"/batches/{batch.pk}/requests/{unescape(back[1])}"))[-1] == "judge-0060"


def test_search_and_filters_find_by_custom_id_words_outcome_status_and_error(viewer: Client, batch: Batch) -> None:
    address = f"/batches/{batch.pk}/requests/"
    assert ids(get(viewer, f"{address}?q=JUDGE-0042")) == ["judge-0042"]
    assert len(ids(get(viewer, f"{address}?q=context+length"))) == 30
    assert len(ids(get(viewer, f"{address}?outcome=never_ran"))) == 20
    assert len(ids(get(viewer, f"{address}?http=400"))) == 30
    assert len(ids(get(viewer, f"{address}?group={group_made(LENGTH).pk}"))) == 30
    assert ids(get(viewer, f"{address}?q=%25")) == []
    assert ids(get(viewer, f"{address}?http=400&q=judge-0071&outcome=failed")) == ["judge-0071"]


def test_what_was_not_read_is_not_called_nothing(viewer: Client, prod: Connection) -> None:
    unread = batch_made(prod, "completed", error_file_id="file-e", **counts(100, 59, 41))
    page = get(viewer, f"/batches/{unread.pk}/requests/")
    assert "Not known yet" in page
    assert "Failing <b>41</b>" in page
    assert "Not read yet." in page


def test_a_read_under_way_says_how_far_it_is_and_keeps_what_was_known(viewer: Client, batch: Batch) -> None:
    read_made(batch, "error", 12_000, state="reading", ended_at=None)
    page = get(viewer, f"/batches/{batch.pk}/requests/")
    assert "Being read, 12,000 lines so far." in page
    assert len(ids(page)) == 50


def test_lines_that_are_read_move_the_page_though_no_revision_does(viewer: Client, batch: Batch) -> None:
    read = read_made(batch, "error", 1_000, state="reading", ended_at=None)
    address = f"/batches/{batch.pk}/requests/"
    found = re.search(r'id="poll"[^>]* hx-get="([^"]*)"', get(viewer, address))
    assert found
    poll = f"{address}{unescape(found[1])}"
    assert "lines so far" not in viewer.get(poll, headers=HTMX).content.decode()
    FileRead.objects.filter(pk=read.pk).update(lines=2_000)
    assert "2,000 lines so far" in viewer.get(poll, headers=HTMX).content.decode()


def test_an_unchanged_poll_brings_nothing(viewer: Client, batch: Batch) -> None:
    address = f"/batches/{batch.pk}/requests/?q=judge"
    found = re.search(r'id="poll"[^>]* hx-get="([^"]*)"', get(viewer, address))
    assert found
    poll = f"/batches/{batch.pk}/requests/{unescape(found[1])}"
    assert "q=judge" in poll
    assert viewer.get(poll, headers=HTMX).status_code == 204


def test_succeeded_requests_are_read_when_somebody_with_the_right_asks(
    viewer: Client, desk: Client, batch: Batch
) -> None:
    address = f"/batches/{batch.pk}/requests/?outcome=succeeded"
    assert "Asking needs the role operator" in get(viewer, address)
    assert "/read/" not in get(viewer, address)
    assert "Read the output file" in get(desk, address)
    answer = desk.post(f"/batches/{batch.pk}/files/output/read/", {"back": "batch-requests"})
    assert answer["Location"] == f"/batches/{batch.pk}/requests/"
    assert FileRead.objects.get(kind="output").asked_by == "ana"
    assert AuditEntry.objects.get().verb == "read.file"
    answer = desk.post(f"/batches/{batch.pk}/files/output/read/", {"back": "batch-requests", "outcome": "succeeded"})
    assert answer["Location"] == address


def test_values_that_make_no_sense_are_left_out_with_a_note(viewer: Client, batch: Batch) -> None:
    for query in ("outcome=x", "http=abc", "group=" + "9" * 40, "before=zzz", "after=input.3", "q=%00"):
        page = get(viewer, f"/batches/{batch.pk}/requests/?{query}")
        assert query == "q=%00" or 'class="hint"' in page
        assert len(ids(page)) == 50


# --- One request, and its body ----------------------------------------------------------------------------------------


def test_a_request_has_an_address_of_its_own(viewer: Client, batch: Batch) -> None:
    page = get(viewer, f"/batches/{batch.pk}/requests/error/71/")
    assert "judge-0071" in page
    assert "context_length_exceeded" in page
    assert "fails again until it is shorter" in page
    for missing in ("error/999", "output/1", "input/1", "../1"):
        assert viewer.get(f"/batches/{batch.pk}/requests/{missing}/").status_code == 404


def test_a_viewer_gets_no_body_and_the_vendor_is_not_asked(
    viewer: Client, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "body_of", lambda _result: pytest.fail("asked the vendor"))
    page = get(viewer, f"/batches/{batch.pk}/requests/error/1/")
    assert "for the role operator" in page
    assert "/body/" not in page
    answer = viewer.post(f"/batches/{batch.pk}/requests/error/1/body/")
    assert answer.status_code == 403
    assert "operator" in answer.content.decode()
    assert not AuditEntry.objects.exists()


def test_reading_a_body_is_noted_and_shown_as_text(desk: Client, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps({"custom_id": "judge-0001", "body": f"{SECRET} {EVIL}"}, ensure_ascii=False)
    monkeypatch.setattr(bodies, "body_of", lambda _result: bodies.Text(1, said, is_cut=False))
    answer = desk.post(f"/batches/{batch.pk}/requests/error/1/body/")
    page = answer.content.decode()
    assert SECRET in page
    assert "<script>alert" not in page
    assert answer["Cache-Control"] == "private, no-store"
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb) == ("ana", "read.body")
    assert "judge-0001" in entry.detail
    assert SECRET not in entry.detail
    assert desk.get(f"/batches/{batch.pk}/requests/error/1/body/").status_code == 405


def test_a_huge_body_is_cut(desk: Client, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "body_of", lambda _result: bodies.Text(1, "x" * 1_000_000, is_cut=True))
    page = desk.post(f"/batches/{batch.pk}/requests/error/1/body/").content.decode()
    assert len(page) < 300_000
    assert "longer than is shown" in page


def test_a_vendor_that_does_not_give_it_is_said(desk: Client, batch: Batch) -> None:
    page = desk.post(f"/batches/{batch.pk}/requests/error/1/body/").content.decode()
    assert "cannot be reached" in page
    assert "Try again" in page


def test_where_only_looking_is_allowed_nobody_reads_a_body(desk: Client, batch: Batch, settings: Settings) -> None:
    settings.READ_ONLY = True
    assert desk.post(f"/batches/{batch.pk}/requests/error/1/body/").status_code == 405
    assert "/body/" not in get(desk, f"/batches/{batch.pk}/requests/error/1/")


# --- Hostile texts, exports -------------------------------------------------------------------------------------------


def test_a_custom_id_is_never_markup_nor_a_formula(viewer: Client, batch: Batch) -> None:
    Result.objects.filter(line=1).update(custom_id=EVIL, words=EVIL)
    Result.objects.filter(line=2).update(custom_id="=cmd|' /C calc'!A0")
    for address in ("requests/", "requests/error/1/"):
        page = get(viewer, f"/batches/{batch.pk}/{address}")
        assert "<script>alert" not in page
        assert "<bdi>&lt;script&gt;" in page
    answer = viewer.get(f"/batches/{batch.pk}/requests.csv")
    assert answer["Content-Disposition"] == 'attachment; filename="nightly-eval-requests.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode().removeprefix("\ufeff"))))
    assert len(rows) == 120
    assert rows[1]["custom_id"] == "'=cmd|' /C calc'!A0"
    filtered = viewer.get(f"/batches/{batch.pk}/requests.jsonl?http=400")
    lines = [json.loads(line) for line in b"".join(filtered).decode().splitlines()]
    assert len(lines) == 30
    assert lines[0]["code"] == "context_length_exceeded"
