"""Findings become verdicts by level, verdicts become claims and exit codes."""

from dataclasses import replace

import pytest

from weighbridge.catalogue import load
from weighbridge.errors import ExitCode, strongest
from weighbridge.judgement import exit_code, judge_rows
from weighbridge.plan import Plan, Selection
from weighbridge.suite import Binding, Check
from weighbridge.verdict import (
    ClaimStatus,
    Finding,
    Level,
    Outcome,
    Verdict,
    claim_status,
    roll_up,
    verdict_of,
)


def _check(id_: str, *rows: str, widens: bool = False) -> Check:
    return Check(id_, Binding(rows, "chat", widens=widens), (), lambda: None)


def _plan(*rows: str, selection: Selection | None = None) -> Plan:
    return Plan(("reapi-chat",), {"reapi-chat": rows}, ("chat",), selection or Selection())


@pytest.mark.parametrize(
    ("outcome", "must", "should", "may"),
    [
        (Outcome.MET, "pass", "pass", "pass"),
        (Outcome.BROKEN, "fail", "warn", "pass"),
        (Outcome.ALTERNATIVE, "warn", "warn", "pass"),
        (Outcome.NOT_VERIFIED, "not_verified", "not_verified", "not_verified"),
    ],
)
def test_the_level_turns_an_outcome_into_a_verdict(
    outcome: Outcome, must: str, should: str, may: str
) -> None:
    assert [verdict_of(outcome, level) for level in (Level.MUST, Level.SHOULD, Level.MAY)] == [
        must,
        should,
        may,
    ]


def test_nothing_observed_is_never_a_pass() -> None:
    assert roll_up([]).outcome is Outcome.NOT_VERIFIED


def test_one_violation_speaks_for_all() -> None:
    finding = roll_up(
        [Finding(Outcome.MET), Finding(Outcome.NOT_VERIFIED), Finding(Outcome.BROKEN, observed="x")]
    )
    assert finding.outcome is Outcome.BROKEN


def test_how_many_violations_there_were_is_told_once_for_what_they_are() -> None:
    two = [Finding(Outcome.BROKEN, observed="x"), Finding(Outcome.BROKEN, observed="y")]
    assert roll_up(two).observed == "x (2 of 2 cases)"
    assert roll_up([roll_up(two), Finding(Outcome.MET)], of="checks").observed == "x (2 of 2 cases)"
    assert roll_up(two, of=None).observed == "x"


def test_an_unverified_part_keeps_the_whole_from_passing() -> None:
    assert roll_up([Finding(Outcome.MET), Finding(Outcome.NOT_VERIFIED)]).outcome is Outcome.NOT_VERIFIED


def test_a_widening_check_without_its_capability_does_not_block_the_row() -> None:
    checks = [_check("plain", "AUTH-03"), _check("more", "AUTH-03", widens=True)]
    findings = {"plain": Finding(Outcome.MET), "more": Finding(Outcome.NOT_VERIFIED, missing="revoked")}
    (row,) = judge_rows(_plan("AUTH-03"), load(), checks, findings).rows
    assert row.verdict is Verdict.PASS


def test_a_widening_check_that_found_a_violation_counts() -> None:
    checks = [_check("plain", "AUTH-03"), _check("more", "AUTH-03", widens=True)]
    findings = {"plain": Finding(Outcome.MET), "more": Finding(Outcome.BROKEN)}
    (row,) = judge_rows(_plan("AUTH-03"), load(), checks, findings).rows
    assert row.verdict is Verdict.FAIL


def test_a_feature_declared_absent_is_unsupported_and_breaks_a_claim_that_needs_it() -> None:
    checks = [_check("vision", "VIS-02")]
    findings = {"vision": Finding(Outcome.BROKEN, observed="400")}
    judgement = judge_rows(_plan("VIS-02"), load(), checks, findings, {"vision": False})
    assert judgement.rows[0].verdict is Verdict.UNSUPPORTED
    assert judgement.claims[0].status is ClaimStatus.NON_CONFORMANT


def test_a_claim_is_conformant_only_when_every_must_is_met() -> None:
    good = [Verdict.PASS, Verdict.NOT_APPLICABLE]
    assert claim_status(good, partial=False) is ClaimStatus.CONFORMANT
    assert claim_status([*good, Verdict.NOT_VERIFIED], partial=False) is ClaimStatus.INCOMPLETE
    assert claim_status([*good, Verdict.HARNESS_ERROR], partial=False) is ClaimStatus.INCOMPLETE
    assert claim_status([*good, Verdict.FAIL], partial=False) is ClaimStatus.NON_CONFORMANT
    assert claim_status(good, partial=True) is ClaimStatus.PARTIAL
    assert claim_status([], partial=False) is ClaimStatus.INCOMPLETE


