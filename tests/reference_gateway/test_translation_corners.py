"""Where the two formats differ in small things: refusals, empty texts, calls in turns, forced tools, foreign fields."""

import json
from typing import Any

import pytest

from reference_gateway.failures import GatewayError
from reference_gateway.sse import SseEvent, SseReader
from reference_gateway.translation.anthropic_streams import (
    ChatStreamFromAnthropic,
    MessagesStreamFromAnthropic,
)
from reference_gateway.translation.messages_stream import MessagesStreamFromOpenAI
from reference_gateway.translation.replies import Identity, MessagesReplyFromOpenAI
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
ME = Identity(id="id-1", model="claude-opus-4-8", created=1)
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TEXT = {"type": "text", "text": "hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def to_anthropic(*messages: dict[str, Any], **fields: Any) -> Any:
    body = {"model": "claude-opus-4-8", "max_tokens": 50, "messages": list(messages), **fields}
    return RequestToAnthropic().translate(ClaudeChatValidator().validate(body, OPUS))


def to_openai(*messages: dict[str, Any], **fields: Any) -> Any:
    body = {"model": "claude-opus-4-8", "max_tokens": 50, "messages": list(messages), **fields}
    return RequestToOpenAI().translate(MessagesValidator().validate(body, OPUS))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


# ---------------------------------------------------------------- requests to Anthropic
@pytest.mark.parametrize(
    "refusing", [assistant(None, refusal="No."), assistant([{"type": "refusal", "refusal": "No."}])]
)
def test_an_earlier_refusal_goes_on_as_text(refusing: dict[str, Any]) -> None:
    turns = to_anthropic(user("x"), refusing, user("why?"))["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] in ("No.", [{"type": "text", "text": "No."}])


def test_empty_texts_are_left_out_with_the_turns_that_hold_nothing_else() -> None:
    empty = {"type": "text", "text": ""}
    turns = to_anthropic(user("x"), assistant(""), user([empty, TEXT]), assistant("", tool_calls=[CALL]))[
        "messages"
    ]
    assert turns == [
        {"role": "user", "content": [{"type": "text", "text": "x"}, TEXT]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
    ]
    assert "system" not in to_anthropic({"role": "system", "content": [empty]}, user("x"))
    with pytest.raises(GatewayError, match="at least one message with content"):
        to_anthropic({"role": "system", "content": "x"}, user(""))


def test_of_two_limits_on_the_output_the_smaller_one_holds() -> None:
    assert to_anthropic(user("x"), max_completion_tokens=20)["max_tokens"] == 20
    assert to_anthropic(user("x"), max_completion_tokens=80)["max_tokens"] == 50
    assert to_anthropic(user("x"))["max_tokens"] == 50


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "system", "content": [PICTURE]}, r"messages\[1\]\.content\[0\]\.type"),
        (assistant([TEXT, PICTURE]), r"messages\[1\]\.content\[1\]\.type"),
        (assistant([PICTURE], tool_calls=[CALL]), r"messages\[1\]\.content\[0\]\.type"),
        (user([{"type": "refusal", "refusal": "x"}]), r"messages\[1\]\.content\[0\]\.type"),
        (assistant([{"type": "refusal"}]), r"messages\[1\]\.content\[0\]\.refusal"),
        (assistant(None, refusal=5), r"messages\[1\]\.refusal"),
        (assistant(None, function_call={"name": "f", "arguments": "{}"}), r"messages\[1\]\.function_call"),
        (assistant(None, audio={"id": "x"}), r"messages\[1\]\.audio"),
        (user([{"type": "input_audio"}]), r"messages\[1\]\.content\[0\]\.type"),
    ],
)
def test_content_without_a_place_in_the_other_format_is_refused_by_name(
    message: dict[str, Any], field: str
) -> None:
    with pytest.raises(GatewayError, match=f"`{field}`"):
        to_anthropic(user("x"), message)


