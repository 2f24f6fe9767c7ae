"""Rules about submissions, polls and results of tasks: each catches its defect and spares a benign variant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.tasks_evidence import (
    TASK,
    URLS,
    call,
    completed,
    document,
    failed,
    poll,
    provider,
    refusal,
    story,
)
from weighbridge.checks import tasks, tasks_polls, tasks_results
from weighbridge.checks.tasks import Story, StoryRule
from weighbridge.evidence import Call, Ending, Observation
from weighbridge.scenario import Scenario
from weighbridge.suite import Rule
from weighbridge.verdict import Finding, Outcome

SLOW = Scenario(outcome="completed", duration_ms=3000)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (tasks.names_task, document(extra=1), document() | {"id": ""}),
        (tasks.names_task, document(), {"task_id": TASK}),
        (tasks.alias_agrees, document(), document(task_id="task_other")),
        (tasks.alias_agrees, document(task_id=TASK), document(task_id=None)),
        (tasks.describes_task, document(output=None), document("queued")),
        (tasks.describes_task, document(), document() | {"created_at": 1_795_000_000_000}),
        (tasks.describes_task, document(), document() | {"created_at": "2026-11-21"}),
        (tasks.describes_task, document(), document() | {"model": "another"}),
        (tasks.starts_task, document(), document("completed")),
        (tasks_polls.status_is_known, document("failed"), document("Completed")),
        (tasks_polls.status_is_known, document("processing"), document("cancelled")),
    ],
)
def test_rule_about_one_answer_tells_good_from_bad(rule: Rule, good: Any, bad: Any) -> None:
    assert rule(call(good)).outcome is Outcome.MET
    assert rule(call(bad)).outcome is Outcome.BROKEN


def test_any_2xx_is_an_accepted_submission() -> None:
    assert tasks.accepted(call(document(), status=202)).outcome is Outcome.MET
    assert tasks.accepted(refusal(400, 20002)).outcome is Outcome.BROKEN


def test_rule_about_the_answer_does_not_judge_a_refusal() -> None:
    assert tasks.names_task(refusal(402, 30001)).outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(
    ("took", "outcome"), [(0.05, Outcome.MET), (2.0, Outcome.MET), (3.02, Outcome.BROKEN)]
)
def test_submission_that_waits_for_the_provider_is_caught(took: float, outcome: Outcome) -> None:
    assert tasks.answers_at_once(call(document(), scenario=SLOW, took=took)).outcome is outcome


def test_promptness_is_not_judged_without_a_scripted_job() -> None:
    assert tasks.answers_at_once(call(document())).missing == "upstream"


def test_repeated_id_is_caught() -> None:
    one, two = call(document()), call(document() | {"id": "task_other"})
    assert tasks.ids_are_new([one, two]).outcome is Outcome.MET
    assert tasks.ids_are_new([one, two, replace(one, situation="again")]).outcome is Outcome.BROKEN


def test_one_accepted_submission_says_nothing_about_new_ids() -> None:
    assert tasks.ids_are_new([call(document()), refusal(400, 20002)]).outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(
    ("second", "outcome"),
    [
        (call(document() | {"id": "task_other"}), Outcome.MET),
        (call(document()), Outcome.BROKEN),
        (refusal(409, 20002), Outcome.BROKEN),
        (refusal(400, 20002), Outcome.BROKEN),
        (refusal(402, 40002), Outcome.NOT_VERIFIED),
        (refusal(429, 30001), Outcome.NOT_VERIFIED),
        (refusal(500, 60099), Outcome.NOT_VERIFIED),
    ],
)
def test_an_equal_submission_that_is_refused_as_one_is_no_second_task(second: Call, outcome: Outcome) -> None:
    assert tasks.each_is_a_task([call(document()), second]).outcome is outcome


def test_a_refusal_of_the_first_says_nothing_about_the_second() -> None:
    assert tasks.each_is_a_task([refusal(400, 1), refusal(400, 1)]).outcome is Outcome.NOT_VERIFIED


def test_refusal_that_names_a_task_or_reaches_the_provider_is_caught() -> None:
    assert tasks.creates_nothing(refusal(400, 20002)).outcome is Outcome.MET
    assert tasks.creates_nothing(refusal(400, 20002, upstream=[provider("submit")])).outcome is Outcome.BROKEN
    assert tasks.creates_nothing(call(document(), status=400)).outcome is Outcome.BROKEN
    assert tasks.creates_nothing(call(document())).outcome is Outcome.NOT_VERIFIED


def test_refusal_without_a_view_of_the_provider_is_judged_by_its_id_alone() -> None:
    assert tasks.creates_nothing(refusal(400, 20002, upstream=None)).missing == "upstream"
    named = call(document(), status=400, upstream=None)
    assert tasks.creates_nothing(named).outcome is Outcome.BROKEN


def test_provider_submissions_are_counted_once_per_correlation_id() -> None:
    pair = [provider("submit", seq=1), provider("submit", seq=2), provider("job", seq=3)]
    same = call(document(), upstream=pair)
    assert tasks.reaches_provider([same, same]).outcome is Outcome.MET
    merged = call(document(), upstream=pair[:1])
    assert tasks.reaches_provider([merged, merged]).outcome is Outcome.BROKEN
    assert tasks.reaches_provider([call(document(), upstream=None)]).missing == "upstream"


# ---------------------------------------------------------------- stories
END = completed(at=1.0)
RUNNING = poll("processing", at=0.5, output=None, error=None)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (tasks_polls.same_task, story(RUNNING, END), story(poll("processing", at=0.5, model="other"))),
        (tasks_polls.same_task, story(END), story(replace(END, exchange=refusal(404, 40401).exchange))),
        (tasks_polls.ends, story(RUNNING, END), story(RUNNING)),
        (tasks_polls.ends, story(failed(at=1.0)), story(poll("canceled", at=1.0))),
        (tasks_polls.stays_ended, story(END, completed(at=2.0)), story(END, poll("processing", at=2.0))),
        (
            tasks_polls.never_changes,
            story(END, completed(at=2.0)),
            story(END, completed(at=2.0, output={"image_urls": ["http://gw.test/other.png"]})),
        ),
        (tasks_polls.never_changes, story(END, completed(at=2.0)), story(END, failed(at=2.0))),
        (tasks_polls.completed_has_output, story(END), story(completed(at=1.0, output={}))),
        (
            tasks_polls.completed_has_output,
            story(poll("completed", at=1.0, output=URLS)),
            story(poll("completed", at=1.0, output=URLS, error={"code": 80003})),
        ),
        (tasks_polls.failed_has_error, story(failed(at=1.0)), story(poll("failed", at=1.0, error=None))),
        (
            tasks_polls.failed_has_error,
            story(poll("failed", at=1.0, error={"code": 80001, "message": "m"})),
            story(poll("failed", at=1.0, error={"code": 80001, "message": "m"}, output=URLS)),
        ),
        (
            tasks_polls.failure_is_explained,
            story(failed(at=1.0, error={"code": 80099, "message": "m", "hint": 1})),
            story(failed(at=1.0, error={"code": "80099", "message": "m"})),
        ),
        (
            tasks_polls.failure_code(tasks_polls.MODERATED),
            story(failed(at=1.0, error={"code": 80006, "message": "m"})),
            story(failed(at=1.0)),
        ),
        (tasks_polls.fails_as_task, story(RUNNING, failed(at=1.0)), story(RUNNING, END)),
        (
            tasks_polls.fails_as_task,
            story(failed(at=1.0)),
            story(replace(failed(at=1.0), exchange=refusal(502, 60001).exchange)),
        ),
        (
            tasks_results.has_urls,
            story(END),
            story(completed(at=1.0, output={"image_urls": "http://x/y.png"})),
        ),
        (tasks_results.has_urls, story(END), story(completed(at=1.0, output={"image_urls": [{"url": "x"}]}))),
        (tasks_results.has_urls, story(END), story(completed(at=1.0, output={"images": ["x"]}))),
        (
            tasks_results.has_last_frame,
            story(completed(at=1.0, output={"last_frame_url": "http://gw.test/l.png"})),
            story(END),
        ),
    ],
)
def test_rule_about_a_story_tells_good_from_bad(rule: StoryRule, good: Story, bad: Story) -> None:
    assert rule(good).outcome is Outcome.MET
    assert rule(bad).outcome is Outcome.BROKEN


def test_story_without_a_task_is_not_judged_by_its_polls() -> None:
    refused = Story(refusal(400, 20002))
    rules: tuple[StoryRule, ...] = (tasks_polls.same_task, tasks_polls.ends, tasks_polls.completed_has_output)
    assert {rule(refused).outcome for rule in rules} == {Outcome.NOT_VERIFIED}


def test_overlapping_polls_have_no_order() -> None:
    """A poll that was sent before the first terminal answer was here may lawfully show processing."""
    late = poll("processing", at=0.995, took=0.1)
    assert tasks_polls.stays_ended(story(END, late, completed(at=2.0))).outcome is Outcome.MET


def test_new_signature_in_a_url_is_the_same_result() -> None:
    one = completed(at=1.0, output={"image_urls": ["https://cdn.test/a.png?sig=1"]})
    two = completed(at=2.0, output={"image_urls": ["https://cdn.test/a.png?sig=2"]})
    assert tasks_polls.never_changes(story(one, two)).outcome is Outcome.MET


def test_new_request_id_in_the_error_is_the_same_result() -> None:
    one, two = (
        failed(at=at, error={"code": 80003, "message": "m", "request_id": f"req_{at}"}) for at in (1.0, 2.0)
    )
    assert tasks_polls.never_changes(story(one, two)).outcome is Outcome.MET


def test_provider_failure_told_at_submission_is_no_broken_poll() -> None:
    assert tasks_polls.fails_as_task(Story(refusal(502, 60001))).outcome is Outcome.NOT_APPLICABLE


def test_polls_are_joined_to_their_submission_by_the_id_in_the_path() -> None:
    other = replace(
        END,
        exchange=replace(END.exchange, request=replace(END.exchange.request, url="http://gw.test/tasks/x")),
    )
    seen = Observation("p", (call(document()), RUNNING, END, other))
    (found,) = tasks.stories(seen, "completed")
    assert found.polls == (RUNNING, END)
    assert found.end is END


def test_kind_that_the_target_lacks_is_named_as_missing() -> None:
    seen = Observation("p", (call(document()), END))
    (finding,) = tasks.told(seen, ("completed",), tasks_results.has_urls, kind="video")
    assert finding.outcome is Outcome.NOT_VERIFIED
    assert (finding.missing or "").startswith("models.video")
    assert not finding.inside_scope


def test_situation_that_does_not_apply_says_so() -> None:
    seen = Observation("p", notes=("several-images: one picture per task",))
    (finding,) = tasks.told(seen, ("several-images",), tasks_results.has_n_urls)
    assert finding == Finding(Outcome.NOT_APPLICABLE, observed="one picture per task")


# ---------------------------------------------------------------- results
def _with_files(*polls: Call, sent: Any = None) -> Story:
    files = [provider("submit"), provider("file", "/media/v1/files/job_1/0.png", seq=2)]
    return story(*polls, submission=call(document(), sent=sent, upstream=files))


@pytest.mark.parametrize(
    "link",
    ["http://127.0.0.1:1/media/v1/files/job_1/0.png", "http://simulator:9/media/v1/files/job_1/0.png?x=1"],
)
def test_provider_link_as_a_result_is_caught_under_any_host_name(link: str) -> None:
    assert tasks_results.is_own_storage(_with_files(END)).outcome is Outcome.MET
    theirs = completed(at=1.0, output={"image_urls": [link]})
    assert tasks_results.is_own_storage(_with_files(theirs)).outcome is Outcome.BROKEN


def test_storage_is_not_judged_without_a_view_of_the_provider() -> None:
    unseen = story(END, submission=call(document(), upstream=None))
    assert tasks_results.is_own_storage(unseen).missing == "upstream"


def _file(
    content_type: str, *, status: int = 200, ending: Ending = Ending.COMPLETE, body: bytes = b"x"
) -> Call:
    return call(
        body,
        status=status,
        situation="completed:fetch",
        headers=(("Content-Type", content_type),),
        ending=ending,
        url=URLS["image_urls"][0],
    )


@pytest.mark.parametrize(
    ("file", "outcome"),
    [
        (_file("image/png"), Outcome.MET),
        (_file("image/webp", ending=Ending.LEFT), Outcome.MET),
        (_file("application/octet-stream"), Outcome.MET),
        (_file("text/html"), Outcome.BROKEN),
        (_file("image/png", status=403), Outcome.BROKEN),
        (_file("image/png", body=b""), Outcome.BROKEN),
        (_file("image/png", ending=Ending.CLOSED), Outcome.BROKEN),
    ],
)
def test_result_that_cannot_be_downloaded_is_caught(file: Call, outcome: Outcome) -> None:
    assert tasks_results.is_downloadable(story(END, fetches=[file])).outcome is outcome


def test_urls_are_counted_against_n() -> None:
    three = completed(at=1.0, output={"image_urls": ["http://a/1", "http://a/2", "http://a/3"]})
    assert tasks_results.has_n_urls(_with_files(three, sent={"n": 3})).outcome is Outcome.MET
    assert tasks_results.has_n_urls(_with_files(END, sent={"n": 3})).outcome is Outcome.BROKEN


def test_tracks_are_asked_of_stem_models_only() -> None:
    track = {"type": "audio/wav", "label": "vocals", "url": "http://gw.test/v.wav"}
    good = completed(at=1.0, output={"audio_urls": ["http://gw.test/v.wav"], "tracks": [track]})
    bare = completed(at=1.0, output={"audio_urls": ["http://gw.test/v.wav"]})
    assert tasks_results.labels_tracks(_with_files(good, sent={"stem": "vocals"})).outcome is Outcome.MET
    assert tasks_results.labels_tracks(_with_files(bare, sent={"stem": "vocals"})).outcome is Outcome.BROKEN
    assert (
        tasks_results.labels_tracks(_with_files(bare, sent={"prompt": "x"})).outcome is Outcome.NOT_APPLICABLE
    )


# ---------------------------------------------------------------- ownership, health, the API
def _unknown(path: str, message: str, status: int = 404) -> Call:
    body = {"error": {"code": 40401, "message": message, "request_id": f"req_{path}"}}
    return call(body, status=status, situation="foreign-task:poll", path=f"/tasks/{path}", method="GET")


def test_foreign_task_must_look_like_one_that_never_was() -> None:
    never = _unknown("task_2", "There is no task task_2.")
    assert (
        tasks_polls.looks_unknown(_unknown("task_1", "There is no task task_1."), never).outcome
        is Outcome.MET
    )
    assert tasks_polls.looks_unknown(_unknown("task_1", "Not yours."), never).outcome is Outcome.BROKEN
    forbidden = _unknown("task_1", "There is no task task_1.", status=403)
    assert tasks_polls.looks_unknown(forbidden, never).outcome is Outcome.BROKEN


def test_5xx_on_a_poll_is_judged_only_where_one_was_seen() -> None:
    broken = replace(refusal(503, 70001), situation="completed:poll")
    (unseen,) = tasks_polls.survives_server_errors([story(RUNNING, END)])
    (good,) = tasks_polls.survives_server_errors([story(broken, END)])
    (bad,) = tasks_polls.survives_server_errors([story(END, broken)])
    assert [unseen.outcome, good.outcome, bad.outcome] == [Outcome.NOT_VERIFIED, Outcome.MET, Outcome.BROKEN]
    assert not unseen.inside_scope


def test_provider_key_in_a_failure_is_caught() -> None:
    leaky = failed(at=1.0, error={"code": 80003, "message": "bad key sk-upstream-secret-0123456789"})
    assert tasks_polls.hides_upstream_secret(leaky).outcome is Outcome.BROKEN
    assert tasks_polls.hides_upstream_secret(failed(at=1.0)).outcome is Outcome.MET


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (call(document(), headers=(("Content-Type", "application/json; charset=utf-8"),)), Outcome.MET),
        (refusal(404, 40401), Outcome.MET),
        (call(b"<html></html>", headers=(("Content-Type", "text/html"),)), Outcome.BROKEN),
        (call([document()]), Outcome.BROKEN),
        (call(document(), url="http://gw.test/v1/images/generations"), Outcome.BROKEN),
        (call(b"", status=None, ending=Ending.RESET), Outcome.NOT_VERIFIED),
    ],
)
def test_every_answer_is_json_under_the_base_path(seen: Call, outcome: Outcome) -> None:
    assert tasks.speaks_json(seen).outcome is outcome
