"""The balances of the two workspaces are apart, whatever one key spends."""

from weighbridge.checks import tasks_balance
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("AUTH-07", surface="tasks")
def test_chat_and_tasks_keep_separate_credits(judge: Judge, task_workspaces: Observation) -> None:
    """Budgets set for one workspace are void if the other one can draw on them."""
    judge.settle(*tasks_balance.workspaces_apart(task_workspaces))


@requirement("AUTH-07", surface="chat")
def test_tasks_and_chat_keep_separate_dollars(judge: Judge, task_workspaces: Observation) -> None:
    """The same promise, from the other side."""
    judge.settle(*tasks_balance.workspaces_apart(task_workspaces))