def test_pictures_in_tool_results_reach_the_model() -> None:
    result = {"role": "tool", "tool_call_id": "a", "content": [TEXT, PICTURE]}
    (turn,) = to_anthropic(result)["messages"]
    assert [block["type"] for block in turn["content"][0]["content"]] == ["text", "image"]


@pytest.mark.parametrize(
    ("sent", "parallel", "choice"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None),
        ({"type": "function", "function": {"name": "f"}}, None, {"type": "tool", "name": "f"}),
    ],
)
def test_each_form_of_tool_choice_has_its_counterpart(sent: Any, parallel: Any, choice: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = to_anthropic(user("x"), tools=tools, tool_choice=sent, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == choice
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


# ---------------------------------------------------------------- requests to OpenAI
@pytest.mark.parametrize("field", ["mcp_servers", "container", "output_format", "no_such_field"])
def test_a_field_that_would_change_the_reply_is_refused_by_name(field: str) -> None:
    with pytest.raises(GatewayError, match=f"`{field}` is not served by this group"):
        to_openai(user("x"), **{field: {"a": 1}})


def test_fields_that_only_tune_or_label_are_left_out() -> None:
    body = to_openai(
        user([{**TEXT, "cache_control": {"type": "ephemeral"}}]),
        top_k=5,
        thinking={"type": "enabled", "budget_tokens": 1024},
        service_tier="auto",
        mcp_servers=None,
        metadata={"user_id": "u"},
        stop_sequences=["A"],
        system=[{**TEXT, "cache_control": {"type": "ephemeral"}}, TEXT],
    )
    assert body == {
        "model": "claude-opus-4-8",
        "max_tokens": 50,
        "messages": [{"role": "system", "content": "hi\nhi"}, user([TEXT])],
        "user": "u",
        "stop": ["A"],
    }


@pytest.mark.parametrize(
    "turn",
    [
        user([{"type": "tool_use", "id": "a", "name": "f", "input": {}}]),
        assistant([{"type": "tool_result", "tool_use_id": "a", "content": "x"}]),
        assistant([{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]),
    ],
)
def test_a_block_in_a_turn_of_the_wrong_role_is_refused_by_name(turn: dict[str, Any]) -> None:
    with pytest.raises(GatewayError, match=r"`messages\[1\]\.content\[0\]\.type`"):
        to_openai(user("x"), turn)


@pytest.mark.parametrize("kind", ["document", "search_result", "server_tool_use", "web_search_tool_result"])
def test_a_block_of_a_kind_that_has_no_counterpart_is_refused_by_name(kind: str) -> None:
    with pytest.raises(GatewayError, match=r"`messages\[0\]\.content\[1\]\.type`"):
        to_openai(user([TEXT, {"type": kind}]))


def test_a_conversation_without_any_content_is_refused() -> None:
    with pytest.raises(GatewayError, match="at least one message with content"):
        to_openai(user([]), system="x")


def test_thinking_of_earlier_turns_stays_behind() -> None:
    thinking = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
    ]
    assert to_openai(user("x"), assistant([*thinking, TEXT]))["messages"][1] == assistant("hi")


# ---------------------------------------------------------------- replies
def reply(message: dict[str, Any], finish: str) -> Any:
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return MessagesReplyFromOpenAI(ME).translate(body).body


def test_a_refusal_in_words_is_text_with_the_stop_reason_refusal() -> None:
    body = reply(assistant(None, refusal="No."), "stop")
    assert body["content"] == [{"type": "text", "text": "No."}]
    assert body["stop_reason"] == "refusal"


def test_a_forced_call_that_ends_with_stop_is_a_tool_use() -> None:
    assert reply(assistant(None, tool_calls=[CALL]), "stop")["stop_reason"] == "tool_use"
    assert reply(assistant(None, tool_calls=[CALL]), "length")["stop_reason"] == "max_tokens"
    assert reply(assistant("x"), "stop")["stop_reason"] == "end_turn"


def test_a_call_without_an_id_is_the_upstreams_failure() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    with pytest.raises(GatewayError, match="makes no sense"):
        reply(assistant(None, tool_calls=[call]), "tool_calls")


# ---------------------------------------------------------------- streams
def events(translator: StreamTranslator, *values: dict[str, Any]) -> list[Any]:
    out = b"".join(translator.feed(SseEvent("", json.dumps(value).encode())) for value in values)
    sent = SseReader().feed(out + translator.closing())
    return [json.loads(event.data) for event in sent if event.data != b"[DONE]"]


def delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def fragment(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments}
    first = {"id": f"id-{name}", "type": "function"} if name else {}
    return {"index": index, **first, "function": function | ({"name": name} if name else {})}


def blocks(values: list[Any]) -> list[tuple[str, str]]:
    """Name and joined content of each block; fails where blocks interleave or indexes do not rise from 0."""
    found: list[tuple[str, str]] = []
    is_open = False
    for value in values:
        if value["type"] == "content_block_start":
            assert not is_open
            assert value["index"] == len(found)
            found.append((value["content_block"].get("name", "text"), ""))
        elif value["type"] == "content_block_delta":
            assert is_open
            assert value["index"] == len(found) - 1
            name, text = found[-1]
            found[-1] = (
                name,
                text + (value["delta"].get("text") or value["delta"].get("partial_json") or ""),
            )
        is_open = value["type"] in {"content_block_start", "content_block_delta"}
    return found


def test_calls_that_arrive_in_turns_become_blocks_one_after_the_other() -> None:
    values = events(
        MessagesStreamFromOpenAI(ME),
        delta(content="Let me "),
        delta(content="see."),
        delta(tool_calls=[fragment(0, "", "f"), fragment(1, '{"b"', "g")]),
        delta(tool_calls=[fragment(0, '{"a"'), fragment(1, ":2}")]),
        delta(content="More."),
        delta(tool_calls=[fragment(0, ":1}")]),
        delta(finish="stop"),
    )
    assert blocks(values) == [("text", "Let me see."), ("f", '{"a":1}'), ("g", '{"b":2}'), ("text", "More.")]
    assert values[-2]["delta"]["stop_reason"] == "tool_use"


def test_the_first_call_is_relayed_while_it_is_being_written() -> None:
    stream = MessagesStreamFromOpenAI(ME)
    stream.feed(SseEvent("", json.dumps(delta(tool_calls=[fragment(0, "", "f")])).encode()))
    out = stream.feed(SseEvent("", json.dumps(delta(tool_calls=[fragment(0, '{"a"')])).encode()))
    assert b'"input_json_delta"' in out


def test_a_streamed_refusal_is_text_with_the_stop_reason_refusal() -> None:
    values = events(
        MessagesStreamFromOpenAI(ME), delta(refusal="N"), delta(refusal="o."), delta(finish="stop")
    )
    assert blocks(values) == [("text", "No.")]
    assert values[-2]["delta"]["stop_reason"] == "refusal"


def test_a_streamed_reply_without_content_is_whole() -> None:
    values = events(MessagesStreamFromOpenAI(ME), delta(role="assistant", content=""), delta(finish="length"))
    assert [value["type"] for value in values] == ["message_start", "message_delta", "message_stop"]
    assert values[1]["delta"]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    "call", [fragment(0, "{}"), {"index": 0, "id": "a", "function": {}}, {"index": "0"}, 5]
)
def test_a_call_that_does_not_say_which_breaks_the_stream(call: Any) -> None:
    with pytest.raises(BrokenStreamError):
        events(MessagesStreamFromOpenAI(ME), delta(tool_calls=[call]))


def native(block: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]


def test_a_tool_input_that_comes_whole_in_its_first_event_is_not_lost() -> None:
    given = {"a": 0.1234567890123456789}
    block = {"type": "tool_use", "id": "t", "name": "f", "input": given}
    values = native(block)
    text = json.dumps(values[1]).replace(json.dumps(given["a"]), "0.1234567890123456789")
    stream = ChatStreamFromAnthropic(ME)
    out = b"".join(
        stream.feed(SseEvent("", data.encode()))
        for data in (json.dumps(values[0]), text, json.dumps(values[2]))
    )
    calls = [
        call
        for event in SseReader().feed(out)
        for call in json.loads(event.data)["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":0.1234567890123456789}'


@pytest.mark.parametrize("missing", ["id", "name"])
def test_a_native_call_without_id_or_name_breaks_the_stream(missing: str) -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    del block[missing]
    with pytest.raises(BrokenStreamError):
        events(ChatStreamFromAnthropic(ME), *native(block))


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking", "server_tool_use", "from_the_future"])
def test_native_blocks_without_a_place_in_chat_leave_no_trace_in_a_stream(kind: str) -> None:
    values = native({"type": kind, "thinking": "hm", "input": {}})
    extra = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "secret"},
    }
    found = events(ChatStreamFromAnthropic(ME), *values[:2], extra, *values[2:])
    assert [value["choices"][0]["delta"] for value in found] == [{"role": "assistant", "content": ""}, {}]


