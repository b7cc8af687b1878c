"""Invitations: a link that makes one person, with the role and the limits that were chosen for them."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from dashboard.models.connection import Connection

INVITATION_LIFE = timedelta(days=7)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def usable(self, now: datetime | None = None) -> Self:
        return self.filter(used_at=None, revoked_at=None, expires_at__gt=now or timezone.now())


class Invitation(models.Model):
    """A link that works once. Only its hash is stored."""

    token_hash = models.CharField(max_length=64, unique=True)
    email = models.EmailField(default="", blank=True)  # where it was sent; empty: the link was given by hand
    role = models.CharField(max_length=16)
    is_limited = models.BooleanField(default=False)  # to `connections`
    connections = models.ManyToManyField(Connection, blank=True, related_name="+")
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

    def new_token(self) -> str:
        """A token of 256 bits, to be shown this once."""
        token = secrets.token_urlsafe(32)
        self.token_hash = self.hash(token)
        return token

    @staticmethod
    def hash(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()
