"""The Messages surface over HTTP: native pass-through, both ways to send a key, the envelope, streams, caching."""

import asyncio
import json
from typing import Any

import pytest

from reference_gateway import reapi_config
from reference_gateway.sse import SseEvent
from reference_gateway.translation.anthropic_streams import MessagesStreamFromAnthropic
from reference_gateway.translation.replies import Identity
from reference_gateway.translation.streams import BrokenStreamError
from reference_gateway.validation.messages import MessagesValidator

OPUS: dict[str, Any] = {"model": "claude-opus-4-8", "max_tokens": 100}


def asking(text: str, **fields: Any) -> dict[str, Any]:
    return {**OPUS, "messages": [{"role": "user", "content": text}], **fields}


def events(text: str) -> list[tuple[str, Any]]:
    """Name and object of every event."""
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_native_request_passes_unchanged_and_its_reply_comes_back_native(deploy: Any) -> None:
    body = {
        **OPUS,
        "system": [{"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "[[wb:nat;text=Hi;in=9;out=2]]"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto"},
        "stop_sequences": ["END"],
        "top_k": 5,
        "metadata": {"user_id": "u"},
        "temperature": 0.7,
    }

    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            answer = await d.messages(customer, body, **{"anthropic-beta": "some-beta"})
            assert answer.status == 200, answer.text
            reply = answer.json
            assert (reply["type"], reply["role"], reply["model"]) == (
                "message",
                "assistant",
                "claude-opus-4-8",
            )
            assert reply["content"] == [{"type": "text", "text": "Hi"}]
            assert (reply["stop_reason"], reply["stop_sequence"]) == ("end_turn", None)
            assert (reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]) == (9, 2)
            assert reply["id"].startswith("msg_")
            (entry,) = await d.journal("nat")
            assert json.loads(entry["body"]) == body
            assert entry["headers"]["anthropic-version"] == "2023-06-01"
            assert entry["headers"]["anthropic-beta"] == "some-beta"

    asyncio.run(main())


