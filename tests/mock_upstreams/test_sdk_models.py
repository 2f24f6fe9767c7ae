"""Every reply and every stream event is one that the official SDKs' own models accept, field by field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip(
    "openai", reason="the official SDKs are missing; in a checkout: pip install -e '.[clients]'"
)
pytest.importorskip(
    "anthropic", reason="the official SDKs are missing; in a checkout: pip install -e '.[clients]'"
)

from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from jsonschema import Draft202012Validator
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.mock_upstreams.conftest import Answer, Client

    Token = Callable[..., str]

MESSAGE_EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
RESPONSE_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 3},
        "days": {"type": "integer", "minimum": 2, "multipleOf": 3},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2, "uniqueItems": True},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    },
    "required": ["city", "days", "tags", "code"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "enum": ["a", "b", "c"]}},
}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
RESPONSES_TOOL = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
MESSAGES_TOOL = {"name": "weather", "input_schema": SCHEMA}
TWO_CALLS = json.dumps([{"name": "weather", "arguments": {"city": "Rome"}}, {"name": "time"}])

CHATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({}, {"text": "Hi there"}),
    "several choices": ({"n": 3}, {}),
    "forced tool": ({"tools": [CHAT_TOOL], "tool_choice": "required"}, {}),
    "parallel tools": ({"tools": [CHAT_TOOL]}, {"tool_calls": TWO_CALLS}),
    "logprobs": ({"logprobs": True, "top_logprobs": 3}, {}),
    "reasoning": ({"reasoning_effort": "high"}, {}),
    "json mode": ({"response_format": {"type": "json_object"}}, {}),
    "usage": ({}, {"in_": 500_000, "out": 90_000, "cached": 400_000, "written": 7, "reasoning": 80_000}),
    "cut": ({"max_completion_tokens": 2}, {}),
    "search": ({}, {"searches": 2}),
}
MESSAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({}, {"text": "Hi there"}),
    "thinking": ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}, {}),
    "redacted thinking": ({}, {"thinking": "a secret", "redacted": 1}),
    "tools": ({"tools": [MESSAGES_TOOL], "tool_choice": {"type": "any"}}, {}),
    "parallel tools": ({"tools": [MESSAGES_TOOL]}, {"tool_calls": TWO_CALLS, "text": "Two at once."}),
    "search": ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, {"searches": 2}),
    "usage": ({}, {"in_": 500_000, "out": 90_000, "cached": 400_000, "written": 7}),
    "refusal": ({}, {"finish": "content_filter"}),
    "cut": ({"max_tokens": 2}, {}),
}
RESPONSES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": ({"instructions": "Be brief.", "metadata": {"a": "b"}}, {"text": "Hi there"}),
    "tools": ({"tools": [RESPONSES_TOOL], "tool_choice": "required"}, {}),
    "parallel tools": ({"tools": [RESPONSES_TOOL]}, {"tool_calls": TWO_CALLS}),
    "reasoning": ({"reasoning": {"effort": "high", "summary": "auto"}}, {}),
    "encrypted reasoning": ({"reasoning": {"effort": "low"}}, {"redacted": 1}),
    "logprobs": ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, {}),
    "search": ({"tools": [{"type": "web_search"}]}, {"searches": 2}),
    "schema": ({"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}, {}),
    "usage": ({}, {"in_": 500_000, "out": 90_000, "cached": 400_000, "reasoning": 80_000}),
    "cut": ({"max_output_tokens": 16}, {"finish": "length"}),
    "filtered": ({}, {"finish": "content_filter"}),
}


def respond(client: Client, content: Any = "Hello", **fields: Any) -> Answer:
    return client.send("/v1/responses", {"model": "gpt-5.5", "input": content, **fields})


@pytest.mark.parametrize("case", list(CHATS))
def test_a_completion_is_one_for_the_sdk(client: Client, token: Token, name: str, case: str) -> None:
    fields, keys = CHATS[case]
    answer = client.chat(token(name, **keys), **fields)
    assert answer.status == 200, answer.body
    found = ChatCompletion.model_validate(answer.json(), strict=True)
    assert not found.model_extra
    assert found.usage is not None
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


@pytest.mark.parametrize("case", list(CHATS))
def test_every_chunk_is_one_for_the_sdk(client: Client, token: Token, name: str, case: str) -> None:
    fields, keys = CHATS[case]
    answer = client.chat(token(name, **keys), stream=True, stream_options={"include_usage": True}, **fields)
    chunks = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in answer.chunk_objects()]
    assert not any(chunk.model_extra for chunk in chunks)
    assert chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("case", list(MESSAGES))
def test_a_message_is_one_for_the_sdk(client: Client, token: Token, name: str, case: str) -> None:
    fields, keys = MESSAGES[case]
    answer = client.messages(token(name, **keys), **fields)
    assert answer.status == 200, answer.body
    found = Message.model_validate(answer.json(), strict=True)
    assert not found.model_extra
    assert not any(block.model_extra for block in found.content)


@pytest.mark.parametrize("case", list(MESSAGES))
def test_every_message_event_is_one_for_the_sdk(client: Client, token: Token, name: str, case: str) -> None:
    fields, keys = MESSAGES[case]
    answer = client.messages(token(name, **keys), stream=True, **fields)
    events = [event for event in answer.events() if event.name != "ping"]
    assert len(events) < len(answer.events())
    for event in events:
        found = MESSAGE_EVENTS.validate_python(event.json(), strict=True)
        assert found.type == event.name
        assert not found.model_extra


@pytest.mark.parametrize("case", list(RESPONSES))
def test_a_response_is_one_for_the_sdk(client: Client, token: Token, name: str, case: str) -> None:
    fields, keys = RESPONSES[case]
    answer = respond(client, token(name, **keys), **fields)
    assert answer.status == 200, answer.body
    found = Response.model_validate(answer.json(), strict=True)
    assert set(found.model_extra or ()) == {"store"}
    assert not any(item.model_extra for item in found.output)


@pytest.mark.parametrize("case", list(RESPONSES))
def test_every_response_event_is_one_for_the_sdk(client: Client, token: Token, name: str, case: str) -> None:
    fields, keys = RESPONSES[case]
    answer = respond(client, token(name, **keys), stream=True, **fields)
    events = answer.events()
    for number, event in enumerate(events):
        found = RESPONSE_EVENTS.validate_python(event.json(), strict=True)
        assert (found.type, found.sequence_number) == (event.name, number)
        assert not found.model_extra
    last = events[-1].json()
    assert last["type"] in {"response.completed", "response.incomplete"}
    done = [event.json()["item"] for event in events if event.name == "response.output_item.done"]
    assert last["response"]["output"] == done


def test_a_streamed_response_says_what_the_whole_one_says(client: Client, token: Token, name: str) -> None:
    whole = respond(client, token(name, text="one two three")).json()
    events = respond(client, token(name, text="one two three"), stream=True).events()
    deltas = "".join(event.json()["delta"] for event in events if event.name == "response.output_text.delta")
    assert deltas == whole["output"][0]["content"][0]["text"] == "one two three"


def test_models_and_token_counts_are_ones_for_the_sdks(client: Client) -> None:
    for listed in client.send("/v1/models").json()["data"]:
        assert not Model.model_validate(listed, strict=True).model_extra
    for listed in client.send("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()["data"]:
        ModelInfo.model_validate(listed)
    counted = client.send(
        "/v1/messages/count_tokens", {"model": "c", "messages": [{"role": "user", "content": "hello"}]}
    )
    MessageTokensCount.model_validate(counted.json(), strict=True)


def test_structured_replies_satisfy_their_schema(client: Client) -> None:
    judge = Draft202012Validator(SCHEMA)
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    chat = client.chat("Go", response_format=wanted).json()["choices"][0]["message"]["content"]
    text = {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}
    response = respond(client, "Go", text=text).json()["output"][0]["content"][0]["text"]
    forced = client.chat("Go", tools=[CHAT_TOOL], tool_choice="required").json()
    arguments = forced["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    for found in (chat, response, arguments):
        judge.validate(json.loads(found))
