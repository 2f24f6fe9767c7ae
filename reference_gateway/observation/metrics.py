"""Prometheus metrics, in a registry of the gateway's own, so that several gateways can share a process.

Labels are bounded: surfaces, configured models and groups, outcomes. Accounts, keys and paths are never labels.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from reference_gateway.money import PICO_PER_USD
from reference_gateway.pricing import Charge, Usage

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_ADDED_S: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)


class Metrics:
    """All metrics of one gateway. The help texts are the reference; the documentation is tested against them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(name, help_text, labels, registry=self.registry)

        self.requests = counter(
            "gateway_requests", "HTTP requests answered, by surface and status", "surface", "status"
        )
        self.request_seconds = Histogram(
            "gateway_request_seconds",
            "Seconds from the head of a request to the end of its response",
            ["surface"],
            buckets=_REQUEST_S,
            registry=self.registry,
        )
        self.calls = counter(
            "gateway_calls",
            "Chat calls that passed all checks, by model, group and how they ended",
            "surface",
            "model",
            "group",
            "outcome",
        )
        self.added_seconds = Histogram(
            "gateway_added_seconds",
            "Seconds that the gateway itself added before the first byte of a reply, waiting for the upstream aside",
            ["surface"],
            buckets=_ADDED_S,
            registry=self.registry,
        )
        self.tokens = counter(
            "gateway_tokens", "Tokens of charged calls; input is what was not cached", "model", "kind"
        )
        self.charged = counter("gateway_charged_usd", "US dollars charged for chat calls", "surface", "model")
        self.unpriced = counter(
            "gateway_unpriced", "Complete replies that came without usage and were charged nothing", "model"
        )
        self.tasks = counter("gateway_tasks", "Tasks accepted, by model", "model")
        self.ended_tasks = counter(
            "gateway_tasks_ended",
            "Tasks that ended, by model: completed, or why they failed",
            "model",
            "outcome",
        )
        self.credits = counter("gateway_task_credits", "Credits taken for accepted tasks", "model")
        self.open_streams = Gauge(
            "gateway_open_streams", "Streams being relayed now", ["surface"], registry=self.registry
        )

    def charge(self, surface: str, charge: Charge) -> None:
        """Count the tokens and the money of one settled call."""
        self.charged.labels(surface, charge.model).inc(charge.total / PICO_PER_USD)
        for kind, count in _kinds(charge.usage):
            if count:
                self.tokens.labels(charge.model, kind).inc(count)

    def task_ended(self, model: str, outcome: str) -> None:
        """Count one task that has ended."""
        self.ended_tasks.labels(model, outcome).inc()

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


def _kinds(usage: Usage) -> tuple[tuple[str, int], ...]:
    return (
        ("input", usage.input - usage.cached - usage.written),
        ("cached", usage.cached),
        ("written", usage.written),
        ("output", usage.output),
    )
