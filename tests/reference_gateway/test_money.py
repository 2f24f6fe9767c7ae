"""Money arithmetic: exact, integer, with the long-context boundary where the documents put it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_gateway.config import ChatModel
from reference_gateway.money import MoneyError, pico_from_usd, pico_per_token, usd_from_pico
from reference_gateway.pricing import Pricing, Tier, Usage
from tests.reference_gateway.documented import CONFIG

GPT = CONFIG.models["gpt-5.5"]
OPUS = CONFIG.models["claude-opus-4-8"]
SONNET = CONFIG.models["claude-sonnet-4-6"]
PRICING = Pricing(CONFIG.web_search_fee)
USD = 10**12


def charge(model: ChatModel, **usage: Any) -> int:
    return PRICING.charge(model, Usage(**usage)).total


@pytest.mark.parametrize(
    ("text", "pico"),
    [("12.5", 12_500_000_000_000), ("0", 0), ("-3", -3 * USD), ("0.000000000001", 1), ("1e2", 100 * USD)],
)
def test_dollars_become_whole_pico_dollars(text: str, pico: int) -> None:
    assert pico_from_usd(text) == pico


@pytest.mark.parametrize("text", ["0.0000000000001", "nan", "inf", "twelve", "", "1e30"])
def test_amounts_that_are_inexact_or_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(MoneyError):
        pico_from_usd(text)


@given(st.integers(-(10**17), 10**17))
def test_writing_and_reading_an_amount_gives_it_back(pico: int) -> None:
    assert pico_from_usd(usd_from_pico(pico)) == pico


def test_a_rate_that_is_exact_alone_but_not_after_the_factor_is_refused() -> None:
    assert pico_per_token("0.000001") == 1
    with pytest.raises(MoneyError, match="whole number of pico-dollars per token"):
        pico_per_token("0.000001", "1.5")


def test_the_standard_formula_is_input_plus_output() -> None:
    assert charge(SONNET, input=1000, output=500) == 1000 * 3 * 10**6 + 500 * 15 * 10**6


def test_cached_and_written_tokens_leave_the_input_term() -> None:
    total = charge(OPUS, input=1000, output=10, cached=300, written=200, searches=2)
    assert total == 500 * 5_000_000 + 300 * 500_000 + 200 * 6_250_000 + 10 * 25_000_000 + 2 * 10_000_000_000


def test_without_cache_rates_cached_tokens_are_billed_as_input() -> None:
    assert charge(GPT, input=1000, output=0, cached=900) == charge(GPT, input=1000, output=0)


@pytest.mark.parametrize(
    ("tokens", "tier"),
    [
        (270_000, Tier.STANDARD),
        (272_000, Tier.STANDARD),
        (272_001, Tier.LONG_CONTEXT),
        (280_000, Tier.LONG_CONTEXT),
        (286_721, Tier.LONG_CONTEXT),
    ],
)
def test_the_long_context_tier_begins_strictly_above_272000_input_tokens(tokens: int, tier: Tier) -> None:
    assert PRICING.charge(GPT, Usage(tokens, 100)).tier is tier


def test_one_token_across_the_boundary_moves_the_whole_call_to_the_higher_rates() -> None:
    assert charge(GPT, input=272_000, output=1000) == 272_000 * 5_000_000 + 1000 * 30_000_000
    assert charge(GPT, input=272_001, output=1000) == 272_001 * 10_000_000 + 1000 * 45_000_000


def test_output_and_cached_tokens_do_not_change_how_the_tier_is_found() -> None:
    assert PRICING.charge(GPT, Usage(1000, 128_000)).tier is Tier.STANDARD
    assert PRICING.charge(GPT, Usage(272_001, 1, cached=272_000)).tier is Tier.LONG_CONTEXT


def test_claude_has_no_long_context_tier() -> None:
    assert charge(OPUS, input=900_000, output=1) == 900_000 * 5_000_000 + 25_000_000


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**5),
    st.integers(0, 50),
)
def test_the_recorded_arithmetic_adds_up_to_the_total(
    fresh: int, cached: int, written: int, output: int, searches: int
) -> None:
    found = PRICING.charge(OPUS, Usage(fresh + cached + written, output, cached, written, searches))
    detail = found.detail()
    assert sum(term["quantity"] * int(term["rate"]) for term in detail["terms"]) == int(detail["total"])
    assert int(detail["total"]) == found.total >= 0
