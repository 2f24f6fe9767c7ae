"""What a call cost, as this vendor tells it: credits and dollars, in the body or the last chunk, and in headers.

Source: public docs, Request tracing and cost; 2,000,000 credits are one dollar in both samples there.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import orjson

from reference_gateway.jsonwire import JsonObject
from reference_gateway.money import PICO_PER_USD, usd_from_pico
from reference_gateway.pricing import Charge

CREDITS_PER_USD: Final = 2_000_000


class CostReport:
    """Writes a charge; a call without one has cost nothing."""

    def credits(self, pico: int) -> str:
        """Credits as exact decimal text."""
        return f"{(Decimal(pico * CREDITS_PER_USD) / PICO_PER_USD).normalize():f}"

    def usd(self, pico: int) -> str:
        """Dollars as exact decimal text."""
        return usd_from_pico(pico)

    def meta(self, charge: Charge | None) -> JsonObject:
        """The member `meta` of a reply; the figures are JSON numbers."""
        pico = _total(charge)
        figures = {"credits_used": self.credits(pico), "usd_spent": self.usd(pico)}
        return {"usage": {name: orjson.Fragment(text) for name, text in figures.items()}}

    def headers(self, charge: Charge | None) -> Mapping[str, str]:
        """The headers of a whole reply; streams have none, for their cost is not known at the beginning."""
        pico = _total(charge)
        return {"x-aimlapi-credits-used": self.credits(pico), "x-aimlapi-usd-spent": self.usd(pico)}


def _total(charge: Charge | None) -> int:
    return 0 if charge is None else charge.total
