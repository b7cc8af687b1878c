"""Why a batch or a connection needs attention."""

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dashboard.models.batch import Batch
from dashboard.models.connection import Connection, visible_connections

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from dashboard.models.share import Share
    from dashboard.models.user import User


class Reason(models.TextChoices):
    """The closed set, worst first. When each holds stands in insight/concerns.py."""

    # Of connections: while one is broken, nothing that is known of its batches is certain.
    CONNECTION_FAILING = "connection_failing", _("Connection failing")
    SYNC_STALE = "sync_stale", _("Sync stale")
    # Of batches.
    FAILED_VALIDATION = "failed_validation", _("Failed validation")
    ALL_FAILED = "all_failed", _("All requests failed")
    HIGH_FAILED_SHARE = "high_failed_share", _("Many requests failed")
    EXPIRED = "expired", _("Expired unfinished")
    STALLED = "stalled", _("Stalled")
    WINDOW_NEARLY_OVER = "window_nearly_over", _("Window nearly over")
    OVERDUE = "overdue", _("Overdue")
    CANCEL_STUCK = "cancel_stuck", _("Cancel stuck")
    COUNTS_DIFFER = "counts_differ", _("Counts do not add up")
    UNSEEN = "unseen", _("No longer visible")
    RESULTS_EXPIRE = "results_expire", _("Results expire soon")


class ConcernQuerySet(models.QuerySet["Concern"]):
    def visible_to(self, viewer: "User | AnonymousUser | Share") -> Self:
        """Concerns of the connections that this person may see."""
        visible = visible_connections(viewer)
        return self.all() if visible is None else self.filter(connection__in=visible)

    def open(self) -> Self:
        return self.filter(closed_at=None)


class Concern(models.Model):
    """One reason for attention, from when it began (if not known, when it was noticed) until it was over.

    `batch` is empty for a connection's own.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="concerns", db_index=False)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, null=True, related_name="concerns", db_index=False)
    reason = models.CharField(max_length=20, choices=Reason)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    evidence = models.JSONField(default=dict)  # the figures that its sentence needs

    objects = ConcernQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "reason"], condition=Q(closed_at=None, batch__isnull=False), name="one_batch_concern"
            ),
            models.UniqueConstraint(
                fields=["connection", "reason"],
                condition=Q(closed_at=None, batch__isnull=True),
                name="one_connection_concern",
            ),
        ]
        indexes = [
            models.Index(
                fields=["reason", "-opened_at", "-id", "connection"], name="attention", condition=Q(closed_at=None)
            ),
            models.Index(fields=["batch"], name="concerns_of_batch", condition=Q(batch__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.reason} since {self.opened_at:%Y-%m-%d %H:%M}"
