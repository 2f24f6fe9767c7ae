"""Mutated requests: whatever is sent, the answer is an answer, and nothing is thrown."""

from __future__ import annotations

import copy
import json
import os
import random
import socket
from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams import FAULTS, Entry, SimulatorConfig, scenario_keys
from mock_upstreams.answers import Providers
from mock_upstreams.plain_answers import Received
from mock_upstreams.routes import find_place
from mock_upstreams.scenario import find_token

if TYPE_CHECKING:
    from tests.mock_upstreams.conftest import Client

CACHE = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "pattern": "^[a-z]{2}[^x]\\d+$", "minLength": 3},
        "b": {"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 2, "uniqueItems": True},
        "c": {"allOf": [{"type": "integer"}, {"minimum": 4, "multipleOf": 3}]},
        "d": {"oneOf": [{"type": ["null", "string"]}, {"const": 2}]},
    },
    "required": ["a", "b", "c"],
    "$defs": {"n": {"type": "number", "exclusiveMinimum": 1, "maximum": 9}},
}
SEEDS: list[tuple[str, dict[str, Any]]] = [
    (
        "/v1/chat/completions",
        {
            "model": "gpt-5.5",
            "stream": True,
            "stream_options": {"include_usage": True},
            "n": 2,
            "max_tokens": 50,
            "stop": ["x"],
            "temperature": 0.5,
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {
                            "type": "object",
                            "properties": {
                                "a": {"type": "string", "minLength": 3, "format": "date"},
                                "b": {
                                    "type": "array",
                                    "items": {"type": "number", "minimum": 1},
                                    "minItems": 2,
                                },
                                "c": {"anyOf": [{"enum": [1]}, {"const": 2}]},
                            },
                            "required": ["a", "b"],
                        },
                    },
                }
            ],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object"}},
            },
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "s", **CACHE}]},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                {"role": "tool", "tool_call_id": "1", "content": "r"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "hello [[wb:fuzz]]"},
                        {"type": "image_url", "image_url": {"url": "http://x/"}},
                    ],
                },
            ],
        },
    ),
    (
        "/v1/messages",
        {
            "model": "claude",
            "max_tokens": 2000,
            "stream": True,
            "system": [{"type": "text", "text": "s", **CACHE}],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "stop_sequences": ["x"],
            "metadata": {"user_id": "u"},
            "tools": [
                {"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
            ],
            "tool_choice": {"type": "tool", "name": "f"},
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image", "source": {"type": "url", "url": "http://x/"}}],
                },
                {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "1",
                            "content": [{"type": "text", "text": "r"}],
                        },
                        {"type": "text", "text": "hello [[wb:fuzz]]", **CACHE},
                    ],
                },
            ],
        },
    ),
    (
        "/v1/responses",
        {
            "model": "gpt-5.5",
            "stream": True,
            "instructions": "s",
            "max_output_tokens": 100,
            "include": ["message.output_text.logprobs"],
            "top_logprobs": 2,
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
            "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}, {"type": "web_search"}],
            "tool_choice": {"type": "function", "name": "f"},
            "metadata": {"a": "b"},
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "hello [[wb:fuzz]]"},
                        {"type": "input_image", "image_url": "http://x/"},
                    ],
                },
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": "r"},
            ],
        },
    ),
    ("/v1/messages/count_tokens", {"model": "c", "messages": [{"role": "user", "content": "hello"}]}),
    (
        "/media/v1/jobs",
        {"kind": "video", "model": "m", "prompt": "p [[wb:fuzz]]", "n": 2, "return_last_frame": True},
    ),
]


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"type": "object", "properties": {"a": value}, "items": [value]} if depth < 9 else [value]
    return value


ODDITIES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63,
    2**70,
    1e308,
    0.5,
    "",
    "x",
    "\0",
    "é🙂",
    "null",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"": None},
    {"type": []},
    {"type": {}},
    {"type": "text"},
    {"cache_control": []},
    nested(8),
    nested(300),
]
KEYS = [*scenario_keys.KEYS, "bogus", ""]
VALUES = [
    "",
    "0",
    "1",
    "5",
    "500",
    "99999999999",
    "-1",
    "%7B%7D",
    "%",
    "%ff",
    "caf%C3%A9",
    "length",
    "tool_calls",
]
VALUES += ["x y", "completed", "moderated", "reset", *FAULTS]
VALUES += [
    "uniform:1:5",
    "lognormal:2:0.5",
    "trace:1,2,3",
    "0:50",
    "date+5",
    "known",
    "%5B%7B%22status%22:500%7D%5D",
]
VALUES += ["%5B%7B%22name%22:%22f%22%7D%5D", "%5B%5D", "%5Bnull%5D", "nan", "1e9", "true"]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key or index inside a JSON value."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        keys: Any = (
            item.keys() if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        )
        for key in keys:
            found.append((item, key))
            waiting.append(item[key])
    return found


