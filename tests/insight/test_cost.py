"""What a batch costs: exact, estimated or unknown, never made up and never asked of the network."""

import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.cost import Cost, Sureness, _priced, cost_of
from dashboard.models import Batch, Connection

MARCH, NOVEMBER = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)
OPENAI, AZURE, LAB = "https://api.openai.com/v1", "https://acme.openai.azure.com/openai/v1", "http://127.0.0.1:8000/v1"
MILLION = 1_000_000


def batch(base_url: str = OPENAI, **columns: Any) -> Batch:
    given: dict[str, Any] = {
        "model": "gpt-5-mini-2025-08-07",
        "status": "completed",
        "outcome": "succeeded",
        "is_open": False,
        "tokens_input": MILLION,
        "tokens_cached": 400_000,
        "tokens_output": 1_000,
        "finished_at": NOVEMBER,
    }
    return Batch(connection=Connection(base_url=base_url), **(given | columns))


def cost(made: Batch) -> Cost:
    found = cost_of(made)
    assert found is not None
    return found


def test_listed_batch_prices_make_it_exact() -> None:
    found = cost(batch())
    # 600,000 at 0.125, 400,000 at 0.0125 and 1,000 at 1 dollar a million.
    assert found.total == Decimal("0.0810")
    assert isinstance(found.total, Decimal)
    assert (found.sureness, found.notes) == (Sureness.EXACT, ())
    assert found.prices.startswith("genai-prices ")
    assert found.priced_at == NOVEMBER


@pytest.mark.parametrize(
    ("made", "total", "note"),
    [
        (batch(finished_at=MARCH), "0.0810", "Half of the standard price"),
        (batch(AZURE), "0.0810", "Half of the standard price"),
        (batch(model="text-embedding-3-small", tokens_cached=0, tokens_output=0), "0.01", "Half of the standard price"),
        (batch(LAB), "0.0810", "as if it ran at OpenAI"),
        (batch(tokens_cached=None), "0.1260", "No token was taken for cached"),
        (batch(tokens_cached=2 * MILLION), "0.0135", "More cached tokens"),
        (batch(is_open=True, status="in_progress", outcome="open"), "0.0810", "The batch has not ended."),
        (batch("https://openrouter.ai/api/v1", model="openai/gpt-oss-120b", tokens_cached=0), None, "standard price"),
    ],
    ids=["before batch prices", "azure", "embedding", "own server", "no cached", "cached", "running", "no discount"],
)
def test_what_was_assumed_is_said(made: Batch, total: str | None, note: str) -> None:
    found = cost(made)
    assert found.sureness == Sureness.ESTIMATED
    assert note in " ".join(found.notes)
    assert found.total
    assert total is None or found.total == Decimal(total)


@pytest.mark.parametrize(
    "made",
    [
        batch(model="nonsense-9"),
        batch(model=""),
        batch(model="<img src=x>" * 20),
        batch(model="ft:gpt-4o-mini:acme::x"),
        batch(model="omni-moderation"),
        batch(model="claude-sonnet-4-5"),
        batch(tokens_input=None, tokens_total=5),
        batch(tokens_output=None),
        batch(tokens_input=2**63),
        batch("not an address", model="nonsense-9"),
    ],
    ids=["unknown", "no model", "hostile", "fine-tuned", "no price", "another vendor's", "total", "one", "huge", "url"],
)
def test_what_has_no_price_is_unknown_and_never_nothing(made: Batch) -> None:
    found = cost(made)
    assert (found.sureness, found.total) == (Sureness.UNKNOWN, None)
    assert found.notes


@pytest.mark.parametrize("tokens", [0, None])
def test_without_tokens_there_is_nothing_to_price(tokens: int | None) -> None:
    made = batch(tokens_input=tokens, tokens_output=tokens, tokens_cached=tokens, tokens_total=tokens)
    assert cost_of(made) is None


number = st.one_of(st.none(), st.integers(0, 10**9), st.integers(-(2**63), 2**63))


@given(st.text(max_size=30), st.text(max_size=30), number, number, number)
def test_no_words_of_a_vendor_make_it_fail(model: str, address: str, read: int, cached: int, written: int) -> None:
    found = cost_of(batch(address, model=model, tokens_input=read, tokens_cached=cached, tokens_output=written))
    assert found is None or found.total is None or found.total >= 0


def test_prices_are_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        pytest.fail("somebody called out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    _priced.cache_clear()
    assert cost(batch(finished_at=NOVEMBER + timedelta(days=1))).total
    from genai_prices.data_snapshot import get_snapshot

    assert not get_snapshot().from_auto_update
