"""One key at one address, and what is known of its sync."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dashboard import vault

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from dashboard.models.share import Share
    from dashboard.models.user import User


type Visible = frozenset[int] | None


def visible_connections(viewer: "User | AnonymousUser | Share") -> Visible:
    """The connections that a person or a link may see, None for all.

    Whatever is read goes by it: querysets by `visible_to`, and by this what no queryset reads or processes share.
    """
    return getattr(viewer, "visible", frozenset())


class ConnectionQuerySet(models.QuerySet["Connection"]):
    def visible_to(self, viewer: "User | AnonymousUser | Share") -> Self:
        visible = visible_connections(viewer)
        return self.all() if visible is None else self.filter(pk__in=visible)

    def kept(self) -> Self:
        """Not retired: a retired connection keeps its batches' history and nothing else."""
        return self.filter(retired_at=None)

    def retired(self) -> Self:
        """Removed, with what is kept of them; without those that are being deleted."""
        return self.filter(dropped_at=None).exclude(retired_at=None)

    def due(self, now: datetime) -> Self:
        """Whose next sync has come, and that nobody is at work on."""
        return self.kept().filter(
            Q(next_sync_at=None) | Q(next_sync_at__lte=now),
            Q(claim_until=None) | Q(claim_until__lte=now),
            paused_at=None,
        )

    def to_drop(self, now: datetime) -> Self:
        """Whose history is to be deleted, and that nobody is at work on."""
        return self.exclude(dropped_at=None).filter(Q(claim_until=None) | Q(claim_until__lte=now))


