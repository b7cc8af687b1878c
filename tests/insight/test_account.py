"""What files say of how many requests failed."""

import pytest

from dashboard.insight.account import failed_in
from dashboard.models import FileRead


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
