"""What a batch's tokens cost at its vendor's list prices, how sure that is, and what was assumed.

Prices are those that come with the package genai-prices, as of the day on which the batch ended: nothing is fetched.
An invoice may say otherwise, and what has no price is unknown, never free.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from dashboard.models import Batch

# Vendors whose batch API takes half of the standard price, for what the package has no batch price of.
HALF_PRICE = frozenset({"openai", "azure", "anthropic", "google", "groq", "mistral", "together"})
MOST_TOKENS = 10**15  # beyond this somebody is joking


class Sureness(StrEnum):
    EXACT = "exact"  # the vendor's own token counts at a listed batch price
    ESTIMATED = "estimated"  # something was assumed
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cost:
    """In US dollars; `total` is None when unknown, and `notes` say why, or what was assumed."""

    sureness: Sureness
    total: Decimal | None = None
    notes: tuple[str, ...] = ()
    prices: str = ""  # which: the version of the package
    priced_at: datetime | None = None  # the day whose prices these are


@dataclass(frozen=True, slots=True)
class _Priced:
    total: Decimal
    vendor: str  # as people call it
    is_batch_price: bool
    is_half: bool
    is_guessed: bool  # no vendor is known at that address: by the model's name


def cost_of(batch: Batch) -> Cost | None:
    """None before there are tokens to price."""
    used = (batch.tokens_input, batch.tokens_cached, batch.tokens_output)
    if not (batch.tokens_input or batch.tokens_output or batch.tokens_total):
        return None
    if batch.tokens_input is None or batch.tokens_output is None:
        return _unknown(_("The vendor does not say how many tokens went in and how many came out."))
    if not batch.model:
        return _unknown(_("The vendor does not say which model answered."))
    if max(value or 0 for value in used) > MOST_TOKENS or min(value or 0 for value in used) < 0:
        return _unknown(_("No batch has so many tokens."))
    at = batch.finished_at or batch.created_at or batch.asked_at
    cached = min(batch.tokens_cached or 0, batch.tokens_input)
    priced = _priced(
        batch.model, batch.connection.base_url, at.date().isoformat(), batch.tokens_input, cached, batch.tokens_output
    )
    if priced is None:
        return _unknown(_("There is no list price for this model at this vendor."))
    notes = _assumed(batch, priced, cached)
    sureness = Sureness.ESTIMATED if notes else Sureness.EXACT
    return Cost(sureness, priced.total, notes, version(), at)


def _unknown(why: str) -> Cost:
    return Cost(Sureness.UNKNOWN, notes=(why,))


def _assumed(batch: Batch, priced: _Priced, cached: int) -> tuple[str, ...]:
    notes = []
    if priced.is_guessed:
        notes.append(
            _("Priced as if it ran at %(vendor)s: no price list is known for its address.") % {"vendor": priced.vendor}
        )
    if priced.is_half:
        notes.append(_("Half of the standard price, as batches usually cost there."))
    elif not priced.is_batch_price:
        notes.append(_("The standard price: no discount for batches is known there."))
    if batch.tokens_cached is None:
        notes.append(_("No token was taken for cached, as the vendor does not say."))
    elif cached != batch.tokens_cached:
        notes.append(_("More cached tokens were reported than tokens went in; the rest was left out."))
    if batch.is_open:
        notes.append(_("The batch has not ended."))
    return tuple(notes)


@lru_cache(2_000)
def _priced(model: str, base_url: str, day: str, read: int, cached: int, written: int) -> _Priced | None:
    # Loading the prices takes a second and 90 MB: only for who sees a batch that has tokens.
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=read, cache_read_tokens=cached, output_tokens=written)
    at = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    parts = urlsplit(base_url)
    where: list[dict[str, Any]] = [{"provider_api_url": f"{parts.scheme}://{parts.netloc}{parts.path}"}, {}]
    for place in where:
        try:
            standard = calc_price(usage, model, genai_request_timestamp=at, **place)
            batched = calc_price(
                usage, model, genai_request_timestamp=at, price_context={"processing": "batch"}, **place
            )
        except (LookupError, ValueError):
            if place and _is_known_address(place["provider_api_url"]):
                return None  # a vendor whose list lacks the model: another's price would be made up
            continue
        price = batched.model_price
        if (read and price.input_mtok is None) or (written and price.output_mtok is None):
            return None
        is_batch_price = batched.model_price != standard.model_price
        is_half = not is_batch_price and standard.provider.id in HALF_PRICE
        total = batched.total_price / 2 if is_half else batched.total_price
        return _Priced(total, batched.provider.name, is_batch_price, is_half, is_guessed=not place)
    return None


def _is_known_address(address: str) -> bool:
    from genai_prices.data_snapshot import get_snapshot

    try:
        get_snapshot().find_provider(None, None, address)
    except LookupError:
        return False
    return True


@lru_cache(1)
def version() -> str:
    """Of the price list."""
    from importlib.metadata import version as version_of

    return f"genai-prices {version_of('genai-prices')}"
