"""How times and durations are written."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from dashboard.templatetags import times as tags


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (47_460, "13 h 11 min"),
        (86_400, "24 h"),
        (172_800, "2 d"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert tags.duration(seconds) == words
    assert tags.duration(timedelta(seconds=seconds)) == words


def test_what_is_not_known_is_written_as_nothing() -> None:
    assert tags.duration(None) == ""
    assert tags.ago(None) == ""
    assert tags.clock(None) == ""


def test_a_time_of_another_day_says_so() -> None:
    noon = timezone.localtime().replace(hour=12, minute=5, second=9)
    assert tags.clock_words(noon) == "12:05"
    assert tags.clock_words(noon, "s") == "12:05:09"
    assert tags.clock_words(noon + timedelta(days=1)) == "12:05 +1 d"
    assert re.fullmatch(r"\d+ \w{3}( \d{4})? 12:05", tags.clock_words(noon - timedelta(days=1)))


def test_tomorrow_is_said_in_the_language_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "_", lambda words: words.replace(" d", " T"))
    noon = timezone.localtime().replace(hour=12, minute=5)
    assert tags.clock_words(noon + timedelta(days=1)) == "12:05 +1 T"


def test_a_time_to_come_counts_down() -> None:
    assert ">in 59 s<" in tags.ago(timezone.now() + timedelta(seconds=59.9))
    assert ">1 min ago<" in tags.ago(timezone.now() - timedelta(seconds=61))
