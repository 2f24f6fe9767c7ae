"""How a check is declared and found.

A check is a plain function in `suites/`, bound to catalogue rows:

    @requirement("CSTR-03", surface="chat")
    def test_stream_ends_with_done(judge: Judge, chat_replies: Observation) -> None:
        judge.each(chat_replies.where("plain", streamed=True), streams.has_done)

Every argument beside `judge` names a probe; its observation is handed over. The same function runs
under pytest (where the names are fixtures) and directly (when defects are judged or a record is
judged again), so both give the same findings.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from weighbridge.declared import as_declared
from weighbridge.evidence import CUT_SHORT, Call, Observation, RunFacts
from weighbridge.features import answered
from weighbridge.locate import folder
from weighbridge.throttling import excused, limited_twice
from weighbridge.usage import spared
from weighbridge.verdict import Finding, Outcome, roll_up

_ATTRIBUTE = "__weighbridge_requirement__"
CheckFunction = TypeVar("CheckFunction", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Binding:
    """Which rows a check judges, on which surface, and whether it needs a generator."""

    ids: tuple[str, ...]
    surface: str
    generated: bool = False
    widens: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One check function with its binding and the probes that it needs."""

    id: str
    binding: Binding
    probes: tuple[str, ...]
    function: Callable[..., None]


def requirement(
    *ids: str, surface: str, generated: bool = False, widens: bool = False
) -> Callable[[CheckFunction], CheckFunction]:
    """Bind a check to catalogue rows.

    Args:
        ids: rows that the check judges, all with one finding.
        surface: `chat`, `messages`, `tasks` or `aimlapi`; profiles of that surface count it.
        generated: the evidence comes from Hypothesis or Schemathesis, which `--quick` leaves out.
        widens: another check judges the same rows with less; where a capability is missing for this
            one, the rows rest on the other alone.
    """

    def bind(function: CheckFunction) -> CheckFunction:
        setattr(function, _ATTRIBUTE, Binding(ids, surface, generated, widens))
        return function

    return bind


def binding_of(function: Any) -> Binding | None:
    """The binding of a test function, or None for an ordinary test."""
    return getattr(function, _ATTRIBUTE, None)


def probes_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the probes whose observations the function takes."""
    return tuple(name for name in inspect.signature(function).parameters if name != "judge")


class Violation(AssertionError):  # noqa: N818 - a verdict about the target, not an error of ours
    """A check found the requirement broken."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class NotJudged(Exception):  # noqa: N818 - an outcome, not an error
    """A check reached no verdict, or a verdict other than met and broken."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


Rule = Callable[[Call], Finding]


class Judge:
    """Applies pure rules to evidence and keeps the findings; given to every check.

    Attributes:
        facts: what the target file declares (rates, limits, models).
        findings: all findings so far, in order.
    """

    def __init__(self, facts: RunFacts, limited: frozenset[str] = frozenset()) -> None:
        """`limited` are the calls that were answered 429 twice although nothing had provoked it."""
        self.facts = facts
        self._limited = limited
        self.findings: list[Finding] = []

    def each(self, calls: Iterable[Call], rule: Rule) -> None:
        """The rule must hold for every call; no call at all is no verdict."""
        findings = [rule(call) for call in calls]
        self.settle(*findings)

    def settle(self, *findings: Finding) -> None:
        """Take findings; raises unless their roll-up is met.

        Raises:
            Violation: the requirement is broken.
            NotJudged: unsupported, not applicable, not verified, or met by an alternative only.
        """
        if not findings:
            findings = (
                Finding(
                    Outcome.NOT_VERIFIED,
                    observed="nothing was observed",
                    missing="an observation",
                    inside_scope=True,
                ),
            )
        finding = roll_up([excused(finding, self._limited) for finding in findings])
        self.findings.append(finding)
        if finding.outcome is Outcome.BROKEN:
            raise Violation(finding)
        if finding.outcome is not Outcome.MET:
            raise NotJudged(finding)

    def verdict(self) -> Finding:
        """The finding for the whole check."""
        return roll_up(self.findings)


def unavailable(observation: Observation) -> Finding | None:
    """Why an observation cannot be judged at all, or None if it can."""
    if observation.error is not None:
        return Finding(Outcome.HARNESS_ERROR, observed=observation.error, inside_scope=True)
    reason = dict(observation.missing).get("*")
    if reason is not None and (not observation.calls or reason == CUT_SHORT):
        return Finding(Outcome.NOT_VERIFIED, missing=reason, observed=f"needs {reason}")
    return None


def judge_directly(check: Check, observations: Mapping[str, Observation], facts: RunFacts) -> Finding:
    """Run one check on evidence, outside pytest. Never raises for what the evidence says."""
    arguments = {}
    for name in check.probes:
        observation = observations.get(name)
        if observation is None:
            return Finding(
                Outcome.NOT_VERIFIED, observed=f"the probe {name} did not run", missing=f"the probe {name}"
            )
        blocked = unavailable(observation)
        if blocked is not None:
            return blocked
        if any(call.cut for call in observation.calls):
            return Finding(
                Outcome.NOT_VERIFIED,
                observed=f"the record keeps only part of a body that the probe {name} saw",
                missing="the whole body",
                inside_scope=True,
            )
        arguments[name] = observation
    return settled(_apply(check, arguments, facts), check, observations, facts)


def settled(
    finding: Finding, check: Check, observations: Mapping[str, Observation], facts: RunFacts
) -> Finding:
    """What a check found, with what the run knows beside: whose token counts it saw, declared retries, how calls ended."""
    rows = check.binding.ids
    told = as_declared(spared(finding, rows, observations, facts), rows, facts)
    return answered(told, observations)


def _apply(check: Check, arguments: Mapping[str, Observation], facts: RunFacts) -> Finding:
    judge = Judge(facts, limited_twice(arguments.values()))
    try:
        check.function(judge, **arguments)
    except (Violation, NotJudged) as outcome:
        return outcome.finding
    except Exception as error:  # noqa: BLE001 - a broken check is our fault and must be reported as such
        return Finding(
            Outcome.HARNESS_ERROR,
            observed=f"the check itself failed: {type(error).__name__}: {error}",
            inside_scope=True,
        )
    return judge.verdict()


def check_id(path: Path, root: Path, name: str) -> str:
    """`area/file::test`, stable across machines."""
    return f"{path.relative_to(root).with_suffix('').as_posix()}::{name}"


def _import(path: Path) -> ModuleType:
    name = f"weighbridge_suite_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a .py path always has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@cache
def load_checks() -> tuple[Check, ...]:
    """All checks of the bundled suites, in file order, without pytest."""
    root = folder("suites")
    checks = []
    for path in sorted(root.rglob("test_*.py")):
        for name, function in vars(_import(path)).items():
            bound = binding_of(function)
            if name.startswith("test_") and bound is not None:
                checks.append(Check(check_id(path, root, name), bound, probes_of(function), function))
    return tuple(checks)
