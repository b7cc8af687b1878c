"""What became of a batch's requests, by its vendor's counts and by the lines of its files, side by side."""

from collections.abc import Iterable
from dataclasses import dataclass

from dashboard.models import Batch, FileKind, FileRead


@dataclass(frozen=True, slots=True)
class Account:
    """None means that nobody can say: not counted by the vendor, or a file that was not read, or not to its end."""

    total: int | None  # these three as the vendor counts
    completed: int | None
    failed: int | None
    lines_succeeded: int | None  # these as the files have them
    lines_failed: int | None
    lines_never_ran: int | None
    lines_unreadable: int
    is_capped: bool  # only the first lines of a file were read

    @property
    def unaccounted(self) -> int | None:
        """Requests that are in neither file. Fewer than nothing when files have more lines than there are requests."""
        if self.total is None or self.lines_succeeded is None or self.lines_failed is None:
            return None
        told = self.lines_succeeded + self.lines_failed + (self.lines_never_ran or 0) + self.lines_unreadable
        return self.total - told

    @property
    def agrees(self) -> bool | None:
        """Whether the files say what the counts say."""
        if None in (self.completed, self.failed, self.lines_succeeded, self.lines_failed):
            return None
        return (self.completed, self.failed) == (self.lines_succeeded, self.lines_failed) and self.unaccounted == 0


def account_of(batch: Batch, reads: Iterable[FileRead]) -> Account:
    """`reads` are the batch's published reads, one of a kind. A file that the batch does not have has no lines."""
    by_kind = {read.kind: read for read in reads if read.state == FileRead.State.READ}
    output, error = by_kind.get(FileKind.OUTPUT), by_kind.get(FileKind.ERROR)
    known = [read for read in (output, error) if read is not None]
    is_capped = any(read.is_capped for read in known)
    # Lines of all kinds may stand in either file: only both together say how many there are.
    is_whole = not is_capped and (output or not batch.output_file_id) and (error or not batch.error_file_id)

    def lines(name: str) -> int | None:
        return sum(getattr(read, name) for read in known) if is_whole else None

    return Account(
        batch.requests_total,
        batch.requests_completed,
        batch.requests_failed,
        lines("succeeded"),
        lines("failed"),
        lines("never_ran"),
        sum(read.bad_lines for read in known),
        is_capped,
    )


def failed_in(reads: Iterable[FileRead], total: int | None) -> int:
    """Requests that failed by what the files say. `reads` are those that show, one of a kind."""
    lines = failed = most = 0
    for read in reads:
        lines, failed, most = lines + read.lines, failed + read.failed, max(most, read.failed)
    # Some servers write a failed request into both files: then there are more lines than requests.
    twice = max(0, lines - total) if total else 0
    return max(most, failed - twice)
