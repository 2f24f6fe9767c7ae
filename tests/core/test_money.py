"""Prices are whole pico-dollars, and the boundary reprices the whole call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.money import Usage, pico_from_usd, pico_per_token, price, usd

GPT = {"input": pico_per_token(5), "output": pico_per_token(30)}
OPUS_USD: dict[str, str] = {"input": "5", "output": "25", "cache_read": "0.5", "cache_write": "6.25"}
OPUS = {name: pico_per_token(rate) for name, rate in OPUS_USD.items()}


def test_a_plain_call_costs_input_and_output() -> None:
    assert price(Usage(12, 9), GPT, long_context=False) == 12 * 5_000_000 + 9 * 30_000_000


def test_the_long_tier_doubles_input_and_adds_half_of_output_from_the_first_token() -> None:
    usage = Usage(280_000, 1_000)
    assert price(usage, GPT, long_context=True) == 280_000 * 10_000_000 + 1_000 * 45_000_000


def test_cached_and_written_tokens_leave_the_input_term() -> None:
    usage = Usage(prompt=100, completion=0, cached=60, written=30)
    assert price(usage, OPUS, long_context=False) == 10 * 5_000_000 + 60 * 500_000 + 30 * 6_250_000


def test_a_needed_rate_that_is_missing_is_an_error_not_a_zero() -> None:
    with pytest.raises(KeyError, match="cache_read"):
        price(Usage(10, 0, cached=5), GPT, long_context=False)


@pytest.mark.parametrize("rate", ["0.0000001", "-1", "much", "0.000001"])
def test_a_rate_that_is_not_exact_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match=r"USD|number"):
        pico_per_token(rate)


@given(st.integers(0, 10**18))
def test_usd_text_loses_nothing(pico: int) -> None:
    assert pico_from_usd(usd(pico).removesuffix(" USD")) == pico


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_long_tier_is_exact(prompt: int, completion: int) -> None:
    long = price(Usage(prompt, completion), GPT, long_context=True)
    assert 2 * long == 2 * 2 * prompt * GPT["input"] + 3 * completion * GPT["output"]
