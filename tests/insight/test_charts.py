"""Numbers placed for a drawing: what a chart promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.charts import HEADROOM, HEIGHT, Series, nice, stacked


@pytest.mark.parametrize(("value", "top"), [(0, 4), (3, 4), (5, 5), (11, 20), (199, 200), (201, 250), (4_001, 5_000)])
def test_a_scale_ends_at_a_round_number(value: int, top: int) -> None:
    assert nice(value) == top


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)), min_size=1, max_size=60))
def test_columns_never_leave_the_plot_and_lose_nothing(values: list[tuple[int, int]]) -> None:
    layers = [Series(str(n), f"layer {n}", [row[n] for row in values]) for n in range(2)]
    for wholes in ((), [max(1, sum(row)) for row in values]):
        chart = stacked([str(i) for i in range(len(values))], layers, wholes=wholes)
        for row, column in zip(values, chart.columns, strict=True):
            assert len(column.boxes) == sum(number > 0 for number in row)
            for box in column.boxes:
                assert float(box.y) >= HEADROOM - 2
                assert float(box.y) + float(box.height) <= HEIGHT + 0.2
        assert len(chart.x_ticks) <= 7
        assert len(chart.rows) == len(values)


def test_what_is_there_at_all_is_seen() -> None:
    chart = stacked(["a"], [Series("done", "done", [999_999]), Series("fail", "failed", [1])], wholes=[1_000_000])
    assert [float(box.height) >= 1.4 for box in chart.columns[0].boxes] == [True, True]
    assert chart.columns[0].words == "a · 999,999 done, 1 failed"


def test_a_missing_part_of_a_whole_stays_empty() -> None:
    (box,) = stacked(["a"], [Series("done", "done", [50])], wholes=[100]).columns[0].boxes
    assert float(box.height) == pytest.approx((HEIGHT - HEADROOM) / 2, abs=0.1)
