"""Numbers placed for a drawing: stacked columns with two axes, in SVG's own units, so no style attribute is needed.

Text stands outside of what stretches: the template draws the y axis, the plot and the x axis apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from dashboard.insight.outcome import count

HEIGHT = 148
HEADROOM = 16  # above the highest column, for the words of the one under the pointer
LABELS = 7
GAP = 0.22  # of a column's room
LEAST = 1.5


@dataclass(frozen=True, slots=True)
class Series:
    """One layer of the columns. `key` is its colour in the stylesheet."""

    key: str
    name: str
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Box:
    key: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Column:
    x: str
    width: str
    room_x: str
    room: str
    words: str
    boxes: tuple[Box, ...]
    href: str


@dataclass(frozen=True, slots=True)
class Tick:
    at: str
    words: str
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    legend: tuple[Series, ...]
    columns: tuple[Column, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    y_width: int
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    height: int = HEIGHT


def nice(value: float) -> int:
    """The next round number of a scale: 1, 2, 5, 10, 20, 50 ..."""
    if value <= 4:
        return 4
    step: int = 10 ** floor(log10(value))
    return next(ceil(step * factor) for factor in (1, 2, 2.5, 4, 5, 8, 10) if step * factor >= value)


def stacked(
    labels: Sequence[str],
    layers: Sequence[Series],
    *,
    hrefs: Sequence[str] = (),
    wholes: Sequence[int] = (),
    marks: Sequence[str] = (),
    top: int = 0,
) -> Chart:
    """A column for each label, its layers from the bottom up.

    `top` fixes the scale. With `wholes` a column is drawn as shares of its own whole, while its words and the table
    keep the numbers; what is missing of a whole stays empty. `marks` stand under the axis in place of the labels.
    """
    shown = tuple(layer for layer in layers if any(layer.values)) or tuple(layers[:1])
    sums = [sum(layer.values[i] for layer in shown) for i in range(len(labels))]
    unit = " %" if wholes else ""
    top = 100 if wholes else top or nice(max(sums, default=0))
    room = 100 / max(1, len(labels))
    return Chart(
        legend=shown,
        columns=tuple(
            Column(
                x=per_cent(room * (i + GAP / 2)),
                width=per_cent(room * (1 - GAP)),
                room_x=per_cent(room * i),
                room=per_cent(room),
                words=column_words(label, shown, i),
                boxes=boxes(shown, i, wholes[i] if wholes else top),
                href=hrefs[i] if hrefs else "",
            )
            for i, label in enumerate(labels)
        ),
        y_ticks=y_ticks(top, unit),
        x_ticks=x_ticks(marks or labels, room),
        y_width=8 + 7 * len(count(top) + unit),
        rows=tuple((label, tuple(layer.values[i] for layer in shown)) for i, label in enumerate(labels)),
    )


def column_words(label: str, shown: Sequence[Series], i: int) -> str:
    parts = [f"{count(layer.values[i])} {layer.name}" for layer in shown if layer.values[i]]
    return f"{label} · {', '.join(parts) or 0}"


def boxes(shown: Sequence[Series], i: int, top: int) -> tuple[Box, ...]:
    """From the axis up. What is there at all is seen: at least a pixel and a half, taken from the largest."""
    most = HEIGHT - HEADROOM
    heights = [max(LEAST, most * layer.values[i] / top) if layer.values[i] else 0.0 for layer in shown]
    if (over := sum(heights) - most) > 0:
        heights[heights.index(max(heights))] -= over
    placed, y = [], float(HEIGHT)
    for layer, height in zip(shown, heights, strict=True):
        if height > 0:
            y -= height
            placed.append(Box(layer.key, f"{y:.1f}", f"{height:.1f}"))
    return tuple(placed)


def y_ticks(top: int, unit: str, height: int = HEIGHT, headroom: int = HEADROOM) -> tuple[Tick, ...]:
    parts = next(parts for parts in (4, 5, 2, 1) if top % parts == 0)
    return tuple(
        Tick(f"{height - (height - headroom) * part / parts:.1f}", f"{count(top * part // parts)}{unit}")
        for part in range(parts + 1)
    )


def x_ticks(marks: Sequence[str], room: float) -> tuple[Tick, ...]:
    """A few of the marks, evenly; every other one is left out on a phone."""
    step = max(1, ceil(len(marks) / LABELS))
    return tuple(
        Tick(per_cent(room * (i + 0.5)), marks[i], is_optional=bool(n % 2))
        for n, i in enumerate(range(0, len(marks), step))
    )


def per_cent(value: float) -> str:
    return f"{round(value, 2):g}%"