def scenario(chance: random.Random) -> str:
    pairs = (f"{chance.choice(KEYS)}={chance.choice(VALUES)}" for _ in range(chance.randint(0, 3)))
    return f"[[wb:{chance.choice(['fuzz', 'f' * 65, ''])};{';'.join(pairs)}]]"


def mutated(chance: random.Random) -> tuple[str, bytes]:
    """A seed with a few of its values replaced, removed or damaged."""
    path, seed = chance.choice(SEEDS)
    body = copy.deepcopy(seed)
    for _ in range(chance.randint(0, 3)):
        container, key = chance.choice(places(body))
        if isinstance(container, dict) and chance.random() < 0.3:
            del container[key]
        else:
            container[key] = copy.deepcopy(chance.choice(ODDITIES))
        if not body:
            break
    raw = json.dumps(body).encode()
    if chance.random() < 0.4:
        raw = raw.replace(b"[[wb:fuzz]]", scenario(chance).encode())
    if chance.random() < 0.15:
        at = chance.randrange(len(raw))
        raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at + chance.randint(0, 3) :]
    return path, raw


HEADERS: list[dict[str, str]] = [
    {"anthropic-version": "2023-06-01"},
    {"anthropic-version": "2023-06-01", "x-wb-scenario": "known"},
    {"anthropic-version": "2023-06-01", "x-wb-scenario": "unknown"},
    {"x-wb-scenario": "\udcff [[wb"},
    {},
]
COUNT = int(os.environ.get("SIMULATOR_FUZZ_REQUESTS", "3000"))
"""Mutated requests; `make fuzz-simulator` asks for 100,000."""


@pytest.mark.parametrize("strict", [False, True])
def test_no_mutated_request_throws_and_each_gets_a_plan(strict: bool) -> None:
    chance = random.Random(20260115 + strict)
    providers = Providers(SimulatorConfig(strict=strict, models=("gpt-5.5", "claude", "c", "m")))
    providers.library.put("known", {"text": "known"})
    statuses: dict[int | None, int] = {}
    for _ in range(COUNT // 2):
        path, raw = mutated(chance)
        received = Received(
            place=find_place(path),
            method="POST",
            body=raw,
            token=find_token(raw),
            credential="k",
            origin="http://x",
            headers=chance.choice(HEADERS),
        )
        plan = providers.answer(received, Entry("", "", "", "POST", path, "", (), None, 0))
        events = list(plan.events)
        assert plan.length is None or plan.fault or sum(len(data) for _, data in events) == plan.length
        statuses[plan.status] = statuses.get(plan.status, 0) + 1
        if plan.fault is None:
            assert plan.status in {200, 202, 400, 404, 429}, raw
    assert statuses[200] > COUNT // 40
    assert statuses[400] > COUNT // 20


def test_no_mutated_request_breaks_the_server(client: Client) -> None:
    chance = random.Random(7)
    for _ in range(300):
        path, raw = mutated(chance)
        if b"fault=stall" in raw or b"fault=slow_loris" in raw or b"fault=latency_spike" in raw:
            continue
        answer = client.send(path, raw, method="POST")
        assert answer.ended in {"complete", "fin", "rst"}
    assert client.chat("[[wb:alive;text=well]]").json()["choices"][0]["message"]["content"] == "well"


def test_no_damaged_http_breaks_the_server(client: Client) -> None:
    chance = random.Random(11)
    whole = (
        b"POST /u/a/v1/messages?x=%5B HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nexpect: 100-continue\r\n"
        b'transfer-encoding: chunked\r\nx-wb-scenario: [[wb:h]]\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'
    )
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randint(0, 4)] = bytes(
                chance.randrange(256) for _ in range(chance.randint(0, 4))
            )
        with client.connect() as sock:
            sock.sendall(bytes(data))
            try:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError as exc:
                assert not isinstance(exc, TimeoutError), bytes(data)  # noqa: PT017 - a reset is fine, silence is not
    assert client.send("/_wb/health").status == 200


@pytest.mark.parametrize("path", ["/_wb/journal/query", "/_wb/reset", "/_wb/journal"])
def test_no_odd_control_request_breaks_the_server(client: Client, path: str) -> None:
    for oddity in ODDITIES:
        for body in (oddity, {"ids": oddity}, {"without_id_since": oddity}):
            assert client.send(path, json.dumps(body).encode(), method="POST").status in {200, 400, 405}
