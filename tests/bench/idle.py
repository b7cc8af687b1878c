"""What `up` costs while nothing happens: memory of its whole tree (PSS) and processor time."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figures import Row, Wrong
from tests.bench.processes import (
    answer_of,
    copy_of,
    environment,
    family_of,
    free_port,
    manage,
    python,
    say,
    simulator,
    started,
    stat_of,
    wait_for,
)

EVERY = 5.0  # seconds between two looks
SETTLE = 20.0  # seconds after which the worker and the clock are up, too
TICK = os.sysconf("SC_CLK_TCK")
MEGABYTE = 1_000_000


@dataclass
class Watch:
    """Looks at a process and all its descendants."""

    pid: int
    peak: int = 0
    cpu: dict[tuple[int, str], int] = field(default_factory=dict)

    def look(self) -> int:
        """PSS in bytes at this moment."""
        pss = 0
        for pid, born in family_of(self.pid).items():
            fields = stat_of(pid)
            if fields:
                # With what its children used that have ended: those are no longer in the family.
                self.cpu[pid, born] = sum(map(int, fields[11:15]))
            pss += pss_of(pid)
        self.peak = max(self.peak, pss)
        return pss

    @property
    def seconds(self) -> float:
        return sum(self.cpu.values()) / TICK


def pss_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def names_of(pid: int) -> list[str]:
    """What the family consists of and how much each takes, for the log."""
    found = []
    for one in family_of(pid):
        try:
            words = Path(f"/proc/{one}/cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        name = next((word for word in ("granian", "worker", "beat", "up") if word in words), "other")
        found.append(f"{name} {pss_of(one) / MEGABYTE:.0f} MB")
    return found


def measure(prepared: Path, batches: int, start: int, *, seconds: int) -> list[Row]:
    with copy_of(prepared, "idle") as data, simulator(prepared.parent, batches, start) as base_url:
        answer_of(python("tests.bench.pages", "point", base_url), environment(data), 60)
        port, log = free_port(), data / "up.log"
        argv = manage("up", "--host", "127.0.0.1", "--port", port)
        with started(argv, environment(data, PYTHONUNBUFFERED="1"), log) as up:
            watch = Watch(up.pid)
            wait_for(f"http://127.0.0.1:{port}/readyz", up, log, 120)
            settled = time.monotonic() + SETTLE
            while time.monotonic() < settled:
                watch.look()
                time.sleep(0.5)
            starting, watch.peak = watch.peak, 0
            watch.look()
            began, spent = time.monotonic(), watch.seconds
            say(f"idle: watching for {seconds} s")
            while (left := began + seconds - time.monotonic()) > 0:
                time.sleep(min(EVERY, left))
                watch.look()
                if up.poll() is not None:
                    raise Wrong(f"`up` ended by itself:\n{log.read_text()[-3000:]}")
            end, lasted = watch.look(), time.monotonic() - began
            percent = (watch.seconds - spent) / lasted * 100
            say(f"idle: {', '.join(names_of(up.pid))}")
            wait_for(f"http://127.0.0.1:{port}/readyz", up, log, 5)
        cycles = answer_of(python("tests.bench.pages", "runs"), environment(data), 60)["good"]
        say(f"idle: {cycles} good cycles, peak while starting {starting / MEGABYTE:.0f} MB")
        if not cycles:
            raise Wrong("`up` synced nothing while it was watched, so it was not idle but dead")
    how_long = "10 min" if seconds == 600 else f"only {seconds} s (--quick)"
    return [
        Row(
            f"`up` idle for {how_long} with {batches:,} batches, one connection, nothing open, no page open: memory "
            "of all processes (PSS), processor",
            f"{end / MEGABYTE:.0f} MB, {percent:.1f} %",
            f"peak {watch.peak / MEGABYTE:.0f} MB, while starting {starting / MEGABYTE:.0f} MB",
            "≤ 350 MB, ≤ 2 % of a core",
            watch.peak <= 350 * MEGABYTE and percent <= 2.0,
        )
    ]
