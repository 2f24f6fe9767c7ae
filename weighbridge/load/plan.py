"""What one load test sends: the plan that the command makes from a target and the client process executes.

The plan is one small JSON file with the key in it, so it lies in a folder that only its owner can read, and
only until the client process has read it. Everything that does not change from stream to stream is rendered once;
a stream adds its correlation id, also inside the scripted text, so that two streams that were mixed up in
a gateway show it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from weighbridge import tolerances
from weighbridge.errors import TargetFileError, UsageError, nearest
from weighbridge.scenario import Scenario, token
from weighbridge.target import CHAT_PATH, MESSAGES_PATH, Target

#: The variable that tells the client process where its plan is.
PLAN_VARIABLE = "WEIGHBRIDGE_LOAD_PLAN"
#: Stands for the correlation id in everything that is rendered once.
PLACEHOLDER = "zzcorrelationzz"


@dataclass(frozen=True, slots=True)
class LoadSurface:
    """A surface that can be loaded.

    Attributes:
        path: where its streams are POSTed, below the surface's URL.
        roles: beginnings of the model roles that it serves, the preferred one first.
        principals: surfaces whose funded key it takes, its own first.
        headers: what its dialect asks for.
        max_tokens: sent where the dialect demands a limit.
    """

    name: str
    path: str
    roles: tuple[str, ...]
    principals: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = ()
    max_tokens: int | None = None


SURFACES: Mapping[str, LoadSurface] = {
    "chat": LoadSurface("chat", CHAT_PATH, ("openai", "anthropic"), ("chat",)),
    "messages": LoadSurface(
        "messages",
        MESSAGES_PATH,
        ("anthropic",),
        ("messages", "chat"),
        (("anthropic-version", "2023-06-01"),),
        4096,
    ),
}

#: A wired target streams this unless the operator scripts it: a quarter of a second in 24 pieces.
DEFAULT_SCRIPT = Scenario(chunks=24, ttft_ms=60, gap_ms=8)
_SENTENCE = "Weighed under load: naïve café, 東京, 🚚. "
#: A chunk has about this many characters.
_CHARACTERS = 6


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long one stream may take, in seconds."""

    connect: float = tolerances.CONNECT_S
    first_byte: float = tolerances.FIRST_BYTE_S
    idle: float = tolerances.FIRST_BYTE_S
    total: float = tolerances.CALL_TOTAL_S


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Everything that a client process needs.

    Attributes:
        url: where streams are POSTed.
        headers: secrets included.
        body: the request body with `PLACEHOLDER` for the correlation id.
        text: the text that every whole stream has, with `PLACEHOLDER`; None where it is not scripted.
        script: the scenario inside the body, without its text; None where the target is not wired.
        keep_alive: one connection serves a user's streams one after the other.
        warm_up: latencies of streams that start within so many seconds of the beginning are left out.
        sample: how many streams each process records although nothing is wrong with them.
        keep_failed: how many failed streams of one class each process records.
        keep_bytes: how much of one stream is recorded at most.
        epoch_ns: `time.perf_counter_ns()` at the start of the run.
        folder: where client processes put their records.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    model: str
    role: str
    principal: str
    surface: str = "chat"
    text: str | None = None
    script: Scenario | None = None
    bounds: Bounds = Bounds()
    verify_tls: bool = True
    ca_file: str | None = None
    keep_alive: bool = True
    warm_up: float = 1.0
    sample: int = 40
    keep_failed: int = 200
    keep_bytes: int = 1024 * 1024
    epoch_ns: int = 0
    folder: str = ""

    def body_of(self, stream_id: str) -> bytes:
        """The request body of one stream."""
        return self.body.replace(PLACEHOLDER, stream_id).encode()

    def text_of(self, stream_id: str) -> str | None:
        """The text that this stream must carry, if it is known."""
        return None if self.text is None else self.text.replace(PLACEHOLDER, stream_id)

    def scenario_of(self, stream_id: str) -> Scenario | None:
        """The scenario of one stream, for its record."""
        return None if self.script is None else replace(self.script, text=self.text_of(stream_id))

    def head(self) -> bytes:
        """The request head up to the value of Content-Length, which comes last."""
        parts = urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if not self.keep_alive:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\nContent-Length: ").encode("latin-1")

    def write(self, path: Path) -> None:
        """Write the plan for its owner alone."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)

    @classmethod
    def read(cls, path: Path) -> LoadPlan:
        """What `write` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        raw["headers"] = tuple((name, value) for name, value in raw["headers"])
        raw["bounds"] = Bounds(**raw["bounds"])
        raw["script"] = None if raw["script"] is None else Scenario(**raw["script"])
        return cls(**raw)


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


