"""Counts of what the simulator did, for `metrics.py`.

Counting costs a few dictionary operations an answer. Keys come from tables only (never from what a caller sent), so
their number is bounded; a model or an id is none.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mock_upstreams.journal import Entry

_NO_STATUS: Final = "none"


@dataclass(slots=True)
class Counts:
    """What has been counted since the start; `reset` of the control API leaves it, as a counter must never fall."""

    arrived: int = 0
    events: dict[str, int] = field(default_factory=dict)
    answers: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)

    def begun(self) -> None:
        self.arrived += 1

    def ended(self, entry: "Entry") -> None:
        """Count an exchange that is over."""
        ending = "fault" if entry.ending.startswith("fault:") else entry.ending
        status = _NO_STATUS if entry.status is None else str(entry.status)
        key = (entry.provider, entry.operation, status, ending)
        self.answers[key] = self.answers.get(key, 0) + 1
        if entry.fault is not None:
            self.faults[entry.fault] = self.faults.get(entry.fault, 0) + 1
        if entry.events_sent:
            self.events[entry.provider] = self.events.get(entry.provider, 0) + entry.events_sent
        if entry.finished_ns is not None:
            place = (entry.provider, entry.operation)
            lasted = (entry.finished_ns - entry.arrived_ns) / 1e9
            self.seconds[place] = self.seconds.get(place, 0.0) + lasted

    @property
    def open(self) -> int:
        return self.arrived - sum(self.answers.values())
