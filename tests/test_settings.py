"""Settings: each by environment and by file, each in the README."""

import ast
import os
import re
import runpy
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "dashboard" / "settings.py"
DOOR = ROOT / "dashboard" / "dialects" / "door.py"  # knows no settings and reads the environment itself
PRINT = "from dashboard import settings; print({})"


def names_read() -> set[str]:
    """The first argument of every `env.something("NAME")`, `secret("NAME", ...)` and `os.environ.get("NAME")`."""
    names = set()
    for node in [node for path in (SETTINGS, DOOR) for node in ast.walk(ast.parse(path.read_text()))]:
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func
            of_env = isinstance(function, ast.Attribute) and ast.unparse(function.value) in {"env", "os.environ"}
            if of_env or getattr(function, "id", "") == "secret":
                names.add(str(node.args[0].value))
    return names


def setting(what: str, tmp_path: Path, **environment: str) -> str:
    """What a process started with this environment has in its settings."""
    done = start(what, tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    # The line end is print's; everything else is the setting's own.
    return done.stdout.removesuffix("\n")


def start(what: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", PRINT.format(what)],
        cwd=ROOT,
        env={**clean, "DASHBOARD_DATA_DIR": str(tmp_path / "data"), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_settings_read_what_the_issue_asks_for() -> None:
    assert {
        "DASHBOARD_DATA_DIR",
        "DASHBOARD_HOST",
        "DASHBOARD_PORT",
        "DASHBOARD_URL",
        "DASHBOARD_TRUSTED_PROXIES",
        "DASHBOARD_SECRET_KEY",
        "DASHBOARD_ENCRYPTION_KEYS",
        "DATABASE_URL",
        "CELERY_BROKER_URL",
        "CACHE_URL",
        "DASHBOARD_ADMIN",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "SSL_CERT_FILE",
    } <= names_read()


def test_every_setting_stands_in_the_readmes_table() -> None:
    readme = ROOT / "README.md"
    assert readme.exists(), "README.md is missing: it holds the table of settings"
    rows = set(re.findall(r"^\|\s*`([A-Z_]+)`", readme.read_text(), re.MULTILINE))
    assert not names_read() - rows, "these settings have no row in the README's table"
    assert not rows - names_read(), "the README's table has rows for settings that nothing reads"


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("OPENAI_API_KEY", "sk-from-a-file", "settings.OPENAI_API_KEY"),
        ("DASHBOARD_SECRET_KEY", "secret-from-a-file", "settings.SECRET_KEY"),
        ("DATABASE_URL", "postgres://me:pw@db/batches", "settings.DATABASES['default']['PASSWORD']"),
        ("CELERY_BROKER_URL", "redis://:pw@broker/0", "settings.CELERY_BROKER_URL"),
        ("DASHBOARD_HOST", "192.0.2.7", "settings.HOST"),
        ("DASHBOARD_LOG_FORMAT", "json", "settings.LOG_FORMAT"),
        ("DASHBOARD_LOG_LEVEL", "DEBUG", "settings.LOG_LEVEL"),
        ("DASHBOARD_TIME_ZONE", "Asia/Tokyo", "settings.TIME_ZONE"),
        ("DASHBOARD_OIDC_NAME", "the house", "settings.OIDC_NAME"),
    ],
)
def test_a_setting_may_come_from_a_file(name: str, value: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text(value + "\n")
    expected = "pw" if name == "DATABASE_URL" else value
    assert setting(what, tmp_path, **{f"{name}_FILE": str(file)}) == expected


def test_secrets_are_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    what = "settings.SECRET_KEY, settings.ENCRYPTION_KEYS"
    assert setting(what, tmp_path) == setting(what, tmp_path)
    data = tmp_path / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert {stat.S_IMODE((data / name).stat().st_mode) for name in ("secret.key", "encryption.keys")} == {0o600}


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_data_folder_that_others_may_write_to_is_refused(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    line = refused("DASHBOARD_DATA_DIR", str(data), tmp_path, monkeypatch)
    assert f"{mode:04o}" in line
    assert f"chmod 700 {data}" in line
    assert not list(data.iterdir())


def test_an_address_of_ones_own_sets_everything_that_hangs_on_it(tmp_path: Path) -> None:
    what = (
        "'batches.example.org' in settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS, settings.FORCE_SCRIPT_NAME, "
        "settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_PATH, settings.SECURE_HSTS_SECONDS > 0"
    )
    url = "https://batches.example.org/llm/"
    expected = "True ['https://batches.example.org'] /llm True /llm True"
    assert setting(what, tmp_path, DASHBOARD_URL=url) == expected


@pytest.mark.parametrize(
    ("name", "value", "may_be"),
    [
        ("DASHBOARD_URL", "batches.example.org", "https://batches.example.org"),
        ("DASHBOARD_LOG_FORMAT", "xml", "text or json"),
        ("DASHBOARD_LOG_LEVEL", "verbose", "DEBUG, INFO, WARNING or ERROR"),
        ("DASHBOARD_PORT", "abc", "from 0 to 65535"),
        ("DASHBOARD_PORT", "65536", "from 0 to 65535"),
        ("DASHBOARD_WINDOW_LEFT", "a few", "per cent from 1 to 100"),
        ("DASHBOARD_RESULT_DAYS", "0", "days from 1 to 3650"),
        ("DASHBOARD_TIME_ZONE", "Mars/X", "Europe/Berlin"),
        ("DASHBOARD_TIME_ZONE", "../../etc/passwd", "Europe/Berlin"),
        ("DASHBOARD_TRUSTED_PROXIES", "10.0.0.0/8,foo", "10.0.0.0/8"),
        ("DASHBOARD_DEBUG", "maybe", "1 (on) or 0 (off)"),
        ("DASHBOARD_OIDC_URL", "login.example.org", "https://login.example.org/realms/a"),
        ("DASHBOARD_OIDC_ROLES", "llm=boss", "llm-team=viewer, of viewer, operator, admin"),
        ("DASHBOARD_OIDC_ROLES", "viewer", "llm-team=viewer"),
        ("DASHBOARD_SECRET_KEY_FILE", "/no/such/file", "No such file"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(
    name: str, value: str, may_be: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refused(name, value, tmp_path, monkeypatch)
    assert name in line
    assert value in line
    assert may_be in line


def test_a_sign_on_without_its_extra_or_its_client_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = "https://login.example.org"
    assert "DASHBOARD_OIDC_CLIENT_ID" in refused("DASHBOARD_OIDC_URL", issuer, tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "allauth", None)
    assert "uv sync --extra sso" in refused("DASHBOARD_OIDC_URL", issuer, tmp_path, monkeypatch)
    monkeypatch.delenv("DASHBOARD_OIDC_URL")
    assert "uv sync --extra sso" in refused("DASHBOARD_SECOND_FACTOR", "1", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "MARKER"),
        ("DATABASE_URL", "postgres://me:MARKER@db:port/batches"),
        ("DATABASE_URL", "nonsense://me:MARKER@db/batches"),
        ("CACHE_URL", "nonsense://me:MARKER@host"),
        ("OPENAI_API_KEY_FILE", "sk-MARKER"),
    ],
)
def test_what_may_be_a_secret_is_refused_without_being_shown(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refused(name, value, tmp_path, monkeypatch)
    assert name in line
    assert "MARKER" not in line


def refused(name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the settings say, read anew with this one in the environment."""
    monkeypatch.setenv("DASHBOARD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured) as caught:
        runpy.run_path(str(SETTINGS))
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_mistake_ends_a_command_with_one_line_and_status_2(tmp_path: Path) -> None:
    environment = {**os.environ, "DASHBOARD_DATA_DIR": str(tmp_path / "data"), "DASHBOARD_LOG_LEVEL": "verbose"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "DASHBOARD_LOG_LEVEL is 'verbose'; it can be DEBUG, INFO, WARNING or ERROR.\n"
