"""Prometheus metrics, in a registry of the gateway's own, so that several gateways can share a process.

Labels are bounded: surfaces, configured models and groups, outcomes. Accounts, keys and paths are never labels.
Workers of one parent count together, in files of a folder that the parent gives them (`count_together`): whichever of
them is scraped shows the sums, and what a worker has counted outlives it.
"""

import os
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from reference_gateway.money import PICO_PER_USD
from reference_gateway.pricing import Charge, Usage

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_ADDED_S: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)

# How prometheus_client itself calls the folder.
_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


def count_together(folder: Path, worker: int) -> None:
    """Keep everything that is counted from now on in files of the folder; call it before the first `Metrics`.

    The number is the worker's place among its siblings: who takes the place of a dead one goes on with its counts.
    """
    os.environ[_FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: worker)


def forget_worker(folder: Path, worker: int) -> None:
    """A worker is gone, and so is what it had open at that moment; its counts stay."""
    mark_process_dead(worker, str(folder))


class Metrics:
    """All metrics of one gateway. The help texts are the reference; the documentation is tested against them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._folder = os.environ.get(_FOLDER)

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
            "gateway_open_streams",
            "Streams being relayed now",
            ["surface"],
            registry=self.registry,
            multiprocess_mode="livesum",
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
        """The text that Prometheus scrapes: of this process, or of all workers that count together."""
        if self._folder is None:
            return generate_latest(self.registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody, self._folder)
        return generate_latest(everybody)


def _kinds(usage: Usage) -> tuple[tuple[str, int], ...]:
    return (
        ("input", usage.input - usage.cached - usage.written),
        ("cached", usage.cached),
        ("written", usage.written),
        ("output", usage.output),
    )
