"""One process that is kept alive: how it starts, what it says, how it ends."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

LAST_LINES = 30
LONGEST_LINE = 4000
# A child that lived this long did not die of its start, so the next start need not wait.
LONG_LIFE = 60.0
READY_FD = "READY_FD"

PR_SET_PDEATHSIG = 1
# Looked up now: between fork and exec there is no room for an import.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class State(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Child:
    """What to run. It is ready when `ready` says so; without one it says so itself, by a byte to the pipe READY_FD.

    How long it has lived says nothing: on a slow machine what cannot work takes as long to find that out.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    ready: Callable[[], bool] | None = None


class Kept:
    """A child and its past. Its present is a `Life`, between two lives there is none."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.life: Life | None = None
        self.state = State.STARTING
        self.told: tuple[State, int] | None = None  # what on_change last heard
        self.due_at = 0.0  # when to start it, or to ask whether it is ready
        self.restarts = 0
        self.unready_deaths = 0  # in a row, none of them ever ready
        self.early_deaths = 0  # in a row, each soon after its start
        self.words: deque[str] = deque(maxlen=LAST_LINES)

    def is_ready(self, life: "Life") -> bool:
        return self.child.ready() if self.child.ready else life.says_ready()

    def is_alive(self) -> bool:
        return self.life is not None and not self.life.has_ended()

    def count_death(self, lived: float) -> None:
        was_ready = self.state is State.RUNNING
        self.unready_deaths = 0 if was_ready else self.unready_deaths + 1
        self.early_deaths = 1 if was_ready and lived >= LONG_LIFE else self.early_deaths + 1
        self.restarts += 1
        self.life, self.state = None, State.RESTARTING


class Life:
    """A child's process from its start to its end. It leads a session and so a process group of its own.

    Thus a terminal's Ctrl-C reaches the supervisor alone, and whatever the child has started can be killed with it.
    """

    def __init__(self, child: Child) -> None:
        self.output, theirs = os.pipe()
        self.readiness, their_readiness = os.pipe()
        os.set_blocking(self.output, False)
        os.set_blocking(self.readiness, False)
        env = dict(os.environ if child.env is None else child.env)
        if child.ready is None:
            env[READY_FD] = str(their_readiness)
        try:
            self.process = subprocess.Popen(
                child.argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                pass_fds=() if child.ready else (their_readiness,),
                start_new_session=True,
                # Safe here: the supervisor has one thread, the one whose death the child is to hear of.
                preexec_fn=hear_of_our_death(),
            )
        except BaseException:
            self.close()
            raise
        finally:
            os.close(theirs)
            os.close(their_readiness)
        self.started_at = time.monotonic()
        self.silent = False  # it has closed its output
        self.unfinished = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at

    def close(self) -> None:
        os.close(self.output)
        os.close(self.readiness)

    def says_ready(self) -> bool:
        """Whether it has said so since it was asked last."""
        with suppress(BlockingIOError):
            return bool(os.read(self.readiness, 64))
        return False

    def read(self) -> list[str] | None:
        """The next whole lines it has written; None when there is nothing to read now."""
        try:
            data = os.read(self.output, 65536)
        except BlockingIOError:
            return None
        if not data:
            self.silent = True
            return self.rest() or None
        *lines, self.unfinished = (self.unfinished + data).split(b"\n")
        if len(self.unfinished) > LONGEST_LINE:
            lines.append(self.unfinished)
            self.unfinished = b""
        return [readable(line) for line in lines]

    def rest(self) -> list[str]:
        """What it wrote without ending the line."""
        line, self.unfinished = self.unfinished, b""
        return [readable(line)] if line else []

    def terminate(self) -> None:
        """Asks the main process alone: it knows in which order its own children end."""
        self.process.send_signal(signal.SIGTERM)

    def kill_group(self) -> None:
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def has_ended(self) -> bool:
        """Sees the end before the process is reaped, while its number cannot yet belong to anybody else.

        Then the rest of its group is killed: a worker whose main process was killed goes on serving unseen.
        """
        if self.process.returncode is None:
            with suppress(ChildProcessError):
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    return False
            self.kill_group()
        return self.process.poll() is not None

    @property
    def how_it_ended(self) -> str:
        status = self.process.poll() or 0
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def hear_of_our_death() -> Callable[[], None] | None:
    """Has Linux send SIGTERM to the child when the thread that started it is gone, in case the sitter went first."""
    prctl, parent = _prctl, os.getpid()
    if prctl is None:
        return None

    def between_fork_and_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return between_fork_and_exec


def readable(line: bytes) -> str:
    """A line for a terminal: what could move its cursor or change its colours is taken out."""
    text = line[:LONGEST_LINE].decode(errors="replace").rstrip("\r")
    return "".join(letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in text)
