"""The Celery app and its whole schedule: one tick.

What must happen is a row in the database, so a lost tick costs nothing.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

TICK_SECONDS = 5.0

app = Celery("dashboard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.imports = ("dashboard.tasks",)
app.conf.beat_schedule = {
    # Expires just before the next one: a worker that was away finds one tick, not a pile.
    "tick": {
        "task": "dashboard.tasks.tick",
        "schedule": TICK_SECONDS,
        "options": {"expires": TICK_SECONDS * 0.9},
    },
}


@setup_logging.connect
def use_django_logging(**_: Any) -> None:
    """Celery leaves logging to Django's LOGGING, so that one formatter scrubs every line."""
