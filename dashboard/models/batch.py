"""The one noun of the product, and the rows that tell its history."""

import zlib
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.base import ModelState
from django.db.models.functions import Coalesce, Greatest
from django.utils.translation import gettext_lazy as _

from dashboard.models.connection import Connection, visible_connections

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from dashboard.models.share import Share
    from dashboard.models.user import User

# A finished batch can still change (file ids and usage arrive late, a retry revives it): refreshed for this long.
GRACE = timedelta(minutes=30)
FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


class Status(models.TextChoices):
    """OpenAI's eight, and a place for what vendors invent. An unknown status counts as open."""

    VALIDATING = "validating", _("Validating")
    IN_PROGRESS = "in_progress", _("In progress")
    FINALIZING = "finalizing", _("Finalizing")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")
    EXPIRED = "expired", _("Expired")
    CANCELLING = "cancelling", _("Cancelling")
    CANCELLED = "cancelled", _("Cancelled")
    UNKNOWN = "unknown", _("Unknown")


TERMINAL = (Status.COMPLETED.value, Status.FAILED.value, Status.EXPIRED.value, Status.CANCELLED.value)


class Outcome(models.TextChoices):
    """What became of a batch, from status and counts together; computed by insight/outcome.py."""

    OPEN = "open", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    PARTIAL = "partial", _("Partial")
    ALL_FAILED = "all_failed", _("All failed")
    FAILED_VALIDATION = "failed_validation", _("Failed validation")
    FAILED = "failed", _("Failed")
    EXPIRED = "expired", _("Expired")
    CANCELLED = "cancelled", _("Cancelled")
    NO_REQUESTS = "no_requests", _("No requests")
    UNCOUNTED = "uncounted", _("Completed, counts not reported")
    UNKNOWN = "unknown", _("Unknown")
    # Open when last seen, and nobody can see it now. Set by sync/sight.py: it does not follow from the batch itself.
    UNSEEN = "unseen", _("No longer visible")


def ended_as(
    total: int | None, completed: int | None, failed: int | None, failed_in_files: int
) -> tuple[int | None, int | None]:
    """How many requests completed and failed: the vendor's counts, but never fewer failed than its files show.

    What the files show beyond its counts it has called completed, unless it has called it nothing.
    """
    if failed_in_files <= (failed or 0):
        return completed, failed
    if completed is not None:
        completed = max(0, min(completed, (total or completed + (failed or 0)) - failed_in_files))
    return completed, failed_in_files


def place_of(connection_id: int, remote_id: str, ordered_at: int) -> int:
    """Where a batch stands in lists; `ordered_at` in unix seconds. Fits 63 bits until the year 2242."""
    return (ordered_at << 30) | (zlib.crc32(f"{connection_id}:{remote_id}".encode()) & 0x3FFFFFFF)


class BatchQuerySet(models.QuerySet["Batch"]):
    def visible_to(self, viewer: "User | AnonymousUser | Share") -> Self:
        """Batches of the connections that this person may see."""
        visible = visible_connections(viewer)
        return self.all() if visible is None else self.filter(connection__in=visible)

    def open(self) -> Self:
        """Not known to have ended, and still returned by the vendor."""
        return self.filter(is_open=True, gone_at=None)

    def terminal(self) -> Self:
        return self.filter(is_open=False)

    def to_refresh(self, now: datetime) -> Self:
        """Open, or ended so recently that the vendor may still change it."""
        return self.filter(refresh_until__gt=now, gone_at=None)


