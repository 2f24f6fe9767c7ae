"""The lab: what a probe works with. It sends, reads money, makes accounts; it judges nothing.

A probe is an async function of a `Lab`, registered with `@probe`. Everything that it sends through the
lab becomes evidence by itself, so a probe consists of what it does and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from enum import IntEnum
from math import ceil
from typing import Any

from weighbridge import tolerances
from weighbridge.capabilities import Capability, capabilities
from weighbridge.errors import HarnessError, UsageError
from weighbridge.evidence import Call, Ending, Exchange, Headers, Reading, Request, RunFacts, header
from weighbridge.hooks import HookError, HookRunner
from weighbridge.leases import Pace, SharedLock
from weighbridge.money import pico_from_usd
from weighbridge.redaction import Secrets
from weighbridge.scenario import Scenario, token
from weighbridge.simulator import SimulatorControl
from weighbridge.target import CHAT_PATH, MESSAGES_PATH, Principal, Target
from weighbridge.wire import Leave, Timeouts, exchange


class Stage(IntEnum):
    """When a probe may run: those that make an upstream fail come after all that need it healthy."""

    HEALTHY = 0
    FAILING = 1
    GENERATED = 2


Progress = Callable[[str], None]
ProbeFunction = Callable[["Lab"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A registered probe."""

    name: str
    surface: str
    stage: Stage
    function: ProbeFunction
    needs: tuple[str, ...] = ()


PROBES: dict[str, Probe] = {}


def probe(
    surface: str, *, stage: Stage = Stage.HEALTHY, needs: tuple[str, ...] = ()
) -> Callable[[ProbeFunction], ProbeFunction]:
    """Register a probe under its function's name.

    Args:
        surface: the surface that it drives.
        stage: when it may run.
        needs: capabilities without which it has nothing to do; checks then say what is missing.
    """

    def register(function: ProbeFunction) -> ProbeFunction:
        name = function.__name__
        if name in PROBES:
            raise UsageError(f"two probes are called {name!r}; rename one")
        PROBES[name] = Probe(name, surface, stage, function, needs)
        return function

    return register


@dataclass
class Shared:
    """What all labs of one run have in common."""

    target: Target
    facts: RunFacts
    epoch: float
    secrets: Secrets
    hooks: HookRunner
    control: SimulatorControl | None
    tls: ssl.SSLContext | None
    timeouts: Timeouts
    seed: int
    concurrency: asyncio.Semaphore
    ids: Callable[[], str]
    principals: dict[str, SharedLock] = field(default_factory=dict)
    models: dict[str, SharedLock] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)
    accounts: list[Principal] = field(default_factory=list)

    def lock(self, locks: dict[str, SharedLock], name: str) -> SharedLock:
        return locks.setdefault(name, SharedLock())


def correlation_ids() -> Callable[[], str]:
    """A source of ids that are unique in the run and, by their prefix, between runs."""
    prefix = f"w{secrets.token_hex(4)}"
    counter = itertools.count(1)
    return lambda: f"{prefix}-{next(counter)}"


