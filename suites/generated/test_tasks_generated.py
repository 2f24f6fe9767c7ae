"""Generated sequences on the task gateway."""

from weighbridge.checks import generated, task_books
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("FUZZ-TASK-01", surface="tasks", generated=True)
def test_credits_agree_after_every_step(judge: Judge, tasks_books: Observation) -> None:
    """Money is lost in sequences that no single test walks through."""
    judge.settle(*task_books.credits_agree(tasks_books, judge.facts))


@requirement("FUZZ-TASK-02", surface="tasks", generated=True)
def test_valid_submissions_never_crash_the_target(judge: Judge, task_generated: Observation) -> None:
    """A valid combination that nobody tried by hand is where servers crash; the link to the task is followed."""
    judge.each(task_generated.where("generated", "generated:poll"), generated.no_server_error)


@requirement("FUZZ-TASK-03", surface="tasks", generated=True)
def test_every_answer_is_documented(judge: Judge, task_generated: Observation) -> None:
    """Clients generated from the description fail on the first answer outside it."""
    judge.settle(*generated.as_documented(task_generated))


@requirement("FUZZ-TASK-04", surface="tasks", generated=True)
def test_invalid_submissions_never_crash_the_target(judge: Judge, task_generated: Observation) -> None:
    """What a caller got wrong is the caller's to mend, and a 5xx says the opposite."""
    judge.settle(*generated.invalid_never_crash(task_generated))
