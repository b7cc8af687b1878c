"""Every knob, by environment. Each NAME can also be given as NAME_FILE, a file that holds the value.

The README's settings table is kept complete by tests/test_settings.py, which reads the calls of `env` below.
"""

import hashlib
import importlib.util
import os
import re
import secrets
import socket
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from dashboard.environment import env

BASE_DIR = Path(__file__).resolve().parent.parent

DATA_DIR = Path(env.text("DASHBOARD_DATA_DIR", default=str(BASE_DIR / "data"))).expanduser().resolve()


def make_data_dir() -> None:
    """Create the data folder for this user alone; refuse one that others may write to."""
    try:
        DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"DASHBOARD_DATA_DIR {DATA_DIR} cannot be created: {error.strerror}. Nothing was changed; "
            "point DASHBOARD_DATA_DIR at a folder this user may write to."
        ) from error
    # Who may write to a folder may put files of their own in place of ours: keys, and the database.
    mode = stat.S_IMODE(DATA_DIR.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ImproperlyConfigured(
            f"DASHBOARD_DATA_DIR {DATA_DIR} may be written to by other users (mode {mode:04o}). Nothing was changed; "
            f"run `chmod 700 {DATA_DIR}`, or point DASHBOARD_DATA_DIR at a folder within it, which is made for this "
            "user alone."
        )


def secret(name: str, file_name: str, make: str) -> str:
    """The secret from the environment, else from its file in the data folder, made there on first use (mode 0600)."""
    given = env.text(name)
    if given:
        return given
    path = DATA_DIR / file_name
    try:
        # O_EXCL: of several processes that start together one writes, the others read what it wrote.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make)
    except FileExistsError:
        pass
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be made: {error.strerror}. It holds {name}.") from None
    try:
        value = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error.strerror}. It holds {name}.") from None
    if not value:
        raise ImproperlyConfigured(
            f"{path} is empty. Restore it from a backup, or delete it to have a new {name} made."
        )
    return value


make_data_dir()

SECRET_KEY = secret("DASHBOARD_SECRET_KEY", "secret.key", secrets.token_urlsafe(50))
# Newest first, separated by commas or lines: the first encrypts, all of them decrypt.
ENCRYPTION_KEYS = [
    key
    for key in secret("DASHBOARD_ENCRYPTION_KEYS", "encryption.keys", Fernet.generate_key().decode())
    .replace(",", "\n")
    .split()
    if key
]

DEBUG = env.flag("DASHBOARD_DEBUG", default=False)
READ_ONLY = env.flag("DASHBOARD_READ_ONLY", default=False)
ADMIN_ENABLED = env.flag("DASHBOARD_ADMIN", default=False)
ALLOW_PRIVATE = env.flag("DASHBOARD_ALLOW_PRIVATE_ADDRESSES", default=True)

# Where we listen (`up` only) and how people reach us.
HOST = env.text("DASHBOARD_HOST", default="127.0.0.1")
PORT = env.number("DASHBOARD_PORT", 8000, 0, 65535, "a port")
URL = env.text("DASHBOARD_URL").rstrip("/")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", socket.gethostname().lower(), HOST]
if URL:
    try:
        _url = urlsplit(URL)
    except ValueError:
        _url = urlsplit("")
    if _url.scheme not in {"http", "https"} or not _url.hostname:
        raise ImproperlyConfigured(
            f"DASHBOARD_URL {URL!r} is not an address. Write it as people type it: https://batches.example.org"
        )
    ALLOWED_HOSTS += [_url.hostname]
    CSRF_TRUSTED_ORIGINS = [f"{_url.scheme}://{_url.netloc}"]
    FORCE_SCRIPT_NAME = _url.path or None
