"""Stops a hopeless run in one sentence, before any check: reachable? key accepted? model known? wired?

Preflight sends one plain call per model (and one poll on the task gateway) with the funded key. What it
learns beyond go or no-go is whether the scenario token survives the way to the simulator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from weighbridge.capabilities import GROUP_LIST
from weighbridge.errors import HarnessError, KeyRefusedError, UnknownModelError, UnreachableError
from weighbridge.evidence import Call, Ending, header
from weighbridge.group_list import groups_in, merged
from weighbridge.hooks import HookError
from weighbridge.lab import Lab
from weighbridge.target import Principal
from weighbridge.usage import SCRIPT, own_counters

#: A poll of this id is the cheapest call that needs a key on the task gateway.
NO_SUCH_TASK = "/tasks/task_00000000000000000000000000"
_NO_ANSWER = {Ending.REFUSED, Ending.TIMEOUT, Ending.RESET, Ending.CLOSED, Ending.INVALID}


@dataclass(frozen=True, slots=True)
class Preflight:
    """What preflight learned.

    Attributes:
        calls: the calls that it made.
        unwired: models whose calls did not reach the declared simulator.
        own_usage: models whose replies report the deployment's own token counts, not those of its provider.
    """

    calls: tuple[Call, ...]
    unwired: tuple[str, ...] = ()
    own_usage: tuple[str, ...] = ()


def _excerpt(call: Call) -> str:
    response = call.exchange.response
    return " ".join(response.text.split())[:200] if response else call.exchange.detail


def _mentions_model(call: Call, model: str) -> bool:
    body: Any = call.exchange.json
    text = (str(body) if body is not None else _excerpt(call)).lower()
    return "model" in text or model.lower() in text


def stop_reason(call: Call, who: Principal, url: str, *, by_options: bool = False) -> Exception | None:
    """Why a run against this target makes no sense, or None if the plain call went well. Pure.

    Args:
        call: the plain call.
        who: the principal that made it.
        url: the surface's URL.
        by_options: URL, key and model came from the command line, so the remedy names its options.
    """
    url_place = "--target" if by_options else f"surfaces.{call.surface}.url"
    key_place = "the variable of --key-env" if by_options else f"principals.{who.name}.key"
    model_place = "--model" if by_options else f"models.{call.role}"
    seen = call.exchange
    if seen.ending in _NO_ANSWER and seen.status is None:
        if seen.ending is Ending.REFUSED:
            return UnreachableError(
                f"nothing listens at {url} ({seen.detail}); start the gateway or correct {url_place}"
            )
        return UnreachableError(
            f"{url} does not answer as an HTTP server ({seen.detail}); correct {url_place}"
        )
    if seen.status == 403 and call.surface == "aimlapi":
        # docs: AI/ML API, Errors 4xx: this vendor says 403 where an account is empty, and 401 for a bad key.
        return HarnessError(
            f"the target answers 403 to a plain call of {who.name} ({_excerpt(call)}); give this principal money"
        )
    if seen.status in {401, 403}:
        return KeyRefusedError(
            f"the target refuses the key of {who.name} ({seen.status}: {_excerpt(call)}); put a working key into {key_place}"
        )
    if call.surface == "tasks" or seen.ok:
        return None
    if call.model is not None and seen.status in {400, 404, 422} and _mentions_model(call, call.model):
        return UnknownModelError(
            f"the target does not serve the model {call.model!r} ({seen.status}: {_excerpt(call)}); correct {model_place}"
        )
    if seen.status is not None and 300 <= seen.status < 400 and seen.response is not None:
        where = header(seen.response.headers, "location") or "nowhere"
        return UnreachableError(
            f"{call.exchange.request.url} answers {seen.status} and points to {where}; write the final address into {url_place}"
        )
    if seen.status == 404:
        return UnreachableError(
            f"{call.exchange.request.url} answers 404: there is no such route; correct {url_place}"
        )
    if seen.status in {402, 429}:
        return HarnessError(
            f"the target answers {seen.status} to a plain call of {who.name} ({_excerpt(call)}); give this principal money and room"
        )
    return UnreachableError(
        f"a plain call to {call.exchange.request.url} is answered {seen.status} ({_excerpt(call) or seen.detail}); "
        "the target must serve a plain call before it can be judged"
    )


async def preflight(
    lab: Lab, surfaces: tuple[str, ...], hooks: frozenset[tuple[str, str]] = frozenset()
) -> Preflight:
    """Make the plain calls of every surface; raise for the first reason to stop.

    Args:
        lab: what it works with.
        surfaces: those to be judged.
        hooks: surface and `accounts`, `balance` or `group_list`: hooks of the target file that the run will use, each
            tried once. What the list of groups names is what the probes see from then on.

    Raises:
        UnreachableError, KeyRefusedError, UnknownModelError, HarnessError: see `stop_reason`, and a hook that fails.
    """
    control = lab.shared.control
    if control is not None:
        await control.health()
    calls: list[Call] = []
    for surface in surfaces:
        who = lab.declared(surface)
        if surface == "tasks":
            plain = [await lab.send("tasks", NO_SUCH_TASK, situation="preflight", who=who, method="GET")]
        else:
            script = SCRIPT if lab.wired else None
            plain = [
                await lab.ask(surface, role, "preflight", who, scenario=script) for role in lab.roles(surface)
            ]
        for call in plain:
            reason = stop_reason(
                call, who, lab.target.surfaces[surface].url, by_options=lab.target.by_options
            )
            if reason is not None:
                raise reason
        calls += plain
        for what in ("balance", "accounts", GROUP_LIST):
            if (surface, what) in hooks:
                await _try_hook(lab, surface, what, who)
    unwired: list[str] = []
    if control is not None:
        seen = await control.settled_calls(call.id for call in calls)
        unwired = [call.model for call in calls if call.model and not seen[call.id]]
    own = () if lab.target.usage == "upstream" else own_counters(calls, unwired)
    return Preflight(tuple(calls), tuple(dict.fromkeys(unwired)), own)


async def _try_hook(lab: Lab, surface: str, what: str, who: Principal) -> None:
    """Use an operator's hook once, so that a wrong one is told here and not row by row.

    Raises:
        HookError: it does not do what it is there for.
    """
    try:
        if what == "balance":
            await lab.money(who, "preflight", "before")
        elif what == GROUP_LIST:
            _know_groups(lab, groups_in(await lab.steer(GROUP_LIST, who)))
        else:
            await lab.make_account(surface)
    except (HookError, ValueError, TypeError) as error:
        name = f"hooks.{what}.{surface}" if what == GROUP_LIST else f"{what}.{surface}"
        raise HookError(
            f"the hook {name} of the target file fails: {error}; correct it, or leave {name} out"
        ) from error


def _know_groups(lab: Lab, listed: dict[str, float | None]) -> None:
    """From now on the target has these groups; where they are too few, the capability is not there."""
    shared, known = lab.shared, lab.shared.target
    groups = merged(known.groups, listed)
    hooks = {key: hook for key, hook in known.hooks.items() if key[0] != GROUP_LIST}
    shared.target = replace(known, groups=groups, hooks=hooks)
    shared.facts = replace(shared.facts, groups=tuple(groups))
