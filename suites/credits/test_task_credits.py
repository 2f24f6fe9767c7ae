"""Credits of tasks: taken at submission, kept for results, given back once for failures."""

from weighbridge.checks import (
    credit_changes,
    tasks,
    tasks_balance,
    tasks_credits,
    tasks_errors,
    tasks_refunds,
)
from weighbridge.checks.findings import needs, over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement
from weighbridge.verdict import Finding

#: Ways to fail after which nothing may be missing. A submission that is refused instead costs nothing either.
FAILURES = ("failed", "moderated", "refused-by-provider", "provider-hangs-up")
POOR = ("broke", "one-short")


def _accepted(observation: Observation, situation: str) -> list[str | None] | Finding:
    found = credit_changes.roles(observation, situation)
    return list(found) if found else credit_changes.nothing_accepted(observation, situation)


@requirement("TBIL-01", surface="tasks")
def test_submission_takes_credits(judge: Judge, task_lifecycles: Observation) -> None:
    """A debit that is missing now comes as a surprise correction later."""
    found = _accepted(task_lifecycles, "completed")
    each = (tasks_credits.debited(task_lifecycles, "completed", role) for role in _roles(found))
    judge.settle(*([found] if isinstance(found, Finding) else each))


@requirement("TBIL-02", surface="tasks")
def test_debit_is_there_with_the_answer(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients that check the balance between submissions would overspend."""
    found = _accepted(task_lifecycles, "completed")
    watched = credit_changes.watched(task_lifecycles, "completed", _roles(found), "submitted")
    each = [tasks_credits.debited_at_once(task_lifecycles, "completed", role) for role in watched]
    judge.settle(*([found] if isinstance(found, Finding) else each))


@requirement("TBIL-03", surface="tasks")
def test_credits_are_whole(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients keep them as integers and would round the money of others."""
    calls = [call for call in task_lifecycles if ":balance:" in call.situation]
    judge.each(calls, tasks_balance.whole_number)


@requirement("TBIL-10", surface="tasks")
def test_completed_task_is_not_refunded(judge: Judge, task_lifecycles: Observation) -> None:
    """Refunds for delivered work drain the operator without anyone noticing."""
    found = _accepted(task_lifecycles, "completed")
    each = (tasks_credits.not_refunded(task_lifecycles, "completed", role) for role in _roles(found))
    judge.settle(*([found] if isinstance(found, Finding) else each))


@requirement("TPOL-17", surface="tasks")
def test_polling_is_free(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients poll many times per task as they are told to."""
    found = _accepted(task_lifecycles, "completed")
    watched = credit_changes.watched(task_lifecycles, "completed", _roles(found))
    each = [tasks_credits.polls_are_free(task_lifecycles, "completed", role) for role in watched]
    judge.settle(*([found] if isinstance(found, Finding) else each))


@requirement("TBIL-15", surface="tasks")
def test_price_is_as_declared(judge: Judge, task_lifecycles: Observation) -> None:
    """Callers compute a job's price before they submit it. Only declared prices can be compared."""
    facts = judge.facts
    priced = [role for role in facts.models if facts.models[role] in facts.task_prices]
    known = [role for role in credit_changes.roles(task_lifecycles, "completed") if role in priced]
    each = [
        tasks_credits.costs(task_lifecycles, "completed", role, facts.task_prices[facts.models[role or ""]])
        for role in known
    ]
    judge.settle(*(each or [needs("rates")]))


@requirement("TBIL-15", surface="tasks", widens=True)
def test_price_follows_the_count(judge: Judge, task_counted_prices: Observation) -> None:
    """Three pictures for the price of one is a loss, one for three a complaint."""
    if not judge.facts.task_price_per:
        judge.settle(needs("task_prices.<model>.per"))
    judge.settle(*tasks_credits.counted_prices(task_counted_prices, judge.facts))


@requirement("TBIL-04", surface="tasks")
def test_failed_task_is_refunded(
    judge: Judge, task_failures: Observation, task_lifecycles: Observation
) -> None:
    """Callers resubmit on failure and would pay for every attempt."""
    found = _accepted(task_failures, "failed")
    each = (
        tasks_refunds.given_back(task_failures, "failed", role, task_lifecycles) for role in _roles(found)
    )
    judge.settle(*([found] if isinstance(found, Finding) else each))


@requirement("TBIL-05", surface="tasks")
def test_refund_is_there_when_failed_is_seen(
    judge: Judge, task_failures: Observation, task_lifecycles: Observation
) -> None:
    """Clients resubmit at that moment and need the credits back to do so."""
    findings: list[Finding] = []
    for name in ("failed", "moderated"):
        found = _accepted(task_failures, name)
        watched = credit_changes.watched(task_failures, name, _roles(found))
        findings += [
            tasks_refunds.refunded_when_seen(task_failures, name, role, task_lifecycles) for role in watched
        ]
        findings += [found] if isinstance(found, Finding) else []
    judge.settle(*findings)


@requirement("TBIL-06", surface="tasks")
def test_refund_does_not_wait_for_a_poll(
    judge: Judge, task_failure_unpolled: Observation, task_lifecycles: Observation
) -> None:
    """A client that crashed or gave up must not lose its credits."""
    seen = task_failure_unpolled
    found = _accepted(seen, "unpolled")
    each = (tasks_refunds.restored(seen, "unpolled", role, task_lifecycles) for role in _roles(found))
    judge.settle(*([found] if isinstance(found, Finding) else each))


@requirement("TBIL-07", surface="tasks")
def test_refund_comes_once(judge: Judge, task_failures: Observation, task_lifecycles: Observation) -> None:
    """A refund per poll lets anyone print money."""
    findings: list[Finding] = []
    for name in ("failed", "moderated"):
        found = _accepted(task_failures, name)
        findings += [
            tasks_refunds.refunded_once(task_failures, name, role, task_lifecycles) for role in _roles(found)
        ]
        findings += [found] if isinstance(found, Finding) else []
    judge.settle(*findings)


@requirement("TBIL-08", surface="tasks")
def test_refund_equals_the_debit(
    judge: Judge, task_failures: Observation, task_lifecycles: Observation
) -> None:
    """A partial refund is a hidden charge for failures."""
    found = _accepted(task_failures, "failed")
    each = (tasks_refunds.restored(task_failures, "failed", role, task_lifecycles) for role in _roles(found))
    judge.settle(*([found] if isinstance(found, Finding) else each))


@requirement("TBIL-09", surface="tasks")
def test_concurrent_polls_cause_one_refund(
    judge: Judge, task_failure_race: Observation, task_lifecycles: Observation
) -> None:
    """Refunds that race pay twice, and only under load."""
    seen = task_failure_race
    found = _accepted(seen, "race")
    each = (tasks_refunds.race_refunded_once(seen, role, task_lifecycles) for role in _roles(found))
    judge.settle(*([found] if isinstance(found, Finding) else each))


@requirement("TBIL-11", surface="tasks")
def test_failures_cost_nothing(
    judge: Judge, task_failures: Observation, task_lifecycles: Observation
) -> None:
    """Image pages promise that moderated requests are not charged, and failures never are."""
    findings: list[Finding] = []
    for name in FAILURES:
        tried = [call.role for call in task_failures.where(name)]
        each = [tasks_refunds.failure_is_free(task_failures, name, role, task_lifecycles) for role in tried]
        findings += each or [credit_changes.nothing_accepted(task_failures, name)]
    judge.settle(*findings)


@requirement("TBIL-12", "TSUB-17", surface="tasks")
def test_refusal_takes_no_credits(judge: Judge, task_bad_requests: Observation) -> None:
    """A typing error in a parameter must not cost money, and a hidden task would show in the balance."""
    judge.settle(
        tasks_credits.takes_nothing(task_bad_requests, "bad-requests", None, what="a refused submission")
    )


@requirement("TBIL-13", surface="tasks")
def test_too_few_credits_are_402(judge: Judge, task_insufficient: Observation) -> None:
    """Operators top up on 402; another status looks like an outage."""
    tried = [name for name in POOR if task_insufficient.where(name)] or ["broke"]
    judge.settle(*over(task_insufficient, tried, tasks_errors.in_envelope(402)))


@requirement("TBIL-13", surface="tasks")
def test_402_leaves_no_trace(judge: Judge, task_insufficient: Observation) -> None:
    """No task, no provider call, no credits taken."""
    tried = [name for name in POOR if task_insufficient.where(name)] or ["broke"]
    calls = task_insufficient.where(*tried)
    judge.settle(
        *over(task_insufficient, tried, tasks.creates_nothing),
        *(
            tasks_credits.takes_nothing(task_insufficient, call.situation, call.role, what="a 402")
            for call in calls
        ),
    )


@requirement("TBIL-14", surface="tasks")
def test_parallel_submissions_cannot_overdraw(judge: Judge, task_overdraft: Observation) -> None:
    """Batch jobs submit in parallel, and an overdrawn account stops all later work."""
    judge.settle(
        tasks_credits.affordable_only(task_overdraft),
        tasks_credits.never_negative(task_overdraft, "overdraft"),
    )


@requirement("TBIL-16", surface="tasks")
def test_resubmission_is_a_new_charge(
    judge: Judge, task_resubmission: Observation, task_lifecycles: Observation
) -> None:
    """It is the documented recovery path, and its books must stay straight."""
    price = credit_changes.price_of(judge.facts, task_lifecycles, "image")
    judge.settle(
        *over(task_resubmission, ("resubmitted",), tasks.accepted),
        tasks_credits.charged_for_each(task_resubmission, "resubmitted", price),
    )


def _roles(found: list[str | None] | Finding) -> list[str | None]:
    return [] if isinstance(found, Finding) else found
