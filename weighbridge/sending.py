"""Sends one request of a probe, paced and recorded; an unprovoked 429 is waited out once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from weighbridge import tolerances
from weighbridge.evidence import Call, Exchange, Headers, Request
from weighbridge.leases import Pace
from weighbridge.purse import Purse
from weighbridge.retry_after import announced_wait
from weighbridge.scenario import Scenario, token
from weighbridge.target import Principal
from weighbridge.wire import Leave


class Sender(Purse):
    """Requests, each of which becomes evidence."""

    def auth(self, surface: str, who: Principal | None) -> Headers:
        """The headers that carry a principal's key on a surface."""
        if who is None:
            return ()
        style = self.target.surfaces[surface].auth
        if style == "none":
            return ()
        return (
            (("x-api-key", who.key),) if style == "x-api-key" else (("Authorization", f"Bearer {who.key}"),)
        )

    def mark(self, correlation_id: str, scenario: Scenario | None) -> str:
        """What goes into the prompt: the token for our simulator, or a bare nonce for a stranger."""
        return token(correlation_id, scenario) if self.wired else f"(reference {correlation_id})"

    async def send(
        self,
        surface: str,
        path: str,
        *,
        situation: str,
        who: Principal | None,
        method: str = "POST",
        body: Any = None,
        raw: bytes | None = None,
        headers: Headers | None = None,
        extra: Headers = (),
        omit: Sequence[str] = (),
        role: str | None = None,
        scenario: Scenario | None = None,
        streamed: bool = False,
        correlation_id: str | None = None,
        leave: Leave | None = None,
        provoked: bool = False,
        keep: bool = True,
        paced: bool = True,
        contention: bool = False,
        in_crowd: bool | None = None,
        url: str | None = None,
    ) -> Call:
        """One request, recorded.

        Args:
            surface: names the URL and the style of authentication.
            path: below the surface's URL.
            situation: for checks to select by.
            who: whose key; None sends none.
            method: the HTTP method.
            body: sent as JSON.
            raw: sent as it is, in place of `body`.
            headers: replace the authentication altogether.
            extra: headers beside those that the target file names.
            omit: names of headers that this surface gets by itself, to be left out.
            role: role of the model that the body names.
            scenario: what the token in the body tells the simulator.
            streamed: whether an event stream is asked for.
            correlation_id: the id inside the body's token; a new one if None.
            leave: hang up on purpose.
            provoked: a 429 is what the probe is after, so it is not waited out.
            keep: whether the call becomes evidence.
            paced: False starts the call at once, outside the principal's pace and its slots. The probe then
                answers for the limit itself: it stays below it, or exceeds it on purpose with `provoked`.
            contention: the call is one of many that are to meet each other; counted apart in the report.
            in_crowd: whether it finds room among those that are in flight together, which a crowd may take up for a
                while, or among all others; as `contention` if None.
            url: an absolute URL that a reply named, in place of the surface's URL and `path`.
        """
        where = self.target.surfaces[surface]
        payload = (
            raw
            if raw is not None
            else (b"" if body is None else json.dumps(body, ensure_ascii=False).encode())
        )
        head: list[tuple[str, str]] = list(self.auth(surface, who) if headers is None else headers)
        given = {name.lower() for name, _ in head + list(extra)}
        if method != "GET" and "content-type" not in given:
            head.append(("Content-Type", "application/json"))
        if "accept" not in given:
            head.append(("Accept", "text/event-stream" if streamed else "application/json"))
        if "accept-encoding" not in given:
            # Bytes are judged as they come, so compressed ones are not asked for.
            head.append(("Accept-Encoding", "identity"))
        if "user-agent" not in given:
            head.append(("User-Agent", "weighbridge"))
        head += [*(where.headers if url is None else ()), *extra]
        if surface == "messages" and "anthropic-version" not in given and "anthropic-version" not in omit:
            head.append(("anthropic-version", "2023-06-01"))
        request = Request(method, url or where.url + path, tuple(head), payload)
        id_ = correlation_id or self.shared.ids()
        pace = self.pace(who)
        # An address that a reply named is not the target's own, and a scripted fault is no sign of its health.
        silent = url is not None or (scenario is not None and scenario.fault is not None)
        crowded = contention if in_crowd is None else in_crowd
        room = self.shared.crowd if crowded else self.shared.concurrency
        seen = await self._exchange(request, id_, room, pace if paced else None, leave, provoked=silent)
        retried = None
        if seen.status == 429 and not provoked and not (scenario and scenario.status == 429):
            retried = seen.id
            if keep:
                first = f"{situation}:throttled"
                self.calls.append(self._call(seen, first, surface, role, who, scenario, streamed=streamed))
            pace.slow_down()
            await asyncio.sleep(_back_off(seen))
            seen = await self._exchange(request, id_, room, pace, leave, provoked=silent)
        call = self._call(seen, situation, surface, role, who, scenario, streamed=streamed, retried=retried)
        if contention:
            call = replace(call, contention=True)
        if keep:
            self.calls.append(call)
        return call

    def _call(
        self,
        seen: Exchange,
        situation: str,
        surface: str,
        role: str | None,
        who: Principal | None,
        scenario: Scenario | None,
        *,
        streamed: bool,
        retried: str | None = None,
    ) -> Call:
        return Call(
            exchange=self.shared.secrets.exchange(seen),
            situation=situation,
            surface=surface,
            role=role,
            model=self.target.models.get(role) if role else None,
            principal=who.name if who else "",
            scenario=scenario if self.wired else None,
            streamed=streamed,
            retried=retried,
        )

    async def _exchange(
        self,
        request: Request,
        id_: str,
        room: asyncio.Semaphore,
        pace: Pace | None,
        leave: Leave | None,
        *,
        provoked: bool,
    ) -> Exchange:
        async with room, pace.turn() if pace else nullcontext():
            seen = await self.shared.exchange(
                request,
                id=id_,
                epoch=self.shared.epoch,
                timeouts=self.shared.timeouts,
                limits=self.shared.limits,
                leave=leave,
                tls=self.shared.tls,
            )
        self.shared.pulse.feel(seen, provoked=provoked)
        return seen


def _back_off(seen: Exchange) -> float:
    """Seconds to wait after an unprovoked 429."""
    announced = announced_wait(seen)
    return tolerances.BACK_OFF_S if announced is None else min(announced, tolerances.MAX_BACK_OFF_S)
