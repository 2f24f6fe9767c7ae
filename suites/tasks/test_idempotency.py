"""The Idempotency-Key header: accepted, and without any effect."""

from weighbridge.checks import credit_changes, tasks, tasks_credits
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("TIDM-01", surface="tasks")
def test_header_is_accepted(judge: Judge, task_idempotency: Observation) -> None:
    """Many HTTP clients add the header by themselves."""
    judge.settle(*over(task_idempotency, ("same-key",), tasks.accepted))


@requirement("TIDM-02", surface="tasks")
def test_same_key_gives_two_tasks(judge: Judge, task_idempotency: Observation) -> None:
    """Clients must not take the header for protection against duplicates."""
    judge.settle(tasks.ids_are_new(task_idempotency.where("same-key")))


@requirement("TIDM-03", surface="tasks")
def test_both_submissions_are_charged(
    judge: Judge, task_idempotency: Observation, task_lifecycles: Observation
) -> None:
    """One charge per POST is the documented behaviour, and budgets are planned on it."""
    price = credit_changes.price_of(judge.facts, task_lifecycles, "image")
    judge.settle(tasks_credits.charged_for_each(task_idempotency, "same-key", price))


@requirement("TIDM-04", surface="tasks")
def test_both_submissions_reach_the_provider(judge: Judge, task_idempotency: Observation) -> None:
    """The page promises that no provider call is ever skipped in silence."""
    judge.settle(tasks.reaches_provider(task_idempotency.where("same-key")))


@requirement("TIDM-05", surface="tasks")
def test_same_key_with_another_body_is_served(judge: Judge, task_idempotency: Observation) -> None:
    """The header is documented to change nothing, and clients reuse fixed values."""
    judge.settle(*over(task_idempotency, ("same-key-other-body",), tasks.accepted))


@requirement("TIDM-06", surface="tasks")
def test_equal_bodies_are_two_tasks(judge: Judge, task_idempotency: Observation) -> None:
    """Callers who want two variants of one prompt submit it twice."""
    judge.settle(tasks.each_is_a_task(task_idempotency.where("no-header")))
