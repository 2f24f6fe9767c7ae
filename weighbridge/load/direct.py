"""The direct baseline: the same calls to the provider itself, so that what the gateway adds can be told. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from weighbridge.errors import HarnessError, UsageError
from weighbridge.load.figures import Figures
from weighbridge.load.lanes import KINDS
from weighbridge.load.plan import Lane, LoadPlan
from weighbridge.target import Target, key_problem, url_problem

#: The simulator takes any key.
_SIMULATOR_KEY = "weighbridge-direct"


@dataclass(frozen=True, slots=True)
class Direct:
    """Where the provider is; without a URL the simulator of a wired target.

    Attributes:
        url: for chat it ends in `/v1`, for messages it is the root.
        key: of the provider.
        model: its name there; the gateway's own if None.
    """

    url: str | None = None
    key: str | None = None
    model: str | None = None


def parse(url: str | None, key: str | None, model: str | None) -> Direct:
    """The options of the baseline.

    Raises:
        UsageError: a URL or a key that nothing can be sent with, or a URL without a key.
    """
    if url is not None and (problem := url_problem(url)):
        raise UsageError(f"--direct {url!r} {problem}")
    if url is not None and key is None:
        raise UsageError("--direct needs --direct-key-env, the variable with the provider's own key")
    if key is not None and (problem := key_problem(key)):
        raise UsageError(f"--direct: the key {problem}")
    return Direct(None if url is None else url.rstrip("/"), key, model)


def direct_plan(target: Target, plan: LoadPlan, direct: Direct) -> LoadPlan:
    """The plan of the baseline: its streams and unstreamed calls, without media tasks and groups' limits.

    Raises:
        UsageError: nothing says where the provider is, or no call of the plan can be sent there.
    """
    if direct.url is None and (target.simulator is None or plan.main.script is None):
        raise UsageError(
            "a direct baseline needs the provider's own URL; add --direct URL --direct-key-env VAR, or upstream.simulator "
            "to the target file"
        )
    surfaces = {lane.surface for lane in plan.lanes if lane.surface != "tasks"}
    if not surfaces:
        raise UsageError("a direct baseline is for chat and messages; --mix has neither")
    if direct.url is not None and len(surfaces) > 1:
        raise UsageError("--direct names one provider; load chat and messages in two runs")
    lanes = tuple(_lane(target, lane, direct) for lane in plan.lanes if lane.surface != "tasks")
    return replace(plan, lanes=lanes)


def behind(plan: LoadPlan, seconds: float) -> LoadPlan:
    """The plan of the baseline's second half: of a trace those starts that come later, if there are any."""
    if plan.arrivals is None or plan.arrivals.kind != "trace":
        return plan
    later = tuple(moment - seconds for moment in plan.arrivals.trace if moment >= seconds)
    return replace(plan, arrivals=replace(plan.arrivals, trace=later)) if later else plan


#: A baseline may lose this share of its calls before it is no measure of anything.
MAX_LOST = 0.01


def require_whole(direct: Figures) -> None:
    """Make sure that the baseline is one.

    Raises:
        HarnessError: its calls failed.
    """
    completion = direct.completion
    if completion is None or completion < 1 - MAX_LOST:
        classes = ", ".join(f"{times} x {name}" for name, times in direct.failures.items()) or "none finished"
        raise HarnessError(
            f"the direct baseline failed ({classes}), so nothing can be compared with it; correct --direct, its key and "
            "--direct-model, or leave the baseline out"
        )


def _lane(target: Target, lane: Lane, direct: Direct) -> Lane:
    kind = KINDS[lane.kind]
    key = direct.key or _SIMULATOR_KEY
    headers = [
        (name, value) for name, value in lane.headers if name.lower() not in {"authorization", "x-api-key"}
    ]
    own = ("x-api-key", key) if lane.surface == "messages" else ("Authorization", f"Bearer {key}")
    root = direct.url
    if root is None:
        root = f"{target.simulator}/v1" if lane.surface == "chat" else f"{target.simulator}"
    body = json.loads(lane.body)
    # A token group is the gateway's own notion.
    body.pop("group", None)
    body["model"] = direct.model or lane.model
    text = json.dumps(body, ensure_ascii=False)
    return replace(lane, url=root + kind.path, headers=(own, *headers), body=text, pace=None)