def test_keys_are_taken_as_bearer_and_as_x_api_key(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            url = f"{d.gateway.messages_url}/v1/messages"
            for headers in (customer.headers, {"x-api-key": customer.key}):
                assert (await d.send("POST", url, json=asking("x"), headers=headers)).status == 200
            refused = await d.send("POST", url, json=asking("x"), headers={"x-api-key": "wrong"})
            assert refused.status == 401
            error = refused.json
            assert error["type"] == "error"
            assert error["error"]["type"] == "authentication_error"
            assert error["request_id"] == refused.headers["request-id"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": None},
        {"max_tokens": 0},
        {"max_tokens": 128_001},
        {"max_tokens": "5"},
        {"messages": []},
        {"messages": None},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
        {"messages": [{"role": "user", "content": None}]},
        {"temperature": 1.5},
        {"tools": [{"description": "nameless"}]},
        {"tool_choice": {"type": "maybe"}},
        {"model": "gpt-5.5"},
        {"model": None},
        {"system": [{"type": "image"}]},
    ],
)
def test_bad_requests_get_a_400_in_the_native_envelope(deploy: Any, change: dict[str, Any]) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            answer = await d.messages(customer, {**asking("x"), **change})
            assert answer.status == 400, answer.text
            assert answer.json["error"]["type"] == "invalid_request_error"
            assert (await d.send("GET", f"{d.simulator.url}/_wb/journal/cursor")).json["seq"] == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("script", "status", "kind"),
    [
        ("status=503", 500, "api_error"),
        ("status=429", 429, "rate_limit_error"),
        ("status=401", 500, "api_error"),
    ],
)
def test_upstream_failures_keep_the_status_table(deploy: Any, script: str, status: int, kind: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            answer = await d.messages(customer, asking(f"[[wb:f;fault=status;{script}]]"))
            assert (answer.status, answer.json["error"]["type"]) == (status, kind)
            assert await d.balance(customer) == "100"
            assert len(await d.journal("f")) == 1

    asyncio.run(main())


def test_an_empty_balance_is_a_billing_error(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            answer = await d.messages(await d.customer("0"), asking("x"))
            assert (answer.status, answer.json["error"]["type"]) == (402, "billing_error")

    asyncio.run(main())


def test_a_native_stream_keeps_its_grammar(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            answer = await d.messages(
                customer, asking("[[wb:st;text=Hello%20world;in=9;out=2]]", stream=True)
            )
            found = [(name, value) for name, value in events(answer.text) if name != "ping"]
            assert all(name == value["type"] for name, value in found)
            names = [name for name, _ in found]
            assert (names[0], names[-2:]) == ("message_start", ["message_delta", "message_stop"])
            assert names.count("message_stop") == 1
            start = found[0][1]["message"]
            assert (start["content"], start["model"]) == ([], "claude-opus-4-8")
            text = "".join(v["delta"]["text"] for n, v in found if n == "content_block_delta")
            assert text == "Hello world"
            assert found[-2][1]["delta"]["stop_reason"] == "end_turn"
            assert found[-2][1]["usage"]["output_tokens"] == 2
            assert "[DONE]" not in answer.text

    asyncio.run(main())


def test_a_cached_region_is_written_once_and_read_afterwards(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            system = [{"type": "text", "text": "stable " * 500, "cache_control": {"type": "ephemeral"}}]
            first = (await d.messages(customer, asking("one", system=system))).json["usage"]
            second = (await d.messages(customer, asking("two", system=system))).json["usage"]
            assert first["cache_creation_input_tokens"] > 0 == first["cache_read_input_tokens"]
            assert second["cache_read_input_tokens"] == first["cache_creation_input_tokens"]

    asyncio.run(main())


CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": "[[wb:o;tool=f;args=%7B%22a%22%3A1%7D;in=30;out=5;cached=10]]"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 0}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]},
            {"type": "text", "text": "and again"},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/i.png"}},
        ],
    },
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_group_on_an_openai_channel_serves_native_callers_by_translation(deploy: Any, stream: bool) -> None:
    async def main() -> None:
        groups = {"other": {"routes": {"claude-opus-4-8": "openai"}}}
        async with deploy(groups=groups) as d:
            customer = await d.customer("100")
            body = {
                **OPUS,
                "group": "other",
                "stream": stream,
                "system": "Be brief.",
                "messages": CONVERSATION,
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
                "stop_sequences": ["END"],
            }
            answer = await d.messages(customer, body)
            assert answer.status == 200, answer.text
            if stream:
                found = events(answer.text)
                deltas = [v["delta"]["partial_json"] for n, v in found if n == "content_block_delta"]
                assert json.loads("".join(deltas)) == {"a": 1}
                block = next(v["content_block"] for n, v in found if n == "content_block_start")
                assert (block["type"], block["name"], block["input"]) == ("tool_use", "f", {})
                stop, usage = found[-2][1]["delta"]["stop_reason"], found[-2][1]["usage"]
                assert found[-1][0] == "message_stop"
            else:
                reply = answer.json
                (block,) = reply["content"]
                assert (block["type"], block["name"], block["input"]) == ("tool_use", "f", {"a": 1})
                stop, usage = reply["stop_reason"], reply["usage"]
            assert stop == "tool_use"
            assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (
                20,
                10,
                5,
            )
            (entry,) = await d.journal("o")
            sent = json.loads(entry["body"])
            assert sent["messages"] == [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": CONVERSATION[0]["content"]},
                {
                    "role": "assistant",
                    "content": "Let me look.",
                    "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":0}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "t1", "content": "42"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "and again"},
                        {"type": "image_url", "image_url": {"url": "https://example.com/i.png"}},
                    ],
                },
            ]
            assert (sent["tool_choice"], sent["parallel_tool_calls"], sent["stop"]) == (
                "required",
                False,
                ["END"],
            )
            assert "group" not in sent

    asyncio.run(main())


def test_accounts_do_not_share_a_cache_where_each_has_a_credential_of_its_own(deploy: Any) -> None:
    marked = {"type": "text", "text": "long " * 3000, "cache_control": {"type": "ephemeral"}}
    body = asking("[[wb:cache]]", system=[marked])

    async def main() -> None:
        async with deploy(upstream_key="key-{account}") as d:
            first, second = await d.customer(), await d.customer()
            read = [
                (await d.messages(who, body)).json["usage"]["cache_read_input_tokens"]
                for who in (first, first, second, second)
            ]
            assert [count > 0 for count in read] == [False, True, False, True]
            assert len({entry["credential_sha256"] for entry in await d.journal("cache")}) == 2

    asyncio.run(main())


def test_an_event_that_is_named_error_breaks_a_stream_whatever_its_data_says() -> None:
    translator = MessagesStreamFromAnthropic(Identity("id", "m", 1))
    with pytest.raises(BrokenStreamError) as broken:
        translator.feed(SseEvent("error", b'{"message":"bad key sk-1"}'))
    assert "sk-1" not in str(broken.value)


def test_integers_are_told_by_their_value_and_pass_as_they_were_written() -> None:
    config = reapi_config(
        openai_url="http://o/v1",
        anthropic_url="http://a",
        media_url="http://m",
        upstream_key="k",
        operator_token="t",
    )
    body = asking("x", max_tokens=649.0, top_k=5.0)
    checked = MessagesValidator().validate(body, config.models["claude-opus-4-8"])
    assert (checked.max_output, type(checked.max_output)) == (649, int)
    assert repr(checked.body["max_tokens"]) == "649.0"
