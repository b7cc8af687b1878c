"""Running some of our own tests in a pytest of their own, where settings that are read at the start can differ."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.servers.installs import REPO

SECONDS = 900


def passes(paths: list[str], env: Mapping[str, str], data: Path) -> None:
    """Runs them and fails, with what was printed, unless at least one ran, all passed and none was skipped."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *paths],
        cwd=REPO,
        env={**os.environ, "DASHBOARD_DATA_DIR": str(data), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    closing = done.stdout.strip().rpartition("\n")[2]
    passed = re.search(r"(\d+) passed", closing)
    assert done.returncode == 0, done.stdout[-12_000:]
    assert passed, closing
    assert int(passed[1]) > 0
    assert "skipped" not in closing, done.stdout[-4000:]
