"""Generated sequences on the task gateway."""

from weighbridge.checks import task_books
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("FUZZ-TASK-01", surface="tasks", generated=True)
def test_credits_agree_after_every_step(judge: Judge, tasks_books: Observation) -> None:
    """Money is lost in sequences that no single test walks through."""
    judge.settle(*task_books.credits_agree(tasks_books, judge.facts))
