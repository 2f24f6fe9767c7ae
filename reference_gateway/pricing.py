"""What a call costs: a pure function from the upstream's token counts to a charge with its arithmetic.

With P total input, R cache-read, W cache-written, C output tokens and S searches the charge is
(P - R - W) x input + R x cache_read + W x cache_write + C x output + S x search fee, at the standard rates or, for
strictly more than the boundary of P, the whole call at the long-context rates.
Source: public docs, Pricing of each model; gpt-5.5, Long-context tier.
"""

from dataclasses import dataclass
from enum import StrEnum

from reference_gateway.config import ChatModel, Rates
from reference_gateway.jsonwire import JsonObject

# A hold only keeps parallel calls from spending the same money; it need not cover a rare full-length answer.
RESERVED_OUTPUT_TOKENS = 256
BYTES_PER_TOKEN = 4
MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts in one common form: `input` is everything read, the cached and written parts included."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    searches: int = 0


class Tier(StrEnum):
    """Which rates a call pays."""

    STANDARD = "standard"
    LONG_CONTEXT = "long_context"


@dataclass(frozen=True, slots=True)
class Term:
    """One product of the sum: `amount` = `quantity` x `rate`, in pico-dollars."""

    name: str
    quantity: int
    rate: int

    @property
    def amount(self) -> int:
        return self.quantity * self.rate


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call costs and why."""

    model: str
    tier: Tier
    usage: Usage
    terms: tuple[Term, ...]

    @property
    def total(self) -> int:
        """Pico-dollars."""
        return sum(term.amount for term in self.terms)

    def detail(self) -> JsonObject:
        """The arithmetic, for the ledger."""
        usage = self.usage
        return {
            "model": self.model,
            "tier": self.tier.value,
            "usage": {
                "input": usage.input,
                "cached": usage.cached,
                "written": usage.written,
                "output": usage.output,
                "searches": usage.searches,
            },
            "terms": [
                {
                    "name": term.name,
                    "quantity": term.quantity,
                    "rate": str(term.rate),
                    "amount": str(term.amount),
                }
                for term in self.terms
            ],
            "total": str(self.total),
        }


class Pricing:
    """Computes charges; knows rates, never balances."""

    def __init__(self, web_search_fee: int) -> None:
        self._web_search_fee = web_search_fee

    def charge(self, model: ChatModel, usage: Usage) -> Charge:
        """The charge of one call."""
        tier = self.tier(model, usage)
        return Charge(model.id, tier, usage, self.terms(self.rates(model, tier), usage))

    def tier(self, model: ChatModel, usage: Usage) -> Tier:
        """Long context is strictly above the boundary, judged by this call's whole input and nothing else."""
        long_context = model.long_context
        if long_context is not None and usage.input > long_context.above:
            return Tier.LONG_CONTEXT
        return Tier.STANDARD

    def rates(self, model: ChatModel, tier: Tier) -> Rates:
        """The rates of a tier, for input and output alike."""
        if tier is Tier.LONG_CONTEXT and model.long_context is not None:
            return model.long_context.rates
        return model.rates

    def terms(self, rates: Rates, usage: Usage) -> tuple[Term, ...]:
        """The products that make the sum; those with nothing to count are left out."""
        terms = (
            Term("input", self.uncached_input(usage), rates.input),
            Term("cache_read", usage.cached, self.cache_read_rate(rates)),
            Term("cache_write", usage.written, self.cache_write_rate(rates)),
            Term("output", usage.output, rates.output),
            Term("web_search", usage.searches, self.search_fee()),
        )
        return tuple(term for term in terms if term.quantity)

    def uncached_input(self, usage: Usage) -> int:
        """Input tokens that are neither read from the cache nor written to it."""
        return usage.input - usage.cached - usage.written

    def cache_read_rate(self, rates: Rates) -> int:
        """A model without a cache-read rate bills cached input as input."""
        return rates.input if rates.cache_read is None else rates.cache_read

    def cache_write_rate(self, rates: Rates) -> int:
        """A model without a cache-write rate bills written input as input."""
        return rates.input if rates.cache_write is None else rates.cache_write

    def search_fee(self) -> int:
        """Pico-dollars per web search."""
        return self._web_search_fee

    def reservation(self, model: ChatModel, body_bytes: int, max_output: int | None) -> int:
        """What to hold before dispatch: the prompt by its size, and an answer of ordinary length."""
        tokens_in = body_bytes // BYTES_PER_TOKEN + 1
        tokens_out = min(max_output or RESERVED_OUTPUT_TOKENS, RESERVED_OUTPUT_TOKENS)
        rates = self.rates(model, self.tier(model, Usage(tokens_in, tokens_out)))
        return tokens_in * rates.input + tokens_out * rates.output
