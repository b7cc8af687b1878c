"""What the lines of a batch's files come to, where its vendor's counts say otherwise."""

from collections.abc import Iterable

from dashboard.models import FileRead


def failed_in(reads: Iterable[FileRead], total: int | None) -> int:
    """Requests that failed by what the files say. `reads` are those that show, one of a kind."""
    lines = failed = most = 0
    for read in reads:
        lines, failed, most = lines + read.lines, failed + read.failed, max(most, read.failed)
    # Some servers write a failed request into both files: then there are more lines than requests.
    twice = max(0, lines - total) if total else 0
    return max(most, failed - twice)
