"""A wall's times are clear to whoever passes by."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from dashboard.templatetags.wall_words import at_words

NOW = datetime(2026, 11, 23, 22, 11, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("at", "said", "short"),
    [
        ((23, 22, 40), "22:40", "22:40"),
        ((24, 3, 0), "03:00", "03:00"),
        ((23, 0, 43), "00:43", "00:43"),
        ((24, 22, 10), "Tue 22:10", "Tue 22:10"),  # "22:10" alone would seem to be over
        ((22, 23, 0), "Sun 23:00", "Sun 23:00"),
        ((30, 8, 0), "30 Nov 08:00", "30 Nov"),
    ],
)
def test_a_time_is_never_taken_for_that_of_another_day(
    monkeypatch: pytest.MonkeyPatch, at: tuple[int, int, int], said: str, short: str
) -> None:
    clock: Callable[[], datetime] = lambda: NOW  # noqa: E731
    monkeypatch.setattr(timezone, "now", clock)
    with timezone.override("UTC"):
        then = datetime(2026, 11, *at, tzinfo=UTC)
        assert (at_words(then), at_words(then, short=True)) == (said, short)
