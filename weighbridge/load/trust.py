"""The self-check: may the client's own figures be trusted? Pure.

A load generator that is late itself reports its own delay as the gateway's. So every client process notes
how late its event loop comes round (a timer every 10 ms) and how much of a core it uses, and a latency
whose value is not well above that delay is named as not to be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from weighbridge.load.figures import LAG, Figures

#: Beyond this share of one core, queueing in the client makes every latency grow (seen from 0.85 on).
MAX_CPU_SHARE = 0.85
#: The client's lag may be this part of a figure; above, the figure says as much about us as about the target.
LAG_SHARE = {0.5: 0.10, 0.99: 0.25}
#: Lag that is never held against a figure, in microseconds: timers here have a resolution of one
#: millisecond, and one late turn of the loop in a hundred is the machine's doing.
LAG_FLOOR_US = {0.5: 2_000, 0.99: 5_000}
#: The latencies that rest on when a read was stamped.
_STAMPED = ("ttfb", "ttft", "icl", "e2e")
#: Fewer turns of the loop than this (half a second) say nothing about it.
MIN_TURNS = 50


@dataclass(frozen=True, slots=True)
class Trust:
    """The result of the self-check.

    Attributes:
        distrusted: figures that are not to be trusted, such as `icl.p99`.
        reasons: why, one sentence each.
    """

    distrusted: tuple[str, ...]
    reasons: tuple[str, ...]
    lag_p50_us: int | None
    lag_p99_us: int | None
    cpu_share: float | None

    @property
    def ok(self) -> bool:
        """Whether every figure may be trusted."""
        return not self.reasons

    @property
    def statement(self) -> str:
        """One line for people."""
        lag = "?" if self.lag_p99_us is None else f"{self.lag_p99_us / 1000:.1f} ms"
        cpu = "?" if self.cpu_share is None else f"{self.cpu_share:.0%}"
        condition = f"event loop lag p99 {lag}, {cpu} of a core"
        if self.ok:
            return f"client ok: {condition}"
        names = ", ".join(self.distrusted)
        return f"client not ok ({condition}), do not trust {names}: {'; '.join(self.reasons)}"


def _late(figures: Figures) -> Iterator[tuple[tuple[str, ...], str]]:
    """The figures that the client's lag spoils, with the reason, for each quantile looked at."""
    lag = figures.histograms[LAG]
    for share, part in LAG_SHARE.items():
        delay = lag.quantile(share)
        if delay is None or delay <= LAG_FLOOR_US[share]:
            continue
        values = {name: figures.histograms[name].quantile(share) for name in _STAMPED}
        names = tuple(
            f"{name}.p{share * 100:g}"
            for name, value in values.items()
            if value is not None and delay > part * value
        )
        if names:
            late = f"the client's own lag p{share * 100:g} of {delay / 1000:.1f} ms"
            yield names, f"{late} is more than {part:.0%} of {', '.join(names)}"


def check(figures: Figures) -> Trust:
    """Judge the client by its lag and its use of the processor."""
    lag = figures.histograms[LAG]
    busiest = figures.busiest
    found = list(_late(figures))
    if figures.started and (lag.count < MIN_TURNS or busiest is None):
        found = [(_STAMPED, "the client was not measured long enough; use a longer --duration")]
    elif busiest is not None and busiest > MAX_CPU_SHARE:
        why = f"the client used {busiest:.0%} of its core; use fewer --users or more --processes"
        found = [(_STAMPED, why), *found]
    return Trust(
        tuple(dict.fromkeys(name for names, _ in found for name in names)),
        tuple(reason for _, reason in found),
        lag.quantile(0.5),
        lag.quantile(0.99),
        busiest,
    )
