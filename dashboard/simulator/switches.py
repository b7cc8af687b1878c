"""How faults are registered, switched on and counted down; `faults.py` holds the faults themselves."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from dashboard.simulator.answers import Request, Response

if TYPE_CHECKING:
    from dashboard.simulator.world import World


@dataclass(slots=True)
class Fault:
    """A fault that is switched on."""

    kind: str
    value: str | None  # its argument, meaning and default depend on the kind
    count: int | None  # how many more requests it hits; None is no end
    only: str | None  # the one kind of request that it hits, as in `answers.What`

    def number(self, default: float) -> float:
        """The argument as a number."""
        return default if self.value is None else float(self.value)


type Before = Callable[[Request, Fault, World], Response | None]
type After = Callable[[Request, Response, Fault, World], None]


@dataclass(slots=True)
class Kind:
    """What a fault does, and to which requests."""

    says: str
    hits: frozenset[str]  # empty: all requests
    before: Before | None = None
    after: After | None = None


KINDS: dict[str, Kind] = {}


def before(*hits: str) -> Callable[[Before], Before]:
    """Registers a fault that acts ahead of the answer, or in its place."""

    def register(act: Before) -> Before:
        _kind(act, hits).before = act
        return act

    return register


def after(*hits: str) -> Callable[[After], After]:
    """Registers a fault that changes the answer."""

    def register(act: After) -> After:
        _kind(act, hits).after = act
        return act

    return register


def _kind(act: Callable[..., Any], hits: tuple[str, ...]) -> Kind:
    # A leading underscore marks the second half of a fault that has both.
    return KINDS.setdefault(act.__name__.removeprefix("_"), Kind(act.__doc__ or "", frozenset(hits)))


class Faults:
    """The faults of a world that are switched on now."""

    def __init__(self) -> None:
        self._on: list[Fault] = []
        self._lock = Lock()

    def add(self, kind: str, value: object = None, *, count: int | None = None, only: str | None = None) -> None:
        """Switches a fault on: for `count` requests or until removed, for all requests it fits or `only` one kind."""
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}; there are: {', '.join(sorted(KINDS))}")
        with self._lock:
            self._on.append(Fault(kind, None if value is None else str(value), count, only))

    def parse(self, text: str) -> None:
        """Switches on a fault as written on a command line: KIND[@REQUEST][=VALUE][*COUNT]."""
        found = re.fullmatch(r"(\w+)(?:@(\w+))?(?:=(.*?))?(?:\*(\d+))?", text)
        if not found:
            raise ValueError(f"cannot read fault {text!r}: write KIND[@REQUEST][=VALUE][*COUNT]")
        self.add(found[1], found[3], count=int(found[4]) if found[4] else None, only=found[2])

    def remove(self, kind: str) -> None:
        """Switches all faults of a kind off."""
        with self._lock:
            self._on = [fault for fault in self._on if fault.kind != kind]

    def clear(self) -> None:
        """Switches everything off."""
        with self._lock:
            self._on = []

    def is_on(self, kind: str) -> bool:
        """Whether a fault of a kind waits for requests; False once those it counted down have come."""
        return any(fault.kind == kind for fault in self._on)

    def take(self, what: str) -> list[Fault]:
        """The faults that hit a request, each counted down."""
        if not self._on:
            return []
        with self._lock:
            taken = [f for f in self._on if what in (KINDS[f.kind].hits or {what}) and f.only in (None, what)]
            for fault in taken:
                fault.count = None if fault.count is None else fault.count - 1
            self._on = [fault for fault in self._on if fault.count != 0]
        return taken
