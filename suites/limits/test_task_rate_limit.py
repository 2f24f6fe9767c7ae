"""The rate limit of the task gateway: ten requests per second and user."""

from weighbridge.checks import credit_changes, tasks_errors, tasks_limits
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("TRAT-01", surface="tasks")
def test_ten_requests_in_a_second_are_served(judge: Judge, task_at_limit: Observation) -> None:
    """Clients pace themselves to the documented limit and must not be stopped below it."""
    names = ("at-limit", "at-limit:poll", "at-limit:balance:read")
    judge.settle(tasks_limits.full_rate_served(task_at_limit, *names))


@requirement("TRAT-02", surface="tasks")
def test_more_than_the_limit_is_429(
    judge: Judge, task_poll_burst: Observation, task_balance_burst: Observation
) -> None:
    """A limit that is not enforced lets one client slow down all others, whatever it asks for."""
    judge.settle(
        tasks_limits.some_refused(task_poll_burst, "burst:poll"),
        tasks_limits.some_refused(task_balance_burst, "burst:balance:read"),
    )


@requirement("TRAT-02", surface="tasks", widens=True)
def test_more_submissions_than_the_limit_meet_429(judge: Judge, task_submit_burst: Observation) -> None:
    """The requests that cost money are those that a limit is for."""
    judge.settle(tasks_limits.some_refused(task_submit_burst, "burst"))


@requirement("TRAT-09", surface="tasks")
def test_polls_count(judge: Judge, task_poll_burst: Observation) -> None:
    """Clients with many open tasks have to spread their polls and must know that they count."""
    judge.settle(tasks_limits.some_refused(task_poll_burst, "burst:poll"))


@requirement("TRAT-10", surface="tasks")
def test_balance_reads_count(judge: Judge, task_balance_burst: Observation) -> None:
    """Dashboards that read the balance in a loop have to handle the refusal."""
    judge.settle(tasks_limits.some_refused(task_balance_burst, "burst:balance:read"))


@requirement("TRAT-03", surface="tasks")
def test_429_has_code_50001(judge: Judge, task_poll_burst: Observation) -> None:
    """Clients tell the rate limit from other refusals by this code."""
    refused = tasks_limits.refusals(task_poll_burst)
    findings = [tasks_errors.refusal(429, 50001)(call) for call in refused]
    judge.settle(*(findings or [tasks_limits.nothing_refused(task_poll_burst, "burst:poll")]))


@requirement("TRAT-04", surface="tasks")
def test_429_says_when_to_retry(judge: Judge, task_poll_burst: Observation) -> None:
    """Clients sleep for what it says; without it they guess and collide again."""
    findings = [tasks_limits.says_when(call) for call in tasks_limits.refusals(task_poll_burst)]
    judge.settle(*(findings or [tasks_limits.nothing_refused(task_poll_burst, "burst:poll")]))


@requirement("TRAT-05", surface="tasks")
def test_retry_after_is_seconds(judge: Judge, task_poll_burst: Observation) -> None:
    """Zero or text leads to a retry at once, straight into the limit."""
    findings = [tasks_limits.says_when_in_seconds(call) for call in tasks_limits.refusals(task_poll_burst)]
    judge.settle(*(findings or [tasks_limits.nothing_refused(task_poll_burst, "burst:poll")]))


@requirement("TRAT-06", surface="tasks")
def test_user_is_served_after_the_wait(judge: Judge, task_poll_burst: Observation) -> None:
    """A wait that leads to another refusal makes back-off loops endless."""
    judge.settle(tasks_limits.recovers(task_poll_burst))


@requirement("TRAT-07", surface="tasks")
def test_keys_of_one_user_share_the_limit(judge: Judge, task_two_keys: Observation) -> None:
    """A limit per key is void once keys are free to make."""
    judge.settle(tasks_limits.keys_share(task_two_keys))


@requirement("TRAT-08", surface="tasks")
def test_users_do_not_share_the_limit(judge: Judge, task_poll_burst: Observation) -> None:
    """A noisy neighbour must not be able to stop a customer."""
    judge.settle(tasks_limits.neighbour_served(task_poll_burst))


@requirement("TRAT-11", surface="tasks")
def test_window_is_one_second(judge: Judge, task_balance_burst: Observation) -> None:
    """Clients tune their back-off to this window, and a longer block stalls queues."""
    judge.settle(tasks_limits.window_is_short(task_balance_burst))


@requirement("TRAT-12", surface="tasks")
def test_rate_limited_submission_leaves_no_trace(
    judge: Judge, task_submit_burst: Observation, task_lifecycles: Observation
) -> None:
    """The client will repeat it and must not pay twice."""
    price = credit_changes.price_of(judge.facts, task_lifecycles, "image")
    judge.settle(*tasks_limits.leaves_no_trace(task_submit_burst, price))


@requirement("TRAT-13", surface="tasks")
def test_kind_of_window_is_reported(
    judge: Judge, task_poll_burst: Observation, task_balance_burst: Observation
) -> None:
    """Both kinds are allowed; clients that pace to the edge want to know which applies."""
    judge.settle(tasks_limits.window_kind(task_poll_burst, task_balance_burst))
