"""An open load: starts come when they are due, latencies count from there, dropped starts are counted."""

import threading
from typing import Any

import gevent
import pytest

from loadtests.alarm import Alarm
from loadtests.dialling import now
from loadtests.opening import Opening
from loadtests.recorder import Recorder
from loadtests.streaming import Calls
from weighbridge.load.arrivals import Arrivals
from weighbridge.load.plan import Lane, LoadPlan

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b"
BODY = (
    b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def opened(hostile: Any, arrivals: Arrivals, seconds: float, wait_s: float) -> Recorder:
    """Run a schedule against a server that answers after a while."""

    def script(peer: Any) -> bool:
        threading.Event().wait(wait_s)
        peer.sendall(HEAD % (len(BODY), BODY))
        return True

    hostile.script = script
    return kept(hostile.url, arrivals, seconds, close_s=5)


def kept(
    url: str, arrivals: Arrivals, seconds: float, *, close_s: float, recorder: Recorder | None = None
) -> Recorder:
    """Keep a schedule for a while, and cut off what is under way so long after it."""
    lane = Lane("chat", "chat", f"{url}/chat/completions", (), "{}", "m", "openai", "chat.funded")
    recorder = recorder or Recorder(warm_up=0, sample=5, keep_failed=5)
    opening = Opening(
        Calls(LoadPlan((lane,), arrivals=arrivals), recorder), arrivals, (0, 1), lambda _lane, _outcome: None
    )
    recorder.begin()
    opening.keep(lambda: False, seconds)
    opening.close(close_s)
    recorder.end()
    recorder.fold()
    return recorder


def test_starts_do_not_wait_for_answers(hostile: Any) -> None:
    recorder = opened(hostile, Arrivals("constant", 50), 1.0, wait_s=0.2)
    tally = recorder.tally
    assert tally.completed == tally.started == 49
    assert tally.dropped == 0
    assert hostile.connections >= 8
    assert (tally.histograms["ttft"].lowest or 0) >= 199_000
    assert (tally.histograms["ttft"].quantile(0.5) or 0) >= (tally.histograms["ttft_sent"].quantile(0.5) or 0)
    assert tally.histograms["schedule"].count == 49


def test_calls_are_counted_also_where_whoever_waits_for_them_is_killed_first(hostile: Any) -> None:
    over = threading.Event()

    def script(_peer: Any) -> bool:
        over.wait(10)
        return False

    hostile.script = script
    recorder = Recorder(warm_up=0, sample=5, keep_failed=5)
    waiting = gevent.spawn(kept, hostile.url, Arrivals("constant", 50), 0.2, close_s=30, recorder=recorder)
    waiting.join(0.5)
    waiting.kill()
    over.set()
    recorder.end()
    assert recorder.tally.started == recorder.tally.unfinished == 9


def test_a_start_beyond_the_cap_is_dropped_and_counted(hostile: Any) -> None:
    recorder = opened(hostile, Arrivals("constant", 50, in_flight=2), 0.6, wait_s=0.25)
    tally = recorder.tally
    assert tally.dropped > 10
    assert tally.started + tally.dropped == 29
    assert sum(part.counts["dropped"] for part in tally.slices.values()) == tally.dropped


def test_latency_counts_from_the_intended_start_even_if_the_client_was_held_up(hostile: Any) -> None:
    def busy() -> None:
        begin = now()
        while now() - begin < 150_000_000:
            pass

    gevent.spawn_later(0.1, busy)
    recorder = opened(hostile, Arrivals("constant", 100), 0.5, wait_s=0)
    late = recorder.tally.histograms["schedule"].highest or 0
    assert late >= 100_000
    assert (recorder.tally.histograms["ttft"].highest or 0) >= late
    assert (recorder.tally.histograms["ttft_sent"].highest or 0) < (
        recorder.tally.histograms["ttft"].highest or 0
    )


def test_a_call_that_the_end_cuts_off_is_unfinished(hostile: Any) -> None:
    arrivals = Arrivals("constant", 20)

    def script(_peer: Any) -> bool:
        threading.Event().wait(2)
        return False

    hostile.script = script
    recorder = kept(hostile.url, arrivals, 0.3, close_s=0.1)
    assert recorder.tally.unfinished == recorder.tally.started == 5


@pytest.mark.parametrize("ahead_ms", [0, 1, 5, 20])
def test_the_alarm_is_never_early(ahead_ms: int) -> None:
    with Alarm() as alarm:
        for _ in range(5):
            moment = now() + ahead_ms * 1_000_000
            alarm.until(moment)
            assert now() >= moment
