"""Health, metrics, logs and traces of a running gateway."""

import asyncio
import io
import json
import logging
import re
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway import Gateway, reapi_config
from reference_gateway.observation.logs import JsonFormatter, Redaction, secrets_of
from reference_gateway.observation.tracing import Tracing

GPT = {"model": "gpt-5.5"}
OPERATOR = {"Authorization": "Bearer operator-token"}


def asking(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def values(exposition: str) -> dict[str, float]:
    """The samples of an exposition by name and labels."""
    samples = (line.rpartition(" ") for line in exposition.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, _, value in samples}


async def scrape(d: Any) -> dict[str, float]:
    answer = await d.send("GET", d.gateway.metrics_url, headers=OPERATOR)
    assert answer.status == 200
    return values(answer.text)


def test_calls_tokens_money_and_times_are_counted(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            body = {**GPT, **asking("[[wb:one;in=1000;out=100]]")}
            assert (await d.chat(customer, body)).status == 200
            assert (await d.chat(customer, {**body, "stream": True})).status == 200
            assert (
                await d.chat(customer, {**GPT, **asking("[[wb:two;fault=status;status=500]]")})
            ).status == 500
            assert (await d.chat(customer, {**GPT, "messages": "none"})).status == 400
            seen = await scrape(d)
            ok = 'gateway_calls_total{group="default",model="gpt-5.5",outcome="ok",surface="chat"}'
            assert seen[ok] == 2
            assert seen[ok.replace('"ok"', '"upstream_failed"')] == 1
            assert seen['gateway_tokens_total{kind="input",model="gpt-5.5"}'] == 2000
            assert seen['gateway_tokens_total{kind="output",model="gpt-5.5"}'] == 200
            charged = sum(-int(row["amount"]) for row in await d.rows(customer, "settle")) / 10**12
            assert seen['gateway_charged_usd_total{model="gpt-5.5",surface="chat"}'] == pytest.approx(charged)
            assert seen['gateway_requests_total{status="400",surface="chat"}'] == 1
            assert seen['gateway_requests_total{status="200",surface="chat"}'] == 2
            assert seen['gateway_added_seconds_count{surface="chat"}'] == 2
            assert 0 < seen['gateway_added_seconds_sum{surface="chat"}'] < 5
            assert seen['gateway_open_streams{surface="chat"}'] == 0
            assert 'gateway_unpriced_total{model="gpt-5.5"}' not in seen

    asyncio.run(main())


def test_the_added_time_leaves_the_upstreams_own_time_out(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            slow = {**GPT, **asking("[[wb:slow;ttft_ms=700]]")}
            assert (await d.chat(customer, slow)).status == 200
            assert (await d.chat(customer, {**slow, "stream": True})).status == 200
            seen = await scrape(d)
            assert seen['gateway_request_seconds_sum{surface="chat"}'] > 1.4
            assert seen['gateway_added_seconds_sum{surface="chat"}'] < 0.7

    asyncio.run(main())


def test_open_streams_and_clients_that_leave_are_counted(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            body = {**GPT, **asking("[[wb:open;text=a b c d e f g h;gap_ms=2000;chunks=8]]"), "stream": True}
            url = f"{d.gateway.chat_url}/chat/completions"
            async with d.session.post(url, json=body, headers=customer.headers) as response:
                await response.content.readany()
                assert (await scrape(d))['gateway_open_streams{surface="chat"}'] == 1
            left = 'gateway_calls_total{group="default",model="gpt-5.5",outcome="client_left",surface="chat"}'

            async def counted() -> bool:
                return (await scrape(d)).get(left) == 1

            assert await wait_for(counted)
            assert (await scrape(d))['gateway_open_streams{surface="chat"}'] == 0

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_without_usage_is_delivered_for_nothing_logged_and_counted(
    deploy: Any, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            body = {**GPT, **asking("[[wb:free;fault=no_usage]]"), "stream": stream}
            answer = await d.chat(customer, body)
            assert answer.status == 200
            assert not answer.broken
            assert await d.rows(customer, "settle") == []
            assert (await scrape(d))['gateway_unpriced_total{model="gpt-5.5"}'] == 1

    with caplog.at_level(logging.WARNING, "reference_gateway"):
        asyncio.run(main())
    assert [record for record in caplog.records if record.getMessage().startswith("unpriced:")]


def test_tasks_and_their_credits_are_counted(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer()
            body = {"model": "gpt-image-2", "prompt": "[[wb:t]]", "n": 2}
            assert (await d.submit(customer, "/images/generations", body)).status == 200
            seen = await scrape(d)
            assert seen['gateway_tasks_total{model="gpt-image-2"}'] == 1
            assert seen['gateway_task_credits_total{model="gpt-image-2"}'] == 80

    asyncio.run(main())


@pytest.mark.parametrize(
    ("script", "outcome"),
    [("", "completed"), (";outcome=failed", "provider_failed"), (";outcome=moderated", "moderated")],
)
def test_how_a_task_ended_is_counted_once(deploy: Any, script: str, outcome: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer()
            body = {"model": "gpt-image-2", "prompt": f"[[wb:t{script}]]"}
            made = await d.submit(customer, "/images/generations", body)
            await d.finished(customer, made.json["id"])
            await d.finished(customer, made.json["id"])
            seen = await scrape(d)
            ended = {
                name: value for name, value in seen.items() if name.startswith("gateway_tasks_ended_total{")
            }
            assert ended == {f'gateway_tasks_ended_total{{model="gpt-image-2",outcome="{outcome}"}}': 1}

    asyncio.run(main())


def test_health_and_readiness_are_on_every_listener(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            gateway = d.gateway
            for root in (gateway.chat_url, gateway.tasks_url, gateway.aimlapi_url, gateway.operator_url):
                base = "/".join(root.split("/")[:3])
                assert (await d.send("GET", f"{base}/healthz")).json == {"status": "ok"}
                ready = await d.send("GET", f"{base}/readyz")
                assert (ready.status, ready.json) == (
                    200,
                    {"status": "ok", "database": "ok", "listeners": "ok"},
                )

    asyncio.run(main())


def test_a_gateway_whose_database_is_gone_is_alive_and_not_ready(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with deploy() as d:
            base = d.gateway.messages_url

            def broken(_self: object) -> Any:
                raise OSError("the disk is gone")

            monkeypatch.setattr("reference_gateway.ledger.Ledger.ping", broken)
            assert (await d.send("GET", f"{base}/healthz")).status == 200
            ready = await d.send("GET", f"{base}/readyz")
            assert (ready.status, ready.json["database"]) == (503, "failed")

    asyncio.run(main())


def test_metrics_want_the_operators_token_unless_they_have_a_listener_of_their_own(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            assert (await d.send("GET", d.gateway.metrics_url)).status == 401
        async with deploy(listen={"metrics": "127.0.0.1:0"}) as d:
            answer = await d.send("GET", d.gateway.metrics_url)
            assert (answer.status, "gateway_requests_total" in answer.text) == (200, True)

    asyncio.run(main())


def test_every_response_names_its_request_and_so_does_an_error_envelope(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer, tasks = await d.customer(), await d.task_customer()
            seen = set()
            for answer in (
                await d.chat(customer, {**GPT, **asking("hi")}),
                await d.chat(customer, {**GPT, **asking("hi"), "stream": True}),
                await d.chat(customer, {}),
            ):
                assert re.fullmatch(r"req_[0-9a-f-]{36}", answer.headers["X-Request-Id"])
                seen.add(answer.headers["X-Request-Id"])
            assert len(seen) == 3
            refused = await d.submit(tasks, "/images/generations", {})
            assert refused.json["error"]["request_id"] == refused.headers["X-Request-Id"]
            refused = await d.messages(customer, {})
            assert refused.json["request_id"] == refused.headers["X-Request-Id"]

    asyncio.run(main())


def test_log_lines_are_json_with_the_id_of_their_request_and_no_secret(deploy: Any) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter(Redaction(["upstream-secret-key"])))
    logger = logging.getLogger("reference_gateway")

    async def main() -> str:
        async with deploy() as d:
            customer = await d.customer()
            answer = await d.chat(customer, {**GPT, **asking("hi")})
            logger.warning("careless: %s and %s", customer.key, "upstream-secret-key")
            return str(answer.headers["X-Request-Id"])

    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        request = asyncio.run(main())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    (call,) = [line for line in lines if line["message"] == "call"]
    assert call["request_id"] == request
    assert (call["model"], call["outcome"], call["surface"]) == ("gpt-5.5", "ok", "chat")
    assert int(call["charged_pico"]) > 0
    (careless,) = [line for line in lines if line["message"].startswith("careless")]
    assert careless["message"] == "careless: sk-*** and ***"


def test_a_request_and_its_upstream_call_are_spans_of_the_callers_trace() -> None:
    async def main() -> list[Any]:
        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        async with Simulator(SimulatorConfig()) as simulator:
            config = reapi_config(
                openai_url=f"{simulator.url}/v1",
                anthropic_url=simulator.url,
                media_url=simulator.url,
                upstream_key="k",
                operator_token="operator-token",
            )
            async with Gateway(config, tracing=Tracing(provider)) as gateway:
                import aiohttp

                async with aiohttp.ClientSession() as session:
                    account = {"workspace": "chat", "balance_usd": "10"}
                    async with session.post(
                        f"{gateway.operator_url}/accounts", json=account, headers=OPERATOR
                    ) as made:
                        key = (await made.json())["key"]
                    exporter.clear()
                    headers = {
                        "Authorization": f"Bearer {key}",
                        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
                    }
                    for stream in (False, True):
                        body = {**GPT, **asking("[[wb:traced]]"), "stream": stream}
                        url = f"{gateway.chat_url}/chat/completions"
                        async with session.post(url, json=body, headers=headers) as response:
                            await response.read()
                            assert response.status == 200
                    query = f"{simulator.url}/_wb/journal/query"
                    async with session.post(query, json={"ids": ["traced"]}) as response:
                        entries = (await response.json())["entries"]
            return [exporter.get_finished_spans(), entries]

    spans, entries = asyncio.run(main())
    requests = [span for span in spans if span.name == "POST chat"]
    upstream = [span for span in spans if span.name == "upstream openai"]
    assert (len(requests), len(upstream)) == (2, 2)
    for outer, inner, entry in zip(requests, upstream, entries, strict=True):
        assert f"{outer.context.trace_id:032x}" == "a" * 32
        assert outer.attributes["http.response.status_code"] == 200
        assert inner.parent.span_id == outer.context.span_id
        assert entry["headers"]["traceparent"].startswith(f"00-{'a' * 32}-{inner.context.span_id:016x}")


def test_traces_without_the_sdk_are_a_sentence_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from reference_gateway import GatewayStartError

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    config = reapi_config(
        openai_url="http://127.0.0.1:1/v1",
        anthropic_url="http://127.0.0.1:1",
        media_url="http://127.0.0.1:1",
        upstream_key="k",
        operator_token="t",
        tracing={"endpoint": "http://127.0.0.1:1/v1/traces"},
    )

    async def main() -> None:
        with pytest.raises(GatewayStartError, match=r"install weighbridge\[otel\]"):
            async with Gateway(config):
                pass

    asyncio.run(main())


def test_a_credential_that_is_made_for_each_account_is_masked_too() -> None:
    channels = {"own": {"dialect": "openai", "url": "http://o/v1", "key": "first-{account}-secret"}}
    config = reapi_config(
        openai_url="http://o/v1",
        anthropic_url="http://a",
        media_url="http://m",
        upstream_key="upstream-secret-key",
        operator_token="operator-token",
        channels=channels,
    )
    key = config.channels["own"].for_account("acct_7").key
    masked = Redaction(secrets_of(config))(f"Incorrect API key: {key}")
    assert "first" not in masked
    assert "secret" not in masked