def require_surface(wanted: str | None) -> None:
    """Make sure that there is a load test for a surface, before anything is started.

    Raises:
        UsageError: there is none.
    """
    if wanted is not None and wanted not in SURFACES:
        raise UsageError(
            f"--surface {wanted!r}: no load test for it{nearest(wanted, SURFACES)}; known: {', '.join(SURFACES)}"
        )


def surface_of(target: Target, wanted: str | None) -> LoadSurface:
    """The surface to load: the one asked for, else chat, else messages.

    Raises:
        UsageError: there is no load test for the surface.
        TargetFileError: the target does not have it.
    """
    require_surface(wanted)
    names = [wanted] if wanted is not None else list(SURFACES)
    found = next((name for name in names if name in target.surfaces), None)
    if found is None:
        raise TargetFileError(f"{target.place}: a load test needs surfaces.{names[0]}; add its URL")
    return SURFACES[found]


def role_of(target: Target, surface: LoadSurface) -> str:
    """The role whose model is loaded: the preferred one, else the first that the surface serves.

    Raises:
        TargetFileError: the target names no model for the surface.
    """
    roles = [role for role in target.models if role.startswith(surface.roles)]
    if not roles:
        raise TargetFileError(
            f"{target.place}: a load test needs models.{surface.roles[0]}; name the model to load"
        )
    return surface.roles[0] if surface.roles[0] in roles else roles[0]


def _key(target: Target, surface: LoadSurface) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The principal whose key is used, and the header that carries it."""
    style = target.surfaces[surface.name].auth
    named = [f"{name}.funded" for name in surface.principals]
    found = next((name for name in named if name in target.principals), None)
    if style == "none":
        return named[0], ()
    if found is None:
        raise TargetFileError(
            f"{target.place}: the target file has no principal {named[0]}; add principals.{named[0]}"
        )
    key = target.principals[found].key
    return found, ((("x-api-key", key),) if style == "x-api-key" else (("Authorization", f"Bearer {key}"),))


def make_plan(
    target: Target,
    *,
    wired: bool,
    surface: LoadSurface | None = None,
    script: Scenario | None = None,
    timeout: float | None = None,
    keep_alive: bool = True,
    warm_up: float = 1.0,
    sample: int = 40,
) -> LoadPlan:
    """The plan for a target.

    Args:
        target: where to.
        wired: its provider is the simulator, so that the streams can be scripted.
        surface: what to load; the target's chat or messages surface if None.
        script: what the simulator shall do for every stream.
        timeout: seconds for one stream at most, if the operator bounds it.
        keep_alive: as in `LoadPlan`.
        warm_up: as in `LoadPlan`.
        sample: as in `LoadPlan`.

    Raises:
        TargetFileError: the target lacks the surface, a model for it or a key.
        UsageError: a script for a target that is not wired.
    """
    loaded = surface or surface_of(target, None)
    role = role_of(target, loaded)
    principal, authentication = _key(target, loaded)
    place = target.surfaces[loaded.name]
    if script is not None and not wired:
        raise UsageError("--script needs a target whose provider is the simulator; add upstream.simulator")
    chosen = (script or DEFAULT_SCRIPT) if wired else None
    text = scripted_text(chosen) if chosen is not None and chosen.tool is None else None
    mark = f"(reference {PLACEHOLDER})" if chosen is None else token(PLACEHOLDER, replace(chosen, text=text))
    body: dict[str, Any] = {
        "model": target.models[role],
        "messages": [{"role": "user", "content": f"Tell a short story. {mark}"}],
        "stream": True,
    }
    if loaded.max_tokens is not None or role.startswith("anthropic"):
        body["max_tokens"] = loaded.max_tokens or 4096
    known: Mapping[str, float] = target.timeouts
    total = timeout or known.get("total", tolerances.CALL_TOTAL_S)
    first_byte = min(total, known.get("first_byte", tolerances.FIRST_BYTE_S))
    return LoadPlan(
        url=place.url + loaded.path,
        headers=(
            *authentication,
            ("Content-Type", "application/json"),
            ("Accept", "text/event-stream"),
            ("User-Agent", "weighbridge-load"),
            *loaded.headers,
            *place.headers,
        ),
        body=json.dumps(body, ensure_ascii=False),
        model=target.models[role],
        role=role,
        principal=principal,
        surface=loaded.name,
        text=text,
        script=chosen,
        bounds=Bounds(
            connect=min(total, known.get("connect", tolerances.CONNECT_S)),
            first_byte=first_byte,
            idle=first_byte,
            total=total,
        ),
        verify_tls=target.verify_tls,
        ca_file=target.ca_file,
        keep_alive=keep_alive,
        warm_up=warm_up,
        sample=sample,
        epoch_ns=time.perf_counter_ns(),
    )
