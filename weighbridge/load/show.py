"""Shows a load test: one line of progress while it lasts, then latencies, failures, self-check and gates.

The lines are pure and plain text; a terminal gets a line that rewrites itself while the load lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.status import Status
from rich.text import Text

from weighbridge.load.figures import LATENCIES, MEANING, Failure, Figures
from weighbridge.load.gates import GateResult
from weighbridge.terminal import Terminal

_QUANTILES = ((0.5, "p50"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9"))
_MARKS = {
    "MISSED": "bold red",
    "FAIL": "bold red",
    "ERROR": "bold magenta",
    "WARN": "yellow",
    "client not ok": "bold red",
    "client ok": "green",
    "money not right": "bold red",
    "money reconciled": "green",
    "CLIENT": "yellow",
    "met": "green",
}
#: Where no terminal rewrites a line, progress is told this often, in seconds.
_PLAIN_EVERY_S = 5.0


#: The chunk rates of the last so many looks are drawn.
_SPARKS = 24
_BARS = "▁▂▃▄▅▆▇█"


def _spark(rates: Iterable[float]) -> str:
    """Rates as a row of bars, the highest one full."""
    values = list(rates)
    most = max(values, default=0.0)
    return "".join(_BARS[int((len(_BARS) - 1) * value / most)] if most else _BARS[0] for value in values)


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value / 1000:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def figure_lines(figures: Figures, details: Mapping[Failure, str] | None = None) -> Iterator[str]:
    """Latencies and counts.

    Args:
        figures: of the whole load.
        details: an example for each class of failure.
    """
    names = [name for name in LATENCIES if figures.histograms[name].count]
    header = "".join(f"{label:>10}" for _, label in _QUANTILES)
    yield f"{'milliseconds':<12}{header}{'max':>10}{'mean':>10}{'count':>10}"
    for name in names:
        histogram = figures.histograms[name]
        cells = [histogram.quantile(share) for share, _ in _QUANTILES]
        values = "".join(
            f"{_milliseconds(value):>10}" for value in [*cells, histogram.highest, histogram.mean]
        )
        yield f"  {name:<10}{values}{histogram.count:>10,}"
    completion = "-" if figures.completion is None else f"{figures.completion:.3%}"
    coalesced = "-" if figures.coalesced_share is None else f"{figures.coalesced_share:.1%}"
    dropped = f", {figures.dropped:,} starts dropped" if figures.dropped else ""
    yield (
        f"{_number(figures.tokens_per_second)} tokens/s (by {figures.token_source}), "
        f"{_number(figures.chunks_per_second)} chunks/s, {_number(figures.streams_per_second)} whole calls/s"
    )
    yield (
        f"{figures.completed:,} calls whole, {figures.failed:,} failed, {figures.unfinished:,} cut off by the end{dropped}; "
        f"completion {completion}"
    )
    yield f"{figures.connections:,} connections, {coalesced} of the chunks coalesced with another in one read"
    for text, share in figures.good.items():
        yield f"{text.split('>')[0]}: {share:.2%} of the streams"
    if len(figures.lanes) > 1:
        for name, lane in sorted(figures.lanes.items()):
            yield (
                f"  {name:<28} {lane.completed:>8,} whole {lane.failed:>6,} failed   "
                f"ttft p50 {_milliseconds(lane.ttft.quantile(0.5))}  e2e p50 {_milliseconds(lane.e2e.quantile(0.5))} ms"
            )
    if figures.failures:
        yield "Failed calls by class"
        width = max(len(name) for name in figures.failures)
        for name, times in figures.failures.items():
            example = (details or {}).get(name, "")
            yield f"  {name:<{width}}  {times:>7,}  {example or MEANING[name]}"


def against_lines(figures: Figures, direct: Figures | None) -> Iterator[str]:
    """What the gateway adds to the direct baseline of the same run."""
    if direct is None:
        return
    yield "Against direct, milliseconds    direct p50  gateway p50     added   direct p99  gateway p99     added"
    for name in ("ttfb", "ttft", "icl", "tpot", "e2e", "plain"):
        here, there = figures.histograms[name], direct.histograms[name]
        cells = []
        for share in (0.5, 0.99):
            one, other = there.quantile(share), here.quantile(share)
            if one is None or other is None:
                break
            cells += [f"{one / 1000:>12.2f}", f"{other / 1000:>13.2f}", f"{(other - one) / 1000:>+10.2f}"]
        else:
            yield f"  {name:<28}" + "".join(cells)
    pairs = (
        ("tokens/s", figures.tokens_per_second, direct.tokens_per_second),
        ("chunks/s", figures.chunks_per_second, direct.chunks_per_second),
        ("whole calls/s", figures.streams_per_second, direct.streams_per_second),
    )
    for words, own, other_rate in pairs:
        if own is not None and other_rate:
            yield f"  {words:<28}{_number(other_rate):>12}{_number(own):>13}{own / other_rate:>10.1%}"


def gate_lines(results: Sequence[GateResult]) -> Iterator[str]:
    """Gates, the missed ones first."""
    if not results:
        return
    yield "Gates"
    for result in sorted(results, key=lambda item: item.met):
        yield f"  {'met   ' if result.met else 'MISSED'}  {result.gate.text}  (measured {result.shown})"


class LoadConsole:
    """Prints a load test on standard output."""

    def __init__(self) -> None:
        self._rich = Terminal(highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._told = 0.0
        self._rates: deque[float] = deque(maxlen=_SPARKS)

    def line(self, text: str) -> None:
        """One line, coloured by its first mark on a terminal."""
        styled = Text(text)
        for word, style in _MARKS.items():
            place = text.find(word)
            if 0 <= place <= 8:
                styled.stylize(style, place, place + len(word))
                break
        self._rich.print(styled)

    def progress(self, elapsed: float, duration: float, raw: Mapping[str, Any], what: str = "") -> None:
        """What the client process says about itself."""
        ttft, lag = raw["ttft_p50_us"], raw["lag_p99_us"]
        self._rates.append(raw["chunks_per_s"])
        dropped = f"  {raw['dropped']:,} dropped" if raw["dropped"] else ""
        text = (
            f"{what}{min(elapsed, duration):.0f}/{duration:.0f} s  {raw['users']} users  {raw['completed']:,} calls whole  "
            f"{raw['failed']:,} failed{dropped}  ttft p50 {_milliseconds(ttft)} ms  client lag p99 {_milliseconds(lag)} ms"
        )
        if self._rich.is_terminal:
            text += f"  {_spark(self._rates)} {raw['chunks_per_s']:,.0f} chunks/s"
        if not self._rich.is_terminal:
            if elapsed - self._told >= _PLAIN_EVERY_S:
                self._told = elapsed
                self._rich.print(f"  {text}")
            return
        if self._status is None:
            self._status = self._rich.status(text)
            self._status.start()
        self._status.update(text)

    def restart(self) -> None:
        """Another load begins."""
        self.end()
        self._told = 0.0
        self._rates.clear()

    def end(self) -> None:
        """Stop the progress display, whatever happened."""
        if self._status is not None:
            self._status.stop()
            self._status = None
