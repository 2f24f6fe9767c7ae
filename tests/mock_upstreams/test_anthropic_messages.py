"""The messages surface: shapes, events, usage, the prompt cache, and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams import SimulatorConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Client

    Token = Callable[..., str]

TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def test_an_unstreamed_answer_has_the_official_shape(client: Client, token: Token, name: str) -> None:
    answer = client.messages(token(name, text="Hi", in_=1000, out=20, cached=400, written=100, searches=2))
    body = answer.json()
    assert answer.headers["request-id"].startswith("req_")
    assert body.pop("id").startswith("msg_")
    assert body == {
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-8",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 500,
            "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 400,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 20,
            "service_tier": "standard",
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        },
    }


def test_a_stream_is_the_official_sequence_of_named_events(client: Client, token: Token, name: str) -> None:
    answer = client.messages(token(name, text="abcd", chunks=2, in_=50, out=9), stream=True)
    events = answer.events()
    assert [event.name for event in events] == [event.json()["type"] for event in events]
    assert [event.name for event in events] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start = events[0].json()["message"]
    assert (start["content"], start["stop_reason"], start["usage"]["input_tokens"]) == ([], None, 50)
    assert start["usage"]["output_tokens"] == 1
    assert events[2].json() == {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    assert events[3].json()["delta"] == {"type": "text_delta", "text": "ab"}
    ending = events[-2].json()
    assert ending["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert (ending["usage"]["output_tokens"], ending["usage"]["input_tokens"]) == (9, 50)


def test_thinking_text_and_tool_use_are_blocks_in_order(client: Client, token: Token, name: str) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    content = token(name, text="Let me look.", tool="weather", args='{"city":"Paris"}')
    fields: dict[str, Any] = {"max_tokens": 4000, "thinking": thinking, "tools": [TOOL]}
    blocks = client.messages(content, **fields).json()["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use"]
    assert blocks[0]["thinking"]
    assert blocks[0]["signature"]
    assert (blocks[2]["name"], blocks[2]["input"]) == ("weather", {"city": "Paris"})
    assert blocks[2]["id"].startswith("toolu_")
    events = [event.json() for event in client.messages(content, stream=True, **fields).events()]
    opened = 0
    for event in events:
        if event["type"].startswith("content_block_"):
            assert event["index"] == opened
        opened += event["type"] == "content_block_stop"
    assert opened == 3
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(d["partial_json"] for d in deltas if d["type"] == "input_json_delta") == '{"city":"Paris"}'
    assert {d["type"] for d in deltas} == {
        "thinking_delta",
        "signature_delta",
        "text_delta",
        "input_json_delta",
    }
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_a_forced_tool_is_called_with_fitting_input(client: Client, choice: Any) -> None:
    answer = client.messages("Weather?", tools=[TOOL], tool_choice=choice).json()
    assert answer["stop_reason"] == "tool_use"
    assert answer["content"][0]["input"] == {"city": "example"}


def test_max_tokens_and_stop_sequences_cut_the_default_text(client: Client) -> None:
    short = client.messages("Tell me", max_tokens=5).json()
    assert (short["stop_reason"], short["usage"]["output_tokens"]) == ("max_tokens", 5)
    whole = client.messages("Tell me").json()["content"][0]["text"]
    stopped = client.messages("Tell me", stop_sequences=[whole[10:15]], stream=True).events()
    assert stopped[-2].json()["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": whole[10:15]}


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_calls", "tool_use"),
    ],
)
def test_finish_is_mapped_to_the_own_word(
    client: Client, token: Token, name: str, finish: str, reason: str
) -> None:
    answer = client.messages(token(name, finish=finish), tools=[TOOL]).json()
    assert answer["stop_reason"] == reason


def test_finish_tool_calls_needs_a_tool(client: Client, token: Token, name: str) -> None:
    answer = client.messages(token(name, finish="tool_calls"))
    assert (
        answer.json()["error"]["message"]
        == "simulator: finish=tool_calls needs tool=, or tools in the request"
    )


def test_tokens_are_counted_for_a_request_without_max_tokens(client: Client) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a" * 400}], "system": "b" * 40}
    assert client.send("/v1/messages/count_tokens", body).json() == {"input_tokens": 110}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"model": None}, "model: Field required"),
        ({"messages": []}, "messages: at least one message"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": [], "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "source"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "tool_use_id"),
        ({"system": 5}, "system: expected"),
        ({"temperature": 1.5}, "temperature: expected a number from 0 to 1"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "below max_tokens"),
        ({"tools": [{"name": "x"}]}, "tools.0.input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "forever"}}]}, "cache_control"),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": []}}]},
            "ttl",
        ),
    ],
)
def test_a_bad_request_is_refused_in_anthropics_words(
    client: Client, change: dict[str, Any], says: str
) -> None:
    body = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "x"}], **change}
    answer = client.send("/v1/messages", {k: v for k, v in body.items() if v is not None})
    found = answer.json()
    assert (answer.status, found["type"], found["error"]["type"]) == (400, "error", "invalid_request_error")
    assert says in found["error"]["message"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
        (418, "invalid_request_error"),
        (599, "api_error"),
    ],
)
def test_the_error_type_follows_the_status(
    client: Client, token: Token, name: str, status: int, kind: str
) -> None:
    answer = client.messages(token(name, fault="status", status=status))
    assert (answer.status, answer.json()["error"]["type"]) == (status, kind)


def system(text: str, **control: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral", **control}}]


def counters(answer: Any) -> tuple[int, int, int]:
    """Written, read and uncached input of an answer."""
    usage = answer.json()["usage"]
    return (
        usage["cache_creation_input_tokens"],
        usage["cache_read_input_tokens"],
        usage["input_tokens"],
    )


def test_a_marked_prefix_is_written_once_and_read_after(client: Client, name: str) -> None:
    prefix = name.ljust(400, "x")
    assert counters(client.messages("q" * 40, system=system(prefix))) == (100, 0, 10)
    assert counters(client.messages("q" * 40, system=system(prefix))) == (0, 100, 10)
    assert counters(client.messages("other" * 8, system=system(prefix))) == (0, 100, 10)
    assert counters(client.messages("q" * 40, system=system(prefix + "!")))[:2] == (101, 0)


def test_a_longer_prefix_reads_what_is_known_and_writes_the_rest(client: Client, name: str) -> None:
    first, second = name.ljust(400, "a"), "b" * 400
    client.messages("q", system=system(first))
    grown = client.messages("q", system=system(first) + system(second, ttl="1h"))
    assert counters(grown)[:2] == (100, 100)
    assert grown.json()["usage"]["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": 100,
    }


def test_the_cache_of_one_credential_is_not_that_of_another(client: Client, name: str) -> None:
    body = {
        "model": "m",
        "max_tokens": 10,
        "system": system(name.ljust(400, "c")),
        "messages": [{"role": "user", "content": "q"}],
    }
    client.send("/v1/messages", body)
    other = client.send("/v1/messages", body, authorised=False, headers={"x-api-key": "another"})
    assert counters(other)[:2] == (100, 0)


def test_scripted_counts_leave_the_cache_alone(client: Client, token: Token, name: str) -> None:
    prefix = name.ljust(400, "d")
    assert counters(client.messages(token(name, in_=1000), system=system(prefix))) == (0, 0, 1000)
    assert counters(client.messages("q", system=system(prefix)))[0] == 100


def test_a_failed_call_writes_nothing(client: Client, token: Token, name: str) -> None:
    prefix = name.ljust(400, "e")
    client.messages(token(name, status=500), system=system(prefix))
    assert counters(client.messages("q", system=system(prefix)))[:2] == (100, 0)


def test_chat_completions_report_marked_prefixes_as_well(client: Client, name: str) -> None:
    content = [{**system(name.ljust(400, "f"))[0]}, {"type": "text", "text": "q" * 40}]
    client.chat(content)
    details = client.chat(content).json()["usage"]["prompt_tokens_details"]
    assert details["cached_tokens"] == 100


def test_a_prefix_is_forgotten_after_the_window(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]],
) -> None:
    with start(SimulatorConfig(cache_window_s=0.0)) as client:
        client.messages("q", system=system("x" * 400))
        assert counters(client.messages("q", system=system("x" * 400)))[:2] == (100, 0)
