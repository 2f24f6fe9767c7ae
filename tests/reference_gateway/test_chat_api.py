"""The chat surface over HTTP: routing, validation, envelopes, replies, and the one upstream POST."""

import asyncio
import base64
import json
from typing import Any

GPT: dict[str, Any] = {"model": "gpt-5.5"}
OPUS: dict[str, Any] = {"model": "claude-opus-4-8", "max_tokens": 100}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def asking(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_each_seed_model_answers_in_the_chat_format(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            for fields in (GPT, OPUS, {**OPUS, "model": "claude-sonnet-4-6"}):
                answer = await d.chat(customer, {**asking("[[wb:x;text=Hello%20you;in=12;out=3]]"), **fields})
                body = answer.json
                assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
                assert body["id"].startswith("chatcmpl-")
                assert (body["object"], body["model"]) == ("chat.completion", fields["model"])
                message = body["choices"][0]["message"]
                assert (message["role"], message["content"]) == ("assistant", "Hello you")
                assert body["choices"][0]["finish_reason"] == "stop"
                usage = body["usage"]
                assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (
                    12,
                    3,
                    15,
                )

    asyncio.run(main())


def test_claude_usage_always_shows_cached_tokens(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            plain = await d.chat(customer, {**OPUS, **asking("[[wb:x;in=12;out=3]]")})
            cached = await d.chat(customer, {**OPUS, **asking("[[wb:y;in=100;out=3;cached=40;written=20]]")})
            assert plain.json["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
            assert cached.json["usage"]["prompt_tokens"] == 100
            assert cached.json["usage"]["prompt_tokens_details"] == {
                "cached_tokens": 40,
                "cache_write_tokens": 20,
            }

    asyncio.run(main())


def test_gpt_fields_reach_the_upstream_unchanged_and_group_stays_behind(deploy: Any) -> None:
    fields: dict[str, Any] = {
        **GPT,
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "[[wb:pass]] u"}]},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "last"},
        ],
        "max_tokens": 77,
        "stop": ["END"],
        "n": 2,
        "seed": 7,
        "tools": [WEATHER],
        "tool_choice": "none",
        "response_format": {"type": "text"},
        "logprobs": True,
        "top_logprobs": 3,
        "user": "u-1",
        "parallel_tool_calls": False,
        "reasoning_effort": "xhigh",
        "temperature": 0.7,
        "frequency_penalty": -2,
        "presence_penalty": 2.0,
        "metadata": {"k": "v"},
        "moderation": {"model": "omni-moderation-latest"},
        "prompt_cache_options": {"mode": "explicit"},
    }

    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            answer = await d.chat(customer, {**fields, "group": "default"})
            assert answer.status == 200, answer.text
            assert [choice["index"] for choice in answer.json["choices"]] == [0, 1]
            entries = await d.journal("pass")
            assert len(entries) == 1
            assert json.loads(entries[0]["body"]) == fields
            assert entries[0]["headers"]["authorization"] != customer.headers["Authorization"]

    asyncio.run(main())


def test_a_group_chooses_its_own_channel(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            await d.chat(customer, {**GPT, **asking("[[wb:g1]]")})
            url = d.simulator.url
        other = {"pro": {"routes": {"gpt-5.5": "second"}}}
        channels = {"second": {"dialect": "openai", "url": f"{url}/v1", "key": "k"}}
        async with deploy(groups=other, channels=channels) as d:
            customer = await d.customer()
            answer = await d.chat(customer, {**GPT, **asking("x"), "group": "pro"})
            assert answer.status == 500, "the channel of that group is gone, and no other one stands in"
            served = await d.chat(customer, {**GPT, **asking("[[wb:g2]]")})
            assert served.status == 200
            assert [entry["upstream"] for entry in await d.journal("g2")] == ["openai"]

    asyncio.run(main())


def test_a_claude_request_is_translated_for_its_channel(deploy: Any) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "[[wb:tr;tool=get_weather;args=%7B%22city%22%3A%22Rome%22%7D]] Look:",
                },
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/c.jpg"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Bonn"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "rain"},
        {"role": "user", "content": "And now?"},
    ]

    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            fields = {"tools": [WEATHER], "tool_choice": "required", "stop": "END", "temperature": 0.7}
            answer = await d.chat(customer, {**OPUS, "messages": conversation, **fields})
            choice = answer.json["choices"][0]
            assert choice["finish_reason"] == "tool_calls"
            assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
            assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "Rome"}
            (entry,) = await d.journal("tr")
            assert entry["operation"] == "messages"
            assert json.loads(entry["body"]) == {
                "model": "claude-opus-4-8",
                "max_tokens": 100,
                "system": "Be brief.",
                "temperature": 0.7,
                "stop_sequences": ["END"],
                "tools": [
                    {
                        "name": "get_weather",
                        "description": "Weather of a city.",
                        "input_schema": WEATHER["function"]["parameters"],  # type: ignore[index]
                    }
                ],
                "tool_choice": {"type": "any"},
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": conversation[1]["content"][0]["text"]},  # type: ignore[index]
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                            },
                            {"type": "image", "source": {"type": "url", "url": "https://example.com/c.jpg"}},
                        ],
                    },
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Bonn"}}
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "tool_use_id": "t1", "content": "rain"},
                            {"type": "text", "text": "And now?"},
                        ],
                    },
                ],
            }

    asyncio.run(main())


def test_identical_and_parallel_calls_are_neither_merged_nor_repeated(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            body = {**GPT, **asking("[[wb:same;in=10;out=10]]")}
            answers = await asyncio.gather(*(d.chat(customer, body) for _ in range(10)))
            assert {answer.status for answer in answers} == {200}
            assert len({answer.json["id"] for answer in answers}) == 10
            assert len(await d.journal("same")) == 10
            assert len(await d.rows(customer, "settle")) == 10

    asyncio.run(main())


def test_the_model_list_needs_a_key_and_names_every_model(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            url = f"{d.gateway.chat_url}/models"
            assert (await d.send("GET", url)).status == 401
            listed = (await d.send("GET", url, headers=customer.headers)).json
            assert {"gpt-5.5", "claude-opus-4-8"} <= {model["id"] for model in listed["data"]}

    asyncio.run(main())
