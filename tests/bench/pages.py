"""Pages at the server, with all batches known. `python -m tests.bench.pages` is the part with Django."""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from tests.bench.figures import ROUNDS, Row, Spread, Wrong, must_be, p95
from tests.bench.processes import answer_of, copy_of, environment, python, say

REQUESTS = 20  # of each page, in each round: a hundred in all
WARM = 10
ROWS = 50
MOST_MS, MOST_QUERIES = 30.0, 8
NAMED = ("list", "filtered list", "metadata search")


def measure(prepared: Path, batches: int) -> list[Row]:
    with copy_of(prepared, "pages") as data:
        say(f"pages: {ROUNDS} rounds of {REQUESTS} requests to each")
        said = answer_of(python("tests.bench.pages", "time"), environment(data), 900)
    # p95 over all hundred; the spread is that of the rounds' middles, which say how steady the machine was.
    times: dict[str, float] = {
        name: p95([one for each in rounds for one in each]) for name, rounds in said["ms"].items()
    }
    middles = {name: Spread([median(one) for one in rounds]) for name, rounds in said["ms"].items()}
    for name, figure in middles.items():
        say(
            f"pages: {name} ({said['address'][name]}): p95 {times[name]:.1f} ms, middle {figure.low:.1f} .. "
            f"{figure.high:.1f}, processor {said['cpu'][name]:.1f}, {said['queries'][name]} queries, "
            f"{len(said['rows'][name])} rows"
        )
    worst = max(times, key=lambda name: times[name])
    queries = max(said["queries"].values())
    seen = ", ".join(f"{name} {times[name]:.0f} ms" for name in NAMED)
    return [
        Row(
            f"list page, filtered list and metadata search with {batches:,} batches, at the server "
            f"(p95; the worst of {len(times)} such pages)",
            f"{seen}; worst {times[worst]:.0f} ms ({worst}); {queries} queries",
            "middle " + ", ".join(f"{middles[name].low:.0f} .. {middles[name].high:.0f}" for name in (*NAMED, worst)),
            "≤ 30 ms, ≤ 8 queries",
            times[worst] <= MOST_MS and queries <= MOST_QUERIES,
        )
    ]


# --- In a process with Django -----------------------------------------------------------------------------------------


