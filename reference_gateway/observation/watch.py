"""Watches requests and calls from begin to end, and tells metrics, log and traces about them in one place.

What is counted and logged about an end waits until the loop comes round again: nobody's reply waits for it.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from reference_gateway.failures import GatewayError
from reference_gateway.observation.metrics import Metrics
from reference_gateway.observation.tracing import Span, Tracing
from reference_gateway.pricing import Charge

if TYPE_CHECKING:
    from reference_gateway.calls import CallPlan

_log = logging.getLogger("reference_gateway.calls")


@dataclass(slots=True)
class CallRecord:
    """What is known of one call; whoever serves it fills it in. Times are seconds, on the performance counter."""

    began: float
    outcome: str = "ok"
    complete: bool = False
    priced: bool = False
    charge: Charge | None = None
    first_byte: float | None = None
    upstream_s: float = 0.0

    def first(self, upstream_s: float) -> None:
        """The first byte of the reply goes out now, after so much waiting for the upstream."""
        if self.first_byte is None:
            self.first_byte = time.perf_counter()
            self.upstream_s = upstream_s

    @property
    def added_s(self) -> float | None:
        """What the gateway itself took until the first byte."""
        return None if self.first_byte is None else max(self.first_byte - self.began - self.upstream_s, 0.0)


class Watch:
    """One for a gateway."""

    def __init__(self, metrics: Metrics | None = None, tracing: Tracing | None = None) -> None:
        self.metrics = metrics or Metrics()
        self.tracing = tracing
        # Looking labels up takes longer than counting; there are few of them.
        self._answers: dict[tuple[str, int], Counter] = {}
        self._durations: dict[str, Histogram] = {}

    def answered(self, surface: str, status: int, seconds: float) -> None:
        """A request has been answered."""
        asyncio.get_running_loop().call_soon(self._answered, surface, status, seconds)

    def _answered(self, surface: str, status: int, seconds: float) -> None:
        counter = self._answers.get((surface, status))
        if counter is None:
            counter = self._answers[surface, status] = self.metrics.requests.labels(surface, str(status))
        histogram = self._durations.get(surface)
        if histogram is None:
            histogram = self._durations[surface] = self.metrics.request_seconds.labels(surface)
        counter.inc()
        histogram.observe(seconds)

    @contextmanager
    def call(self, plan: "CallPlan") -> Iterator[CallRecord]:
        """Watch one call that passed all checks."""
        record = CallRecord(time.perf_counter())
        streams = self.metrics.open_streams.labels(plan.surface) if plan.stream else None
        if streams is not None:
            streams.inc()
        try:
            yield record
        except GatewayError as error:
            record.outcome = error.failure.kind.value
            raise
        except asyncio.CancelledError:
            # Who has had all of a reply may go.
            if not record.complete:
                record.outcome = "client_left"
            raise
        except BaseException:
            record.outcome = "internal"
            raise
        finally:
            if streams is not None:
                streams.dec()
            seconds = time.perf_counter() - record.began
            asyncio.get_running_loop().call_soon(self._ended, plan, record, seconds)

    def _ended(self, plan: "CallPlan", record: CallRecord, seconds: float) -> None:
        metrics, model = self.metrics, plan.model.id
        metrics.calls.labels(plan.surface, model, plan.group.name, record.outcome).inc()
        if record.added_s is not None:
            metrics.added_seconds.labels(plan.surface).observe(record.added_s)
        if record.charge is not None:
            metrics.charge(plan.surface, record.charge)
        elif record.complete and not record.priced:
            metrics.unpriced.labels(model).inc()
        if _log.isEnabledFor(logging.INFO):
            _log.info(
                "call",
                extra={
                    "call": plan.call,
                    "account": plan.account.id,
                    "surface": plan.surface,
                    "model": model,
                    "group": plan.group.name,
                    "channel": plan.channel.name,
                    "stream": plan.stream,
                    "outcome": record.outcome,
                    "charged_pico": None if record.charge is None else str(record.charge.total),
                    "seconds": round(seconds, 6),
                    "added_seconds": None if record.added_s is None else round(record.added_s, 6),
                },
            )

    def upstream(self, plan: "CallPlan") -> AbstractContextManager[Span | None]:
        """Watch the upstream call."""
        if self.tracing is None:
            return nullcontext()
        return self.tracing.upstream(plan.channel.name, plan.model.id)

    def trace_headers(self) -> dict[str, str]:
        """What goes along with an upstream call."""
        return {} if self.tracing is None else self.tracing.headers()