class Lab:
    """One probe's workbench."""

    def __init__(self, shared: Shared, name: str) -> None:
        self.shared = shared
        self.name = name
        self.calls: list[Call] = []
        self.readings: list[Reading] = []
        self.missing: dict[str, str] = {}
        self.contaminated: list[str] = []
        self.notes: list[str] = []

    # ---------------------------------------------------------------- what the target offers
    @property
    def target(self) -> Target:
        """The deployment under test."""
        return self.shared.target

    @property
    def wired(self) -> bool:
        """Whether the deployment's providers are our simulator."""
        return self.shared.control is not None

    def roles(self, surface: str) -> tuple[str, ...]:
        """The model roles that a surface serves, in the order of the target file."""
        if surface == "messages":
            return tuple(role for role in self.target.models if role.startswith("anthropic"))
        if surface == "chat":
            return tuple(role for role in self.target.models if role.startswith(("openai", "anthropic")))
        if surface == "aimlapi":
            return tuple(role for role in self.target.models if role.startswith("aimlapi"))
        return tuple(
            role
            for role in self.target.models
            if role.partition("_")[0] in {"image", "video", "audio", "text"}
        )

    def has(self, surface: str, capability: str) -> bool:
        """Whether a capability is declared for a surface."""
        return capability in self.capabilities(surface)

    def capabilities(self, surface: str) -> Mapping[str, Capability]:
        """All declared capabilities of a surface."""
        return capabilities(self.target, surface)

    def miss(self, situation: str, capability: str) -> None:
        """Record that a situation could not be brought about for want of a capability."""
        self.missing[situation] = capability

    def now(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.shared.epoch

    # ---------------------------------------------------------------- principals
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
        return answer

    @asynccontextmanager
    async def model_alone(self, model: str) -> AsyncIterator[None]:
        """Hold a model's upstream alone while a probe makes it fail."""
        async with self.shared.lock(self.shared.models, model).alone():
            yield

    # ---------------------------------------------------------------- money
    async def money(
        self,
        who: Principal,
        situation: str,
        moment: str,
        *,
        after: Call | None = None,
        settled: bool = False,
        expect: Callable[[int], bool] | None = None,
    ) -> int | None:
        """Read the account's money and keep the reading; None where it cannot be read.

        Args:
            who: whose money.
            situation: the situation that the reading belongs to.
            moment: `before`, `after`, or a finer word.
            after: the call whose effect it shows.
            settled: wait for the effect of earlier calls first, as with `after`.
            expect: wait (bounded by the declared settle time) until this holds; without it the whole
                settle time passes, since an effect that must not come can come late.
        """
        names = (who.surface, "chat") if who.surface == "messages" else (who.surface,)
        name = next((n for n in names if n in self.target.balance), None)
        if name is None:
            self.miss(situation, "balance")
            return None
        source = self.target.balance[name]
        began = time.monotonic()
        settle = source.settle if after is not None or settled else 0.0
        while True:
            # A balance that is read from the API under test counts toward the user's limit like any call.
            own = any(source.hook.url.startswith(surface.url) for surface in self.target.surfaces.values())
            async with self._pace(who).turn() if own else nullcontext():
                answer = await self.shared.hooks.run(source.hook, {"key": who.key} | dict(who.ids))
            raw = answer.get("json", answer["*"])
            amount = int(raw) if source.unit == "credits" else pico_from_usd(raw)
            waited = time.monotonic() - began
            if waited >= settle or (expect is not None and expect(amount)):
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

    # ---------------------------------------------------------------- sending
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
        if "user-agent" not in given:
            head.append(("User-Agent", "weighbridge"))
        head += [*(where.headers if url is None else ()), *extra]
        if surface == "messages" and "anthropic-version" not in given and "anthropic-version" not in omit:
            head.append(("anthropic-version", "2023-06-01"))
        request = Request(method, url or where.url + path, tuple(head), payload)
        id_ = correlation_id or self.shared.ids()
        pace = self._pace(who)
        seen = await self._exchange(request, id_, pace if paced else None, leave)
        retried = None
        if seen.status == 429 and not provoked and not (scenario and scenario.status == 429):
            retried = seen.id
            if keep:
                self._keep(seen, f"{situation}:throttled", surface, role, who, scenario, streamed=streamed)
            pace.slow_down()
            await asyncio.sleep(_back_off(seen))
            seen = await self._exchange(request, id_, pace, leave)
        call = self._call(seen, situation, surface, role, who, scenario, streamed=streamed, retried=retried)
        if keep:
            self.calls.append(call)
        return call

    def _keep(
        self,
        seen: Exchange,
        situation: str,
        surface: str,
        role: str | None,
        who: Principal | None,
        scenario: Scenario | None,
        *,
        streamed: bool,
    ) -> None:
        self.calls.append(self._call(seen, situation, surface, role, who, scenario, streamed=streamed))

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

    def _pace(self, who: Principal | None) -> Pace:
        # Limits are per user, so all keys of one account share a pace.
        key = dict(who.ids).get("account", who.key) if who else "nobody"
        if key not in self.shared.paces:
            like = who or next(iter(self.target.principals.values()), None)
            rate = like.requests_per_second if like else 5.0
            self.shared.paces[key] = Pace(rate, like.in_flight if like else 4)
        return self.shared.paces[key]

    async def _exchange(self, request: Request, id_: str, pace: Pace | None, leave: Leave | None) -> Exchange:
        async with self.shared.concurrency, pace.turn() if pace else nullcontext():
            return await exchange(
                request,
                id=id_,
                epoch=self.shared.epoch,
                timeouts=self.shared.timeouts,
                leave=leave,
                tls=self.shared.tls,
            )

    # ---------------------------------------------------------------- the two chat dialects
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
        if role.startswith("anthropic"):
            body["max_tokens"] = 256
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
        """One chat completion, of either surface that speaks this dialect; options as for `send`."""
        id_ = options.pop("correlation_id", None) or self.shared.ids()
        body = self.chat_body(
            role, id_, scenario=scenario, prompt=prompt, stream=stream, change=change, drop=drop
        )
        return await self.send(
            surface,
            CHAT_PATH,
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

    async def ask(self, surface: str, role: str, situation: str, who: Principal) -> Call:
        """The plainest call of a chat surface."""
        if surface == "messages":
            return await self.message(role, situation, who)
        return await self.chat(role, situation, who, surface=surface)

    async def message(
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
        **options: Any,
    ) -> Call:
        """One Anthropic message; options as for `send`."""
        id_ = options.pop("correlation_id", None) or self.shared.ids()
        body = self.chat_body(
            role, id_, scenario=scenario, prompt=prompt, stream=stream, change={"max_tokens": 256}
        )
        body |= change or {}
        for name in drop:
            body.pop(name, None)
        return await self.send(
            "messages",
            MESSAGES_PATH,
            situation=situation,
            who=who,
            body=body,
            role=role,
            scenario=scenario,
            streamed=stream,
            correlation_id=id_,
            **options,
        )

    async def healthy(self, surface: str, role: str, situation: str, who: Principal) -> bool:
        """A plain call before a failure is provoked; waits (bounded) for the model to serve again.

        Some gateways take a failing model out of service for some seconds, and a verdict about the next
        failure would then be about the last one. Where it does not recover, the situation is marked
        contaminated.
        """
        deadline = time.monotonic() + tolerances.RECOVERY_S
        while True:
            call = await self.ask(surface, role, f"{situation}:healthy", who)
            if call.exchange.ok:
                return True
            if time.monotonic() > deadline:
                self.contaminated.append(situation)
                return False
            await asyncio.sleep(tolerances.RECOVERY_POLL_S)


def _back_off(seen: Exchange) -> float:
    """Seconds to wait after an unprovoked 429."""
    text = header(seen.response.headers, "retry-after") if seen.response else None
    if text is not None and text.isdigit():
        return min(float(text), tolerances.MAX_BACK_OFF_S)
    return tolerances.BACK_OFF_S


def tls_context(target: Target) -> ssl.SSLContext | None:
    """The TLS settings of a target, or None for the defaults.

    Raises:
        HarnessError: the CA file cannot be read.
    """
    if target.verify_tls and target.ca_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=target.ca_file)
    except OSError as error:
        raise HarnessError(
            f"{target.place}, tls.ca_file: {target.ca_file} cannot be read: {error}"
        ) from error
    if not target.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


__all__ = ["PROBES", "Ending", "Lab", "Probe", "Shared", "Stage", "correlation_ids", "probe", "tls_context"]