class Batch(models.Model):
    """A remote batch as last seen. Columns are what is filtered, sorted or counted; `payload` is the whole object."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="batches", db_index=False)
    remote_id = models.CharField(max_length=512)
    status = models.CharField(max_length=16, choices=Status)
    raw_status = models.CharField(max_length=64)
    outcome = models.CharField(max_length=20, choices=Outcome)
    name = models.CharField(max_length=512, default="", blank=True)
    owner = models.CharField(max_length=512, default="", blank=True)
    model = models.CharField(max_length=200, default="", blank=True)
    endpoint = models.CharField(max_length=200, default="", blank=True)
    completion_window = models.CharField(max_length=32, default="", blank=True)
    input_file_id = models.CharField(max_length=512, default="", blank=True)
    output_file_id = models.CharField(max_length=512, default="", blank=True)
    error_file_id = models.CharField(max_length=512, default="", blank=True)
    metadata = models.JSONField(default=dict)
    # None is "not reported", which is not zero.
    requests_total = models.PositiveBigIntegerField(null=True)
    requests_completed = models.PositiveBigIntegerField(null=True)
    requests_failed = models.PositiveBigIntegerField(null=True)
    # Failed requests in the output and error file, once one was read; 0 also where none was. Servers exist that count a
    # request as completed whose answer is an error.
    failed_in_files = models.PositiveBigIntegerField(default=0, db_default=0)
    # What lists are sorted by: as many as either says.
    failing = models.GeneratedField(
        expression=Greatest(Coalesce(F("requests_failed"), 0), F("failed_in_files")),
        output_field=models.PositiveBigIntegerField(),
        db_persist=True,
    )
    # The nine times of the API, by the vendor's clock. They may be missing, equal or out of order.
    created_at = models.DateTimeField(null=True)
    in_progress_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    finalizing_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    # The end: the vendor's time for the final status, else when we noticed.
    finished_at = models.DateTimeField(null=True)
    # Not known to have ended. Columns, because SQLite cannot use a partial index whose condition has parameters.
    is_open = models.BooleanField()
    refresh_until = models.DateTimeField(null=True)  # worth asking about until then; FOR_EVER while open
    # created_at, or when first seen if that could not be read.
    ordered_at = models.DateTimeField()
    # Where it stands in lists, greatest first: the second of ordered_at, then a hash of the id (see place_of). Also its
    # number in the text index, so that a search walks its matches newest first and can stop.
    place = models.BigIntegerField()
    tokens_input = models.PositiveBigIntegerField(null=True)
    tokens_cached = models.PositiveBigIntegerField(null=True)
    tokens_output = models.PositiveBigIntegerField(null=True)
    tokens_reasoning = models.PositiveBigIntegerField(null=True)
    tokens_total = models.PositiveBigIntegerField(null=True)
    # The batch-level errors, each {code, message, param, line}; and what could not be read, in words.
    errors = models.JSONField(default=list)
    oddities = models.JSONField(default=list)
    # The remote object exactly as it came, without inline results.
    payload = models.BinaryField(default=b"")
    search_text = models.TextField(default="", blank=True)
    # When the request that brought this was sent: what was asked for earlier may not overwrite it.
    asked_at = models.DateTimeField()
    first_seen_at = models.DateTimeField()
    # The connection's revision that last changed this row.
    revision = models.PositiveBigIntegerField()
    # Cycles in which the list showed it open and unchanged; see cycle.py on lists that are stale.
    unchanged_cycles = models.PositiveSmallIntegerField(default=0)
    # Retrieves in a row that answered 404; after three it is "no longer visible with this key", as is what was open
    # when its connection was removed.
    misses = models.PositiveSmallIntegerField(default=0)
    gone_at = models.DateTimeField(null=True)
    is_overdue = models.BooleanField(default=False)
    # When time alone may next change what it needs attention for; None is never. See sync/concerns.py.
    judge_at = models.DateTimeField(null=True)
    # The error that most of its requests met, for the list's rows; written when a file of it has been read.
    worst_error = models.ForeignKey(
        "ErrorGroup", on_delete=models.SET_NULL, null=True, related_name="+", db_index=False
    )
    worst_requests = models.PositiveIntegerField(db_default=0)
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="retries", db_index=False)

    objects = BatchQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["remote_id", "connection"], name="one_row_a_batch")]
        verbose_name_plural = _("batches")
        permissions = [
            ("cancel_batch", "Can cancel a batch at the vendor"),
            ("read_bodies", "Can read what requests and answers say"),
        ]
        indexes = [
            # With outcome and connection, so that filters and searches need not open the rows that they pass over.
            models.Index(fields=["-place", "outcome", "connection", "failing"], name="list_newest"),
            models.Index(fields=["connection", "-place", "outcome"], name="list_of_connection"),
            models.Index(fields=["outcome", "-place", "connection"], name="list_of_outcome"),
            models.Index(fields=["input_file_id", "-place"], name="list_of_input"),
            models.Index(fields=["-finished_at", "-id"], name="list_by_finish"),
            models.Index(fields=["-failing", "-id"], name="list_by_failed", condition=Q(failing__gt=0)),
            models.Index(fields=["-requests_total", "-id"], name="list_by_total", condition=Q(requests_total__gt=0)),
            # cycle.py asks which batches to refresh in every cycle of every connection.
            models.Index(
                fields=["connection", "refresh_until"],
                name="pull_to_refresh",
                condition=Q(refresh_until__isnull=False),
            ),
            models.Index(fields=["expires_at"], name="tick_overdue", condition=Q(is_open=True)),
            models.Index(fields=["judge_at"], name="tick_judge", condition=Q(judge_at__isnull=False)),
            # Deleting a batch asks who is a retry of it.
            models.Index(fields=["retry_of"], name="delete_retried", condition=Q(retry_of__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name or self.remote_id

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], *, fetch_mode: Any = None
    ) -> Self:
        """A row as read. Django's own goes through all columns one by one, at half a list's time with the database."""
        batch = cls.__new__(cls)
        batch.__dict__.update(zip(field_names, values, strict=True))
        batch._state = state = ModelState()
        state.db, state.adding = db, False
        if fetch_mode is not None:
            state.fetch_mode = fetch_mode
        return batch

    @property
    def is_cut_short(self) -> bool:
        """It expired or was cancelled: what is neither completed nor failed then is no riddle."""
        return self.status in (Status.EXPIRED, Status.CANCELLED)

    @property
    def completed(self) -> int | None:
        """Requests that completed, as far as anybody can say; the vendor's own count is `requests_completed`."""
        return self._ended_as[0]

    @property
    def failed(self) -> int | None:
        """Requests that failed, by the vendor's count or by its files, whichever says more."""
        return self._ended_as[1]

    @property
    def _ended_as(self) -> tuple[int | None, int | None]:
        in_files = 0 if self.is_open else self.failed_in_files
        return ended_as(self.requests_total, self.requests_completed, self.requests_failed, in_files)

    @property
    def unaccounted(self) -> int | None:
        """Requests of a finished batch that are neither completed nor failed; None while open or not known."""
        if self.is_open or not self.requests_total:
            return None
        return max(0, self.requests_total - (self.completed or 0) - (self.failed or 0))


