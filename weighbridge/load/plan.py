"""What one load test sends: the plan that the command makes (`planning`) and the client process executes.

The plan is one small JSON file with the key in it, so it lies in a folder that only its owner can read, and
only until the client process has read it. It has one lane for each kind of call (`lanes`). Everything that does
not change from call to call is rendered once; a call adds its correlation id, also inside the scripted text, so
that two streams that were mixed up in a gateway show it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from weighbridge import tolerances
from weighbridge.load.arrivals import Arrivals
from weighbridge.load.lanes import KINDS
from weighbridge.load.shapes import Point
from weighbridge.scenario import Scenario

#: The variable that tells the client process where its plan is.
PLAN_VARIABLE = "WEIGHBRIDGE_LOAD_PLAN"
#: Stands for the correlation id in everything that is rendered once.
PLACEHOLDER = "zzcorrelationzz"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long one call may take, in seconds."""

    connect: float = tolerances.CONNECT_S
    first_byte: float = tolerances.FIRST_BYTE_S
    idle: float = tolerances.FIRST_BYTE_S
    total: float = tolerances.CALL_TOTAL_S


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a goodput gate on one call: `ttft<300ms`; the bound is in microseconds."""

    metric: str
    comparison: str
    bound: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One kind of call.

    Attributes:
        name: as the operator wrote it, without its weight.
        kind: one of `lanes.KINDS`.
        url: where it is POSTed.
        headers: secrets included.
        body: the request body with `PLACEHOLDER` for the correlation id.
        weight: its share of users (closed) or of starts (open).
        text: the text that every whole answer has, with `PLACEHOLDER`; None where it is not scripted.
        script: the scenario inside the body, without its text; None where the target is not wired.
        pace: requests a second that the target declares as a limit, all processes together; None for none.
        follow: where a media task is looked at, its id to be added.
        poll_s: between two looks at a media task.
        done_s: how long a media task may take.
    """

    name: str
    kind: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    model: str
    role: str
    principal: str
    weight: int = 1
    text: str | None = None
    script: Scenario | None = None
    pace: float | None = None
    follow: str = ""
    poll_s: float = tolerances.TASK_POLL_INTERVAL_S
    done_s: float = tolerances.TASK_DONE_S

    @property
    def surface(self) -> str:
        """The surface that it loads."""
        return KINDS[self.kind].surface

    @property
    def streamed(self) -> bool:
        """Whether its answers are event streams."""
        return KINDS[self.kind].streamed

    def body_of(self, call_id: str) -> bytes:
        """The request body of one call."""
        return self.body.replace(PLACEHOLDER, call_id).encode()

    def text_of(self, call_id: str) -> str | None:
        """The text that this call's answer must carry, if it is known."""
        return None if self.text is None else self.text.replace(PLACEHOLDER, call_id)

    def scenario_of(self, call_id: str) -> Scenario | None:
        """The scenario of one call, for its record."""
        return None if self.script is None else replace(self.script, text=self.text_of(call_id))

    def head(self, *, keep_alive: bool) -> bytes:
        """The request head up to the value of Content-Length, which comes last."""
        lines = [self._first_line("POST", self.url)]
        return self._head(lines, keep_alive) + b"Content-Length: "

    def get(self, url: str) -> bytes:
        """A whole GET with this lane's headers; `url` is below the lane's own host."""
        return self._head([self._first_line("GET", url)], keep_alive=True) + b"\r\n"

    def _first_line(self, method: str, url: str) -> str:
        parts = urlsplit(url)
        return f"{method} {parts.path or '/'}{f'?{parts.query}' if parts.query else ''} HTTP/1.1"

    def _head(self, lines: list[str], keep_alive: bool) -> bytes:
        lines += [f"Host: {urlsplit(self.url).netloc.rpartition('@')[2]}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if not keep_alive:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n").encode("latin-1")


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Everything that a client process needs.

    Attributes:
        lanes: the kinds of calls; the first streamed one is what the report is about.
        arrivals: when calls start; None for a closed load of users.
        shape: levels of users over time; empty for a plain ramp by spawn rate.
        goodput: the conditions of each goodput gate, by the gate's text.
        users, duration: as the command asked for; a duration of 0 leaves it to locust.
        processes: how many client processes share the arrivals and the limits.
        keep_alive: one connection serves a user's calls one after the other.
        warm_up: latencies of calls that start within so many seconds of the beginning are left out.
        slice_s: seconds of one slice of the timeline.
        sample: how many calls each process records although nothing is wrong with them.
        keep_failed: how many failed calls of one class each process records.
        keep_bytes: how much of one stream is recorded at most.
        epoch_ns: `time.perf_counter_ns()` at the start of the run.
        folder: where client processes put their records.
    """

    lanes: tuple[Lane, ...]
    arrivals: Arrivals | None = None
    shape: tuple[Point, ...] = ()
    goodput: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    users: int = 1
    duration: int = 0
    processes: int = 1
    bounds: Bounds = Bounds()
    verify_tls: bool = True
    ca_file: str | None = None
    keep_alive: bool = True
    warm_up: float = 1.0
    slice_s: int = 1
    sample: int = 40
    keep_failed: int = 200
    keep_bytes: int = 1024 * 1024
    epoch_ns: int = 0
    folder: str = ""

    def lane(self, name: str) -> Lane:
        """The lane of that name."""
        return next(item for item in self.lanes if item.name == name)

    @property
    def main(self) -> Lane:
        """The lane that the report is named after: the first streamed one, else the first."""
        return next((item for item in self.lanes if item.streamed), self.lanes[0])

    @property
    def surfaces(self) -> tuple[str, ...]:
        """The surfaces whose streams can be judged by rows, in order."""
        return tuple(dict.fromkeys(item.surface for item in self.lanes if item.streamed))

    def write(self, path: Path) -> None:
        """Write the plan for its owner alone."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)

    @classmethod
    def read(cls, path: Path) -> LoadPlan:
        """What `write` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        raw["bounds"] = Bounds(**raw["bounds"])
        raw["shape"] = _points(raw["shape"])
        raw["lanes"] = tuple(_lane(item) for item in raw["lanes"])
        raw["goodput"] = {
            name: tuple(Condition(**item) for item in conditions)
            for name, conditions in raw["goodput"].items()
        }
        if raw["arrivals"] is not None:
            raw["arrivals"]["shape"] = _points(raw["arrivals"]["shape"])
            raw["arrivals"]["trace"] = tuple(raw["arrivals"]["trace"])
            raw["arrivals"] = Arrivals(**raw["arrivals"])
        return cls(**raw)


def _points(raw: Sequence[Sequence[float]]) -> tuple[Point, ...]:
    return tuple((float(at), float(level)) for at, level in raw)


def _lane(raw: dict[str, Any]) -> Lane:
    raw["headers"] = tuple((name, value) for name, value in raw["headers"])
    raw["script"] = None if raw["script"] is None else Scenario(**raw["script"])
    return Lane(**raw)
