"""What people ask of a batch's files: that one be read, a line of one, its first lines, the whole of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils import timezone

from dashboard.models import Batch, FileRead, Result


class FileRefused(Exception):
    """The vendor did not give it. `kind` is one of insight/causes.py, `words` are the vendor's own, scrubbed."""

    def __init__(self, kind: str, words: str = "") -> None:
        super().__init__(kind)
        self.kind, self.words = kind, words


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way through: nothing of it is kept."""

    name: str
    size: int | None
    chunks: Iterator[bytes]


def ask(batch: Batch, kind: str, who: str) -> FileRead:
    """Wish that a file be read; a wish that stands already is answered with itself."""
    file_id = {"input": batch.input_file_id, "output": batch.output_file_id, "error": batch.error_file_id}[kind]
    read, _made = FileRead.objects.get_or_create(
        batch=batch,
        kind=kind,
        state__in=FileRead.OPEN,
        defaults={"file_id": file_id, "asked_by": who[:150], "wanted_at": timezone.now(), "state": "wanted"},
    )
    return read


def body_of(result: Result) -> bytes:
    """One line of a file, fetched alone."""
    raise FileRefused("refused")


def download(batch: Batch, kind: str) -> Download:
    """The whole file, piece by piece as the vendor sends it."""
    raise FileRefused("refused")


def preview(batch: Batch, kind: str, lines: int = 20) -> list[bytes]:
    """The first lines of a file."""
    raise FileRefused("refused")
