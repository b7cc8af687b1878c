"""The pages of errors at the server, with thousands of finished batches and millions of failing requests.

`python -m tests.bench.errors` is the part with Django: it fills an empty database, then times the pages.
"""

import json
import os
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figures import ROUNDS, Row, Spread, Wrong, must_be, p95
from tests.bench.processes import answer_of, environment, python, say

REQUESTS, WARM = 20, 5
BATCHES, GROUPS, FAILING = 10_000, 2_000, 5_000_000
DAYS = 14
GROUPS_A_BATCH = 8
RESULTS = 50_000
PAGE = 50
MOST_MS = 50.0
# What a range comes to is kept until something of it changes: warm, and cold as after a change or a start.
WARM_PAGES = {
    "14 days": "/errors/",
    "24 hours": "/errors/?range=24h",
    "7 days": "/errors/?range=7d",
    "30 days": "/errors/?range=30d",
    "worth a retry": "/errors/?retry=1",
    "four filters": "/errors/?retry=1&new=1&q=number&connection=1",
    "30 days, four filters": "/errors/?range=30d&retry=1&new=1&q=number&connection=1",
    "last page": "/errors/?page=40",
}
COLD = ", cold"
WITHIN = (
    "requests",
    "requests, deep",
    "search by custom_id",
    "search without a match",
    "search among failures alone",
    "requests of one error",
)


def measure(folder: Path) -> list[Row]:
    data = folder / "errors"
    data.mkdir(mode=0o700)
    say(f"errors: making {BATCHES:,} batches with {FAILING:,} failing requests in {GROUPS:,} groups")
    answer_of(python("tests.bench.errors", "fill"), environment(data), 1800)
    say(f"errors: {ROUNDS} rounds of {REQUESTS} requests to each")
    said = answer_of(python("tests.bench.errors", "time"), environment(data), 1800)
    for name, rounds in said["ms"].items():
        middle = Spread([median(one) for one in rounds])
        slowest = p95([one for each in rounds for one in each])
        say(f"errors: {name}: p95 {slowest:.1f} ms, middle {middle.low:.1f} .. {middle.high:.1f}, "
            f"processor {said['cpu'][name]:.1f}, {said['queries'][name]} queries")  # fmt: skip
    warm, cold = tuple(WARM_PAGES), tuple(name + COLD for name in WARM_PAGES)
    return [
        row(f"/errors/ over {BATCHES:,} finished batches, {FAILING:,} failing requests in {GROUPS:,} groups, at the "
            f"server (p95; the worst of {len(warm)} ranges and filters)",
            said, {"warm": warm, "cold": cold, "one group": ("one group",)}),
        row(f"Requests tab of a batch of {RESULTS:,}, at the server (p95)", said, {name: (name,) for name in WITHIN}),
    ]  # fmt: skip


def row(what: str, said: dict[str, Any], kinds: dict[str, tuple[str, ...]]) -> Row:
    """`kinds` are pages by what is said of them: of each kind the slowest is."""
    times = {name: p95([one for each in rounds for one in each]) for name, rounds in said["ms"].items()}
    slowest = {kind: max(names, key=lambda name: times[name]) for kind, names in kinds.items()}
    seen = [
        f"{kind} {times[name]:.0f} ms" + (f" ({name.removesuffix(COLD)})" if len(kinds[kind]) > 1 else "")
        for kind, name in slowest.items()
    ]
    worst = max(slowest.values(), key=lambda name: times[name])
    middle = Spread([median(one) for one in said["ms"][worst]])
    queries = max(said["queries"][name] for names in kinds.values() for name in names)
    return Row(
        what,
        f"{', '.join(seen)}; processor of the worst {said['cpu'][worst]:.0f} ms; {queries} queries",
        f"middle of the worst {middle.low:.0f} .. {middle.high:.0f}",
        f"≤ {MOST_MS:.0f} ms",
        times[worst] <= MOST_MS,
    )


# --- In a process with Django -----------------------------------------------------------------------------------------


def begin() -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    django.setup()


