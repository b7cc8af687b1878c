"""A read under its claim: what reading.py and inputs.py share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from dashboard.dialects.base import Dialect, RemoteFileInfo, VendorError
from dashboard.models import FileRead, RemoteFile
from dashboard.sync.concerns import look_again
from dashboard.sync.files import CLAIM_LIFE

RENEW_EVERY = timedelta(seconds=30)
MOST_BYTES = 1 << 30


class ReadLost(Exception):
    """Somebody else reads this file now, or it is to be read from the start; nothing more is written."""


class Stopped(Exception):
    """The process is shutting down; the place has been saved."""


class NotYet(Exception):
    """Another file of the batch has to be read first."""


class CannotTell(Exception):
    """Another file of the batch cannot be read, and without it there is nothing to say."""


class Capped(Exception):
    """The file has more bytes than are read."""


@dataclass(slots=True)
class Reading:
    """A read under its claim."""

    read: FileRead
    vendor: Dialect
    token: str
    stop: Callable[[], bool]
    held_at: datetime = field(default_factory=timezone.now)
    came: int = 0  # bytes, from the start of the file as it is at the vendor

    def hold(self, **columns: object) -> None:
        """Write to the read, and keep it for two minutes more. Raises ReadLost when it is not ours any more."""
        now = timezone.now()
        held = FileRead.objects.filter(pk=self.read.pk, claim_token=self.token)
        if not held.update(claim_until=now + CLAIM_LIFE, **columns):
            raise ReadLost
        self.held_at = now
        for name, value in columns.items():
            setattr(self.read, name, value)

    def paced(self, chunks: Iterator[bytes], begins_at: int = 0, most: int = MOST_BYTES) -> Iterator[bytes]:
        """The chunks, with the claim kept while a slow vendor sends them. Raises Capped behind so many bytes."""
        self.came = begins_at
        for chunk in chunks:
            if timezone.now() - self.held_at > RENEW_EVERY:
                self.hold()
            self.came += len(chunk)
            if self.came > most:
                raise Capped
            yield chunk


def note_file(reading: Reading) -> RemoteFileInfo | None:
    """Keep what the vendor says of the file; None when it says nothing, which does not mean that there is none."""
    read = reading.read
    try:
        info = reading.vendor.describe_file(read.file_id)
    except VendorError as error:
        # A key may read a file's content and not its description.
        if error.kind in {"bad_key", "rate_limited", "unreachable", "timeout"}:
            raise
        return None
    now = timezone.now()
    RemoteFile.objects.update_or_create(
        connection=read.batch.connection,
        file_id=read.file_id,
        defaults={
            "filename": info.filename,
            "purpose": info.purpose,
            "size": info.size,
            "created_at": _time_of(info.created_at),
            "expires_at": _time_of(info.expires_at),
            "seen_at": now,
            "gone_at": None,
        },
    )
    look_again([read.batch_id], now)
    if info.size is not None:
        reading.hold(size=info.size)
    return info


def _time_of(second: int | None) -> datetime | None:
    return None if second is None else datetime.fromtimestamp(second, UTC)
