"""Shows a load test: one line of progress while it lasts, then latencies, failures, self-check and gates.

The lines are pure and plain text; a terminal gets a line that rewrites itself while the load lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console as RichConsole
from rich.status import Status
from rich.text import Text

from weighbridge.load.figures import LATENCIES, MEANING, Failure, Figures
from weighbridge.load.gates import GateResult

_QUANTILES = ((0.5, "p50"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9"))
_MARKS = {
    "MISSED": "bold red",
    "FAIL": "bold red",
    "ERROR": "bold magenta",
    "WARN": "yellow",
    "client not ok": "bold red",
    "client ok": "green",
    "met": "green",
}
#: Where no terminal rewrites a line, progress is told this often, in seconds.
_PLAIN_EVERY_S = 5.0


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
    yield (
        f"{figures.completed:,} streams whole, {figures.failed:,} failed, {figures.unfinished:,} cut off by the end; "
        f"completion {completion}"
    )
    yield (
        f"{_number(figures.streams_per_second)} streams/s, {_number(figures.chunks_per_second)} chunks/s, "
        f"{figures.connections:,} connections, {coalesced} of the chunks coalesced with another in one read"
    )
    if figures.failures:
        yield "Failed streams by class"
        width = max(len(name) for name in figures.failures)
        for name, times in figures.failures.items():
            example = (details or {}).get(name, "")
            yield f"  {name:<{width}}  {times:>7,}  {example or MEANING[name]}"


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
        self._rich = RichConsole(highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._told = 0.0

    def line(self, text: str) -> None:
        """One line, coloured by its first mark on a terminal."""
        styled = Text(text)
        for word, style in _MARKS.items():
            place = text.find(word)
            if 0 <= place <= 8:
                styled.stylize(style, place, place + len(word))
                break
        self._rich.print(styled)

    def progress(self, elapsed: float, duration: float, raw: Mapping[str, Any]) -> None:
        """What the client process says about itself."""
        ttft = raw["ttft_p50_us"]
        text = (
            f"{min(elapsed, duration):.0f}/{duration:.0f} s  {raw['users']} users  {raw['completed']:,} streams whole  "
            f"{raw['failed']:,} failed  ttft p50 {_milliseconds(ttft)} ms"
        )
        if not self._rich.is_terminal:
            if elapsed - self._told >= _PLAIN_EVERY_S:
                self._told = elapsed
                self._rich.print(f"  {text}")
            return
        if self._status is None:
            self._status = self._rich.status(text)
            self._status.start()
        self._status.update(text)

    def end(self) -> None:
        """Stop the progress display, whatever happened."""
        if self._status is not None:
            self._status.stop()
            self._status = None
