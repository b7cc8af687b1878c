"""A world with a clock that tests turn, and the official SDK talking to it over a real socket."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from openai import OpenAI

from dashboard.simulator import KEY, World, serve

START = 1_780_000_000.0


@dataclass
class Clock:
    """A clock that stands still until a test turns it."""

    at: float = START

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    """Quiet: 250 batches, all of them over."""
    return World(250, clock=clock, open=0, failing=0.0, read_only_keys=["sk-look-but-do-not-touch"])


@pytest.fixture
def base_url(world: World) -> Iterator[str]:
    with serve(world) as url:
        yield url


@pytest.fixture
def sdk(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key=KEY, max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
def http(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {KEY}"}, timeout=10) as client:
        yield client
