"""Hundreds of batches drawn as squares, one path for each state so that five hundred stay small; more as bars."""

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

from dashboard.insight.board import Line
from dashboard.models import Reason
from dashboard.models.batch import Status

MOST_SQUARES = 800  # more of them would be smaller than 8 pixels on a small screen, and the answer too large
CELL = 10
ASPECT = 1.25  # of the drawing, width to height
STILL = {Reason.STALLED.value, Reason.CANCEL_STUCK.value}
# Each kind: its class in the stylesheet, and how one is drawn in a cell of ten units, moved to its place.
SHAPES = {
    "run": "",
    "validating": "m2 2h6v6h-6z",
    "finalizing": "m5 1a4 4 0 1 1 0 8a4 4 0 1 1 0-8",
    "risk": "m5 0l5 9h-10z",
    "failed": "m1.5 1.5l7 7m0-7l-7 7",
    "stalled": "m1 1h3v8h-3zm5 0h3v8h-3z",
    "cancelling": "m1.5 8.5l7-7M1.8 1.8h6.4v6.4h-6.4z",
    "stale": "m2 2h6v6h-6z",
    "unknown": "m5 1l4 4l-4 4l-4-4z",
}


def kind_of(line: Line) -> str:
    """How an open batch is drawn: what is wrong with it, else its status."""
    if line.as_of:
        return "stale"
    if line.need:
        if line.is_late:
            return "risk"
        if line.need.reason in STILL:
            return "stalled"
        if line.need.reason == Reason.HIGH_FAILED_SHARE:
            return "failed"
    match line.batch.status:
        case Status.VALIDATING | Status.FINALIZING | Status.CANCELLING:
            return line.batch.status
        case Status.IN_PROGRESS:
            return "run"
    return "unknown"


def share_of(line: Line) -> float:
    """How much of it is processed, from 0 to 1."""
    done = (line.batch.requests_completed or 0) + (line.batch.requests_failed or 0)
    return min(1.0, done / line.batch.requests_total) if line.batch.requests_total else 0.0


@dataclass(frozen=True, slots=True)
class Squares:
    """One path for each kind, the empty and the filled part of what runs apart; and how many there are of each."""

    width: int
    height: int
    paths: dict[str, str]
    counts: Tally[str]


def squares(lines: Sequence[Line], aspect: float = ASPECT) -> Squares:
    """In the order of the lines, row by row."""
    columns = max(1, ceil(sqrt(len(lines) * aspect)))
    paths: dict[str, list[str]] = {}
    counts: Tally[str] = Tally()
    for i, line in enumerate(lines):
        row, column = divmod(i, columns)
        x, y, kind = column * CELL, row * CELL, kind_of(line)
        counts[kind] += 1
        if kind == "run":
            # Strokes of a square's width: half as many letters as squares.
            filled = round(8 * share_of(line))
            if filled < 8:
                paths.setdefault("rest", []).append(f"M{x + 5} {y + 1}v{8 - filled}")
            if filled:
                paths.setdefault("run", []).append(f"M{x + 5} {y + 9}v-{filled}")
        elif kind == "cancelling":
            paths.setdefault(kind, []).append(f"M{x + 1.5:g} {y + 8.5:g}l7-7M{x + 1.8:g} {y + 1.8:g}h6.4v6.4h-6.4z")
        else:
            paths.setdefault(kind, []).append(f"M{x} {y}{SHAPES[kind]}")
    drawn = {kind: "".join(pieces) for kind, pieces in paths.items()}
    return Squares(columns * CELL, ceil(len(lines) / columns) * CELL, drawn, counts)


@dataclass(frozen=True, slots=True)
class Bar:
    """All of one connection: how many of each kind, and where they stand, in per cent."""

    connection_id: int
    number: int
    pieces: list[tuple[str, float, float]]  # kind, x, width


def bars(lines: Sequence[Line], most: int) -> list[Bar]:
    """Of the connections with the most."""
    by_connection: dict[int, Tally[str]] = {}
    for line in lines:
        by_connection.setdefault(line.batch.connection_id, Tally())[kind_of(line)] += 1
    largest = sorted(by_connection.items(), key=lambda one: -one[1].total())[:most]
    found = []
    for connection, counts in largest:
        pieces, at = [], 0.0
        for kind in SHAPES:
            if counts[kind]:
                width = 100 * counts[kind] / counts.total()
                pieces.append((kind, round(at, 2), round(width, 2)))
                at += width
        found.append(Bar(connection, counts.total(), pieces))
    return found
