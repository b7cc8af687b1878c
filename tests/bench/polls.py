"""An unchanged poll against a view that does nothing, on the server that `up` starts."""

import json
from pathlib import Path

from tests.bench.figures import ROUNDS, Row, Spread, ratio_row, ratios
from tests.bench.processes import answer_of, copy_of, environment, free_port, python, say, started, wait_for

BLOCKS, BLOCK = 20, 50  # in each round, of each kind
FRESH_BLOCK = 10


def measure(prepared: Path) -> list[Row]:
    sessions = 1 + ROUNDS * BLOCKS * FRESH_BLOCK
    with copy_of(prepared, "polls") as data:
        port, log = free_port(), data / "web.log"
        with started(python("tests.bench.serving", port, sessions), environment(data), log) as web:
            wait_for(f"http://127.0.0.1:{port}/healthz", web, log)
            say(f"polls: {ROUNDS} rounds of {BLOCKS * BLOCK:,} requests of each kind")
            plan = {
                "port": port,
                "sessions": json.loads((data / "sessions.json").read_text()),
                "rounds": ROUNDS,
                "blocks": BLOCKS,
                "block": BLOCK,
                "fresh_block": FRESH_BLOCK,
            }
            seconds = answer_of(python("tests.bench.driver"), environment(), 600, plan)
    poll, empty = (Spread(seconds[name]).median * 1e6 for name in ("poll", "empty"))
    fresh = ratios(seconds["fresh"], seconds["empty"])
    return [
        ratio_row(
            "an unchanged poll of the list (204) by a signed-in viewer, against a login-exempt empty view without a "
            "cookie on the same server and middleware",
            ratios(seconds["poll"], seconds["empty"]),
            1.5,
            note=f" ({poll:.0f} : {empty:.0f} µs; {fresh.median:.2f} when the session was not seen in the last 5 s)",
        )
    ]
