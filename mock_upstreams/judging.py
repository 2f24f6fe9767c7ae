"""Judging a caller by the journal: what it did when a provider refused, broke off or fell silent.

Each question is a pure function over journal entries (of `Simulator.journal`, or as the control API hands them out)
that returns what was found with its evidence. `testing.py` turns them into assertions. Only calls that carry an id are
judged, since nothing else says which of them belong together. What was not observed is never taken for good: a finding
says `observed=False` then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from mock_upstreams.journal import Entry

TRUNCATING: Final = frozenset(
    {"close", "reset", "end_early", "bad_json", "no_done", "no_finish", "stall", "bad_chunking", "early_done"}
)
"""Faults after which an answer is not whole, however it looks."""
_BREAKING: Final = frozenset({"close", "reset", "bad_chunking"})
_SUBMITTING: Final = frozenset({"chat", "messages", "responses", "submit"})
_CLOCK_SLACK_S: Final = 0.02
"""A caller's timer may fire this much early by its own clock; seconds as a header are never finer."""


@dataclass(frozen=True, slots=True)
class Call:
    """The part of a journal entry that judging needs; times are seconds of the simulator's monotonic clock."""

    seq: int
    id: str
    arrived_s: float
    finished_s: float | None
    last_write_s: float | None
    status: int | None
    events_sent: int
    fault: str | None
    retry_after_s: float | None
    ending: str
    caller_left_s: float | None

    @classmethod
    def of(cls, entry: "Entry | Mapping[str, Any]") -> "Call":
        stated = entry.as_json() if isinstance(entry, Entry) else entry
        arrived_s = stated["arrived_ns"] / 1e9
        writes = stated["writes_us"]
        return cls(
            seq=stated["seq"],
            id=stated["id"],
            arrived_s=arrived_s,
            finished_s=_seconds(stated["finished_ns"]),
            last_write_s=arrived_s + writes[-1] / 1e6 if writes else None,
            status=stated["status"],
            events_sent=stated["events_sent"],
            fault=stated["fault"],
            retry_after_s=stated["retry_after_s"],
            ending=stated["ending"],
            caller_left_s=_seconds(stated["caller_left_ns"]),
        )


Entries = Iterable[Entry | Mapping[str, Any]]


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def calls_of(entries: Entries, id: str | None = None) -> tuple[Call, ...]:  # noqa: A002 - the journal's word
    """The calls that can be judged, by arrival: those with an id (with this one, if given) that ask for a reply."""
    found = [
        Call.of(stated)
        for stated in (entry.as_json() if isinstance(entry, Entry) else entry for entry in entries)
        if stated["id"] is not None
        and (id is None or stated["id"] == id)
        and stated["operation"] in _SUBMITTING
    ]
    return tuple(sorted(found, key=lambda call: (call.arrived_s, call.seq)))


def _by_id(calls: Iterable[Call]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.id, []).append(call)
    return found


def _followers(calls: tuple[Call, ...]) -> Iterable[tuple[Call, list[Call]]]:
    """Each call with the later ones of its id, in order."""
    for same in _by_id(calls).values():
        for at, call in enumerate(same):
            yield call, same[at + 1 :]


@dataclass(frozen=True, slots=True)
class Wait:
    """A refusal that asked for a pause, and the pause that was made; `waited_s` None: the caller did not come again."""

    id: str
    seq: int
    next_seq: int | None
    asked_s: float
    waited_s: float | None

    @property
    def respected(self) -> bool:
        return self.waited_s is None or self.waited_s >= self.asked_s - _CLOCK_SLACK_S


@dataclass(frozen=True, slots=True)
class RetryAfter:
    waits: tuple[Wait, ...]

    @property
    def observed(self) -> bool:
        return bool(self.waits)

    @property
    def broken(self) -> tuple[Wait, ...]:
        return tuple(wait for wait in self.waits if not wait.respected)


def retry_after(entries: Entries, id: str | None = None) -> RetryAfter:  # noqa: A002 - the journal's word
    """Whether calls that came again after a Retry-After came late enough; counted from the end of the refusal."""
    waits: list[Wait] = []
    for call, later in _followers(calls_of(entries, id)):
        if call.retry_after_s is None or call.finished_s is None:
            continue
        again = later[0] if later else None
        waited = None if again is None else max(0.0, again.arrived_s - call.finished_s)
        seq = None if again is None else again.seq
        waits.append(Wait(call.id, call.seq, seq, call.retry_after_s, waited))
    return RetryAfter(tuple(waits))


