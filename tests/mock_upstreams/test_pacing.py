"""Pace: when events are due, that lateness does not add up, and that a slow reader is waited for."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from mock_upstreams import SimulatorConfig
from mock_upstreams.pacing import AT_ONCE, Fixed, Gap, Lognormal, Pace, Trace, Uniform, Wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Client

    Token = Callable[..., str]

# Never early is exact; never late depends on the machine, so that bound is wide.
LATE_S = 1.0


GAPS: list[Gap] = [Fixed(0.02), Uniform(0.01, 0.03), Lognormal(0.02, 0.5), Trace((0.01, 0.0, 0.05))]


def first(pace: Pace, count: int) -> list[float]:
    return list(itertools.islice(pace.offsets(), count))


def gaps(pace: Pace, count: int) -> list[float]:
    return [after - before for before, after in itertools.pairwise(first(pace, count))]


@pytest.mark.parametrize("gap", GAPS)
def test_the_same_seed_gives_the_same_schedule(gap: Gap) -> None:
    pace = Pace(ttft_s=0.1, gap=gap, seed=7)
    schedule = first(pace, 300)
    assert schedule == first(pace, 300)
    assert schedule == sorted(schedule)
    assert schedule[0] == 0.1


def test_another_seed_gives_another_schedule_where_chance_has_a_say() -> None:
    for gap in GAPS:
        differ = first(Pace(gap=gap, seed=1), 50) != first(Pace(gap=gap, seed=2), 50)
        assert differ is isinstance(gap, Uniform | Lognormal)


def test_gaps_are_drawn_as_their_names_say() -> None:
    assert gaps(Pace(gap=Fixed(0.25)), 5) == [0.25] * 4
    assert gaps(Pace(gap=Trace((0.5, 0.25))), 5) == [0.5, 0.25, 0.5, 0.25]
    uniform = gaps(Pace(gap=Uniform(0.01, 0.03), seed=3), 4000)
    assert 0.01 <= min(uniform) < 0.0105
    assert 0.0295 < max(uniform) <= 0.0301
    logs = [math.log(gap) for gap in gaps(Pace(gap=Lognormal(0.02, 0.5), seed=3), 4000)]
    assert math.exp(statistics.median(logs)) == pytest.approx(0.02, rel=0.05)
    assert statistics.stdev(logs) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("gap", GAPS)
def test_a_token_rate_holds_back_what_gaps_would_let_through(gap: Gap) -> None:
    pace = Pace(ttft_s=0.2, gap=gap, chunk_tokens=4, tokens_per_s=50)
    assert all(offset >= 0.2 + k * 4 / 50 - 1e-9 for k, offset in enumerate(first(pace, 200)))
    slow = Pace(gap=Fixed(0.5), chunk_tokens=4, tokens_per_s=50)
    assert first(slow, 20) == first(Pace(gap=Fixed(0.5)), 20)


def test_the_length_of_a_stream_is_when_its_last_piece_is_due() -> None:
    pace = Pace(ttft_s=0.1, gap=Uniform(0.01, 0.02), seed=5)
    assert [pace.length_s(count) for count in (0, 1, 30)] == [0.1, 0.1, first(pace, 30)[-1]]
    assert AT_ONCE.length_s(100) == 0
    fixed = Pace(ttft_s=0.1, gap=Fixed(0.02))
    assert [fixed.length_s(count) for count in (0, 1, 30)] == [0.1, 0.1, first(fixed, 30)[-1]]


def test_the_wheel_calls_when_due_and_again_as_often_as_asked() -> None:
    async def main() -> list[float]:
        wheel = Wheel(asyncio.get_running_loop())
        done = asyncio.Event()
        start = time.monotonic()
        lateness: list[float] = []

        def step(now: float) -> float | None:
            due = start + 0.01 * (len(lateness) + 1)
            lateness.append(now - due)
            if len(lateness) == 10:
                done.set()
                return None
            return start + 0.01 * (len(lateness) + 1)

        wheel.add(start + 0.01, step)
        await asyncio.wait_for(done.wait(), 10)
        return lateness

    lateness = asyncio.run(main())
    assert min(lateness) >= 0
    assert max(lateness) < LATE_S


def test_an_earlier_due_time_is_not_kept_waiting_by_a_later_one() -> None:
    async def main() -> list[str]:
        wheel = Wheel(asyncio.get_running_loop())
        order: list[str] = []
        done = asyncio.Event()

        def step(name: str, *, last: bool) -> Callable[[float], None]:
            def call(_now: float) -> None:
                order.append(name)
                if last:
                    done.set()

            return call

        now = time.monotonic()
        wheel.add(now + 0.06, step("late", last=True))
        wheel.add(now + 0.02, step("early", last=False))
        await asyncio.wait_for(done.wait(), 10)
        return order

    assert asyncio.run(main()) == ["early", "late"]


def test_a_closed_wheel_calls_nothing() -> None:
    async def main() -> list[float]:
        wheel = Wheel(asyncio.get_running_loop())
        called: list[float] = []
        wheel.add(time.monotonic(), called.append)
        wheel.close()
        await asyncio.sleep(0.02)
        return called

    assert asyncio.run(main()) == []


@pytest.mark.parametrize("surface", ["/v1/chat/completions", "/v1/messages"])
def test_events_come_at_time_to_first_token_plus_gaps(
    client: Client, token: Token, name: str, surface: str
) -> None:
    content = token(name, text="abcdef", chunks=6, ttft_ms=80, gap_ms=30)
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": content}]}
    answer = client.send(surface, body)
    found = client.entry(name)
    head, first, last = found["head_sent_ns"], found["first_content_ns"], found["finished_ns"]
    assert 0.075 <= (first - head) / 1e9 < 0.08 + LATE_S
    assert 0.225 <= (last - head) / 1e9 < 0.23 + LATE_S
    assert answer.arrivals[-1] - answer.arrivals[0] >= 0.2
    assert answer.reads[0].startswith(b"HTTP/1.1 200")
    assert b"abc" not in answer.reads[0]


def test_an_unstreamed_reply_comes_when_its_last_token_would(client: Client, token: Token, name: str) -> None:
    began = time.monotonic()
    client.chat(token(name, text="abcdef", chunks=6, ttft_ms=50, gap_ms=10))
    assert time.monotonic() - began >= 0.1
    assert client.entry(name)["head_sent_ns"] - client.entry(name)["arrived_ns"] >= 0.1e9


def test_an_error_waits_for_its_time_as_well(client: Client, token: Token, name: str) -> None:
    began = time.monotonic()
    assert client.chat(token(name, status=503, ttft_ms=60)).status == 503
    assert time.monotonic() - began >= 0.06


def test_an_unpaced_stream_is_one_write_for_each_event(client: Client, token: Token, name: str) -> None:
    answer = client.chat(token(name, text="abcdef", chunks=6), stream=True)
    assert len(answer.chunks) == len(answer.events()) == 9


def test_merged_writes_carry_the_same_chunks(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]], token: Token
) -> None:
    with start(SimulatorConfig(flush="stream")) as client:
        answer = client.chat(token("merged", text="abcdef", chunks=6), stream=True)
        assert (answer.text(), len(answer.chunks), len(answer.reads)) == ("abcdef", 9, 1)
        paced = client.chat(token("paced", text="abc", chunks=3, gap_ms=30), stream=True)
        assert paced.text() == "abc"
        assert paced.segments >= 3
        broken = client.chat(token("broken", text="abc", chunks=3, fault="reset", after=2), stream=True)
        assert (broken.text(), broken.ended) == ("ab", "rst")


@pytest.mark.parametrize("gap_ms", [0, 0.01])
def test_a_slow_reader_is_waited_for_and_misses_nothing(
    client: Client, token: Token, name: str, gap_ms: float
) -> None:
    text = "0123456789" * 60_000
    content = token(name, text=text, chunks=2000, gap_ms=gap_ms)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": content}], "n": 1}
    with client.open("/v1/chat/completions", body) as sock:
        deadline = time.monotonic() + 10
        sent = -1
        while (seen := [found["events_sent"] for found in client.entries(name)]) != [sent] or sent <= 0:
            assert time.monotonic() < deadline
            sent = sum(seen)
            time.sleep(0.05)
        assert sent <= 2000
        received = bytearray()
        while not received.endswith(b"0\r\n\r\n"):
            received += sock.recv(1 << 20)
    assert received.count(b"data: ") == 2000 + 3
    assert client.entry(name)["ending"] == "complete"
