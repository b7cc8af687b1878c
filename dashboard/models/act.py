"""What people did, and how it ended."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from dashboard.models.batch import Batch


class Act(models.Model):
    """Something done to a remote batch, written before the call is made, so that a killed process leaves a trace."""

    class Kind(models.TextChoices):
        CANCEL = "cancel"

    class State(models.TextChoices):
        SENDING = "sending"
        ACCEPTED = "accepted"
        REFUSED = "refused"
        # Sent, or perhaps sent, and never answered. Resolved by a retrieve.
        UNKNOWN = "unknown"

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="acts")
    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=16, choices=State, default=State.SENDING)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    who = models.CharField(max_length=150)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(null=True)  # when it was last sent to be settled
    http_status = models.PositiveSmallIntegerField(null=True)
    error_kind = models.CharField(max_length=32, default="", blank=True)
    words = models.TextField(default="", blank=True)  # the vendor's own, scrubbed

    class Meta:
        constraints = [
            # What makes a double click harmless.
            models.UniqueConstraint(
                fields=["batch", "kind"], condition=Q(state__in=["sending", "unknown"]), name="one_open_act"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.who}: {self.state}"
