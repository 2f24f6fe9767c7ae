"""The harness's own arithmetic of prices: integers only, independent of any gateway's.

USD is counted in pico-dollars (10**-12 USD), so a rate per million tokens is a whole number of pico-
dollars per token whenever it has at most six decimals. Task credits are whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

PICO_PER_USD = 10**12
_TOKENS_PER_RATE = 10**6

#: docs: gpt-5.5, Long-context tier (S2). Strictly more input than this moves the whole call.
LONG_CONTEXT_ABOVE = 272_000
#: The other reading of "272K", 272 * 1024; between the two the tier in use is only reported.
LONG_CONTEXT_BINARY = 272 * 1024


def pico_per_token(rate: str | float) -> int:
    """Pico-dollars per token from USD per one million tokens.

    Raises:
        ValueError: the rate is no number, negative, or not exact in pico-dollars also after the
            long-context factors 2 and 1.5.
    """
    try:
        exact = Decimal(str(rate)) * PICO_PER_USD / _TOKENS_PER_RATE
    except InvalidOperation:
        raise ValueError(f"{rate!r} is not a number of USD per one million tokens") from None
    if exact < 0 or exact != exact.to_integral_value() or int(exact) * 3 % 2:
        raise ValueError(
            f"the rate {rate} USD per one million tokens is not a whole, even number of pico-dollars per token"
        )
    return int(exact)


def pico_from_usd(amount: str | float) -> int:
    """Pico-dollars from a reading in USD; digits below one pico-dollar are cut.

    Raises:
        ValueError: the reading is no number.
    """
    try:
        return int(Decimal(str(amount)) * PICO_PER_USD)
    except (InvalidOperation, ValueError):
        raise ValueError(f"{amount!r} is not an amount of USD") from None


def usd(pico: int) -> str:
    """Pico-dollars as USD for people, without rounding."""
    text = f"{Decimal(pico) / PICO_PER_USD:.12f}".rstrip("0")
    return f"{text}0 USD" if text.endswith(".") else f"{text} USD"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `prompt` counts cached and written tokens in (reading C5)."""

    prompt: int
    completion: int
    cached: int = 0
    written: int = 0
    searches: int = 0


def price(usage: Usage, rates: dict[str, int], *, long_context: bool) -> int:
    """The bill of one call in pico-dollars.

    Source: Pricing of S0, S1, S2 and the long-context tier of S2. Written tokens leave the input term
    and enter a term of their own (reading C5).

    Args:
        usage: tokens as the provider reported them.
        rates: pico-dollars per token by `input`, `output`, and where needed `cache_read`,
            `cache_write`; `web_search` is pico-dollars per search.
        long_context: the whole call pays double input and one and a half times output.

    Raises:
        KeyError: the usage needs a rate that the card does not have.
    """
    plain = usage.prompt - usage.cached - usage.written
    bill_input = plain * rates["input"]
    if usage.cached:
        bill_input += usage.cached * rates["cache_read"]
    if usage.written:
        bill_input += usage.written * rates["cache_write"]
    bill_output = usage.completion * rates["output"]
    if long_context:
        bill_input, bill_output = bill_input * 2, bill_output * 3 // 2
    searches = usage.searches * rates["web_search"] if usage.searches else 0
    return bill_input + bill_output + searches
