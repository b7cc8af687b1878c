"""The log of who did what."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from dashboard.models.batch import Batch


class AuditEntry(models.Model):
    """Who did what to which thing. Written once, never changed."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=150)
    verb = models.CharField(max_length=64)
    target = models.CharField(max_length=600)
    # Of an act on a batch. No constraint: what was written stays as it is when the batch is deleted.
    batch = models.ForeignKey(
        Batch, on_delete=models.DO_NOTHING, null=True, blank=True, related_name="+", db_constraint=False
    )
    detail = models.TextField(default="", blank=True)
    address = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        verbose_name_plural = _("audit entries")

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.target}"
