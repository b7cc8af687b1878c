"""About this installation itself: its running parts, and the one-time links that let people in."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.utils import timezone

from dashboard.models.link import Link

LINK_LIFE = timedelta(hours=24)


class Part(models.Model):
    """One process of the installation (web, worker, beat) as the supervisor and the tick last saw it."""

    class State(models.TextChoices):
        STARTING = "starting"
        RUNNING = "running"
        RESTARTING = "restarting"
        STOPPED = "stopped"

    name = models.CharField(max_length=32, primary_key=True)
    state = models.CharField(max_length=16, choices=State, default=State.STARTING)
    since_at = models.DateTimeField()
    # The worker's is written by every sixth tick or so: a fresh one proves beat, broker and worker in one go.
    seen_at = models.DateTimeField(null=True)
    restarts = models.PositiveIntegerField(default=0)
    last_words = models.TextField(default="", blank=True)

    def __str__(self) -> str:
        return f"{self.name} {self.state}"


class SignInLinkQuerySet(models.QuerySet["SignInLink"]):
    def usable(self, now: datetime | None = None) -> Self:
        return self.filter(used_at=None, made_at__gt=(now or timezone.now()) - LINK_LIFE)


class SignInLink(Link):
    """A link that works once. Only its hash is stored."""

    made_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True)

    objects = SignInLinkQuerySet.as_manager()

    def __str__(self) -> str:
        return f"link of {self.made_at:%Y-%m-%d %H:%M}"

    @classmethod
    def make(cls) -> str:
        """A new token of 256 bits, shown this once. Earlier unused links stop working."""
        cls.objects.filter(used_at=None).delete()
        link = cls()
        token = link.new_token()
        link.save()
        return token

    @classmethod
    def use(cls, token: str) -> bool:
        """True for exactly one caller: claimed by compare-and-set."""
        return bool(cls.objects.usable().filter(token_hash=cls.hash(token)).update(used_at=timezone.now()))
