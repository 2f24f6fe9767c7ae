"""Whatever callers and upstreams send, the answer is a refusal in words and never an accident."""

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_gateway import Components
from reference_gateway.aimlapi.replies import AimlapiReply, AimlapiStream
from reference_gateway.aimlapi.requests import AimlapiRequestToAnthropic
from reference_gateway.aimlapi.validation import AimlapiValidator
from reference_gateway.config import FieldRule, MediaKind, TaskModel
from reference_gateway.database import Connection, StorageError
from reference_gateway.failures import GatewayError
from reference_gateway.ledger import Ledger
from reference_gateway.sse import SseEvent
from reference_gateway.tasks.validation import TaskValidator
from reference_gateway.translation.anthropic_streams import (
    ChatStreamFromAnthropic,
    MessagesStreamFromAnthropic,
)
from reference_gateway.translation.messages_stream import MessagesStreamFromOpenAI
from reference_gateway.translation.replies import (
    ChatReplyFromAnthropic,
    ChatReplyFromOpenAI,
    Identity,
    MessagesReplyFromAnthropic,
    MessagesReplyFromOpenAI,
)
from reference_gateway.translation.streams import BrokenStreamError, ChatStreamFromOpenAI
from reference_gateway.translation.to_anthropic import RequestToAnthropic
from reference_gateway.translation.to_openai import RequestToOpenAI
from reference_gateway.validation.chat import ClaudeChatValidator, OpenAIChatValidator
from reference_gateway.validation.messages import MessagesValidator
from tests.reference_gateway.documented import CONFIG

ME = Identity("id", "m", 1)

