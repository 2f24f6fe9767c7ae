"""The AI/ML API's requests: what is refused, and what of OpenAI's and Anthropic's forms arrives at the provider."""

from typing import Any

import pytest

from reference_gateway.aimlapi.requests import AimlapiRequestToAnthropic
from reference_gateway.aimlapi.validation import AimlapiValidator
from reference_gateway.failures import GatewayError
from tests.reference_gateway.documented import CONFIG

MODEL = CONFIG.aimlapi.models["anthropic/claude-opus-4-8"]
HI = {"role": "user", "content": "hi"}
FUNCTION = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
}
NATIVE_TOOL = {"name": "g", "description": "d", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
AS_NATIVE = {"name": "f", "description": "d", "input_schema": {"type": "object"}}


def sent(**fields: Any) -> Any:
    """The body for the provider."""
    body = {"model": MODEL.id, "messages": [HI], **fields}
    return AimlapiRequestToAnthropic().translate(AimlapiValidator().validate(body, MODEL))


def test_a_minimal_body_gets_the_default_limit_and_nothing_else() -> None:
    assert sent() == {"model": "claude-opus-4-8", "max_tokens": 128_000, "messages": [HI]}


def test_fields_outside_the_schema_and_nulls_have_no_effect() -> None:
    plain = sent()
    assert sent(temperature=5, top_p="x", stop=1, n=3, user=7, stream_options=[], group="g") == plain
    nulls = dict.fromkeys(("system", "tools", "tool_choice", "thinking", "max_tokens", "stop_sequences"))
    assert sent(stream=None, metadata=None, **nulls) == plain


@pytest.mark.parametrize(("limit", "arrives"), [(1, 1), (649.0, 649), (7.9, 7), (128_000, 128_000)])
def test_max_tokens_is_a_number_and_arrives_whole(limit: float, arrives: int) -> None:
    found = sent(max_tokens=limit)["max_tokens"]
    assert (found, type(found)) == (arrives, int)


def test_system_comes_from_the_field_and_from_the_messages() -> None:
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "system", "content": "b"}, {"role": "developer", "content": "c"}, HI]
    assert sent(system="a")["system"] == "a"
    assert sent(system=[marked])["system"] == [marked]
    assert sent(system=[marked], messages=messages)["system"] == [
        marked,
        {"type": "text", "text": "b"},
        {"type": "text", "text": "c"},
    ]


def test_anthropic_blocks_pass_as_they_are() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
                {"type": "image", "source": {"type": "url", "url": "https://e.com/x.png"}},
                {"type": "document", "source": pdf, "title": "t"},
                {
                    "type": "search_result",
                    "source": "s",
                    "title": "t",
                    "content": [{"type": "text", "text": "x"}],
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "tool_use", "id": "t", "name": "g", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1", "is_error": True}],
        },
    ]
    assert sent(messages=messages, tools=[NATIVE_TOOL, SEARCH]) == {
        "model": "claude-opus-4-8",
        "max_tokens": 128_000,
        "messages": messages,
        "tools": [NATIVE_TOOL, SEARCH],
    }


def test_openai_messages_become_turns() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "b"}},
            ],
        },
        {"role": "assistant", "content": "one moment", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "2"},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": "again"},
    ]
    assert sent(messages=messages)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "one moment"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "2"}]},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "again"},
    ]


def test_a_function_result_answers_the_call_of_its_name() -> None:
    messages = [
        HI,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "3"},
    ]
    _, call, result = sent(messages=messages)["messages"]
    assert call["content"] == [{"type": "tool_use", "id": "call_1", "name": "f", "input": {}}]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "call_1", "content": "3"}]


def test_a_function_result_without_a_call_is_told_as_text() -> None:
    (turn,) = sent(messages=[{"role": "function", "name": "f", "content": "3"}])["messages"]
    assert turn["role"] == "user"
    assert [block["text"] for block in turn["content"]] == ["f returned:", "3"]


@pytest.mark.parametrize(
    ("choice", "arrives"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        ({"type": "auto"}, {"type": "auto"}),
        ({"type": "none"}, {"type": "none"}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"type": "tool", "name": "g"}, {"type": "tool", "name": "g"}),
    ],
)
def test_tools_and_choices_of_both_forms_arrive_in_anthropics(choice: Any, arrives: Any) -> None:
    body = sent(tools=[FUNCTION, NATIVE_TOOL], tool_choice=choice)
    assert body["tools"] == [AS_NATIVE, NATIVE_TOOL]
    assert body.get("tool_choice") == arrives


@pytest.mark.parametrize(("mode", "arrives"), [("auto", "auto"), ("required", "any")])
def test_allowed_tools_are_the_only_ones_that_arrive(mode: str, arrives: str) -> None:
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "f"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    body = sent(tools=[FUNCTION, NATIVE_TOOL], tool_choice=choice)
    assert (body["tools"], body["tool_choice"]) == ([AS_NATIVE], {"type": arrives})


@pytest.mark.parametrize("choice", ["auto", "none", {"type": "auto"}, {"type": "none"}])
def test_without_tools_a_choice_that_forces_nothing_is_left_out(choice: Any) -> None:
    assert "tool_choice" not in sent(tool_choice=choice)


@pytest.mark.parametrize(
    "thinking",
    [
        {"type": "enabled", "budget_tokens": 1024},
        {"type": "enabled", "budget_tokens": 1024.0, "display": "summarized"},
        {"type": "enabled", "budget_tokens": 127_999},
        {"type": "disabled"},
        {"type": "adaptive"},
        {"type": "adaptive", "display": "omitted"},
    ],
)
def test_thinking_passes(thinking: Any) -> None:
    assert sent(thinking=thinking)["thinking"] == thinking


def test_stop_sequences_the_user_and_streaming_pass_other_metadata_stays() -> None:
    body = sent(stop_sequences=["END"], metadata={"user_id": "u", "team": "x"}, stream=True)
    assert (body["stop_sequences"], body["metadata"], body["stream"]) == (["END"], {"user_id": "u"}, True)
    assert "metadata" not in sent(metadata={"team": "x"})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "system", "content": "only"}]}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": None, "audio": {"id": "a"}}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name"),
        ({"messages": [{"role": "assistant", "function_call": {"name": 1}}]}, "messages[0].function_call"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "document"}]}]},
            "messages[0].content[0].source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].file",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "t"}]}]},
            "messages[0].content[0].name",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        (
            {"messages": [{"role": "system", "content": [{"type": "search_result"}]}, HI]},
            "messages[0].content[0].type",
        ),
        ({"system": 7}, "system"),
        ({"system": [{"type": "image"}]}, "system[0]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 128_001}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024.5}}, "thinking.budget_tokens"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 2000},
            "thinking.budget_tokens",
        ),
        ({"thinking": {"type": "adaptive", "display": "all"}}, "thinking.display"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [7]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": "maybe", "tools": [FUNCTION]}, "tool_choice"),
        ({"tool_choice": {"type": "maybe"}, "tools": [FUNCTION]}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "g"}, "tools": [FUNCTION]}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {}}, "tools": [FUNCTION]}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}, "tools": [FUNCTION]}, "tool_choice"),
    ],
)
def test_a_bad_body_is_refused_by_the_name_of_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        sent(**fields)
    assert refused.value.failure.param == param
    assert f"`{param.partition('.')[0]}" in refused.value.failure.message
