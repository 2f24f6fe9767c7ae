"""OpenTelemetry traces: a span for each request and one inside it for its upstream call; the context travels both ways.

The SDK is an extra (`weighbridge[otel]`), needed only by those who configure traces.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from reference_gateway.config import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
    from opentelemetry.trace import TracerProvider


class TracingUnavailableError(RuntimeError):
    """Traces are configured, and the SDK is not installed."""


class Span(Protocol):
    """As much of a span as is used here."""

    def set_attribute(self, key: str, value: str | int) -> None:
        """Note something about the work."""


class Tracing:
    """Spans through a tracer provider."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind

        self._tracer = provider.get_tracer("reference_gateway")
        self._propagate = propagate
        self._kinds = SpanKind

    @contextmanager
    def request(self, method: str, surface: str, headers: Mapping[str, str], request: str) -> Iterator[Span]:
        """The span of a request, a child of the caller's own if it sent one."""
        with self._tracer.start_as_current_span(
            f"{method} {surface}",
            context=self._propagate.extract(headers),
            kind=self._kinds.SERVER,
            attributes={
                "http.request.method": method,
                "gateway.surface": surface,
                "gateway.request_id": request,
            },
        ) as span:
            yield span

    @contextmanager
    def upstream(self, channel: str, model: str) -> Iterator[Span]:
        """The span of an upstream call, from the POST to the end of the reply."""
        with self._tracer.start_as_current_span(
            f"upstream {channel}",
            kind=self._kinds.CLIENT,
            attributes={"gateway.channel": channel, "gen_ai.request.model": model},
        ) as span:
            yield span

    def headers(self) -> dict[str, str]:
        """What tells the upstream which trace it is part of."""
        carrier: dict[str, str] = {}
        self._propagate.inject(carrier)
        return carrier


def provider_for(settings: TracingSettings) -> "SdkTracerProvider":
    """A provider that exports to the configured receiver; raises `TracingUnavailableError`."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailableError(
            "tracing is configured, and OpenTelemetry is not installed; install weighbridge[otel]"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": settings.service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    return provider
