"""What one load test sends: the plan that the command makes from a target and the client process executes.

The plan is one small JSON file with the key in it, so it lies in a folder that only its owner can read, and
only until the client process has read it. It has one lane for each kind of call (`lanes`). Everything that does
not change from call to call is rendered once; a call adds its correlation id, also inside the scripted text, so
that two streams that were mixed up in a gateway show it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast, get_type_hints
from urllib.parse import urlsplit

from weighbridge import tolerances
from weighbridge.errors import TargetFileError, UsageError, nearest
from weighbridge.load.arrivals import Arrivals
from weighbridge.load.lanes import KINDS, LaneKind, Wanted
from weighbridge.load.shapes import Point
from weighbridge.scenario import Scenario, token
from weighbridge.target import Target

#: The variable that tells the client process where its plan is.
PLAN_VARIABLE = "WEIGHBRIDGE_LOAD_PLAN"
#: Stands for the correlation id in everything that is rendered once.
PLACEHOLDER = "zzcorrelationzz"

#: A wired target streams this unless the operator scripts it: a quarter of a second in 24 pieces.
DEFAULT_SCRIPT = Scenario(chunks=24, ttft_ms=60, gap_ms=8)
#: Counts that a wired target's provider reports where the script states none: not one token a piece, so that
#: pieces that are counted as tokens show.
_PROMPT_TOKENS = 120
_TOKENS_PER_PIECE = 2
_TASK_MS = 300
_SENTENCE = "Weighed under load: naïve café, 東京, 🚚. "
#: A chunk has about this many characters.
_CHARACTERS = 6


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


def parse_script(text: str) -> Scenario:
    """The `--script` option: `chunks=50,ttft_ms=100,gap_ms=20`, a fault by name included.

    Raises:
        UsageError: an unknown key or a value of the wrong kind.
    """
    kinds = {name: kind for name, kind in get_type_hints(Scenario).items() if name != "text"}
    known = [field.name for field in fields(Scenario) if field.name != "text"]
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in kinds:
            raise UsageError(f"--script: no key {name!r}{nearest(name, known)}; known: {', '.join(known)}")
        if not equals or not value:
            raise UsageError(f"--script: {name} has no value; write {name}=VALUE")
        if kinds[name] == (int | None):
            if not (value.isascii() and value.isdigit()):
                raise UsageError(f"--script: {name} takes a whole number, not {value!r}")
            values[name] = int(value)
        else:
            values[name] = value
    return replace(DEFAULT_SCRIPT, **values)


def scripted_text(script: Scenario) -> str:
    """A text for a script: long enough for its pieces, characters of one to four bytes, its stream named."""
    wanted = (script.chunks or 1) * _CHARACTERS
    text = f"{PLACEHOLDER}: "
    return text + (_SENTENCE * (wanted // len(_SENTENCE) + 1))[: max(wanted - len(text), 1)].rstrip() + "."


def _roles(target: Target, kind: LaneKind) -> list[str]:
    """The roles whose models this kind of call can use, the preferred ones first."""
    found = [role for role in target.models if role.startswith(kind.roles)]
    return sorted(found, key=lambda role: [role.startswith(name) for name in kind.roles].index(True))


def role_of(target: Target, wanted: Wanted) -> str:
    """The role whose model a lane loads: the one asked for, else the preferred one.

    Raises:
        TargetFileError: the target names no model for the surface.
        UsageError: the role or model asked for is none of the target's.
    """
    kind = KINDS[wanted.kind]
    roles = _roles(target, kind)
    if not roles:
        raise TargetFileError(
            f"{target.place}: a load test needs models.{kind.roles[0]}; name the model to load"
        )
    if wanted.model is None:
        return roles[0]
    found = [role for role in roles if wanted.model in {role, target.models[role]}]
    if not found:
        raise UsageError(
            f"--mix {wanted.name}: no model {wanted.model!r} for {kind.surface} in {target.place}"
            f"{nearest(wanted.model, roles)}; known: {', '.join(roles)}"
        )
    return found[0]


def _key(target: Target, kind: LaneKind) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The principal whose key is used, and the header that carries it."""
    style = target.surfaces[kind.surface].auth
    named = [f"{name}.funded" for name in kind.principals]
    found = next((name for name in named if name in target.principals), None)
    if style == "none":
        return named[0], ()
    if found is None:
        raise TargetFileError(
            f"{target.place}: the target file has no principal {named[0]}; add principals.{named[0]}"
        )
    key = target.principals[found].key
    return found, ((("x-api-key", key),) if style == "x-api-key" else (("Authorization", f"Bearer {key}"),))


