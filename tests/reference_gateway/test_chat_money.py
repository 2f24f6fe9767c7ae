"""What calls cost, end to end: from the usage that an upstream reports to the balance that an operator reads."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

MILLION = Decimal(1_000_000)


def asking(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "script", "cost"),
    [
        ("gpt-5.5", "in=272000;out=1000", Decimal(272_000 * 5 + 1000 * 30) / MILLION),
        ("gpt-5.5", "in=272001;out=1000", Decimal(272_001 * 10 + 1000 * 45) / MILLION),
        ("gpt-5.5", "in=280000;out=7", Decimal(280_000 * 10 + 7 * 45) / MILLION),
        ("claude-sonnet-4-6", "in=900000;out=7", Decimal(900_000 * 3 + 7 * 15) / MILLION),
        (
            "claude-opus-4-8",
            "in=1000;out=10;cached=300;written=200",
            (500 * 5 + 300 * Decimal("0.5") + 200 * Decimal("6.25") + 10 * 25) / MILLION,
        ),
        (
            "claude-opus-4-8",
            "in=100;out=10;searches=2",
            Decimal(100 * 5 + 10 * 25) / MILLION + Decimal("0.02"),
        ),
    ],
)
def test_the_balance_falls_by_the_price_of_the_reported_usage(
    deploy: Any, model: str, script: str, cost: Decimal, stream: bool
) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            body = {"model": model, "max_tokens": 2000, "stream": stream, **asking(f"[[wb:m;{script}]]")}
            answer = await d.chat(customer, body)
            assert answer.status == 200, answer.text
            assert Decimal(await d.balance(customer)) == Decimal(100) - cost
            (row,) = await d.rows(customer, "settle")
            assert int(row["detail"]["total"]) == int(cost * 10**12) == -int(row["amount"])

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_messages_surface_bills_the_same_counters(deploy: Any, stream: bool) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            text = "[[wb:m;in=1000;out=10;cached=300;written=200;searches=1]]"
            body = {"model": "claude-opus-4-8", "max_tokens": 100, "stream": stream, **asking(text)}
            assert (await d.messages(customer, body)).status == 200
            cost = (500 * 5 + 300 * Decimal("0.5") + 200 * Decimal("6.25") + 10 * 25) / MILLION + Decimal(
                "0.01"
            )
            assert Decimal(await d.balance(customer)) == Decimal(100) - cost

    asyncio.run(main())


def test_the_settlement_is_visible_when_the_reply_is(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            for number in range(20):
                body = {"model": "gpt-5.5", "stream": number % 2 == 1, **asking("[[wb:v;in=1000;out=0]]")}
                await d.chat(customer, body)
                assert Decimal(await d.balance(customer)) == Decimal(100) - Decimal("0.005") * (number + 1)

    asyncio.run(main())


def test_a_reply_without_usage_is_delivered_and_costs_nothing(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            for stream in (False, True):
                body = {"model": "gpt-5.5", "stream": stream, **asking("[[wb:n;text=fine;fault=no_usage]]")}
                answer = await d.chat(customer, body)
                assert answer.status == 200
                assert "fine" in answer.text
            assert await d.balance(customer) == "100"

    asyncio.run(main())


def test_a_wrong_sum_of_the_upstream_is_set_right(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            body = {"model": "gpt-5.5", **asking("[[wb:w;in=100;out=10;fault=wrong_usage]]")}
            usage = (await d.chat(customer, body)).json["usage"]
            assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    asyncio.run(main())


def test_an_empty_balance_is_refused_before_the_upstream_until_it_is_topped_up(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("0")
            for stream in (False, True):
                refused = await d.chat(
                    customer, {"model": "gpt-5.5", "stream": stream, **asking("[[wb:broke]]")}
                )
                assert (refused.status, refused.json["error"]["code"]) == (402, "insufficient_balance")
            assert await d.journal("broke") == []
            assert await d.rows(customer) == []
            await d.operator("POST", f"/accounts/{customer.id}/top-up", json={"usd": "1"})
            assert (await d.chat(customer, {"model": "gpt-5.5", **asking("[[wb:broke]]")})).status == 200

    asyncio.run(main())


def test_a_call_dearer_than_the_balance_runs_once_and_leaves_it_negative(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("0.001")
            body = {"model": "gpt-5.5", **asking("[[wb:dear;in=1000;out=0]]")}
            assert (await d.chat(customer, body)).status == 200
            assert await d.balance(customer) == "-0.004"
            assert [row["amount"] for row in await d.rows(customer, "settle", "overrun")] == [
                "-1000000000",
                "-4000000000",
            ]
            assert (await d.chat(customer, body)).status == 402

    asyncio.run(main())


def test_the_rate_limit_of_a_group_is_its_own_and_costs_nothing(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy(groups={"pro": {"routes": {"gpt-5.5": "openai"}}}) as d:
            customer = await d.customer("100", group_requests_per_second={"default": 3})
            body = {"model": "gpt-5.5", **asking("[[wb:lim;in=1000;out=0]]")}
            answers = await asyncio.gather(*(d.chat(customer, body) for _ in range(12)))
            refused = [answer for answer in answers if answer.status == 429]
            served = [answer for answer in answers if answer.status == 200]
            assert len(refused) + len(served) == 12
            assert len(refused) >= 6
            assert refused[0].json["error"]["code"] == "rate_limited"
            assert int(refused[0].headers["Retry-After"]) >= 1
            assert (await d.chat(customer, {**body, "group": "pro"})).status == 200
            assert len(await d.journal("lim")) == len(served) + 1
            assert Decimal(await d.balance(customer)) == Decimal(100) - Decimal("0.005") * (len(served) + 1)

            async def served_again() -> bool:
                return bool((await d.chat(customer, body)).status == 200)

            await wait_for(served_again, 2.0)

    asyncio.run(main())
