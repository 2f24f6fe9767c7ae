"""The HTML report of a load test: one file, no script, no outside resource; a view of `load.json` and nothing more. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from weighbridge.load import charts
from weighbridge.load.charts import WIDE, Axis, Line
from weighbridge.load.figures import MEANING, Failure, Figures, lowest_of_row
from weighbridge.load.histogram import middle_of
from weighbridge.load.page_style import STYLE
from weighbridge.load.plan import LoadPlan
from weighbridge.load.trust import Trust

#: Latencies that are plotted, with a word for people.
_PLOTTED = {
    "ttft": "Time to first token",
    "icl": "Gap between chunks",
    "tpot": "Time per output token",
    "e2e": "End of the stream",
    "plain": "Unstreamed call",
    "task": "Media task",
}
_STATISTICS = ("p50", "p90", "p95", "p99", "p99.9", "max")
_REFRESH_S = 2
#: The lowest share of values that a distribution's axis leaves out.
_CLIPPED = 0.004


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def _tile(value: str, unit: str, note: str = "", tone: str = "") -> str:
    return (
        f'<div class="tile {tone}"><b>{escape(value)}</b><span>{escape(unit)}</span>'
        f"<small>{escape(note)}</small></div>"
    )


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


def _cdf(name: str, document: Mapping[str, Any]) -> str:
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
        f"{_PLOTTED[name]} ({name})", charts.frame(f"Distribution of {name}", across, up, marks), key
    )


def _figure(title: str, drawn: str, below: str = "", wide: bool = False) -> str:
    return f"<figure{' class=wide' if wide else ''}><figcaption>{escape(title)}</figcaption>{drawn}{below}</figure>"


def _time_axis(document: Mapping[str, Any]) -> Axis:
    slices = document["slices"]
    end = max((item["at_s"] for item in slices), default=0) + document["load"]["slice_s"]
    return charts.straight(end, "seconds since the load began", lambda value: f"{value:g}")


def _over_time(document: Mapping[str, Any]) -> Iterator[str]:
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


def _against(document: Mapping[str, Any]) -> str:
    """Gateway and direct side by side, and what the gateway adds."""
    direct = document.get("direct")
    if not direct:
        return ""
    rows = []
    for name in ("ttfb", "ttft", "icl", "tpot", "e2e", "plain"):
        here, there = document["latencies_ms"].get(name), direct["latencies_ms"].get(name)
        if not here or not there:
            continue
        cells = "".join(
            f"<td>{_number(there[item])}</td><td>{_number(here[item])}</td>"
            f"<td class=added>{here[item] - there[item]:+,.2f}</td>"
            for item in ("p50", "p99")
        )
        rows.append(f"<tr><th>{name}</th>{cells}</tr>")
    for name, words in (
        ("tokens_per_s", "tokens/s"),
        ("chunks_per_s", "chunks/s"),
        ("streams_per_s", "streams/s"),
    ):
        here, there = document["headline"][name], direct["headline"][name]
        if here and there:
            rows.append(
                f"<tr><th>{words}</th><td>{_number(there)}</td><td>{_number(here)}</td>"
                f"<td class=added>{here / there:.1%}</td><td colspan=3></td></tr>"
            )
    return (
        "<section><h2>Gateway against direct</h2><p class=note>The same calls, sent to the provider itself before and after "
        "the gateway's turn, by the same client in the same run. Milliseconds.</p><div class=scroll><table><thead><tr><th></th>"
        "<th>direct p50</th><th>gateway p50</th><th>added</th><th>direct p99</th><th>gateway p99</th><th>added</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _latency_table(document: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{name}</th>"
        + "".join(f"<td>{_number(item[statistic])}</td>" for statistic in _STATISTICS)
        + f"<td>{_number(item['mean'])}</td><td>{item['count']:,}</td></tr>"
        for name, item in document["latencies_ms"].items()
    )
    head = "".join(f"<th>{item}</th>" for item in (*_STATISTICS, "mean", "count"))
    return (
        f"<section><h2>Latencies</h2><div class=scroll><table><thead><tr><th>milliseconds</th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _gates(document: Mapping[str, Any]) -> str:
    if not document["gates"]:
        return ""
    rows = "".join(
        f'<tr class="{"met" if item["met"] else "missed"}"><td>{"met" if item["met"] else "MISSED"}</td>'
        f"<td><code>{escape(item['gate'])}</code></td><td>{escape(item['shown'])}</td></tr>"
        for item in sorted(document["gates"], key=lambda item: item["met"])
    )
    return f"<section><h2>Gates</h2><table class=plain><tbody>{rows}</tbody></table></section>"


def _failures(document: Mapping[str, Any]) -> str:
    if not document["failures"]:
        return ""
    most = max(document["failures"].values())
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{times:,}</td><td class=bar><i style='width:{100 * times / most:.0f}%'></i></td>"
        f"<td class=words>{escape(document['examples'].get(name) or MEANING[Failure(name)])}</td></tr>"
        for name, times in document["failures"].items()
    )
    return f"<section><h2>Failed calls by class</h2><div class=scroll><table><tbody>{rows}</tbody></table></div></section>"


def _lanes(document: Mapping[str, Any]) -> str:
    if len(document["lanes"]) < 2:
        return ""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{item['completed']:,}</td><td>{item['failed']:,}</td>"
        f"<td>{_number(item['ttft_p50_ms'])}</td><td>{_number(item['ttft_p99_ms'])}</td>"
        f"<td>{_number(item['e2e_p50_ms'])}</td><td>{_number(item['e2e_p99_ms'])}</td></tr>"
        for name, item in document["lanes"].items()
    )
    return (
        "<section><h2>Kinds of calls</h2><div class=scroll><table><thead><tr><th></th><th>whole</th><th>failed</th>"
        "<th>ttft p50</th><th>ttft p99</th><th>e2e p50</th><th>e2e p99</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _capacity(document: Mapping[str, Any]) -> str:
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
                [(x, y, "good" if item["met"] else "bad", f"{x:g}: {_number(y)}, {item['why']}") for x, y, item in points],
                across, up,
            )
        )  # fmt: skip
        figures.append(_figure(title, charts.frame(title, across, up, marks)))
    said = escape(search["statement"])
    return f"<section><h2>Capacity</h2><p>{said}</p><div class=plots>{''.join(figures)}</div></section>"


def _tiles(document: Mapping[str, Any]) -> str:
    headline, streams = document["headline"], document["streams"]
    latencies = document["latencies_ms"]
    relative = document.get("relative") or {}

    def share(name: str) -> str:
        return f"{relative[name]:.1%} of direct" if relative.get(name) else ""

    tiles = [
        _tile(
            _number(headline["tokens_per_s"]),
            "tokens/s",
            share("tokens_per_s") or f"by {headline['token_source']}",
        ),
        _tile(_number(headline["chunks_per_s"]), "chunks/s", share("chunks_per_s")),
        _tile(_number(headline["streams_per_s"]), "whole calls/s", share("streams_per_s")),
    ]
    if "ttft" in latencies:
        item = latencies["ttft"]
        tiles.append(_tile(_number(item["p50"]), "ms to first token, p50", f"p99 {_number(item['p99'])} ms"))
    if "icl" in latencies:
        item = latencies["icl"]
        tiles.append(_tile(_number(item["p50"]), "ms between chunks, p50", f"p99 {_number(item['p99'])} ms"))
    completion = streams["completion"]
    note = f"{streams['completed']:,} whole, {streams['failed']:,} failed"
    if streams["dropped"]:
        note += f", {streams['dropped']:,} dropped"
    tone = "" if completion is None else "good" if completion == 1 else "bad"
    tiles.append(_tile("-" if completion is None else f"{completion:.2%}", "completion", note, tone))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _verdict(document: Mapping[str, Any]) -> str:
    missed = [item for item in document["gates"] if not item["met"]]
    client = document["client"]
    tone, word = ("bad", "Gates missed") if missed else ("good", "Gates met")
    if not client["ok"]:
        tone, word = "warn", "Measurement not valid"
    if document.get("running"):
        tone, word = "live", "Running"
    said = [client["statement"]]
    if document.get("money"):
        said.append(document["money"]["statement"])
    lines = "".join(f"<p>{escape(text)}</p>" for text in said)
    return f'<div class="verdict {tone}"><strong>{word}</strong>{lines}</div>'


def _footer(document: Mapping[str, Any]) -> str:
    return (
        f"<footer>Weighbridge {escape(document['tool']['version'])}, run {escape(document['run']['id'])}. Latencies in an "
        "open load count from the intended start. Percentiles come from merged histograms, at most 0.1 % beside the "
        "truth.</footer>"
    )


def render(document: Mapping[str, Any], *, refresh: int = 0, back: str = "") -> str:
    """The page.

    Args:
        document: load.json.
        refresh: seconds after which the browser asks again; 0 for never.
        back: where a link above the title leads; empty for none.
    """
    load = document["load"]
    plots = "".join(_cdf(name, document) for name in _PLOTTED if name in document["histograms_us"])
    renewed = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    link = f'<a href="{escape(back)}">back to locust</a>' if back else ""
    facts = " · ".join(
        text
        for text in (
            load["model"], load["how"], f"{load['duration_s']} s" if load["duration_s"] else "",
            f"{load['processes']} client processes" if load["processes"] > 1 else "1 client process",
            document["run"]["started"],
        )
        if text
    )  # fmt: skip
    return "".join(
        [
            "<!doctype html><html lang=en><head><meta charset=utf-8>", renewed,
            '<meta name=viewport content="width=device-width,initial-scale=1">',
            f"<title>Load test of {escape(load['url'])}</title><style>{STYLE}</style></head><body><main>",
            f"<header>{link}<h1>Load test</h1><p class=target>{escape(load['url'])}</p><p class=facts>{escape(facts)}</p></header>",
            _verdict(document), _tiles(document), _gates(document), _capacity(document),
            _against(document),
            f"<section><h2>Distributions</h2><div class=plots>{plots}</div></section>" if plots else "",
            f"<section><h2>Over time</h2>{''.join(_over_time(document))}</section>" if document["slices"] else "",
            _lanes(document), _latency_table(document), _failures(document),
            _footer(document),
            "</main></body></html>",
        ]
    )  # fmt: skip


def live_page(plan: LoadPlan, figures: Figures, trust: Trust, *, running: bool, back: str) -> str:
    """The page for a load that is still going on."""
    from weighbridge.load.document import figures_document

    document = figures_document(plan, figures, trust) | {"running": running}
    return render(document, refresh=_REFRESH_S if running else 0, back=back)
