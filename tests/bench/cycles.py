"""How many requests a cycle makes, counted by both ends. `python -m tests.bench.cycles` is the part with Django."""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import ROUNDS, Row, Spread, must_be
from tests.bench.processes import answer_of, copy_of, environment, python, say

OPEN = 50
NEWEST = 500
SEED = 1
CYCLE = 45.0  # seconds of the vendor's clock between two: open batches move, as they do in life


def places(batches: int) -> dict[str, list[int]]:
    """Where the open batches stand in the list, 0 being the newest."""
    chosen = random.Random(SEED)
    newest = min(NEWEST, batches // 2)
    return {
        "none": [],
        # The last place is always among them, so that all pages up to there are needed.
        "newest": [*chosen.sample(range(newest - 1), OPEN - 1), newest - 1],
        "scattered": chosen.sample(range(batches), OPEN),
    }


def measure(prepared: Path, batches: int, start: int) -> list[Row]:
    figures: dict[str, Spread] = {}
    for name, open_at in places(batches).items():
        with copy_of(prepared, f"cycles-{name}") as data:
            plan = {"batches": batches, "start": start, "open_at": open_at}
            said = answer_of(python("tests.bench.cycles"), environment(data), 300, plan)
        figures[name] = Spread(said["requests"])
        say(f"cycles with {name} open: {said['requests']} requests")
    none, newest, scattered = figures["none"], figures["newest"], figures["scattered"]
    return [
        Row(
            f"requests in a cycle: {batches:,} known batches, none open / {OPEN} open among the newest {NEWEST} / "
            f"{OPEN} open scattered",
            " / ".join(f"{figure.median:g}" for figure in figures.values()),
            " / ".join(f"{figure.low:g} .. {figure.high:g}" for figure in figures.values()),
            "1 / ≤ 7 / ≤ 52",
            # Nothing here depends on the machine, so every single cycle has to meet it.
            none.high <= 1 and newest.high <= 7 and scattered.high <= 52,
        )
    ]


def cycle(batches: int, start: int, open_at: list[int]) -> dict[str, Any]:
    """Some cycles of the real `pull()` with the world as it was imported, but for the batches that are open in it."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    django.setup()
    from django.utils import timezone

    from dashboard.models import Batch, Connection, SyncRun
    from dashboard.simulator import World, serve
    from dashboard.sync.absorb import Source, absorb
    from dashboard.sync.pull import pull
    from dashboard.sync.vendor import open_vendor

    passed = 0.0
    world = World(batches, start=start, clock=lambda: time.time() + passed, open=0, open_positions=open_at)
    lives, _more = world.page(None, batches)
    with serve(world) as base_url:
        connection = Connection.objects.get()
        must_be("batches known before", Batch.objects.count(), batches)
        connection.base_url = base_url
        connection.save()
        with open_vendor(connection) as vendor:
            remotes = [vendor.retrieve(lives[place].id) for place in open_at]
        absorb(connection, remotes, asked_at=timezone.now(), source=Source.POLL)
        must_be("batches open before", Batch.objects.open().count(), len(open_at))
        requests = []
        for _ in range(ROUNDS):
            passed += CYCLE
            before = len(world.requests)
            run = pull(connection.pk, only_due=False)
            assert run is not None
            must_be("how the cycle ended", (run.ending, run.error_kind), (SyncRun.Ending.GOOD, ""))
            must_be("requests by both counts", run.requests, len(world.requests) - before)
            must_be("open batches that it brought up to date", run.changed, len(open_at))
            requests.append(run.requests)
        must_be("batches known after", Batch.objects.count(), batches)
        must_be("batches open after", Batch.objects.open().count(), len(open_at))
    return {"requests": requests}


if __name__ == "__main__":
    print(json.dumps(cycle(**json.load(sys.stdin))))
