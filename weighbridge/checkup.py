"""`weighbridge check`: what a target file really gives us, measured with a handful of plain calls.

Every declaration is held against what happens: does each key do what its role says, are keys looked at at all,
do calls reach our simulator, whose token counts come back, does the balance move. Nothing here is a verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import uvloop

from weighbridge.bait import UNKNOWN_KEY
from weighbridge.capabilities import GROUP_LIST, capabilities, group_list_of
from weighbridge.catalogue import load as load_catalogue
from weighbridge.checkup_line import Measured
from weighbridge.coverage import Coverage, coverage, coverage_lines
from weighbridge.engine import Settings, prepare
from weighbridge.errors import ExitCode, HarnessError, UsageError, WeighbridgeError
from weighbridge.evidence import Call
from weighbridge.feature_checkup import measure_features
from weighbridge.lab import Lab
from weighbridge.money import usd
from weighbridge.plan import Plan, Selection, make_plan
from weighbridge.preflight import preflight
from weighbridge.suite import load_checks
from weighbridge.target import Principal, Target
from weighbridge.usage import SCRIPT, reported_usage, whose

#: What a plain call of each role must be answered with.
_SERVED = {"funded": True, "second_key": True, "second_user": True, "broke": False, "revoked": False}


def _answer(call: Call) -> str:
    seen = call.exchange
    return f"answered {seen.status}" if seen.status is not None else f"no answer ({seen.detail})"


def of_principal(call: Call, who: Principal) -> Measured:
    """Whether a principal's plain call was served or refused as its role says. Pure."""
    served, wanted = call.exchange.ok, _SERVED.get(who.role, True)
    remedy = ""
    if served and not wanted:
        remedy = (
            f"this key works; put one in whose account is {'empty' if who.role == 'broke' else 'withdrawn'}"
        )
    elif wanted and not served:
        remedy = f"put a working key into principals.{who.name}.key"
    return Measured(f"{who.surface}.{who.role}", _answer(call), served == wanted, remedy)


def of_authentication(call: Call, declared: bool | None) -> Measured:
    """Whether keys are looked at at all, against what `features.authentication` says. Pure."""
    looked = not call.exchange.ok
    told = "an unknown key is refused" if looked else "an unknown key is served: keys are not looked at"
    subject = f"{call.surface} authentication"
    if not looked and declared is not False:
        return Measured(
            subject, told, good=False, remedy="if that is meant, declare features: {authentication: false}"
        )
    if looked and declared is False:
        return Measured(subject, told, good=False, remedy="remove authentication: false from features")
    return Measured(subject, told)


def of_groups(groups: Mapping[str, float | None]) -> Measured:
    """What the deployment's own list of token groups names. Pure."""
    told = ", ".join(f"{name} ({limit:g}/s)" if limit else name for name, limit in groups.items())
    if len(groups) > 1:
        return Measured("groups", f"listed: {told}")
    return Measured("groups", f"listed: {told}; rows about groups need two", None)


def of_wiring(
    calls: Iterable[Call], unwired: tuple[str, ...], wired: bool, dialects: Mapping[str, str]
) -> list[Measured]:
    """Whether the calls reached our simulator, model by model, and in which dialect. Pure.

    Args:
        calls: plain calls with what the simulator saw of each.
        unwired: models whose calls did not reach it.
        wired: whether a simulator is declared.
        dialects: declared dialects, by model.
    """
    spoken: dict[str, dict[str, None]] = {}
    for call in calls:
        if call.model:
            seen = spoken.setdefault(call.model, {})
            seen |= dict.fromkeys(item.provider for item in call.upstream or () if item.is_model_call)
    if not wired:
        return [Measured("upstream", "not declared: what the provider sees is not seen", None)]
    return [
        _wiring(model, " and ".join(found), dialects.get(model), reached=model not in unwired)
        for model, found in spoken.items()
    ]


def _wiring(model: str, spoken: str, declared: str | None, *, reached: bool) -> Measured:
    subject = f"upstream of {model}"
    if not reached:
        remedy = "point the deployment's provider at upstream.simulator"
        return Measured(subject, "did not reach the simulator", good=False, remedy=remedy)
    good = declared in {None, spoken}
    remedy = "" if good else f"upstream.dialects says {declared}; correct it"
    return Measured(subject, f"reaches the simulator, in the {spoken} dialect", good=good, remedy=remedy)


async def _money(lab: Lab, surface: str, role: str, who: Principal) -> Measured:
    subject = f"{surface} balance"
    if not lab.has(surface, "balance"):
        return Measured(subject, "not declared: money is not seen", None)
    try:
        before = await lab.money(who, subject, "before")
        if surface == "tasks":
            return Measured(subject, f"reads {before} credits")
        call = await lab.ask(surface, role, "money", who, scenario=SCRIPT if lab.wired else None)
        after = await lab.money(who, subject, "after", after=call, expect=lambda amount: amount != before)
    except (HarnessError, ValueError) as error:
        return Measured(
            subject, lab.shared.secrets.text(str(error)), good=False, remedy=f"correct balance.{surface}"
        )
    if before is None or after is None:
        return Measured(subject, "not declared: money is not seen", None)
    if before == after:
        return Measured(
            subject,
            f"reads {usd(before)} and did not move after a call",
            good=False,
            remedy="raise settle, lower resolution, or read another account",
        )
    return Measured(subject, f"reads {usd(before)}, {usd(after)} after one call")


