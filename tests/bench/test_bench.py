"""The benchmark can fail: a figure of work that was not done is worse than none. Nothing here looks at a clock."""

import time
from pathlib import Path

import pytest

from tests.bench.__main__ import table
from tests.bench.figures import Row, Wrong, must_be, p95, ratios
from tests.bench.imports import contend, prove_it_can_fail
from tests.bench.processes import simulator


def test_a_wrong_count_raises() -> None:
    must_be("batches", 100, 100)
    with pytest.raises(Wrong, match="99 instead of 100"):
        must_be("batches", 99, 100)


@pytest.mark.process
def test_every_contender_passes_with_all_batches_and_fails_with_one_missing(tmp_path: Path) -> None:
    with simulator(tmp_path, 120, int(time.time())) as base_url:
        for name in ("ours", "sdk", "floor"):
            assert contend(name, base_url, 120, tmp_path / name)["seconds"] > 0
        prove_it_can_fail(base_url, 120, tmp_path)


def test_a_ratio_is_taken_round_by_round() -> None:
    figure = ratios([1.0, 9.0, 3.0], [2.0, 9.0, 1.0])
    assert (figure.low, figure.median, figure.high) == (0.5, 1.0, 3.0)


def test_p95_of_a_hundred_leaves_five_above() -> None:
    assert p95([float(number) for number in range(100)]) == 94.0


def test_the_table_says_plainly_what_was_missed() -> None:
    text = table([Row("a", "1", "1 .. 1", "≤ 2", True), Row("b", "3", "3 .. 3", "≤ 2", False)])
    assert "| a | 1 | 1 .. 1 | ≤ 2 | met |\n| b | 3 | 3 .. 3 | ≤ 2 | **missed** |" in text
