"""The wheel on a clock that tests turn: nothing early, nothing lost, no drift, no idle turns, nobody disturbed."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from mock_upstreams.pacing import TICK_S, Wheel
from mock_upstreams.wire import Wire

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tests.mock_upstreams.conftest import Client

    Token = Callable[..., str]

GAP_S = 0.02
TOKENS = 200
STEP_COSTS_S = 9e-6
BASE_S = 15_860.673_4
"""A machine that has been up for hours, and no whole millisecond."""


@dataclass(order=True)
class Handle:
    """A timer of the loop below."""

    when: float
    number: int
    callback: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


def as_asyncio(now: float, when: float) -> float:
    """The selector waits for whole milliseconds, rounded up."""
    return now + math.ceil(max(0.0, when - now) * 1e3) * 1e-3


def as_uvloop(now: float, when: float) -> float:
    """Timers count whole milliseconds from the last whole one."""
    floor = math.floor(now * 1e3) / 1e3
    return max(now, floor + round(max(0.0, when - floor) * 1e3) / 1e3)


def to_the_point(now: float, when: float) -> float:
    """Not a moment later than asked for: the arithmetic of the wheel has no room for error."""
    return max(now, when)


def on_a_busy_machine(now: float, when: float) -> float:
    """Mostly in time, now and then much too late."""
    late = random.Random(round(now * 1e6))
    return as_uvloop(now, when) + (late.uniform(0.004, 0.03) if late.random() < 0.02 else 0.0)


class Loop:
    """The part of an event loop that a wheel needs; `run` turns the clock from timer to timer."""

    def __init__(self, fires_at: Callable[[float, float], float]) -> None:
        self.now = BASE_S
        self.turns = 0
        self._fires_at = fires_at
        self._numbers = itertools.count()
        self._timers: list[Handle] = []

    def clock(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Handle:
        handle = Handle(self._fires_at(self.now, when), next(self._numbers), callback)
        heapq.heappush(self._timers, handle)
        return handle

    def run(self, most_turns: int) -> None:
        while self._timers:
            handle = heapq.heappop(self._timers)
            if handle.cancelled:
                continue
            self.now = max(self.now, handle.when)
            self.turns += 1
            assert self.turns <= most_turns, "the wheel turns without getting anywhere"
            handle.callback()

    def wheel(self) -> Wheel:
        return Wheel(cast("asyncio.AbstractEventLoop", self), self.clock)


@dataclass
class Stream:
    """Asks for `TOKENS` steps, one each `GAP_S` from `start`, and keeps how late each of them was."""

    loop: Loop
    start: float
    costs_s: float = STEP_COSTS_S
    late: list[float] = field(default_factory=list)

    def step(self, now: float) -> float | None:
        assert now == self.loop.now
        self.late.append(now - (self.start + GAP_S * len(self.late)))
        self.loop.now += self.costs_s
        return self.start + GAP_S * len(self.late) if len(self.late) < TOKENS else None


def played(loop: Loop, streams: int, costs_s: float = STEP_COSTS_S) -> list[Stream]:
    """Streams with phases that share no millisecond more than they must, all of them to their end."""
    wheel = loop.wheel()
    found = [
        Stream(loop, loop.now + 0.05 + GAP_S * math.modf(number * 0.618_033_988_749_894_9)[0], costs_s)
        for number in range(streams)
    ]
    for stream in found:
        wheel.add(stream.start, stream.step)
    loop.run(most_turns=round(1000 * (TOKENS * GAP_S + 1)))
    return found


@pytest.mark.parametrize("fires_at", [as_asyncio, as_uvloop, to_the_point])
@pytest.mark.parametrize("streams", [1, 500, 1000])
def test_every_stream_keeps_its_schedule_to_the_end(
    fires_at: Callable[[float, float], float], streams: int
) -> None:
    loop = Loop(fires_at)
    found = played(loop, streams)
    assert [len(stream.late) for stream in found] == [TOKENS] * streams
    assert min(min(stream.late) for stream in found) >= 0
    in_one_tick = (streams * TICK_S / GAP_S + 2) * STEP_COSTS_S
    late = sorted(itertools.chain.from_iterable(stream.late for stream in found))
    assert late[int(0.99 * len(late))] <= 2 * TICK_S + 2 * in_one_tick
    for stream in found:
        assert stream.late[-1] <= 2 * TICK_S + 4 * in_one_tick, "lateness has added up"


def test_it_turns_no_more_often_than_something_is_due() -> None:
    for fires_at in (as_asyncio, as_uvloop, to_the_point):
        loop = Loop(fires_at)
        played(loop, 1)
        assert loop.turns == TOKENS


def test_what_a_stuck_machine_made_late_is_made_up_for() -> None:
    loop = Loop(on_a_busy_machine)
    found = played(loop, 500)
    assert [len(stream.late) for stream in found] == [TOKENS] * 500
    late = sorted(itertools.chain.from_iterable(stream.late for stream in found))
    assert late[-1] > 0.01, "the machine was never stuck"
    assert late[len(late) // 2] <= 2 * TICK_S


def test_too_many_streams_are_late_and_not_lost() -> None:
    loop = Loop(as_uvloop)
    found = played(loop, 500, costs_s=60e-6)
    assert [len(stream.late) for stream in found] == [TOKENS] * 500
    assert min(min(stream.late) for stream in found) >= 0


def test_an_earlier_due_time_is_armed_for_at_once() -> None:
    loop = Loop(as_uvloop)
    wheel = loop.wheel()
    called: list[float] = []
    for due in (0.5, 0.3, 0.4, 0.1, 0.2):
        wheel.add(BASE_S + due, called.append)
    loop.run(10)
    assert [round(at - BASE_S, 2) for at in called] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert loop.turns == 5


def test_a_step_may_ask_for_others_while_the_wheel_turns() -> None:
    loop = Loop(as_uvloop)
    wheel = loop.wheel()
    called: list[str] = []

    def first(now: float) -> None:
        called.append("first")
        wheel.add(now, lambda _: called.append("at once"))
        wheel.add(now + 0.03, lambda _: called.append("later"))

    wheel.add(BASE_S + 0.01, first)
    wheel.add(BASE_S + 0.02, lambda _: called.append("meanwhile"))
    loop.run(10)
    assert called == ["first", "at once", "meanwhile", "later"]


def test_a_step_that_fails_ends_itself_only(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop(as_uvloop)
    wheel = loop.wheel()
    sound = Stream(loop, BASE_S + 0.01)

    def broken(now: float) -> float:
        del now
        raise RuntimeError("of this stream alone")

    wheel.add(BASE_S + 0.01, broken)
    wheel.add(sound.start, sound.step)
    loop.run(2 * TOKENS)
    assert len(sound.late) == TOKENS
    assert [record.message for record in caplog.records] == [
        "a step of a stream failed; the stream is left as it is"
    ]
    caplog.clear()


def test_a_write_that_fails_is_told_to_its_owner_and_all_others_are_done() -> None:
    loop = Loop(as_uvloop)
    wheel = loop.wheel()
    written: list[bytes] = []
    told: list[tuple[str, str]] = []

    def closed(data: bytes) -> None:
        raise RuntimeError(data.decode())

    def post(_now: float) -> None:
        wheel.post(written.append, b"one", lambda exc: told.append(("first", str(exc))))
        wheel.post(closed, b"two", lambda exc: told.append(("second", str(exc))))
        wheel.post(written.append, b"three", lambda exc: told.append(("third", str(exc))))

    wheel.add(BASE_S, post)
    loop.run(10)
    assert (written, told) == ([b"one", b"three"], [("second", "two")])


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_connection_that_cannot_be_written_to_disturbs_no_other_stream(
    client: Client,
    token: Token,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    is_gone: bool,
) -> None:
    """As when a transport breaks between the step that makes a frame and the turn in which all frames are written."""
    plain = Wire.writer
    ports: set[int] = set()

    def writer(wire: Wire) -> Callable[[bytes], None] | None:
        found = plain(wire)
        transport = wire._transport
        if transport.get_extra_info("peername")[1] not in ports:
            return found

        def broken(data: bytes) -> None:
            if is_gone:
                transport.abort()
            raise RuntimeError(f"the handler is closed: {len(data)} bytes")

        return broken

    monkeypatch.setattr(Wire, "writer", writer)
    names = [f"{name}-{number}" for number in range(5)]
    body = {"model": "m", "stream": True}
    socks = []
    for each in names:
        content = token(each, text="abcdefghij", chunks=10, ttft_ms=40, gap_ms=30)
        socks.append(
            client.open("/v1/chat/completions", {**body, "messages": [{"role": "user", "content": content}]})
        )
    deadline = time.monotonic() + 10
    while (
        min((found["events_sent"] for found in client.entries(*names)), default=0) < 2
        or len(client.entries(*names)) < 5
    ):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    ports.add(socks[2].getsockname()[1])
    answers = []
    for sock in socks:
        with sock:
            received = b""
            while not received.endswith(b"0\r\n\r\n"):
                try:
                    data = sock.recv(65536)
                except ConnectionResetError:
                    break
                if not data:
                    break
                received += data
            answers.append(received)
    assert [answer.endswith(b"0\r\n\r\n") for answer in answers] == [True, True, False, True, True]
    assert [answer.count(b"data: ") for answer in answers[:2] + answers[3:]] == [13] * 4
    assert [client.entry(each)["ending"] for each in names] == [
        "complete",
        "complete",
        "caller_left" if is_gone else "internal_error",
        "complete",
        "complete",
    ]
    logged = [record.message for record in caplog.records if record.name == "mock_upstreams"]
    assert logged == ([] if is_gone else ["no answer to POST /v1/chat/completions"])
    caplog.clear()
