"""Judging a caller: for each question a bad caller that is caught and a good one that is spared."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from mock_upstreams import SimulatorConfig, judging, running_simulator
from mock_upstreams.testing import (
    assert_left,
    assert_no_hang,
    assert_no_retry_storm,
    assert_retry_after_respected,
    assert_stayed,
    assert_truncation_noticed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mock_upstreams import RunningSimulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(SimulatorConfig(stall_limit_s=0.4)) as found:
        yield found


def ask(simulator: RunningSimulator, token: str, *, timeout_s: float = 5.0) -> tuple[int, str, bool]:
    """One streamed call: its status, its Retry-After, and whether the stream had its end."""
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=timeout_s)
    body = {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": token}]}
    try:
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"authorization": "Bearer sk-test"}
        )
        response = connection.getresponse()
        try:
            text = response.read().decode()
        except (http.client.IncompleteRead, ConnectionError):
            text = ""
        return response.status, response.getheader("retry-after", ""), "[DONE]" in text
    finally:
        connection.close()


def test_a_caller_that_ignores_retry_after_is_caught(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    text = token(name, fault="status", status=429, retry_after=1, times=1)
    assert ask(simulator, text)[0] == 429
    assert ask(simulator, text)[0] == 200
    entries = simulator.entries(name)
    (wait,) = judging.retry_after(entries).broken
    assert wait.asked_s == 1
    assert wait.waited_s is not None
    assert wait.waited_s < 0.9
    with pytest.raises(AssertionError, match=rf"{name}: entry {wait.seq} asked for 1 s, entry .* came after"):
        assert_retry_after_respected(entries)


def test_a_caller_that_waits_as_asked_is_spared(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    text = token(name, fault="status", status=429, retry_after=1, times=1)
    status, asked, _ = ask(simulator, text)
    asked_at = time.monotonic()
    assert (status, asked) == (429, "1")
    while time.monotonic() < asked_at + float(asked):
        time.sleep(0.01)
    assert ask(simulator, text)[0] == 200
    assert_retry_after_respected(simulator.entries(name))


def test_retry_after_as_a_date_counts_in_seconds(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    text = token(name, fault="status", status=503, retry_after="date+5", times=1)
    ask(simulator, text)
    ask(simulator, text)
    (wait,) = judging.retry_after(simulator.entries(name)).broken
    assert 3.5 < wait.asked_s <= 5


def test_not_to_come_again_respects_retry_after(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    ask(simulator, token(name, fault="status", status=429, retry_after=60))
    entries = simulator.entries(name)
    assert_retry_after_respected(entries)
    assert judging.retry_after(entries).waits[0].waited_s is None


def test_a_retry_storm_is_caught_and_a_few_repeats_are_not(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    text = token(name, fault="status", status=503)
    for _ in range(3):
        ask(simulator, text)
    assert_no_retry_storm(simulator.entries(name), most=3, within_s=10)
    for _ in range(4):
        ask(simulator, text)
    entries = simulator.entries(name)
    (storm,) = judging.repeats(entries, most=3, within_s=10).storms
    assert storm.calls == 7
    assert len(judging.repeats(entries).gaps_s[name]) == 6
    with pytest.raises(AssertionError, match=rf"more than 3 calls .*\n  {name}: 7 calls, at 0.000, "):
        assert_no_retry_storm(entries, most=3, within_s=10)


def test_repeats_that_are_spread_out_are_no_storm(simulator: RunningSimulator, name: str) -> None:
    ask(simulator, f"[[wb:{name}]]")
    (entry,) = simulator.entries(name)
    entries = [
        {**entry, "seq": entry["seq"] + i, "arrived_ns": entry["arrived_ns"] + i * 5 * 10**9}
        for i in range(9)
    ]
    assert judging.repeats(entries, most=3, within_s=10).storms == ()
    (storm,) = judging.repeats(entries, most=3, within_s=15).storms
    assert storm.arrivals_s == (0, 5, 10, 15)


@pytest.mark.parametrize("fault", ["end_early", "close", "reset"])
def test_a_truncated_stream_taken_for_a_whole_one_is_caught(
    simulator: RunningSimulator, token: Callable[..., str], name: str, fault: str
) -> None:
    assert not ask(simulator, token(name, fault=fault, after=1))[2]
    entries = simulator.entries(name)
    with pytest.raises(AssertionError, match=rf"{name}: entry .* was cut by {fault} after 1 events"):
        assert_truncation_noticed(entries, reported=False)
    assert_truncation_noticed(entries, reported=True)


def test_a_caller_that_asks_again_after_a_cut_is_spared(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    text = token(name, fault="end_early", after=1, times=1)
    assert [ask(simulator, text)[2], ask(simulator, text)[2]] == [False, True]
    entries = simulator.entries(name)
    assert_truncation_noticed(entries, reported=False)
    (cut,) = judging.truncations(entries).cuts
    assert cut.again == entries[1]["seq"]


def test_a_caller_without_a_read_timeout_is_caught(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    ask(simulator, token(name, fault="stall", after=1))
    entries = simulator.entries(name)
    (silence,) = judging.hangs(entries).silences
    assert not silence.left
    with pytest.raises(AssertionError, match=rf"{name}: entry .* did not leave by itself"):
        assert_no_hang(entries, limit_s=10)


def test_a_caller_with_a_read_timeout_is_spared(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    with pytest.raises(socket.timeout):
        ask(simulator, token(name, fault="stall", after=1), timeout_s=0.1)
    entries = simulator.entries(name)
    assert_no_hang(entries, limit_s=0.35)
    with pytest.raises(AssertionError, match=r"longer than 0\.01 s"):
        assert_no_hang(entries, limit_s=0.01)


def test_a_silence_that_goes_on_is_judged_by_the_time_given(simulator: RunningSimulator, name: str) -> None:
    ask(simulator, f"[[wb:{name}]]")
    (entry,) = simulator.entries(name)
    still_open = {**entry, "fault": "stall", "ending": "open", "finished_ns": None, "writes_us": []}
    assert not judging.hangs([still_open]).observed
    now_s = entry["arrived_ns"] / 1e9 + 30
    with pytest.raises(AssertionError, match=r"listened for 30\.000 s"):
        assert_no_hang([still_open], limit_s=10, now_s=now_s)


def test_how_a_caller_left_is_told(simulator: RunningSimulator, token: Callable[..., str], name: str) -> None:
    ask(simulator, token(name))
    assert_stayed(simulator.entries(name))
    with pytest.raises(AssertionError, match=rf"{name}: entry .*: stayed after"):
        assert_left(simulator.entries(name))


def test_a_caller_that_left_early_is_told(
    simulator: RunningSimulator, token: Callable[..., str], name: str
) -> None:
    with pytest.raises(socket.timeout):
        ask(simulator, token(name, text="a b c d", gap_ms=10_000), timeout_s=0.1)
    entries = simulator.entries(name)
    assert_left(entries, within_s=5)
    with pytest.raises(AssertionError, match=rf"{name}: entry .*: left after .* 1 events sent"):
        assert_stayed(entries)


@pytest.mark.parametrize(
    "judge",
    [
        assert_retry_after_respected,
        assert_no_retry_storm,
        lambda entries: assert_truncation_noticed(entries, reported=True),
        lambda entries: assert_no_hang(entries, limit_s=1),
        assert_stayed,
        assert_left,
    ],
)
def test_nothing_observed_is_no_success(judge: Callable[[list[dict[str, object]]], None]) -> None:
    with pytest.raises(AssertionError, match="nothing to judge: the journal has no"):
        judge([])


def test_polls_of_a_job_are_no_repeats(simulator: RunningSimulator, name: str) -> None:
    ask(simulator, f"[[wb:{name}]]")
    (entry,) = simulator.entries(name)
    polls = [{**entry, "operation": "job", "seq": entry["seq"] + i} for i in range(1, 20)]
    assert judging.repeats([entry, *polls]).calls == {name: 1}
