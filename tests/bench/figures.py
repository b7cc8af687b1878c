"""What was measured, as numbers with their spread and as rows of the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

ROUNDS = 5


class Wrong(Exception):
    """Something did not do what it was timed for. There is no result then, however fast it was."""


def must_be(what: str, seen: object, wanted: object) -> None:
    """Raises Wrong unless what was seen is what was wanted."""
    if seen != wanted:
        raise Wrong(f"{what}: {seen!r} instead of {wanted!r}")


@dataclass(frozen=True)
class Spread:
    """One figure, measured several times."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Round by round: both halves of a ratio saw the machine in the same minute."""
    must_be("rounds of both sides", len(ours), len(theirs))
    return Spread([one / other for one, other in zip(ours, theirs, strict=True)])


def p95(seconds: Sequence[float]) -> float:
    """The nearest rank, never an interpolation between two requests that nobody made."""
    return sorted(seconds)[ceil(len(seconds) * 0.95) - 1]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    seen: str
    spread: str
    bar: str
    met: bool

    @property
    def verdict(self) -> str:
        return "met" if self.met else "**missed**"


def ratio_row(what: str, figure: Spread, bar: float, stretch: float | None = None, note: str = "") -> Row:
    wanted = f"≤ {bar:g}" + (f" (stretch {stretch:g})" if stretch else "")
    spread = f"{figure.low:.2f} .. {figure.high:.2f}"
    return Row(what, f"{figure.median:.2f}{note}", spread, wanted, figure.median <= bar)
