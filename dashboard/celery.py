"""The Celery app and its whole schedule: one tick.

What must happen is a row in the database, so a lost tick costs nothing.
"""

import os
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.signals import after_task_publish, setup_logging, worker_ready

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


@worker_ready.connect
@after_task_publish.connect
def say_ready(**_: Any) -> None:
    """Tells `up` that this process does its work: the worker reached the broker, or beat sent its first tick."""
    if pipe := os.environ.pop("READY_FD", ""):
        # Who listened may be gone; the work goes on.
        with suppress(OSError):
            os.write(int(pipe), b"1")
            os.close(int(pipe))
