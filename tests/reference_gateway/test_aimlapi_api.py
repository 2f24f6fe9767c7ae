"""The AI/ML API over HTTP: replies, streams, cost, errors, headers, keys and limits."""

import asyncio
import json
import re
from datetime import datetime
from typing import Any

import pytest

MODEL = "anthropic/claude-opus-4-8"
THINKING = {"type": "enabled", "budget_tokens": 1024}
BAIT = "sk-provider-secret-0001"


def asking(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


@pytest.mark.parametrize("model", [MODEL, "claude-opus-4-8"])
def test_the_published_sample_comes_out_to_the_credit(deploy: Any, model: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer("1")
            answer = await d.aimlapi(customer, asking("[[wb:s;text=Hi;in=24;out=414]]", model=model))
            assert answer.status == 200, answer.text
            reply = answer.json
            assert reply["object"] == "chat.completion"
            assert reply["model"] == model
            assert isinstance(reply["created"], int)
            assert reply["choices"] == [
                {
                    "index": 0,
                    "message": {"role": "assistant", "reasoning_content": "", "content": "Hi"},
                    "finish_reason": "stop",
                }
            ]
            assert reply["usage"] == {"prompt_tokens": 24, "completion_tokens": 414, "total_tokens": 438}
            assert reply["meta"] == {"usage": {"credits_used": 27222, "usd_spent": 0.013611}}
            assert answer.headers["x-aimlapi-credits-used"] == "27222"
            assert answer.headers["x-aimlapi-usd-spent"] == "0.013611"
            assert reply["id"] == f"chatcmpl-{answer.headers['x-inference-id']}"
            assert await d.balance(customer) == "0.986389"
            (row,) = await d.rows(customer, "settle")
            assert (row["call"], row["amount"]) == (reply["id"], "-13611000000")
            (entry,) = await d.journal("s")
            assert (json.loads(entry["body"])["model"], entry["upstream"]) == ("claude-opus-4-8", "anthropic")

    asyncio.run(main())


def test_a_stream_tells_its_cost_in_the_last_chunk(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer("1")
            body = asking("[[wb:s;text=Hello;chunks=5;in=24;out=414]]", stream=True, thinking=THINKING)
            answer = await d.aimlapi(customer, body)
            assert (answer.status, answer.data[-1]) == (200, "[DONE]")
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert not [name for name in answer.headers if name.lower().startswith("x-aimlapi")]
            chunks = answer.chunks
            assert {(chunk["object"], chunk["id"], chunk["model"]) for chunk in chunks} == {
                ("chat.completion.chunk", f"chatcmpl-{answer.headers['x-inference-id']}", MODEL)
            }
            deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
            assert deltas[0]["role"] == "assistant"
            assert answer.content == "Hello"
            shown = [index for index, delta in enumerate(deltas) if delta.get("reasoning_content")]
            said = [index for index, delta in enumerate(deltas) if delta.get("content")]
            assert shown
            assert max(shown) < min(said)
            last = chunks[-1]
            assert last["choices"][0]["finish_reason"] == "stop"
            assert last["usage"] == {"prompt_tokens": 24, "completion_tokens": 414, "total_tokens": 438}
            assert last["meta"] == {"usage": {"credits_used": 27222, "usd_spent": 0.013611}}
            assert not any("meta" in chunk for chunk in chunks[:-1])
            assert await d.balance(customer) == "0.986389"

    asyncio.run(main())


def test_thinking_is_shown_before_the_answer(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer()
            whole = await d.aimlapi(customer, asking("[[wb:t;text=Hi]]", thinking=THINKING))
            message = whole.json["choices"][0]["message"]
            assert message["content"] == "Hi"
            assert message["reasoning_content"]
            assert list(message).index("reasoning_content") < list(message).index("content")
            streamed = await d.aimlapi(customer, asking("[[wb:t;text=Hi]]", thinking=THINKING, stream=True))
            deltas = [chunk["choices"][0]["delta"] for chunk in streamed.chunks]
            shown = "".join(delta.get("reasoning_content", "") for delta in deltas)
            assert shown == message["reasoning_content"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"name": "f", "input_schema": {"type": "object"}},
    ],
    ids=["openai", "anthropic"],
)
def test_tool_calls_come_back_in_openais_form(deploy: Any, tool: dict[str, Any]) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer()
            body = asking("[[wb:c;tool=f;args={%22a%22:1}]]", tools=[tool], tool_choice="required")
            choice = (await d.aimlapi(customer, body)).json["choices"][0]
            assert choice["finish_reason"] == "tool_calls"
            assert choice["message"]["content"] is None
            (call,) = choice["message"]["tool_calls"]
            assert (call["type"], call["function"]) == ("function", {"name": "f", "arguments": '{"a":1}'})
            streamed = await d.aimlapi(customer, {**body, "stream": True})
            fragments = [
                fragment["function"].get("arguments", "")
                for chunk in streamed.chunks
                for fragment in chunk["choices"][0]["delta"].get("tool_calls", [])
            ]
            assert "".join(fragments) == '{"a":1}'
            assert streamed.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"

    asyncio.run(main())


def test_cached_tokens_and_searches_cost_what_the_table_says(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer("1")
            answer = await d.aimlapi(
                customer, asking("[[wb:m;in=1000;cached=300;written=200;out=10;searches=2]]")
            )
            # 500 x 13 + 300 x 1 + 200 x 16 + 10 x 65 credits, and 20000 for each search
            assert answer.json["meta"]["usage"] == {"credits_used": 50650, "usd_spent": 0.025325}
            assert answer.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 300
            assert await d.balance(customer) == "0.974675"

    asyncio.run(main())


def test_credits_that_are_no_whole_number_stay_exact(deploy: Any) -> None:
    models = {MODEL: {"rates": {"input": "0.000001", "output": "1"}}}

    async def main() -> None:
        async with deploy(aimlapi={"models": models, "routes": {MODEL: "anthropic"}}) as d:
            customer = await d.aimlapi_customer("1")
            answer = await d.aimlapi(customer, asking("[[wb:e;in=3;out=1]]"))
            assert '"credits_used":2.000006,"usd_spent":0.000001000003' in answer.text
            assert answer.headers["x-aimlapi-usd-spent"] == "0.000001000003"

    asyncio.run(main())


def test_a_reply_without_usage_is_delivered_and_costs_nothing(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer("1")
            for stream in (False, True):
                body = asking("[[wb:n;text=Hi;fault=no_usage]]", stream=stream)
                answer = await d.aimlapi(customer, body)
                assert answer.status == 200
                last = answer.chunks[-1] if stream else answer.json
                assert last["meta"] == {"usage": {"credits_used": 0, "usd_spent": 0}}
            assert await d.balance(customer) == "1"

    asyncio.run(main())


def check_flat(answer: Any, status: int, path: str = "/v1/chat/completions") -> None:
    """The envelope and the headers of every failure."""
    assert answer.status == status, answer.text
    error = answer.json
    assert set(error) == {"message", "path", "requestId", "statusCode", "timestamp"}
    assert error["message"]
    assert (error["statusCode"], error["path"]) == (status, path)
    assert error["requestId"] == answer.headers["x-inference-id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", error["timestamp"])
    assert datetime.fromisoformat(error["timestamp"]).tzinfo is not None
    assert not [name for name in answer.headers if name.lower().startswith("x-aimlapi")]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("status=400", 400),
        ("status=401", 502),
        ("status=403", 502),
        ("status=404", 502),
        ("status=429", 503),
        ("status=500", 502),
        ("status=529", 502),
        ("fault=html", 502),
        ("fault=empty", 502),
        ("fault=bad_json", 502),
        ("fault=close_before_headers", 502),
        ("fault=reset", 502),
    ],
)
def test_a_failing_provider_is_asked_once_and_the_caller_pays_nothing(
    deploy: Any, fault: str, status: int
) -> None:
    bait = f";message=bad%20key%20{BAIT}" if "status" in fault else ""

    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer("1")
            answer = await d.aimlapi(customer, asking(f"[[wb:bad;{fault}{bait}]]"))
            check_flat(answer, status)
            assert BAIT not in answer.text
            assert await d.balance(customer) == "1"
            assert await d.rows(customer, "settle", "overrun") == []
            assert len(await d.journal("bad")) == 1

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["reset", "close", "end_early", "bad_json", "error_event"])
def test_a_broken_stream_ends_in_an_error_and_is_free(deploy: Any, fault: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer("1")
            bait = f";message={BAIT}" if fault == "error_event" else ""
            body = asking(f"[[wb:b;text=Hello world;chunks=5;fault={fault};after=2{bait}]]", stream=True)
            answer = await d.aimlapi(customer, body)
            assert answer.status == 200
            error = answer.chunks[-1]
            assert (error["statusCode"], error["requestId"]) == (502, answer.headers["x-inference-id"])
            assert error["error"]["message"] == error["message"]
            assert "[DONE]" not in answer.data
            assert not any(
                choice["finish_reason"] for chunk in answer.chunks[:-1] for choice in chunk["choices"]
            )
            assert BAIT not in answer.text
            assert await d.balance(customer) == "1"

    asyncio.run(main())


def test_a_stream_that_fails_at_once_is_an_ordinary_error(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer()
            check_flat(await d.aimlapi(customer, asking("[[wb:x;status=500]]", stream=True)), 502)

    asyncio.run(main())


def test_keys_of_other_workspaces_and_switched_off_keys_give_401(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer()
            chat, tasks = await d.customer(), await d.task_customer()
            url = f"{d.gateway.aimlapi_url}/chat/completions"
            bad: list[dict[str, str]] = [
                {},
                {"Authorization": "Bearer nonsense"},
                {"Authorization": customer.key},
                {"x-api-key": customer.key},
                chat.headers,
                tasks.headers,
            ]
            for headers in bad:
                check_flat(await d.send("POST", url, data=b"not json", headers=headers), 401)
            assert (await d.chat(customer, asking("x"))).status == 401
            assert (await d.messages(customer, asking("x"))).status == 401

            async def switch(action: str) -> int:
                shown = await d.operator("POST", f"/keys/{customer.key_id}/{action}")
                (key,) = (await d.operator("GET", f"/accounts/{customer.id}"))["keys"]
                assert shown == key
                status: int = (await d.aimlapi(customer, asking("x"))).status
                return status

            assert await switch("disable") == 401
            assert await switch("enable") == 200
            assert await switch("disable") == 401
            assert await switch("revoke") == 401
            where = f"{d.gateway.operator_url}/keys/"
            operator = {"Authorization": "Bearer operator-token"}
            gone = await d.send("POST", f"{where}{customer.key_id}/enable", headers=operator)
            assert gone.status == 400
            unknown = await d.send("POST", f"{where}key_x/disable", headers=operator)
            assert unknown.status == 404

    asyncio.run(main())


def test_an_empty_account_gets_403_until_it_is_topped_up(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer("0")
            check_flat(await d.aimlapi(customer, asking("[[wb:poor]]")), 403)
            assert await d.journal("poor") == []
            await d.operator("POST", f"/accounts/{customer.id}/top-up", json={"usd": "1"})
            assert (await d.aimlapi(customer, asking("x"))).status == 200

    asyncio.run(main())


def test_bad_bodies_and_unknown_routes_answer_in_the_flat_envelope(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer()
            url = f"{d.gateway.aimlapi_url}/chat/completions"
            for data in (b"{", b"[]", b"\xff"):
                check_flat(await d.send("POST", url, data=data, headers=customer.headers), 400)
            bodies: list[dict[str, Any]] = [
                {"messages": []},
                asking("[[wb:no]]", model="gpt-5.5"),
                asking("[[wb:no]]", thinking={"type": "enabled", "budget_tokens": 1}),
            ]
            for body in bodies:
                check_flat(await d.aimlapi(customer, body), 400)
            assert await d.journal("no") == []
            check_flat(await d.send("GET", url, headers=customer.headers), 404)
            root = d.gateway.aimlapi_url.removesuffix("/v1")
            for path in ("/v1/models", "/v1/messages", "/", "/v1/%FF"):
                answer = await d.send("GET", root + path)
                check_flat(answer, 404, path)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [("a", True), ("A-1_b.c:d", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("é", False)],
)
def test_a_valid_client_request_id_is_echoed_and_an_invalid_one_is_dropped(
    deploy: Any, sent: str, echoed: bool
) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.aimlapi_customer()
            header = {"X-Client-Request-Id": sent}
            whole = await d.aimlapi(customer, asking("x"), **header)
            streamed = await d.aimlapi(customer, asking("x", stream=True), **header)
            refused = await d.aimlapi(customer, {}, **header)
            assert [answer.status for answer in (whole, streamed, refused)] == [200, 200, 400]
            for answer in (whole, streamed, refused):
                assert answer.headers.get("x-client-request-id") == (sent if echoed else None)
            ids = {answer.headers["x-inference-id"] for answer in (whole, streamed, refused)}
            assert len(ids) == 3

    asyncio.run(main())


def test_calls_per_second_are_limited_per_account(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            limited = await d.aimlapi_customer(requests_per_second=2)
            free = await d.aimlapi_customer()
            answers = await asyncio.gather(*(d.aimlapi(limited, asking("[[wb:r]]")) for _ in range(9)))
            refused = [answer for answer in answers if answer.status == 429]
            assert len(refused) >= 5
            check_flat(refused[0], 429)
            assert int(refused[0].headers["Retry-After"]) >= 1
            assert len(await d.journal("r")) == len(answers) - len(refused)
            assert (await d.aimlapi(free, asking("x"))).status == 200

            async def served_again() -> bool:
                status: int = (await d.aimlapi(limited, asking("x"))).status
                return status == 200

            assert await wait_for(served_again)

    asyncio.run(main())


def test_calls_at_the_same_time_are_limited_per_account(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(aimlapi={"concurrent_requests": 2}) as d:
            customer, other = await d.aimlapi_customer(), await d.aimlapi_customer()
            bodies = [asking("[[wb:w;ttft_ms=300]]", stream=stream) for stream in (True, False, True)]
            answers = await asyncio.gather(
                *(d.aimlapi(customer, body) for body in bodies), d.aimlapi(other, asking("x"))
            )
            statuses = [answer.status for answer in answers]
            assert sorted(statuses[:3]) == [200, 200, 429]
            assert statuses[3] == 200
            check_flat(answers[statuses.index(429)], 429)
            assert (await d.aimlapi(customer, asking("x"))).status == 200

    asyncio.run(main())


def test_a_caller_who_leaves_stops_the_provider_and_pays_nothing(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy(aimlapi={"concurrent_requests": 1}) as d:
            customer = await d.aimlapi_customer("1")
            url = f"{d.gateway.aimlapi_url}/chat/completions"
            body = asking("[[wb:gone;chunks=1000;gap_ms=20]]", stream=True)
            async with d.session.post(url, json=body, headers=customer.headers) as response:
                await response.content.readany()

            async def stopped() -> bool:
                (entry,) = await d.journal("gone")
                return entry["caller_left_ns"] is not None

            assert await wait_for(stopped)

            async def released() -> bool:
                return bool(await d.balance(customer) == "1")

            assert await wait_for(released)

            async def has_room() -> bool:
                status: int = (await d.aimlapi(customer, asking("x"))).status
                return status == 200

            assert await wait_for(has_room)

    asyncio.run(main())


def test_an_account_keeps_its_money_and_its_keys_over_a_restart(deploy: Any, tmp_path: Any) -> None:
    database = str(tmp_path / "g.sqlite")

    async def main() -> None:
        async with deploy(database=database) as d:
            customer = await d.aimlapi_customer("3")
            second = await d.operator("POST", f"/accounts/{customer.id}/keys")
            await d.operator("POST", f"/keys/{second['key_id']}/disable")
        async with deploy(database=database) as d:
            assert await d.balance(customer) == "3"
            assert (await d.aimlapi(customer, asking("x"))).status == 200
            url = f"{d.gateway.aimlapi_url}/chat/completions"
            headers = {"Authorization": f"Bearer {second['key']}"}
            assert (await d.send("POST", url, json=asking("x"), headers=headers)).status == 401

    asyncio.run(main())