def addresses() -> dict[str, str]:
    """The pages that are measured, chosen by what the database holds."""
    from django.db import connection as database

    from dashboard.models import Batch, Connection
    from dashboard.views.batch_list import Cursor

    with database.cursor() as cursor:
        cursor.execute(
            "SELECT value, count(*) FROM dashboard_batch, json_each(metadata)"
            " WHERE length(value) > 3 AND value NOT LIKE '%% %%' GROUP BY value ORDER BY 2 DESC"
        )
        values: list[tuple[str, int]] = cursor.fetchall()
    common = values[0][0]
    # The kind of word that people look for: a name that some hundreds of batches carry.
    usual = min(values, key=lambda value: abs(value[1] - Batch.objects.count() // 200))[0]
    middle = Batch.objects.order_by("-ordered_at", "-pk")[Batch.objects.count() // 2]
    deep = Batch.objects.order_by("-ordered_at", "-pk")[Batch.objects.count() * 9 // 10]
    far = Batch.objects.order_by("-failing", "-pk").filter(failing__gt=0)
    connection = Connection.objects.get().pk

    def address(**query: object) -> str:
        return f"/batches/?{urlencode(query)}"

    return {
        "list": "/batches/",
        "filtered list": address(status="failed", connection=connection),
        "metadata search": address(q=usual),
        "rare word": address(q=middle.remote_id[-8:]),
        "word of tens of thousands": address(q=common),
        "the same with a rare status": address(q=common, status="expired"),
        "two words": address(q=f"{common} {usual}"),
        "short word": address(q=common[:2]),
        "word that nothing has": address(q="zzqqxxjj"),
        "page far down": address(before=Cursor.at(deep, "newest")),
        "by failed": address(sort="failed"),
        "by failed, far down": address(sort="failed", before=Cursor.at(far[far.count() // 2], "failed")),
        "by finish": address(sort="finish"),
        "by finish, filtered": address(sort="finish", status="failed", connection=connection),
        "search by finish": address(sort="finish", q=common),
    }


def opened() -> None:
    """Django, as a part of the benchmark has it."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    django.setup()


def asked_for(pages: dict[str, str], requests: int) -> dict[str, Any]:
    """Each page so many times in each round, through the whole middleware, as a signed-in viewer."""
    from django.db import connection as database
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from dashboard import middleware
    from dashboard.insight import pulse
    from dashboard.management import preparation
    from tests.bench.serving import sign_in

    preparation.collect_static()
    client = Client(SERVER_NAME="127.0.0.1")
    client.cookies["batches_session"] = sign_in(1)[0]

    def get(address: str) -> tuple[float, bytes]:
        # People open pages now and then: nothing that a process keeps for a second or five is there for them.
        pulse._latest = None
        middleware._known.clear()
        began = time.perf_counter()
        response = client.get(address)
        body = response.getvalue()
        seconds = time.perf_counter() - began
        must_be(f"the status of {address}", response.status_code, 200)
        must_be(f"what {address} asks that the list does not know", body.count(b"is left out"), 0)
        return seconds, body

    queries: dict[str, int] = {}
    rows: dict[str, set[bytes]] = {}
    for name, address in pages.items():
        for _ in range(WARM):
            get(address)
        with CaptureQueriesContext(database) as captured:
            _seconds, body = get(address)
        queries[name] = len(captured)
        rows[name] = set(re.findall(rb'href="/batches/(\d+)/"', body))
    milliseconds: dict[str, list[list[float]]] = {name: [] for name in pages}
    cpu = dict.fromkeys(pages, 0.0)
    for _ in range(ROUNDS):
        for name, address in pages.items():
            began = time.process_time()
            milliseconds[name].append([get(address)[0] * 1000 for _ in range(requests)])
            cpu[name] += (time.process_time() - began) * 1000
    return {
        "address": pages,
        "queries": queries,
        "rows": {name: sorted(int(pk) for pk in found) for name, found in rows.items()},
        "ms": milliseconds,
        "cpu": {name: spent / (ROUNDS * requests) for name, spent in cpu.items()},
    }


def time_them() -> dict[str, Any]:
    opened()
    said = asked_for(addresses(), REQUESTS)
    rows = said["rows"]
    for name in ("list", "filtered list", "page far down"):
        must_be(f"rows of {name}", len(rows[name]), ROWS)
    # A place that could not be read would show the top instead.
    must_be("rows of the top far down", set(rows["page far down"]) & set(rows["list"]), set())
    must_be("rows of the top far down", set(rows["by failed, far down"]) & set(rows["by failed"]), set())
    if not rows["rare word"] or rows["word that nothing has"]:
        raise Wrong(f"the searches found {rows}")
    return said


def point() -> dict[str, Any]:
    """Point the one connection at the simulator of this row, which has another port."""
    opened()
    from dashboard.models import Connection, SyncRun

    must_be("connections", Connection.objects.update(base_url=sys.argv[2], next_sync_at=None), 1)
    SyncRun.objects.all().delete()
    return {}


def runs() -> dict[str, Any]:
    """How many good cycles there were since."""
    opened()
    from dashboard.models import SyncRun

    must_be("cycles that failed", list(SyncRun.objects.exclude(ending="good").values_list("error_kind", flat=True)), [])
    return {"good": SyncRun.objects.count()}


ACTS: dict[str, Callable[[], dict[str, Any]]] = {"time": time_them, "point": point, "runs": runs}

if __name__ == "__main__":
    print(json.dumps(ACTS[sys.argv[1]]()))