@dataclass(frozen=True, slots=True)
class Storm:
    """The densest stretch of one id that was too dense: `arrivals_s` counts from its first call."""

    id: str
    calls: int
    within_s: float
    arrivals_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often each id was called (`calls`), the gaps between its calls, and the storms among them."""

    calls: Mapping[str, int]
    gaps_s: Mapping[str, tuple[float, ...]]
    storms: tuple[Storm, ...]

    @property
    def observed(self) -> bool:
        return bool(self.calls)


def repeats(
    entries: Entries,
    id: str | None = None,  # noqa: A002 - the journal's word
    *,
    most: int = 4,
    within_s: float = 10.0,
) -> Repeats:
    """Repeats of each id; more than `most` calls of one id within `within_s` seconds are a storm."""
    counts: dict[str, int] = {}
    gaps: dict[str, tuple[float, ...]] = {}
    storms: list[Storm] = []
    for name, calls in _by_id(calls_of(entries, id)).items():
        arrivals = [call.arrived_s for call in calls]
        counts[name] = len(calls)
        gaps[name] = tuple(b - a for a, b in pairwise(arrivals))
        densest: tuple[float, ...] = ()
        start = 0
        for end, arrived in enumerate(arrivals):
            while arrived - arrivals[start] > within_s:
                start += 1
            if end - start + 1 > max(most, len(densest)):
                densest = tuple(at - arrivals[start] for at in arrivals[start : end + 1])
        if densest:
            storms.append(Storm(name, len(densest), within_s, densest))
    return Repeats(counts, gaps, tuple(storms))


@dataclass(frozen=True, slots=True)
class Truncation:
    """An answer that was cut, and what the caller did next: `again` is the call with which it asked once more."""

    id: str
    seq: int
    fault: str
    events_sent: int
    again: int | None
    again_after_s: float | None


@dataclass(frozen=True, slots=True)
class Truncations:
    """All answers that were cut and that the caller did not leave by itself before."""

    cuts: tuple[Truncation, ...]

    @property
    def observed(self) -> bool:
        return bool(self.cuts)

    @property
    def left_at_that(self) -> tuple[Truncation, ...]:
        """Cut answers after which the caller did not ask again. Right if it reported a failure, wrong otherwise."""
        return tuple(cut for cut in self.cuts if cut.again is None)


def truncations(entries: Entries, id: str | None = None) -> Truncations:  # noqa: A002 - the journal's word
    """What the caller did after answers that were not whole."""
    cuts: list[Truncation] = []
    for call, later in _followers(calls_of(entries, id)):
        if call.fault not in TRUNCATING or call.ending == "open":
            continue
        again = later[0] if later else None
        ended = call.finished_s or call.arrived_s
        after = None if again is None else max(0.0, again.arrived_s - ended)
        seq = None if again is None else again.seq
        cuts.append(Truncation(call.id, call.seq, call.fault or "", call.events_sent, seq, after))
    return Truncations(tuple(cuts))


@dataclass(frozen=True, slots=True)
class Silence:
    """A stalled answer: how long the caller listened to nothing, and whether it was the caller who ended that."""

    id: str
    seq: int
    listened_s: float
    left: bool


@dataclass(frozen=True, slots=True)
class Hangs:
    silences: tuple[Silence, ...]

    @property
    def observed(self) -> bool:
        return bool(self.silences)

    def longer_than(self, limit_s: float) -> tuple[Silence, ...]:
        """Silences that the caller never ended, or ended only after `limit_s` seconds."""
        return tuple(one for one in self.silences if not one.left or one.listened_s > limit_s)


def hangs(entries: Entries, id: str | None = None, *, now_s: float | None = None) -> Hangs:  # noqa: A002 - as above
    """How long the caller stayed with answers that had fallen silent (fault `stall`).

    `now_s` is the simulator's monotonic time, for silences that are not over yet; without it they are left out.
    """
    found: list[Silence] = []
    for call in calls_of(entries, id):
        if call.fault != "stall":
            continue
        ended = call.caller_left_s or call.finished_s or now_s
        if ended is not None:
            since = call.last_write_s or call.arrived_s
            found.append(Silence(call.id, call.seq, ended - since, call.caller_left_s is not None))
    return Hangs(tuple(found))


@dataclass(frozen=True, slots=True)
class Departure:
    """How an exchange ended as the simulator saw it.

    `how` is "stayed" (until the end that the simulator made), "left" (the caller closed before) or "open" (not over).
    `after_s` counts from the arrival, `quiet_s` from the last byte that was sent.
    """

    id: str
    seq: int
    how: str
    after_s: float | None
    quiet_s: float | None
    events_sent: int
    was_broken_off: bool


def departures(entries: Entries, id: str | None = None) -> tuple[Departure, ...]:  # noqa: A002 - the journal's word
    """How the caller left each call, in order of arrival."""
    found: list[Departure] = []
    for call in calls_of(entries, id):
        how = {"open": "open", "caller_left": "left"}.get(call.ending, "stayed")
        ended = call.caller_left_s if how == "left" else call.finished_s
        found.append(
            Departure(
                id=call.id,
                seq=call.seq,
                how=how,
                after_s=None if ended is None else ended - call.arrived_s,
                quiet_s=None if ended is None or call.last_write_s is None else ended - call.last_write_s,
                events_sent=call.events_sent,
                was_broken_off=how == "stayed" and call.fault in _BREAKING,
            )
        )
    return tuple(found)
