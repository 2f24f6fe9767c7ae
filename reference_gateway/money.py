"""Money as integers: one US dollar is 10**12 pico-dollars, so that every per-token rate is a whole number.

Amounts enter and leave as decimal text; nothing in between is a float.
Source: public docs, Pricing of each model (rates are per 1,000,000 tokens).
"""

from decimal import Decimal, InvalidOperation

PICO_PER_USD = 10**12
TOKENS_PER_RATE = 10**6
# SQLite keeps 64-bit integers; a tenth of that leaves room for any sum of two balances.
MOST_USD = 900_000


class MoneyError(ValueError):
    """An amount that is no decimal number, or that does not fit into whole pico-dollars."""


def pico_from_usd(text: str) -> int:
    """Read a dollar amount such as "12.5" into pico-dollars; `MoneyError` when it is not exact or out of range."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise MoneyError(f"{text!r} is not a decimal amount of US dollars; write it like 12.5") from error
    if not value.is_finite() or abs(value) > MOST_USD:
        raise MoneyError(f"{text!r} is out of range; an amount is at most {MOST_USD} US dollars")
    return _whole(value * PICO_PER_USD, text, "pico-dollars")


def usd_from_pico(pico: int) -> str:
    """Write pico-dollars as the shortest exact decimal text in dollars, without an exponent."""
    sign = "-" if pico < 0 else ""
    whole, part = divmod(abs(pico), PICO_PER_USD)
    return f"{sign}{whole}.{part:012d}".rstrip("0").rstrip(".")


def pico_per_token(usd_per_million: str, factor: str = "1") -> int:
    """Turn a rate in dollars per million tokens, times a factor, into pico-dollars per token; inexact is refused."""
    try:
        value = Decimal(usd_per_million) * Decimal(factor)
    except InvalidOperation as error:
        raise MoneyError(
            f'rate {usd_per_million!r} x {factor!r} is not a decimal number; write rates as text like "2.50"',
        ) from error
    if not value.is_finite() or value < 0 or value > MOST_USD:
        raise MoneyError(f"rate {usd_per_million!r} x {factor!r} must lie between 0 and {MOST_USD} dollars")
    scaled = value * PICO_PER_USD / TOKENS_PER_RATE
    return _whole(scaled, f"{usd_per_million} x {factor}", "pico-dollars per token")


def _whole(value: Decimal, text: str, unit: str) -> int:
    if value != value.to_integral_value():
        raise MoneyError(f"{text} is not a whole number of {unit}; give fewer decimal places")
    return int(value)
