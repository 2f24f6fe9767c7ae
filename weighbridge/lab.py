"""The lab: what a probe works with. It sends, reads money, makes accounts; it judges nothing.

A probe is an async function of a `Lab`, registered with `@probe`. Everything that it sends through the
lab becomes evidence by itself, so a probe consists of what it does and nothing else.

    Workbench   what the target offers, what was observed so far
    Purse       principals, leases, accounts, balances
    Sender      one request, paced and recorded
    Lab         the chat and messages dialects, and the healthy call before a failure
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from weighbridge import tolerances
from weighbridge.evidence import Call
from weighbridge.registry import PROBES, Probe, Stage, probe
from weighbridge.scenario import Scenario
from weighbridge.sending import Sender
from weighbridge.target import CHAT_PATH, MESSAGES_PATH, Principal
from weighbridge.workbench import Shared, correlation_ids, tls_context


class Lab(Sender):
    """One probe's lab."""

    def chat_body(
        self,
        role: str,
        correlation_id: str,
        *,
        scenario: Scenario | None = None,
        prompt: str = "Say hello.",
        stream: bool = False,
        change: Mapping[str, Any] | None = None,
        drop: Sequence[str] = (),
    ) -> dict[str, Any]:
        """A minimal valid chat body for a role's model, with changes applied."""
        body: dict[str, Any] = {
            "model": self.target.models[role],
            "messages": [{"role": "user", "content": f"{prompt} {self.mark(correlation_id, scenario)}"}],
        }
        bound = self.target.max_output
        if role.startswith("anthropic"):
            body["max_tokens"] = 256
        elif bound is not None and not self.wired:  # real money: no answer is longer than it must be
            body[bound[0]] = bound[1]
        if stream:
            body["stream"] = True
        body |= change or {}
        for name in drop:
            body.pop(name, None)
        return body

    async def chat(
        self,
        role: str,
        situation: str,
        who: Principal | None,
        *,
        scenario: Scenario | None = None,
        prompt: str = "Say hello.",
        stream: bool = False,
        change: Mapping[str, Any] | None = None,
        drop: Sequence[str] = (),
        surface: str = "chat",
        **options: Any,
    ) -> Call:
        """One call of a chat surface, whichever its dialect; options as for `send`."""
        id_ = options.pop("correlation_id", None) or self.shared.ids()
        body = self.chat_body(
            role, id_, scenario=scenario, prompt=prompt, stream=stream, change=change, drop=drop
        )
        return await self.send(
            surface,
            MESSAGES_PATH if surface == "messages" else CHAT_PATH,
            situation=situation,
            who=who,
            body=body,
            role=role,
            scenario=scenario,
            streamed=stream,
            correlation_id=id_,
            **options,
        )

    async def aimlapi(self, role: str, situation: str, who: Principal | None, **options: Any) -> Call:
        """One chat completion of AI/ML API; options as for `chat`."""
        return await self.chat(role, situation, who, surface="aimlapi", **options)

    async def ask(
        self, surface: str, role: str, situation: str, who: Principal | None, **options: Any
    ) -> Call:
        """The plainest call of a chat surface; options as for `chat`."""
        if surface == "messages":
            return await self.message(role, situation, who, **options)
        return await self.chat(role, situation, who, surface=surface, **options)

    async def message(
        self,
        role: str,
        situation: str,
        who: Principal | None,
        *,
        change: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Call:
        """One Anthropic message, whose format requires max_tokens; options as for `chat`."""
        change = {"max_tokens": 256, **(change or {})}
        return await self.chat(role, situation, who, surface="messages", change=change, **options)

    async def combined(
        self, changes: Mapping[str, Mapping[str, Any]], send: Callable[..., Awaitable[Call]]
    ) -> None:
        """One valid request that shows several situations; where it is refused, each alone, so that none hides another.

        Args:
            changes: what each situation changes in the plain request; no two change one member differently.
            send: takes the situation, the change and `keep`.
        """
        together: dict[str, Any] = {}
        for change in changes.values():
            together |= change
        whole = await send("+".join(changes), together, keep=False)
        if whole.exchange.ok or len(changes) == 1:
            self.calls.append(whole)
            return
        self.calls.append(replace(whole, situation=f"refused-together:{whole.situation.replace('+', ',')}"))
        await asyncio.gather(*(send(name, change, keep=True) for name, change in changes.items()))

    async def healthy(self, surface: str, role: str, situation: str, who: Principal) -> bool:
        """A plain call before a failure is provoked; waits (bounded) for the model to serve again.

        Some gateways take a failing model out of service for some seconds, and a verdict about the next
        failure would then be about the last one. Where it does not recover, the situation is marked
        contaminated.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + tolerances.RECOVERY_S
        while True:
            call = await self.ask(surface, role, f"{situation}:healthy", who)
            if call.exchange.ok:
                return True
            if clock() > deadline:
                self.contaminated.append(situation)
                return False
            await asyncio.sleep(tolerances.RECOVERY_POLL_S)


__all__ = ["PROBES", "Lab", "Probe", "Shared", "Stage", "correlation_ids", "probe", "tls_context"]
