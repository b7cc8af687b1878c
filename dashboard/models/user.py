"""People. A model of our own from the first migration, because Django cannot swap it in later."""

from collections.abc import Iterator

from django.contrib.auth.models import AbstractUser
from django.db import models

from dashboard.models.connection import Connection, Visible


class User(AbstractUser):
    """Somebody who signs in. What they may do comes from the groups viewer, operator and admin; see access.py."""

    # Of the list, by name; None until somebody chooses. It comes with the person and costs no query of its own.
    columns = models.JSONField(null=True, blank=True, editable=False)

    # Both empty until somebody chooses: then the browser says.
    language = models.CharField(max_length=8, blank=True, editable=False)
    time_zone = models.CharField(max_length=64, blank=True, editable=False)
    theme = models.CharField(max_length=8, blank=True, editable=False)
    cadence = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)  # seconds between polls

    # Sees nothing but these connections. Who may edit connections has no limits.
    is_limited = models.BooleanField(default=False)
    connections = models.ManyToManyField(Connection, blank=True, related_name="+")
    # Raised to end every session of this person at once.
    session_round = models.PositiveIntegerField(default=0, editable=False)

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @property
    def visible(self) -> Visible:
        """The connections that this person may see, None for all."""
        if not self.has_perm("dashboard.view_batch"):
            return frozenset()
        if not self.is_limited or self.has_perm("dashboard.change_connection"):
            return None
        if not hasattr(self, "limits"):
            # Who comes through a session brings them along: access.Roles.
            self.limits = ",".join(str(pk) for pk in self.connections.values_list("pk", flat=True))
        return frozenset(int(pk) for pk in (self.limits or "").split(",") if pk)

    def get_session_auth_hash(self) -> str:
        """Django ends a session whose hash is another: here also when the round is."""
        return f"{super().get_session_auth_hash()}.{self.session_round}"

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        return (f"{hash_}.{self.session_round}" for hash_ in super().get_session_auth_fallback_hash())
