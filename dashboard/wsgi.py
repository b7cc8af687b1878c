"""The WSGI application that granian serves, at the root or under the prefix of DASHBOARD_URL."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.wsgi import get_wsgi_application

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
_django = get_wsgi_application()
_prefix = settings.FORCE_SCRIPT_NAME or ""


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Some proxies take the prefix off, some pass it on: Django, which adds it to every link, expects it to be gone."""
    path = environ.get("PATH_INFO", "")
    if _prefix and (path == _prefix or path.startswith(f"{_prefix}/")):
        environ["PATH_INFO"] = path.removeprefix(_prefix) or "/"
    return _django(environ, start_response)
