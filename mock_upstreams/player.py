"""Plays a plan on a wire: adds time, back-pressure and the ending to what was decided before.

A player is a chain of steps, each of which does all that is due and names the time at which there is more to do. It has
no task of its own: the wheel turns thousands of them, and an unpaced answer is over before `start` returns.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from mock_upstreams.journal import Entry
from mock_upstreams.pacing import AT_ONCE, Wheel
from mock_upstreams.plans import Ending, Event, Kind, Plan, Script
from mock_upstreams.stencils import NOTHING_STAMPED, Stamped
from mock_upstreams.wire import CallerLeft, Wire

_LOG: Final = logging.getLogger("mock_upstreams")

_LEAD: Final = Kind.LEAD
_CONTENT: Final = Kind.CONTENT
_FINISH: Final = Kind.FINISH
_TAIL: Final = Kind.TAIL
_BYTE: Final = Kind.BYTE

_TAIL_DELAY_S: Final = 0.002
_CLOGGED_RETRY_S: Final = 0.005
_DELIVERY_POLL_S: Final = 0.002
_DELIVERY_LIMIT_S: Final = 5.0
_BEFORE_RST_S: Final = 0.02
"""A reset makes many clients drop what they have received but not yet read; this lets them read it first."""
_BURST: Final = 256
"""Writes before other streams get their turn."""

_Phase = Callable[[float], float | None]
"""Does what is due now; returns when to be called again, or None after naming the phase that follows."""


class Player:
    """Writes the events of one plan when they are due; `merge` joins events that are due together.

    `over` is called once, when the answer has been played or broken off by ourselves; not when the caller left.
    """

    __slots__ = (
        "_content",
        "_due",
        "_entry",
        "_event",
        "_events",
        "_give_up",
        "_head",
        "_merge",
        "_offsets",
        "_over",
        "_paced",
        "_phase",
        "_plan",
        "_stall_limit_s",
        "_stamped",
        "_start",
        "_wheel",
        "_wrote_at",
        "wire",
    )

    def __init__(
        self,
        plan: Plan,
        wire: Wire,
        entry: Entry,
        wheel: Wheel,
        over: Callable[[], None],
        *,
        merge: bool,
        stall_limit_s: float,
    ) -> None:
        self._plan = plan
        self.wire = wire
        self._entry = entry
        self._wheel = wheel
        self._over = over
        self._merge = merge
        self._stall_limit_s = stall_limit_s
        self._head = b""
        self._events: Iterator[Event] = iter(())
        self._event: Event | None = None
        self._content = 0
        self._stamped = NOTHING_STAMPED
        self._offsets: Iterator[float] = iter(())
        self._paced = False
        self._start = self._due = self._wrote_at = self._give_up = 0.0
        self._phase: _Phase | None = self._begin
        if plan.delay_s <= 0:
            self._begin(time.monotonic())

    def start(self) -> None:
        """Send what is due at once, all of it if nothing is paced."""
        now = time.monotonic()
        delay_s = self._plan.delay_s
        due = now + delay_s if delay_s > 0 else self._step(now)
        if due is not None:
            self._wheel.add(due, self._step)

    def stop(self) -> None:
        """Send nothing more; the entry stays as it is."""
        self._phase = None

    def caller_left(self, by: str | None = None) -> None:
        """The connection is gone; `by` as told at Entry."""
        if self._phase is not None or self._entry.ending == "caller_left":
            self._phase = None
            self._entry.caller_left(by)

    def _step(self, now: float) -> float | None:
        """One turn of the wheel. Never raises: the wheel turns for all players."""
        try:
            while self._phase is not None:
                due = self._phase(now)
                if due is None:
                    continue
                if due > now:
                    return due
                self._wheel.soon(self._step)
                return None
        except CallerLeft:
            self._phase = None
            self._entry.caller_left()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is logged, and the caller must not get half an answer
            self.fail(exc)
        return None

    def _broken(self, exc: Exception) -> None:
        """A write that was posted has failed: the caller is gone, or it is our mistake."""
        if self._phase is None:
            return
        if self.wire.is_gone:
            self.caller_left()
        else:
            self.fail(exc)

    def fail(self, exc: Exception) -> None:
        """Something of ours broke: log it and drop the connection."""
        self._phase = None
        _LOG.error("no answer to %s %s", self._entry.method, self._entry.path, exc_info=exc)
        self.wire.abort()
        self._entry.finish("internal_error")
        self._over()

    # Phases

    def _begin(self, now: float) -> None:
        plan, wire = self._plan, self.wire
        if plan.close:
            wire.keep_alive = False
        if plan.status is not None:
            self._head = plan.raw_head or wire.head(plan.status, plan.headers, plan.length)
        instant = plan.pace is AT_ONCE or plan.pace.is_instant
        if instant and plan.fault is None and len(plan.events) <= _BURST:
            self._phase = self._send_whole
            return
        if not instant:
            self._start = now
            self._paced = True
            self._offsets = plan.pace.offsets()
            self._due = now + next(self._offsets)
            if wire.chunked and not self._merge and isinstance(plan.events, Stamped) and plan.events.pieces:
                self._stamped = plan.events
                self._phase = self._send_stamped
                return
        self._events = wire.framed(plan.events)
        self._event = next(self._events, None)
        self._phase = self._send

    def _send_whole(self, now: float) -> float | None:
        """Nothing is paced or broken: write after write, made right before they are needed."""
        if self.wire.is_clogged():
            return now + _CLOGGED_RETRY_S
        events, head = self._plan.events, self._head
        self._note_head()
        self.wire.write_all(self.wire.framed_whole(head, events, merge=self._merge))
        entry = self._entry
        entry.wrote(time.monotonic_ns())
        if isinstance(events, Script | Stamped) and (pieces := events.pieces):
            entry.first_content_ns = entry.head_sent_ns
            entry.events_sent = pieces
        return self._end(now)

    def _send(self, now: float) -> float | None:
        """Write all that is due; return when the next event is (`now`: after others had their turn)."""
        plan, wire, events = self._plan, self.wire, self._events
        merge, paced = self._merge, self._paced
        terminator = wire.terminator if plan.ending is Ending.CLEAN else b""
        event, content = self._event, self._content
        due: float | None = None
        gathered: list[bytes] = []
        written = 0
        while event is not None:
            kind, data = event
            if kind is _CONTENT or kind is _LEAD or (kind is _FINISH and not content):
                if paced and self._due > now:
                    due = self._due
                    break
            elif kind is _TAIL:
                if (due := (now if written else self._wrote_at) + _TAIL_DELAY_S) > now:
                    break
            elif kind is _BYTE and written:
                due = now
                break
            if not written % _BURST and (due := self._breather(now, written)) is not None:
                break
            event = next(events, None)
            if event is None:
                data += terminator
            if merge:
                gathered.append(data)
            elif self._head:
                self._write(data)
            else:
                wire.write(data)
            if kind is _CONTENT:
                content += 1
                if paced:
                    self._due = self._start + next(self._offsets)
            written += 1
            due = None
        self._event = event
        if gathered or (self._head and due is not None):
            self._write(b"".join(gathered))
        if written:
            self._wrote_at = now
            self._entry.wrote(time.monotonic_ns())
        if content and not self._content:
            self._entry.first_content_ns = time.monotonic_ns()
        self._content = self._entry.events_sent = content
        if due is None:
            self._phase = self._end
        return due

    def _send_stamped(self, now: float) -> float | None:
        """What `_send` does, for a paced stream without a fault: thousands of them may be open at once.

        Pieces are posted, and noted in the journal as written, at most a tick's work before they are.
        """
        if self._due > now:
            if self._head:
                self._write(b"")
            return self._due
        stamped, content, entry = self._stamped, self._content, self._entry
        write = self.wire.writer()
        if write is None:
            return now + _CLOGGED_RETRY_S
        is_first = not content
        if is_first:
            self._write(stamped[0])
            entry.first_content_ns = time.monotonic_ns()
        wheel, pieces, due = self._wheel, stamped.pieces, self._due
        while due <= now and content < pieces:
            content += 1
            wheel.post(write, stamped[content], self._broken)
            due = self._start + next(self._offsets)
        entry.wrote(time.monotonic_ns())
        self._content = entry.events_sent = content
        self._due = due
        if is_first or content == pieces:
            wheel.deliver()
            if self._phase is None:
                return None
        if content < pieces:
            return due
        for number in range(pieces + 1, len(stamped)):
            write(stamped[number] if number < len(stamped) - 1 else stamped[number] + self.wire.terminator)
        self._phase = self._end
        return None

    def _breather(self, now: float, written: int) -> float | None:
        """When to go on: later if the reader is slow, next turn after a burst, now (None) otherwise."""
        if self.wire.is_clogged():
            return now + _CLOGGED_RETRY_S
        return now if written else None

    def _write(self, data: bytes) -> None:
        if self._head:
            data = self._head + data
            self._note_head()
        if data:
            self.wire.write(data)

    def _note_head(self) -> None:
        self._head = b""
        self._entry.status = self._plan.status
        self._entry.head_sent_ns = time.monotonic_ns()

    def _end(self, now: float) -> float | None:
        plan = self._plan
        clean = plan.ending is Ending.CLEAN
        if self._head:
            self._write(self.wire.terminator if clean else b"")
        if clean:
            self._finish(now)
        elif plan.ending is Ending.FIN:
            self._close(now)
        elif plan.ending is Ending.SILENCE:
            self._phase = self._close
            return now + self._stall_limit_s
        else:
            self._give_up = now + _DELIVERY_LIMIT_S
            self._phase = self._reset if plan.status is None else self._deliver
        return None

    def _finish(self, now: float) -> None:
        del now
        self._phase = None
        fault = self._plan.fault
        self._entry.finish("complete" if fault is None else f"fault:{fault}")
        self._over()

    def _close(self, now: float) -> None:
        self.wire.close()
        self._finish(now)

    def _deliver(self, now: float) -> float | None:
        """A reset takes back what the kernel has not sent yet, so that has to go out before."""
        if now < self._give_up and not self.wire.is_delivered():
            return now + _DELIVERY_POLL_S
        self._phase = self._reset
        return now + _BEFORE_RST_S

    def _reset(self, now: float) -> None:
        self.wire.reset()
        self._finish(now)
