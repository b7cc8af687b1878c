"""Links that show one thing to whoever has them: a wall, a filtered list, one batch."""

from datetime import datetime
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from dashboard.models.batch import Batch
from dashboard.models.connection import Visible, visible_connections
from dashboard.models.link import Link

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from dashboard.models.user import User


class ShareQuerySet(models.QuerySet["Share"]):
    def working(self, now: datetime | None = None) -> Self:
        """Neither revoked nor expired. Whoever made it must also still be able to sign in: see `Share.visible`."""
        lasts = Q(expires_at=None) | Q(expires_at__gt=now or timezone.now())
        return self.filter(lasts, revoked_at=None, made_by__is_active=True)

    def visible_to(self, user: "User | AnonymousUser") -> Self:
        """One's own; everybody's for who may manage them."""
        if user.has_perm("dashboard.change_share"):
            return self.all()
        return self.filter(made_by=user.pk) if user.pk and user.has_perm("dashboard.add_share") else self.none()


class Share(Link):
    """A link and what it shows. It may see what its maker may see now, and of that only its scope; it may do nothing.

    The token is shown once and stored hashed.
    """

    class Kind(models.TextChoices):
        WALL = "wall", _("Wall")
        LIST = "list", _("List")
        BATCH = "batch", _("Batch")

    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=8, choices=Kind)
    # Of a wall and of a list: the query string of the list, as saved views keep it (saved_view.kept_of).
    query = models.TextField(default="", blank=True)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, null=True, blank=True, related_name="shares")
    token_made_at = models.DateTimeField(default=timezone.now)
    password = models.CharField(max_length=128, default="", blank=True)  # hashed as people's are; empty: none
    frames = models.BooleanField(default=False)  # of a wall: may stand in pages of DASHBOARD_FRAME_ANCESTORS
    expires_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="shares")
    who = models.CharField(max_length=150)
    made_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.CharField(max_length=150, default="", blank=True)
    # Written at most once a minute: the last request of any kind, and how often a page was opened (polls not counted).
    last_seen_at = models.DateTimeField(null=True)
    last_address = models.CharField(max_length=64, default="", blank=True)
    views = models.PositiveBigIntegerField(default=0)

    objects = ShareQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def visible(self) -> Visible:
        """The connections of which it may show anything."""
        return visible_connections(self.made_by) if self.made_by and self.made_by.is_active else frozenset()

    @property
    def shows(self) -> Visible:
        """Of these the ones that its scope can concern: what moves elsewhere is no news to who has the link."""
        visible, concerned = self.visible, self.concerns
        if visible is None or concerned is None:
            return visible if concerned is None else concerned
        return concerned & visible

    @property
    def concerns(self) -> Visible:
        """The connections that its scope can concern, None for all; what somebody without limits would show by it."""
        said = dict(parse_qsl(self.query)).get("connection", "")
        if self.batch_id:
            return frozenset(Batch.objects.filter(pk=self.batch_id).values_list("connection", flat=True))
        return frozenset({int(said)}) if said.isdecimal() and len(said) < 19 else None

    @property
    def audited_as(self) -> str:
        """How the target of what is audited of it begins, whatever it is called by then."""
        return f"link {self.pk}: "

    def new_token(self) -> str:
        self.token_made_at = timezone.now()
        return super().new_token()
