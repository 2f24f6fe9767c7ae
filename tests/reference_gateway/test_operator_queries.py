"""Limits, rates, usage and the explanation of charges; and one listener for many hosts."""

import asyncio
from typing import Any

import pytest

GPT = {"model": "gpt-5.5"}


def asking(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def test_a_charge_is_explained_by_usage_rates_and_arithmetic(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            answer = await d.chat(customer, {**GPT, **asking("[[wb:e;in=1000;out=100]]")})
            told = await d.operator("GET", f"/calls/{answer.json['id']}")
            charge = told["charge"]
            assert (charge["usage"]["input"], charge["usage"]["output"]) == (1000, 100)
            amounts = [int(term["quantity"]) * int(term["rate"]) for term in charge["terms"]]
            assert amounts == [int(term["amount"]) for term in charge["terms"]]
            assert str(sum(amounts)) == charge["total"] == told["charged"] == str(8 * 10**9)
            assert told["account"] == customer.id
            assert [row["reason"] for row in told["transfers"]] == ["hold", "release", "settle"]
            rates = await d.operator("GET", "/rates")
            assert charge["rate_card"] == rates["version"]
            assert rates == await d.operator("GET", f"/rates/{rates['version']}")
            assert rates["rates"]["chat"]["gpt-5.5"]["standard"]["input"] == charge["terms"][0]["rate"]

    asyncio.run(main())


def test_usage_is_summed_by_model_and_a_refund_costs_nothing(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer, tasks = await d.customer(), await d.task_customer()
            for _ in range(2):
                await d.chat(customer, {**GPT, **asking("[[wb:e;in=1000;out=100]]")})
            (model,) = (await d.operator("GET", f"/accounts/{customer.id}/usage"))["models"]
            assert (model["model"], model["calls"], model["input"], model["output"]) == (
                "gpt-5.5",
                2,
                2000,
                200,
            )
            assert model["charged"] == str(16 * 10**9)
            body = {"model": "gpt-image-2", "prompt": "[[wb:f;outcome=failed]]"}
            task = (await d.submit(tasks, "/images/generations", body)).json["id"]
            await d.finished(tasks, task)
            (model,) = (await d.operator("GET", f"/accounts/{tasks.id}/usage"))["models"]
            assert (model["calls"], model["charged"]) == (1, "0")
            told = await d.operator("GET", f"/calls/{task}")
            assert ([row["reason"] for row in told["transfers"]], told["charged"]) == (
                ["debit", "refund"],
                "0",
            )

    asyncio.run(main())


def test_limits_are_read_set_and_applied_at_once(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            place = f"/accounts/{customer.id}/limits"
            assert await d.operator("GET", place) == {
                "requests_per_second": None,
                "group_requests_per_second": {},
            }
            wanted = {"requests_per_second": 50, "group_requests_per_second": {"default": 1}}
            assert await d.operator("PUT", place, json=wanted) == wanted
            assert await d.operator("GET", place) == wanted
            statuses = {(await d.chat(customer, {**GPT, **asking("hi")})).status for _ in range(8)}
            assert statuses == {200, 429}
            operator = {"Authorization": "Bearer operator-token"}
            bad = {"group_requests_per_second": {"nowhere": 1}}
            answer = await d.send("PUT", d.gateway.operator_url + place, json=bad, headers=operator)
            assert answer.status == 400
            (group,) = (await d.operator("GET", "/groups"))["groups"]
            assert group["group"] == "default"

    asyncio.run(main())


def test_accounts_and_keys_are_listed_without_secrets(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            one, two = sorted([(await d.customer()).id, (await d.task_customer()).id])
            listed = await d.operator("GET", "/accounts")
            assert [entry["account"] for entry in listed["accounts"]] == [one, two]
            assert not listed["has_more"]
            rest = await d.operator("GET", f"/accounts?after={one}")
            assert [entry["account"] for entry in rest["accounts"]] == [two]
            (key,) = (await d.operator("GET", f"/accounts/{one}/keys"))["keys"]
            assert set(key) == {"key_id", "state"}

    asyncio.run(main())


def test_the_aimlapi_answers_under_its_own_name_in_its_own_words(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(listen={"shared": "127.0.0.1:0", "hosts": HOSTS}) as d:
            port = int(d.gateway.messages_url.rpartition(":")[2])
            assert d.gateway.aimlapi_url == f"http://ai.example:{port}/v1"
            customer = await d.aimlapi_customer()
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            body = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "hi"}]}
            for host in ("ai.example", "AI.example:80"):
                answer = await d.send("POST", url, json=body, headers={**customer.headers, "Host": host})
                assert answer.status == 200, answer.text
                assert "meta" in answer.json
                assert "x-inference-id" in answer.headers
            refused = await d.send("POST", url, json=body, headers={"Host": "ai.example"})
            assert (refused.status, refused.json["statusCode"]) == (401, 401)
            # The same path under another name is another surface, where this key is unknown.
            foreign = await d.send(
                "POST", url, json=body, headers={**customer.headers, "Host": "chat.example"}
            )
            assert (foreign.status, foreign.json["error"]["code"]) == (401, "invalid_key")

    asyncio.run(main())


def test_without_a_token_the_operator_api_refuses_everyone(deploy: Any) -> None:
    import aiohttp

    from reference_gateway import Gateway, reapi_config

    async def main() -> None:
        config = reapi_config(
            openai_url="http://127.0.0.1:1/v1",
            anthropic_url="http://127.0.0.1:1",
            media_url="http://127.0.0.1:1",
            upstream_key="k",
            operator_token=None,
        )
        async with Gateway(config) as gateway, aiohttp.ClientSession() as session:
            for headers in ({}, {"Authorization": "Bearer None"}, {"Authorization": "Bearer "}):
                async with session.get(f"{gateway.operator_url}/accounts", headers=headers) as response:
                    assert response.status == 401
            assert gateway.operator_url.startswith("http://127.0.0.1:")

    asyncio.run(main())


HOSTS = {
    "chat": ["chat.example", "api.example"],
    "tasks": ["tasks.example"],
    "aimlapi": ["ai.example"],
}


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("chat.example", "/v1/models", 200),
        ("API.example:8080", "/v1/models", 200),
        ("chat.example.", "/v1/models", 200),
        ("tasks.example", "/v1/models", 404),
        ("tasks.example", "/api/v1/balance", 401),
        ("ai.example", "/v1/chat/completions", 404),
        ("elsewhere.example", "/v1/models", 421),
        ("127.0.0.1", "/v1/models", 421),
        ("", "/v1/models", 421),
    ],
)
def test_the_host_header_chooses_the_surface(deploy: Any, host: str, path: str, status: int) -> None:
    async def main() -> None:
        async with deploy(listen={"shared": "127.0.0.1:0", "hosts": HOSTS}) as d:
            customer = await d.customer()
            port = int(d.gateway.messages_url.rpartition(":")[2])
            assert d.gateway.chat_url == f"http://chat.example:{port}/v1"
            assert d.gateway.tasks_url == f"http://tasks.example:{port}/api/v1"
            answer = await d.send(
                "GET", f"http://127.0.0.1:{port}{path}", headers={**customer.headers, "Host": host}
            )
            assert answer.status == status, answer.text
            if status == 421:
                assert answer.json["error"]["code"] == "misdirected"

    asyncio.run(main())
