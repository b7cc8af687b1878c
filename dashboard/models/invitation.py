"""Invitations: a link that makes one person, with the role and the limits that were chosen for them.

With a person it makes nobody: whoever has it chooses that person's new password.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from dashboard.models.connection import Connection
from dashboard.models.link import Link

if TYPE_CHECKING:
    from dashboard.models.user import User

INVITATION_LIFE = timedelta(days=7)
RESET_LIFE = timedelta(days=1)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def usable(self, now: datetime | None = None) -> Self:
        return self.filter(used_at=None, revoked_at=None, expires_at__gt=now or timezone.now())

    def revoke_resets(self, person: "User") -> None:
        """The links by which somebody could choose this person's password."""
        self.usable().filter(person=person).update(revoked_at=timezone.now())


class Invitation(Link):
    """A link that works once. Only its hash is stored."""

    email = models.EmailField(default="", blank=True)  # where it was sent; empty: the link was given by hand
    role = models.CharField(max_length=16, blank=True)
    is_limited = models.BooleanField(default=False)  # to `connections`
    connections = models.ManyToManyField(Connection, blank=True, related_name="+")
    # Whose password it changes; None where it makes somebody new.
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    who = models.CharField(max_length=150)
    made_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    used_at = models.DateTimeField(null=True)
    used_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = InvitationQuerySet.as_manager()

    def __str__(self) -> str:
        return f"invitation of {self.email or 'whoever has the link'} as {self.role}"

    @property
    def named(self) -> str:
        """Whom it is for, as far as that is known; in the audit, so in one language."""
        return self.person.get_username() if self.person else self.email or f"somebody, as {self.role}"

    def new_token(self) -> str:
        """As of any link; this one lasts from now on."""
        self.expires_at = timezone.now() + (RESET_LIFE if self.person_id else INVITATION_LIFE)
        return super().new_token()

    @classmethod
    def use(cls, token: str) -> "Invitation | None":
        """The invitation of this token, used up; None for a wrong, expired, revoked or used one, and for whoever comes
        second. To be called in the transaction that does what it allows."""
        now, found = timezone.now(), cls.objects.filter(token_hash=cls.hash(token))
        if not found.usable(now).update(used_at=now):
            return None
        return found.select_related("person").get()
