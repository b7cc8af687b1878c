"""The list as a file: everything that is asked for, in blocks, safe to open, and nothing that one may not see."""

import csv
import gc
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from django.utils import timezone

from dashboard.insight.outcome import outcome_of
from dashboard.models import Batch, Connection, User
from dashboard.models.batch import place_of
from dashboard.models.search import index_new
from tests.batches_made import batch_made, connection_made, counts, everything_made
from tests.cast import ClientOf

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


def text_of(client: Client, address: str, data: dict[str, Any] | None = None) -> str:
    answer = client.get(address) if data is None else client.post(address, data)
    assert answer.status_code == 200
    return b"".join(cast(StreamingHttpResponse, answer)).decode()


def ids(client: Client, address: str, data: dict[str, Any] | None = None) -> list[str]:
    return [row["id"] for row in json.loads(text_of(client, address, data))]


def many_made(connection: Connection, number: int) -> None:
    """Plain ones, some of which failed; all at once, because one by one takes too long."""
    now = timezone.now()
    rows = []
    for i in range(number):
        at = now - timedelta(minutes=i)
        total, failed = i + 1, i % 3
        remote_id = f"batch_{i:024x}"
        rows.append(
            Batch(
                connection=connection, remote_id=remote_id, status="completed", raw_status="completed", is_open=False,
                outcome=outcome_of("completed", total, total - failed, failed), name=f"nightly-{i}", metadata={},
                requests_total=total, requests_completed=total - failed, requests_failed=failed, created_at=at,
                finished_at=at, ordered_at=at, asked_at=now, first_seen_at=now, revision=1,
                search_text=f"\nnightly-{i}\n",
                place=place_of(connection.pk, remote_id, int(at.timestamp())),
            )
        )  # fmt: skip
    Batch.objects.bulk_create(rows)
    index_new(0)


def test_both_forms_say_the_same_of_every_batch(desk: Client) -> None:
    made = everything_made()
    table = list(csv.DictReader(io.StringIO(text_of(desk, "/batches.csv").removeprefix("\ufeff"))))
    objects = json.loads(text_of(desk, "/batches.json"))
    assert [row["id"] for row in table] == [row["id"] for row in objects]
    assert len(objects) == len(made)
    row = next(row for row in objects if row["id"] == made["partial"].remote_id)
    assert (row["name"], row["connection"], row["status"]) == ("nightly-eval-2026-11-21", "OpenAI / prod", "completed")
    assert (row["outcome"], row["outcome_words"]) == ("partial", "Partial, 97 of 100")
    assert (row["total"], row["completed"], row["failed"]) == (100, 97, 3)
    assert row["metadata"]["team"] == "search-quality"
    assert datetime.fromisoformat(row["finished_at"]) == made["partial"].finished_at
    assert row["finished_at"].endswith("+00:00")
    line = next(line for line in table if line["id"] == row["id"])
    assert json.loads(line["metadata"]) == row["metadata"]
    assert line["finished_at"] == row["finished_at"]
    unknown = next(row for row in objects if row["id"] == made["unknown"].remote_id)
    assert unknown["status"] == "queued_local"
    assert unknown["finished_at"] is None


def test_an_empty_list_is_an_empty_file(desk: Client) -> None:
    assert json.loads(text_of(desk, "/batches.json")) == []
    assert len(text_of(desk, "/batches.csv").splitlines()) == 1


def test_filters_search_order_and_connection_are_those_of_the_page(desk: Client) -> None:
    made = everything_made()
    lab = made["stale"].connection_id
    for query in (
        "?status=failed",
        f"?connection={lab}",
        "?q=catalog-enrich",
        "?q=failed:>0+-nightly&sort=failed",
        "?sort=finish",
        "?q=2026&sort=finish&status=cancelled",
    ):
        page = desk.get(f"/batches/{query}")
        assert ids(desk, f"/batches.json{query}") == [row.batch.remote_id for row in page.context["rows"]], query
        link = re.search(r'href="/batches\.csv(\?[^"]*)"', page.content.decode())
        assert link, query


