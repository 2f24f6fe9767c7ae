"""Plays a plan on a wire: adds time, back-pressure and the ending to what was decided before."""

import asyncio
import time
from typing import Final

from mock_upstreams.journal import Entry
from mock_upstreams.pacing import Wheel
from mock_upstreams.plans import Ending, Kind, Plan
from mock_upstreams.wire import CallerLeft, Wire

_LEAD: Final = Kind.LEAD
_CONTENT: Final = Kind.CONTENT
_FINISH: Final = Kind.FINISH
_TAIL: Final = Kind.TAIL
_BYTE: Final = Kind.BYTE

_TAIL_DELAY_S: Final = 0.002
_CLOGGED_RETRY_S: Final = 0.005
_BURST: Final = 256
"""Writes before other streams get their turn."""


class Player:
    """Writes the events of one plan when they are due; `merge` joins events that are due together."""

    __slots__ = (
        "_content",
        "_entry",
        "_head",
        "_index",
        "_merge",
        "_plan",
        "_start",
        "_turn",
        "_wheel",
        "_wire",
        "_wrote_at",
    )

    def __init__(self, plan: Plan, wire: Wire, entry: Entry, wheel: Wheel, *, merge: bool) -> None:
        self._plan = plan
        self._wire = wire
        self._entry = entry
        self._wheel = wheel
        self._merge = merge
        self._head = b""
        self._index = 0
        self._content = 0
        self._start = 0.0
        self._wrote_at = 0.0
        self._turn: asyncio.Future[None] | None = None

    async def play(self, stall_limit_s: float) -> None:
        """Send the whole answer. Raises CallerLeft when the connection goes away first."""
        plan, wire, entry = self._plan, self._wire, self._entry
        self._start = time.monotonic()
        if plan.delay_s > 0:
            await self._until(self._start + plan.delay_s)
        if plan.close:
            wire.keep_alive = False
        if plan.status is not None:
            self._head = wire.head(plan.status, plan.headers, plan.length)
        await self._send_events()
        if plan.status is not None and not plan.events:
            self._write(wire.terminator if plan.ending is Ending.CLEAN else b"")
        await self._end(stall_limit_s)
        entry.finish("complete" if plan.fault is None else f"fault:{plan.fault}")

    async def _end(self, stall_limit_s: float) -> None:
        ending = self._plan.ending
        if ending is Ending.RST:
            await self._wire.reset(after_data=self._plan.status is not None)
        elif ending is Ending.FIN:
            self._wire.close()
        elif ending is Ending.SILENCE:
            await asyncio.sleep(stall_limit_s)
            self._wire.close()

    async def _send_events(self) -> None:
        while True:
            now = time.monotonic()
            due = self._advance(now)
            if due is None:
                return
            if due <= now:
                await asyncio.sleep(0)
            else:
                self._turn = asyncio.get_running_loop().create_future()
                self._wheel.add(due, self._step)
                await self._turn

    async def _until(self, due: float) -> None:
        turn = asyncio.get_running_loop().create_future()

        def wake(_now: float) -> None:
            if not turn.done():
                turn.set_result(None)

        self._wheel.add(due, wake)
        await turn

    def _step(self, now: float) -> float | None:
        """One turn of the wheel: the task is woken only when there is something that it must do itself."""
        turn = self._turn
        if turn is None or turn.done():
            return None
        try:
            due = self._advance(now)
        except CallerLeft as exc:
            turn.set_exception(exc)
            return None
        if due is None or due <= now:
            turn.set_result(None)
            return None
        return due

    def _advance(self, now: float) -> float | None:
        """Write all that is due; return when the next event is (`now`: after others had their turn)."""
        plan, wire = self._plan, self._wire
        events, merge, frame = plan.events, self._merge, wire.frame
        last = len(events) - 1
        start, gap = self._start + plan.ttft_s, plan.gap_s
        index, content = self._index, self._content
        due: float | None = None
        gathered: list[bytes] = []
        written = 0
        while index <= last:
            kind, data = events[index]
            if kind is _CONTENT or kind is _LEAD or (kind is _FINISH and not content):
                if (due := start + gap * content) > now:
                    break
            elif kind is _TAIL:
                if (due := (now if written else self._wrote_at) + _TAIL_DELAY_S) > now:
                    break
            elif kind is _BYTE and written:
                due = now
                break
            if not written % _BURST and (due := self._breather(now, written)) is not None:
                break
            framed = frame(data)
            if index == last and plan.ending is Ending.CLEAN:
                framed += wire.terminator
            if merge:
                gathered.append(framed)
            elif self._head:
                self._write(framed)
            else:
                wire.write(framed)
            content += kind is _CONTENT
            written += 1
            index += 1
            due = None
        self._index = index
        if gathered or (self._head and due is not None):
            self._write(b"".join(gathered))
        if written:
            self._wrote_at = now
        if content and not self._content:
            self._entry.first_content_ns = time.monotonic_ns()
        self._content = self._entry.events_sent = content
        return due

    def _breather(self, now: float, written: int) -> float | None:
        """When to go on: later if the reader is slow, next turn after a burst, now (None) otherwise."""
        if self._wire.is_clogged():
            return now + _CLOGGED_RETRY_S
        return now if written else None

    def _write(self, data: bytes) -> None:
        if self._head:
            data = self._head + data
            self._head = b""
            self._entry.status = self._plan.status
            self._entry.head_sent_ns = time.monotonic_ns()
        if data:
            self._wire.write(data)
