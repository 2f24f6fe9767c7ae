"""Starts the simulator and the reference gateway on free loopback ports, in this process and event loop.

Besides `prove` this is the only module that knows both. What it yields is an ordinary target, read from
`targets/embedded.yaml`: the run that follows cannot tell it from a stranger's deployment.
"""

from __future__ import annotations

import json
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from mock_upstreams import Simulator, SimulatorConfig
from reference_gateway import Components, Gateway, GatewayConfig, GatewayStartError, reapi_config
from weighbridge import __version__
from weighbridge.embedded_target import EMBEDDED_PROFILES, EMBEDDED_SHAPE, Pair, started
from weighbridge.errors import HarnessError
from weighbridge.evidence import Request
from weighbridge.target import Target
from weighbridge.wire import Timeouts, exchange

#: The gateway asks the media provider this often; tasks in a run last some 50 ms.
_TASK_POLL_S = 0.02
#: Long enough for every directed call on a starved machine, short enough that a run ends.
_UPSTREAM_TIMEOUT_S = 20.0
#: As `upstream.timeout` of the target file says, and for its `impatient_group` alone.
_IMPATIENCE_S = 1.0
_START_USD = "100000"
_START_CREDITS = 1_000_000

__all__ = ["EMBEDDED_PROFILES", "EMBEDDED_SHAPE", "Pair", "embedded", "gateway_on", "serving"]


async def _operator(url: str, operator_token: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    seen = await exchange(
        Request(
            "POST",
            f"{url}/accounts",
            (("Authorization", f"Bearer {operator_token}"), ("Content-Type", "application/json")),
            json.dumps(body).encode(),
        ),
        id="embed",
        epoch=time.perf_counter(),
        timeouts=Timeouts(5, 10, 10),
    )
    if seen.status != 201 or not isinstance(seen.json, dict):
        raise HarnessError(f"the reference gateway did not make an account ({seen.status}: {seen.detail})")
    return seen.json


_MODELS = {"gpt-5.5": "openai", "claude-opus-4-8": "anthropic", "claude-sonnet-4-6": "anthropic"}


def _groups() -> dict[str, Any]:
    """More token groups: other channels, a limit, no provider, little patience (see the target file)."""
    return {
        "down": {"routes": dict.fromkeys(_MODELS, "closed-port")},
        "impatient": {"routes": dict.fromkeys(_MODELS, "impatient")},
        "side": {"routes": {model: f"{family}-side" for model, family in _MODELS.items()}},
        "limited": {"routes": dict(_MODELS), "requests_per_second": 5},
    }


def _channels(simulator_url: str, upstream_key: str, closed_port: int) -> dict[str, Any]:
    """Channels beside the plain OpenAI one; the simulator's journal tells the side channels apart by their path.

    Anthropic's prompt cache is kept by credential, so every account has one of its own there.
    """
    side = f"{simulator_url}/u/side"
    of_account = "-{account}"
    nowhere = f"http://127.0.0.1:{closed_port}/v1"
    return {
        "closed-port": {"dialect": "openai", "url": nowhere, "key": "no-provider-key"},
        "impatient": {
            "dialect": "openai",
            "url": f"{simulator_url}/v1",
            "key": upstream_key,
            "timeout_s": _IMPATIENCE_S,
        },
        "anthropic": {"dialect": "anthropic", "url": simulator_url, "key": upstream_key + of_account},
        "openai-side": {"dialect": "openai", "url": f"{side}/v1", "key": "side-channel-key"},
        "anthropic-side": {"dialect": "anthropic", "url": side, "key": f"side-channel-key{of_account}"},
    }


@contextmanager
def _closed_port() -> Iterator[int]:
    """A port that is taken and listens to nobody, so that connections to it are surely refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@asynccontextmanager
async def gateway_on(
    simulator_url: str, components: Components | None = None, **settings: Any
) -> AsyncIterator[Pair]:
    """The reference gateway, or a variant of it, in front of a running simulator.

    Args:
        simulator_url: root of the simulator.
        components: the gateway's parts; a defect replaces one of them.
        settings: further keys of the gateway's configuration.
    """
    operator_token = f"operator-{secrets.token_hex(16)}"
    upstream_key = f"upstream-{secrets.token_hex(8)}"
    with _closed_port() as closed_port:
        config = _config(simulator_url, upstream_key, operator_token, closed_port, settings)
        async with Gateway(config, components) as gateway:
            yield await _pair(gateway, simulator_url, operator_token)


def _config(
    simulator_url: str,
    upstream_key: str,
    operator_token: str,
    closed_port: int,
    settings: Mapping[str, Any],
) -> GatewayConfig:
    return reapi_config(
        openai_url=f"{simulator_url}/v1",
        anthropic_url=simulator_url,
        media_url=simulator_url,
        upstream_key=upstream_key,
        operator_token=operator_token,
        groups=_groups(),
        channels=_channels(simulator_url, upstream_key, closed_port),
        task_poll_interval_s=_TASK_POLL_S,
        upstream_timeout_s=_UPSTREAM_TIMEOUT_S,
        **settings,
    )


async def _pair(gateway: Gateway, simulator_url: str, operator_token: str) -> Pair:
    """The target in front of a started gateway, with an account in each workspace."""
    chat = await _operator(
        gateway.operator_url, operator_token, {"workspace": "chat", "balance_usd": _START_USD}
    )
    tasks = await _operator(
        gateway.operator_url, operator_token, {"workspace": "tasks", "credits": _START_CREDITS}
    )
    aimlapi = await _operator(
        gateway.operator_url, operator_token, {"workspace": "aimlapi", "balance_usd": _START_USD}
    )
    variables = {
        "WB_VERSION": __version__,
        "WB_CHAT_URL": gateway.chat_url,
        "WB_MESSAGES_URL": gateway.messages_url,
        "WB_TASKS_URL": gateway.tasks_url,
        "WB_AIMLAPI_URL": gateway.aimlapi_url,
        "WB_OPERATOR_URL": gateway.operator_url,
        "WB_SIMULATOR_URL": simulator_url,
        "WB_OPERATOR_TOKEN": operator_token,
        "WB_CHAT_KEY": chat["key"],
        "WB_TASKS_KEY": tasks["key"],
        "WB_AIMLAPI_KEY": aimlapi["key"],
        "WB_CHAT_ACCOUNT": chat["account"],
        "WB_TASKS_ACCOUNT": tasks["account"],
        "WB_AIMLAPI_ACCOUNT": aimlapi["account"],
    }
    return started(variables)


@asynccontextmanager
async def embedded(components: Components | None = None) -> AsyncIterator[Target]:
    """Simulator and reference gateway, started; yields the target to judge."""
    async with serving(components) as pair:
        yield pair.target


@asynccontextmanager
async def serving(components: Components | None = None, database: str | None = None) -> AsyncIterator[Pair]:
    """As `embedded`, with the variables that other commands need to use the pair.

    Args:
        components: as above.
        database: where the gateway keeps its books; without it in files that go away at the end.

    Raises:
        HarnessError: the gateway cannot start.
    """
    with tempfile.TemporaryDirectory(prefix="weighbridge-") as files:
        settings = {} if database is None else {"database": database, "files": files}
        try:
            async with (
                Simulator(SimulatorConfig()) as simulator,
                gateway_on(simulator.url, components, **settings) as pair,
            ):
                yield pair
        except GatewayStartError as error:
            raise HarnessError(str(error)) from error