HTTPS = URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "batches_session"
CSRF_COOKIE_NAME = "batches_csrf"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = (urlsplit(URL).path or "/") if URL else "/"
SECURE_SSL_REDIRECT = HTTPS
# The health checks of a container platform come over plain http from inside.
SECURE_REDIRECT_EXEMPT = [rf"^({re.escape(urlsplit(URL).path.strip('/'))}/)?(healthz|readyz)$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
# Other hosts of the domain are not ours to bind.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
TRUSTED_PROXIES = env.networks("DASHBOARD_TRUSTED_PROXIES")
FRAME_ANCESTORS = env.origins("DASHBOARD_FRAME_ANCESTORS")

# Sign-on through a provider that people already have, and a second factor for who signs in with a password. Both are
# django-allauth's, which comes with the extra: `uv sync --extra sso`.
OIDC_URL = env.text("DASHBOARD_OIDC_URL").rstrip("/")
OIDC_CLIENT_ID = env.text("DASHBOARD_OIDC_CLIENT_ID")
OIDC_NAME = env.text("DASHBOARD_OIDC_NAME", "single sign-on")
# Group of the provider to role here, from the highest role down; `*` is everybody. Empty: an admin gives the role here.
OIDC_ROLES = env.pairs("DASHBOARD_OIDC_ROLES", ("viewer", "operator", "admin"))
OIDC_GROUPS = env.text("DASHBOARD_OIDC_GROUPS", "groups")
SECOND_FACTOR = env.flag("DASHBOARD_SECOND_FACTOR", default=False)
ALLAUTH = bool(OIDC_URL) or SECOND_FACTOR
if ALLAUTH and importlib.util.find_spec("allauth") is None:
    _set = "DASHBOARD_OIDC_URL" if OIDC_URL else "DASHBOARD_SECOND_FACTOR"
    raise ImproperlyConfigured(
        f"{_set} is set, and what it needs is not installed. Run `uv sync --extra sso`, or remove the setting."
    )
if OIDC_URL and urlsplit(OIDC_URL).scheme not in {"http", "https"}:
    raise ImproperlyConfigured(
        f"DASHBOARD_OIDC_URL {OIDC_URL!r} is not an address. Write the provider's issuer: https://login.example.org/realms/a"
    )
if OIDC_URL and not OIDC_CLIENT_ID:
    raise ImproperlyConfigured("DASHBOARD_OIDC_URL is set, and DASHBOARD_OIDC_CLIENT_ID is not: the provider gives it.")

INSTALLED_APPS = [
    "dashboard.apps.DashboardConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "axes",
    *(["django.contrib.admin"] if ADMIN_ENABLED else []),
    *(["allauth", "allauth.account", "allauth.socialaccount", "allauth.mfa"] if ALLAUTH else []),
    *(["allauth.socialaccount.providers.openid_connect"] if OIDC_URL else []),
]

# The order is argued in middleware.py: an unchanged poll is answered before sessions, users and rights are touched.
MIDDLEWARE = [
    "dashboard.middleware.TrustedProxies",
    "dashboard.middleware.Probes",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "dashboard.middleware.AccessLog",
    "dashboard.middleware.Clocks",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "dashboard.middleware.LoginRequired",
    "dashboard.middleware.Locale",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    *(["allauth.account.middleware.AccountMiddleware"] if ALLAUTH else []),
    "axes.middleware.AxesMiddleware",
]

CSRF_FAILURE_VIEW = "dashboard.views.health.csrf_failed"
DEFAULT_EXCEPTION_REPORTER = "dashboard.logs.Reporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "dashboard.logs.Hidden"

ROOT_URLCONF = "dashboard.urls"
WSGI_APPLICATION = "dashboard.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.views.shell.shell",
            ],
            "builtins": [f"dashboard.templatetags.{name}" for name in ("batches", "columns", "errors", "times")],
        },
    }
]

SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}

# Data: SQLite beside the broker's own file; PostgreSQL by DATABASE_URL.
DATABASES = {"default": env.database("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'batches.sqlite3'}")}
DATABASES["default"]["CONN_MAX_AGE"] = None
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE takes the write lock at BEGIN; a read that turns into a write fails with "database is locked" instead.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            # For a new file. A row has nearly 2 kB, of which a smaller page holds one and wastes the rest.
            "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-4000; "
            "PRAGMA journal_size_limit=67108864;"
        ),
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # Compiling a question takes longer than answering it here.
    options = DATABASES["default"].setdefault("OPTIONS", {})
    options["options"] = f"-c jit=off {options.get('options', '')}".strip()
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": env.cache("CACHE_URL", default="locmemcache://batches")}
# Not cached: with a cache in each process's memory, a session ended in one would live on in the others. Polls, which
# are what is frequent, are answered before sessions are read.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 14 * 24 * 3600
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# Mail, for invitations. Without it their links are shown, to be handed over by other ways.
EMAIL_SECONDS = 8.0
_mailer = env.mailer("DASHBOARD_EMAIL_URL", EMAIL_SECONDS)
MAILERS = {"default": _mailer} if _mailer else {}
if not MAILERS:
    SILENCED_SYSTEM_CHECKS += ["mail.W001"]  # then nothing is sent: mail.can_send
DEFAULT_FROM_EMAIL = env.text("DASHBOARD_EMAIL_FROM") or f"batches@{urlsplit(URL).hostname or socket.gethostname()}"

CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", default=f"sqla+sqlite:///{DATA_DIR / 'broker.sqlite3'}")
# Redis gives a killed worker's message to another after this long; longer than any task of ours runs.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600} if CELERY_BROKER_URL.startswith("redis") else {}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "dashboard"
# A killed worker loses what it had fetched ahead, on brokers that do not take messages back.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = 16
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

AUTH_USER_MODEL = "dashboard.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "dashboard.access.Roles",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
# Trying again while locked out does not start the wait anew, so that the page can say when it ends.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ADMIN = False
# Of what was sent with a wrong guess these are not kept. "password" never is.
AXES_SENSITIVE_PARAMETERS = ["username", "password1", "password2", "old_password", "new_password1", "new_password2"]
AXES_VERBOSE = False
AXES_LOCKOUT_CALLABLE = "dashboard.views.sign_in.locked_out"
AXES_CLIENT_IP_CALLABLE = "dashboard.addresses.client_address"

