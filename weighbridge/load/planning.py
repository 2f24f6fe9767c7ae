"""Makes the plan of a load test from a target: a lane for each kind of call that the operator wants."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast, get_type_hints

from weighbridge import tolerances
from weighbridge.errors import TargetFileError, UsageError, nearest
from weighbridge.load.lanes import KINDS, LaneKind, Wanted
from weighbridge.load.plan import PLACEHOLDER, Bounds, Lane, LoadPlan
from weighbridge.scenario import Scenario, token
from weighbridge.target import Target

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


def _conversation(kind: LaneKind, role: str, script: Scenario | None, *, usage: bool) -> dict[str, Any]:
    """Body of a chat or messages call, its model left out; `script` is None where the target is not wired."""
    mark = f"(reference {PLACEHOLDER})" if script is None else token(PLACEHOLDER, script)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": f"Tell a short story. {mark}"}]}
    if kind.streamed:
        body["stream"] = True
        if usage and kind.surface == "chat":
            body["stream_options"] = {"include_usage": True}
    if kind.max_tokens is not None or role.startswith("anthropic"):
        body["max_tokens"] = kind.max_tokens or 4096
    return body


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
        scripted = None if chosen is None else replace(chosen, text=text)
        body = {"model": target.models[role], **_conversation(kind, role, scripted, usage=usage)}
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
