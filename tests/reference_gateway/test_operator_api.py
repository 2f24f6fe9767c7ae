"""The operator's API: its own token, accounts of both workspaces, money as exact text."""

import asyncio
from typing import Any

import pytest

OPERATOR = {"Authorization": "Bearer operator-token"}


def test_every_route_needs_the_operator_token(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            for headers in ({}, customer.headers, {"Authorization": "Bearer wrong"}, {"Authorization": "x"}):
                for method, path in (("POST", "/accounts"), ("GET", f"/accounts/{customer.id}/ledger")):
                    answer = await d.send(method, d.gateway.operator_url + path, headers=headers)
                    assert answer.status == 401

    asyncio.run(main())


def test_an_account_lives_from_creation_to_deletion(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("12.5")
            assert customer.key.startswith("sk-")
            shown = await d.operator("GET", f"/accounts/{customer.id}")
            assert shown == {
                "account": customer.id,
                "workspace": "chat",
                "balance": "12.5",
                "keys": [{"key_id": customer.key_id, "state": "active"}],
            }
            topped = await d.operator(
                "POST", f"/accounts/{customer.id}/top-up", json={"usd": "0.000000000001"}
            )
            assert topped == {"balance": "12.500000000001"}
            second = await d.operator("POST", f"/accounts/{customer.id}/keys")
            await d.operator("POST", f"/keys/{customer.key_id}/revoke")
            states = (await d.operator("GET", f"/accounts/{customer.id}"))["keys"]
            assert {key["key_id"]: key["state"] for key in states} == {
                customer.key_id: "revoked",
                second["key_id"]: "active",
            }
            await d.operator("DELETE", f"/accounts/{customer.id}")
            where = f"{d.gateway.operator_url}/accounts/{customer.id}"
            gone = await d.send("GET", where, headers={"Authorization": "Bearer operator-token"})
            assert gone.status == 404
            assert [row["amount"] for row in await d.rows(customer)] == ["12500000000000", "1"]
            assert (await d.operator("GET", f"/accounts/{customer.id}/usage"))["models"] == []
            models = f"{d.gateway.chat_url}/models"
            refused = await d.send("GET", models, headers={"Authorization": f"Bearer {second['key']}"})
            assert refused.json["error"]["code"] == "invalid_key"

    asyncio.run(main())


def test_task_accounts_count_in_whole_credits(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(7)
            assert customer.key.startswith("rk_live_")
            assert (await d.operator("POST", f"/accounts/{customer.id}/top-up", json={"credits": 5})) == {
                "balance": 12
            }
            assert [
                (row["reason"], row["amount"], row["balance_after"]) for row in await d.rows(customer)
            ] == [
                ("topup", "7", "7"),
                ("topup", "5", "12"),
            ]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "workspace"),
        ({"workspace": "moon"}, "workspace"),
        ({"workspace": "chat", "credits": 5}, "credits"),
        ({"workspace": "tasks", "balance_usd": "5"}, "balance_usd"),
        ({"workspace": "chat", "balance_usd": 5}, "balance_usd"),
        ({"workspace": "chat", "balance_usd": "0.0000000000001"}, "pico"),
        ({"workspace": "chat", "balance_usd": "-1"}, "negative"),
        ({"workspace": "tasks", "credits": 1.5}, "credits"),
        ({"workspace": "tasks", "requests_per_second": 0}, "requests_per_second"),
        ({"workspace": "tasks", "requests_per_second": 2**63}, "requests_per_second"),
        ({"workspace": "chat", "group_requests_per_second": {"default": "3"}}, "default"),
        ({"workspace": "chat", "group_requests_per_second": {"nowhere": 3}}, "nowhere"),
        ({"workspace": "chat", "balance": "1"}, "balance"),
    ],
)
def test_bad_accounts_are_refused_by_name(deploy: Any, body: dict[str, Any], word: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            url = f"{d.gateway.operator_url}/accounts"
            answer = await d.send("POST", url, json=body, headers={"Authorization": "Bearer operator-token"})
            assert answer.status == 400
            assert word in answer.json["error"]["message"]

    asyncio.run(main())


def test_a_balance_that_would_not_fit_is_refused_and_stays(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("900000")
            url = f"{d.gateway.operator_url}/accounts/{customer.id}/top-up"
            statuses = [
                (await d.send("POST", url, json={"usd": "900000"}, headers=OPERATOR)).status
                for _ in range(10)
            ]
            assert statuses == [200] * 9 + [400]
            assert await d.balance(customer) == "9000000"

    asyncio.run(main())
