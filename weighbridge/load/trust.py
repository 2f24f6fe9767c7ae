"""The self-check: may the client's own figures be trusted? Pure.

A load generator that is late itself reports its own delay as the gateway's. So every client process notes
how late its event loop comes round (a timer every 20 ms), how much of a core it uses, how late it began calls that
were due, and, where the simulator stamps its events, how long after the write it noted the read. A latency whose
value is not well above these delays is named as not to be trusted, and so is one whose worst cases were never begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from weighbridge.load.figures import LAG, SCHEDULE, TRUE_LAG, Figures
from weighbridge.load.histogram import Histogram

#: Beyond this share of one core, queueing in the client makes every latency grow (seen from 0.85 on).
MAX_CPU_SHARE = 0.85
#: The client's lag may be this part of a figure; above, the figure says as much about us as about the target.
LAG_SHARE = {0.5: 0.10, 0.99: 0.25}
#: Lag that is never held against a figure, in microseconds: timers here have a resolution of one
#: millisecond, and one late turn of the loop in a hundred is the machine's doing.
LAG_FLOOR_US = {0.5: 2_000, 0.99: 5_000}
#: The latencies that rest on when one read was stamped; tpot spreads that over all tokens of a stream.
_STAMPED = ("ttfb", "ttft", "icl", "stall", "e2e", "plain", "submit", "poll", "task")
#: The latencies that count from the intended start of an open load.
_FROM_THE_START = ("ttfb", "ttft", "e2e", "plain", "submit", "task")
#: What each of the client's own delays is called, and which latencies it spoils.
_DELAYS = {
    LAG: ("the client's own lag", _STAMPED),
    SCHEDULE: ("the delay of starts that were due", _FROM_THE_START),
    TRUE_LAG: ("the true lag behind the simulator's stamps", _STAMPED),
}
#: Fewer turns of the loop than this (half a second) say nothing about it.
MIN_TURNS = 25


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
    schedule_p99_us: int | None = None
    true_lag_p99_us: int | None = None

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
        if self.schedule_p99_us is not None:
            condition += f", starts late by p99 {self.schedule_p99_us / 1000:.1f} ms"
        if self.true_lag_p99_us is not None:
            condition += f", true lag p99 {self.true_lag_p99_us / 1000:.1f} ms"
        if self.ok:
            return f"client ok: {condition}"
        names = ", ".join(self.distrusted)
        return f"client not ok ({condition}), do not trust {names}: {'; '.join(self.reasons)}"


def _late(figures: Figures, true_lag: Histogram) -> Iterator[tuple[tuple[str, ...], str]]:
    """The figures that the client's delays spoil, with the reason, for each quantile looked at."""
    for kind, (words, spoiled) in _DELAYS.items():
        for share, part in LAG_SHARE.items():
            delay = (true_lag if kind == TRUE_LAG else figures.histograms[kind]).quantile(share)
            if delay is None or delay <= LAG_FLOOR_US[share]:
                continue
            values = {name: figures.histograms[name].quantile(share) for name in spoiled}
            names = tuple(
                f"{name}.p{share * 100:g}"
                for name, value in values.items()
                if value is not None and delay > part * value
            )
            if names:
                late = f"{words} p{share * 100:g} of {delay / 1000:.1f} ms"
                yield names, f"{late} is more than {part:.0%} of {', '.join(names)}"


def _spoiled(figures: Figures, true_lag: Histogram) -> list[tuple[tuple[str, ...], str]]:
    """What the client itself spoils of the figures of one load, each with the reason."""
    found = list(_late(figures, true_lag))
    busiest = figures.busiest
    if figures.started and (figures.histograms[LAG].count < MIN_TURNS or busiest is None):
        return [(_STAMPED, "the client was not measured long enough; use a longer --duration")]
    if busiest is not None and busiest > MAX_CPU_SHARE:
        why = f"the client used {busiest:.0%} of its core; use fewer --users or more --processes"
        return [(_STAMPED, why), *found]
    return found


def check(
    figures: Figures, direct: Figures | None = None, *, missing: Sequence[str] = (), processes: int = 0
) -> Trust:
    """Judge the client by its delays, its use of the processor, and whether all of it is there.

    Args:
        figures: of the load.
        direct: of the baseline in the same run, judged like the load. There the simulator's stamps reach the client as
            they were made, so its true lag stands for the client of both.
        missing: client processes that did not hand in their figures.
        processes: how many there are.
    """
    lag = figures.histograms[LAG]
    found = _spoiled(figures, (direct or figures).histograms[TRUE_LAG])
    if direct is not None:
        # What is compared with a baseline is as good as the baseline is.
        found += [
            (tuple(f"direct {name}" for name in names), f"in the direct baseline {why}")
            for names, why in _spoiled(direct, Histogram())
        ]
    if missing:
        why = f"figures of {len(missing)} of {processes} client processes are missing ({', '.join(missing)})"
        found = [(("every count", "every rate", *_STAMPED), why), *found]
    return Trust(
        tuple(dict.fromkeys(name for names, _ in found for name in names)),
        tuple(reason for _, reason in found),
        lag.quantile(0.5),
        lag.quantile(0.99),
        figures.busiest,
        figures.histograms[SCHEDULE].quantile(0.99),
        (direct or figures).histograms[TRUE_LAG].quantile(0.99),
    )
