"""Plays a recording: a call that was recorded gets the recorded answer, byte for byte and at the recorded pace.

Several answers to the same request are given in the order of the recording, and the last one stays.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from mock_upstreams.pacing import Pace, Trace
from mock_upstreams.plans import Ending, Event, Kind, Plan, Script
from mock_upstreams.recordings import Recorded, digest, load, target_of
from mock_upstreams.refusals import Refusal

_ENDINGS: Final = {"complete": Ending.CLEAN, "fin": Ending.FIN, "rst": Ending.RST}
_FAULTS: Final = {"complete": None, "fin": "close", "rst": "reset"}
_MADE_ANEW: Final = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "date", "trailer", "upgrade"}
)
"""Headers that belong to a connection; the replay has its own."""


class _HeadFirst(Script):
    """Events of which the first is nothing, so that the head goes out when it did and not with the first part."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Event]:
        yield Kind.NOW, b""
        yield from super().__iter__()

    def chunked(self) -> Iterator[Event]:
        yield Kind.NOW, b""
        yield from super().chunked()


class Replay:
    """The answers of one recording. `speed` 2 plays twice as fast, 0 without any wait."""

    def __init__(self, exchanges: tuple[Recorded, ...], speed: float = 1.0) -> None:
        self._speed = speed
        self._answers: dict[tuple[str, str, str], list[Recorded]] = {}
        self._turns: dict[tuple[str, str, str], int] = {}
        for exchange in exchanges:
            self._answers.setdefault(exchange.key, []).append(exchange)

    @classmethod
    def of_file(cls, path: str, speed: float) -> "Replay":
        """Raises RecordingError."""
        return cls(load(path), speed)

    def reset(self) -> None:
        """Begin every sequence of answers again."""
        self._turns.clear()

    def plan(self, method: str, path: str, query: str, body: bytes) -> Plan:
        """The recorded answer to this request. Raises Refusal (404) if there is none."""
        key = (method, target_of(path, query), digest(body))
        answers = self._answers.get(key)
        if answers is None:
            raise Refusal(404, self._unknown(*key))
        turn = self._turns.get(key, 0)
        self._turns[key] = turn + 1
        return plan_of(answers[min(turn, len(answers) - 1)], self._speed)

    def _unknown(self, method: str, target: str, body_digest: str) -> str:
        same_place = sum(key[:2] == (method, target) for key in self._answers)
        if same_place:
            problem = f"{same_place} requests were recorded, none with this body (digest {body_digest[:12]})"
        else:
            known = sorted({f"{key[0]} {key[1]}" for key in self._answers})
            problem = f"recorded: {', '.join(known[:5]) or 'nothing'}"
        return f"simulator: no recorded answer for {method} {target[:128]}; {problem}"


def plan_of(exchange: Recorded, speed: float = 1.0) -> Plan:
    """The plan that repeats an exchange."""
    headers = tuple(header for header in exchange.headers if header[0] not in _MADE_ANEW)
    slow = 1 / speed if speed > 0 else 0.0
    events = [(Kind.CONTENT, part.data) for part in exchange.parts]
    times = [part.at_s * slow for part in exchange.parts]
    head_s = exchange.head_s * slow
    gaps = tuple(max(0.0, b - a) for a, b in pairwise(times))
    length = None if exchange.chunked else _length(exchange)
    if not events or (speed <= 0 and not exchange.chunked and exchange.ending == "complete"):
        body = b"".join(part.data for part in exchange.parts)
        return Plan(
            status=exchange.status,
            headers=headers,
            events=[(Kind.NOW, body)] if body else [],
            length=length,
            ending=_ENDINGS[exchange.ending],
            delay_s=head_s,
            fault=_FAULTS[exchange.ending],
        )
    return Plan(
        status=exchange.status,
        headers=headers,
        events=_HeadFirst(*events) if speed > 0 else Script(*events),
        length=length,
        ending=_ENDINGS[exchange.ending],
        delay_s=head_s,
        fault=_FAULTS[exchange.ending],
        pace=Pace(ttft_s=max(0.0, times[0] - head_s), gap=Trace((*gaps, 0.0)) if any(gaps) else Pace().gap),
    )


def _length(exchange: Recorded) -> int:
    """The promised length, which a broken answer did not keep."""
    promised = dict(exchange.headers).get("content-length", "")
    received = sum(len(part.data) for part in exchange.parts)
    return int(promised) if promised.isdigit() and len(promised) < 16 else received