class Connection(models.Model):
    """A vendor's Batch API as seen with one key. `revision` rises whenever something that a page shows has changed."""

    class AuthStyle(models.TextChoices):
        BEARER = "bearer", _("Authorization: Bearer")
        API_KEY = "api-key", _("api-key header (Azure)")
        NONE = "none", _("no key needed")

    class Health(models.TextChoices):
        """As of the last tick. Pages also judge by the clock, in case the tick itself is dead."""

        NEW = "new", _("Not synced yet")
        IMPORTING = "importing", _("Reading for the first time")
        IN_STEP = "in_step", _("In step")
        STALE = "stale", _("Stale")
        LOST = "lost", _("Not answering")
        PAUSED = "paused", _("Paused")

    name = models.CharField(_("name"), max_length=80, unique=True)
    dialect = models.CharField(_("dialect"), max_length=32, default="openai")
    vendor = models.CharField(_("vendor"), max_length=80, default="", blank=True)
    base_url = models.CharField(_("base URL"), max_length=500)
    batches_path = models.CharField(_("batches path"), max_length=200, default="batches")
    auth_style = models.CharField(_("how the key is sent"), max_length=16, choices=AuthStyle, default=AuthStyle.BEARER)
    organization = models.CharField(_("organization"), max_length=200, default="", blank=True)
    project = models.CharField(_("project"), max_length=200, default="", blank=True)
    extra_headers = models.JSONField(_("further headers"), default=dict, blank=True)
    # Sealed by vault.py. `key_env` names an environment variable that is read at every call and never stored.
    sealed_key = models.TextField(default="", blank=True, editable=False)
    key_last4 = models.CharField(max_length=4, default="", blank=True, editable=False)
    key_env = models.CharField(max_length=100, default="", blank=True, editable=False)
    sealed_act_key = models.TextField(default="", blank=True, editable=False)
    act_key_last4 = models.CharField(max_length=4, default="", blank=True, editable=False)
    name_key = models.CharField(_("metadata key of a batch's name"), max_length=64, default="name", blank=True)
    owner_key = models.CharField(_("metadata key of a batch's owner"), max_length=64, default="owner", blank=True)
    # Seconds between syncs while something is open; None is the default of pull.py.
    interval = models.PositiveIntegerField(_("sync interval in seconds"), null=True, blank=True)
    paused_at = models.DateTimeField(null=True, editable=False)
    paused_by = models.CharField(max_length=150, default="", blank=True, editable=False)
    retired_at = models.DateTimeField(null=True, editable=False)
    # Retired, and its history is being deleted (sync/dropping.py): from then on no page shows any of it.
    dropped_at = models.DateTimeField(null=True, editable=False)
    made_at = models.DateTimeField(auto_now_add=True)

    # Learned about the vendor by syncs.
    list_is_stale = models.BooleanField(default=False, editable=False)
    list_lacks_counts = models.BooleanField(default=False, editable=False)
    list_is_oldest_first = models.BooleanField(default=False, editable=False)  # new batches come at its end
    clock_offset = models.FloatField(null=True, editable=False)  # seconds the vendor's clock is ahead of ours

    # Whoever holds the token is syncing; absorb refuses to write for any other. Renewed with every page.
    claim_token = models.CharField(max_length=32, default="", blank=True, editable=False)
    claim_until = models.DateTimeField(null=True, editable=False)

    import_cursor = models.TextField(default="", blank=True, editable=False)
    import_count = models.PositiveIntegerField(default=0, editable=False)
    imported_at = models.DateTimeField(null=True, editable=False)
    walk_cursor = models.TextField(default="", blank=True, editable=False)
    walked_at = models.DateTimeField(null=True, editable=False)

    tried_at = models.DateTimeField(null=True, editable=False)
    synced_at = models.DateTimeField(null=True, editable=False)  # the last good sync; when its first request was sent
    next_sync_at = models.DateTimeField(null=True, editable=False)
    # Seconds between syncs as pull.py last decided; what "stale" is measured by.
    cadence = models.PositiveIntegerField(default=45, editable=False)
    hurry_until = models.DateTimeField(null=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    error_kind = models.CharField(max_length=32, default="", blank=True, editable=False)
    error_words = models.TextField(default="", blank=True, editable=False)
    # No file of it is asked for before: the vendor asked to wait, or had a fault.
    reads_wait_until = models.DateTimeField(null=True, editable=False)
    health = models.CharField(max_length=16, choices=Health, default=Health.NEW, editable=False)
    revision = models.PositiveBigIntegerField(default=1, editable=False)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """The vendor's key in the clear. Raises vault.KeyLost; empty when the environment no longer holds it."""
        if self.key_env:
            return str(getattr(settings, self.key_env, ""))
        return vault.unseal(self.sealed_key)

    @property
    def act_key(self) -> str:
        """The key for acts such as cancel: the second one where there is one. Raises vault.KeyLost."""
        return vault.unseal(self.sealed_act_key) or self.key

    def set_key(self, key: str) -> None:
        self.sealed_key, self.key_last4 = vault.seal(key), key[-4:] if len(key) > 8 else ""

    def set_act_key(self, key: str) -> None:
        self.sealed_act_key, self.act_key_last4 = vault.seal(key), key[-4:] if len(key) > 8 else ""

    @property
    def key_is_lost(self) -> bool:
        """True when the stored key cannot be decrypted any more and must be entered again: nothing is read with it."""
        return not self.key_env and is_lost(self.sealed_key)

    @property
    def act_key_is_lost(self) -> bool:
        """The same of the second key: batches are still read, and none can be cancelled."""
        return is_lost(self.sealed_act_key)


def is_lost(sealed: str) -> bool:
    try:
        vault.unseal(sealed)
    except vault.KeyLost:
        return True
    return False


def reading_again() -> dict[str, Any]:
    """Another server, or other batches of it: read it from the start, and let no running sync write into that."""
    return {
        "imported_at": None,
        "import_cursor": "",
        "import_count": 0,
        "walk_cursor": "",
        "list_is_stale": False,
        "list_lacks_counts": False,
        "list_is_oldest_first": False,
        "clock_offset": None,
        "claim_token": "",
        "claim_until": None,
        "reads_wait_until": None,
    }


def raise_revision(connection_id: int) -> int:
    """Tell open pages that something of this connection has moved; the new revision, for the rows that did.

    To be called in the transaction that writes those rows: a page that saw one without the other would miss it.
    """
    connection = Connection.objects.filter(pk=connection_id)
    connection.update(revision=F("revision") + 1)
    return connection.values_list("revision", flat=True).get()


class SyncRun(models.Model):
    """One cycle of one connection: what it asked, got and changed, and how it ended. Gaps in charts come from these."""

    class Kind(models.TextChoices):
        IMPORT = "import"
        CYCLE = "cycle"

    class Ending(models.TextChoices):
        GOOD = "good"
        FAILED = "failed"
        STOPPED = "stopped"  # shut down at a page; the place was kept

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=8, choices=Kind)
    began_at = models.DateTimeField()
    seconds = models.FloatField(default=0)
    requests = models.PositiveIntegerField(default=0)
    seen = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    ending = models.CharField(max_length=8, choices=Ending)
    # Why it failed; or, where it ended well, why the list was not read to its end.
    error_kind = models.CharField(max_length=32, default="", blank=True)
    error_words = models.TextField(default="", blank=True)

    class Meta:
        indexes = [models.Index(fields=["connection", "-began_at"], name="pulse_ticks")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.connection_id} at {self.began_at:%H:%M:%S}: {self.ending}"


class Refusal(models.Model):
    """A record that could not be told what it is: counted and shown, never in the way of its page."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="refusals")
    reason = models.CharField(max_length=32)
    remote_id = models.CharField(max_length=512, default="", blank=True)
    excerpt = models.CharField(max_length=240, default="", blank=True)
    times = models.PositiveIntegerField(default=1)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "reason", "remote_id", "excerpt"], name="one_refusal_a_record"
            )
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.excerpt[:40]}"
