"""Walls: what an unchanged poll costs, five hundred screens at once, a board of five hundred batches, and an hour.

`python -m tests.bench.walls` is the part with Django: it opens batches, makes links and draws boards. The screens are
in `tests.bench.screens`, the hour in `tests.bench.hour`.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.bench import hour
from tests.bench.figures import ROUNDS, Row, Spread, Wrong, must_be, p95, ratio_row, ratios
from tests.bench.pages import opened
from tests.bench.processes import (
    answer_of,
    copy_of,
    environment,
    free_port,
    manage,
    python,
    say,
    simulator,
    started,
    wait_for,
)

BLOCKS, BLOCK = 20, 50
ACTIVE = 500
SCREENS, LINKS, EVERY, LASTS = 500, 10, 5.0, 60.0
BOARDS, MOVED = 40, 50  # of each round; batches that have moved since the last
MOST_KB, MOST_PACKED_KB, MOST_MS, MOST_P95_MS = 30.0, 10.0, 25.0, 100.0


def measure(prepared: Path, batches: int, start: int, *, quick: bool) -> list[Row]:
    with copy_of(prepared, "walls") as data:
        token = answer_of(python("tests.bench.walls", "open", ACTIVE), environment(data), 300)["tokens"][0]
        rows = [poll_row(data, token), board_row(data, token, batches)]
        rows.append(hour.row(data, token, minutes=6 if quick else 60))
    return [*rows[:1], screens_row(prepared.parent, start), *rows[1:]]


def poll_row(data: Path, token: str) -> Row:
    port, log = free_port(), data / "web.log"
    with started(python("tests.bench.serving", port, 1), environment(data), log) as web:
        wait_for(f"http://127.0.0.1:{port}/healthz", web, log)
        say(f"walls: {ROUNDS} rounds of {BLOCKS * BLOCK:,} polls and as many empty pages")
        plan = {"port": port, "token": token, "rounds": ROUNDS, "blocks": BLOCKS, "block": BLOCK}
        seconds = answer_of(python("tests.bench.screens", "compare"), environment(), 600, plan)
    poll, empty = (Spread(seconds[name]).median * 1e6 for name in ("poll", "empty"))
    return ratio_row(
        "an unchanged poll of a wall (204) by a link, against a login-exempt empty view on the same server and "
        "middleware",
        ratios(seconds["poll"], seconds["empty"]),
        1.5,
        note=f" ({poll:.0f} : {empty:.0f} µs)",
    )


def screens_row(folder: Path, start: int) -> Row:
    """Beside a sync that never rests: the vendor has as many open batches as there are screens, and they move."""
    data = folder / "screens"
    data.mkdir(mode=0o700)
    with simulator(folder, 2_000, start, "--open", ACTIVE, "--speed", 60) as base_url:
        tokens = answer_of(python("tests.bench.walls", "links", LINKS, base_url), environment(data), 120)["tokens"]
        port, log = free_port(), data / "up.log"
        argv = manage("up", "--host", "127.0.0.1", "--port", port)
        with started(argv, environment(data, PYTHONUNBUFFERED="1"), log) as up:
            wait_for(f"http://127.0.0.1:{port}/readyz", up, log, 120)
            until = time.monotonic() + 120
            while answer_of(python("tests.bench.walls", "cycles"), environment(data), 60)["cycles"] < 2:
                if time.monotonic() > until:
                    raise Wrong(f"no cycle ended well:\n{log.read_text()[-3000:]}")
                time.sleep(1)
            before = answer_of(python("tests.bench.walls", "cycles"), environment(data), 60)
            say(f"walls: {SCREENS} screens for {LASTS:.0f} s")
            plan = {"port": port, "tokens": tokens, "screens": SCREENS, "every": EVERY, "lasts": LASTS}
            said = answer_of(python("tests.bench.screens", "crowd"), environment(), 300, plan)
            after = answer_of(python("tests.bench.walls", "cycles"), environment(data), 60)
    cycles, changed = (after[name] - before[name] for name in ("cycles", "changed"))
    if not (cycles and changed and said["boards"]):
        raise Wrong(f"{cycles} cycles changed {changed} batches, {said['boards']} boards came: nothing ran beside it")
    times, errors = said["seconds"], said["errors"]
    slowest = p95(times) * 1000
    say(f"walls: {len(times):,} polls, {said['boards']:,} of them boards, {cycles} cycles, {changed:,} changes")
    return Row(
        f"{SCREENS} wall screens by {LINKS} links, each polling every {EVERY:g} s with jitter for {LASTS:g} s, on the "
        f"one web process of `up` beside a sync of {ACTIVE} open batches on the same cores: errors, p95 of all answers",
        f"{errors} errors, {slowest:.0f} ms ({len(times):,} polls, {said['boards']:,} boards, {changed:,} changes)",
        f"middle {sorted(times)[len(times) // 2] * 1000:.0f} ms, longest {max(times) * 1000:.0f} ms",
        f"no error, ≤ {MOST_P95_MS:g} ms",
        errors == 0 and slowest <= MOST_P95_MS,
    )


def board_row(data: Path, token: str, batches: int) -> Row:
    said = answer_of(python("tests.bench.walls", "draw", token), environment(data), 300)
    times = [one for each in said["ms"] for one in each]
    kilobytes, packed, slowest = said["bytes"] / 1000, said["packed"] / 1000, p95(times)
    say(f"walls: a board takes {p95(times):.1f} ms, {packed:.1f} of {kilobytes:.1f} kB, {said['queries']} queries")
    middles = [sorted(each)[len(each) // 2] for each in said["ms"]]
    return Row(
        f"a changed board with {ACTIVE} active batches of {batches:,}, of which {MOVED} have moved: size, compressed, "
        "p95 at the server when nobody has drawn it yet",
        f"{kilobytes:.1f} kB, {packed:.1f} kB, {slowest:.1f} ms ({said['queries']} queries)",
        f"middle {min(middles):.1f} .. {max(middles):.1f} ms",
        f"≤ {MOST_KB:g} kB, ≤ {MOST_PACKED_KB:g} kB, ≤ {MOST_MS:g} ms",
        kilobytes <= MOST_KB and packed <= MOST_PACKED_KB and slowest <= MOST_MS,
    )


# --- In a process with Django -----------------------------------------------------------------------------------------


def links(number: int) -> list[str]:
    """Tokens of walls of everything, made by an operator."""
    from django.contrib.auth.models import Group

    from dashboard.models import Share, User

    maker, made = User.objects.get_or_create(username="maker")
    if made:
        maker.groups.add(Group.objects.get(name="operator"))
    tokens = []
    for n in range(number):
        share = Share(name=f"Screen {n}", kind="wall", made_by=maker, who="maker")
        tokens.append(share.new_token())
        share.save()
    return tokens


def open_some() -> dict[str, Any]:
    """So many batches run, in all the states and with all the deadlines that a wall has to draw."""
    opened()
    from django.utils import timezone

    from dashboard.models import Batch, Concern, Connection, Counter
    from dashboard.models.batch import FOR_EVER, Outcome
    from dashboard.models.concern import Reason

    number, now, chance = int(sys.argv[2]), timezone.now(), random.Random(1)
    connection = Connection.objects.get()
    rows = list(Batch.objects.order_by("-place")[:number])
    for n, batch in enumerate(rows):
        total = chance.choice([200, 5_000, 50_000])
        batch.status = batch.raw_status = chance.choice(
            ["in_progress"] * 20 + ["validating", "finalizing", "cancelling"]
        )
        batch.outcome, batch.is_open, batch.refresh_until = Outcome.OPEN, True, FOR_EVER
        batch.finished_at = batch.completed_at = None
        batch.expires_at = now + timedelta(minutes=chance.randrange(30, 1440))
        batch.requests_total, batch.requests_completed = total, chance.randrange(total)
        batch.requests_failed = chance.choice([0, 0, 0, total // 50])
        if n % 40 == 0:
            Concern.objects.create(batch=batch, connection=connection, reason=Reason.STALLED, opened_at=now)
    fields = (
        "status",
        "raw_status",
        "outcome",
        "is_open",
        "refresh_until",
        "finished_at",
        "completed_at",
        "expires_at",
    )
    Batch.objects.bulk_update(rows, [*fields, "requests_total", "requests_completed", "requests_failed"])
    Connection.objects.update(synced_at=now, next_sync_at=now + timedelta(hours=9))
    Counter.objects.update_or_create(
        connection=connection, status="in_progress", outcome=Outcome.OPEN, defaults={"batches": number}
    )
    return {"tokens": links(1)}


def make_links() -> dict[str, Any]:
    """Of a new installation whose one connection is a simulator's."""
    opened()
    from django.core.management import call_command

    from dashboard.models import Connection
    from dashboard.simulator import KEY

    call_command("migrate", verbosity=0)
    connection = Connection(name="simulator", base_url=sys.argv[3], interval=1)
    connection.set_key(KEY)
    connection.save()
    return {"tokens": links(int(sys.argv[2]))}