def fill() -> dict[str, Any]:
    """Batches, their errors and the days of these, as reading files would leave them; and one batch of many results."""
    begin()
    from django.core.management import call_command

    from dashboard.models import Batch, BatchError, Connection, ErrorDay, ErrorGroup
    from dashboard.models.batch import GRACE, place_of

    call_command("migrate", verbosity=0)
    dice = random.Random(5)
    now = datetime.now(UTC)
    connections = [
        Connection.objects.create(
            name=name, base_url="http://127.0.0.1:9/v1", synced_at=now, imported_at=now, tried_at=now, health="in_step"
        )
        for name in ("prod", "eu", "lab")
    ]
    retries = ["rate_limited", "server_error", "too_long", "invalid_request", "unknown"]
    groups = ErrorGroup.objects.bulk_create(
        ErrorGroup(
            signature=f"{n:032x}", http_status=dice.choice([400, 404, 429, 500]), code=f"error_code_{n}",
            message=f"Message number {n} of some length that says what went wrong with <model> and <n>",
            retry=dice.choice(retries), first_seen_at=now - timedelta(days=dice.choice([1, 60])), last_seen_at=now,
        )
        for n in range(GROUPS)
    )  # fmt: skip
    batches = []
    for n in range(BATCHES):
        end = now - timedelta(seconds=dice.randrange(DAYS * 86_400 - 90_000))
        connection, remote_id = dice.choice(connections), f"batch_{n:024x}"
        batches.append(
            Batch(
                connection=connection, remote_id=remote_id, status="completed", raw_status="completed",
                outcome="partial", name=f"nightly-{n}", owner=dice.choice(["ana", "mei", "jonas", "ci-bot", ""]),
                requests_total=2_000, requests_completed=1_500, requests_failed=500, finished_at=end, is_open=False,
                ordered_at=end, place=place_of(connection.pk, remote_id, int(end.timestamp())), asked_at=end,
                metadata={"owner": "ana", "team": dice.choice(["search", "ads"])}, payload=b"x" * 900,
                refresh_until=end + GRACE, first_seen_at=end, revision=1,
            )
        )  # fmt: skip
    batches = Batch.objects.bulk_create(batches, batch_size=500)
    errors, days = [], defaultdict[tuple[int, int, Any], list[int]](lambda: [0, 0])
    each = FAILING // (BATCHES * GROUPS_A_BATCH)
    for batch in batches:
        # Some errors are met everywhere, most hardly ever.
        met = {int(GROUPS * dice.random() ** 2.5) for _ in range(GROUPS_A_BATCH * 3)}
        some = sorted(met)[:: max(1, len(met) // GROUPS_A_BATCH)][: GROUPS_A_BATCH - 1]
        for n in {*some, batch.pk % GROUPS}:
            at = batch.finished_at
            assert at is not None
            errors.append(
                BatchError(
                    batch=batch, group=groups[n], connection_id=batch.connection_id, source="error", requests=each,
                    at=at, samples=[{"custom_id": f"r-{n}", "line": 1, "input_line": 1, "words": "x" * 200}] * 3,
                )
            )  # fmt: skip
            tally = days[batch.connection_id, groups[n].pk, at.date()]
            tally[0] += 1
            tally[1] += each
    BatchError.objects.bulk_create(errors, batch_size=500)
    ErrorDay.objects.bulk_create(
        [
            ErrorDay(connection_id=connection, group_id=group, day=day, batches=number, requests=requests)
            for (connection, group, day), (number, requests) in days.items()
        ],
        batch_size=1_000,
    )
    must_be("groups met", len({error.group_id for error in errors}), GROUPS)
    if (failing := sum(error.requests for error in errors)) < 0.98 * FAILING:
        raise Wrong(f"only {failing:,} requests fail")
    say(f"errors: {len(errors):,} errors of batches in {len(days):,} rows of days")
    some = [group.pk for group in groups[:5]]
    fill_results(batches[0], some, RESULTS // 10)
    fill_results(batches[1], some, RESULTS)
    return {"errors": len(errors)}


def fill_results(batch: Any, groups: list[int], failing: int) -> None:
    """So many requests in the error file, the rest in the output file, which somebody asked for."""
    from dashboard.models import BatchError, FileRead, Result

    now = datetime.now(UTC)
    BatchError.objects.filter(batch=batch).exclude(group__in=groups).delete()
    for kind, count in (("error", failing), ("output", RESULTS - failing)):
        if not count:
            continue
        setattr(batch, f"{kind}_file_id", f"file-{kind}-{batch.pk}")
        read = FileRead.objects.create(
            batch=batch, kind=kind, file_id=f"file-{kind}-{batch.pk}", state="read", wanted_at=now, ended_at=now,
            lines=count, asked_by="ana", **{"failed" if kind == "error" else "succeeded": count},
        )  # fmt: skip
        Result.objects.bulk_create(
            (
                Result(
                    read=read, line=n, offset=n * 400, length=400, custom_id=f"request-{kind}-{n:06d}",
                    state="failed" if kind == "error" else "succeeded", http_status=429 if kind == "error" else 200,
                    group_id=groups[n % 5] if kind == "error" else None, request_id=f"req_{n:016x}",
                    words="Rate limit reached for gpt-5-mini in organization" if kind == "error" else "",
                    tokens_input=800, tokens_output=60,
                )
                for n in range(1, count + 1)
            ),
            batch_size=1_000,
        )  # fmt: skip
    batch.save()


def addresses() -> dict[str, str]:
    from dashboard.models import BatchError, ErrorGroup, FileRead

    batch = FileRead.objects.filter(kind="output").values_list("batch", flat=True)[0]
    failed = FileRead.objects.filter(kind="error").exclude(batch=batch).values_list("batch", flat=True)[0]
    tab = f"/batches/{batch}/requests/"
    group = BatchError.objects.filter(batch=batch).values_list("group", flat=True)[0]
    often = ErrorGroup.objects.order_by("pk")[0].pk
    return (
        WARM_PAGES
        | {name + COLD: address for name, address in WARM_PAGES.items()}
        | {
            "one group": f"/errors/{often}/",
            "requests": tab,
            "requests, deep": f"{tab}?outcome=all&before=output.40000",
            "search by custom_id": f"{tab}?outcome=all&q=request-output-044321",
            "search without a match": f"{tab}?outcome=all&q=zzqqxx",
            "search among failures alone": f"/batches/{failed}/requests/?q=request-error-044321",
            "requests of one error": f"{tab}?group={group}",
        }
    )


def time_them() -> dict[str, Any]:
    """p95 and queries of each page, through the whole middleware, as a signed-in viewer."""
    begin()
    from django.db import connection as database
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from dashboard import middleware
    from dashboard.insight import pulse
    from dashboard.management import preparation
    from dashboard.models import BatchError, Result
    from dashboard.views import error_sums
    from tests.bench.serving import sign_in

    preparation.collect_static()
    with database.cursor() as cursor:
        cursor.execute("ANALYZE")
    client = Client(SERVER_NAME="127.0.0.1")
    client.cookies["batches_session"] = sign_in(1)[0]
    must_be("results", Result.objects.count(), 2 * RESULTS)
    if BatchError.objects.count() < 4 * BATCHES:
        raise Wrong(f"only {BatchError.objects.count()} errors were made")

    def get(address: str, *, cold: bool = False) -> tuple[float, bytes]:
        # Nothing that a process keeps for a second or five is there for who opens a page now and then.
        pulse._latest = None
        middleware._known.clear()
        if cold:
            error_sums._sums.clear()
        began = time.perf_counter()
        response = client.get(address)
        seconds = time.perf_counter() - began
        must_be(f"the status of {address}", response.status_code, 200)
        return seconds, response.content

    pages = addresses()
    queries: dict[str, int] = {}
    for name, address in pages.items():
        for _ in range(WARM):
            get(address)
        with CaptureQueriesContext(database) as captured:
            _seconds, body = get(address, cold=name.endswith(COLD))
        queries[name] = len(captured)
        rows = len(re.findall(rb'class="rowlink', body))
        if name == "search without a match":
            must_be(f"rows of {name}", rows, 0)
        elif name.startswith("search "):
            must_be(f"rows of {name}", rows, 1)
        elif "four filters" in name:
            must_be(f"whether there are rows of {name}", 0 < rows <= PAGE, True)
        else:
            must_be(f"rows of {name}", rows, PAGE)
    milliseconds: dict[str, list[list[float]]] = {name: [] for name in pages}
    cpu = dict.fromkeys(pages, 0.0)
    for _ in range(ROUNDS):
        for name, address in pages.items():
            began = time.process_time()
            cold = name.endswith(COLD)
            milliseconds[name].append([get(address, cold=cold)[0] * 1000 for _ in range(REQUESTS)])
            cpu[name] += (time.process_time() - began) * 1000
    spent = {name: total / (ROUNDS * REQUESTS) for name, total in cpu.items()}
    return {"queries": queries, "ms": milliseconds, "cpu": spent}


ACTS: dict[str, Callable[[], dict[str, Any]]] = {"fill": fill, "time": time_them}

if __name__ == "__main__":
    print(json.dumps(ACTS[sys.argv[1]]()))
