"""Start-up: system checks, and roles as groups once their permissions exist."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


def make_roles(**_kwargs: Any) -> None:
    from dashboard.access import make_roles

    make_roles()


class DashboardConfig(AppConfig):
    name = "dashboard"
    verbose_name = _("Batches")

    def ready(self) -> None:
        from dashboard import checks  # noqa: F401 (registers the system checks)

        post_migrate.connect(make_roles, sender=self)
