"""The desk with a million batches on each database. `python -m tests.bench.million` is the part with Django."""

import json
import sys
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from tests.bench.figures import Row, Spread, must_be, p95
from tests.bench.imports import contend
from tests.bench.pages import asked_for, opened
from tests.bench.processes import answer_of, environment, python, say, simulator

BATCHES = 1_000_000
OPEN = [*range(40), *range(200, 4_200, 400)]  # places of the list: 50 that run
REQUESTS = 10  # of each page, in each round
MOST_MS = 50.0
LONGEST = 3_600.0
GROUPS = ("list", "search", "overview", "batch")


def measure(folder: Path, start: int, batches: int = BATCHES) -> list[Row]:
    return [row for name in ("SQLite", "PostgreSQL") for row in _measure(folder, start, batches, name)]


def _measure(folder: Path, start: int, batches: int, database: str) -> list[Row]:
    data = folder / f"million-{database}"
    with _server(database) as more, simulator(folder, batches, start, "--open-at", *OPEN) as base_url:
        say(f"million: importing {batches:,} batches into {database}")
        took = contend("many", base_url, batches, data, LONGEST, **more)
        say(f"million: {database}: imported in {took['seconds']:.0f} s, processor {took['cpu']:.0f} s")
        return timed(data, batches, database, **more)


def timed(data: Path, batches: int, database: str, **settings: str) -> list[Row]:
    """The rows of a data folder with so many batches; the settings lead to its database."""
    said = answer_of(python("tests.bench.million"), environment(data, **settings), LONGEST)
    rows = []
    for group in GROUPS:
        names = [name for name in said["ms"] if name.startswith(f"{group}:")]
        times = {name: p95([one for each in said["ms"][name] for one in each]) for name in names}
        for name in names:
            middle = Spread([median(one) for one in said["ms"][name]])
            say(
                f"million: {database}, {name} ({said['address'][name]}): p95 {times[name]:.1f} ms, middle "
                f"{middle.low:.1f} .. {middle.high:.1f}, processor {said['cpu'][name]:.1f}, "
                f"{said['queries'][name]} queries, {len(said['rows'][name])} rows"
            )
        usual, worst = names[0], max(names, key=lambda name: times[name])
        seen = [f"{name.partition(': ')[2]} {times[name]:.0f} ms" for name in (usual, worst)]
        above = sum(time > MOST_MS for time in times.values())
        middle = Spread([median(one) for one in said["ms"][worst]])
        rows.append(
            Row(
                f"{group}, {batches:,} batches in {database}, at the server (p95 of {len(names)} pages)",
                f"{seen[0]}; worst {seen[1]}; {above} of {len(names)} above the bar",
                f"middle of the worst {middle.low:.0f} .. {middle.high:.0f}",
                f"≤ {MOST_MS:.0f} ms",
                not above,
            )
        )
    return rows


@contextmanager
def _server(database: str) -> Iterator[dict[str, str]]:
    """The settings that lead to a database."""
    if database == "SQLite":
        yield {}
        return
    from dashboard.supervisor.keeper import Sitter
    from tests.servers.postgresql import postgresql

    sitter = Sitter(grace=2)
    try:
        with postgresql(sitter) as url:
            yield {"DATABASE_URL": f"{url}/postgres"}
    finally:
        sitter.dismiss()


# --- In a process with Django -----------------------------------------------------------------------------------------


def addresses() -> dict[str, str]:
    """The pages that are measured, by what the database holds; the first of each kind is named in the table."""
    from django.utils import timezone

    from dashboard.models import Batch
    from dashboard.views.batch_list import Cursor

    newest = Batch.objects.order_by("-place")
    count = newest.count()
    deep, middle = newest[count * 9 // 10], newest[count // 2]
    sample = [batch for batch in newest[1_000:3_000] if batch.metadata]
    values = Tally(pair for batch in sample for pair in batch.metadata.items())
    # What very many share: one in ten or so.
    [((key, value), _number)] = values.most_common(1)
    word = max((one for _key, one in values), key=len)
    [(model, _number)] = Tally(batch.model for batch in sample if batch.metadata.get(key) == value).most_common(1)
    partial = newest.filter(outcome="partial")[0]
    since = (timezone.now() - timedelta(days=30)).date().isoformat()

    def listed(**query: object) -> str:
        return f"/batches/?{urlencode(query)}"

    def searched(text: str, **query: object) -> str:
        return listed(q=text, **query)

    return {
        "list: newest": "/batches/",
        "list: far down": listed(before=Cursor.at(deep, "newest")),
        "list: by failed": listed(sort="failed"),
        "list: by finish": listed(sort="finish"),
        "list: by size": listed(sort="total"),
        "list: partial": listed(status="partial"),
        "list: all failed, far down": listed(status="failed", before=Cursor.at(deep, "newest")),
        "search: a name": searched(word),
        "search: an id's end": searched(middle.remote_id[-8:]),
        "search: a whole id": searched(middle.remote_id),
        "search: nothing": searched("zzqqxxjj"),
        "search: one letter pair": searched(word[:2]),
        "search: a common word, rare outcome": searched(value, status="expired"),
        "search: model": searched(f"model:{model}"),
        "search: metadata": searched(f"meta.{key}:{value}"),
        "search: metadata and model": searched(f"meta.{key}:{value} model:{model}"),
        "search: outcome and failures": searched("outcome:partial failed:>100"),
        "search: OR": searched(f"outcome:expired OR model:{model}"),
        "search: not": searched(f"-model:{model} -meta.{key}:{value}"),
        "search: created": searched(f"created:>{since}"),
        "search: status": searched("status:in_progress"),
        "search: endpoint, older than a year": searched("endpoint:responses created:>52w"),
        "search: suggestions": f"/batches/suggestions/?{urlencode({'q': 'model:'})}",
        "search: suggested values": f"/batches/suggestions/?{urlencode({'q': f'meta.{key}:{value[:2]}'})}",
        "overview: 24 hours": "/",
        "overview: 7 days": "/?range=7d",
        "overview: 30 days": "/?range=30d",
        "overview: chart of 30 days": "/charts/requests.json?range=30d",
        "batch: running": f"/batches/{newest.filter(outcome='open')[0].pk}/",
        "batch: partial": f"/batches/{partial.pk}/",
        "batch: long ago": f"/batches/{deep.pk}/",
        "batch: activity": f"/batches/{partial.pk}/activity/",
    }


def time_them() -> dict[str, Any]:
    opened()
    from django.db import connection as database

    if database.vendor == "postgresql":
        with database.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # what its own autovacuum does some minutes after an import
    said = asked_for(addresses(), REQUESTS)
    rows = said["rows"]
    must_be("rows of the list", (len(rows["list: newest"]), len(rows["list: far down"])), (50, 50))
    must_be("rows of the top far down", set(rows["list: far down"]) & set(rows["list: newest"]), set())
    must_be("rows of an id", (len(rows["search: a whole id"]), len(rows["search: an id's end"])), (1, 1))
    must_be("rows of nothing", rows["search: nothing"], [])
    found_nothing = [name for name in said["ms"] if name.startswith("search: m") and not rows[name]]
    must_be("searches for what there is that found nothing", found_nothing, [])
    return said


if __name__ == "__main__":
    print(json.dumps(time_them()))
    sys.stdout.flush()
