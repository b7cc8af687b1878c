"""The supervisor with real processes: what it starts, starts again, and never leaves behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.supervisor.claims import Taken, only_one, resolve

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.process

# A supervisor in a process of its own, with children from JSON and every report in a file. The rest of the house is
# left out: it needs none of it, and starts in a tenth of the time.
ALONE = """
import signal, sys, types
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the suite itself may run under nohup
sys.modules["dashboard"] = house = types.ModuleType("dashboard")
house.__path__ = ["dashboard"]
"""
DRIVER = """
import json, pathlib, sys
from dashboard.supervisor import Child, Keeper
def hide(line):
    return line.replace("sk-abcdefgh12345678", "[hidden]")
folder, told = pathlib.Path(sys.argv[1]), open(sys.argv[1] + "/told", "a")
options = json.loads(sys.argv[2])
children = []
for name, code, ready in options.pop("children"):
    is_ready = (lambda path=folder / ready: path.exists()) if ready else None
    children.append(Child(name, [sys.executable, "-S", "-c", code], ready=is_ready))
trouble = [OSError("the database is locked")] * options.pop("trouble", 0)
def on_change(*change):
    if trouble:
        raise trouble.pop()
    told.write(json.dumps(change) + "\\n")
    told.flush()
def say(name, line):
    print(name, "|", line, flush=True)
gone = lambda: (folder / "gone").exists()
sys.exit(Keeper(children, say=say, on_change=on_change, clean=hide, stop_when=gone, **options).run())
"""

SAY_READY = "import os; fd = os.environ.get('READY_FD'); fd and os.write(int(fd), b'1')\n"
SLEEP = SAY_READY + "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
# Like granian: a main process that ends its worker when asked to, and a worker that would go on without it.
FAMILY = """
import os, signal, sys, time
worker = os.fork()
if not worker:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
def end(*_):
    os.kill(worker, signal.SIGKILL)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("worker", worker, flush=True)
time.sleep(600)
"""


class Supervisor:
    """A supervisor under test, and everything that can be seen of it from outside."""

    def __init__(self, folder: Path, children: list[tuple[str, str, str]], **options: Any) -> None:
        self.folder = folder
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ALONE + DRIVER, str(folder), json.dumps({"children": children, **options})],
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def told(self) -> list[tuple[str, str, int, str]]:
        path = self.folder / "told"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def states(self, name: str) -> list[str]:
        return [state for told_name, state, _restarts, _words in self.told if told_name == name]

    def until(self, what: Callable[[], Any], seconds: float = 30.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(0.02)
        raise AssertionError(f"did not come to pass within {seconds} s; it said:\n{self.said}\nand told {self.told}")

    def pids(self) -> set[int]:
        """Itself, its children and theirs; sessions of their own do not hide them."""
        return {self.process.pid} | descendants(self.process.pid)

    def end(self, number: int = signal.SIGINT, seconds: float = 12.0) -> float:
        """Signals it; how many seconds it took to end."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(seconds)
        return time.monotonic() - began


def descendants(pid: int) -> set[int]:
    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (row.split() for row in rows.splitlines())}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run; a zombie that nobody has fetched yet is dead."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    return {int(pid) for pid, state in (row.split() for row in rows.splitlines()) if state[0] != "Z"} & pids