async def _usage(lab: Lab, surface: str, role: str, who: Principal) -> Measured | None:
    """Whose token counts come back; None where nobody can tell."""
    if not lab.wired or surface == "tasks":
        return None
    call = await lab.ask(surface, role, "usage", who, scenario=SCRIPT)
    subject = f"usage of {call.model}"
    found = reported_usage(call)
    owner = whose(call)
    if owner is None or found is None:
        return Measured(subject, "the reply reports no usage", None)
    told = (
        f"{found[0]} in, {found[1]} out; scripted were {SCRIPT.prompt_tokens} and {SCRIPT.completion_tokens}"
    )
    declared = lab.target.usage
    good = declared is None or declared == owner
    return Measured(subject, f"{owner} ({told})", good, "" if good else f"declare usage: {owner}")


async def measure(target: Target, plan: Plan, settings: Settings) -> list[Measured]:
    """Make the plain calls and say what they show.

    Raises:
        WeighbridgeError: preflight found a reason to stop.
    """
    shared = prepare(target, settings)
    lab = Lab(shared, "check")
    runs = {key for key, hook in target.hooks.items() if settings.allow_commands or not hook.command}
    lists = {
        (surface, GROUP_LIST)
        for surface in plan.surfaces
        if (GROUP_LIST, group_list_of(target, surface)) in runs
    }
    first = await preflight(lab, plan.surfaces, frozenset(lists))
    found = [
        Measured(
            f"{call.surface}.{call.principal.partition('.')[2] or 'funded'}",
            f"{call.model or 'plain poll'}: {_answer(call)}",
        )
        for call in first.calls
    ]
    if lists:
        found.append(of_groups(shared.target.groups))
    joined = first.calls
    if shared.control is not None:
        upstream = await shared.control.settled_calls(call.id for call in first.calls)
        joined = tuple(replace(call, upstream=upstream[call.id]) for call in first.calls)
    found += of_wiring(joined, first.unwired, target.simulator is not None, target.dialects)
    for surface in plan.surfaces:
        roles = lab.roles(surface)
        who = lab.declared(surface)
        others = [
            item for item in target.principals.values() if item.surface == surface and item.role != "funded"
        ]
        for other in others:
            call = await _plain(lab, surface, roles[:1], other)
            found.append(of_principal(call, other))
        stranger = Principal(surface, "unknown", UNKNOWN_KEY)
        if target.surfaces[surface].auth != "none":
            call = await _plain(lab, surface, roles[:1], stranger)
            if surface != "tasks" or call.exchange.status in {401, 403}:
                found.append(of_authentication(call, target.features.get("authentication")))
        for role in roles if surface != "tasks" else ():
            usage = await _usage(lab, surface, role, who)
            if usage is not None and role not in first.unwired:
                found.append(usage)
        if roles and surface != "tasks":
            found += await measure_features(lab, surface, roles[0], who)
        found.append(await _money(lab, surface, next(iter(roles), ""), who))
    found += [
        Measured(name, "runs a command on this machine", None, "pass --allow-commands to let it run")
        for name in target.uses_commands()
        if not settings.allow_commands
    ]
    return found


async def _plain(lab: Lab, surface: str, roles: tuple[str, ...], who: Principal) -> Call:
    if surface == "tasks":
        from weighbridge.preflight import NO_SUCH_TASK

        return await lab.send("tasks", NO_SUCH_TASK, situation="check", who=who, method="GET", provoked=True)
    return await lab.ask(surface, roles[0], "check", who, provoked=True)


def checkup(
    target: Target, profiles: tuple[str, ...], settings: Settings, tell: Callable[[str], None]
) -> ExitCode:
    """Validate, preflight, measure, and print what can be verified now and what would add how much.

    Raises:
        WeighbridgeError: the target cannot be reached, or nothing can be planned for it.
    """
    catalogue = load_catalogue()
    chosen = profiles or target.profiles or offered(target)
    if not chosen:
        raise UsageError(f"{target.place}: no profile fits its surfaces; name one in profiles")
    plan = make_plan(target, catalogue, chosen, Selection())
    tell(f"{target.place}: valid, {len(plan.ids)} requirements in {', '.join(plan.profiles)}")
    tell("Measured:")
    failed: WeighbridgeError | None = None
    found: list[Measured] = []
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(measure(target, plan, settings))
    except WeighbridgeError as error:
        failed = error
        tell(f"  WRONG  {error}")
    for item in found:
        tell(item.line)
    tell("Declared:")
    for surface in plan.surfaces:
        names = [item.name for item in capabilities(target, surface).values() if item.name != "time"]
        tell(f"  {surface:<9} {', '.join(names) or 'nothing beyond URL and key'}")
    found_rows: tuple[Coverage, ...] = coverage(target, catalogue, plan, load_checks())
    for line in coverage_lines(found_rows):
        tell(line)
    if failed is not None:
        return failed.exit_code
    wrong = sum(item.good is False for item in found)
    tell("")
    if wrong:
        what, them = ("declaration does", "it") if wrong == 1 else ("declarations do", "them")
        tell(f"{wrong} {what} not hold; correct {them} before a run.")
        return ExitCode.INCOMPLETE
    # What this look was told beside the file, a run has to be told as well.
    told = [] if plan.profiles == target.profiles else [f"--profile {name}" for name in plan.profiles]
    told += ["--allow-commands"] if settings.allow_commands else []
    tell(" ".join([f"Next: weighbridge run --target {target.place}", *told]))
    return ExitCode.OK


def offered(target: Target) -> tuple[str, ...]:
    """The generic profiles that a target's surfaces allow."""
    by_surface = {
        "chat": "openai-chat",
        "messages": "anthropic-messages",
        "tasks": "reapi-tasks",
        "aimlapi": "aimlapi-chat",
    }
    return tuple(by_surface[name] for name in target.surfaces)
