"""Every charge can be explained: usage, rate card and arithmetic, long after the call."""

import asyncio
from typing import Any

OPERATOR = {"Authorization": "Bearer operator-token"}


def test_the_charge_of_a_call_is_explained_by_usage_rates_and_arithmetic(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("10")
            content = "[[wb:c;in=1000;cached=200;out=10]]"
            answer = await d.chat(
                customer, {"model": "gpt-5.5", "messages": [{"role": "user", "content": content}]}
            )
            told = await d.operator("GET", f"/calls/{answer.json['id']}")
            charge = told["charge"]
            assert told["account"] == customer.id
            assert (charge["usage"]["input"], charge["usage"]["cached"], charge["usage"]["output"]) == (
                1000,
                200,
                10,
            )
            assert [row["reason"] for row in told["transfers"]] == ["hold", "release", "settle"]
            for term in charge["terms"]:
                assert int(term["amount"]) == term["quantity"] * int(term["rate"])
            assert sum(int(term["amount"]) for term in charge["terms"]) == int(charge["total"])
            assert told["charged"] == charge["total"]
            card = await d.operator("GET", f"/rates/{charge['rate_card']}")
            rates = card["rates"]["chat"]["gpt-5.5"]["standard"]
            assert {term["name"]: term["rate"] for term in charge["terms"]} == {
                name: rates[name] for name in ("input", "cache_read", "output")
            }

    asyncio.run(main())


def test_the_charge_of_a_task_is_explained_and_nothing_is_left_of_it_after_a_refund(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(1000)
            for outcome, reasons in (("completed", ["debit"]), ("failed", ["debit", "refund"])):
                body = {"model": "gpt-image-2", "prompt": f"[[wb:{outcome};outcome={outcome}]]", "n": 2}
                task = (await d.submit(customer, "/images/generations", body)).json["id"]
                await d.finished(customer, task)
                told = await d.operator("GET", f"/calls/{task}")
                charge = told["charge"]
                assert [row["reason"] for row in told["transfers"]] == reasons
                assert charge["usage"] == {"tasks": 2}
                (term,) = charge["terms"]
                assert int(term["amount"]) == term["quantity"] * int(term["rate"]) == int(charge["total"])
                assert told["charged"] == (charge["total"] if outcome == "completed" else "0")

    asyncio.run(main())


def test_what_was_never_charged_cannot_be_explained(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            for path in ("/calls/unknown", "/calls/%00", "/rates/unknown", "/rates/%00"):
                answer = await d.send("GET", d.gateway.operator_url + path, headers=OPERATOR)
                assert answer.status == 404

    asyncio.run(main())