def all_gone(pids: set[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pids)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    started: list[Supervisor] = []

    def start(*children: tuple[str, str, str], **options: Any) -> Supervisor:
        started.append(Supervisor(tmp_path, list(children), **options))
        return started[-1]

    yield start
    for supervisor in started:
        left = alive(supervisor.pids())
        supervisor.process.kill()
        supervisor.process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_children_become_ready_and_ctrl_c_ends_them_cleanly(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("web", SLEEP, "open"), ("beat", SLEEP, ""))
    it.until(lambda: it.states("beat") == ["starting", "running"])
    assert it.states("web") == ["starting"]
    (it.folder / "open").touch()
    it.until(lambda: it.states("web") == ["starting", "running"])
    pids = it.pids()
    assert len(pids) == 4  # two children and the sitter
    assert it.end() < 3
    assert it.process.returncode == 0
    assert it.states("web") == it.states("beat") == ["starting", "running", "stopped"]
    assert all_gone(pids, 3)


def test_a_child_that_dies_is_started_again_later_and_later(supervise: Callable[..., Supervisor]) -> None:
    code = SAY_READY + "import sys, time; time.sleep(0.6); print('out of memory', flush=True); sys.exit(3)"
    it = supervise(("worker", code, ""), first_wait=0.1)
    it.until(lambda: it.states("worker").count("running") >= 3)
    assert it.states("worker")[:5] == ["starting", "running", "restarting", "running", "restarting"]
    deaths = [(restarts, words) for _name, state, restarts, words in it.told if state == "restarting"]
    assert [restarts for restarts, _words in deaths[:2]] == [1, 2]
    assert "out of memory" in deaths[0][1]
    assert "ended with status 3; starting it again in 0.1 s" in it.said
    assert "ended with status 3; starting it again in 0.2 s" in it.said


def test_five_deaths_without_becoming_ready_end_everything_with_the_last_words(
    supervise: Callable[..., Supervisor],
) -> None:
    broken = "import sys; print('No module named sk-abcdefgh12345678'); sys.exit('cannot start')"
    it = supervise(("web", SLEEP, ""), ("worker", broken, ""), first_wait=0.01)
    pids = it.until(lambda: len(pids := it.pids()) > 3 and pids)
    assert it.process.wait(30) == 1
    assert all_gone(pids, 3)
    end = it.said[it.said.index("5 times in a row") :]
    assert "cannot start" in end
    assert "No module named [hidden]" in end
    assert "sk-abcdefgh" not in it.said
    assert "sk-abcdefgh" not in str(it.told)
    assert it.told[-1][:2] == ("worker", "stopped")


def test_how_long_a_part_took_to_die_does_not_make_it_ready(supervise: Callable[..., Supervisor]) -> None:
    slow = "import sys, time; time.sleep(0.8); sys.exit('cannot start')"
    it = supervise(("worker", slow, ""), first_wait=0.01)
    assert it.process.wait(30) == 1
    assert "5 times in a row" in it.said
    assert "running" not in it.states("worker")


def test_a_program_that_does_not_exist_counts_as_a_death(tmp_path: Path) -> None:
    code = ALONE + (
        "import sys; from dashboard.supervisor import Child, Keeper;"
        "sys.exit(Keeper([Child('web', ['/no/such/program'])], say=print, on_change=lambda *_: None,"
        " first_wait=0.01).run())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "could not be started" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_child_that_will_not_end_is_killed_after_the_grace(
    supervise: Callable[..., Supervisor], number: signal.Signals
) -> None:
    it = supervise(("web", STUBBORN, ""), ("beat", SLEEP, ""), grace=1.0)
    it.until(lambda: "deaf" in it.said)
    pids = it.pids()
    assert 1 <= it.end(number) < 5  # of its own grace, not the six seconds of every other
    assert it.process.returncode == 0
    assert "did not end when asked to" in it.said
    assert all_gone(pids, 3)


def test_a_second_ctrl_c_does_not_wait(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("web", STUBBORN, ""))
    it.until(lambda: "deaf" in it.said)
    # `uv run` passes on what the terminal sent us too: two at once are one.
    it.process.send_signal(signal.SIGINT)
    it.process.send_signal(signal.SIGINT)
    time.sleep(1.2)
    assert it.process.poll() is None
    assert it.end() < 5  # and not after the grace


def test_ctrl_c_ends_everything_well_within_ten_seconds(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("worker", STUBBORN, ""), ("beat", SLEEP, ""))
    it.until(lambda: "deaf" in it.said)
    pids = it.pids()
    # Of the ten promised, `up` itself needs up to two more on a busy machine: its database and Python's own end.
    assert it.end() < 8
    assert "worker | did not end when asked to" in it.said
    assert all_gone(pids, 3)


def test_the_terminals_ctrl_c_reaches_the_supervisor_alone(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("web", SLEEP, ""), ("worker", SLEEP, ""))
    it.until(lambda: it.states("worker") and it.states("web"))
    children = descendants(it.process.pid)
    assert {os.getsid(pid) for pid in children} == children
    it.end()


def test_a_killed_supervisor_leaves_nothing(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("web", FAMILY, ""), ("worker", STUBBORN, ""), grace=1.0)
    it.until(lambda: "deaf" in it.said and "web | worker" in it.said)
    pids = it.pids()
    assert len(pids) == 5  # the supervisor, web and its worker, worker, sitter
    it.end(signal.SIGKILL)
    assert all_gone(pids, 4)


def test_a_killed_main_process_takes_its_worker_with_it_and_comes_back(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("web", FAMILY, ""))
    worker = int(it.until(lambda: "worker " in it.said and it.said.split()[-1]))
    main = next(pid for pid in it.pids() if worker in descendants(pid) and pid != it.process.pid)
    os.kill(main, signal.SIGKILL)
    assert all_gone({main, worker}, 2)
    it.until(lambda: it.said.count("worker ") == 2)
    assert "was killed by SIGKILL" in it.said


def test_the_sitter_is_replaced_when_somebody_kills_it(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("worker", STUBBORN, ""), grace=0.5)
    it.until(lambda: "deaf" in it.said)

    def sitters() -> set[int]:
        rows = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout
        return {int(row.split()[0]) for row in rows.splitlines() if "sitter.py" in row} & descendants(it.process.pid)

    (first,) = sitters()
    os.kill(first, signal.SIGKILL)
    it.until(lambda: sitters() - {first})
    pids = it.pids()
    it.end(signal.SIGKILL)
    assert all_gone(pids, 3)


def test_trouble_with_reporting_never_touches_the_children(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("web", SLEEP, ""), trouble=2)
    it.until(lambda: "could not note that web is running: the database is locked" in it.said)
    # Told again some seconds later.
    it.until(lambda: it.states("web") == ["running"])
    it.end()


def test_it_ends_when_told_that_it_is_no_longer_wanted(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("web", SLEEP, ""))
    it.until(lambda: it.states("web"))
    (it.folder / "gone").touch()
    assert it.process.wait(5) == 0


def test_what_children_say_cannot_reach_the_terminal_raw(supervise: Callable[..., Supervisor]) -> None:
    code = "import sys, time; sys.stdout.buffer.write(b'\\x1b[2Jred\\xff\\nno end'); sys.stdout.flush(); sys.exit(1)"
    it = supervise(("web", code, ""), first_wait=0.01)
    it.process.wait(10)
    assert "\x1b" not in it.said
    assert "[2Jred" in it.said
    assert "web | no end" in it.said


def test_a_child_that_floods_its_output_can_still_be_ended(supervise: Callable[..., Supervisor]) -> None:
    it = supervise(("web", "while True: print('x' * 200)", ""), ("beat", "while True: print('y', end='')", ""))
    it.until(lambda: it.output.stat().st_size > 200_000)
    assert it.end() < 3


def test_a_folder_is_claimed_once_and_remembers_a_bad_end(tmp_path: Path) -> None:
    lock = tmp_path / "up.lock"
    with only_one(lock) as claim:
        claim.say("process 7 at http://127.0.0.1:8000/")
        with pytest.raises(Taken, match="process 7 at http"), only_one(lock):
            pass
    with only_one(lock) as claim:
        assert claim.earlier == ""
        claim.say("process 8")
        # What a kill -9 leaves behind.
        copy = lock.read_text()
    lock.write_text(copy)
    with only_one(lock) as claim:
        assert claim.earlier == "process 8"
    assert lock.stat().st_mode & 0o777 == 0o600


def test_a_port_in_use_is_seen_even_when_its_owner_would_share_it() -> None:
    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "0.0.0.0"):
            with pytest.raises(Taken):
                resolve(host, port)
    assert resolve("127.0.0.1", port) == ("127.0.0.1", port)
    assert resolve("localhost", 0)[1] > 0
