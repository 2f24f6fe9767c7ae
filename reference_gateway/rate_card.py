"""The rate card: every price in force, under a version that is the digest of its text.

Each charge names the version it was computed by, and the ledger keeps the cards, so that any bill can be worked out
again long after the rates have changed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from reference_gateway.config import ChatModel, GatewayConfig, Rates
from reference_gateway.jsonwire import JsonObject, encode

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class RateCard:
    """One edition of the prices; `card` is JSON."""

    version: str
    card: bytes


def rate_card(config: GatewayConfig) -> RateCard:
    """The prices of a configuration: pico-dollars per token and search, credits per task."""
    card = encode(
        {
            "chat": _models(config.models),
            "aimlapi": _models(config.aimlapi.models),
            "web_search_fee": str(config.web_search_fee),
            "tasks": {
                name: {"credits": model.price, "per": model.price_per}
                for name, model in sorted(config.task_models.items())
            },
        }
    )
    return RateCard(hashlib.sha256(card).hexdigest()[:_DIGITS], card)


def _models(models: Mapping[str, ChatModel]) -> JsonObject:
    return {name: _model(model) for name, model in sorted(models.items())}


def _model(model: ChatModel) -> JsonObject:
    tier = model.long_context
    return {
        "standard": _rates(model.rates),
        "long_context": None if tier is None else {"above": tier.above, **_rates(tier.rates)},
    }


def _rates(rates: Rates) -> JsonObject:
    return {
        "input": str(rates.input),
        "output": str(rates.output),
        "cache_read": str(rates.input if rates.cache_read is None else rates.cache_read),
        "cache_write": str(rates.input if rates.cache_write is None else rates.cache_write),
    }
