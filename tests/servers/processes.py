"""Processes that the tests start: on free ports of loopback, each with a log, ended however the tests end."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dashboard.supervisor.keeper import Sitter

START_SECONDS = 60
STOP_SECONDS = 10


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(port: int, path: str) -> bool:
    """Whether somebody speaks HTTP there, whatever is said."""
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        asking.request("GET", path)
        return asking.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


def wait_until(true: Callable[[], object], seconds: float = START_SECONDS, every: float = 0.1) -> None:
    """Raises TimeoutError with the name of what did not become true."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"{getattr(true, '__qualname__', true)} was not true after {seconds:g} s")
        time.sleep(every)


class Process:
    """A program in a process group of its own. The sitter ends the group when the tests are killed outright."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        sitter: Sitter,
        log: Path,
        ready: Callable[[], bool] = lambda: True,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.argv, self.env, self.cwd, self.user = argv, env, cwd, user
        self.sitter, self.log, self.ready = sitter, log, ready
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def launch(self) -> None:
        """Starts it and does not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                env=self.env,
                cwd=self.cwd,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.sitter.add(self.pid)

    def start(self) -> None:
        """Starts it, unless it was launched before, and waits until it is ready."""
        if self.process is None:
            self.launch()
        wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise ChildProcessError(f"{self.argv[0]} ended with {self.process.returncode}:\n{self.words()}")
        return self.ready()

    def stop(self) -> None:
        """Asks it to end, and sees to it."""
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Ends it and all that it started, as a power cut would."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        self.sitter.remove(self.pid)
        self.process = None

    def words(self) -> str:
        """What it has said of late."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""
