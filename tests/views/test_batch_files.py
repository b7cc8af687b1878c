"""/batches/<pk>/files/ and the Errors tab: what is said of files, whether it adds up, and who may open them."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from dashboard.models import AuditEntry, Batch, BatchError, Connection, FileRead, User
from dashboard.sync import bodies
from dashboard.sync.acts import Busy
from dashboard.views.batch_files import saved_as
from tests.batches_made import batch_made, connection_made, counts
from tests.cast import ClientOf
from tests.errors_made import EXPIRED, LENGTH, LINE, RATE, errors_made, file_made, group_made, progress_made, read_made

EVIL = "<script>alert(1)</script>\u202e"
KINDS = ("input", "output", "error")
pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


@pytest.fixture
def desk(ana: User, client_of: ClientOf) -> Client:
    return client_of(ana)


@pytest.fixture
def batch(db: None) -> Batch:
    prod: Connection = connection_made(base_url="http://127.0.0.1:9/v1", auth_style="none")
    made = batch_made(
        prod,
        "completed",
        name="nightly-eval",
        output_file_id="file-out",
        error_file_id="file-err",
        **counts(100, 97, 3),
    )
    return Batch.objects.get(pk=made.pk)


def get(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def tab(client: Client, batch: Batch) -> str:
    return get(client, f"/batches/{batch.pk}/")


# --- The Errors tab ---------------------------------------------------------------------------------------------------


def test_the_groups_of_a_batch_have_shares_samples_and_something_to_copy(viewer: Client, batch: Batch) -> None:
    errors_made(batch, {RATE: 2, LENGTH: 1})
    page = tab(viewer, batch)
    groups = page.split('class="groups"')[1].split("</ol>")[0]
    assert groups.index("rate_limit_exceeded") < groups.index("context_length_exceeded")
    assert "67 %" in groups
    assert "33 %" in groups
    assert 'data-copy-text="429 rate_limit_exceeded Rate limit' in groups
    assert f"/batches/{batch.pk}/requests/error/1/" in groups
    assert "input line 1<" in groups
    assert f"/errors/{group_made(RATE).pk}/" in groups
    assert 'class="n">2 groups<' in page


def test_a_group_says_where_in_the_input_whether_to_retry_and_since_when(viewer: Client, batch: Batch) -> None:
    errors_made(batch, {LENGTH: 1, RATE: 2})
    groups = tab(viewer, batch).split('class="groups"')[1].split("</ol>")[0]
    assert "input line 2" in groups
    assert "Sent again later, it can succeed." in groups
    assert "It fails again until it is shorter." in groups
    assert groups.count("Seen in any batch since") == 2


def test_what_a_refused_input_holds_is_no_request(viewer: Client, batch: Batch) -> None:
    errors_made(batch, {LINE: 3}, rows=False)
    BatchError.objects.update(source="validation")
    FileRead.objects.all().delete()
    Batch.objects.filter(pk=batch.pk).update(
        error_file_id="", requests_failed=0, errors=[{"code": "invalid_json_line"}]
    )
    page = tab(viewer, batch)
    assert 'class="n">1 group<' in page
    assert f'href="/batches/{batch.pk}/requests/">Requests</a>' in page
    assert "?group=" not in page
    assert "<b>Error file.</b>" not in page


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_what_a_batch_that_was_cut_short_did_not_run_is_no_riddle(
    viewer: Client, prod: Connection, status: str
) -> None:
    made = batch_made(prod, status, output_file_id="file-out", **counts(10, 8, 0))
    errors_made(made, {EXPIRED: 2})
    read_made(made, "output", 8)
    page = tab(viewer, made)
    assert "</span> not completed" in page
    assert "unaccounted" not in page.split('class="groups"')[0]
    assert "Every request is in one of the files." in page
    assert "unaccounted for" not in page


def test_the_list_of_missing_requests_says_whether_it_is_all(viewer: Client, batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).update(requests_completed=95)
    errors_made(batch, {RATE: 3})
    read_made(batch, "output", 95)
    read = read_made(batch, "input", 100, missing=2, missing_ids=["a-17", "a-18"], asked_by="ana")
    assert "<summary>Which ones</summary>" in tab(viewer, batch)
    FileRead.objects.filter(pk=read.pk).update(missing_ids=["a-17"])
    assert "<summary>Which ones, the first</summary>" in tab(viewer, batch)


def test_only_what_no_line_explains_is_unaccounted_for(viewer: Client, batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).update(
        status="expired", outcome="expired", requests_completed=80, requests_failed=0, requests_total=100
    )
    FileRead.objects.filter(pk=errors_made(batch, {EXPIRED: 15}).pk).update(never_ran=15, failed=0)
    page = tab(viewer, batch)
    assert "15 requests never ran." in page
    assert "By the vendor’s own counts 5 requests are unaccounted for." in page


def test_a_sample_leads_to_the_search_once_rows_are_not_kept(viewer: Client, batch: Batch) -> None:
    errors_made(batch, {RATE: 2})
    Batch.objects.filter(pk=batch.pk).update(finished_at=timezone.now() - timedelta(days=31))
    groups = tab(viewer, batch).split('class="groups"')[1].split("</ol>")[0]
    assert f"/batches/{batch.pk}/requests/?q=judge-0001" in groups
    assert "/requests/error/" not in groups


def test_samples_of_any_shape_are_no_reason_to_fail(viewer: Client, batch: Batch) -> None:
    errors_made(batch, {RATE: 2})
    shapes: list[object] = [[], {}, ["text", 3, None], [dict.fromkeys(("words", "custom_id", "line"), EVIL)]]
    shapes += [[{}], [{"input_line": EVIL, "custom_id": EVIL}], [{"line": -1, "input_line": True, "custom_id": 7}]]
    shapes += [[{}], [{"line": -1, "input_line": True, "custom_id": 7}]]
    for samples in shapes:
        batch.request_errors.update(samples=samples)
        assert "<script>alert" not in tab(viewer, batch)


@pytest.mark.parametrize(
    ("output", "error", "total", "words"),
    [
        (97, 3, 100, "Every request is in one of the files."),
        (90, 3, 100, "7 requests are in neither file."),
        (99, 3, 100, "The files hold 2 lines more than there are requests."),
        (None, 3, 100, "The output file was not read, so its lines are not known."),
        (None, None, 100, "Neither the output nor the error file was read"),
    ],
)
def test_the_lines_are_held_against_the_counts(
    viewer: Client, batch: Batch, output: int | None, error: int | None, total: int, words: str
) -> None:
    for kind, lines in (("output", output), ("error", error)):
        if lines is not None:
            read_made(batch, kind, lines)
    for page in (tab(viewer, batch), get(viewer, f"/batches/{batch.pk}/files/")):
        assert words in page


def test_what_is_unaccounted_is_never_rescaled_away_and_is_named(viewer: Client, batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).update(requests_completed=95)
    read_made(batch, "output", 95)
    read_made(batch, "error", 3)
    read_made(batch, "input", 100, missing=2, missing_ids=["call-017", EVIL], asked_by="ana")
    page = tab(viewer, batch)
    assert "2 requests are in neither file." in page
    assert "By the vendor’s own counts 2 requests are unaccounted for." in page
    assert "call-017" in page
    assert "<script>alert" not in page
    assert 'class="lost"' in page.split('class="bigbar"')[1]


def test_capped_files_are_not_compared(viewer: Client, batch: Batch) -> None:
    read_made(batch, "output", 50_000, is_capped=True, bad_lines=3)
    page = get(viewer, f"/batches/{batch.pk}/files/")
    assert "Only its first 50,000 lines were read." in page
    assert "3 lines could not be understood." in page
    assert "cannot be compared" in page


def test_the_progress_of_a_batch_is_a_chart_with_a_table(viewer: Client, batch: Batch) -> None:
    progress_made(batch)
    page = tab(viewer, batch)
    assert "Requests over time" in page
    assert "<td>97</td>" in page
    assert 'style="' not in page.split("<main")[1]


# --- What is said of a file -------------------------------------------------------------------------------------------


def test_every_state_of_reading_is_said(viewer: Client, batch: Batch) -> None:
    address = f"/batches/{batch.pk}/files/"
    assert "Not read yet." in get(viewer, address)
    read = read_made(batch, "error", state="wanted")
    assert "Waiting to be read." in get(viewer, address)
    soon = timezone.now() + timedelta(minutes=4)
    FileRead.objects.filter(pk=read.pk).update(state="wanted", error_kind="timeout", next_try_at=soon, failures=2)
    page = get(viewer, address)
    assert "did not answer in time" in page
    assert "Next try " in page
    FileRead.objects.filter(pk=read.pk).update(state="failed", next_try_at=None)
    assert "It is not tried again by itself." in get(viewer, address)
    FileRead.objects.filter(pk=read.pk).update(state="reading", error_kind="", lines=12_000)
    assert "Being read, 12,000 lines so far." in get(viewer, address)
    FileRead.objects.filter(pk=read.pk).update(state="read", lines=3)
    assert "Read: 3 lines." in get(viewer, address)
    read_made(batch, "error", state="gone", error_kind="not_found")
    page = get(viewer, address)
    assert "Expired or deleted at the vendor" in page
    assert "What was read before is kept: 3 lines." in page


def test_a_file_that_will_expire_counts_down(viewer: Client, batch: Batch) -> None:
    file_made(batch, "error", expires_at=timezone.now() + timedelta(hours=5, minutes=1), size=3_120)
    page = get(viewer, f"/batches/{batch.pk}/files/")
    assert ">in 5 h<" in page
    assert 'data-state="risk">' in page
    assert "3.1 kB" in page


def test_a_file_name_is_never_markup(viewer: Client, batch: Batch) -> None:
    file_made(batch, "error", filename=EVIL, purpose=EVIL[:60])
    assert "<script>alert" not in get(viewer, f"/batches/{batch.pk}/files/")


# --- Opening one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", ["read", "preview", "download"])
def test_a_viewer_opens_no_file(
    viewer: Client, batch: Batch, kind: str, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "open_vendor", lambda *_args, **_more: pytest.fail("asked the vendor"))
    assert viewer.post(f"/batches/{batch.pk}/files/{kind}/{act}/").status_code == 403
    assert f"/{act}/" not in get(viewer, f"/batches/{batch.pk}/files/")
    assert not AuditEntry.objects.exists()
    assert not FileRead.objects.exists()


class Passing:
    """A download as the vendor would give it."""

    name, size = '../../<b>"evil\r\nX: y".html', 10

    def __iter__(self) -> Iterator[bytes]:
        yield b"<script>"
        yield b"\n\n"


def test_a_download_is_saved_under_a_safe_name_and_noted(
    desk: Client, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "download", lambda _batch, _kind: Passing())
    answer = desk.post(f"/batches/{batch.pk}/files/output/download/")
    assert b"".join(answer) == b"<script>\n\n"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Length"] == "10"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert not set("<>\r\n/\\") & set(answer["Content-Disposition"])
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.detail) == ("ana", "read.download", "output file file-out")
    assert desk.get(f"/batches/{batch.pk}/files/output/download/").status_code == 405


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("batch_output.jsonl", "batch_output.jsonl"),
        ("C:\\x\\con.html", "con.html.jsonl"),
        ("../../etc/passwd", "passwd.jsonl"),
        ("\u202egnp.exe", "gnp.exe.jsonl"),
        ("...", "nightly-eval-output.jsonl"),
        ("", "nightly-eval-output.jsonl"),
        ("é" * 300, "nightly-eval-output.jsonl"),
    ],
)
def test_a_saved_name_is_harmless(batch: Batch, name: str, saved: str) -> None:
    assert saved_as(name, batch, "output") == saved


def test_a_preview_is_text_and_noted(desk: Client, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [
        bodies.Text(1, json.dumps({"body": EVIL}, ensure_ascii=False), is_cut=False),
        bodies.Text(2, "\x00" * 9_000, is_cut=True),
    ]
    monkeypatch.setattr(bodies, "preview", lambda _batch, _kind, lines: bodies.Preview(given, is_all=False, size=9))
    answer = desk.post(f"/batches/{batch.pk}/files/input/preview/")
    page = answer.content.decode()
    assert "<script>alert" not in page
    assert "longer than is shown" in page
    assert "\x00" not in page
    assert "text/html" in answer["Content-Type"]
    assert AuditEntry.objects.get().verb == "read.preview"


def test_a_vendor_that_does_not_give_it_is_said(desk: Client, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    page = desk.post(f"/batches/{batch.pk}/files/output/preview/").content.decode()
    assert "cannot be reached" in page
    answer = desk.post(f"/batches/{batch.pk}/files/output/download/", follow=True)
    assert "Not downloaded." in answer.content.decode()

    def busy(*_args: object) -> None:
        raise Busy

    monkeypatch.setattr(bodies, "download", busy)
    answer = desk.post(f"/batches/{batch.pk}/files/output/download/", follow=True)
    assert "Try again in a few seconds." in answer.content.decode()


def test_a_file_that_is_not_there_is_said(desk: Client, batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).update(error_file_id="")
    for act in ("download", "read"):
        answer = desk.post(f"/batches/{batch.pk}/files/error/{act}/", follow=True)
        assert "There is no such file." in answer.content.decode()
    assert "There is no such file." in desk.post(f"/batches/{batch.pk}/files/error/preview/").content.decode()
    assert desk.post(f"/batches/{batch.pk}/files/nonsense/read/").status_code == 404
