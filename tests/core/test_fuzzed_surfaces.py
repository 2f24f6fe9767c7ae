"""Each surface is fuzzed on its own URL: generated requests are really sent, and what arrives there is counted."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from weighbridge.embed import embedded
from weighbridge.evidence import Exchange, Request
from weighbridge.openapi import for_models, for_surface
from weighbridge.target import Target
from weighbridge.wire import Timeouts, exchange

#: Requests drawn for each operation; the run's own generator draws more.
DRAWN = 4


def _drawn(operation: Any) -> list[Any]:
    """Valid cases of one operation whose body JSON text can hold."""
    cases: list[Any] = []

    @seed(1)
    @settings(
        max_examples=DRAWN,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def take(case: Any) -> None:
        cases.append(case)

    take()
    return cases


def _body(case: Any) -> bytes | None:
    if not isinstance(case.body, dict):
        return b""
    try:
        return json.dumps(case.body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None


async def _fuzz(target: Target, surface: str) -> list[tuple[str, Exchange]]:
    url, key = (
        target.surfaces[surface].url,
        target.principals[f"{surface.replace('messages', 'chat')}.funded"].key,
    )
    document = for_models(for_surface(surface, url), frozenset(target.models.values()))
    schema = schemathesis.openapi.from_dict(document)
    seen = []
    for path, item in document["paths"].items():
        for method in item.keys() & {"get", "post"}:
            for case in await asyncio.to_thread(_drawn, schema[path][method.upper()]):
                body = _body(case)
                if body is None:
                    continue
                called = case.as_transport_kwargs(base_url=url)["url"]
                headers = (("Authorization", f"Bearer {key}"), ("Content-Type", "application/json"))
                request = Request(method.upper(), called, headers, body)
                bounds = Timeouts(5, 20, 20)
                answer = await exchange(request, id="fuzz", epoch=time.perf_counter(), timeouts=bounds)
                seen.append((called, answer))
                if surface == "tasks":
                    await asyncio.sleep(0.11)  # ten requests per second are allowed there
    return seen


@pytest.mark.parametrize("surface", ["chat", "messages", "tasks", "aimlapi"])
def test_generated_requests_arrive_at_the_surfaces_own_url(surface: str) -> None:
    async def main() -> tuple[str, list[tuple[str, Exchange]], int]:
        async with embedded() as target:
            return target.surfaces[surface].url, await _fuzz(target, surface), len(target.surfaces)

    url, seen, surfaces = asyncio.run(main())
    assert surfaces == 4
    assert len(seen) >= DRAWN
    for called, answer in seen:
        assert called.startswith(f"{url}/")
        assert answer.status is not None and answer.status < 500, (called, answer.detail)  # noqa: PT018
    routes = {answer.status for _, answer in seen}
    assert 200 in routes
    assert not any(answer.status == 404 and "/tasks/" not in called for called, answer in seen)
