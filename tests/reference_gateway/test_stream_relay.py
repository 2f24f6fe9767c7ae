"""How streams end: complete, broken, cut short, or because the caller has left."""

import asyncio
import json
import time
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

TEXT = "One two three four five six seven eight nine ten"
SCRIPT = "text=One%20two%20three%20four%20five%20six%20seven%20eight%20nine%20ten"
MODELS = pytest.mark.parametrize("model", ["gpt-5.5", "claude-opus-4-8"])


def streaming(model: str, script: str, **fields: Any) -> dict[str, Any]:
    content = f"[[wb:s;{script}]]"
    return {
        "model": model,
        "max_tokens": 500,
        "stream": True,
        "messages": [{"role": "user", "content": content}],
        **fields,
    }


@MODELS
@pytest.mark.parametrize(
    "disturbance", ["", ";fault=crlf", ";fault=comments", ";fault=bytewise", ";fault=no_done"]
)
def test_a_complete_stream_has_all_text_one_finish_and_one_terminator(
    deploy: Any, model: str, disturbance: str
) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            answer = await d.chat(customer, streaming(model, f"{SCRIPT};in=1000;out=10{disturbance}"))
            assert answer.status == 200, answer.text
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert answer.content == TEXT
            assert answer.data[-1] == "[DONE]"
            assert answer.data.count("[DONE]") == 1
            finishes = [chunk["choices"][0]["finish_reason"] for chunk in answer.chunks]
            assert finishes == [None] * (len(finishes) - 1) + ["stop"]
            assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in answer.chunks}) == 1
            assert answer.chunks[0]["model"] == model
            assert answer.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
            assert {chunk["object"] for chunk in answer.chunks} == {"chat.completion.chunk"}
            assert not any("usage" in chunk for chunk in answer.chunks)
            assert len(await d.journal("s")) == 1

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["double_done", "double_finish", "after_done"])
def test_what_an_upstream_says_twice_or_too_late_is_said_once(deploy: Any, fault: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            answer = await d.chat(customer, streaming("gpt-5.5", f"{SCRIPT};in=1000;out=0;fault={fault}"))
            assert answer.content == TEXT
            assert answer.data[-1] == "[DONE]"
            assert answer.data.count("[DONE]") == 1
            finishes = [chunk["choices"][0]["finish_reason"] for chunk in answer.chunks]
            assert finishes.count("stop") == 1
            assert await d.balance(customer) == "99.995"

    asyncio.run(main())


@MODELS
@pytest.mark.parametrize("fault", ["reset", "close", "end_early", "error_event", "bad_json"])
def test_a_broken_stream_ends_with_an_error_event_and_costs_nothing(
    deploy: Any, model: str, fault: str
) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            answer = await d.chat(customer, streaming(model, f"{SCRIPT};fault={fault};after=3"))
            assert await d.balance(customer) == "100"
            assert answer.status == 200
            assert TEXT.startswith(answer.content)
            assert "[DONE]" not in answer.data
            assert json.loads(answer.data[-1])["error"]["code"] == "upstream_failed"
            finishes = [
                choice["finish_reason"] for chunk in answer.chunks for choice in chunk.get("choices", [])
            ]
            assert set(finishes) == {None}
            assert await d.rows(customer, "settle", "overrun") == []
            assert len(await d.journal("s")) == 1

    asyncio.run(main())


@MODELS
@pytest.mark.parametrize(
    "fault",
    ["reset;after=0", "end_early;after=0", "error_event;after=0", "html", "empty", "status;status=500"],
)
def test_a_failure_before_the_first_byte_is_an_ordinary_error(deploy: Any, model: str, fault: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            answer = await d.chat(customer, streaming(model, f"{SCRIPT};fault={fault}"))
            if answer.status == 200:
                # The Anthropic stream has begun with message_start by then.
                assert (model, "[DONE]" in answer.data) == ("claude-opus-4-8", False)
                assert "error" in answer.chunks[-1]
            else:
                assert (answer.status, answer.headers["Content-Type"]) == (500, "application/json")
                assert answer.json["error"]["code"] == "upstream_failed"
            assert await d.balance(customer) == "100"

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["reset", "end_early", "error_event"])
def test_a_broken_native_stream_ends_with_an_error_event_and_no_message_stop(deploy: Any, fault: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            body = streaming("claude-opus-4-8", f"{SCRIPT};fault={fault};after=3")
            answer = await d.messages(customer, body)
            assert answer.status == 200
            assert "event: error\n" in answer.text
            assert "message_stop" not in answer.text
            assert answer.chunks[-1]["error"]["type"] == "api_error"
            assert await d.balance(customer) == "100"

    asyncio.run(main())


def test_a_stalled_stream_is_given_up_as_broken(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(upstream_timeout_s=0.3) as d:
            customer = await d.customer("100")
            answer = await d.chat(customer, streaming("gpt-5.5", f"{SCRIPT};fault=stall;after=2"))
            assert "error" in answer.chunks[-1]
            assert "[DONE]" not in answer.data
            assert await d.balance(customer) == "100"

    asyncio.run(main())


def test_a_stream_may_take_longer_than_the_longest_silence(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(upstream_timeout_s=0.6) as d:
            customer = await d.customer("100")
            began = time.monotonic()
            answer = await d.chat(customer, streaming("gpt-5.5", f"{SCRIPT};chunks=10;gap_ms=120;out=10"))
            assert answer.content == TEXT
            assert answer.data[-1] == "[DONE]"
            assert time.monotonic() - began > 0.9

    asyncio.run(main())


@MODELS
def test_a_caller_who_leaves_stops_the_upstream_at_once_and_pays_nothing(
    deploy: Any, wait_for: Any, model: str
) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            url = f"{d.gateway.chat_url}/chat/completions"
            body = streaming(model, f"{SCRIPT};gap_ms=200;in=1000;out=10")
            async with d.session.post(url, json=body, headers=customer.headers) as response:
                assert await response.content.readline()
                response.close()

            async def upstream_dropped() -> bool:
                (entry,) = await d.journal("s")
                return bool(entry["ending"] == "caller_left")

            async def paid_back() -> bool:
                return bool(await d.balance(customer) == "100")

            await wait_for(upstream_dropped, 2.0)
            await wait_for(paid_back, 2.0)
            assert [row["reason"] for row in await d.rows(customer)] == ["topup", "hold", "release"]

    asyncio.run(main())


@MODELS
@pytest.mark.parametrize("stream", [True, False])
def test_the_upstream_hears_within_milliseconds_that_the_caller_has_left(
    deploy: Any, wait_for: Any, model: str, stream: bool
) -> None:
    """The quickest of some tries, since all run on one machine that may be busy; a wait anywhere would slow all."""

    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            url = f"{d.gateway.chat_url}/chat/completions"
            pause = "gap_ms=5000" if stream else "ttft_ms=20000"
            taken = []
            for turn in range(5):
                body = streaming(model, f"{SCRIPT};{pause};in=1000;out=10")
                content = f"[[wb:leave{turn};{SCRIPT};{pause}]]"
                body = {**body, "stream": stream, "messages": [{"role": "user", "content": content}]}
                if not stream:
                    del body["stream"]
                calling = asyncio.create_task(d.session.post(url, json=body, headers=customer.headers))
                await wait_for(partial(journal_of, d, f"leave{turn}"))
                if stream:
                    response = await calling
                    assert await response.content.readline()
                left = time.monotonic_ns()
                if stream:
                    response.close()
                else:
                    calling.cancel()
                entry = await wait_for(partial(journal_of, d, f"leave{turn}", "caller_left"), 2.0)
                taken.append((entry["caller_left_ns"] - left) / 1e6)
            assert min(taken) < 50

    asyncio.run(main())


async def journal_of(d: Any, call: str, ending: str | None = None) -> Any:
    """What the provider noted of a call, once it has noted it, or once it has noted its ending."""
    entries = await d.journal(call)
    return entries[0] if entries and ending in (None, entries[0]["ending"]) else None


def test_a_caller_who_leaves_an_unstreamed_call_stops_the_upstream_too(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            body = {**streaming("gpt-5.5", f"{SCRIPT};ttft_ms=20000"), "stream": False}
            leaving = asyncio.create_task(d.chat(customer, body))

            async def arrived() -> bool:
                return len(await d.journal("s")) == 1

            async def dropped_and_paid_back() -> bool:
                (entry,) = await d.journal("s")
                return bool(entry["ending"] == "caller_left" and await d.balance(customer) == "100")

            await wait_for(arrived)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            await wait_for(dropped_and_paid_back, 2.0)

    asyncio.run(main())


def test_a_finished_stream_leaves_its_upstream_connection_whole(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            for _ in range(3):
                assert (await d.chat(customer, streaming("gpt-5.5", SCRIPT))).status == 200
            assert [entry["ending"] for entry in await d.journal("s")] == ["complete"] * 3

    asyncio.run(main())


def test_stopping_the_gateway_in_the_middle_of_a_stream_gives_the_hold_back(
    deploy: Any, tmp_path: Any
) -> None:
    async def main() -> None:
        database = str(tmp_path / "gateway.sqlite")
        async with deploy(database=database) as d:
            customer = await d.customer("100")
            url = f"{d.gateway.chat_url}/chat/completions"
            response = await d.session.post(
                url, json=streaming("gpt-5.5", f"{SCRIPT};fault=stall;after=2"), headers=customer.headers
            )
            await response.content.readline()
            assert await d.balance(customer) != "100"
        async with deploy(database=database) as d:
            assert await d.balance(customer) == "100"
            assert [row["reason"] for row in await d.rows(customer)] == ["topup", "hold", "release"]

    asyncio.run(main())


def test_content_is_relayed_while_the_upstream_is_still_producing(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            url = f"{d.gateway.chat_url}/chat/completions"
            body = streaming("gpt-5.5", f"{SCRIPT};fault=stall;after=3")
            async with d.session.post(url, json=body, headers=customer.headers) as response:
                seen = b""
                async with asyncio.timeout(5):
                    while seen.count(b"data: ") < 3:
                        seen += await response.content.readany()
                (entry,) = await d.journal("s")
                assert entry["ending"] == "open"
                response.close()

    asyncio.run(main())


def test_usage_is_shown_in_a_stream_only_to_who_asked(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            options = {"stream_options": {"include_usage": True}}
            for model in ("gpt-5.5", "claude-opus-4-8"):
                answer = await d.chat(customer, streaming(model, f"{SCRIPT};in=12;out=3", **options))
                *others, last = answer.chunks
                assert last["choices"] == []
                assert (last["usage"]["prompt_tokens"], last["usage"]["total_tokens"]) == (12, 15)
                assert all(chunk["usage"] is None for chunk in others)
                assert others[-1]["choices"][0]["finish_reason"] == "stop"
            # The gateway asks its upstream for usage in any case, because usage is the bill.
            await d.chat(customer, streaming("gpt-5.5", "in=1"))
            assert json.loads((await d.journal("s"))[-1]["body"])["stream_options"] == {"include_usage": True}

    asyncio.run(main())


def test_all_choices_of_a_stream_finish_before_it_ends(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            answer = await d.chat(customer, streaming("gpt-5.5", f"{SCRIPT};in=1000;out=0", n=3))
            finishes = [
                (choice["index"], choice["finish_reason"])
                for chunk in answer.chunks
                for choice in chunk["choices"]
                if choice["finish_reason"]
            ]
            assert sorted(finishes) == [(0, "stop"), (1, "stop"), (2, "stop")]
            assert answer.data[-1] == "[DONE]"
            assert Decimal(await d.balance(customer)) == Decimal("99.995")

    asyncio.run(main())


@pytest.mark.parametrize("model", ["gpt-5.5", "claude-opus-4-8"])
def test_streamed_tool_calls_arrive_as_fragments_of_valid_json(deploy: Any, model: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer("100")
            tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
            args = "%7B%22city%22%3A%22M%C3%BCnchen%22%7D"
            answer = await d.chat(customer, streaming(model, f"tool=f;args={args}", tools=tools))
            calls = [
                call for chunk in answer.chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])
            ]
            assert {call["index"] for call in calls} == {0}
            assert (calls[0]["type"], calls[0]["function"]["name"]) == ("function", "f")
            assert calls[0]["id"]
            assert all("id" not in call for call in calls[1:])
            joined = "".join(call["function"].get("arguments", "") for call in calls)
            assert json.loads(joined) == {"city": "München"}
            assert answer.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"

    asyncio.run(main())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_is_framed_as_its_callers_version_of_http_wants_it(deploy: Any, version: str) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            body = json.dumps(streaming("gpt-5.5", "text=a b c d;gap_ms=5;chunks=4"))
            reader, writer = await asyncio.open_connection(*d.gateway.messages_url[7:].split(":"))
            head = (
                f"POST /v1/chat/completions HTTP/{version}\r\nHost: gateway\r\nConnection: close\r\n"
                f"Authorization: Bearer {customer.key}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body.encode())
            async with asyncio.timeout(10):
                answer = await reader.read()
            writer.close()
            top, _, rest = answer.partition(b"\r\n\r\n")
            chunked = b"transfer-encoding: chunked" in top.lower()
            assert chunked == (version == "1.1")
            while chunked:
                size, _, more = rest.partition(b"\r\n")
                length = int(size, 16)
                assert more[length : length + 2] == b"\r\n"
                if not length:
                    break
                assert more[:length].startswith(b"data: ")
                rest = more[length + 2 :]
            assert chunked or (rest.startswith(b"data: ") and rest.endswith(b"data: [DONE]\n\n"))

    asyncio.run(main())
