"""How the words of a vendor and the figures of errors are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.advice import WORTH, advice_of
from dashboard.insight.retry import RETRY_REASONS
from dashboard.templatetags import errors as tags
from dashboard.templatetags.batches import mid


@given(st.text())
def test_words_are_escaped_isolated_and_without_control_characters(text: str) -> None:
    written = tags.said(text)
    inside = written.removeprefix("<bdi>").removesuffix("</bdi>")
    assert not set("<>\"'\x00\x07\x1b\x7f\x85") & set(inside)
    bare = tags.bare(text)
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\x1b") & set(bare)


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert tags.said("a\x1bb\x07\n\t") == "<bdi>a␛b␇\n\t</bdi>"
    assert tags.said(None) == "<bdi></bdi>"
    assert tags.said("\u202egnp.exe") == "<bdi>\ufffdgnp.exe</bdi>"
    assert mid("a-name-\u2066that-is-long") == "<span>a-name-\ufffdtha</span><span>t-is-long</span>"


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 100, "0 %"),
        (1, 3, "33 %"),
        (1, 30, "3.3 %"),
        (1, 10**6, "< 0.1 %"),
        (998, 1000, "99.8 %"),
        (999_999, 10**6, "> 99.9 %"),
        (3, 3, "100 %"),
        (1, 0, ""),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(part: int, whole: int, words: str) -> None:
    assert tags.share(part, whole) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (3_120, "3.1 kB"), (184_200, "184 kB"), (5 * 10**12, "5000 GB")],
)
def test_sizes_are_short(size: int | None, words: str) -> None:
    assert tags.size(size) == words


def test_every_reason_has_a_tag_and_a_sentence() -> None:
    for reason in RETRY_REASONS:
        advice = advice_of(reason)
        assert advice.words
        assert advice.sentence
        assert advice.is_worth is (reason in WORTH)
    assert advice_of("rate_limited").words == "worth a retry"
    assert advice_of("filtered").words == "will fail again"
    assert advice_of("too_long").words == "fix the input"
    assert advice_of("no such reason").words == "look"
    assert advice_of("").words == "look"
