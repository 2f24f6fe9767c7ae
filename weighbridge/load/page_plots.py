"""The plots of the HTML report: distributions, the course of time, the knee of a capacity search. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from weighbridge.load import charts
from weighbridge.load.charts import WIDE, Axis, Line
from weighbridge.load.figures import lowest_of_row
from weighbridge.load.histogram import middle_of

#: Latencies that are plotted, with a word for people.
PLOTTED = {
    "ttft": "Time to first token",
    "icl": "Gap between chunks",
    "tpot": "Time per output token",
    "e2e": "End of the stream",
    "plain": "Unstreamed call",
    "task": "Media task",
}
#: The lowest share of values that a distribution's axis leaves out.
_CLIPPED = 0.004


def number(value: float | None) -> str:
    """A figure for people, to three digits or so."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def _cumulated(cells: Sequence[Sequence[int]]) -> list[tuple[float, float]]:
    """(milliseconds, share not above) of a histogram in microseconds."""
    total = sum(times for _, times in cells)
    points: list[tuple[float, float]] = []
    seen = 0
    for cell, times in cells:
        value = max(middle_of(cell), 1) / 1000
        points.append((value, seen / total))
        seen += times
        points.append((value, seen / total))
    return points


def _thin(points: list[tuple[float, float]], most: int = 400) -> list[tuple[float, float]]:
    """No more points than the eye can tell apart, ends included."""
    if len(points) <= most:
        return points
    return [points[index * (len(points) - 1) // (most - 1)] for index in range(most)]


def distribution(name: str, document: Mapping[str, Any]) -> str:
    """The latency's distribution, of the gateway and of the direct baseline."""
    own = document["histograms_us"][name]["cells"]
    direct = (document.get("direct") or {}).get("histograms_us", {}).get(name, {}).get("cells")
    lines = [Line("gateway" if direct else name, _thin(_cumulated(own)), "c1", area=not direct)]
    if direct:
        lines.append(Line("direct", _thin(_cumulated(direct)), "c2", dashed=True))
    # A handful of values far below the rest would take most of the axis; they lie on its edge.
    low = min(next(x for x, share in item.points if share >= _CLIPPED) for item in lines)
    across = charts.logarithmic(low, max(item.points[-1][0] for item in lines))
    up = Axis(0, 1, tuple((share, f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)))
    marks = [charts.line(item, across, up) for item in reversed(lines)]
    found = document["latencies_ms"][name]
    for row, statistic in enumerate(("p50", "p99")):
        value = found[statistic]
        if value:
            marks.append(charts.upright(across, value, f"{statistic} {charts.milliseconds(value)}", row=row))
    key = charts.legend([("through the gateway", "c1", False), ("direct", "c2", True)]) if direct else ""
    return _figure(
        f"{PLOTTED[name]} ({name})", charts.frame(f"Distribution of {name}", across, up, marks), key
    )


def _figure(title: str, drawn: str, below: str = "", wide: bool = False) -> str:
    return f"<figure{' class=wide' if wide else ''}><figcaption>{escape(title)}</figcaption>{drawn}{below}</figure>"


def _time_axis(document: Mapping[str, Any]) -> Axis:
    slices = document["slices"]
    end = max((item["at_s"] for item in slices), default=0) + document["load"]["slice_s"]
    return charts.straight(end, "seconds since the load began", lambda value: f"{value:g}")


def over_time(document: Mapping[str, Any]) -> Iterator[str]:
    """Throughput, errors and the heat map, one below the other on the same axis."""
    slices, width = document["slices"], document["load"]["slice_s"]
    if not slices:
        return
    across = _time_axis(document)
    shade = charts.band(across, 0, document["load"]["warm_up_s"], "warm-up", size=WIDE)

    def series(name: str) -> list[tuple[float, float]]:
        return [(item["at_s"] + width / 2, item["counts"].get(name, 0) / width) for item in slices]

    for title, names in (
        ("Chunks and tokens a second", (("chunks", "c1"), ("tokens", "c3"))),
        ("Calls a second: started, ended whole, failed, dropped", (("started", "c2"), ("completed", "c3"), ("failed", "bad"), ("dropped", "c4"))),
    ):  # fmt: skip
        drawn = [(name, colour, series(name)) for name, colour in names]
        drawn = [item for item in drawn if any(y for _, y in item[2])]
        if not drawn:
            continue
        up = charts.straight(max(y for _, _, points in drawn for _, y in points) * 1.08)
        marks = [shade]
        marks += [
            charts.line(Line(name, points, colour, area=name in {"chunks", "failed"}), across, up, size=WIDE)
            for name, colour, points in drawn
        ]
        key = charts.legend([(name, colour, False) for name, colour, _ in drawn])
        yield _figure(title, charts.frame(title, across, up, marks, size=WIDE), key, wide=True)
    for name, title in (("icl", "Gaps between chunks over time"), ("ttft", "Time to first token over time")):
        drawn_heat = _heat(document, name, title, across, shade)
        if drawn_heat:
            yield drawn_heat


def _heat(document: Mapping[str, Any], name: str, title: str, across: Axis, shade: str) -> str:
    width = document["load"]["slice_s"]
    cells: dict[tuple[float, float], int] = {}
    tops: dict[float, float] = {}
    for item in document["slices"]:
        for row, times in item[name].items():
            low = max(lowest_of_row(int(row)), 1.0) / 1000
            cells[item["at_s"], low] = times
            tops[low] = max(lowest_of_row(int(row) + 1), 1.2) / 1000
    if not cells:
        return ""
    up = charts.logarithmic(min(tops), max(tops.values()))
    marks = [shade, charts.heat(cells, lambda x, y: (x + width, tops[y]), across, up, size=WIDE)]
    note = f'<p class="note">Each column is {width} s; the stronger its colour, the more {"gaps" if name == "icl" else "streams"} of that length.</p>'
    return _figure(title, charts.frame(title, across, up, marks, size=WIDE), note, wide=True)


def capacity(document: Mapping[str, Any]) -> str:
    """The knee: what was offered, what came through, and where the gates gave way."""
    search = document.get("capacity")
    if not search:
        return ""
    steps = sorted(search["steps"], key=lambda item: item["level"])
    across = charts.straight(max(item["level"] for item in steps) * 1.05, search["unit"])
    figures = []
    for metric, title, log in (
        ("ttft_p99_ms", "Time to first token, p99", True),
        ("streams_per_s", "Streams a second", False),
    ):
        points = [(item["level"], item[metric], item) for item in steps if item[metric] is not None]
        if not points:
            continue
        values = [y for _, y, _ in points]
        up = charts.logarithmic(min(values), max(values)) if log else charts.straight(max(values) * 1.1)
        marks = [charts.line(Line(title, [(x, y) for x, y, _ in points], "c1"), across, up)]
        if search["found"] is not None:
            marks.append(
                charts.upright(across, search["found"], f"capacity {search['found']:g} {search['unit']}")
            )
        marks.append(
            charts.dots(
                [(x, y, "good" if item["met"] else "bad", f"{x:g}: {number(y)}, {item['why']}") for x, y, item in points],
                across, up,
            )
        )  # fmt: skip
        figures.append(_figure(title, charts.frame(title, across, up, marks)))
    said = escape(search["statement"])
    return f"<section><h2>Capacity</h2><p>{said}</p><div class=plots>{''.join(figures)}</div></section>"
