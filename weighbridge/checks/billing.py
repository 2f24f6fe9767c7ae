"""Rules about money on the chat surfaces: balance before and after, against the price of the usage.

Charges are differences of readings, so a rule needs two readings and a rate card; what it cannot see is
not verified. Amounts that its rounding cannot tell apart are the same, and an expected charge below a
hundred steps of a rounded balance is not judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from weighbridge.checks import aimlapi_streams, message_events, transcripts
from weighbridge.checks.findings import is_int, member, needs, outcome_of, situation
from weighbridge.checks.limits import unless_limited
from weighbridge.checks.rounding import allowance, resolution_of, same, too_small
from weighbridge.evidence import Call, Observation, RunFacts
from weighbridge.money import LONG_CONTEXT_ABOVE, Usage, price, usd
from weighbridge.scenario import Scenario
from weighbridge.verdict import Finding, Outcome


@dataclass(frozen=True, slots=True)
class Case:
    """The calls of one account between two readings."""

    label: str
    calls: tuple[Call, ...]
    charged: int

    @property
    def surface(self) -> str:
        """Whose balance was read."""
        return self.calls[0].surface if self.calls else "chat"

    @property
    def evidence(self) -> tuple[str, ...]:
        """Ids of the calls."""
        return tuple(call.id for call in self.calls)


def cases(
    observation: Observation, name: str, role: str | None = None, *, last: str = "after"
) -> list[Case] | Finding:
    """The cases of a situation, one for each model, or why there is none; `last` is the second reading's moment.

    A probe labels its readings `situation/role`; the calls are those of the situation and role.
    """
    found = situation(observation, name)
    if isinstance(found, Finding):
        return found
    result = []
    roles = dict.fromkeys(call.role for call in found)
    if role is not None and role not in roles:
        return needs(f"models.{role}")
    for one in roles if role is None else [role]:
        label = f"{name}/{one}"
        before, after = observation.money(label, "before"), observation.money(label, last)
        if before is None or after is None:
            return needs("balance")
        calls = tuple(call for call in found if call.role == one)
        result.append(Case(f"{name} / {calls[0].model}", calls, before.amount - after.amount))
    return result


def usage_of(scenario: Scenario) -> Usage:
    """The usage that the simulator was told to report."""
    return Usage(
        scenario.prompt_tokens or 0,
        scenario.completion_tokens or 0,
        scenario.cached or 0,
        scenario.written or 0,
        scenario.searches or 0,
    )


def _finding(case: Case, ok: bool, required: str, observed: str) -> Finding:
    return Finding(
        Outcome.MET if ok else Outcome.BROKEN, required, f"{observed} ({case.label})", case.evidence
    )


def unseen_charge(case: Case, expected: int, facts: RunFacts) -> Finding | None:
    """Why a charge of this size cannot be told from rounding, or None if it can."""
    if too_small(expected, facts, case.surface):
        resolution = resolution_of(facts, case.surface)
        return Finding(
            Outcome.NOT_VERIFIED,
            observed=f"a charge of {usd(expected)} is too small for a balance that shows steps of {usd(resolution)} ({case.label})",
            evidence=case.evidence,
            missing="a balance with a finer resolution",
        )
    return None


def _all_served(case: Case) -> Finding | None:
    failed = [call for call in case.calls if not call.exchange.ok]
    if not failed:
        return None
    return Finding(
        Outcome.NOT_VERIFIED,
        observed=f"{len(failed)} of {len(case.calls)} calls were not served ({case.label})",
        evidence=case.evidence,
        inside_scope=True,
    )


def expected_price(case: Case, facts: RunFacts, *, long_context: bool | None = None) -> int | Finding:
    """What the case's calls should cost by the rate card, or what is missing to know it.

    Args:
        case: its calls carry the scripted usage.
        facts: the rate card.
        long_context: which tier to price; None takes each call's own by the decimal reading of 272K.
    """
    total = 0
    for call in case.calls:
        if call.scenario is None or call.scenario.prompt_tokens is None:
            return needs("upstream")
        card = facts.rates.get(call.model or "")
        if card is None:
            return needs("rates")
        usage = usage_of(call.scenario)
        openai = (call.role or "").startswith("openai")
        long = (openai and usage.prompt > LONG_CONTEXT_ABOVE) if long_context is None else long_context
        try:
            total += price(usage, card, long_context=long)
        except KeyError as error:
            return needs(f"rates ({error.args[0]})")
    return total


def charge_finding(case: Case, expected: int, facts: RunFacts, tier: str = "") -> Finding:
    """Whether the balance fell by what was expected, to the last step that it shows."""
    observed = f"{usd(case.charged)}{_explained(case, expected)}"
    return _finding(
        case,
        same(case.charged, expected, facts, case.surface),
        f"a charge of {usd(expected)}{tier}",
        observed,
    )


def charged_the_price(
    observation: Observation,
    facts: RunFacts,
    name: str,
    *,
    long_context: bool | None = None,
    role: str | None = None,
) -> list[Finding]:
    """The balance fell by exactly the price of the reported usage."""
    found = cases(observation, name, role)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        expected = expected_price(case, facts, long_context=long_context)
        if isinstance(expected, Finding):
            findings.append(expected)
            continue
        blocked = _all_served(case) or unseen_charge(case, expected, facts)
        tier = {None: "", True: " at the long-context rate", False: " at the standard rate"}[long_context]
        findings.append(blocked or charge_finding(case, expected, facts, tier))
    return findings


def _explained(case: Case, expected: int) -> str:
    if case.charged == 0:
        return " (nothing was charged)"
    if expected and case.charged % expected == 0 and case.charged // expected > 1:
        return f" ({case.charged // expected} times the price)"
    return ""


def tier_is_reported(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """Between the two readings of 272K: which tier was charged. Reports, never accuses."""
    found = cases(observation, name)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        standard = expected_price(case, facts, long_context=False)
        long = expected_price(case, facts, long_context=True)
        if isinstance(standard, Finding) or isinstance(long, Finding):
            findings.append(standard if isinstance(standard, Finding) else needs("rates"))
            continue
        readings = (
            (standard, "standard rate: 272K is read as 278,528"),
            (long, "long-context rate: 272K is read as 272,000"),
        )
        reading = next(
            (text for amount, text in readings if same(case.charged, amount, facts, case.surface)), None
        )
        findings.append(
            unseen_charge(case, standard, facts)
            or _finding(
                case,
                reading is not None,
                "one of the two tiers",
                reading or f"{usd(case.charged)}, neither tier",
            )
        )
    return findings


def failed(call: Call) -> bool:
    """Whether the caller holds no whole answer: no success, or a stream without its normal ending."""
    response = call.exchange.response
    if not call.exchange.ok or response is None:
        return True
    if not call.streamed or response.json is not None:
        return False
    if call.surface == "messages":
        message = message_events.read(call)
        return bool(message.errors) or not message.of("message_stop")
    stream = transcripts.read(call)
    if call.surface == "aimlapi" and any(aimlapi_streams.is_error(piece) for piece in stream.events):
        return True
    return bool(stream.errors) or not stream.finishes


def charged_nothing_if_failed(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """Calls that failed cost nothing; a call that was served after all may have its price and is not judged."""
    found = cases(observation, name)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        served = next((call for call in case.calls if not failed(call)), None)
        if served is not None:
            findings.append(
                Finding(
                    Outcome.NOT_VERIFIED,
                    observed=f"the call did not fail: {outcome_of(served)} ({case.label})",
                    evidence=case.evidence,
                    inside_scope=True,
                )
            )
            continue
        findings.append(
            _finding(
                case,
                same(case.charged, 0, facts, case.surface),
                "a failed call is charged nothing",
                f"{usd(case.charged)} charged",
            )
        )
    return findings


def refusals_cost_nothing(
    observation: Observation, facts: RunFacts, label: str, names: tuple[str, ...], *, whole: bool = False
) -> Finding:
    """One account over several calls that should be refused: it paid for those that were served, and no more.

    Args:
        observation: calls and the readings `before` and `after` under the label.
        facts: the rate card, for calls that were served against expectation.
        label: of the readings.
        names: situations of the account that should be refused.
        whole: all calls of the observation were made by this account, also those of other situations.
    """
    before, after = observation.money(label, "before"), observation.money(label, "after")
    if before is None or after is None:
        return needs("balance")
    refused = [call for call in observation.where(*names) if (call.exchange.status or 0) >= 400]
    if not refused:
        return Finding(Outcome.NOT_VERIFIED, observed="no call was refused", inside_scope=True)
    due = _due_for_served(observation.calls if whole else observation.where(*names), facts)
    if isinstance(due, Finding):
        return due
    moved = before.amount - after.amount
    return Finding(
        Outcome.MET if same(moved, due, facts, refused[0].surface) else Outcome.BROKEN,
        "refused calls change no balance",
        f"{usd(moved - due)} charged beyond the served calls, over {len(refused)} refused calls",
        tuple(call.id for call in refused[:5]),
    )


def _due_for_served(calls: Iterable[Call], facts: RunFacts) -> int | Finding:
    """What the served ones among these calls should have cost, by the usage that they report."""
    total = 0
    for call in calls:
        if call.exchange.status is None or call.exchange.status >= 400:
            continue
        card = facts.rates.get(call.model or "")
        usage = member(call.exchange.json, "usage")
        counts = (
            member(usage, "prompt_tokens") or member(usage, "input_tokens"),
            member(usage, "completion_tokens") or member(usage, "output_tokens"),
        )
        if card is None or not all(is_int(count) for count in counts):
            return needs("rates")
        total += price(Usage(*counts), card, long_context=False)
    return total


def billed_once(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """A failed call and its successful repetition together cost the price of one."""
    repeated = dict.fromkeys(call.role for call in observation.where(f"{name}:second"))
    found = [cases(observation, name, role, last="repeated") for role in repeated]
    missing = [item for item in found or [cases(observation, name)] if isinstance(item, Finding)]
    if missing:
        return missing
    findings = []
    for case in (case for item in found if not isinstance(item, Finding) for case in item):
        second = observation.where(f"{name}:second", role=case.calls[0].role)
        if not second or not second[0].exchange.ok:
            findings.append(
                Finding(
                    Outcome.NOT_VERIFIED,
                    observed=f"the repetition was not served ({case.label})",
                    inside_scope=True,
                )
            )
            continue
        expected = expected_price(Case(case.label, second, 0), facts)
        if isinstance(expected, Finding):
            findings.append(expected)
            continue
        findings.append(
            unseen_charge(case, expected, facts)
            or _finding(
                case,
                same(case.charged, expected, facts, case.surface),
                f"failed call and repetition cost {usd(expected)} together",
                f"{usd(case.charged)}{_explained(case, expected)}",
            )
        )
    return findings


def burst_charged_only_served(observation: Observation, facts: RunFacts) -> list[Finding]:
    """Over a burst that met 429s, the account paid for the served calls and for nothing else."""
    blocked = unless_limited(observation)
    if blocked is not None:
        return [blocked]
    before, after = observation.money("group-burst", "before"), observation.money("group-burst", "after")
    if before is None or after is None:
        return [needs("balance")]
    calls = observation.where("group-burst", "group-other", "group-recovered")
    total = _due_for_served(calls, facts)
    if isinstance(total, Finding):
        return [total]
    refused = tuple(call for call in calls if call.exchange.status == 429)[:3]
    case = Case("group-burst", refused, before.amount - after.amount)
    return [
        unseen_charge(case, total, facts)
        or _finding(
            case,
            same(case.charged, total, facts, case.surface),
            f"only served calls are charged: {usd(total)}",
            f"{usd(case.charged)} charged",
        )
    ]


def written_at_its_rate(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """Tokens written to a cache pay the write rate; a surface without a counter for them may take W = 0 (C5)."""
    found = cases(observation, name)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        expected = expected_price(case, facts)
        if isinstance(expected, Finding):
            findings.append(expected)
            continue
        plain = tuple(
            replace(call, scenario=replace(call.scenario, written=None))
            for call in case.calls
            if call.scenario
        )
        unwritten = expected_price(replace(case, calls=plain), facts)
        required = f"a charge of {usd(expected)}, written tokens at the cache-write rate"
        blocked = _all_served(case) or unseen_charge(case, expected, facts)
        if blocked is not None:
            findings.append(blocked)
            continue
        exact = same(case.charged, expected, facts, case.surface)
        if isinstance(unwritten, int) and same(case.charged, unwritten, facts, case.surface) and not exact:
            observed = (
                f"{usd(case.charged)}: written tokens at the input rate (reading C5, W = 0) ({case.label})"
            )
            findings.append(Finding(Outcome.ALTERNATIVE, required, observed, case.evidence))
            continue
        findings.append(_finding(case, exact, required, usd(case.charged)))
    return findings


def _unbegun(case: Case) -> Finding | None:
    """Nothing was there to be charged: no provider began to answer, so that no charge proves nothing."""
    statuses = [post.status for call in case.calls for post in call.upstream or () if post.is_model_call]
    if not statuses or any(status is None or status < 400 for status in statuses):
        return None
    return Finding(
        Outcome.NOT_VERIFIED,
        observed=f"the provider refused the call with {statuses[0]} ({case.label})",
        evidence=case.evidence,
        inside_scope=True,
    )


def at_most_the_price(observation: Observation, facts: RunFacts, name: str) -> list[Finding]:
    """A client that left is charged between nothing and the whole price, once."""
    found = cases(observation, name)
    if isinstance(found, Finding):
        return [found]
    findings = []
    for case in found:
        unbegun = _unbegun(case)
        if unbegun is not None:
            findings.append(unbegun)
            continue
        expected = expected_price(case, facts)
        step = allowance(facts, case.surface)
        findings.append(
            expected
            if isinstance(expected, Finding)
            else unseen_charge(case, expected, facts)
            or _finding(
                case,
                -step < case.charged < expected + step,
                f"at most {usd(expected)}",
                f"{usd(case.charged)} charged",
            )
        )
    return findings


def read_rate_is_lower(facts: RunFacts) -> list[Finding]:
    """The declared cache-read rate is below the input rate; what is really charged is judged by CBIL-06."""
    cards = {model: card for model, card in facts.rates.items() if "cache_read" in card}
    if not cards:
        return [needs("rates (cache_read)")]
    return [
        Finding(
            Outcome.MET if card["cache_read"] < card["input"] else Outcome.BROKEN,
            "the cache-read rate is below the input rate",
            f"{card['cache_read']} against {card['input']} pico-dollars per token ({model})",
        )
        for model, card in cards.items()
    ]
