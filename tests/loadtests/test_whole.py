"""Unstreamed calls and media tasks: every way to end has its class, polls keep to the declared pace."""

import json
from typing import Any

import pytest

from loadtests.dialling import now
from loadtests.pacing import Pacer
from loadtests.recorder import Recorder
from loadtests.streaming import Calls, Outcome
from weighbridge.load.figures import Failure
from weighbridge.load.plan import Bounds, Lane, LoadPlan

ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}


def reply(body: Any, status: bytes = b"200 OK") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(data),
        data,
    )


def call(lane: Lane) -> tuple[Outcome, Recorder]:
    recorder = Recorder(warm_up=0, sample=5, keep_failed=5)
    calls = Calls(LoadPlan((lane,), bounds=Bounds(2, 2, 2, 2)), recorder)
    recorder.begin()
    outcome, connection = calls.run(lane, None)
    if connection is not None:
        connection.close()
    recorder.end()
    recorder.fold()
    return outcome, recorder


def plain(hostile: Any, **more: Any) -> Lane:
    return Lane(
        "plain", "plain", f"{hostile.url}/chat/completions", (), "{}", "m", "openai", "chat.funded", **more
    )


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (reply(ANSWER), None),
        (reply({"choices": []}), Failure.MALFORMED),
        (reply(b"[1]"), Failure.MALFORMED),
        (reply(b"{"), Failure.MALFORMED),
        (reply(b""), Failure.EMPTY),
        (reply({"error": {"message": "no"}}), Failure.ERROR_EVENT),
        (reply({}, b"500 No"), Failure.HTTP_5XX),
        (reply({}, b"429 No"), Failure.HTTP_429),
        (reply(ANSWER)[:-5], Failure.TRUNCATED),
        (b"", Failure.EMPTY),
    ],
)
def test_every_unstreamed_answer_has_its_class(hostile: Any, data: bytes, failure: Failure | None) -> None:
    def script(peer: Any) -> bool:
        peer.sendall(data)
        return False

    hostile.script = script
    outcome, recorder = call(plain(hostile, text="hi"))
    assert outcome.failure is failure, outcome
    tally = recorder.tally
    assert tally.histograms["plain"].count == tally.completed == int(failure is None)
    if failure is None:
        assert (tally.tokens, tally.usage["m/prompt"], tally.usage["m/calls"]) == (3, 7, 1)


def test_an_unstreamed_text_of_another_call_is_noticed(hostile: Any) -> None:
    def script(peer: Any) -> bool:
        peer.sendall(reply(ANSWER))
        return True

    hostile.script = script
    assert call(plain(hostile, text="ho"))[0].failure is Failure.WRONG_TEXT


@pytest.mark.parametrize(
    ("states", "failure"),
    [
        (["queued", "processing", "completed"], None),
        (["failed"], Failure.TASK_FAILED),
        ([None], Failure.HTTP_4XX),
        (["processing"] * 100, Failure.TIMEOUT_TOTAL),
    ],
)
def test_a_task_is_followed_to_its_end(
    hostile: Any, states: list[str | None], failure: Failure | None
) -> None:
    left = list(states)
    times: list[int] = []

    def script(peer: Any) -> bool:
        times.append(now())
        request = hostile.requests[-1]
        if request.startswith(b"POST"):
            peer.sendall(reply({"id": "task_1", "status": "queued"}, b"202 Accepted"))
            return True
        assert request.startswith(b"GET /v1/tasks/task_1 ")
        state = left.pop(0)
        peer.sendall(reply({}, b"404 No") if state is None else reply({"id": "task_1", "status": state}))
        return True

    hostile.script = script
    lane = Lane(
        "tasks", "tasks", f"{hostile.url}/images/generations", (), "{}", "m", "image", "tasks.funded",
        pace=25.0, follow=f"{hostile.url}/tasks/", poll_s=0.001, done_s=0.3,
    )  # fmt: skip
    outcome, recorder = call(lane)
    assert outcome.failure is failure
    assert recorder.tally.histograms["submit"].count == 1
    # 25 requests a second are 40 ms each; the server's own clock may be late for the first one.
    assert times[-1] - times[0] >= (len(times) - 1) * 40_000_000 - 60_000_000
    assert recorder.tally.paced >= 1


def test_a_pacer_spaces_calls_and_never_saves_up() -> None:
    pacer = Pacer(100)
    begin = now()
    waited = [pacer.turn() for _ in range(6)]
    assert waited == [False] + [True] * 5
    assert now() - begin >= 49_000_000
