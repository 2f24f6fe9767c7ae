"""When events are due: a seeded schedule, and one timer that keeps the schedules of all streams.

The schedule is a pure function of a pace and its seed, so the same seed gives the same times. The wheel does everything
due in the same millisecond in one callback of the loop; a stream costs one list append per event and no task switch.
Due times are absolute, so a late tick never adds up to drift.
"""

import asyncio
import heapq
import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_LOG: Final = logging.getLogger("mock_upstreams")

TICK_S: Final = 0.001
_ROUNDING: Final = 1e-6
"""Of a tick: what the arithmetic of the clock may be off. A tick is not done once more for that."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same time between any two pieces."""

    gap_s: float = 0.0

    def gaps(self, rng: random.Random) -> Iterator[float]:
        del rng
        return itertools.repeat(self.gap_s)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any time from `low_s` to `high_s`, all equally likely."""

    low_s: float
    high_s: float

    def gaps(self, rng: random.Random) -> Iterator[float]:
        while True:
            yield rng.uniform(self.low_s, self.high_s)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Mostly near `median_s`, now and then much longer: what measured inter-token times look like.

    `sigma` is the standard deviation of the logarithm; 0.5 puts one gap in a hundred above 3.2 medians.
    """

    median_s: float
    sigma: float

    def gaps(self, rng: random.Random) -> Iterator[float]:
        mu = math.log(self.median_s) if self.median_s > 0 else -math.inf
        while True:
            yield math.exp(mu + self.sigma * rng.gauss(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Trace:
    """Gaps as they were recorded, from the start again when they run out."""

    gaps_s: tuple[float, ...]

    def gaps(self, rng: random.Random) -> Iterator[float]:
        del rng
        return itertools.cycle(self.gaps_s or (0.0,))


Gap = Fixed | Uniform | Lognormal | Trace


@dataclass(frozen=True, slots=True)
class Pace:
    """The times of one stream: the first piece after `ttft_s`, then one after each gap.

    With `tokens_per_s`, piece k is never sent before k * `chunk_tokens` tokens may have been, however short the gaps.
    """

    ttft_s: float = 0.0
    gap: Gap = Fixed()
    chunk_tokens: int = 1
    tokens_per_s: float | None = None
    seed: int = 0

    @property
    def is_instant(self) -> bool:
        """Whether nothing of it is ever waited for."""
        return self.ttft_s <= 0 and self.tokens_per_s is None and self.gap == _NO_GAP

    def offsets(self) -> Iterator[float]:
        """Seconds from the start of the stream at which piece 0, 1, 2, ... is due; never decreasing, endless."""
        if isinstance(self.gap, Fixed) and self.tokens_per_s is None:
            gap_s = self.gap.gap_s
            return (self.ttft_s + gap_s * k for k in itertools.count())
        return self._drawn()

    def _drawn(self) -> Iterator[float]:
        least_s = self.chunk_tokens / self.tokens_per_s if self.tokens_per_s else 0.0
        offset = self.ttft_s
        gaps = self.gap.gaps(random.Random(self.seed))  # noqa: S311 - a schedule to be repeated, not a secret
        for k in itertools.count(1):
            yield offset
            offset = max(offset + max(0.0, next(gaps)), self.ttft_s + k * least_s)

    def length_s(self, pieces: int) -> float:
        """When the last of `pieces` pieces is due."""
        if isinstance(self.gap, Fixed) and self.tokens_per_s is None:
            return self.ttft_s + self.gap.gap_s * max(0, pieces - 1)
        return next(itertools.islice(self.offsets(), max(0, pieces - 1), None))


_NO_GAP: Final = Fixed()
AT_ONCE: Final = Pace()

Step = Callable[[float], float | None]
"""Does what is due at the given monotonic time; returns the next due time, or None when nothing is left."""

_FAILED: Final = "a step of a stream failed; the stream is left as it is"

Write = Callable[[bytes], object]
Broken = Callable[[Exception], None]
"""Told when a posted write has failed. Must not raise."""


class Wheel:
    """A timer wheel on `clock` (monotonic seconds); idle while nothing is waiting.

    It turns for all streams, so whatever one of them raises ends that one only.
    """

    __slots__ = (
        "_armed",
        "_armed_for",
        "_base",
        "_clock",
        "_current",
        "_loop",
        "_order",
        "_outbox",
        "_slots",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._slots: dict[int, list[Step]] = {}
        self._order: list[int] = []
        self._outbox: list[tuple[Write, bytes, Broken]] = []
        # Ticks begin with the whole milliseconds that uvloop's timers count; for others it would wake us too early.
        self._base = clock() // TICK_S * TICK_S
        self._current = 0
        self._armed: asyncio.TimerHandle | None = None
        self._armed_for = 0

    def add(self, due: float, step: Step) -> None:
        """Call `step` once `due` has passed, and again as long as it names another due time."""
        self._insert(due, step)
        self._arm()

    def soon(self, step: Step) -> None:
        """Call `step` once everybody else has had a turn."""
        self._loop.call_soon(self._once, step)

    def post(self, write: Write, data: bytes, broken: Broken) -> None:
        """Call `write` with `data` once all steps of this tick are done; only to be asked for by a step.

        Writing for all streams at once costs less for each frame than writing between two steps.
        """
        self._outbox.append((write, data, broken))

    def close(self) -> None:
        """Forget all that is still waiting."""
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
        self._slots.clear()
        self._order.clear()

    def _once(self, step: Step) -> None:
        try:
            due = step(self._clock())
        except Exception:  # noqa: BLE001 - logged; the other streams go on
            _LOG.exception(_FAILED)
            due = None
        self.deliver()
        if due is not None:
            self.add(due, step)

    def deliver(self) -> None:
        """Do all writes that were posted."""
        outbox, self._outbox = self._outbox, []
        for write, data, broken in outbox:
            try:
                write(data)
            except Exception as exc:  # noqa: BLE001 - told to its owner; the other streams go on
                broken(exc)

    def _insert(self, due: float, step: Step) -> None:
        slot = max(int((due - self._base) / TICK_S) + 1, self._current + 1)
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [step]
            heapq.heappush(self._order, slot)
        else:
            waiting.append(step)

    def _arm(self) -> None:
        if not self._order:
            return
        slot = self._order[0]
        if self._armed is not None:
            if self._armed_for <= slot:
                return
            self._armed.cancel()
        self._armed_for = slot
        self._armed = self._loop.call_at(self._base + slot * TICK_S, self._run)

    def _run(self) -> None:
        self._armed = None
        target = int((self._clock() - self._base) / TICK_S + _ROUNDING)
        clock, insert = self._clock, self._insert
        while self._order and self._order[0] <= target:
            self._current = heapq.heappop(self._order)
            for step in self._slots.pop(self._current):
                try:
                    due = step(clock())
                except Exception:  # noqa: BLE001 - logged; the other streams go on
                    _LOG.exception(_FAILED)
                    continue
                if due is not None:
                    insert(due, step)
            self.deliver()
        self._arm()
