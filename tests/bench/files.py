"""A large error file into groups and rows, against fetching and decoding it and nothing else."""

import shutil
from pathlib import Path
from typing import Any

from tests.bench.figures import ROUNDS, Row, Spread, Wrong, ratio_row, ratios
from tests.bench.processes import answer_of, environment, python, say, simulator

CONTENDERS = ("file_ours", "file_floor")
LINES = 50_000
LONGEST = 600.0
MOST_MEGABYTES = 60


def contend(name: str, base_url: str, lines: int, folder: Path) -> dict[str, Any]:
    """One contender in a fresh process with a fresh data folder."""
    folder.mkdir(mode=0o700)
    try:
        return answer_of(python("tests.bench.contenders", name, base_url, lines), environment(folder), LONGEST)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prove_it_can_fail(folder: Path, start: int) -> None:
    """A contender that is told of one line more than there is must end the run."""
    with simulator(folder, 3, start, "--long-errors", 250) as base_url:
        for name in CONTENDERS:
            contend(name, base_url, 250, folder / name)
            try:
                contend(name, base_url, 251, folder / name)
            except Wrong as wrong:
                if "250 instead of 251" not in str(wrong):
                    raise
            else:
                raise Wrong(f"{name} did not notice that a line was missing")


def measure(folder: Path, start: int, lines: int = LINES) -> list[Row]:
    prove_it_can_fail(folder, start)
    say("files: a missing line is noticed")
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    growth: list[float] = []
    with simulator(folder, 3, start, "--long-errors", lines) as base_url:
        for round_number in range(ROUNDS):
            for name in CONTENDERS:
                said = contend(name, base_url, lines, folder / name)
                seconds[name].append(said["seconds"])
                if "megabytes" in said:
                    growth.append(said["megabytes"])
                took = f"{said['seconds']:.2f} s, processor {said['cpu']:.2f} s"
                say(f"files {round_number + 1}/{ROUNDS}: {name} {took}")
    typical = {name: f"{Spread(values).median:.1f} s" for name, values in seconds.items()}
    memory = Spread(growth)
    return [
        ratio_row(
            f"an error file of {lines * 4_096 / 1e6:.0f} MB in {lines:,} lines from the simulator into groups and rows "
            "in SQLite, against httpx fetching it and a bare msgspec decode of each line",
            ratios(seconds["file_ours"], seconds["file_floor"]),
            2.5,
            None,
            f" ({typical['file_ours']} : {typical['file_floor']})",
        ),
        Row(
            "growth of the worker's memory over that file (peak over what it had before)",
            f"{memory.median:.0f} MB",
            f"{memory.low:.0f} .. {memory.high:.0f}",
            f"≤ {MOST_MEGABYTES} MB",
            memory.median <= MOST_MEGABYTES,
        ),
    ]
