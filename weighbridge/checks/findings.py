"""The vocabulary of rules: build a finding for a call, and say why a call cannot be judged.

A rule is a function of one call. Where the call did not come so far that the rule means anything (a
stream check on an error reply), it answers `not_verified` and names what happened instead, so that one
failure is reported once, by the rule it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from weighbridge.evidence import Call, Ending, Observation
from weighbridge.suite import Rule
from weighbridge.verdict import Finding, Outcome

_EXCERPT = 200


def excerpt(text: str) -> str:
    """The beginning of a text on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _EXCERPT else f"{flat[:_EXCERPT]}..."


def met(call: Call, required: str, observed: str = "") -> Finding:
    """The rule holds for this call."""
    return Finding(Outcome.MET, required, observed, (call.id,))


def broken(call: Call, required: str, observed: str) -> Finding:
    """The rule does not hold; the message names the case."""
    return Finding(Outcome.BROKEN, required, f"{observed} ({call.label})", (call.id,))


def holds(call: Call, ok: bool, required: str, observed: str) -> Finding:
    """Met or broken, by a condition."""
    return met(call, required, observed) if ok else broken(call, required, observed)


def alternative(call: Call, required: str, observed: str) -> Finding:
    """Met only by a reading that the documents leave open."""
    return Finding(Outcome.ALTERNATIVE, required, f"{observed} ({call.label})", (call.id,))


def unjudged(call: Call, observed: str, *, missing: str | None = None) -> Finding:
    """This call says nothing about the rule. Inside the scope unless a capability is missing."""
    return Finding(
        Outcome.NOT_VERIFIED,
        observed=f"{observed} ({call.label})",
        evidence=(call.id,),
        missing=missing,
        inside_scope=missing is None,
    )


def needs(capability: str) -> Finding:
    """Nothing could be observed for want of a capability."""
    return Finding(Outcome.NOT_VERIFIED, observed=f"needs {capability}", missing=capability)


def not_applicable(reason: str) -> Finding:
    """The requirement does not apply to this target; the reason names the predicate that is false."""
    return Finding(Outcome.NOT_APPLICABLE, observed=reason)


def outcome_of(call: Call) -> str:
    """What became of a call, in a few words."""
    seen = call.exchange
    if seen.status is None:
        return (
            f"no response ({seen.ending}: {seen.detail})" if seen.detail else f"no response ({seen.ending})"
        )
    tail = "" if seen.ending is Ending.COMPLETE else f", connection {seen.ending}"
    text = excerpt(seen.response.text) if seen.response and not 200 <= seen.status < 300 else ""
    return f"status {seen.status}{tail}{': ' + text if text else ''}"


def on_success(rule: Rule) -> Rule:
    """The rule, for calls that were answered 2xx in whole; others are not judged by it."""

    def guarded(call: Call) -> Finding:
        if not call.exchange.ok:
            return unjudged(call, f"no successful reply to judge: {outcome_of(call)}")
        return rule(call)

    return guarded


def member(value: Any, *path: str | int) -> Any:
    """The value at a path of keys and indexes in parsed JSON, or None where it leads nowhere."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def is_int(value: Any) -> bool:
    """A JSON number without fraction; JSON's true is no number."""
    return isinstance(value, int) and not isinstance(value, bool)


def situation(observation: Observation, *names: str) -> list[Call] | Finding:
    """The calls of some situations, or why there are none."""
    calls = list(observation.where(*names))
    if calls:
        return calls
    missing = dict(observation.missing)
    for name in (*names, "*"):
        if name in missing:
            return needs(missing[name])
    for name in names:
        if name in observation.contaminated:
            return Finding(
                Outcome.NOT_VERIFIED,
                observed=f"contaminated: the model did not serve a plain call before {name}",
                inside_scope=True,
            )
    return Finding(
        Outcome.NOT_VERIFIED, observed=f"nothing was observed for {', '.join(names)}", inside_scope=True
    )


def for_role(calls: Iterable[Call], role: str, rule: Rule, *, streamed: bool | None = None) -> list[Finding]:
    """One finding per call on a role's model; what is missing where the target names no such model."""
    mine = [call for call in calls if call.role == role and (streamed is None or call.streamed is streamed)]
    return [rule(call) for call in mine] or [needs(f"models.{role}")]


def over(observation: Observation, names: Iterable[str], rule: Callable[[Call], Finding]) -> list[Finding]:
    """One finding per call of these situations; one that says why where there is no call."""
    findings: list[Finding] = []
    for name in names:
        calls = situation(observation, name)
        findings += [calls] if isinstance(calls, Finding) else [rule(call) for call in calls]
    return findings
