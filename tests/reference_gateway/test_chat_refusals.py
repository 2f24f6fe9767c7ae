"""The chat surface over HTTP: what is refused, in which words, and what nobody is charged for."""

import asyncio
import base64
import contextlib
import time
from typing import Any

import pytest

from reference_gateway import reapi_config
from reference_gateway.failures import GatewayError
from reference_gateway.jsonwire import encode
from reference_gateway.validation.chat import ClaudeChatValidator, OpenAIChatValidator
from reference_gateway.validation.fields import read_object
from tests.reference_gateway.documented import CONFIG

GPT: dict[str, Any] = {"model": "gpt-5.5"}
OPUS: dict[str, Any] = {"model": "claude-opus-4-8", "max_tokens": 100}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def asking(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


BAD_REQUESTS: list[tuple[Any, str | None]] = [
    (asking("x"), "model"),
    ({**GPT, "model": 5, **asking("x")}, "model"),
    ({**asking("x"), "model": "gpt-nought"}, "model"),
    (GPT, "messages"),
    ({**GPT, "messages": []}, "messages"),
    ({**GPT, "messages": "hi"}, "messages"),
    ({**GPT, "messages": [{"role": "narrator", "content": "x"}]}, "messages[0].role"),
    ({**GPT, "messages": [{"role": "user"}]}, "messages[0].content"),
    ({**GPT, "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({**GPT, "messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({**GPT, **asking("x"), "tempurature": 1}, "tempurature"),
    ({**GPT, **asking("x"), "temperature": 2.1}, "temperature"),
    ({**GPT, **asking("x"), "temperature": True}, "temperature"),
    ({**GPT, **asking("x"), "top_p": 1.01}, "top_p"),
    ({**GPT, **asking("x"), "frequency_penalty": -2.5}, "frequency_penalty"),
    ({**GPT, **asking("x"), "presence_penalty": 3}, "presence_penalty"),
    ({**GPT, **asking("x"), "reasoning_effort": "extreme"}, "reasoning_effort"),
    ({**GPT, **asking("x"), "max_tokens": "9"}, "max_tokens"),
    ({**GPT, **asking("x"), "stream": "yes"}, "stream"),
    ({**GPT, **asking("x"), "group": "nowhere"}, "group"),
    ({**GPT, **asking("x"), "tools": [{"type": "function"}]}, "tools[0].function"),
    ({**asking("x"), "model": "claude-opus-4-8"}, "max_tokens"),
    ({**asking("x"), "model": "claude-opus-4-8", "stream": True}, "max_tokens"),
    ({**OPUS, **asking("x"), "max_tokens": 128_001}, "max_tokens"),
    ({**OPUS, **asking("x"), "max_tokens": 0}, "max_tokens"),
    ({**OPUS, **asking("x"), "max_tokens": 1.5}, "max_tokens"),
    ({**OPUS, **asking("x"), "temperature": 1.1}, "temperature"),
    ({**OPUS, **asking("x"), "temperature": -0.1}, "temperature"),
    ({**OPUS, **asking("x"), "n": 2}, "n"),
    ({**OPUS, **asking("x"), "tool_choice": "required"}, "tool_choice"),
    ({**OPUS, "messages": [{"role": "system", "content": "only"}]}, "messages"),
    (
        {
            **OPUS,
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": f"data:image/bmp;base64,{PNG}"}}],
                }
            ],
        },
        "messages[0].content[0].image_url.url",
    ),
    ([], None),
    ("text", None),
]


def test_bad_requests_get_a_400_that_names_the_field_and_reach_nobody(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            for body, param in BAD_REQUESTS:
                answer = await d.chat(customer, body)
                assert answer.status == 400, (body, answer.text)
                error = answer.json["error"]
                assert (error["type"], error["param"]) == ("invalid_request_error", param), (body, error)
                assert error["message"]
                assert isinstance(error["code"], str)
            cursor = await d.send("GET", f"{d.simulator.url}/_wb/journal/cursor")
            assert cursor.json["seq"] == 0
            assert len(await d.rows(customer)) == 1

    asyncio.run(main())


@pytest.mark.parametrize("text", [b"{", b"", b"\xff", b'{"model": NaN}', b"[" * 100_000])
def test_malformed_json_gives_400(deploy: Any, text: bytes) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            url = f"{d.gateway.chat_url}/chat/completions"
            answer = await d.send("POST", url, data=text, headers=customer.headers)
            assert (answer.status, answer.json["error"]["code"]) == (400, "malformed_body")

    asyncio.run(main())


def test_keys_are_checked_before_the_body_is_looked_at(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            tasks = await d.task_customer()
            revoked = await d.customer()
            await d.operator("POST", f"/keys/{revoked.key_id}/revoke")
            url = f"{d.gateway.chat_url}/chat/completions"
            for headers, code in (
                ({}, "missing_key"),
                ({"Authorization": "Basic abc"}, "malformed_key"),
                ({"Authorization": "Bearer"}, "malformed_key"),
                ({"Authorization": "Bearer nonsense"}, "invalid_key"),
                ({"Authorization": "Bearer n\udcffn"}, "invalid_key"),
                (tasks.headers, "invalid_key"),
                (revoked.headers, "revoked_key"),
                ({"x-api-key": revoked.key}, "missing_key"),
            ):
                answer = await d.send("POST", url, data=b"not json", headers=headers)
                assert (answer.status, answer.json["error"]["code"]) == (401, code)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("fault=status;status=500", 500, "upstream_failed"),
        ("fault=status;status=503", 500, "upstream_failed"),
        ("fault=status;status=529", 500, "upstream_failed"),
        ("fault=status;status=401", 500, "upstream_failed"),
        ("fault=status;status=403", 500, "upstream_failed"),
        ("fault=status;status=404", 500, "upstream_failed"),
        ("fault=status;status=429", 429, "upstream_rate_limited"),
        ("fault=status;status=400", 400, "upstream_refused"),
        ("fault=html", 500, "upstream_failed"),
        ("fault=empty", 500, "upstream_failed"),
        ("fault=bad_json", 500, "upstream_failed"),
        ("fault=close_before_headers", 500, "upstream_failed"),
        ("fault=reset_before_headers", 500, "upstream_failed"),
        ("fault=reset", 500, "upstream_failed"),
        ("fault=close", 500, "upstream_failed"),
    ],
)
@pytest.mark.parametrize("model", [GPT, OPUS], ids=["openai", "anthropic"])
def test_a_failing_upstream_is_asked_once_and_the_caller_pays_nothing(
    deploy: Any, model: dict[str, Any], fault: str, status: int, code: str
) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            answer = await d.chat(customer, {**model, **asking(f"[[wb:bad;{fault}]]")})
            assert (answer.status, answer.json["error"]["code"]) == (status, code), answer.text
            assert await d.balance(customer) == "100"
            assert await d.rows(customer, "settle", "overrun") == []
            assert len(await d.journal("bad")) == 1
            assert "upstream-secret-key" not in answer.text

    asyncio.run(main())


def test_a_silent_upstream_times_out_as_a_500(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(upstream_timeout_s=0.2) as d:
            customer = await d.customer("100")
            answer = await d.chat(customer, {**GPT, **asking("[[wb:slow;ttft_ms=20000]]")})
            assert answer.status == 500
            assert await d.balance(customer) == "100"
            assert len(await d.journal("slow")) == 1

    asyncio.run(main())


def test_unknown_routes_and_methods_answer_in_the_envelope(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            lost = await d.send("GET", f"{d.gateway.chat_url}/nowhere")
            assert (lost.status, lost.json["error"]["code"]) == (404, "unknown_route")
            wrong = await d.send("GET", f"{d.gateway.chat_url}/chat/completions")
            assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
            native = await d.send("PUT", f"{d.gateway.messages_url}/v1/messages")
            assert (native.status, native.json["type"]) == (405, "error")

    asyncio.run(main())


def test_a_body_that_is_too_large_is_refused_in_the_words_of_every_surface(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(limits={"body_bytes": 1024}) as d:
            customer, tasks = await d.customer(), await d.task_customer()
            answer = await d.chat(customer, {**GPT, **asking("x" * 2000)})
            assert (answer.status, answer.json["error"]["code"]) == (400, "body_too_large")
            answer = await d.messages(customer, {**asking("x" * 2000), "model": "claude-opus-4-8"})
            assert (answer.status, answer.json["error"]["type"]) == (413, "request_too_large")
            answer = await d.submit(
                tasks, "/images/generations", {"model": "gpt-image-2", "prompt": "x" * 2000}
            )
            assert (answer.status, answer.json["error"]["code"]) == (400, 20007)

    asyncio.run(main())


BAIT = "sk-provider-secret-0001"


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422, 429, 500, 529])
@pytest.mark.parametrize("model", [GPT, OPUS], ids=["openai", "anthropic"])
def test_the_providers_own_words_stay_inside(deploy: Any, model: dict[str, Any], status: int) -> None:
    """They may hold a key, or a part of one."""

    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            token = f"[[wb:leak;status={status};message=bad%20key%20{BAIT}]]"
            for stream in (False, True):
                answer = await d.chat(customer, {**model, **asking(token), "stream": stream})
                assert answer.status >= 400
                assert BAIT not in answer.text
            if model is OPUS:
                assert BAIT not in (await d.messages(customer, {**model, **asking(token)})).text

    asyncio.run(main())


@pytest.mark.parametrize("model", [GPT, OPUS], ids=["openai", "anthropic"])
def test_the_providers_words_stay_inside_when_a_stream_breaks(deploy: Any, model: dict[str, Any]) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            token = f"[[wb:leak;text=Hello;chunks=4;fault=error_event;message={BAIT}]]"
            body = {**model, **asking(token), "stream": True}
            answers = [await d.chat(customer, body)]
            if model is OPUS:
                answers.append(await d.messages(customer, body))
            for answer in answers:
                assert answer.chunks[-1]["error"]["message"]
                assert BAIT not in answer.text

    asyncio.run(main())


@pytest.mark.parametrize("model", [GPT, OPUS], ids=["openai", "anthropic"])
def test_integers_are_told_by_their_value(model: dict[str, Any]) -> None:
    """JSON Schema: 649.0 is an integer, 649.5 and true are not."""
    validator = OpenAIChatValidator() if model is GPT else ClaudeChatValidator()
    config = reapi_config(
        openai_url="http://o/v1",
        anthropic_url="http://a",
        media_url="http://m",
        upstream_key="k",
        operator_token="t",
    )
    named = config.models[model["model"]]
    whole = {"max_tokens": 649.0, "n": 1.0, "seed": -3.0, "top_logprobs": 2.0}
    checked = validator.validate({**model, **asking("x"), **whole}, named)
    assert (checked.max_output, type(checked.max_output)) == (649, int)
    assert (checked.choices, type(checked.choices)) == (1, int)
    assert {name: repr(checked.body[name]) for name in whole} == {
        name: repr(value) for name, value in whole.items()
    }
    for name, value in (("max_tokens", 649.5), ("seed", True), ("n", 1.5), ("seed", "3")):
        with pytest.raises(GatewayError) as refused:
            validator.validate({**model, **asking("x"), "max_tokens": 9, name: value}, named)
        assert refused.value.failure.param == name


def test_a_long_name_of_an_unknown_field_is_refused_as_fast_as_a_short_one() -> None:
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}], "tempera" * 1_000_000: 1}
    began = time.process_time()
    with pytest.raises(GatewayError, match="Unknown field"):
        OpenAIChatValidator().validate(body, CONFIG.models["gpt-5.5"])
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("target", [b"/v1/\xff", b"/v1/%ff", b"/v1/\xc3\x28", b"/v1/chat/completions?\xff"])
@pytest.mark.parametrize("surface", ["chat_url", "tasks_url", "aimlapi_url", "operator_url"])
@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
def test_a_path_that_is_no_text_is_refused_in_words(deploy: Any, surface: str, target: bytes) -> None:
    async def main() -> None:
        async with deploy() as d, asyncio.timeout(10):
            port = int(getattr(d.gateway, surface).split(":")[2].split("/")[0])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            assert int(answer[9:12]) in {400, 404, 405}, answer
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "number", ["1e999999999999999999999", "-1E+400", "1e-99999999999999999999", "9" * 5000]
)
def test_numbers_beyond_all_measure_are_refused_or_passed_on(number: str) -> None:
    sent = b'{"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}], "temperature": %b}'
    with contextlib.suppress(GatewayError):
        body = read_object(sent % number.encode())
        passed = encode(OpenAIChatValidator().validate(body, CONFIG.models["gpt-5.5"]).body)
        assert number.encode() in passed