def _script(kind: LaneKind, script: Scenario | None, wired: bool) -> Scenario | None:
    """What the simulator shall do for this kind of call."""
    if not wired:
        return None
    if kind.surface == "tasks":
        return Scenario(duration_ms=_TASK_MS)
    chosen = script or DEFAULT_SCRIPT
    if chosen.prompt_tokens is None and chosen.fault is None:
        chosen = replace(
            chosen,
            prompt_tokens=_PROMPT_TOKENS,
            completion_tokens=chosen.completion_tokens or _TOKENS_PER_PIECE * (chosen.chunks or 1),
        )
    return chosen if kind.streamed else replace(chosen, chunks=None, gap_ms=None)


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the model data needs to know of a run to fill in a valid task."""

    target: Target
    wired: bool
    script: Scenario | None

    def mark(self, correlation_id: str, scenario: Scenario | None = None) -> str:
        """The token, or a plain reference for a provider that is not ours."""
        if not self.wired:
            return f"(reference {correlation_id})"
        return token(correlation_id, scenario)


def _task(target: Target, role: str, script: Scenario | None, *, wired: bool) -> tuple[str, dict[str, Any]]:
    """Endpoint and body of a valid media task."""
    from weighbridge.lab import Lab
    from weighbridge.probes import tasks_models

    desk = cast("Lab", _Desk(target, wired, script))
    model = tasks_models.model_of(desk, role)
    if model is None:
        raise TargetFileError(
            f"{target.place}: no endpoint is known for the model {target.models[role]!r}; load another task model"
        )
    return model.endpoint, tasks_models.body(desk, role, PLACEHOLDER, script)


def make_lane(target: Target, wanted: Wanted, *, wired: bool, script: Scenario | None, usage: bool) -> Lane:
    """One kind of call against a target; arguments as for `make_plan`."""
    kind = KINDS[wanted.kind]
    if kind.surface not in target.surfaces:
        raise TargetFileError(
            f"{target.place}: a load test of {wanted.name} needs surfaces.{kind.surface}; add its URL"
        )
    role = role_of(target, wanted)
    principal, authentication = _key(target, kind)
    place = target.surfaces[kind.surface]
    if wanted.group is not None and target.groups and wanted.group not in target.groups:
        raise UsageError(
            f"--mix {wanted.name}: no group {wanted.group!r} in {target.place}"
            f"{nearest(wanted.group, target.groups)}; known: {', '.join(target.groups)}"
        )
    chosen = _script(kind, script, wired)
    text = None
    if chosen is not None and chosen.tool is None and kind.surface != "tasks":
        text = scripted_text(chosen)
    path, body = kind.path, dict[str, Any]()
    if kind.surface == "tasks":
        path, body = _task(target, role, chosen, wired=wired)
    else:
        mark = (
            f"(reference {PLACEHOLDER})" if chosen is None else token(PLACEHOLDER, replace(chosen, text=text))
        )
        body = {
            "model": target.models[role],
            "messages": [{"role": "user", "content": f"Tell a short story. {mark}"}],
        }
        if kind.streamed:
            body["stream"] = True
            if usage and kind.surface == "chat":
                body["stream_options"] = {"include_usage": True}
        if kind.max_tokens is not None or role.startswith("anthropic"):
            body["max_tokens"] = kind.max_tokens or 4096
    if wanted.group is not None:
        body["group"] = wanted.group
    pace = target.groups.get(wanted.group) if wanted.group is not None else None
    if kind.surface == "tasks" and principal in target.principals:
        pace = min(filter(None, (pace, target.principals[principal].requests_per_second)))
    return Lane(
        name=wanted.name,
        kind=wanted.kind,
        url=place.url + path,
        headers=(
            *authentication,
            ("Content-Type", "application/json"),
            ("Accept", "text/event-stream" if kind.streamed else "application/json"),
            ("User-Agent", "weighbridge-load"),
            *kind.headers,
            *place.headers,
        ),
        body=json.dumps(body, ensure_ascii=False),
        model=target.models[role],
        role=role,
        principal=principal,
        weight=wanted.weight,
        text=text,
        script=chosen,
        pace=pace,
        follow=f"{place.url}/tasks/" if kind.surface == "tasks" else "",
        poll_s=tolerances.TASK_POLL_INTERVAL_S if wired else tolerances.REAL_TASK_POLL_INTERVAL_S,
        done_s=tolerances.TASK_DONE_S if wired else tolerances.REAL_TASK_DONE_S,
    )


def make_plan(
    target: Target,
    wanted: Sequence[Wanted],
    *,
    wired: bool,
    script: Scenario | None = None,
    timeout: float | None = None,
    usage: bool = True,
    **options: Any,
) -> LoadPlan:
    """The plan for a target.

    Args:
        target: where to.
        wanted: the kinds of calls.
        wired: its provider is the simulator, so that the streams can be scripted.
        script: what the simulator shall do for every call.
        timeout: seconds for one call at most, if the operator bounds it.
        usage: ask chat streams for their usage, the better source of token counts.
        options: further fields of `LoadPlan`.

    Raises:
        TargetFileError: the target lacks a surface, a model for it or a key.
        UsageError: a script for a target that is not wired, an unknown model or group.
    """
    if script is not None and not wired:
        raise UsageError("--script needs a target whose provider is the simulator; add upstream.simulator")
    known: Mapping[str, float] = target.timeouts
    total = timeout or known.get("total", tolerances.CALL_TOTAL_S)
    first_byte = min(total, known.get("first_byte", tolerances.FIRST_BYTE_S))
    return LoadPlan(
        lanes=tuple(make_lane(target, item, wired=wired, script=script, usage=usage) for item in wanted),
        bounds=Bounds(
            connect=min(total, known.get("connect", tolerances.CONNECT_S)),
            first_byte=first_byte,
            idle=first_byte,
            total=total,
        ),
        verify_tls=target.verify_tls,
        ca_file=target.ca_file,
        epoch_ns=time.perf_counter_ns(),
        **options,
    )
