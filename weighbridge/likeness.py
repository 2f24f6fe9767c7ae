"""Whether a history that was sent again came about as it was recorded.

That a finding does not come again says something only of a target that was put into the same position: each call ended
for its caller as it did then, and one that failed did so behind the provider, or before it, as it did then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from weighbridge.checks.books import State, state_of
from weighbridge.evidence import Call, UpstreamCall
from weighbridge.probes.tasks_flow import TERMINAL, status_of

_WORDS = {State.OK: "a whole answer", State.ERROR: "an error", State.INDETERMINATE: "cut"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A recorded call and what became of it this time.

    Attributes:
        number: of the call in its history, from 1.
        again: None where it could not be sent.
    """

    number: int
    recorded: Call
    again: Call | None

    def difference(self, seen: Mapping[str, tuple[UpstreamCall, ...]] | None) -> str | None:
        """What is not as it was recorded, or None.

        Args:
            seen: what the simulator saw of the calls of this time, by their ids; None where nothing can be seen.
        """
        again = self.again
        if again is None:
            return f"call {self.number}: left out, its task was not made this time"
        if seen is not None:
            again = replace(again, upstream=seen.get(again.id, ()))
        poll = self.recorded.exchange.request.method == "GET"
        what = (poll_difference if poll else call_difference)(self.recorded, again)
        return None if what is None else f"call {self.number}: {what}"


def call_difference(recorded: Call, again: Call) -> str | None:
    """What a caller met otherwise than in the record; None for the same."""
    was, now = state_of(recorded), state_of(again)
    if was is not now:
        return f"{_WORDS[now]}, recorded {_WORDS[was]}"
    # One that was left may get to the provider or not, and an accepted task may get there later.
    unseen = recorded.posts is None or again.posts is None
    if now is not State.ERROR or unseen or bool(recorded.posts) == bool(again.posts):
        return None
    status = again.exchange.status or "an error"
    if recorded.posts:
        return f"{status} before it reached the provider, recorded behind it"
    return f"{status} behind the provider, recorded before it was reached"


def poll_difference(recorded: Call, again: Call) -> str | None:
    """The same for a poll; how far a task is before its end is a matter of the moment."""
    was, now = status_of(recorded), status_of(again)
    if was in TERMINAL and was != now:
        return f"the task is {now or 'not shown'}, recorded {was}"
    return call_difference(recorded, again)
