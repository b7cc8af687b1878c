"""Looking a message up by what it has in common with others never puts two errors into one group."""

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.insight.signature import signature_of
from dashboard.models import ErrorGroup
from dashboard.sync.grouping import Grouper, told_apart
from tests.insight.test_signature import MESSAGES


def other_digits(message: str, digits: str) -> str:
    """The message with its digits replaced, one after another."""
    turn = iter(range(10_000))
    return "".join(digits[next(turn) % len(digits)] if one.isascii() and one.isdigit() else one for one in message)


@given(st.sampled_from(MESSAGES), st.text("0123456789", min_size=1, max_size=40))
@settings(max_examples=1_000, deadline=None)
def test_what_looks_the_same_has_the_same_signature(message: str, digits: str) -> None:
    other = other_digits(message, digits)
    if told_apart(message.encode()) == told_apart(other.encode()):
        assert signature_of(400, "c", message) == signature_of(400, "c", other)


def test_every_message_is_in_the_group_of_its_signature(db: None) -> None:
    grouper = Grouper(timezone.now())
    for message in [*MESSAGES, *(other_digits(message, "7302519") for message in MESSAGES), *MESSAGES][:150]:
        group = ErrorGroup.objects.get(pk=grouper.group_of(400, "c", message))
        assert group.signature == signature_of(400, "c", message).key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("You sent 131542 tokens.", "You sent 100001 tokens.", True),
        ("The server answered 403.", "The server answered 500.", False),
        ("Use 'b64_json'.", "Use 'b32_json'.", False),
        ("Try again in 20s.", "Try again in 31s.", True),
        ("Request req_0f9a8b7c6d5e4f3a2b1c failed.", "Request req_aa9a8b7c6d5e4f3a2b1c failed.", True),
        ("Request abcdefghijklmnopqrstuvwxyz failed.", "Request zyxwvutsrqponmlkjihgfedcba failed.", False),
    ],
)
def test_what_is_told_apart(one: str, other: str, *, same: bool) -> None:
    assert (told_apart(one.encode()) == told_apart(other.encode())) is same
