"""Rate limits of a scenario: requests and tokens a minute, for each credential, over a sliding window."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from mock_upstreams.errors import ANTHROPIC
from mock_upstreams.refusals import Refusal
from mock_upstreams.scenario import Scenario

_WINDOW_S: Final = 60.0
_MAX_METERS: Final = 10_000
_MAX_RECORDED: Final = 100_000


@dataclass(slots=True)
class _Meter:
    recent: deque[tuple[float, int]] = field(default_factory=deque)
    tokens: int = 0

    def forget_before(self, limit: float) -> None:
        while self.recent and self.recent[0][0] <= limit:
            self.tokens -= self.recent.popleft()[1]


class Quotas:
    """Meters by credential, scenario and model; bounded, the one unused for longest is forgotten."""

    def __init__(self) -> None:
        self._meters: OrderedDict[tuple[str, str, str], _Meter] = OrderedDict()

    def admit(
        self, scenario: Scenario, provider: str, credential: str, model: str, tokens: int, now: float
    ) -> None:
        """Count one call of `tokens` tokens. Raises Refusal (429 with Retry-After) when it is one too many."""
        key = (credential, scenario.name or "", model)
        meter = self._meters.setdefault(key, _Meter())
        self._meters.move_to_end(key)
        if len(self._meters) > _MAX_METERS:
            self._meters.popitem(last=False)
        meter.forget_before(now - _WINDOW_S)
        requests, most_tokens = scenario.requests_per_minute, scenario.tokens_per_minute
        over_requests = requests is not None and len(meter.recent) >= min(requests, _MAX_RECORDED)
        over_tokens = most_tokens is not None and meter.tokens + tokens > most_tokens
        if not over_requests and not over_tokens:
            meter.recent.append((now, tokens))
            meter.tokens += tokens
            return
        wait = meter.recent[0][0] + _WINDOW_S - now if meter.recent else _WINDOW_S
        what = "requests" if over_requests else "tokens"
        limit = requests if over_requests else most_tokens
        raise Refusal(
            429,
            f"Rate limit reached for {what} per minute: limit {limit}. Please try again in {wait:.3f}s.",
            headers=_headers(provider, what, limit or 0, wait),
        )

    def clear(self) -> None:
        self._meters.clear()


def _headers(provider: str, what: str, limit: int, wait: float) -> tuple[tuple[str, str], ...]:
    seconds = str(max(1, -(-int(wait * 1000) // 1000)))
    prefix = "anthropic-ratelimit-{}-{}" if provider == ANTHROPIC else "x-ratelimit-{1}-{0}"
    return (
        ("retry-after", seconds),
        (prefix.format(what, "limit"), str(limit)),
        (prefix.format(what, "remaining"), "0"),
        (prefix.format(what, "reset"), f"{seconds}s"),
    )