def test_a_missing_capability_leaves_the_gate_open_but_a_broken_promise_does_not() -> None:
    outside = {"c": Finding(Outcome.NOT_VERIFIED, missing="balance")}
    inside = {"c": Finding(Outcome.NOT_VERIFIED, inside_scope=True)}
    checks = [_check("c", "CRES-01")]
    assert (
        exit_code(judge_rows(_plan("CRES-01"), load(), checks, outside), require_claim=False) is ExitCode.OK
    )
    assert (
        exit_code(judge_rows(_plan("CRES-01"), load(), checks, inside), require_claim=False)
        is ExitCode.INCOMPLETE
    )
    assert (
        exit_code(judge_rows(_plan("CRES-01"), load(), checks, outside), require_claim=True)
        is ExitCode.INCOMPLETE
    )


def test_exit_codes_have_an_order() -> None:
    codes = [ExitCode.INCOMPLETE, ExitCode.VIOLATION, ExitCode.UNREACHABLE, ExitCode.USAGE]
    assert strongest(codes) is ExitCode.USAGE
    assert strongest(codes[:3]) is ExitCode.UNREACHABLE
    assert strongest(codes[:2]) is ExitCode.VIOLATION
    assert strongest([]) is ExitCode.OK


def test_a_narrowed_run_claims_nothing() -> None:
    selection = Selection(quick=True)
    findings = {"c": Finding(Outcome.MET)}
    judgement = judge_rows(_plan("CRES-01", selection=selection), load(), [_check("c", "CRES-01")], findings)
    assert judgement.claims[0].status is ClaimStatus.PARTIAL


def _tools(finding: Finding, profile: str, features: dict[str, bool]) -> tuple[Verdict, str]:
    """The verdict of the row about tool calls in a profile, and what it says."""
    plan = Plan((profile,), {profile: ("CRES-16",)}, ("chat",), Selection())
    judgement = judge_rows(plan, load(), [_check("tools", "CRES-16")], {"tools": finding}, features)
    return judgement.rows[0].verdict, judgement.rows[0].finding.observed


REFUSED = Finding(Outcome.NOT_VERIFIED, observed="status 400", inside_scope=True, answered=(400,))
IGNORED = Finding(Outcome.BROKEN, observed="no tool call", answered=(200,))
BROKE_DOWN = Finding(Outcome.NOT_VERIFIED, observed="status 500", inside_scope=True, answered=(500,))


@pytest.mark.parametrize(
    ("finding", "profile", "declared", "verdict", "told"),
    [
        (
            REFUSED,
            "openai-chat",
            None,
            Verdict.UNSUPPORTED,
            "tools is not declared, and its use is refused with 400",
        ),
        (
            REFUSED,
            "openai-chat",
            False,
            Verdict.UNSUPPORTED,
            "declared as not offered, and its use is refused",
        ),
        (REFUSED, "openai-chat", True, Verdict.NOT_VERIFIED, "status 400"),
        (REFUSED, "reapi-chat", None, Verdict.NOT_VERIFIED, "status 400"),
        (
            replace(REFUSED, answered=(422,)),
            "openai-chat",
            None,
            Verdict.UNSUPPORTED,
            "422 (documented: 400)",
        ),
        (replace(REFUSED, answered=(429,)), "openai-chat", None, Verdict.NOT_VERIFIED, "status 400"),
        (IGNORED, "openai-chat", None, Verdict.FAIL, "no tool call"),
        (IGNORED, "openai-chat", False, Verdict.UNSUPPORTED, "no document promises"),
        (BROKE_DOWN, "openai-chat", None, Verdict.NOT_VERIFIED, "status 500"),
        (BROKE_DOWN, "openai-chat", False, Verdict.NOT_VERIFIED, "fails rather than being refused"),
    ],
)
def test_a_feature_is_tested_both_ways(
    finding: Finding, profile: str, declared: bool | None, verdict: Verdict, told: str
) -> None:
    features = {} if declared is None else {"tools": declared}
    found = _tools(finding, profile, features)
    assert found[0] is verdict
    assert told in found[1]


def test_a_refusal_by_a_product_that_has_the_feature_is_no_lack_of_it() -> None:
    plan = Plan(("openai-chat",), {"openai-chat": ("CRES-16", "PRAC-13")}, ("chat",), Selection())
    checks = [_check("one", "CRES-16"), _check("other", "PRAC-13")]
    findings = {"one": Finding(Outcome.MET), "other": replace(REFUSED, outcome=Outcome.BROKEN)}
    verdicts = [row.verdict for row in judge_rows(plan, load(), checks, findings).rows]
    assert verdicts == [Verdict.PASS, Verdict.WARN]
