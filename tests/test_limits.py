"""Who is limited to some connections finds nothing of the others: at no address, in no fragment, poll, header or file.

One table says how each address is asked. A new address must be added to it.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dashboard.models import (
    BatchError,
    Connection,
    ErrorDay,
    Flow,
    Reading,
    Refusal,
    RemoteFile,
    Result,
    SavedView,
    SyncRun,
    User,
)
from dashboard.models.flow import QUARTER, quarter_of
from dashboard.models.search import note_facets
from dashboard.views.overview import CHARTS
from tests.batches_made import batch_made, connection_made, counts, judged
from tests.cast import ClientOf
from tests.errors_made import RATE, errors_made, file_made, group_made
from tests.shares_made import share_made
from tests.test_access import DOORS

pytestmark = pytest.mark.django_db

# What is to be found nowhere: words, and a number, so large that a sum with others begins as a multiple of it does. A
# search is for another word, which pages may repeat.
NUMBER = 77_777_000
SUMS = [NUMBER // 1000 * times for times in range(1, 10)]
TRACES = ("marker", *(written for number in SUMS for written in (str(number), f"{number:,}")))
WORD = "zebrafish"
OWN_ERROR = (418, "MARKER_code", "MARKER says that <n> is too much", "rate_limited")

LISTS = ("", f"?q={WORD}", "?status=failed", "?sort=finish", "?sort=total", "?connection={hidden}", "?q=meta.Xteam:")
ERRORS = ("", "?range=24h", "?range=30d", "?connection={hidden}", "?retry=1", "?new=1", f"?q={WORD}")
# For each address how it is asked: by what is hidden, which is not found, and otherwise with these queries.
ASKED: dict[str, tuple[str, ...]] = {
    "overview": ("", "?range=7d", "?range=30d", "?connection={hidden}"),
    "chart": ("", "?range=24h", "?range=7d", "?range=30d", "?connection={hidden}"),
    "batches": LISTS,
    "batches-export": LISTS,
    "batch-suggestions": tuple(
        f"?q={text}&at={len(text)}"
        for text in ("", "model:", "endpoint:", "owner:", "conn:", "meta.", "meta.Xteam:", "window:", "zeb", "status:")
    ),
    "saved-views": ("",),
    "attention": ("", "?reason=all_failed", "?connection={hidden}"),
    "errors": ERRORS,
    "errors-export": ERRORS,
    "error-group": ("", "?range=30d", "?connection={hidden}"),
    "connections": ("",),
    "you": ("",),
    "shares": ("",),
    "wall": ("", "?connection={hidden}", "?connection={hidden}&connection=1&rotate=30", f"?q={WORD}"),
    "share-add": ("", "?connection={hidden}"),
    "columns": ("",),
    # Of a batch that they see: its like, its figures and its errors are of what they see as well.
    "batch": ("",),
    "batch-activity": ("",),
    "batch-raw": ("",),
    "batch-cancel": ("",),
    "batch-errors-export": ("",),
    "batch-requests": ("", "?outcome=failed", f"?q={WORD}"),
    "batch-requests-export": ("",),
    "batch-request": ("",),
    "input-line": ("",),
    "batch-files": ("",),
}
# Acts and pages on one thing: asked for a hidden one, and not found, or refused for want of the role.
OF_ONE_THING = {
    *("batch-request-body", "batch-request-input", "input-line-read", "batch-file-read", "batch-file-preview"),
    *("batch-file-download", "connection", "connection-test", "connection-pause", "connection-delete"),
    *("connection-restore", "saved-view", "saved-view-delete"),
    *("share", "share-rotate", "share-revoke", "share-take-over"),
}
# Nothing of any connection stands there for who is no admin, and no admin is limited.
SHOW_NOTHING = {
    *("saved-view-add", "connection-add", "people", "invite", "invitation-renew", "invitation-revoke", "person"),
    "person-second-factor",
    *("person-deactivate", "person-activate", "person-sign-out", "person-reset", "invitation", "audit", "audit-export"),
    *("you-look", "you-password", "you-sign-out", "login", "first-admin", "logout", "healthz", "readyz", "robots"),
}
# What a link shows goes by its maker, whoever opens it: tests/views/test_shared.py.
BY_TOKEN = {"wall-by-link", "shared", "shared-password", "wall-password"}
# Where somebody without limits finds what is hidden, so that looking for it can fail.
SEEN_BY_OTHERS = {
    *("overview", "batches", "batches-export", "batch-suggestions", "saved-views", "attention", "errors"),
    *("errors-export", "error-group", "connections", "you", "chart", "shares", "share-add", "wall"),
}


def hide_everywhere(hidden: Connection) -> dict[str, int]:
    """Something of every kind, in the one connection that is not to be seen."""
    now = timezone.now()
    given: dict[str, Any] = {
        "owner": "MARKER-owner",
        "model": "MARKER-model",
        "endpoint": "/v1/MARKER",
        "completion_window": "MARKER-window",
        "metadata": {"Xteam": "MARKER-team", "MARKER-key": WORD},
        "input_file_id": "file-MARKER",
        "created_at": now - timedelta(hours=2),
    }
    failed = batch_made(
        hidden, "completed", name="MARKER nightly", remote_id="batch_MARKER_1", **given, **counts(NUMBER, 0, NUMBER)
    )
    alike = batch_made(hidden, "completed", name="nightly-eval", remote_id="batch_MARKER_2",
                       **given, **counts(NUMBER, NUMBER - 1, 1))  # fmt: skip
    batch_made(hidden, "in_progress", name="MARKER running", remote_id="batch_MARKER_3", **given, **counts(NUMBER, 9))
    errors_made(failed, {OWN_ERROR: 2, RATE: 3})
    errors_made(alike, {RATE: 2})
    file_made(failed, "error", filename="MARKER.jsonl")
    Result.objects.filter(read__batch=failed).update(custom_id="MARKER-id", words="MARKER words")
    BatchError.objects.filter(connection=hidden).update(
        requests=NUMBER, samples=[{"custom_id": "MARKER-id", "line": 1, "input_line": 1, "words": "MARKER words"}]
    )
    ErrorDay.objects.filter(connection=hidden).update(requests=NUMBER)
    Reading.objects.create(batch=alike, asked_at=now, status="in_progress", total=NUMBER, completed=5, failed=0)
    begun = quarter_of(int(now.timestamp()))
    for i in range(3):
        Flow.objects.create(connection=hidden, quarter=begun - i * QUARTER, looks=9, completed=NUMBER, failed=NUMBER,
                            in_flight=NUMBER)  # fmt: skip
    Refusal.objects.create(
        connection=hidden, reason="no_id", excerpt="MARKER", times=NUMBER, first_seen_at=now, last_seen_at=now
    )
    SyncRun.objects.create(connection=hidden, kind="cycle", began_at=now, ending="failed", error_words="MARKER")
    RemoteFile.objects.create(connection=hidden, file_id="file-MARKER", filename="MARKER.jsonl", seen_at=now)
    note_facets(hidden.pk, [("model", "MARKER-model")])
    return {"batch": failed.pk, "group": group_made(OWN_ERROR).pk, "connection": hidden.pk}


@pytest.fixture
def hidden(mei: User) -> dict[str, int]:
    now = timezone.now()
    connection = connection_made(
        "MARKER / prod", base_url="https://MARKER.example/v1", organization="MARKER-org", health="lost", failures=9,
        synced_at=now - timedelta(hours=3), failing_since=now - timedelta(hours=2), error_kind="timeout",
        error_words="MARKER", import_count=NUMBER,
    )  # fmt: skip
    found = hide_everywhere(connection)
    removed = connection_made("MARKER / old", retired_at=now)
    batch_made(removed, "completed", name="MARKER of old", **counts(NUMBER, NUMBER))
    views = [
        SavedView.objects.create(name="MARKER by number", owner=mei, shared=True, query=f"connection={connection.pk}"),
        SavedView.objects.create(name="MARKER by name", owner=mei, shared=True, query="q=conn%3A%22MARKER+%2F+prod%22"),
    ]
    SavedView.objects.create(name="Everybody's", owner=mei, shared=True, query="status=failed")
    share, _token = share_made(mei, name="MARKER on the wall", query=f"connection={connection.pk}")
    return found | {"removed": removed.pk, "view": views[0].pk, "share": share.pk, "others": share.pk}


@pytest.fixture
def shown(hidden: dict[str, int]) -> dict[str, int]:
    """What the limited person may see, of the same kinds and with the same names where names are shared."""
    connection = connection_made("Alpha")
    batch = batch_made(connection, "completed", name="nightly-eval", model="gpt-5", **counts(30, 20, 10))
    errors_made(batch, {RATE: 10})
    batch_made(connection, "in_progress", name="nightly-eval", model="gpt-5", **counts(30, 20))
    judged()
    return {"connection": connection.pk, "batch": batch.pk, "group": group_made(RATE).pk}


@pytest.fixture
def limited(ana: User, shown: dict[str, int], client_of: ClientOf) -> Client:
    """An operator, because operators reach most."""
    ana.is_limited = True
    ana.save()
    ana.connections.set([shown["connection"]])
    return client_of(ana)


def text_of(response: HttpResponseBase) -> str:
    """All that was sent, headers too."""
    body = b"".join(response) if response.streaming else response.content  # type: ignore[attr-defined]
    head = "\n".join(f"{name}: {value}" for name, value in response.items())
    return f"{head}\n\n{body.decode()}"


def address_of(name: str, rows: dict[str, int]) -> str:
    door = DOORS[name]
    return reverse(name, args=[*([rows[door.pk]] if door.pk else []), *door.more])


# As a page, as a fragment, as a poll that has seen nothing, and without a word of where it was.
HOW: tuple[tuple[str, dict[str, str]], ...] = (
    ("", {}),
    ("", {"HX-Request": "true"}),
    ("seen=0", {"HX-Request": "true"}),
    ("seen=1.1-2.1-3.1", {"HX-Request": "true", "HX-Target": "table"}),
)


def answers(client: Client, name: str, rows: dict[str, int], hidden: dict[str, int]) -> Iterator[tuple[str, str]]:
    door = DOORS[name]
    for query in ASKED[name]:
        for more, headers in HOW:
            query_there = query.format(hidden=hidden["connection"])
            address = address_of(name, rows) + "&".join(filter(None, (query_there or ("?" if more else ""), more)))
            address = address.replace("?&", "?")
            response = (client.post if door.method == "post" else client.get)(address, headers=headers)
            yield address, text_of(response)


def traces_in(text: str, hidden: dict[str, int]) -> list[str]:
    connection, batch = hidden["connection"], hidden["batch"]
    links = (f'/batches/{batch}/"', f'/connections/{connection}/"', f'data-sign="{connection}"')
    clocks = [line for line in text.splitlines() if line.startswith("X-Synced:") and f"{connection}=" in line]
    return [trace for trace in (*TRACES, *links) if trace in text.lower()] + clocks


def test_every_address_is_asked() -> None:
    tables = (set(ASKED), OF_ONE_THING, SHOW_NOTHING, BY_TOKEN)
    assert set.union(*tables) == DOORS.keys(), "say how the new address is asked"
    assert sum(map(len, tables)) == len(DOORS)


@pytest.mark.parametrize("name", ASKED)
def test_no_answer_has_a_trace_of_what_is_hidden(
    name: str, limited: Client, mei: User, shown: dict[str, int], hidden: dict[str, int], client_of: ClientOf,
    settings: LazySettings,
) -> None:  # fmt: skip
    # What a process remembers was read for somebody who sees everything.
    settings.PULSE_SECONDS = settings.REMEMBER_SECONDS = 60.0
    whole = [text for _address, text in answers(client_of(mei), name, shown, hidden)]
    if name in SEEN_BY_OTHERS:
        assert any(traces_in(text, hidden) for text in whole), "nothing to be found: this could not fail"
    leaks = {
        address: traces
        for address, text in answers(limited, name, shown, hidden)
        if (traces := traces_in(text.replace(f"connection={hidden['connection']}", ""), hidden))
    }
    assert leaks == {}


@pytest.mark.parametrize("name", {name for name, door in DOORS.items() if door.pk in {"batch", "group"}} | OF_ONE_THING)
def test_what_is_hidden_is_not_found(name: str, limited: Client, hidden: dict[str, int]) -> None:
    door, refused = DOORS[name], {403} if DOORS[name].least == "mei" and DOORS[name].pk != "view" else {404}
    for method in {"get", "post"} if door.method == "get" else {door.method}:
        for headers in ({}, {"HX-Request": "true"}):
            response = getattr(limited, method)(address_of(name, hidden), headers=headers)
            assert response.status_code in refused | ({405} if method != door.method else set())
            assert traces_in(text_of(response), hidden) == []


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("span", ["24h", "7d", "30d"])
def test_no_chart_sums_up_what_is_hidden(
    name: str, span: str, limited: Client, mei: User, hidden: dict[str, int], client_of: ClientOf
) -> None:
    address = f"/charts/{name}.json?range={span}"
    text_of(client_of(mei).get(address))
    assert traces_in(text_of(limited.get(address)), hidden) == []


def test_counts_are_of_what_is_seen(limited: Client, mei: User, client_of: ClientOf, settings: LazySettings) -> None:
    settings.PULSE_SECONDS = settings.REMEMBER_SECONDS = 60.0
    everything = client_of(mei).get("/").context["nav_counts"]
    assert (everything["batches"], everything["connections"]) == (6, 2)
    seen = limited.get("/").context["nav_counts"]
    assert (seen["batches"], seen["connections"]) == (2, 1)
    assert 0 < seen["attention"] < everything["attention"]


def test_a_right_that_was_taken_acts_on_the_next_poll(limited: Client, ana: User, settings: LazySettings) -> None:
    settings.REMEMBER_SECONDS = 0.05
    headers = {"HX-Request": "true"}
    token = limited.get("/batches/").context["pulse"].token
    assert limited.get(f"/batches/?seen={token}", headers=headers).status_code == 204
    ana.connections.clear()
    time.sleep(0.06)
    assert limited.get(f"/batches/?seen={token}", headers=headers).status_code == 200


def test_ticked_boxes_export_nothing_that_is_hidden(limited: Client, hidden: dict[str, int]) -> None:
    response = limited.post("/batches.csv", {"batch": [hidden["batch"]], "more": str(hidden["batch"])})
    assert traces_in(text_of(response), hidden) == []
