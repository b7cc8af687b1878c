"""How money is written."""

from decimal import Decimal

import pytest

from dashboard.templatetags.course import money


@pytest.mark.parametrize(
    ("dollars", "words"),
    [
        ("1204.304", "$1,204.30"),
        ("1", "$1.00"),
        ("0.081", "$0.081"),
        ("0.24", "$0.24"),
        ("0.2451", "$0.25"),
        ("0.000123", "$0.00012"),
        ("0.00009", "< $0.0001"),
        ("0", "$0"),
        ("20752587082923.245568", "$20,752,587,082,923.25"),
    ],
)
def test_money_is_short_and_never_looks_like_nothing(dollars: str, words: str) -> None:
    assert money(Decimal(dollars)) == words
