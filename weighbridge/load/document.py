"""load.json: every figure of a load test with its histogram, so that any other statistic can be had later. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge import __version__
from weighbridge.load.figures import CLIENT, Figures
from weighbridge.load.plan import LoadPlan
from weighbridge.load.trust import Trust

FORMAT = "weighbridge-load"
FORMAT_VERSION = 2
_SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
#: What can be compared as a share of direct.
_RATES = ("tokens_per_s", "chunks_per_s", "streams_per_s")


def in_ms(value: float | None) -> float | None:
    """Milliseconds from microseconds, to the microsecond."""
    return None if value is None else round(value / 1000, 3)


def measured(figures: Figures) -> dict[str, Any]:
    """What one load gave: latencies, counts, rates, histograms."""
    return {
        "headline": {
            "tokens_per_s": figures.tokens_per_second,
            "chunks_per_s": figures.chunks_per_second,
            "streams_per_s": figures.streams_per_second,
            "token_source": figures.token_source,
        },
        "latencies_ms": {
            name: {
                "count": item.count,
                "min": in_ms(item.lowest),
                "mean": in_ms(item.mean),
                "max": in_ms(item.highest),
            }
            | {f"p{share * 100:g}": in_ms(item.quantile(share)) for share in _SHARES}
            for name, item in figures.histograms.items()
            if item.count and name not in CLIENT
        },
        "streams": {
            "started": figures.started,
            "completed": figures.completed,
            "failed": figures.failed,
            "unfinished": figures.unfinished,
            "dropped": figures.dropped,
            "paced": figures.paced,
            "completion": figures.completion,
        },
        "chunks": {
            "received": figures.chunks,
            "coalesced": figures.coalesced,
        },
        "tokens": figures.tokens,
        "goodput": dict(figures.good),
        "connections": figures.connections,
        "failures": {name.value: times for name, times in figures.failures.items()},
        "histograms_us": {name: item.as_json() for name, item in figures.histograms.items() if item.count},
    }


def client_part(figures: Figures, trust: Trust) -> dict[str, Any]:
    """What the client says about itself."""
    return {
        "ok": trust.ok,
        "statement": trust.statement,
        "distrusted": list(trust.distrusted),
        "reasons": list(trust.reasons),
        "lag_p50_ms": in_ms(trust.lag_p50_us),
        "lag_p99_ms": in_ms(trust.lag_p99_us),
        "schedule_p99_ms": in_ms(trust.schedule_p99_us),
        "true_lag_p99_ms": in_ms(trust.true_lag_p99_us),
        "cpu_share": trust.cpu_share,
        "processes": [
            {"window_s": item.window_s, "cpu_s": item.cpu_s, "chunks": item.chunks, "streams": item.streams}
            for item in figures.processes
        ],
    }


def how(plan: LoadPlan) -> str:
    """The load in words."""
    mix = "" if len(plan.lanes) == 1 else ", " + " ".join(f"{lane.name}={lane.weight}" for lane in plan.lanes)
    shape = " in a shape" if plan.shape or (plan.arrivals and plan.arrivals.shape) else ""
    if plan.arrivals is not None:
        words = {
            "constant": "evenly spaced starts",
            "poisson": "Poisson starts",
            "trace": "starts of a trace",
        }
        return f"open: {plan.arrivals.rate:g} {words[plan.arrivals.kind]} a second{shape}{mix}"
    return f"closed: {plan.users} users{shape}{mix}"


def figures_document(
    plan: LoadPlan,
    figures: Figures,
    trust: Trust,
    *,
    run: Mapping[str, str] | None = None,
    direct: Figures | None = None,
    examples: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The document; gates, money, capacity and the exit code are added by whoever judged them.

    Args:
        plan: what was sent.
        figures: of the target.
        trust: the self-check.
        run: `id` and `started`.
        direct: of the baseline in the same run.
        examples: a failed call of each class.
    """
    own = measured(figures)
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "tool": {"name": "weighbridge", "version": __version__},
        "run": dict(run or {"id": "live", "started": ""}),
        "load": {
            "surface": plan.main.surface,
            "url": plan.main.url,
            "model": plan.main.model,
            "how": how(plan),
            "mix": {lane.name: lane.weight for lane in plan.lanes},
            "users": None if plan.arrivals else plan.users,
            "rate": plan.arrivals.rate if plan.arrivals else None,
            "arrivals": plan.arrivals.kind if plan.arrivals else None,
            "seed": plan.arrivals.seed if plan.arrivals else None,
            "shape": [list(point) for point in (plan.arrivals.shape if plan.arrivals else plan.shape)],
            "duration_s": plan.duration,
            "processes": plan.processes,
            "warm_up_s": plan.warm_up,
            "slice_s": plan.slice_s,
            "keep_alive": plan.keep_alive,
        },
        **own,
        "lanes": {
            name: {
                "completed": item.completed,
                "failed": item.failed,
                "ttft_p50_ms": in_ms(item.ttft.quantile(0.5)),
                "ttft_p99_ms": in_ms(item.ttft.quantile(0.99)),
                "e2e_p50_ms": in_ms(item.e2e.quantile(0.5)),
                "e2e_p99_ms": in_ms(item.e2e.quantile(0.99)),
            }
            for name, item in sorted(figures.lanes.items())
        },
        "slices": [
            {
                "at_s": number * plan.slice_s,
                "counts": dict(item.counts),
                "icl": {str(row): times for row, times in sorted(item.icl.items())},
                "ttft": {str(row): times for row, times in sorted(item.ttft.items())},
            }
            for number, item in sorted(figures.slices.items())
        ],
        "client": client_part(figures, trust),
        "examples": dict(examples or {}),
        "gates": [],
    }
    if direct is not None:
        document["direct"] = measured(direct)
        document["relative"] = {
            name: _share(own["headline"][name], document["direct"]["headline"][name]) for name in _RATES
        }
    return document


def _share(here: float | None, there: float | None) -> float | None:
    return here / there if here is not None and there else None
