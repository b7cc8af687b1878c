"""Starting and ending the processes of a run. Whatever was started is ended by its id, whatever happened meanwhile."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from dashboard.supervisor.child import hear_of_our_death
from tests.bench.figures import Wrong

HERE = Path(__file__).resolve().parents[2]
OURS = ("DASHBOARD_", "OPENAI_", "CELERY_", "DATABASE_URL", "CACHE_URL", "DJANGO_", "PYTEST_", "PYTHONWARNINGS")
_direct = build_opener(ProxyHandler({}))


def say(text: str) -> None:
    """Progress; the table alone goes to stdout."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def environment(data: Path | None = None, **more: str) -> dict[str, str]:
    """What a child sees: no setting of whoever runs the benchmark, and no proxy between two ends of loopback."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(OURS) and not name.lower().endswith("_proxy")
    }
    if data is not None:
        env["DASHBOARD_DATA_DIR"] = str(data)
    return env | more


def python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def manage(*arguments: object) -> list[str]:
    return [sys.executable, str(HERE / "manage.py"), *map(str, arguments)]


@contextmanager
def started(argv: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to `log`, and that is gone with all it started when the context ends."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            argv,
            cwd=HERE,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=hear_of_our_death(),
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], patience: float = 15.0) -> None:
    """Asks it to end, then kills it and what is left of its family."""
    family = family_of(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    for pid, born in family.items():
        # By id and time of birth: the number may belong to somebody else by now.
        if birth_of(pid) == born:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()


def answer_of(argv: Sequence[str], env: Mapping[str, str], timeout: float, given: object = None) -> dict[str, Any]:
    """Runs a part of the benchmark in a process of its own; what it says is the JSON of its last line."""
    process = subprocess.Popen(
        argv,
        cwd=HERE,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=hear_of_our_death(),
    )
    try:
        out, err = process.communicate(json.dumps(given).encode(), timeout)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{argv[2:4]} took more than {timeout:.0f} s") from None
    finally:
        end(process)
    if process.returncode:
        raise Wrong(f"{argv[2:4]} ended with {process.returncode}:\n{err.decode(errors='replace')[-3000:]}")
    answer: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return answer


@contextmanager
def simulator(folder: Path, batches: int, start: int, *more: object) -> Iterator[str]:
    """`manage.py simulate` with nothing open; gives its base URL."""
    argv = manage("simulate", "--port", 0, "--open", 0, "--batches", batches, "--start", start, *more)
    log = folder / f"simulator-{time.monotonic_ns()}.log"
    with started(argv, environment(folder / "unused", PYTHONUNBUFFERED="1"), log) as process:
        until = time.monotonic() + 30
        while (text := log.read_text()).count("\n") < 2:
            if process.poll() is not None or time.monotonic() > until:
                raise Wrong(f"the simulator did not start:\n{text}")
            time.sleep(0.05)
        yield text.splitlines()[0].rpartition(" ")[2]


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60.0) -> None:
    """Until it answers 200."""
    until = time.monotonic() + seconds
    while True:
        if process.poll() is not None or time.monotonic() > until:
            raise Wrong(f"{url} does not answer:\n{log.read_text(errors='replace')[-3000:]}")
        with suppress(URLError, OSError), _direct.open(url, timeout=2) as response:
            if response.status == 200:
                return
        time.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def copy_of(prepared: Path, name: str) -> Iterator[Path]:
    """A data folder of one's own, as the import left it; thrown away afterwards."""
    folder = prepared.parent / name
    shutil.copytree(prepared, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- Families ---------------------------------------------------------------------------------------------------------


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name (state first); empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def birth_of(pid: int) -> str:
    """When it began, in clock ticks since boot; empty for one that is gone or only waits to be buried."""
    fields = stat_of(pid)
    return fields[19] if fields and fields[0] != "Z" else ""


def family_of(pid: int) -> dict[int, str]:
    """A process and all its descendants, each with its time of birth."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := stat_of(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    family, waiting = {}, [pid]
    while waiting:
        one = waiting.pop()
        if born := birth_of(one):
            family[one] = born
        waiting += children.get(one, [])
    return family
