"""Whatever a target sends, a rule answers with a finding and never breaks: junk is the target's fault, not ours."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.checks.chat_evidence import call, chunk, post, stream
from weighbridge import checks
from weighbridge.scenario import Scenario
from weighbridge.verdict import Finding

ODD: list[Any] = [
    None,
    True,
    0,
    -1.5,
    "",
    "x",
    [],
    [1],
    {},
    {"a": 1},
    [[]],
    [{}],
    {"message": [], "type": {}, "code": []},
]
MEMBERS = [
    "id",
    "object",
    "created",
    "model",
    "choices",
    "usage",
    "error",
    "type",
    "role",
    "content",
    "stop_reason",
    "stop_sequence",
    "status",
    "output",
    "created_at",
    "message",
    "delta",
    "index",
    "finish_reason",
    "event",
    "detail",
    "meta",
    "statusCode",
    "path",
    "timestamp",
    "requestId",
]
SCRIPT = Scenario(text="x", tool="f", args="{}", prompt_tokens=1, completion_tokens=1)
#: All of them, so that a rule which moves or is new is tried as well.
MODULES = [
    importlib.import_module(f"{checks.__name__}.{found.name}")
    for found in pkgutil.iter_modules(checks.__path__)
]


def _rules() -> list[tuple[str, Callable[..., Any]]]:
    found: list[tuple[str, Callable[..., Any]]] = []
    for module in MODULES:
        for name, value in vars(module).items():
            if name.startswith("_") or not inspect.isfunction(value) or value in {rule for _, rule in found}:
                continue
            signature = inspect.signature(value)
            taken = [str(parameter.annotation) for parameter in signature.parameters.values()]
            if taken == ["Call"] and signature.return_annotation == "Finding":
                found.append((f"{module.__name__.rpartition('.')[2]}.{name}", value))
    return found


def _bodies() -> list[Any]:
    whole = [dict.fromkeys(MEMBERS, odd) for odd in ODD]
    nested = [
        {"choices": [{name: odd}]}
        for name, odd in itertools.product(("index", "delta", "message", "finish_reason"), ODD)
    ]
    blocks = [
        {"content": [odd], "usage": {"input_tokens": odd}, "output": {"image_urls": odd}} for odd in ODD
    ]
    return [*ODD, *whole, *nested, *blocks]


REQUEST = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5, "n": 2}


@pytest.mark.parametrize(("name", "rule"), _rules(), ids=[name for name, _ in _rules()])
def test_a_rule_answers_junk_with_a_finding(name: str, rule: Callable[..., Any]) -> None:
    options: dict[str, Any] = {
        "scenario": SCRIPT,
        "request": REQUEST,
        "upstream": (post(body={"messages": [1]}),),
    }
    for body in _bodies():
        raw = json.dumps(body)
        for seen in (
            call(raw, **options),
            call(raw, status=400, **options),
            stream(f"data: {raw}\n\ndata: [DONE]\n\n", **options),
        ):
            assert isinstance(rule(seen), Finding), name
    for odd in ODD:
        text = (
            chunk({"tool_calls": [odd]})
            + chunk({"role": odd, "content": odd})
            + f"event: {odd}\ndata: {json.dumps({'type': 'message_start', 'message': odd})}\n\n"
        )
        assert isinstance(rule(stream(text, **options)), Finding), name
