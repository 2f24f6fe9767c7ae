"""The error envelope of the task gateway, over every refusal that the other probes provoked."""

from weighbridge.checks import tasks, tasks_errors
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("TERR-01", surface="tasks")
def test_errors_have_the_envelope(
    judge: Judge,
    task_bad_keys: Observation,
    task_bad_requests: Observation,
    task_insufficient: Observation,
    task_owners: Observation,
    task_poll_burst: Observation,
) -> None:
    """Clients read code and message there, on every path."""
    found = tasks_errors.errors(
        task_bad_keys, task_bad_requests, task_insufficient, task_owners, task_poll_burst
    )
    judge.each(found, tasks_errors.has_envelope)


@requirement("TERR-02", surface="tasks")
def test_code_has_five_digits(
    judge: Judge,
    task_bad_keys: Observation,
    task_bad_requests: Observation,
    task_insufficient: Observation,
    task_owners: Observation,
    task_poll_burst: Observation,
) -> None:
    """Typed clients declare an integer and fail to decode text."""
    found = tasks_errors.errors(
        task_bad_keys, task_bad_requests, task_insufficient, task_owners, task_poll_burst
    )
    judge.each(found, tasks_errors.code_has_five_digits)


@requirement("TERR-03", surface="tasks")
def test_message_is_text(judge: Judge, task_bad_keys: Observation, task_bad_requests: Observation) -> None:
    """It is what the developer sees in the log."""
    judge.each(tasks_errors.errors(task_bad_keys, task_bad_requests), tasks_errors.has_message)


@requirement("TERR-04", surface="tasks")
def test_request_ids_are_unique(
    judge: Judge,
    task_bad_keys: Observation,
    task_bad_requests: Observation,
    task_owners: Observation,
    task_poll_burst: Observation,
) -> None:
    """Support finds one call by it; a repeated id leads to the wrong one."""
    found = tasks_errors.errors(task_bad_keys, task_bad_requests, task_owners, task_poll_burst)
    judge.settle(*tasks_errors.request_ids_differ(found))


@requirement("TERR-05", surface="tasks")
def test_errors_carry_a_request_id(
    judge: Judge, task_bad_keys: Observation, task_bad_requests: Observation
) -> None:
    """Callers are told to quote it in support requests."""
    judge.each(tasks_errors.errors(task_bad_keys, task_bad_requests), tasks_errors.has_request_id)


@requirement("TERR-06", surface="tasks")
def test_request_id_has_its_prefix(
    judge: Judge, task_bad_keys: Observation, task_bad_requests: Observation
) -> None:
    """Log searches find request ids by their prefix."""
    judge.each(tasks_errors.errors(task_bad_keys, task_bad_requests), tasks_errors.request_id_is_prefixed)


@requirement("TERR-07", surface="tasks")
def test_leading_digit_fits_the_status(
    judge: Judge,
    task_bad_keys: Observation,
    task_bad_requests: Observation,
    task_insufficient: Observation,
    task_owners: Observation,
    task_poll_burst: Observation,
) -> None:
    """Clients handle unknown codes by their first digit."""
    found = tasks_errors.errors(
        task_bad_keys, task_bad_requests, task_insufficient, task_owners, task_poll_burst
    )
    judge.each(found, tasks_errors.digit_fits_status)


@requirement("TERR-08", surface="tasks")
def test_only_documented_statuses(
    judge: Judge,
    task_bad_keys: Observation,
    task_bad_requests: Observation,
    task_insufficient: Observation,
    task_owners: Observation,
    task_poll_burst: Observation,
) -> None:
    """Clients switch on these, and an unexpected one falls into the wrong branch."""
    found = tasks_errors.errors(
        task_bad_keys, task_bad_requests, task_insufficient, task_owners, task_poll_burst
    )
    judge.each(found, tasks_errors.status_is_documented)


@requirement("TERR-15", surface="tasks")
def test_unexpected_error_is_60099(
    judge: Judge,
    task_lifecycles: Observation,
    task_bad_requests: Observation,
    task_owners: Observation,
    task_failures: Observation,
) -> None:
    """Clients retry on this code and alert when it persists. Nothing provokes it; a 500 that is seen is judged."""
    found = tasks_errors.errors(task_lifecycles, task_bad_requests, task_owners, task_failures)
    judge.settle(*tasks_errors.unexpected_errors(found))


@requirement("TERR-16", surface="tasks")
def test_off_route_errors_are_json(judge: Judge, task_routes: Observation) -> None:
    """A client with a wrong path should see an error and not a parser crash."""
    judge.settle(*over(task_routes, ("unknown-route", "wrong-method"), tasks_errors.is_json_error))


@requirement("SURF-08", surface="tasks")
def test_every_endpoint_speaks_json(
    judge: Judge, task_lifecycles: Observation, task_bad_keys: Observation, task_bad_requests: Observation
) -> None:
    """A client decodes each answer as JSON and stops at the first HTML page."""
    calls = [call for item in (task_lifecycles, task_bad_keys, task_bad_requests) for call in item]
    judge.each([call for call in calls if not call.situation.endswith(":fetch")], tasks.speaks_json)


@requirement("SURF-09", surface="tasks")
def test_openai_client_can_submit(
    judge: Judge, task_routes: Observation, task_bad_requests: Observation
) -> None:
    """Existing helper code submits jobs and shows refusals without being rewritten."""
    judge.settle(
        *over(task_routes, ("openai-client",), tasks.accepted),
        *over(task_bad_requests, ("no-model",), tasks_errors.has_envelope),
    )
