"""Runs one gateway for the benchmark in a process of its own and says on one line, as JSON, where it listens.

`--ledger real` is the gateway as it is; `--ledger stubbed` answers every hold and settlement at once, which leaves the
time that everything else takes. Ends when its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from reference_gateway import Components, Gateway, reapi_config
from reference_gateway.collector import calm_collector
from reference_gateway.ledger import Ledger
from reference_gateway.observation.logs import configure_logging

_TOKEN = "benchmark-operator"  # noqa: S105 - lives on loopback for a minute


def _done(value: Any) -> asyncio.Future[Any]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


class StubbedLedger(Ledger):
    """Keeps no books: what the gateway costs without them."""

    def hold(self, call: str, account: str, wanted: int) -> asyncio.Future[int]:  # noqa: ARG002 - nothing is held
        return _done(wanted)

    def settle(self, call: str, account: str, charge: int, detail: Any) -> asyncio.Future[None]:  # noqa: ARG002 - nothing is booked
        return _done(None)

    def release(self, call: str, account: str) -> asyncio.Future[None]:  # noqa: ARG002 - nothing is held
        return _done(None)


async def _serve(upstream: str, database: Path, *, stubbed: bool) -> None:
    config = reapi_config(
        openai_url=f"{upstream}/v1",
        anthropic_url=upstream,
        media_url=upstream,
        upstream_key="upstream-key-openai",
        operator_token=_TOKEN,
        database=str(database),
    )
    configure_logging(config)
    parts = Components.default()
    if stubbed:
        parts = dataclasses.replace(parts, ledger=StubbedLedger)
    async with Gateway(config, parts) as gateway:
        account = {"workspace": "chat", "balance_usd": "100000"}
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {_TOKEN}"}) as session,
            session.post(f"{gateway.operator_url}/accounts", json=account) as response,
        ):
            made = await response.json()
        print(json.dumps({"url": gateway.chat_url, "key": made["key"]}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one gateway for the benchmark.")
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--database", required=True, type=Path)
    parser.add_argument("--ledger", choices=("real", "stubbed"), default="real")
    asked = parser.parse_args()
    calm_collector()
    uvloop.run(_serve(asked.upstream, asked.database, stubbed=asked.ledger == "stubbed"))


if __name__ == "__main__":
    main()
