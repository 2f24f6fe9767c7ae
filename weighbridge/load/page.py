"""The HTML report of a load test: one file, no script, no outside resource; a view of `load.json` and nothing more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from weighbridge.load.figures import MEANING, Failure, Figures
from weighbridge.load.page_plots import PLOTTED, capacity, distribution, number, over_time
from weighbridge.load.page_style import STYLE
from weighbridge.load.plan import LoadPlan
from weighbridge.load.trust import Trust

_STATISTICS = ("p50", "p90", "p95", "p99", "p99.9", "max")
_REFRESH_S = 2


def _tile(value: str, unit: str, note: str = "", tone: str = "") -> str:
    return (
        f'<div class="tile {tone}"><b>{escape(value)}</b><span>{escape(unit)}</span>'
        f"<small>{escape(note)}</small></div>"
    )


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
            f"<td>{number(there[item])}</td><td>{number(here[item])}</td>"
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
                f"<tr><th>{words}</th><td>{number(there)}</td><td>{number(here)}</td>"
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
        + "".join(f"<td>{number(item[statistic])}</td>" for statistic in _STATISTICS)
        + f"<td>{number(item['mean'])}</td><td>{item['count']:,}</td></tr>"
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
        f"<td>{number(item['ttft_p50_ms'])}</td><td>{number(item['ttft_p99_ms'])}</td>"
        f"<td>{number(item['e2e_p50_ms'])}</td><td>{number(item['e2e_p99_ms'])}</td></tr>"
        for name, item in document["lanes"].items()
    )
    return (
        "<section><h2>Kinds of calls</h2><div class=scroll><table><thead><tr><th></th><th>whole</th><th>failed</th>"
        "<th>ttft p50</th><th>ttft p99</th><th>e2e p50</th><th>e2e p99</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _tiles(document: Mapping[str, Any]) -> str:
    headline, streams = document["headline"], document["streams"]
    latencies = document["latencies_ms"]
    relative = document.get("relative") or {}

    def share(name: str) -> str:
        return f"{relative[name]:.1%} of direct" if relative.get(name) else ""

    source = headline["token_source"]
    counted = "" if source == "nothing" else f"by {source}"
    tiles = [
        _tile(
            number(headline["tokens_per_s"]),
            "tokens/s",
            share("tokens_per_s") or counted,
        ),
        _tile(number(headline["chunks_per_s"]), "chunks/s", share("chunks_per_s")),
        _tile(number(headline["streams_per_s"]), "whole calls/s", share("streams_per_s")),
    ]
    if "ttft" in latencies:
        item = latencies["ttft"]
        tiles.append(_tile(number(item["p50"]), "ms to first token, p50", f"p99 {number(item['p99'])} ms"))
    if "icl" in latencies:
        item = latencies["icl"]
        tiles.append(_tile(number(item["p50"]), "ms between chunks, p50", f"p99 {number(item['p99'])} ms"))
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
    plots = "".join(distribution(name, document) for name in PLOTTED if name in document["histograms_us"])
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
            _verdict(document), _tiles(document), _gates(document), capacity(document),
            _against(document),
            f"<section><h2>Distributions</h2><div class=plots>{plots}</div></section>" if plots else "",
            f"<section><h2>Over time</h2>{''.join(over_time(document))}</section>" if document["slices"] else "",
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
