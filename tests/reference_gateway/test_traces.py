"""Traces as they are configured: a receiver of OTLP over HTTP gets the spans."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Where to send traces, and what has come."""
    taken: list[ExportTraceServiceRequest] = []

    async def take(request: web.Request) -> web.Response:
        taken.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces", taken
    finally:
        await runner.cleanup()


def test_a_configured_receiver_gets_the_spans_of_a_call_and_of_its_upstream(deploy: Any) -> None:
    async def main() -> None:
        async with receiver() as (endpoint, taken):
            async with deploy(tracing={"endpoint": endpoint, "service": "my-gateway"}) as d:
                customer = await d.customer()
                body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "[[wb:traced]]"}]}
                assert (await d.chat(customer, body)).status == 200
            # What is left is sent when the gateway ends.
            (resource,) = [resource for request in taken for resource in request.resource_spans]
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            assert names["service.name"] == "my-gateway"
            spans = {span.name: span for scope in resource.scope_spans for span in scope.spans}
            assert spans["upstream openai"].parent_span_id == spans["POST chat"].span_id
            assert customer.key not in str(taken)

    asyncio.run(main())
