"""Polls of tasks: words, ends, failures, and whose tasks they show."""

from weighbridge.checks import tasks, tasks_errors, tasks_limits, tasks_polls
from weighbridge.checks.findings import needs, over, situation
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement
from weighbridge.verdict import Finding

FAILED = ("failed", "moderated")


@requirement("TPOL-01", surface="tasks")
def test_poll_returns_the_same_task(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients match a poll to their own record by id, model and created_at."""
    judge.settle(*tasks.told(task_lifecycles, ("completed",), tasks_polls.same_task))


@requirement("TPOL-24", surface="tasks")
def test_polling_is_the_same_for_every_kind(judge: Judge, task_lifecycles: Observation) -> None:
    """One polling routine in the client serves all media."""
    kinds = ("image", "video", "audio", "text")
    each = [tasks.told(task_lifecycles, ("completed",), tasks_polls.same_task, kind=kind) for kind in kinds]
    judge.settle(*(finding for findings in each for finding in findings))


@requirement("TPOL-02", surface="tasks")
def test_status_is_one_of_three_words(judge: Judge, task_lifecycles: Observation) -> None:
    """A polling loop that waits for two words never ends on a third."""
    judge.settle(*over(task_lifecycles, ("completed:poll",), tasks_polls.status_is_known))


@requirement("TPOL-02", surface="tasks", widens=True)
def test_status_of_running_and_failed_tasks_is_one_of_them(
    judge: Judge, task_cadence: Observation, task_failures: Observation
) -> None:
    """The same for tasks that are surely at work, and for failures."""
    judge.settle(
        *over(task_cadence, ("cadence:poll",), tasks_polls.status_is_known),
        *over(task_failures, ("failed:poll", "moderated:poll"), tasks_polls.status_is_known),
    )


@requirement("TPOL-03", surface="tasks")
def test_every_task_ends(judge: Judge, task_lifecycles: Observation, task_failures: Observation) -> None:
    """A task that hangs holds the caller's credits and its waiting user for ever."""
    judge.settle(
        *tasks.told(task_lifecycles, ("completed",), tasks_polls.ends),
        *tasks.told(task_failures, FAILED, tasks_polls.ends),
    )


@requirement("TPOL-04", surface="tasks")
def test_completed_task_never_changes(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients read the result once and store it."""
    judge.settle(*tasks.told(task_lifecycles, ("completed",), tasks_polls.never_changes))


@requirement("TPOL-04", surface="tasks", widens=True)
def test_failed_task_never_changes(judge: Judge, task_failures: Observation) -> None:
    """A failure that turns into a result later has been resubmitted by then."""
    judge.settle(*tasks.told(task_failures, FAILED, tasks_polls.never_changes))


@requirement("TPOL-05", surface="tasks")
def test_completed_task_never_runs_again(judge: Judge, task_lifecycles: Observation) -> None:
    """A client that shows progress would show a finished job as running again."""
    judge.settle(*tasks.told(task_lifecycles, ("completed",), tasks_polls.stays_ended))


@requirement("TPOL-05", surface="tasks", widens=True)
def test_failed_task_never_runs_again(judge: Judge, task_failures: Observation) -> None:
    """The same for failures."""
    judge.settle(*tasks.told(task_failures, FAILED, tasks_polls.stays_ended))


@requirement("TPOL-06", surface="tasks")
def test_completed_has_output_and_no_error(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients read the output as soon as they see completed."""
    judge.settle(*tasks.told(task_lifecycles, ("completed",), tasks_polls.completed_has_output))


@requirement("TPOL-07", surface="tasks")
def test_failed_has_error_and_no_output(judge: Judge, task_failures: Observation) -> None:
    """Clients show the error and resubmit, and cannot do so without one."""
    judge.settle(*tasks.told(task_failures, FAILED, tasks_polls.failed_has_error))


@requirement("TPOL-08", surface="tasks")
def test_failure_is_explained_with_a_code(judge: Judge, task_failures: Observation) -> None:
    """The code tells a client whether a resubmission can help."""
    judge.settle(*tasks.told(task_failures, FAILED, tasks_polls.failure_is_explained))


@requirement("TPOL-09", surface="tasks")
def test_moderated_is_80006(judge: Judge, task_failures: Observation) -> None:
    """Resubmitting the same prompt is pointless, and this code says so."""
    judge.settle(*tasks.told(task_failures, ("moderated",), tasks_polls.failure_code(tasks_polls.MODERATED)))


@requirement("TERR-17", surface="tasks")
def test_provider_failure_is_a_failed_task(judge: Judge, task_failures: Observation) -> None:
    """Clients retry HTTP errors, but resubmit failed tasks."""
    names = ("failed", "refused-by-provider", "provider-hangs-up")
    judge.settle(*tasks.told(task_failures, names, tasks_polls.fails_as_task))


@requirement("TPOL-18", surface="tasks")
def test_unknown_task_is_404(judge: Judge, task_owners: Observation) -> None:
    """A client stops polling on 404 and would go on for ever on anything else."""
    judge.settle(*over(task_owners, ("unknown-task:poll",), tasks_errors.in_envelope(404)))


@requirement("TPOL-19", surface="tasks")
def test_foreign_task_looks_unknown(judge: Judge, task_owners: Observation) -> None:
    """A different answer reveals which tasks exist."""
    foreign, unknown = situation(task_owners, "foreign-task:poll"), situation(task_owners, "never-was:poll")
    if isinstance(foreign, Finding):
        judge.settle(foreign)
    elif isinstance(unknown, Finding):
        judge.settle(unknown)
    else:
        more = task_owners.where("unknown-task:poll")
        pairs = zip(foreign, unknown, strict=True)
        judge.settle(*(tasks_polls.looks_unknown(one, other, *more) for one, other in pairs))


@requirement("TPOL-20", surface="tasks")
def test_second_key_reads_the_task(judge: Judge, task_owners: Observation) -> None:
    """Keys are rotated while jobs are running."""
    judge.settle(*over(task_owners, ("second-key:poll",), tasks.accepted))


@requirement("TPOL-21", surface="tasks")
def test_poll_needs_a_valid_key(judge: Judge, task_bad_keys: Observation) -> None:
    """Results would be open to anyone who learns an id."""
    names = ("no-key:poll", "malformed-key:poll", "unknown-key:poll")
    judge.settle(*over(task_bad_keys, names, tasks_errors.refused_as(401, 1)))


@requirement("TPOL-22", surface="tasks")
def test_recommended_pace_is_safe(judge: Judge, task_cadence: Observation) -> None:
    """Clients follow the documented pace and have no other way to get results."""
    polls = task_cadence.where("cadence:poll")
    judge.settle(
        tasks_limits.all_served(task_cadence, "cadence:poll")
        if polls
        else needs("models.image, and a task to poll")
    )


@requirement("TPOL-23", surface="tasks")
def test_poll_answered_with_5xx_does_no_harm(
    judge: Judge, task_lifecycles: Observation, task_failures: Observation, task_failure_race: Observation
) -> None:
    """A short hiccup must not cost a video that took minutes. Nothing provokes it; a 5xx that is seen is judged."""
    seen = tasks.stories(task_lifecycles, "completed")
    seen += tasks.stories(task_failures, *FAILED) + tasks.stories(task_failure_race, "race")
    judge.settle(*tasks_polls.survives_server_errors(seen))


@requirement("PRAC-05", surface="tasks")
def test_upstream_secret_stays_inside(judge: Judge, task_failures: Observation) -> None:
    """The failure of a task tells why, but not with the provider's words about the operator's key."""
    names = ("failed", "refused-by-provider")
    stories = [story for name in names for story in tasks.stories(task_failures, name)]
    calls = [call for story in stories for call in (story.submission, *story.polls)]
    judge.each(calls, tasks_polls.hides_upstream_secret)
