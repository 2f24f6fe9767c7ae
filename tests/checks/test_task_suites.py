"""Checks over several situations: one that cannot be judged hides no violation of another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.checks.tasks_evidence import (
    balance,
    call,
    completed,
    credited,
    document,
    failed,
    poll,
    provider,
    refusal,
)
from weighbridge.evidence import Observation, RunFacts
from weighbridge.probes.tasks_models import TEXT_ENDPOINTS
from weighbridge.suite import judge_directly, load_checks
from weighbridge.verdict import Outcome

CHECKS = {check.id: check for check in load_checks()}


def _outcome(name: str, **observations: Observation) -> Outcome:
    return judge_directly(CHECKS[name], observations, RunFacts()).outcome


def _failures(**final: int) -> Observation:
    """The first way to fail was refused at the door; those named here end with such a balance."""
    calls = [refusal(402, 30001, "failed")]
    for name, amount in final.items():
        calls += credited(name, before=1000, submitted=960, seen=amount, final=amount).calls
        calls.append(failed(at=1.0, situation=name))
    return Observation("p", tuple(calls))


@pytest.mark.parametrize(
    ("name", "amount"),
    [
        ("test_refund_is_there_when_failed_is_seen", 960),
        ("test_refund_comes_once", 1040),
        ("test_failures_cost_nothing", 960),
    ],
)
def test_violation_behind_a_story_that_says_nothing_is_found(name: str, amount: int) -> None:
    check = f"credits/test_task_credits::{name}"
    elsewhere = Observation("p")  # nothing was seen there
    for final, outcome in ((amount, Outcome.BROKEN), (1000, Outcome.NOT_VERIFIED)):
        seen = _failures(moderated=final)
        assert _outcome(check, task_failures=seen, task_lifecycles=elsewhere) is outcome


def test_debit_of_a_402_is_found_without_a_view_of_the_provider() -> None:
    check = "credits/test_task_credits::test_402_leaves_no_trace"
    for final, outcome in ((990, Outcome.BROKEN), (1000, Outcome.NOT_VERIFIED)):
        reads = (balance(1000, "before", situation="broke"), balance(final, "final", situation="broke"))
        seen = Observation("p", (refusal(402, 30001, "broke", upstream=None), *reads))
        assert _outcome(check, task_insufficient=seen) is outcome
    wired = replace(seen, calls=(refusal(402, 30001, "broke"), *seen.calls[1:]))
    assert _outcome(check, task_insufficient=wired) is Outcome.MET


def test_violation_of_a_later_kind_is_found_where_an_earlier_kind_is_missing() -> None:
    check = "tasks/test_polling::test_polling_is_the_same_for_every_kind"
    video = call(document(), path="/videos/generations", role="video")
    for model, outcome in (("other", Outcome.BROKEN), ("gpt-image-2", Outcome.NOT_VERIFIED)):
        seen = Observation("p", (video, poll("processing", at=0.1, model=model)))
        assert _outcome(check, task_lifecycles=seen) is outcome


@pytest.mark.parametrize("name", ["test_results_are_on_own_storage", "test_results_can_be_downloaded"])
def test_result_of_a_later_kind_is_judged_where_an_earlier_kind_is_missing(name: str) -> None:
    file = "/files/0.mp4"
    video = call(
        document(), path="/videos/generations", role="video", upstream=[provider("file", "/media/v1" + file)]
    )
    for url, status, outcome in (
        (f"http://cdn.test/media/v1{file}", 404, Outcome.BROKEN),
        ("http://gw.test/tasks/0.mp4", 200, Outcome.NOT_VERIFIED),
    ):
        end = completed(at=1.0, output={"video_urls": [url]})
        kind = (("Content-Type", "video/mp4"),)
        fetch = call(
            b"x",
            status=status,
            situation="completed:fetch",
            role="video",
            method="GET",
            url=url,
            headers=kind,
        )
        seen = Observation("p", (video, end, fetch))
        assert _outcome(f"tasks/test_results::{name}", task_lifecycles=seen) is outcome


def test_text_tool_that_is_not_submitted_hides_no_other_one() -> None:
    check = "tasks/test_submission::test_text_tools_start_tasks"
    last = TEXT_ENDPOINTS[-1]
    url = f"http://gw.test/api/v1/{last.lstrip('/')}"
    broken = Observation("p", (call(document("completed"), url=url, role="text"),))
    assert _outcome(check, task_lifecycles=broken) is Outcome.BROKEN
    fine = Observation("p", (call(document(), url=url, role="text"),))
    assert _outcome(check, task_lifecycles=fine) is Outcome.NOT_VERIFIED


def test_submission_accepted_with_202_is_no_refusal() -> None:
    check = "tasks/test_submission::test_refused_submission_creates_nothing"
    taken = call(document(), status=202, situation="no-model", upstream=[provider("submit")])
    good = refusal(400, 20002, "no-prompt")
    leak = refusal(400, 20002, "no-prompt", upstream=[provider("submit")])
    for refused, outcome in ((good, Outcome.MET), (leak, Outcome.BROKEN)):
        seen = Observation("p", (taken, refused))
        assert _outcome(check, task_bad_requests=seen, task_insufficient=Observation("p")) is outcome
