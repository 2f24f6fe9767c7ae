"""What an operator declares is told with the finding about it, and excuses nothing."""

from __future__ import annotations

import pytest

from tests.checks.chat_evidence import call, post
from weighbridge.declared import as_declared
from weighbridge.evidence import Observation, RunFacts
from weighbridge.suite import judge_directly, load_checks
from weighbridge.verdict import Finding, Outcome

FACTS = RunFacts(retry_policy="3 attempts on 500")
TWICE = Finding(Outcome.BROKEN, "1 upstream POST for the call", "2 POSTs")


def test_a_declared_retry_is_told_and_stays_a_violation() -> None:
    found = as_declared(TWICE, ("CERR-NR-2", "PRAC-12"), FACTS)
    assert found.outcome is Outcome.BROKEN
    assert found.observed == "2 POSTs; declared by the operator: 3 attempts on 500"


@pytest.mark.parametrize(
    ("finding", "rows", "facts"),
    [
        (TWICE, ("CERR-NR-2",), RunFacts()),
        (TWICE, ("CBIL-01",), FACTS),
        (Finding(Outcome.MET, "1 upstream POST for the call", "1 POST"), ("CERR-NR-2",), FACTS),
    ],
)
def test_nothing_is_said_where_nothing_was_declared_or_found(
    finding: Finding, rows: tuple[str, ...], facts: RunFacts
) -> None:
    assert as_declared(finding, rows, facts) is finding


def test_the_check_of_a_suite_tells_it() -> None:
    check = next(
        c for c in load_checks() if c.id.endswith("test_chat_posts::test_upstream_500_is_not_retried")
    )
    retried = call({}, status=500, situation="upstream-500", upstream=(post(), post(seq=2)))
    seen = {name: Observation(name, (retried,)) for name in check.probes}
    assert judge_directly(check, seen, FACTS).observed.endswith("declared by the operator: 3 attempts on 500")


def test_a_declared_status_without_credit_is_told_and_stays_a_violation() -> None:
    facts = RunFacts(out_of_credit_status=403, retry_policy="3 attempts on 500")
    check = next(c for c in load_checks() if c.id.endswith("test_chat_errors::test_empty_account_is_402"))
    refused = call({"error": {"code": "x", "message": "y"}}, status=403, situation="broke")
    seen = {name: Observation(name, (refused,)) for name in check.probes}
    found = judge_directly(check, seen, facts)
    assert found.outcome is Outcome.BROKEN
    assert found.observed.endswith("; declared by the operator: status 403 for who has no credit")
    assert "declared" not in judge_directly(check, seen, RunFacts()).observed
