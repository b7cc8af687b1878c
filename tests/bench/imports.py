"""The first import against the official SDK and against the floor."""

import shutil
from pathlib import Path
from typing import Any

from tests.bench.figures import ROUNDS, Row, Spread, Wrong, ratio_row, ratios
from tests.bench.processes import answer_of, environment, python, say, simulator

CONTENDERS = ("ours", "sdk", "floor")
LONGEST = 600.0


def contend(
    name: str, base_url: str, count: int, folder: Path, longest: float = LONGEST, **settings: str
) -> dict[str, Any]:
    """One contender in a fresh process with a fresh data folder."""
    folder.mkdir(mode=0o700)
    argv = python("tests.bench.contenders", name, base_url, count)
    return answer_of(argv, environment(folder, **settings), longest)


def prove_it_can_fail(base_url: str, count: int, folder: Path) -> None:
    """A contender that is told of one batch more than there is must end the run; else no figure is worth anything."""
    for name in CONTENDERS:
        own = folder / f"fails-{name}"
        try:
            contend(name, base_url, count + 1, own)
        except Wrong as wrong:
            # Of the count, and of nothing else.
            if f"{count} instead of {count + 1}" not in str(wrong):
                raise
        else:
            raise Wrong(f"{name} did not notice that a batch was missing")
        finally:
            shutil.rmtree(own, ignore_errors=True)


def prepare(folder: Path, batches: int, start: int) -> Path:
    """A data folder with everything imported once."""
    say(f"importing {batches:,} batches for the rows that need them")
    with simulator(folder, batches, start) as base_url:
        contend("ours", base_url, batches, folder / "prepared")
    return folder / "prepared"


def measure(folder: Path, batches: int, start: int) -> list[Row]:
    """Both rows. The data folder of the first import stays, as `prepared`."""
    with simulator(folder, 250, start) as base_url:
        prove_it_can_fail(base_url, 250, folder)
    say("imports: a missing batch is noticed")
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with simulator(folder, batches, start) as base_url:
        for round_number in range(ROUNDS):
            for name in CONTENDERS:
                keep = name == "ours" and not (folder / "prepared").exists()
                own = folder / ("prepared" if keep else "contender")
                said = contend(name, base_url, batches, own)
                seconds[name].append(said["seconds"])
                took = f"{said['seconds']:.2f} s, processor {said['cpu']:.2f} s"
                say(f"imports {round_number + 1}/{ROUNDS}: {name} {took}")
                if not keep:
                    shutil.rmtree(own)
    typical = {name: f"{Spread(values).median:.1f} s" for name, values in seconds.items()}
    return [
        ratio_row(
            f"first import of {batches:,} batches from the simulator over loopback into SQLite, against the official "
            "SDK merely iterating over the same list",
            ratios(seconds["ours"], seconds["sdk"]),
            0.7,
            0.4,
            f" ({typical['ours']} : {typical['sdk']})",
        ),
        ratio_row(
            "the same against the floor: one keep-alive httpx client, pages of 100, msgspec of id, status, created_at "
            "and three counts, one executemany a page into a WAL table with a unique id",
            ratios(seconds["ours"], seconds["floor"]),
            2.5,
            1.7,
            f" ({typical['ours']} : {typical['floor']})",
        ),
    ]
