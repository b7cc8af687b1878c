"""`simulate` runs alone and ends cleanly."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
# Without manage.py, so that neither settings nor a database are needed.
RUN = (
    "import sys; from dashboard.management.commands.simulate import Command;"
    "Command().run_from_argv(['manage.py', 'simulate', *sys.argv[1:]])"
)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_simulate_serves_until_told_to_stop(ending: signal.Signals) -> None:
    options = ["--port", "0", "--batches", "30", "--open-at", "4", "9", "--key", "sk-mine", "--fault", "server_error*1"]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        base_url = process.stdout.readline().split()[-1]
        assert process.stdout.readline().split()[-1] == "sk-mine"
        with httpx.Client(headers={"Authorization": "Bearer sk-mine"}) as http:
            assert http.get(f"{base_url}/batches").status_code == 500
            batches = http.get(f"{base_url}/batches?limit=100").json()["data"]
            assert len(batches) == 30
            assert [n for n, batch in enumerate(batches) if batch["status"] == "in_progress"] == [4, 9]
            process.send_signal(ending)
            assert process.wait(10) == 0


def test_unknown_fault_is_a_clear_message() -> None:
    options = ["--port", "0", "--fault", "gremlins"]
    ended = subprocess.run([sys.executable, "-c", RUN, *options], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode != 0
    assert "no fault 'gremlins'" in ended.stderr
