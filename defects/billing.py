"""Prices of the chat workspace: wrong rates, wrong tiers, wrong terms."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from dataclasses import replace

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.config import ChatModel, Rates
from reference_gateway.pricing import Charge, Pricing, Term, Tier, Usage

_CENT = 10**10


class LongFromBoundary(Pricing):
    """Compares with >= where the page says above."""

    def tier(self, model: ChatModel, usage: Usage) -> Tier:
        return super().tier(model, replace(usage, input=usage.input + 1))


class NoLongTier(Pricing):
    """Has one rate for all lengths."""

    def tier(self, model: ChatModel, usage: Usage) -> Tier:
        return Tier.STANDARD


class MarginalTier(Pricing):
    """Reprices only the tokens above the boundary, as an income tax does."""

    def charge(self, model: ChatModel, usage: Usage) -> Charge:
        charge = super().charge(model, usage)
        if charge.tier is Tier.STANDARD or model.long_context is None:
            return charge
        below = replace(usage, input=model.long_context.above, output=usage.output)
        above = Usage(usage.input - model.long_context.above, 0)
        terms = self.terms(model.rates, below) + self.terms(model.long_context.rates, above)
        return replace(charge, terms=terms)


class LongInputOnly(Pricing):
    """Doubles the input and forgets the output."""

    def rates(self, model: ChatModel, tier: Tier) -> Rates:
        return replace(super().rates(model, tier), output=model.rates.output)


class LongOutputOnly(Pricing):
    """Raises the output and forgets the input."""

    def rates(self, model: ChatModel, tier: Tier) -> Rates:
        return replace(super().rates(model, tier), input=model.rates.input)


class TierByTotal(Pricing):
    """Counts the output towards the boundary."""

    def tier(self, model: ChatModel, usage: Usage) -> Tier:
        return super().tier(model, replace(usage, input=usage.input + usage.output))


class LongTierForAll(Pricing):
    """Has a long-context tier for every model, at 200K, as a price list of another vendor does."""

    def rates(self, model: ChatModel, tier: Tier) -> Rates:
        rates = super().rates(model, tier)
        if model.long_context is not None or tier is Tier.STANDARD:
            return rates
        return replace(rates, input=2 * rates.input)

    def tier(self, model: ChatModel, usage: Usage) -> Tier:
        if model.long_context is None and usage.input > 200_000:
            return Tier.LONG_CONTEXT
        return super().tier(model, usage)


class CachedAtFullRate(Pricing):
    """Bills cached tokens as input and keeps the saving."""

    def cache_read_rate(self, rates: Rates) -> int:
        return rates.input


class CachedTwice(Pricing):
    """Bills cached tokens at their rate and, within the input, once more."""

    def uncached_input(self, usage: Usage) -> int:
        return usage.input - usage.written


class CachedForNothing(Pricing):
    """Does not bill cached tokens at all."""

    def cache_read_rate(self, rates: Rates) -> int:
        return 0


class WrittenAsInput(Pricing):
    """Bills what is written to the cache as ordinary input."""

    def cache_write_rate(self, rates: Rates) -> int:
        return rates.input


class WrittenTwice(Pricing):
    """Bills what is written to the cache at its rate and, within the input, once more."""

    def uncached_input(self, usage: Usage) -> int:
        return usage.input - usage.cached


class OutputAsInput(Pricing):
    """Bills all tokens at the input rate."""

    def rates(self, model: ChatModel, tier: Tier) -> Rates:
        rates = super().rates(model, tier)
        return replace(rates, output=rates.input)


class PerThousand(Pricing):
    """Takes a rate per million for one per thousand."""

    def rates(self, model: ChatModel, tier: Tier) -> Rates:
        rates = super().rates(model, tier)
        return replace(rates, input=1000 * rates.input, output=1000 * rates.output)


class RoundsUpToCents(Pricing):
    """Rounds each call up to a whole cent."""

    def charge(self, model: ChatModel, usage: Usage) -> Charge:
        charge = super().charge(model, usage)
        return replace(charge, terms=(*charge.terms, Term("rounding", 1, -charge.total % _CENT)))


class NoSearchFee(Pricing):
    """Lets web searches pass for nothing."""

    def search_fee(self) -> int:
        return 0


class SearchFeeAlways(Pricing):
    """Adds the fee for one search to every call."""

    def terms(self, rates: Rates, usage: Usage) -> tuple[Term, ...]:
        return (*super().terms(rates, usage), Term("web_search", 1, self.search_fee()))


DEFECTS = (
    Defect(
        "long-tier-one-token-early",
        "272,000 input tokens are billed at the long rates",
        ("CBIL-20",),
        lambda: Components(pricing=LongFromBoundary),
    ),
    Defect(
        "no-long-tier",
        "280,000 input tokens are billed at the standard rates",
        ("CBIL-19", "CBIL-16", "CBIL-17", "CBIL-23"),
        lambda: Components(pricing=NoLongTier),
    ),
    Defect(
        "long-tier-marginal",
        "Only the tokens above the boundary are billed at the long rates",
        ("CBIL-23", "CBIL-16", "CBIL-17", "CBIL-19"),
        lambda: Components(pricing=MarginalTier),
    ),
    Defect(
        "long-tier-input-only",
        "Above the boundary the output stays at the standard rate",
        ("CBIL-17", "CBIL-19"),
        lambda: Components(pricing=LongInputOnly),
    ),
    Defect(
        "long-tier-output-only",
        "Above the boundary the input stays at the standard rate",
        ("CBIL-16", "CBIL-19"),
        lambda: Components(pricing=LongOutputOnly),
    ),
    Defect(
        "long-tier-by-total",
        "Output counts towards the long-context boundary",
        ("CBIL-22", "CBIL-18"),
        lambda: Components(pricing=TierByTotal),
    ),
    Defect(
        "long-tier-for-claude",
        "Long Claude calls pay a surcharge",
        ("CBIL-24",),
        lambda: Components(pricing=LongTierForAll),
    ),
    Defect(
        "cached-at-full-rate",
        "Cached tokens are billed at the input rate",
        ("CBIL-06", "CBIL-10", "CBIL-09"),
        lambda: Components(pricing=CachedAtFullRate),
    ),
    Defect(
        "cached-billed-twice",
        "Cached tokens are billed at both rates",
        ("CBIL-05", "CBIL-06"),
        lambda: Components(pricing=CachedTwice),
    ),
    Defect(
        "cached-for-nothing",
        "Cached tokens are not billed",
        ("CBIL-06",),
        lambda: Components(pricing=CachedForNothing),
    ),
    Defect(
        "cache-write-as-input",
        "Tokens written to the cache are billed as input",
        ("CBIL-08", "MBIL-01"),
        lambda: Components(pricing=WrittenAsInput),
    ),
    Defect(
        "cache-write-billed-twice",
        "Tokens written to the cache are billed at both rates",
        ("MBIL-01", "CBIL-08"),
        lambda: Components(pricing=WrittenTwice),
    ),
    Defect(
        "output-at-input-rate",
        "Output is billed at the input rate",
        ("CBIL-07", "CBIL-04", "CBIL-03"),
        lambda: Components(pricing=OutputAsInput),
    ),
    Defect(
        "rate-per-thousand",
        "Rates per million are applied per thousand",
        ("CBIL-02", "CBIL-04", "CBIL-14"),
        lambda: Components(pricing=PerThousand),
    ),
    Defect(
        "rounded-up-to-cents",
        "Each call is rounded up to a cent",
        ("CBIL-14", "CBIL-02"),
        lambda: Components(pricing=RoundsUpToCents),
    ),
    Defect(
        "search-fee-missing",
        "Web searches cost nothing",
        ("CBIL-11", "MBIL-02"),
        lambda: Components(pricing=NoSearchFee),
    ),
    Defect(
        "search-fee-always",
        "Every call pays for a web search",
        ("CBIL-12", "CBIL-14"),
        lambda: Components(pricing=SearchFeeAlways),
    ),
)
