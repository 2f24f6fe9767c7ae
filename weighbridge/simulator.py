"""Client of the simulator's control API: is it really there, and what did it receive?

Spoken over HTTP like any other client, so a simulator on another machine serves as well.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from weighbridge import tolerances
from weighbridge.clock import Ping
from weighbridge.errors import HarnessError
from weighbridge.evidence import Ending, Request, UpstreamCall
from weighbridge.wire import Timeouts, exchange

_TIMEOUTS = Timeouts(connect=3.0, first_byte=10.0, total=30.0)
_BATCH = 400


def _upstream_call(raw: Mapping[str, Any]) -> UpstreamCall:
    return UpstreamCall(
        seq=int(raw["seq"]),
        id=raw.get("id"),
        upstream=str(raw.get("upstream") or "default"),
        provider=str(raw.get("provider") or "unknown"),
        operation=str(raw.get("operation") or "unknown"),
        method=str(raw["method"]),
        path=str(raw["path"]),
        headers=tuple((str(k), str(v)) for k, v in dict(raw.get("headers") or {}).items()),
        credential=raw.get("credential_sha256"),
        body=str(raw.get("body") or ""),
        model=raw.get("model"),
        stream=bool(raw.get("stream")),
        arrived_ns=int(raw["arrived_ns"]),
        status=raw.get("status"),
        events_sent=int(raw.get("events_sent") or 0),
        ending=str(raw.get("ending") or "open"),
        caller_left_ns=raw.get("caller_left_ns"),
        finished_ns=raw.get("finished_ns"),
        head_sent_ns=raw.get("head_sent_ns"),
        first_content_ns=raw.get("first_content_ns"),
        writes_us=tuple(int(at) for at in raw.get("writes_us") or ()),
    )


class SimulatorControl:
    """The control API of one simulator.

    Raises (every method):
        HarnessError: the simulator does not answer, or what answers is no simulator.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    async def _json(self, method: str, path: str, body: Any = None) -> Any:
        payload = b"" if body is None else json.dumps(body).encode()
        headers = (("Content-Type", "application/json"),) if payload else ()
        seen = await exchange(
            Request(method, f"{self.url}/_wb{path}", headers, payload),
            id="control",
            epoch=time.perf_counter(),
            timeouts=_TIMEOUTS,
        )
        if seen.ending is not Ending.COMPLETE or seen.status != 200 or not isinstance(seen.json, dict):
            reason = seen.detail or f"it answered {seen.status}"
            raise HarnessError(
                f"the simulator at {self.url} does not answer its control API ({reason}); "
                "start it with `weighbridge mock` or correct upstream.simulator"
            )
        return seen.json

    async def health(self) -> None:
        """Make sure that a simulator listens there."""
        answer = await self._json("GET", "/health")
        self._require_simulator(answer)

    async def pings(self, epoch: float, count: int = 5) -> tuple[Ping, ...]:
        """What the simulator's clock shows between two moments of ours, several times.

        Args:
            epoch: `time.perf_counter()` at the start of the run.
            count: how many.
        """
        made = []
        for _ in range(count):
            seen = await exchange(
                Request("GET", f"{self.url}/_wb/health", (), b""), id="ping", epoch=epoch, timeouts=_TIMEOUTS
            )
            shown = seen.json.get("monotonic_ns") if isinstance(seen.json, dict) else None
            if isinstance(shown, int):
                made.append(Ping(seen.started, seen.started + seen.ended_at, shown))
        return tuple(made)

    def _require_simulator(self, answer: Mapping[str, Any]) -> None:
        if answer.get("service") != "weighbridge-simulator":
            raise HarnessError(
                f"what listens at {self.url} is not a weighbridge simulator; correct upstream.simulator"
            )

    async def calls(self, ids: Iterable[str]) -> dict[str, tuple[UpstreamCall, ...]]:
        """Everything received under these correlation ids, in order of arrival."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, list[UpstreamCall]] = {name: [] for name in wanted}
        for start in range(0, len(wanted), _BATCH):
            answer = await self._json("POST", "/journal/query", {"ids": wanted[start : start + _BATCH]})
            for raw in answer["entries"]:
                call = _upstream_call(raw)
                if call.id in found:
                    found[call.id].append(call)
        return {name: tuple(calls) for name, calls in found.items()}

    async def settled_calls(self, ids: Iterable[str]) -> dict[str, tuple[UpstreamCall, ...]]:
        """As `calls`, after waiting (bounded) for calls that are still open to end."""
        wanted = list(ids)
        deadline = time.monotonic() + tolerances.UPSTREAM_SETTLE_S
        while True:
            found = await self.calls(wanted)
            still_open = any(call.ending == "open" for calls in found.values() for call in calls)
            if not still_open or time.monotonic() > deadline:
                return found
            await asyncio.sleep(tolerances.POLL_INTERVAL_S)
