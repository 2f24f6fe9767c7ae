"""Strict mode refuses what the real upstreams refuse; the default takes it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams import SimulatorConfig
from mock_upstreams.media_files import png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Answer, Client

    Start = Callable[[SimulatorConfig], AbstractContextManager[Client]]

USER = {"role": "user", "content": "Hello"}
PNG = base64.b64encode(png(1)).decode()
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function"}]}
VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[Client, Client]]:
    import uvloop

    from tests.mock_upstreams.conftest import _running  # the fixture `start` is made anew for each test

    with (
        _running(SimulatorConfig(strict=True), uvloop.new_event_loop) as strict,
        _running(SimulatorConfig(), uvloop.new_event_loop) as lenient,
    ):
        yield strict, lenient


def picture(media_type: str, data: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


def block(media_type: str, data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def chat(client: Client, **fields: Any) -> Answer:
    body = {"model": "gpt-5.5", "messages": [USER], **fields}
    return client.send("/v1/chat/completions", body)


def message(client: Client, headers: dict[str, str], **fields: Any) -> Answer:
    body = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": [USER], **fields}
    return client.send("/v1/messages", body, headers=headers)


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": "gpt-nought"}, 404, "does not exist"),
        ({"max_tokens": 200_000}, 400, "max_tokens is too large: 200000. This model supports at most 128000"),
        ({"max_completion_tokens": 200_000}, 400, "max_completion_tokens is too large"),
        (
            {"messages": [{**USER, "content": "a" * 4_400_000}]},
            400,
            "maximum context length is 1050000 tokens",
        ),
        ({"messages": [{**USER, "mood": "good"}]}, 400, "Unknown parameter: 'messages[0].mood'"),
        (
            {"messages": [{**USER, "content": [picture("image/png", "AAAA")]}]},
            400,
            "its data is not image/png",
        ),
        (
            {"messages": [{**USER, "content": [picture("image/jpeg", PNG)]}]},
            400,
            "its data is not image/jpeg",
        ),
        ({"messages": [{**USER, "content": [picture("image/png", "!!")]}]}, 400, "not valid base64"),
        ({"messages": [USER, CALLED, USER]}, 400, "must be followed by tool messages"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "r"}]}, 400, "must be a response to"),
        ({"response_format": {"type": "json_object"}}, 400, "must contain the word 'json'"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b", "parameters": {}}}]},
            400,
            "does not match pattern",
        ),
    ],
)
def test_a_chat_call_is_refused_as_by_openai(
    clients: tuple[Client, Client], fields: dict[str, Any], status: int, says: str
) -> None:
    strict, lenient = clients
    refused = chat(strict, **fields)
    assert refused.status == status
    assert says in refused.json()["error"]["message"]
    assert chat(lenient, **fields).status == 200


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": "claude-nought"}, 404, "model: claude-nought"),
        ({"max_tokens": 200_000}, 400, "max_tokens: 200000 > 128000, which is the maximum allowed"),
        (
            {"messages": [{**USER, "content": "a" * 4_400_000}]},
            400,
            "prompt is too long: 1100000 tokens > 1000000",
        ),
        ({"messages": [{**USER, "mood": "good"}]}, 400, "messages.0.mood: Extra inputs are not permitted"),
        ({"messages": [{**USER, "content": [block("image/gif", PNG)]}]}, 400, "its data is not image/gif"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "first message must use"),
        (
            {"messages": [{**USER, "content": [{"type": "tool_result", "tool_use_id": "t1"}]}]},
            400,
            "unexpected `tool_use_id`",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000, "temperature": 0.5},
            400,
            "may only be set to 1",
        ),
        (
            {
                "messages": [
                    USER,
                    {
                        "role": "assistant",
                        "content": [{"type": "thinking", "thinking": "x", "signature": "forged"}],
                    },
                    USER,
                ]
            },
            400,
            "Invalid `signature` in `thinking` block",
        ),
    ],
)
def test_a_message_is_refused_as_by_anthropic(
    clients: tuple[Client, Client], fields: dict[str, Any], status: int, says: str
) -> None:
    strict, lenient = clients
    refused = message(strict, VERSION, **fields)
    assert refused.status == status
    assert says in refused.json()["error"]["message"]
    assert message(lenient, VERSION, **fields).status == 200


def test_the_version_header_is_required(clients: tuple[Client, Client]) -> None:
    strict, lenient = clients
    assert "anthropic-version: header is required" in message(strict, {}).json()["error"]["message"]
    assert message(lenient, {}).status == 200


def test_thinking_that_comes_back_unchanged_is_taken(clients: tuple[Client, Client]) -> None:
    strict, _ = clients
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    first = message(strict, VERSION, **fields).json()
    history = [USER, {"role": "assistant", "content": first["content"]}, USER]
    assert message(strict, VERSION, **{**fields, "messages": history}).status == 200


def test_a_sound_call_is_answered(clients: tuple[Client, Client]) -> None:
    strict, _ = clients
    assert chat(strict, messages=[{**USER, "content": [picture("image/png", PNG)]}]).status == 200
    answered = {"role": "tool", "tool_call_id": "c1", "content": "r"}
    assert chat(strict, messages=[USER, CALLED, answered, USER]).status == 200
    assert strict.send("/v1/responses", {"model": "gpt-5.5", "input": "Hello"}).status == 200
    too_long = strict.send(
        "/v1/responses", {"model": "gpt-5.5", "input": "Hello", "max_output_tokens": 500_000}
    )
    assert "max_output_tokens is too large" in too_long.json()["error"]["message"]
