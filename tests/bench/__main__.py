"""`python -m tests.bench [NAME ...] [--quick] [--write]`: the rows of the README's table, measured here and now."""

import argparse
import os
import platform
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import browser, cycles, errors, files, idle, imports, million, pages, polls, walls
from tests.bench.figures import Row, Wrong
from tests.bench.processes import HERE, say

BATCHES = 100_000
NAMES = ("imports", "files", "polls", "cycles", "idle", "pages", "browser", "walls", "errors", "million")
NEED_AN_IMPORT = {"polls", "cycles", "idle", "pages", "browser", "walls"}
MARKED = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="idle for 60 s instead of 10 min; the row says so")
    parser.add_argument("--write", action="store_true", help="put the table into README.md, between its bench marks")
    parser.add_argument("--batches", type=int, default=BATCHES, help=argparse.SUPPRESS)  # to try the benchmark itself
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    if asked.write and (asked.names or asked.quick or asked.batches != BATCHES):
        parser.error("--write is for a whole run: no NAME, no --quick")
    readme = HERE / "README.md"
    if asked.write and not (readme.exists() and MARKED.search(readme.read_text())):
        parser.error("README.md is missing, or has no <!-- bench --> and <!-- /bench -->; nothing was measured")

    # Whoever stops us stops what we started: the contexts below end it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="batches-bench-"))
    try:
        rows = measure(folder, asked.names or NAMES, asked.batches, quick=asked.quick)
    except Wrong as wrong:
        say(f"Wrong, so there is no result. {wrong}")
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = table(rows)
    print(text)
    if asked.write:
        readme.write_text(MARKED.sub(lambda found: f"{found[1]}{text}\n{found[2]}", readme.read_text()))
        say("README.md has the table")
    return 0 if all(row.met for row in rows) else 1


def measure(folder: Path, names: Sequence[str], batches: int, *, quick: bool) -> list[Row]:
    say(f"load of the last minute {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    start, rows = int(time.time()), []
    prepared = folder / "prepared"
    if "imports" in names:
        rows += imports.measure(folder, batches, start)
    elif NEED_AN_IMPORT & set(names):
        prepared = imports.prepare(folder, batches, start)
    if "files" in names:
        rows += files.measure(folder, start)
    rest: dict[str, Callable[[], list[Row]]] = {
        "polls": lambda: polls.measure(prepared),
        "cycles": lambda: cycles.measure(prepared, batches, start),
        "idle": lambda: idle.measure(prepared, batches, start, seconds=60 if quick else 600),
        "pages": lambda: pages.measure(prepared, batches),
        "browser": lambda: browser.measure(prepared, batches),
        "walls": lambda: walls.measure(prepared, batches, start, quick=quick),
    }
    for name, work in rest.items():
        if name in names:
            rows += work()
    if "errors" in names:
        rows += errors.measure(folder)
    if "million" in names:
        rows += million.measure(folder, start, batches * 10)
    return rows


def table(rows: Sequence[Row]) -> str:
    """As it stands in the README. Neither the machine's name nor a path of it is anybody's business."""
    lines = [
        f"Measured {time.strftime('%Y-%m-%d')} on {os.cpu_count()} cores, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}. "
        "Ratios are medians of five interleaved rounds.",
        "",
        "| what | seen | spread | bar | |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {row.what} | {row.seen} | {row.spread} | {row.bar} | {row.verdict} |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