def count_cycles() -> dict[str, Any]:
    opened()
    from django.db.models import Sum

    from dashboard.models import SyncRun

    good = SyncRun.objects.filter(ending="good", kind="cycle")
    return {"cycles": good.count(), "changed": good.aggregate(all=Sum("changed"))["all"] or 0}


def draw() -> dict[str, Any]:
    """A board that has just changed, as the first screen that asks for it gets it."""
    opened()
    from django.db import connection as database
    from django.db.models import F
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from dashboard import sharing
    from dashboard.insight import pulse
    from dashboard.management import preparation
    from dashboard.models import Batch
    from dashboard.views import wall

    preparation.collect_static()
    client = Client(SERVER_NAME="127.0.0.1", HTTP_HX_REQUEST="true")
    address = f"/wall/{sys.argv[2]}/?seen=0"

    ids = list(Batch.objects.filter(outcome="open").values_list("pk", flat=True))
    chance = random.Random(1)

    def get(packed: str = "gzip") -> tuple[float, bytes]:
        moved = Batch.objects.filter(pk__in=chance.sample(ids, MOVED))
        moved.update(requests_completed=F("requests_completed") + 1, revision=F("revision") + 1)
        pulse._latest = None
        sharing.forget()
        wall._drawn.clear()
        began = time.perf_counter()
        response = client.get(address, HTTP_ACCEPT_ENCODING=packed)
        body = response.getvalue()
        spent = time.perf_counter() - began
        must_be("the status of a changed board", response.status_code, 200)
        must_be("how it is packed", response.get("Content-Encoding", ""), packed)
        return spent, body

    for _ in range(10):
        _seconds, packed = get()
    with CaptureQueriesContext(database) as captured:
        get()
        queries = len(captured) - 1  # without the one that moves them
    plain = get("")[1]
    if str(ACTIVE).encode() not in plain:
        raise Wrong(f"the board does not say {ACTIVE}")
    milliseconds = [[get()[0] * 1000 for _ in range(BOARDS)] for _ in range(ROUNDS)]
    return {"ms": milliseconds, "bytes": len(plain), "packed": len(packed), "queries": queries}


ACTS: dict[str, Callable[[], dict[str, Any]]] = {
    "open": open_some,
    "links": make_links,
    "cycles": count_cycles,
    "draw": draw,
}

if __name__ == "__main__":
    print(json.dumps(ACTS[sys.argv[1]]()))
