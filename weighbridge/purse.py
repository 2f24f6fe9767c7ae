"""Principals and money: whose key a probe uses, fresh accounts, hooks, and readings of balances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from math import ceil
from typing import Any

from weighbridge import tolerances
from weighbridge.errors import UsageError
from weighbridge.evidence import Call, Reading
from weighbridge.hooks import HookError
from weighbridge.leases import Pace
from weighbridge.money import pico_from_usd
from weighbridge.target import Principal
from weighbridge.workbench import Workbench


class Purse(Workbench):
    """Accounts, leases and balances."""

    def declared(self, surface: str, role: str = "funded") -> Principal:
        """A principal of the target file; messages fall back to the key of chat.

        Raises:
            UsageError: there is none.
        """
        for name in (surface, "chat" if surface == "messages" else surface):
            found = self.target.principals.get(f"{name}.{role}")
            if found is not None:
                return replace(found, surface=surface)
        raise UsageError(
            f"{self.target.place}: the target file has no principal {surface}.{role}; add principals.{surface}.{role}"
        )

    @asynccontextmanager
    async def sharing(self, surface: str) -> AsyncIterator[Principal]:
        """The funded principal, together with other probes."""
        who = self.declared(surface)
        async with self.shared.lock(self.shared.principals, who.key).shared():
            yield who

    @asynccontextmanager
    async def alone(
        self, surface: str, *, balance: str | None = None, requests_per_second: int | None = None
    ) -> AsyncIterator[Principal]:
        """An account whose money and limits nobody else touches meanwhile.

        A fresh one where accounts can be made, else the funded principal, leased.

        Args:
            surface: where the key shall work.
            balance: USD or credits to begin with; honoured by fresh accounts only.
            requests_per_second: a limit to give the account; honoured where the hook takes one.
        """
        if self.has(surface, "accounts"):
            yield await self.make_account(surface, balance=balance, requests_per_second=requests_per_second)
            return
        who = self.declared(surface)
        async with self.shared.lock(self.shared.principals, who.key).alone():
            yield who

    async def make_account(
        self, surface: str, *, balance: str | None = None, requests_per_second: int | None = None
    ) -> Principal:
        """A fresh account through the target file's hook.

        Args:
            surface: where the key shall work.
            balance: USD or credits to begin with.
            requests_per_second: the limit that the hook may give the account as `{requests_per_second}`.
                Without it the documented default on tasks, elsewhere what the funded principal may send; a
                hook that does not name it leaves the default.

        Raises:
            HookError: the hook failed or yielded no key.
        """
        where = surface if surface in self.target.accounts else "chat"
        default = "100000" if surface == "tasks" else "1000"
        hook = self.target.accounts[where]
        takes_rate = self.takes_rate(where)
        like = self.target.principals.get(f"{where}.funded")
        usual = tolerances.TASK_RATE_LIMIT if where == "tasks" or not like else ceil(like.requests_per_second)
        values = {
            "balance": balance if balance is not None else default,
            "workspace": where,
            "surface": surface,
            "requests_per_second": str(requests_per_second or usual),
        }
        answer = await self.shared.hooks.run(hook, values)
        picked = (
            answer if "key" in answer else answer | (answer["*"] if isinstance(answer["*"], dict) else {})
        )
        if not isinstance(picked.get("key"), str):
            raise HookError(f"the hook accounts.{where} yielded no key; name its place with `key: $.path`")
        self.shared.secrets.add(picked["key"])
        who = Principal(
            surface,
            "fresh",
            picked["key"],
            requests_per_second
            if requests_per_second and takes_rate
            else (like.requests_per_second if like else 5.0),
            requests_per_second if requests_per_second and takes_rate else (like.in_flight if like else 4),
            tuple((name, str(value)) for name, value in picked.items() if name not in {"*", "key"}),
        )
        self.shared.accounts.append(who)
        return who

    def takes_rate(self, surface: str) -> bool:
        """Whether the hook that makes accounts on a surface can give them a limit of their own."""
        hook = self.target.accounts.get(surface)
        return hook is not None and "{requests_per_second" in (hook.body or hook.command or "")

    async def steer(self, what: str, who: Principal, **values: str) -> dict[str, Any]:
        """Run a hook such as `revoke`, `top_up` or `second_key` for a principal."""
        names = [where for hook, where in self.target.hooks if hook == what]
        where = who.surface if who.surface in names else "chat"
        given = {"key": who.key, "workspace": where} | dict(who.ids) | values
        answer = await self.shared.hooks.run(self.target.hooks[what, where], given)
        if isinstance(answer.get("key"), str):
            self.shared.secrets.add(answer["key"])
            if who not in self.shared.accounts:  # a key goes with an account that the run made
                ids = tuple((name, str(value)) for name, value in answer.items() if name not in {"*", "key"})
                known = tuple(pair for pair in who.ids if pair[0] not in dict(ids))
                self.shared.keys.append(replace(who, role="made", key=answer["key"], ids=known + ids))
        return answer

    @asynccontextmanager
    async def model_alone(self, model: str) -> AsyncIterator[None]:
        """Hold a model's upstream alone while a probe makes it fail."""
        async with self.shared.lock(self.shared.models, model).alone():
            yield

    async def money(
        self,
        who: Principal,
        situation: str,
        moment: str,
        *,
        after: Call | None = None,
        settled: bool = False,
        expect: Callable[[int], bool] | None = None,
        within: float = 0.0,
    ) -> int | None:
        """Read the account's money and keep the reading; None where it cannot be read.

        Args:
            who: whose money.
            situation: the situation that the reading belongs to.
            moment: `before`, `after`, or a finer word.
            after: the call whose effect it shows.
            settled: wait for the effect of earlier calls first, as with `after`; so it is in any case where the
                account is not fresh, since other probes have spent from it.
            expect: wait (bounded by the declared settle time) until this holds; without it the whole
                settle time passes, since an effect that must not come can come late.
            within: seconds behind the settle time that what is expected may take; the settle time passes in any
                case then, since what is seen at first need not last.
        """
        names = (who.surface, "chat") if who.surface == "messages" else (who.surface,)
        name = next((n for n in names if n in self.target.balance), None)
        if name is None:
            self.miss(situation, "balance")
            return None
        source = self.target.balance[name]
        clock = asyncio.get_running_loop().time
        began = clock()
        settle = source.settle if after is not None or settled or who.role != "fresh" else 0.0
        while True:
            # A balance that is read from the API under test counts toward the user's limit like any call.
            own = any(source.hook.url.startswith(surface.url) for surface in self.target.surfaces.values())
            async with self.pace(who).turn() if own else nullcontext():
                answer = await self.shared.hooks.run(source.hook, {"key": who.key} | dict(who.ids))
            raw = answer.get("json", answer["*"])
            amount = int(raw) if source.unit == "credits" else pico_from_usd(raw)
            waited = clock() - began
            early = not within or waited >= settle
            if waited >= settle + within or (early and expect is not None and expect(amount)):
                break
            await asyncio.sleep(tolerances.POLL_INTERVAL_S)
        self.readings.append(
            Reading(
                situation,
                moment,
                who.surface,
                who.name,
                amount,
                self.now(),
                after.id if after else None,
                waited,
            )
        )
        return amount

    def pace(self, who: Principal | None) -> Pace:
        """How fast a principal may go; keys of one account share one pace."""
        # Limits are per user, so all keys of one account share a pace.
        key = dict(who.ids).get("account", who.key) if who else "nobody"
        if key not in self.shared.paces:
            like = who or next(iter(self.target.principals.values()), None)
            rate = like.requests_per_second if like else 5.0
            self.shared.paces[key] = Pace(rate, like.in_flight if like else 4)
        return self.shared.paces[key]