if ALLAUTH:
    ACCOUNT_ADAPTER = "dashboard.sign_on.Accounts"
    ACCOUNT_EMAIL_VERIFICATION = "none"
    # A provider's address is no proof of being somebody who is already here, so it is not compared with others.
    ACCOUNT_UNIQUE_EMAIL = False
    SOCIALACCOUNT_ADAPTER = "dashboard.sign_on.SignOn"
    SOCIALACCOUNT_STORE_TOKENS = False
    # A link, not a form: where a form leads on is bound by form-action, and nobody knows where providers lead on.
    SOCIALACCOUNT_LOGIN_ON_GET = True
    SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = ""
    SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "SCOPE": env.text("DASHBOARD_OIDC_SCOPE", "openid profile email").split(),
            "APPS": [
                {
                    "provider_id": "provider",
                    "name": OIDC_NAME,
                    "client_id": OIDC_CLIENT_ID,
                    "secret": env.text("DASHBOARD_OIDC_CLIENT_SECRET"),
                    "settings": {"server_url": OIDC_URL},
                }
            ],
        }
    }
    MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
    MFA_TOTP_ISSUER = "Batches"
    MFA_TOTP_TOLERANCE = 1  # steps of 30 s, for phones that are a little late
    MFA_ADAPTER = "dashboard.sign_on.Factors"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "dashboard" / "locale"]
TIME_ZONE = env.zone("DASHBOARD_TIME_ZONE", default="UTC")
USE_TZ = True

# Absolute: WhiteNoise reads it before the first request has set the prefix.
STATIC_URL = f"{urlsplit(URL).path}/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MAX_AGE = 3600


def build_id() -> str:
    """What an open page compares to learn that it is older than the server: the same for the same code and assets."""
    digest = hashlib.sha256()
    for folder, pattern in (
        ("static", "*.*"),
        ("templates", "**/*.html"),
        ("dashboard", "**/*.py"),
        ("dashboard", "**/*.mo"),
    ):
        for path in sorted((BASE_DIR / folder).glob(pattern)):
            file = path.stat()
            digest.update(f"{path.name}{file.st_size}{file.st_mtime_ns}".encode())
    return digest.hexdigest()[:12]


BUILD = env.text("DASHBOARD_BUILD") or build_id()

# Per process: how old the answer to "did anything move" may be, and how long a checked session is remembered.
PULSE_SECONDS = 1.0
REMEMBER_SECONDS = 5.0
SHARE_SECONDS = 1.0
BOARD_SECONDS = 3.0  # how old a wall may be though something has moved since
# How often it is written when links were last used.
SEEN_SECONDS = 60.0

# From when on a batch needs attention: minutes in a state, per cent, days.
STALLED_VALIDATING = env.number("DASHBOARD_STALLED_VALIDATING", 15, 1, 10080, "minutes")
STALLED_IN_PROGRESS = env.number("DASHBOARD_STALLED_IN_PROGRESS", 60, 1, 10080, "minutes")
STALLED_FINALIZING = env.number("DASHBOARD_STALLED_FINALIZING", 30, 1, 10080, "minutes")
STALLED_CANCELLING = env.number("DASHBOARD_STALLED_CANCELLING", 15, 1, 10080, "minutes")
WINDOW_LEFT = env.number("DASHBOARD_WINDOW_LEFT", 10, 1, 100, "per cent")
FAILED_SHARE = env.number("DASHBOARD_FAILED_SHARE", 10, 1, 100, "per cent")
CONCERN_DAYS = env.number("DASHBOARD_CONCERN_DAYS", 3, 1, 365, "days")
RESULTS_EXPIRE_DAYS = env.number("DASHBOARD_RESULTS_EXPIRE_DAYS", 3, 0, 365, "days")
# Of error and output files: how long after the end of its batch each request's result is kept. Groups stay.
RESULT_DAYS = env.number("DASHBOARD_RESULT_DAYS", 30, 1, 3650, "days")

# The first connection, read from the environment at every call and never stored.
OPENAI_API_KEY = env.text("OPENAI_API_KEY")
OPENAI_BASE_URL = env.text("OPENAI_BASE_URL") or "https://api.openai.com/v1"

LOG_LEVEL = env.choice("DASHBOARD_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.choice("DASHBOARD_LOG_FORMAT", "text", ("text", "json"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "dashboard.logs.TextFormatter"},
        "json": {"()": "dashboard.logs.JsonFormatter"},
    },
    "filters": {"routes": {"()": "dashboard.logs.Routes"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["routes"]}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "dashboard": {"level": LOG_LEVEL},
        # Without Django's own handlers, which know nothing of what must not be printed; runserver logs raw addresses.
        "django": {"level": "WARNING"},
        "django.server": {"level": "CRITICAL", "propagate": True},
        "celery": {"level": "WARNING"},
        # httpx logs full addresses at INFO.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
    },
}
