"""Submissions of tasks: what an accepted one returns, on every endpoint."""

from weighbridge.checks import tasks, tasks_errors
from weighbridge.checks.findings import needs, over
from weighbridge.evidence import Observation
from weighbridge.probes.tasks_models import TEXT_ENDPOINTS
from weighbridge.suite import Judge, requirement
from weighbridge.verdict import Finding

#: What a missing parameter of any model is called.
MISSING = (
    "no-prompt",
    "no-content",
    "no-text",
    "no-input",
    "no-audio_url",
    "no-stem",
    "no-type",
    "no-length",
)


@requirement("TSUB-01", surface="tasks")
def test_image_submission_answers_at_once(judge: Judge, task_cadence: Observation) -> None:
    """A client that has to hold a request for minutes runs into its own timeout and pays again."""
    judge.settle(*over(task_cadence, ("slow",), tasks.answers_at_once))


@requirement("TSUB-02", surface="tasks")
def test_submission_names_the_task(judge: Judge, task_lifecycles: Observation) -> None:
    """Without the id nobody can fetch what is already paid for."""
    judge.settle(*over(task_lifecycles, ("completed",), tasks.names_task))


@requirement("TSUB-03", surface="tasks")
def test_task_id_alias_agrees(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients written from the prose read task_id and must end up at the same task."""
    judge.settle(*over(task_lifecycles, ("completed",), tasks.alias_agrees))


@requirement("TSUB-04", surface="tasks")
def test_submission_describes_the_task(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients store this record and show it before the first poll."""
    judge.settle(*over(task_lifecycles, ("completed",), tasks.describes_task))


@requirement("TSUB-05", surface="tasks")
def test_submission_is_accepted(judge: Judge, task_lifecycles: Observation) -> None:
    """The status alone tells a client that it owns a task now."""
    judge.settle(*over(task_lifecycles, ("completed",), tasks.accepted))


@requirement("TSUB-06", surface="tasks")
def test_every_submission_is_a_new_task(
    judge: Judge, task_lifecycles: Observation, task_idempotency: Observation
) -> None:
    """A repeated id hands one caller another caller's result."""
    calls = [*task_lifecycles.where("completed"), *task_idempotency.where("same-key", "no-header")]
    judge.settle(tasks.ids_are_new(calls))


@requirement("TSUB-07", surface="tasks")
def test_video_submission_starts_a_task(judge: Judge, task_lifecycles: Observation) -> None:
    """One submit-and-poll routine in the client serves all media."""
    judge.settle(
        *tasks.told(task_lifecycles, ("completed",), lambda s: tasks.starts_task(s.submission), kind="video")
    )


@requirement("TSUB-08", surface="tasks")
def test_audio_submission_starts_a_task(judge: Judge, task_lifecycles: Observation) -> None:
    """One submit-and-poll routine in the client serves all media."""
    judge.settle(
        *tasks.told(task_lifecycles, ("completed",), lambda s: tasks.starts_task(s.submission), kind="audio")
    )


@requirement("TSUB-09", surface="tasks")
def test_text_tools_start_tasks(judge: Judge, task_lifecycles: Observation) -> None:
    """The text tools are polled like any other task; all three of them."""
    findings: list[Finding] = []
    for endpoint in TEXT_ENDPOINTS:
        tried = task_lifecycles.where("completed", "started")
        calls = [call for call in tried if call.exchange.request.url.endswith(endpoint)]
        missing = needs(f"models.text, text_...: a model that is submitted at {endpoint}")
        findings += [tasks.starts_task(call) for call in calls] or [missing]
    judge.settle(*findings)


@requirement("TSUB-10", surface="tasks")
def test_missing_model_is_20002(judge: Judge, task_bad_requests: Observation) -> None:
    """Clients map this code to "a parameter is missing" and show it to the developer."""
    judge.settle(*over(task_bad_requests, ("no-model",), tasks_errors.refusal(400, 20002)))


@requirement("TSUB-11", surface="tasks")
def test_missing_prompt_is_20002(judge: Judge, task_bad_requests: Observation) -> None:
    """An empty job that starts anyway costs credits for a meaningless result."""
    judge.settle(*over(task_bad_requests, ("no-prompt",), tasks_errors.refusal(400, 20002)))


@requirement("TERR-14", surface="tasks")
def test_any_missing_parameter_is_20002(judge: Judge, task_bad_requests: Observation) -> None:
    """Whatever the endpoint calls its parameters, leaving out a required one is the same mistake."""
    calls = [call for call in task_bad_requests if call.situation in {"no-model", *MISSING}]
    judge.each(calls, tasks_errors.refusal(400, 20002))


@requirement("TSUB-13", surface="tasks")
def test_unknown_model_is_a_validation_error(judge: Judge, task_bad_requests: Observation) -> None:
    """Model names change often, and a client must see that the name is the trouble."""
    judge.settle(*over(task_bad_requests, ("unknown-model",), tasks_errors.refused_as(400, 2)))


@requirement("TSUB-14", surface="tasks")
def test_malformed_json_is_a_validation_error(judge: Judge, task_bad_requests: Observation) -> None:
    """A 500 would send the sender of a broken body into retries."""
    judge.settle(*over(task_bad_requests, ("malformed-json",), tasks_errors.refused_as(400, 2)))


@requirement("TSUB-15", surface="tasks")
def test_value_beyond_its_range_is_a_validation_error(judge: Judge, task_bad_requests: Observation) -> None:
    """Refusing early is free, while a job that fails later costs minutes."""
    judge.settle(*over(task_bad_requests, ("beyond-range",), tasks_errors.refused_as(400, 2)))


@requirement("TSUB-16", surface="tasks")
def test_data_url_is_refused(judge: Judge, task_bad_requests: Observation) -> None:
    """A client must know to upload its file first and must not send it inline."""
    judge.settle(*over(task_bad_requests, ("data-url",), tasks_errors.refused_as(400, 2)))


@requirement("TSUB-17", surface="tasks")
def test_refused_submission_creates_nothing(
    judge: Judge, task_bad_requests: Observation, task_insufficient: Observation
) -> None:
    """A hidden task would charge for work that the client believes never started."""
    tried = [*task_bad_requests, *task_insufficient]
    calls = [call for call in tried if call.exchange.request.method == "POST"]
    judge.each([call for call in calls if (call.exchange.status or 0) >= 400], tasks.creates_nothing)


@requirement("TSUB-18", surface="tasks")
def test_documented_fields_are_accepted(judge: Judge, task_fields: Observation) -> None:
    """Size, duration and count are what the caller pays for."""
    judge.settle(*over(task_fields, ("fields",), tasks.accepted))
