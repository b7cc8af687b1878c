"""The log of who did what. Append-only, here and in the database itself: see migrations/0003_audit.py."""

from collections.abc import Iterable
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from dashboard.models.batch import Batch


class AppendOnly(TypeError):
    """Somebody tried to change or delete what was logged."""


def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise AppendOnly("The audit is append-only: what was written stays as it is.")


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    update = delete = bulk_update = _raw_delete = refuse

    def bulk_create(self, objs: Iterable["AuditEntry"], *args: Any, **kwargs: Any) -> list["AuditEntry"]:
        if args or kwargs.keys() - {"batch_size"}:
            refuse()  # on conflict it would update
        return super().bulk_create(objs, **kwargs)


class AuditEntry(models.Model):
    """Who did what to which thing. Written once, by `dashboard.audit.record`, and never changed.

    What it points at has no constraint: the row stays as it is when that is deleted, and `actor` and `target` say what
    it was called.
    """

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.CharField(max_length=150)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
    )
    verb = models.CharField(max_length=64)
    target = models.CharField(max_length=600)
    batch = models.ForeignKey(
        Batch, on_delete=models.DO_NOTHING, null=True, blank=True, related_name="+", db_constraint=False
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
    )
    detail = models.TextField(default="", blank=True)
    # What was before and what is after, by field: {"interval": [60, 120]}. Never a key.
    changes = models.JSONField(default=dict, blank=True)
    # Of an act: what the vendor answered, with its own words, scrubbed.
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    words = models.TextField(default="", blank=True)
    address = models.CharField(max_length=64, default="", blank=True)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name_plural = _("audit entries")

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.target}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding or self.pk:
            refuse()
        super().save(*args, **kwargs)

    delete = refuse
