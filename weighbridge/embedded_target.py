"""The embedded target as a stranger would describe it: read from `targets/embedded.yaml`, started or not.

What starts it is in `embed`, which loads the simulator and the gateway; a run whose pair lives in a process of its
own plans and judges with this alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import yaml

from weighbridge import __version__
from weighbridge.locate import folder
from weighbridge.target import EMBEDDED_PLACE, Target
from weighbridge.target_file import from_document

FILE = folder("targets") / "embedded.yaml"
_SHAPE_VARIABLES = {
    "WB_VERSION": __version__,
    "WB_CHAT_URL": "http://127.0.0.1:1/v1",
    "WB_MESSAGES_URL": "http://127.0.0.1:1",
    "WB_TASKS_URL": "http://127.0.0.1:1/api/v1",
    "WB_AIMLAPI_URL": "http://127.0.0.1:2/v1",
    "WB_OPERATOR_URL": "http://127.0.0.1:1/operator/v1",
    "WB_SIMULATOR_URL": "http://127.0.0.1:1",
    "WB_OPERATOR_TOKEN": "not-started",
    "WB_CHAT_KEY": "not-started-chat",
    "WB_TASKS_KEY": "not-started-tasks",
    "WB_AIMLAPI_KEY": "not-started-aimlapi",
    "WB_CHAT_ACCOUNT": "not-started-chat",
    "WB_TASKS_ACCOUNT": "not-started-tasks",
    "WB_AIMLAPI_ACCOUNT": "not-started-aimlapi",
}


@cache
def _document() -> dict[str, Any]:
    text = FILE.read_text(encoding="utf-8")
    return cast("dict[str, Any]", yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506 - safe ones


def _with(variables: Mapping[str, str]) -> Target:
    return from_document(_document(), str(FILE), variables, ours=True)


#: The embedded target before it is started: enough to plan a run, nothing to call.
EMBEDDED_SHAPE: Target = _with(_SHAPE_VARIABLES)
EMBEDDED_PROFILES = EMBEDDED_SHAPE.profiles


@dataclass(frozen=True, slots=True)
class Pair:
    """A started simulator and gateway, with the variables that `targets/embedded.yaml` wants."""

    target: Target
    variables: Mapping[str, str]


def started(variables: Mapping[str, str]) -> Pair:
    """The pair that a start left these variables of."""
    return Pair(replace(_with(variables), place=EMBEDDED_PLACE), variables)
