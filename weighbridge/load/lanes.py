"""The kinds of calls a load is mixed from, and how a mix is written.

    MIX   = LANE { "," LANE }
    LANE  = KIND [ ":" MODEL ] [ "@" GROUP ] [ "=" WEIGHT ]

`chat=3,messages,plain:gpt-5.5@side,tasks:image`. MODEL is a role or a model of the target file, GROUP one of
its token groups, WEIGHT a whole number: the lane's share of the users, or of the starts of an open load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from weighbridge.errors import TargetFileError, UsageError, nearest
from weighbridge.target import CHAT_PATH, MESSAGES_PATH, Target

_LANE = re.compile(r"([a-z-]+)(?::([^@=]+))?(?:@([^=]+))?(?:=(\d{1,4}))?\Z")


@dataclass(frozen=True, slots=True)
class LaneKind:
    """A kind of call.

    Attributes:
        surface: where it goes.
        path: where it is POSTed, below the surface's URL; of a task its model decides.
        roles: beginnings of the model roles that it takes, the preferred one first.
        principals: surfaces whose funded key it takes, its own first.
        streamed: the answer is an event stream.
        headers: what its dialect asks for.
        max_tokens: sent where the dialect demands a limit.
    """

    surface: str
    path: str
    roles: tuple[str, ...]
    principals: tuple[str, ...]
    streamed: bool
    headers: tuple[tuple[str, str], ...] = ()
    max_tokens: int | None = None


_ANTHROPIC = (("anthropic-version", "2023-06-01"),)
KINDS: Mapping[str, LaneKind] = {
    "chat": LaneKind("chat", CHAT_PATH, ("openai", "anthropic"), ("chat",), streamed=True),
    "messages": LaneKind(
        "messages",
        MESSAGES_PATH,
        ("anthropic",),
        ("messages", "chat"),
        streamed=True,
        headers=_ANTHROPIC,
        max_tokens=4096,
    ),
    "plain": LaneKind("chat", CHAT_PATH, ("openai", "anthropic"), ("chat",), streamed=False),
    "plain-messages": LaneKind(
        "messages",
        MESSAGES_PATH,
        ("anthropic",),
        ("messages", "chat"),
        streamed=False,
        headers=_ANTHROPIC,
        max_tokens=4096,
    ),
    "tasks": LaneKind("tasks", "", ("image", "text", "audio", "video"), ("tasks",), streamed=False),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lane as the operator wrote it."""

    kind: str
    model: str | None = None
    group: str | None = None
    weight: int = 1

    @property
    def name(self) -> str:
        """The lane without its weight."""
        model = "" if self.model is None else f":{self.model}"
        return f"{self.kind}{model}" + ("" if self.group is None else f"@{self.group}")


def parse_mix(text: str) -> tuple[Wanted, ...]:
    """The lanes of `--mix`.

    Raises:
        UsageError: not of this shape, an unknown kind, or a lane that stands twice.
    """
    found: list[Wanted] = []
    for part in text.split(","):
        match = _LANE.match(part.strip())
        kind = match[1] if match else re.split(r"[:@=]", part.strip())[0]
        if kind not in KINDS:
            raise UsageError(
                f"--mix: no kind of call {kind!r}{nearest(kind, KINDS)}; known: {', '.join(KINDS)}"
            )
        if match is None or match[4] == "0":
            raise UsageError(
                f"--mix: {part.strip()!r} is no lane; write KIND:MODEL@GROUP=WEIGHT such as chat:gpt-5.5=3, "
                "all but KIND optional, WEIGHT from 1"
            )
        lane = Wanted(kind, match[2], match[3], int(match[4] or 1))
        if lane.name in {item.name for item in found}:
            raise UsageError(f"--mix: {lane.name} stands there twice; add up its weights")
        found.append(lane)
    return tuple(found)


def require_surface(wanted: str | None) -> None:
    """Make sure that there is a load test for a surface, before anything is started.

    Raises:
        UsageError: there is none.
    """
    if wanted is not None and wanted not in KINDS:
        raise UsageError(
            f"--surface {wanted!r}: no load test for it{nearest(wanted, KINDS)}; known: {', '.join(KINDS)}"
        )


def default_mix(target: Target, surface: str | None) -> tuple[Wanted, ...]:
    """One lane: streams of the surface asked for, else of chat, else of messages.

    Raises:
        UsageError: there is no load test for the surface.
        TargetFileError: the target does not have it.
    """
    require_surface(surface)
    names = [surface] if surface is not None else ["chat", "messages"]
    found = next((name for name in names if KINDS[name].surface in target.surfaces), None)
    if found is None:
        raise TargetFileError(
            f"{target.place}: a load test needs surfaces.{KINDS[names[0]].surface}; add its URL"
        )
    return (Wanted(found),)
