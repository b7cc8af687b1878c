"""Counts and lines side by side."""

import pytest

from dashboard.insight.account import account_of, failed_in
from dashboard.models import Batch, FileRead

OUTPUT = FileRead(kind="output", state="read", succeeded=7)
ERROR = FileRead(kind="error", state="read", failed=2, never_ran=1)
BOTH = {"output_file_id": "o", "error_file_id": "e"}


def batch(**columns: object) -> Batch:
    return Batch(requests_total=10, requests_completed=7, requests_failed=2, **columns)


@pytest.mark.parametrize(
    ("files", "reads", "unaccounted", "agrees"),
    [
        (BOTH, [OUTPUT, ERROR], 0, True),
        (BOTH, [ERROR], None, None),
        ({"error_file_id": "e"}, [ERROR], 7, False),
        (BOTH, [FileRead(kind="output", state="read", succeeded=5), ERROR], 2, False),
        (BOTH, [OUTPUT, FileRead(kind="error", state="read", failed=2, bad_lines=1)], 0, True),
        (BOTH, [OUTPUT, FileRead(kind="error", state="read", failed=2, is_capped=True)], None, None),
        (BOTH, [OUTPUT, FileRead(kind="error", state="gone", failed=2)], None, None),
        (BOTH, [FileRead(kind="output", state="read", succeeded=7, failed=2, never_ran=2), ERROR], -4, False),
    ],
)
def test_counts_and_lines(
    files: dict[str, str], reads: list[FileRead], unaccounted: int | None, agrees: object
) -> None:
    account = account_of(batch(**files), reads)
    assert (account.unaccounted, account.agrees) == (unaccounted, agrees)


def test_without_the_vendors_counts_nobody_can_say() -> None:
    account = account_of(Batch(**BOTH), [OUTPUT, ERROR])
    assert (account.unaccounted, account.agrees, account.lines_failed) == (None, None, 2)


@pytest.mark.parametrize(
    ("output", "error", "failed"),
    [
        ((100, 3), None, 3),
        ((97, 0), (3, 3), 3),
        ((95, 2), (5, 5), 7),
        ((100, 3), (3, 3), 3),  # in both files
        ((110, 5), None, 5),  # the output repeats itself
    ],
)
def test_a_request_that_stands_in_both_files_failed_once(
    output: tuple[int, int], error: tuple[int, int] | None, failed: int
) -> None:
    reads = [FileRead(lines=lines, failed=number) for lines, number in filter(None, (output, error))]
    assert failed_in(reads, 100) == failed
