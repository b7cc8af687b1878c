"""A PostgreSQL cluster that is thrown away: in a folder of its own, on loopback, without a password."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashboard.supervisor.keeper import Sitter
from tests.servers import installs
from tests.servers.processes import Process, free_port

USER = "dashboard"
CLUSTER = ("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
# It may lose everything at any moment, so it need not wait for the disk.
OPTIONS = ("--fsync=off", "--synchronous_commit=off", "--full_page_writes=off", "--max_connections=40")


@contextmanager
def postgresql(sitter: Sitter) -> Iterator[str]:
    """The server's address as DATABASE_URL takes it, without a database's name."""
    programs = installs.postgresql()
    # PostgreSQL refuses to run as root; Debian's package has made a user for it.
    owner = "postgres" if os.geteuid() == 0 else None
    if owner and not _exists(owner):
        installs.lacking("PostgreSQL does not run as root and there is no user postgres", "Run the tests as a user")
    # Not in pytest's folder, which is closed to that user.
    folder = Path(tempfile.mkdtemp(prefix="batches-postgresql-"))
    try:
        if owner:
            shutil.chown(folder, owner, owner)
        cluster = folder / "cluster"
        made = subprocess.run(
            [programs / "initdb", f"--pgdata={cluster}", f"--username={USER}", *CLUSTER],
            user=owner,
            group=owner,
            extra_groups=None if owner is None else [],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert made.returncode == 0, made.stdout
        port = free_port()
        process = Process(
            [programs / "postgres", "-D", cluster, "-h", "127.0.0.1", "-p", str(port), "-k", folder, *OPTIONS],
            sitter=sitter,
            log=folder / "log",
            ready=lambda: _is_ready(programs, port),
            cwd=folder,
            user=owner,
        )
        try:
            process.start()
            yield f"postgresql://{USER}@127.0.0.1:{port}"
        finally:
            process.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ready(programs: Path, port: int) -> bool:
    asked: list[str | Path] = [programs / "pg_isready", "--quiet", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(asked, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