class Counter(models.Model):
    """How many batches a connection has of a status and outcome; kept by absorb, so that nobody counts a million."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="counters", db_index=False)
    status = models.CharField(max_length=16)
    outcome = models.CharField(max_length=20)
    batches = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "status", "outcome"], name="one_counter")]

    def __str__(self) -> str:
        return f"{self.status}/{self.outcome}: {self.batches}"


def recount(connection_id: int, status: str, outcome: str, now: str, batches: int = 1) -> None:
    """So many batches had an outcome and have another now. In a transaction that holds the connection's row."""
    for of, more in ((outcome, -batches), (now, batches)):
        kind = Counter.objects.get_or_create(connection_id=connection_id, status=status, outcome=of)[0]
        Counter.objects.filter(pk=kind.pk).update(batches=F("batches") + more)


class Transition(models.Model):
    """A status change as a stored fact. `old_status` is empty at first sight."""

    class Source(models.TextChoices):
        IMPORT = "import"
        POLL = "poll"
        ACT = "act"

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="transitions")
    old_status = models.CharField(max_length=16, default="", blank=True)
    new_status = models.CharField(max_length=16)
    at = models.DateTimeField(null=True)  # by the vendor's clock, where it says
    noticed_at = models.DateTimeField()
    source = models.CharField(max_length=8, choices=Source)

    def __str__(self) -> str:
        return f"{self.old_status or '-'} to {self.new_status}"


class Reading(models.Model):
    """The counts of a batch at one moment; written when one changed. Charts, rates and estimates read these."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="readings", db_index=False)
    asked_at = models.DateTimeField()
    status = models.CharField(max_length=16)
    total = models.PositiveBigIntegerField(null=True)
    completed = models.PositiveBigIntegerField(null=True)
    failed = models.PositiveBigIntegerField(null=True)

    class Meta:
        # The latest of each of twenty batches, of which one may have thousands.
        indexes = [models.Index(fields=["batch", "-id"], name="latest_readings")]

    def __str__(self) -> str:
        return f"{self.completed}+{self.failed} of {self.total}"