def test_a_spreadsheet_runs_nothing_that_a_vendor_sends(desk: Client) -> None:
    evil = '=HYPERLINK("http://evil.example","x")'
    batch_made(connection_made("=1+1"), "completed", name=evil, owner="@x", model="+1", **counts(3, 3))
    row = next(csv.DictReader(io.StringIO(text_of(desk, "/batches.csv").removeprefix("\ufeff"))))
    assert row["name"] == f"'{evil}"
    for column in ("connection", "owner", "model"):
        assert row[column].startswith("'"), column


def held() -> int:
    gc.collect()
    return sum(isinstance(thing, Batch) for thing in gc.get_objects())


@pytest.mark.parametrize("query", ["", "?q=nightly", "?q=nightly&sort=failed", "?status=succeeded&sort=finish"])
def test_thousands_are_streamed_and_never_held_at_once(
    desk: Client, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_made(connection_made(), 3_000)
    monkeypatch.setattr("dashboard.views.batches_export.BLOCK", 200)
    monkeypatch.setattr("dashboard.views.batch_list.SORTED", 100)
    before, most, seen = held(), 0, []
    lines: Iterator[bytes] = iter(cast(StreamingHttpResponse, desk.get(f"/batches.jsonl{query}")))
    for i, line in enumerate(lines):
        seen.append(json.loads(line)["id"])
        if i % 500 == 0:
            most = max(most, held() - before)
    key = {"failed": "-requests_failed", "finish": "-finished_at"}.get(query.rpartition("=")[2], "-place")
    rows = Batch.objects.order_by(key, "-pk")
    if key == "-requests_failed":
        rows = rows.filter(requests_failed__gt=0)
    if "succeeded" in query:
        rows = rows.filter(outcome="succeeded")
    assert seen == list(rows.values_list("remote_id", flat=True))
    assert 0 < most <= 450, "one block, and the one that comes"


@pytest.mark.parametrize("sort", ["newest", "failed"])
def test_a_search_that_looks_through_so_many_goes_on_to_the_end(
    desk: Client, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_made(connection_made(), 300)
    for room in ("insight.search", "views.batch_list"):
        monkeypatch.setattr(f"dashboard.{room}.LOOKED", 20)
    monkeypatch.setattr("dashboard.views.batch_list.SORTED", 5)
    found = ids(desk, f"/batches.json?q=total:%3E280+failed:2&sort={sort}")
    wanted = Batch.objects.filter(requests_total__gt=280, requests_failed=2)
    assert sorted(found) == sorted(wanted.values_list("remote_id", flat=True))


def test_what_is_ticked_is_exported_newest_first_and_of_it_what_one_may_see(
    desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = everything_made()
    some = [made[key].pk for key in ("partial", "gone", "running")]
    data = {"batch": some[:1], "more": f"{some[1]},{some[2]},x,,999999"}
    assert ids(desk, "/batches.json", data) == [made[key].remote_id for key in ("running", "partial", "gone")]
    monkeypatch.setattr(
        "dashboard.models.batch.visible_connections", lambda _user: frozenset([made["gone"].connection_id])
    )
    assert ids(desk, "/batches.json", data) == [made["gone"].remote_id]
    assert len(ids(desk, "/batches.json")) < len(made)


def test_the_name_says_what_and_when(desk: Client) -> None:
    made = everything_made()
    for address, words in (
        ("/batches.csv", "batches"),
        (f"/batches.csv?status=failed&connection={made['stale'].connection_id}", "batches-ogx-lab-failed"),
        ("/batches.json?q=owner:mei+%2F..%2F%22&sort=finish", "batches-owner-mei-finish"),
    ):
        form = address.partition("?")[0].rpartition(".")[2]
        answer = desk.get(address)
        pattern = rf'attachment; filename="{words}-\d{{4}}-\d\d-\d\dT\d{{4}}Z\.{form}"'
        assert re.fullmatch(pattern, answer["Content-Disposition"]), answer["Content-Disposition"]
    assert desk.get("/batches.exe").status_code == 404
    assert f"{datetime.now(UTC):%Y-%m-%d}" in desk.post("/batches.csv", {"batch": [1]})["Content-Disposition"]
