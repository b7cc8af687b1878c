"""Misconfiguration is a system check with a hint, seen at `manage.py check` and before `up` starts anything."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, register


@register()
def broker_is_reachable_by_several_machines(**_: Any) -> list[CheckMessage]:
    """A broker in a local SQLite file with the data on a database server usually means one half was forgotten."""
    on_server = not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
    if on_server and settings.CELERY_BROKER_URL.startswith("sqla+sqlite") and not settings.DEBUG:
        return [
            Info(
                "DATABASE_URL names a database server, but the broker is still a file on this machine.",
                hint="Fine on one machine. With several, set CELERY_BROKER_URL (redis://...).",
                id="dashboard.I001",
            )
        ]
    return []


@register()
def encryption_keys_are_keys(**_: Any) -> list[CheckMessage]:
    from django.core.exceptions import ImproperlyConfigured

    from dashboard import vault

    try:
        vault.seal("probe")
    except ImproperlyConfigured as error:
        return [Error(str(error), id="dashboard.E001")]
    return []
