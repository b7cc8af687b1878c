"""/errors/ and one group of it: what the pages of errors across batches promise."""

import csv
import io
import json
import re
import time
from datetime import timedelta
from html import unescape
from types import SimpleNamespace

import pytest
from django.test import Client
from django.utils import timezone

from dashboard.models import Batch, Connection, ErrorDay, ErrorGroup, User
from dashboard.views import error_sums
from dashboard.views.table import cell
from tests.batches_made import batch_made, connection_made, counts
from tests.cast import ClientOf
from tests.errors_made import (
    EXPIRED,
    FILTER,
    LENGTH,
    MODEL,
    RATE,
    SERVER,
    Error,
    errors_made,
    everything_read,
    group_made,
)

HTMX = {"HX-Request": "true"}
EVIL = "<img src=x onerror=alert(1)>\u202egnp.exe\x1b[31m"
pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


@pytest.fixture
def prod(db: None) -> Connection:
    return connection_made()


def get(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def body(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return b"".join(answer).decode()


def codes(page: str) -> list[str]:
    return re.findall(r'class="rowlink mono" href="/errors/\d+/"><bdi>([^<]+)', page)


def ended(connection: Connection, found: dict[Error, int], **ago: float) -> Batch:
    at = timezone.now() - timedelta(**ago)
    failing = sum(found.values())
    batch = batch_made(
        connection, "completed", created_at=at - timedelta(hours=1), finished_at=at, owner="ana",
        **counts(100_000, 100_000 - failing, failing),
    )  # fmt: skip
    errors_made(batch, found, rows=False)
    return batch


# --- Groups -----------------------------------------------------------------------------------------------------------


def test_the_most_requests_come_first_and_add_up(desk: Client, prod: Connection) -> None:
    ended(prod, {RATE: 5, LENGTH: 9}, days=1)
    ended(prod, {RATE: 30}, days=2)
    page = get(desk, "/errors/")
    assert codes(page) == ["rate_limit_exceeded", "context_length_exceeded"]
    assert "44 failed requests" in page
    row = page.split('class="e-what"')[2].split("</tr>")[0]
    assert re.search(r'e-num num" role="cell">35<span class="l2">80 %', row)
    assert re.search(r'e-batches num" role="cell">2<', row)
    assert ">ana<" in row


def test_nothing_is_new_while_nothing_older_is_known(desk: Client, prod: Connection) -> None:
    ended(prod, {RATE: 5, LENGTH: 9}, days=1)
    ErrorGroup.objects.update(first_seen_at=timezone.now() - timedelta(days=3))
    assert ">new</span>" not in get(desk, "/errors/")
    ended(prod, {SERVER: 2}, days=1)
    group = ErrorGroup.objects.get(code="server_error")
    ErrorGroup.objects.exclude(pk=group.pk).update(first_seen_at=timezone.now() - timedelta(days=40))
    ErrorGroup.objects.filter(pk=group.pk).update(first_seen_at=timezone.now() - timedelta(days=3))
    assert "One group is new:" in get(desk, "/errors/")
    assert codes(get(desk, "/errors/?new=1")) == ["server_error"]


def test_who_cancelled_a_batch_is_not_told_in_red_why_it_did_not_run(desk: Client, prod: Connection) -> None:
    cancelled = (None, "batch_cancelled", "This request was not executed because the batch was cancelled.", "cancelled")
    errors_made(batch_made(prod, "cancelled", name="stopped", **counts(9, 4)), {cancelled: 5})
    page = get(desk, "/batches/")
    assert "stopped" in page
    assert "batch_cancelled" not in page


def test_what_never_ran_is_told_apart_from_what_failed(desk: Client, prod: Connection) -> None:
    ended(prod, {RATE: 5, EXPIRED: 7}, days=1)
    page = get(desk, "/errors/")
    assert "7 never ran, because their batches expired or were cancelled first." in page
    assert ">never ran</span>" in page.split("<bdi>batch_expired")[-1]
    assert "never ran, because" not in get(desk, "/errors/?q=rate_limit")


@pytest.mark.parametrize(("span", "seen"), [("24h", 1), ("7d", 2), ("14d", 3), ("30d", 4), ("nonsense", 3)])
def test_a_range_counts_its_days_alone(desk: Client, prod: Connection, span: str, seen: int) -> None:
    for error, days in ((RATE, 0.1), (LENGTH, 5), (SERVER, 12), (MODEL, 25)):
        ended(prod, {error: 2}, days=days)
    assert len(codes(get(desk, f"/errors/?range={span}"))) == seen


def test_filters_stand_in_the_address_and_together(desk: Client, prod: Connection) -> None:
    other = connection_made("Azure / eu")
    ended(prod, {RATE: 5, LENGTH: 9}, days=1)
    ended(other, {SERVER: 7, RATE: 1}, days=1)
    ErrorGroup.objects.filter(code="server_error").update(first_seen_at=timezone.now() - timedelta(hours=2))
    assert codes(get(desk, "/errors/?retry=1")) == ["server_error", "rate_limit_exceeded"]
    assert codes(get(desk, "/errors/?new=1")) == ["server_error"]
    assert codes(get(desk, f"/errors/?connection={other.pk}")) == ["server_error", "rate_limit_exceeded"]
    assert codes(get(desk, "/errors/?q=context+TOKENS")) == ["context_length_exceeded"]
    assert codes(get(desk, "/errors/?q=429")) == ["rate_limit_exceeded"]
    assert codes(get(desk, f"/errors/?q=rate&retry=1&connection={prod.pk}&range=7d")) == ["rate_limit_exceeded"]
    page = get(desk, "/errors/?q=rate&retry=1")
    assert 'href="?range=7d&amp;retry=1&amp;q=rate"' in page
    assert "Nothing matches" in get(desk, "/errors/?q=zzz")


def test_a_page_holds_fifty_groups_and_the_next_one_the_rest(desk: Client, prod: Connection) -> None:
    ended(prod, {(400, f"code_{n:03d}", f"message {n}", "unknown"): 200 - n for n in range(61)}, days=1)
    first, second = get(desk, "/errors/"), get(desk, "/errors/?page=2")
    assert len(codes(first)) == 50
    assert codes(second)[0] == "code_050"
    assert len(codes(second)) == 11
    assert codes(get(desk, "/errors/?page=99")) == codes(second)


def test_what_is_not_known_says_so(desk: Client, prod: Connection) -> None:
    assert "No errors yet" in get(desk, "/errors/")
    ended(prod, {RATE: 5}, days=20)
    assert "No failed requests in the last 14 days" in get(desk, "/errors/")


def test_addresses_that_make_no_sense_are_no_reason_to_fail(desk: Client, prod: Connection) -> None:
    ended(prod, {RATE: 5}, days=1)
    for query in (
        "page=0",
        "page=x",
        "page=999999999",
        "connection=x",
        "connection=9999999999",
        "range=",
        "q=%00",
        "q=%25_",
    ):
        assert desk.get(f"/errors/?{query}").status_code == 200
    group = group_made(RATE)
    for query in ("before=x", "before=99999999999999999.1", "by=%00", "by=" + "x" * 900):
        assert desk.get(f"/errors/{group.pk}/?{query}").status_code == 200
    assert desk.get("/errors/999999/").status_code == 404
    assert desk.get("/errors.exe").status_code == 404


def test_the_chart_has_a_table_behind_it(desk: Client, prod: Connection) -> None:
    ended(prod, {RATE: 5, LENGTH: 9}, days=1)
    page = get(desk, "/errors/")
    assert page.count("<td>9</td>") == 1
    assert "style=" not in page.split("<main")[1]


# --- One group --------------------------------------------------------------------------------------------------------


def test_a_group_leads_to_its_batches(desk: Client, prod: Connection) -> None:
    batch = ended(prod, {RATE: 5}, days=1)
    ended(prod, {LENGTH: 5}, days=1)
    page = get(desk, f"/errors/{group_made(RATE).pk}/")
    assert re.findall(r'class="rowlink mid" href="/batches/(\d+)/"', page) == [str(batch.pk)]
    assert f"/batches/{batch.pk}/requests/?group={group_made(RATE).pk}" in page


def test_the_batches_of_a_group_are_paged_without_loss(desk: Client, prod: Connection) -> None:
    batches = [ended(prod, {RATE: 1}, days=3) for _ in range(70)]
    at = timezone.now() - timedelta(days=3)
    group_made(RATE).batch_errors.update(at=at)  # all at once: only the ids tell them apart
    seen: list[str] = []
    address = f"/errors/{group_made(RATE).pk}/"
    while address:
        page = get(desk, address)
        seen += re.findall(r'class="rowlink mid" href="/batches/(\d+)/"', page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        address = f"/errors/{group_made(RATE).pk}/{unescape(found[1])}" if found else ""
    assert sorted(map(int, seen)) == sorted(batch.pk for batch in batches)


def test_the_affected_are_told_by_owner_or_by_any_metadata_key(desk: Client, prod: Connection) -> None:
    batch = ended(prod, {RATE: 5}, days=1)
    Batch.objects.filter(pk=batch.pk).update(metadata={"owner": "ana", "team": "search-quality"})
    address = f"/errors/{group_made(RATE).pk}/"
    assert ">ana<" in get(desk, address).split('class="hits"')[1]
    assert "search-quality" in get(desk, f"{address}?by=team").split('class="hits"')[1]


# --- Hostile texts ----------------------------------------------------------------------------------------------------


def test_a_vendors_words_are_never_markup_and_keep_their_direction_to_themselves(
    desk: Client, prod: Connection
) -> None:
    ended(prod, {(400, EVIL[:190], EVIL, EVIL[:30]): 5}, days=1)
    group = ErrorGroup.objects.get()
    for address in ("/errors/", f"/errors/{group.pk}/", "/errors/?q=img"):
        page = get(desk, address)
        assert "<img" not in page
        assert "\x1b" not in page.split("<main")[1].replace(f'value="{EVIL}', "")
        assert "\u202e" not in re.sub(r"<bdi>.*?</bdi>", "", page.split("<main")[1])
        assert "<bdi>&lt;img" in page


def test_sums_are_kept_for_a_minute_at_the_most(
    desk: Client, prod: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(prod, {RATE: 5}, days=1)

    def failing() -> int:
        return sum(row.requests for row in desk.get("/errors/").context["rows"])

    assert failing() == 5
    # As two publications that overlap on PostgreSQL do it: the same newest row, and as many rows.
    ErrorDay.objects.update(requests=7)
    assert failing() == 5
    later = time.monotonic() + error_sums.SUMS_LAST
    monkeypatch.setattr("dashboard.views.error_sums.time", SimpleNamespace(monotonic=lambda: later))
    assert failing() == 7


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain words", "plain words"),
        ("5 - 3 = 2; a-b", "5 - 3 = 2; a-b"),
        ("\u200b=1+1", "'\u200b=1+1"),
        ("\x1f\u3000@SUM(A1)", "'\x1f\u3000@SUM(A1)"),
        ("\0=1+1", "'=1+1"),
        ("x;=1+1", "x;'=1+1"),
        ('a";"=1+1', 'a";"\'=1+1'),
        ("x; \t=1+1", "x; \t'=1+1"),
        ("x\n=1+1", "x\n'=1+1"),
    ],
)
def test_no_text_becomes_a_formula_wherever_a_spreadsheet_cuts_it(text: str, written: str) -> None:
    assert cell(text) == written


def test_a_formula_is_no_formula_in_a_spreadsheet(desk: Client, prod: Connection) -> None:
    formula = '=HYPERLINK("http://evil","x")'
    ended(prod, {(400, "-2+3", formula, "unknown"): 5, (401, "ok", "  @SUM(A1)", "unknown"): 1}, days=1)
    text = body(desk, "/errors.csv")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["code"] for row in rows] == ["'-2+3", "ok"]
    assert rows[0]["message"] == f"'{formula}"
    assert rows[1]["message"].startswith("'")
    lines = [json.loads(line) for line in body(desk, "/errors.jsonl").splitlines()]
    assert lines[0]["message"] == formula
    assert lines[0]["requests"] == 5


def test_an_export_keeps_the_filters_and_is_saved_not_shown(desk: Client, prod: Connection) -> None:
    ended(prod, {RATE: 5, LENGTH: 9}, days=1)
    answer = desk.get("/errors.csv?retry=1")
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    text = b"".join(answer).decode()
    assert "rate_limit_exceeded" in text
    assert "context_length_exceeded" not in text


# --- Polls ------------------------------------------------------------------------------------------------------------


def test_an_unchanged_poll_brings_nothing_and_a_changed_one_the_page(desk: Client, prod: Connection) -> None:
    ended(prod, {RATE: 5}, days=1)
    found = re.search(r'id="poll"[^>]* hx-get="([^"]*)"', get(desk, "/errors/?range=7d"))
    assert found
    address = f"/errors/{unescape(found[1])}"
    assert "range=7d" in address
    assert desk.get(address, headers=HTMX).status_code == 204
    ended(prod, {FILTER: 50}, days=1)
    answer = desk.get(address, headers=HTMX)
    assert codes(answer.content.decode())[0] == "content_filter"
    assert "<html" not in answer.content.decode()


# --- The list ---------------------------------------------------------------------------------------------------------


def test_the_largest_error_stands_under_its_row_in_the_list(desk: Client, prod: Connection) -> None:
    batch = ended(prod, {RATE: 2, LENGTH: 1}, days=1)
    page = get(desk, "/batches/")
    row = page.split(f'id="row-{batch.pk}"')[1].split("</tr>")[0]
    assert "429 rate_limit_exceeded ×2: Rate limit reached for &lt;model&gt;" in row


def test_nothing_is_green_over_a_failure(desk: Client, prod: Connection) -> None:
    some, every = (batch_made(prod, "completed", **counts(100, 100)) for _ in range(2))
    errors_made(some, {SERVER: 4}, source="output", rows=False)
    errors_made(every, {SERVER: 100}, source="output", rows=False)
    for batch, words, bar in ((some, "Partial, 96 of 100", "96%"), (every, "All failed", "100%")):
        for address in ("/batches/", f"/batches/{batch.pk}/"):
            page = get(desk, address)
            assert (
                'data-state="succeeded"><svg class="i" aria-hidden="true"><use href="/static/icons.svg#st-succeeded"'
                not in page
            )
            assert words in page
            assert f'width="{bar}"' in page
    page = get(desk, f"/batches/{some.pk}/")
    assert "The vendor counts 4 of those as completed, but their answers are errors." in page
    assert "96 of 100 completed, 4 failed" in page, "the bar is read out as it is drawn"
    assert "None of 100 requests completed" in get(desk, f"/batches/{every.pk}/")


def test_chips_filters_and_order_know_what_the_files_show(desk: Client, prod: Connection) -> None:
    batch_made(prod, "completed", name="green", **counts(100, 100))
    batch_made(prod, "completed", name="told", **counts(100, 90, 10))
    errors_made(batch_made(prod, "completed", name="some", **counts(100, 100)), {SERVER: 4}, source="output")
    errors_made(batch_made(prod, "completed", name="every", **counts(100, 100)), {SERVER: 100}, source="output")
    shown = {}
    for chip in ("succeeded", "partial", "failed"):
        page = get(desk, f"/batches/?status={chip}")
        shown[chip] = set(re.findall(r'aria-label="(green|told|some|every)"', page))
        [number] = re.findall(rf'href="\?status={chip}" aria-current="true">.*?<b>(\d+)</b>', page)
        assert int(number) == len(shown[chip])
    assert shown == {"succeeded": {"green"}, "partial": {"told", "some"}, "failed": {"every"}}
    by_failed = re.findall(r'aria-label="(green|told|some|every)"', get(desk, "/batches/?sort=failed"))
    assert by_failed == ["every", "told", "some"]


def test_every_state_can_be_shown(desk: Client) -> None:
    for key, batch in everything_read().items():
        for address in ("", "requests/", "requests/?outcome=all", "files/"):
            assert desk.get(f"/batches/{batch.pk}/{address}").status_code == 200, (key, address)
