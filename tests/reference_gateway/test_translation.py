"""Translation without a network: requests there and back again, replies, streams cut anywhere, and the grammar."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_gateway.failures import GatewayError
from reference_gateway.sse import DONE, SseReader, frame, named_frame
from reference_gateway.translation.anthropic_streams import (
    ChatStreamFromAnthropic,
    MessagesStreamFromAnthropic,
)
from reference_gateway.translation.messages_stream import MessagesStreamFromOpenAI
from reference_gateway.translation.replies import (
    ChatReplyFromAnthropic,
    ChatReplyFromOpenAI,
    Identity,
    MessagesReplyFromOpenAI,
)
from reference_gateway.translation.streams import (
    BrokenStreamError,
    ChatStreamFromOpenAI,
    Progress,
    StreamTranslator,
)
from reference_gateway.translation.to_anthropic import RequestToAnthropic
from reference_gateway.translation.to_openai import RequestToOpenAI
from reference_gateway.validation.chat import ClaudeChatValidator
from reference_gateway.validation.messages import MessagesValidator
from tests.reference_gateway.documented import CONFIG

OPUS = CONFIG.models["claude-opus-4-8"]
ME = Identity(id="id-1", model="claude-opus-4-8", created=1, cache_details=True)


def there_and_back(body: dict[str, Any]) -> dict[str, Any]:
    native = RequestToAnthropic().translate(ClaudeChatValidator().validate(body, OPUS))
    return RequestToOpenAI().translate(MessagesValidator().validate(native, OPUS))


def test_a_conversation_with_tools_survives_the_way_there_and_back() -> None:
    body: dict[str, Any] = {
        "model": "claude-opus-4-8",
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["A", "B"],
        "user": "u",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Weather in Bonn and Rome?"},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "w", "arguments": '{"c":"Bonn"}'}},
                    {"id": "b", "type": "function", "function": {"name": "w", "arguments": '{"c":"Rome"}'}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "rain"},
            {"role": "tool", "tool_call_id": "b", "content": "sun"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "w", "description": "d", "parameters": {"type": "object"}},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "w"}},
        "parallel_tool_calls": False,
    }
    assert there_and_back(body) == body


def test_both_tool_results_of_a_round_land_in_one_turn() -> None:
    body = {
        "model": "claude-opus-4-8",
        "max_tokens": 5,
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
        ],
    }
    turns = RequestToAnthropic().translate(ClaudeChatValidator().validate(body, OPUS))["messages"]
    assert [turn["role"] for turn in turns] == ["user"]
    assert [block["type"] for block in turns[0]["content"]] == ["text", "tool_result", "tool_result"]


def test_arguments_that_are_no_json_object_are_refused_by_name() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "w", "arguments": "{"}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    body = {"model": "claude-opus-4-8", "max_tokens": 5, "messages": messages}
    with pytest.raises(GatewayError, match=r"messages\[1\]\.tool_calls\[0\]\.function\.arguments"):
        RequestToAnthropic().translate(ClaudeChatValidator().validate(body, OPUS))


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_stop_reasons_become_finish_reasons(stop: str, finish: str) -> None:
    body = {"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": stop}
    reply = ChatReplyFromAnthropic(ME).translate(body)
    assert reply.body["choices"][0]["finish_reason"] == finish
    assert reply.usage is None


@pytest.mark.parametrize("translator", [ChatReplyFromAnthropic, ChatReplyFromOpenAI, MessagesReplyFromOpenAI])
@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [5]}, {"content": "x"}, {"content": [1]}])
def test_replies_that_make_no_sense_are_the_upstreams_failure(translator: Any, body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError, match="makes no sense"):
        translator(ME).translate(body)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": "5", "completion_tokens": 1},
        {"prompt_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 6}},
        {"prompt_tokens": 10**10, "completion_tokens": 1},
    ],
)
def test_counters_that_make_no_sense_are_no_basis_for_a_bill(usage: dict[str, Any]) -> None:
    body = {"choices": [{"index": 0, "message": {"content": "x"}}], "usage": usage}
    assert ChatReplyFromOpenAI(ME).translate(body).usage is None


def native(*values: dict[str, Any]) -> bytes:
    return b"".join(named_frame(value["type"], json.dumps(value).encode()) for value in values)


START = {"type": "message_start", "message": {"id": "u", "usage": {"input_tokens": 20, "output_tokens": 1}}}
TEXT_BLOCK = (
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße, 世界"}},
    {"type": "content_block_stop", "index": 0},
)
TOOL_BLOCK = (
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "t", "name": "f"},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a'}},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '":1}'},
    },
    {"type": "content_block_stop", "index": 1},
)
BARE_TOOL = (
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "u", "name": "g"},
    },
    {"type": "content_block_stop", "index": 2},
)
END = (
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
)
NATIVE_STREAM = native(START, {"type": "ping"}, *TEXT_BLOCK, *TOOL_BLOCK, *BARE_TOOL, *END)


def pumped(translator: StreamTranslator, data: bytes, cuts: list[int] | None = None) -> bytes:
    reader, out = SseReader(), b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    for begin, end in pairwise(edges):
        for event in reader.feed(data[begin:end]):
            out += translator.feed(event)
    return out + translator.closing()


def chunks(data: bytes) -> list[Any]:
    return [json.loads(event.data) for event in SseReader().feed(data) if event.data != b"[DONE]"]


def test_a_native_stream_becomes_chat_chunks_with_tools_and_usage() -> None:
    translator = ChatStreamFromAnthropic(ME, include_usage=True)
    out = pumped(translator, NATIVE_STREAM)
    assert translator.progress is Progress.TERMINATED
    assert out.endswith(DONE)
    *content, usage = chunks(out)
    deltas = [chunk["choices"][0]["delta"] for chunk in content]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Grüße, 世界"
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    arguments = ["", ""]
    for call in calls:
        arguments[call["index"]] += call["function"]["arguments"]
    assert [json.loads(text) for text in arguments] == [{"a": 1}, {}]
    assert content[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (20, 9)


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_the_translation_of_a_stream_does_not_depend_on_how_it_was_cut(cuts: list[int]) -> None:
    for translator in (ChatStreamFromAnthropic, MessagesStreamFromAnthropic):
        assert pumped(translator(ME), NATIVE_STREAM, cuts) == pumped(translator(ME), NATIVE_STREAM)


def test_a_stream_survives_the_way_to_chat_chunks_and_back_to_native_events() -> None:
    as_chat = pumped(ChatStreamFromAnthropic(ME, include_usage=True), NATIVE_STREAM)
    back = MessagesStreamFromOpenAI(ME)
    values = chunks(pumped(back, as_chat))
    kinds = [value["type"] for value in values]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    starts = [value["content_block"] for value in values if value["type"] == "content_block_start"]
    assert [(block["type"], block.get("name")) for block in starts] == [
        ("text", None),
        ("tool_use", "f"),
        ("tool_use", "g"),
    ]
    indexes = [value["index"] for value in values if value["type"] == "content_block_start"]
    assert (
        indexes == [0, 1, 2] == [value["index"] for value in values if value["type"] == "content_block_stop"]
    )
    text = "".join(v["delta"].get("text", "") for v in values if v["type"] == "content_block_delta")
    assert text == "Grüße, 世界"
    final = values[-2]
    assert (final["delta"]["stop_reason"], final["usage"]["input_tokens"]) == ("tool_use", 20)
    assert back.usage is not None
    assert (back.usage.input, back.usage.output) == (20, 9)


@pytest.mark.parametrize(
    "data",
    [
        native(*END),
        native(START, TEXT_BLOCK[1]),
        native(START, TEXT_BLOCK[0], TEXT_BLOCK[0]),
        native(START, START),
        native(START, {"type": "message_delta", "delta": {}, "usage": {}}, {"type": "message_stop"}),
        native(START, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
        named_frame("message_start", b'{"type": "message_start"}'),
        named_frame("message_start", b"{"),
        named_frame("message_start", b"[]"),
    ],
)
def test_a_native_stream_against_the_grammar_is_broken(data: bytes) -> None:
    for translator in (ChatStreamFromAnthropic(ME), MessagesStreamFromAnthropic(ME)):
        with pytest.raises(BrokenStreamError):
            pumped(translator, data)


@pytest.mark.parametrize(
    "data",
    [
        DONE,
        frame(b"{"),
        frame(b"[]"),
        frame(b'{"error": {"message": "x"}}'),
        frame(b'{"choices": {}}'),
        frame(b'{"choices": [{"delta": {}}]}'),
        frame(b'{"choices": [{"index": 0}]}'),
    ],
)
def test_a_chat_stream_against_the_grammar_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        pumped(ChatStreamFromOpenAI(ME), data)


def test_the_finish_is_kept_back_until_the_call_is_paid() -> None:
    translator = ChatStreamFromOpenAI(ME)
    (event,) = SseReader().feed(frame(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'))
    assert translator.feed(event) == b""
    assert translator.progress is Progress.FINISHED
    assert b'"finish_reason":"stop"' in translator.closing()
