"""GET /balance: one whole number, free to read, the same through every key."""

from weighbridge.checks import tasks_balance, tasks_credits
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement

READS = ("balance:balance:before", "balance:balance:final")


@requirement("BAL-01", surface="tasks")
def test_balance_is_one_integer(judge: Judge, task_balances: Observation) -> None:
    """Clients show it and stop submitting when it runs low."""
    judge.settle(*over(task_balances, READS, tasks_balance.whole_credits))


@requirement("BAL-02", surface="tasks")
def test_reading_the_balance_is_free(judge: Judge, task_balances: Observation) -> None:
    """Dashboards read it every few seconds."""
    judge.settle(tasks_credits.takes_nothing(task_balances, "balance", None, what="reading the balance"))


@requirement("BAL-04", surface="tasks")
def test_all_keys_show_one_balance(judge: Judge, task_balances: Observation) -> None:
    """Teams with several keys would otherwise miscount what is left."""
    judge.settle(tasks_balance.same_through_second_key(task_balances))
