"""Why requests failed: what was read of a batch's files, and the few errors that thousands of failures come down to."""

from datetime import datetime
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


class FileKind(models.TextChoices):
    """Which of a batch's three files."""

    INPUT = "input", _("Input")
    OUTPUT = "output", _("Output")
    ERROR = "error", _("Errors")


class FileReadQuerySet(models.QuerySet["FileRead"]):
    def due(self, now: datetime) -> Self:
        """Wished for or broken off, its turn has come, and nobody is at it."""
        return self.filter(
            Q(next_try_at=None) | Q(next_try_at__lte=now),
            Q(claim_until=None) | Q(claim_until__lte=now),
            state__in=FileRead.OPEN,
        )

    def open(self) -> Self:
        return self.filter(state__in=FileRead.OPEN)

    def published(self, batch: Batch, kind: str) -> "FileRead | None":
        """The read whose results show."""
        return self.filter(batch=batch, kind=kind, state=FileRead.State.READ).order_by("-pk").first()


class FileRead(models.Model):
    """The wish to read a file of a batch, how far that came, and what was counted.

    Its results show once the whole file is read, and then replace those of the read before: all or nothing.
    """

    class State(models.TextChoices):
        WANTED = "wanted"
        READING = "reading"
        READ = "read"
        # 404 at the vendor: expired or deleted. What an earlier read found stays.
        GONE = "gone"
        FAILED = "failed"

    OPEN = (State.WANTED, State.READING)

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="file_reads", db_index=False)
    kind = models.CharField(max_length=8, choices=FileKind)
    file_id = models.CharField(max_length=512)
    state = models.CharField(max_length=8, choices=State, default=State.WANTED)
    asked_by = models.CharField(max_length=150, default="", blank=True)  # empty: the dashboard itself
    wanted_at = models.DateTimeField()
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # Whoever holds the token reads; another may take over once the time is past, and goes on at `offset`.
    claim_token = models.CharField(max_length=32, default="", blank=True)
    claim_until = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    error_kind = models.CharField(max_length=32, default="", blank=True)
    error_words = models.TextField(default="", blank=True)
    # Up to the end of the last line that was counted: bytes of the file (unpacked), and lines, blank ones included.
    offset = models.BigIntegerField(default=0)
    last_line = models.PositiveIntegerField(default=0)
    is_packed = models.BooleanField(default=False)  # the file itself is gzip: no part of it can be asked for
    size = models.BigIntegerField(null=True)  # bytes, as the vendor says
    lines = models.PositiveIntegerField(default=0)  # that hold something, unreadable ones included
    bad_lines = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    never_ran = models.PositiveIntegerField(default=0)
    is_capped = models.BooleanField(default=False)  # only its first lines were read
    # Of an input file that somebody asked for: requests that neither the output nor the error file has.
    missing = models.PositiveIntegerField(null=True)
    missing_ids = models.JSONField(default=list)  # the first of their custom_ids

    objects = FileReadQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "kind"], condition=Q(state__in=["wanted", "reading"]), name="one_open_read"
            )
        ]
        indexes = [
            models.Index(fields=["batch", "kind", "-id"], name="batch_files"),
            models.Index(fields=["state", "wanted_at"], name="tick_wanted_files"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} file of batch {self.batch_id}: {self.state}"


class RemoteFile(models.Model):
    """A file as the vendor described it when it was last looked at."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="files", db_index=False)
    file_id = models.CharField(max_length=512)
    filename = models.CharField(max_length=512, default="", blank=True)
    purpose = models.CharField(max_length=64, default="", blank=True)
    size = models.BigIntegerField(null=True)  # bytes
    created_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True)  # when it was first answered with 404

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "file_id"], name="one_row_a_file")]

    def __str__(self) -> str:
        return self.filename or self.file_id


class ErrorGroup(models.Model):
    """One error, whoever met it: (HTTP status, code, normalised message), as insight/signature.py tells them apart."""

    signature = models.CharField(max_length=64, unique=True)
    http_status = models.PositiveSmallIntegerField(null=True)
    code = models.CharField(max_length=200, default="", blank=True)
    message = models.CharField(max_length=600, default="", blank=True)  # without ids, numbers, values
    retry = models.CharField(max_length=32, default="", blank=True)  # a code of signature.py: is another try worth it
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.message[:80] or self.code or str(self.http_status)


class BatchErrorQuerySet(models.QuerySet["BatchError"]):
    def visible_to(self, viewer: "User | AnonymousUser | Share") -> Self:
        """Errors of the batches that this person may see."""
        visible = visible_connections(viewer)
        return self.all() if visible is None else self.filter(connection__in=visible)


class BatchError(models.Model):
    """How many requests of a batch met an error. `at` is when the batch ended, which places it on a day."""

    class Source(models.TextChoices):
        VALIDATION = "validation"  # the batch's own `errors`
        ERROR = "error"
        OUTPUT = "output"  # some servers put failed lines there

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="request_errors", db_index=False)
    group = models.ForeignKey(ErrorGroup, on_delete=models.CASCADE, related_name="batch_errors", db_index=False)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="+", db_index=False)
    source = models.CharField(max_length=10, choices=Source)
    requests = models.PositiveIntegerField()
    first_line = models.PositiveIntegerField(null=True)  # of the file that `source` names; of the input for validation
    last_line = models.PositiveIntegerField(null=True)
    # A few of them: {"custom_id", "line", "input_line", "words"}, words being the vendor's own, scrubbed.
    samples = models.JSONField(default=list)
    at = models.DateTimeField()

    objects = BatchErrorQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["batch", "group", "source"], name="one_error_a_batch")]
        indexes = [
            models.Index(fields=["group", "-at", "connection", "requests"], name="errors_of_group"),
            models.Index(fields=["connection", "group"], name="errors_of_connection"),
            # The last 24 hours are summed up from it alone.
            models.Index(fields=["at", "group", "connection", "requests", "batch"], name="errors_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.requests} of batch {self.batch_id}: group {self.group_id}"


class ErrorDayQuerySet(models.QuerySet["ErrorDay"]):
    def visible_to(self, viewer: "User | AnonymousUser | Share") -> Self:
        """Days of the connections that this person may see."""
        visible = visible_connections(viewer)
        return self.all() if visible is None else self.filter(connection__in=visible)


class ErrorDay(models.Model):
    """An error's share of one day (UTC) and connection; made anew from BatchError whenever one of that day changes."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="+", db_index=False)
    group = models.ForeignKey(ErrorGroup, on_delete=models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    batches = models.PositiveIntegerField()
    requests = models.PositiveBigIntegerField()

    objects = ErrorDayQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["day", "group", "connection"], name="one_error_a_day"),
        ]
        indexes = [
            # The page of errors sums up each of them over all its days: from the index alone, in its order.
            models.Index(fields=["group", "day", "connection", "requests", "batches"], name="errors_sums"),
            models.Index(fields=["day", "connection", "requests"], name="errors_of_day"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.requests} of group {self.group_id}"


class Result(models.Model):
    """What became of one request, as a line of an output or error file says. No prompts, no outputs.

    Kept for DASHBOARD_RESULT_DAYS after the batch ended; those of succeeded requests for an hour after somebody asked.
    """

    class State(models.TextChoices):
        SUCCEEDED = "succeeded", _("Succeeded")
        FAILED = "failed", _("Failed")
        NEVER_RAN = "never_ran", _("Never ran")

    read = models.ForeignKey(FileRead, on_delete=models.CASCADE, related_name="results", db_index=False)
    line = models.PositiveIntegerField()
    offset = models.BigIntegerField()  # bytes from the start of the file, so that its body can be fetched alone
    length = models.PositiveIntegerField()
    custom_id = models.CharField(max_length=512)
    state = models.CharField(max_length=10, choices=State)
    group = models.ForeignKey(ErrorGroup, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False)
    http_status = models.PositiveSmallIntegerField(null=True)
    request_id = models.CharField(max_length=200, default="", blank=True)
    words = models.CharField(max_length=500, default="", blank=True)  # the vendor's own, scrubbed
    tokens_input = models.PositiveBigIntegerField(null=True)
    tokens_output = models.PositiveBigIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["read", "line"], name="one_result_a_line")]

    def __str__(self) -> str:
        return f"{self.custom_id}: {self.state}"
