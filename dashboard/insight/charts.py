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
    anchor: str = "middle"
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    legend: tuple[Series, ...]
    columns: tuple[Column, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    y_width: int
    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    height: int = HEIGHT


def nice(value: float) -> int:
    """The next round number of a scale: 1, 2, 5, 10, 20, 50 ..."""
    if value <= 4:
        return 4
    step: int = 10 ** floor(log10(value))
    return next(ceil(step * factor) for factor in (1, 2, 2.5, 4, 5, 8, 10) if step * factor >= value)


def stacked(
    labels: Sequence[str], layers: Sequence[Series], hrefs: Sequence[str] = (), *, top: int = 0, unit: str = ""
) -> Chart:
    """A column for each label, its layers from the bottom up. `top` fixes the scale, as for shares of a hundred."""
    shown = tuple(layer for layer in layers if any(layer.values)) or tuple(layers[:1])
    sums = [sum(layer.values[i] for layer in shown) for i in range(len(labels))]
    top = top or nice(max(sums, default=0))
    room = 100 / max(1, len(labels))
    return Chart(
        legend=shown,
        columns=tuple(
            Column(
                x=per_cent(room * (i + GAP / 2)),
                width=per_cent(room * (1 - GAP)),
                room_x=per_cent(room * i),
                room=per_cent(room),
                words=column_words(label, shown, i, unit),
                boxes=boxes(shown, i, top),
                href=hrefs[i] if i < len(hrefs) else "",
            )
            for i, label in enumerate(labels)
        ),
        y_ticks=y_ticks(top, unit),
        x_ticks=x_ticks(labels, room),
        y_width=8 + 7 * len(count(top) + unit),
        labels=tuple(labels),
        rows=tuple((label, tuple(layer.values[i] for layer in shown)) for i, label in enumerate(labels)),
    )


def column_words(label: str, shown: Sequence[Series], i: int, unit: str) -> str:
    parts = [f"{count(layer.values[i])}{unit} {layer.name}" for layer in shown if layer.values[i]]
    return f"{label} · {', '.join(parts)}" if parts else f"{label} · 0"


def boxes(shown: Sequence[Series], i: int, top: int) -> tuple[Box, ...]:
    """From the axis up. What is there at all is seen: at least a pixel and a half."""
    placed, y = [], float(HEIGHT)
    for layer in shown:
        if layer.values[i]:
            height = max(1.5, (HEIGHT - HEADROOM) * min(1.0, layer.values[i] / top))
            y = max(0.0, y - height)
            placed.append(Box(layer.key, f"{y:.1f}", f"{height:.1f}"))
    return tuple(placed)


def y_ticks(top: int, unit: str) -> tuple[Tick, ...]:
    parts = next(parts for parts in (4, 5, 2, 1) if top % parts == 0)
    return tuple(
        Tick(f"{HEIGHT - (HEIGHT - HEADROOM) * part / parts:.1f}", f"{count(top * part // parts)}{unit}")
        for part in range(parts + 1)
    )


def x_ticks(labels: Sequence[str], room: float) -> tuple[Tick, ...]:
    """A few of the labels, evenly; every other one is left out on a phone."""
    step = max(1, ceil(len(labels) / LABELS))
    places = range(0, len(labels), step)
    return tuple(Tick(per_cent(room * (i + 0.5)), labels[i], is_optional=bool(n % 2)) for n, i in enumerate(places))


def per_cent(value: float) -> str:
    return f"{round(value, 2):g}%"