NATIVE_END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}


def native_stream(*ending: dict[str, Any]) -> list[dict[str, Any]]:
    usage = {"input_tokens": 20, "output_tokens": 1}
    return [
        {"type": "message_start", "message": {"id": "u", "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_stop", "index": 0},
        *ending,
    ]


def test_a_native_event_of_several_lines_goes_on_as_such() -> None:
    stream, sent = MessagesStreamFromAnthropic(ME), SseReader()
    values = native_stream(NATIVE_END, {"type": "message_stop"})
    told = [
        json.loads(event.data)
        for value in values
        for event in sent.feed(stream.feed(SseEvent(value["type"], json.dumps(value, indent=1).encode())))
    ]
    assert [value["type"] for value in told] == [value["type"] for value in values[:4]]
    assert [event.name for event in sent.feed(stream.closing())] == ["message_delta", "message_stop"]


def test_counters_that_follow_the_finish_are_shown_as_they_are_billed() -> None:
    later = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 12}}
    stream = MessagesStreamFromAnthropic(ME)
    told = events(stream, *native_stream(NATIVE_END, later, {"type": "message_stop"}))
    assert stream.usage is not None
    assert told[-2]["usage"]["output_tokens"] == stream.usage.output == 12
    assert told[-2]["delta"]["stop_reason"] == "end_turn"
    assert [value["type"] for value in told].count("message_delta") == 1