VALUES = st.recursive(
    st.sampled_from(
        [None, True, False, 0, -1, 10**12, 0.5, "", "text", "tool", "required", "{", "https://e.com/x"]
    ),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything inside a document is."""
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    return [found for key, child in children for found in [(*here, key), *paths(child, (*here, key))]]


@st.composite
def damaged(draw: Any, sound: Any) -> Any:
    """A sound document in which one or two places hold something else, or nothing."""
    document = json.loads(json.dumps(sound))
    for _ in range(draw(st.integers(1, 2))):
        places = paths(document)
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        holder = document
        for key in parents:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(VALUES)
        else:
            del holder[last]
    return document


PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CHAT: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 5,
    "stream": True,
    "stream_options": {"include_usage": True},
    "stop": ["a"],
    "n": 1,
    "user": "u",
    "parallel_tool_calls": False,
    "response_format": {"type": "text"},
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "user", "content": [{"type": "text", "text": "x"}, PNG]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "t", "content": [{"type": "text", "text": "x"}]},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
}
NATIVE: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "s"}],
    "metadata": {"user_id": "u"},
    "stop_sequences": ["a"],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]}
            ],
        },
    ],
    "tools": [{"type": "custom", "name": "f", "description": "d", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
}
BOTH: dict[str, Any] = {
    "model": "anthropic/claude-opus-4-8",
    "max_tokens": 4000,
    "system": [{"type": "text", "text": "s"}],
    "stop_sequences": ["a"],
    "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
    "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "s"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                PNG,
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            ],
        },
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "x"},
        {"role": "assistant", "content": None, "refusal": "no"},
        *NATIVE["messages"],
    ],
    "tools": [*CHAT["tools"], *NATIVE["tools"], {"type": "web_search_20250305", "name": "web_search"}],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "auto",
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
    },
}
SUBMISSION = {"model": "gpt-image-2", "prompt": "x", "n": 2, "size": "1:1", "image_urls": ["https://e.com/x"]}
CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OPENAI_USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
NATIVE_USAGE = {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {"web_search_requests": 1}}
OPENAI_REPLY = {
    "created": 1,
    "choices": [{"index": 0, "message": {"content": "x", "tool_calls": [CALL]}, "finish_reason": "stop"}],
    "usage": OPENAI_USAGE,
}
NATIVE_REPLY = {
    "type": "message",
    "content": [
        {"type": "thinking", "thinking": "x", "signature": "s"},
        {"type": "text", "text": "x"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ],
    "stop_reason": "tool_use",
    "usage": NATIVE_USAGE,
}
OPENAI_STREAM = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "x"}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [CALL]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": OPENAI_USAGE},
]
TOOL = {"type": "tool_use", "id": "t", "name": "f"}
NATIVE_STREAM = [
    {"type": "message_start", "message": {"id": "m", "usage": NATIVE_USAGE}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": TOOL},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


@settings(max_examples=400)
@given(damaged(CHAT))
def test_any_chat_body_is_served_or_refused_in_words(body: Any) -> None:
    body["model"] = "claude-opus-4-8"  # found out before a validator is chosen
    with contextlib.suppress(GatewayError):
        OpenAIChatValidator().validate(body, CONFIG.models["gpt-5.5"])
    with contextlib.suppress(GatewayError):
        request = ClaudeChatValidator().validate(body, CONFIG.models["claude-opus-4-8"])
        json.dumps(RequestToAnthropic().translate(request))


@settings(max_examples=400)
@given(damaged(NATIVE))
def test_any_messages_body_is_served_or_refused_in_words(body: Any) -> None:
    body["model"] = "claude-opus-4-8"  # found out before the validator is asked
    with contextlib.suppress(GatewayError):
        request = MessagesValidator().validate(body, CONFIG.models["claude-opus-4-8"])
        json.dumps(RequestToOpenAI().translate(request))


@settings(max_examples=600)
@given(damaged(BOTH))
def test_any_body_of_the_aimlapi_is_served_or_refused_in_words(body: Any) -> None:
    model = CONFIG.aimlapi.models["anthropic/claude-opus-4-8"]
    with contextlib.suppress(GatewayError):
        request = AimlapiValidator().validate(body, model)
        json.dumps(AimlapiRequestToAnthropic().translate(request))


@given(damaged(SUBMISSION))
def test_any_submission_is_priced_or_refused_in_words(body: Any) -> None:
    validator = TaskValidator(CONFIG.task_models)
    with contextlib.suppress(GatewayError):
        assert validator.price(validator.validate("images", body), body) > 0


def test_a_count_of_results_is_an_integer_by_its_value() -> None:
    validator = TaskValidator(CONFIG.task_models)
    body = {**SUBMISSION, "n": 2.0}
    assert validator.price(validator.validate("images", body), body) == 80
    for count in (2.5, True, "2"):
        with pytest.raises(GatewayError):
            validator.validate("images", {**SUBMISSION, "n": count})


@settings(max_examples=400)
@given(damaged(OPENAI_REPLY), damaged(NATIVE_REPLY))
def test_any_reply_is_delivered_or_called_garbled(openai: Any, native: Any) -> None:
    for translator, body in (
        (ChatReplyFromOpenAI, openai),
        (MessagesReplyFromOpenAI, openai),
        (ChatReplyFromAnthropic, native),
        (MessagesReplyFromAnthropic, native),
        (AimlapiReply, native),
    ):
        with contextlib.suppress(GatewayError):
            json.dumps(translator(ME).translate(body).body)


@settings(max_examples=400)
@given(damaged(OPENAI_STREAM), damaged(NATIVE_STREAM))
def test_any_stream_is_relayed_or_called_broken(openai: Any, native: Any) -> None:
    for translator, values in (
        (ChatStreamFromOpenAI(ME), openai),
        (MessagesStreamFromOpenAI(ME), openai),
        (ChatStreamFromAnthropic(ME), native),
        (MessagesStreamFromAnthropic(ME), native),
        (AimlapiStream(ME), native),
    ):
        with contextlib.suppress(BrokenStreamError):
            for value in values:
                translator.feed(SseEvent("", json.dumps(value).encode()))
            translator.closing()


class BrokenLedger(Ledger):
    """A ledger whose disk fails at every settlement."""

    async def post_settle(self, connection: Connection, *args: Any) -> None:
        raise StorageError("disk I/O error")


def test_a_call_that_cannot_be_charged_is_not_delivered_and_holds_nothing(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(replace(Components.default(), ledger=BrokenLedger)) as d:
            customer = await d.customer("100")
            body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "[[wb:x;text=secret]]"}]}
            answer = await d.chat(customer, body)
            assert (answer.status, answer.json["error"]["code"]) == (500, "internal")
            assert "secret" not in answer.text
            assert await d.balance(customer) == "100"

    asyncio.run(main())


@pytest.mark.parametrize("field", ["seconds", "n"])
@pytest.mark.parametrize("count", [-5, 0, 1.5, "3", True, []])
def test_no_count_makes_a_task_cheaper_than_one_result(field: str, count: Any) -> None:
    """Also where a configuration gives the counted field no rule, or one without a lower end."""
    model = TaskModel("m", "videos", MediaKind.VIDEO, (), 40, field, {"n": FieldRule(type=None)})
    validator, body = TaskValidator({"m": model}), {"model": "m", field: count}
    with pytest.raises(GatewayError, match=field):
        validator.price(validator.validate("videos", body), body)
    assert validator.price(model, {}) == validator.price(model, {field: None}) == 40
    assert validator.price(model, {field: 3}) == validator.price(model, {field: 3.0}) == 120
