"""The supervisor: one thread that waits for output, deaths, signals and its own next deadline."""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from dashboard.supervisor.child import Child, Kept, Life, State

OnChange = Callable[[str, str, int, str], None]

# Ctrl-C is to end everything within ten seconds. What comes after the grace (reaping, the database, Python's own end)
# takes a moment on an idle machine and up to three seconds on one that is busy.
GRACE = 6.0
# After SIGKILL a process is gone at once, unless the kernel itself is stuck.
KILL_SECONDS = 1.0
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
DEATHS_ALLOWED = 5
ASK_READY_SECONDS = 0.25
TELL_AGAIN_SECONDS = 2.0
WATCH_SECONDS = 1.0
# A second Ctrl-C means "now". `uv run` passes on a signal that the terminal sent us too, so at once does not count.
SECOND_SIGNAL_SECONDS = 1.0


class Keeper:
    """Starts the children, keeps them alive, and ends them all on SIGINT, SIGTERM or SIGHUP.

    `on_change(name, state, restarts, last_words)` hears of every change. When it raises, the children do not notice,
    and it is told again some seconds later. `say(name, line)` gets every line, `clean` takes secrets out of it first.
    `stop_when` is asked every second, for reasons to end that send no signal.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        say: Callable[[str, str], None],
        on_change: OnChange,
        clean: Callable[[str], str] = str,
        stop_when: Callable[[], bool] | None = None,
        grace: float = GRACE,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        self.all = [Kept(child) for child in children]
        self.say, self.on_change, self.clean, self.stop_when = say, on_change, clean, stop_when
        self.grace, self.first_wait = grace, first_wait
        self.selector = selectors.DefaultSelector()
        self.sitter = Sitter(grace)
        self.asked_at: list[float] = []  # when we were asked to stop
        self.tell_again_at: float | None = None
        self.gave_up_on: Kept | None = None

    def run(self) -> int:
        """Returns when everything has ended: 0 when that was asked for, 1 when a child would not start."""
        with self._signals():
            try:
                for kept in self.all:
                    self._start(kept)
                while not self._must_stop():
                    self._wait(self._next_deadline())
                    self._look_after_all()
            finally:
                self._end_all()
                self.sitter.dismiss()
        if self.gave_up_on is None:
            return 0
        self.say("", f"{self.gave_up_on.child.name} died {DEATHS_ALLOWED} times in a row without becoming ready.")
        self.say("", "Everything was ended. Its last lines were:")
        for line in self.gave_up_on.words:
            self.say("", f"    {line}")
        return 1

    # Waiting

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals become bytes in a socket, so that one `select` waits for them too."""
        theirs, ours = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        self.selector.register(ours, selectors.EVENT_READ, ours)

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.asked_at.append(time.monotonic())

        def nothing(_number: int, _frame: FrameType | None) -> None:
            """That it came is enough."""

        handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGCHLD: nothing}
        # `nohup` ignores the hang-up before we start, and means it.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            handlers[signal.SIGHUP] = stop
        wakeup_before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup_before)
            self.selector.close()
            theirs.close()
            ours.close()

    def _must_stop(self) -> bool:
        return bool(self.asked_at or self.gave_up_on or (self.stop_when and self.stop_when()))

    def _next_deadline(self) -> float | None:
        deadlines = [kept.due_at for kept in self.all if kept.state is not State.RUNNING]
        if self.tell_again_at is not None:
            deadlines.append(self.tell_again_at)
        if self.stop_when:
            deadlines.append(time.monotonic() + WATCH_SECONDS)
        return min(deadlines, default=None)

    def _wait(self, deadline: float | None) -> None:
        """Until the deadline, or until something happens; passes on what the children say."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        for key, _events in self.selector.select(timeout):
            if isinstance(key.data, Kept):
                self._listen(key.data)
            else:
                with suppress(BlockingIOError):
                    while key.data.recv(4096):
                        pass

    def _listen(self, kept: Kept) -> bool:
        """Passes on some of what a child says; False when there is nothing now."""
        life = kept.life
        lines = life.read() if life else None
        self._pass_on(kept, lines or [])
        if life and life.silent:
            with suppress(KeyError):
                self.selector.unregister(life.output)
        return lines is not None

    def _pass_on(self, kept: Kept, lines: list[str]) -> None:
        for line in map(self.clean, filter(str.strip, lines)):
            kept.words.append(line)
            self.say(kept.child.name, line)

    # Life and death

    def _start(self, kept: Kept) -> None:
        try:
            kept.life = Life(kept.child)
        except OSError as error:
            # No such program, no memory, no process left: it counts as one that died at once.
            self._count_death(kept, 0.0, f"could not be started: {error}")
            return
        self.sitter.add(kept.life.pid)
        self.selector.register(kept.life.output, selectors.EVENT_READ, kept)
        kept.due_at = time.monotonic() + ASK_READY_SECONDS
        self._tell(kept)

    def _look_after_all(self) -> None:
        self.sitter.look_after()
        now = time.monotonic()
        for kept in self.all:
            life = kept.life
            if life and life.has_ended():
                lived = life.seconds
                self._bury(kept, life)
                self._count_death(kept, lived, life.how_it_ended)
            elif kept.state is State.RUNNING or now < kept.due_at:
                continue
            elif life is None:
                self._start(kept)
            elif kept.is_ready(life):
                kept.state, kept.unready_deaths = State.RUNNING, 0
                self._tell(kept)
            else:
                kept.due_at = time.monotonic() + ASK_READY_SECONDS
        if self.tell_again_at is not None and now >= self.tell_again_at:
            self.tell_again_at = None
            for kept in self.all:
                self._tell(kept)

    def _bury(self, kept: Kept, life: Life) -> None:
        """Hears the last words of a dead process and forgets it."""
        # Bounded: somebody who left the group may hold the other end and write for ever.
        for _ in range(64):
            if not self._listen(kept):
                break
        self._pass_on(kept, life.rest())
        with suppress(KeyError):
            self.selector.unregister(life.output)
        life.close()
        self.sitter.remove(life.pid)
        kept.life = None

    def _count_death(self, kept: Kept, lived: float, how: str) -> None:
        kept.count_death(lived)
        kept.words.append(how)
        if kept.unready_deaths >= DEATHS_ALLOWED:
            self.gave_up_on = kept
            return
        wait = min(LONGEST_WAIT, self.first_wait * 2 ** min(kept.early_deaths - 1, 16))
        kept.due_at = time.monotonic() + wait
        self.say(kept.child.name, f"{how}; starting it again in {wait:g} s")
        self._tell(kept)

    def _tell(self, kept: Kept) -> None:
        """Reports a change once; a reporter in trouble is asked again later."""
        if kept.told == (kept.state, kept.restarts):
            return
        try:
            self.on_change(kept.child.name, kept.state.value, kept.restarts, "\n".join(kept.words))
        except Exception as error:  # noqa: BLE001 (whatever is wrong with the database, the children live on)
            self.say("", self.clean(f"could not note that {kept.child.name} is {kept.state}: {error}"))
            self.tell_again_at = time.monotonic() + TELL_AGAIN_SECONDS
        else:
            kept.told = (kept.state, kept.restarts)

    def _end_all(self) -> None:
        """SIGTERM to each main process, a grace period, SIGKILL to what is left of each group."""
        for kept in self.all:
            if kept.life:
                kept.life.terminate()
        until = time.monotonic() + self.grace
        while self._alive() and time.monotonic() < until and not self._is_impatient():
            self._wait(until)
        for kept in self._alive():
            self.say(kept.child.name, "did not end when asked to, and is killed")
            if kept.life:
                kept.life.kill_group()
        until = time.monotonic() + KILL_SECONDS
        while self._alive() and time.monotonic() < until:
            self._wait(until)
        for kept in self.all:
            if kept.life:
                self._bury(kept, kept.life)
            kept.state = State.STOPPED
            self._tell(kept)

    def _alive(self) -> list[Kept]:
        return [kept for kept in self.all if kept.is_alive()]

    def _is_impatient(self) -> bool:
        return bool(self.asked_at) and self.asked_at[-1] - self.asked_at[0] > SECOND_SIGNAL_SECONDS


class Sitter:
    """The process that ends the children when we are killed with no chance to do it; see sitter.py."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.groups: set[int] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.pipe = -1

    def look_after(self) -> None:
        """Starts it, again if somebody ended it."""
        if self.process and self.process.poll() is None:
            return
        self._hang_up()
        theirs, self.pipe = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("sitter.py")), str(self.grace)],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        for group in self.groups:
            self._tell(f"+{group}")

    def add(self, group: int) -> None:
        self.look_after()
        self.groups.add(group)
        self._tell(f"+{group}")

    def remove(self, group: int) -> None:
        self.groups.discard(group)
        self._tell(f"-{group}")

    def dismiss(self) -> None:
        self._hang_up()
        if self.process:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(KILL_SECONDS)

    def _tell(self, line: str) -> None:
        # When it is dead, look_after tells the next one everything.
        with suppress(OSError):
            os.write(self.pipe, f"{line}\n".encode())

    def _hang_up(self) -> None:
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1
