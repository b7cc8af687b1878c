"""The product's settings, with a throw-away data folder and without what tests would only wait for."""

import atexit
import os
import shutil
import tempfile

if "DASHBOARD_DATA_DIR" not in os.environ:
    os.environ["DASHBOARD_DATA_DIR"] = _folder = tempfile.mkdtemp(prefix="batches-tests-")
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
for _name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DASHBOARD_URL", "DASHBOARD_ADMIN", "DASHBOARD_EMAIL_URL"):
    os.environ.pop(_name, None)

from dashboard.settings import *  # noqa: E402, F403
from dashboard.settings import DATA_DIR, DATABASES  # noqa: E402

# live_server does not serve hashed names.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Tests look at what was written a moment ago.
PULSE_SECONDS = 0.0
REMEMBER_SECONDS = 0.0
SHARE_SECONDS = 0.0
BOARD_SECONDS = 0.0
# A thread that writes after a minute would write into another test.
SEEN_SECONDS = 0.0

# Messages stay in this process, where tests read them off the queue.
CELERY_BROKER_URL = "memory://"

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in real life: threads and processes share it, and an in-memory one knows no WAL.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "tests.sqlite3")}