@pytest.mark.parametrize("kind", [ChatStreamFromOpenAI, MessagesStreamFromOpenAI])
def test_an_empty_finish_reason_is_no_finish(kind: type[StreamTranslator]) -> None:
    stream = kind(ME)
    told = events(stream, delta("", content="one"), delta("", content=" two"), delta("stop"))
    text = json.dumps(told)
    assert '"one"' in text
    assert '" two"' in text
    assert '"finish_reason": ""' not in text
    assert stream.progress is Progress.FINISHED
    unfinished = kind(ME)
    events(unfinished, delta("", content="one"))
    with pytest.raises(BrokenStreamError, match="ended before"):
        unfinished.feed(SseEvent("", b"[DONE]"))


def test_a_tool_of_the_provider_needs_no_name() -> None:
    body = {"model": "claude-opus-4-8", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    toolset = {"type": "browser_toolset_20260801"}
    passed = MessagesValidator().validate({**body, "tools": [toolset]}, OPUS)
    assert passed.body["tools"] == [toolset]
    nameless: dict[str, Any]
    for nameless in ({}, {"type": "custom", "input_schema": {}}, {"input_schema": {}}):
        with pytest.raises(GatewayError, match="with a name"):
            MessagesValidator().validate({**body, "tools": [nameless]}, OPUS)
    with pytest.raises(GatewayError, match="not served by this group"):
        RequestToOpenAI().translate(passed)
