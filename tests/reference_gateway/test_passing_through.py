"""What the gateway passes on: numbers by value, bytes no faster than they are taken, and secrets never."""

import asyncio
import io
import json
import logging
import re
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reference_gateway.jsonwire import NotJsonError, check_nesting, decode, encode

NUMBERS = {
    "big": "12345678901234567890123456789",
    "beyond_64_bits": "18446744073709551616",
    "largest_64_bits": "18446744073709551615",
    "precise": "0.12345678901234567890123456789",
    "whole_fraction": "1.0",
    "whole": "1",
    "exponent": "1.5e3",
    "tiny": "1e-400",
    "negative_big": "-12345678901234567890123",
    "seventeen": "0.30000000000000004",
}


def by_value(text: str | bytes) -> Any:
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def test_numbers_survive_decoding_and_encoding_by_value() -> None:
    for text in NUMBERS.values():
        for shape in ('{"a": %s}', "[%s]", '{"a":{"b":[0,%s]}}'):
            raw = shape % text
            assert by_value(encode(decode(raw))) == by_value(raw), raw


def test_texts_full_of_digits_are_not_numbers() -> None:
    raw = b'{"a": "x:12345678901234567890123", "b": [":1e5"]}'
    assert decode(raw) == json.loads(raw)


def test_numbers_in_a_tool_schema_reach_the_upstream_and_come_back_by_value(deploy: Any) -> None:
    properties = ",".join(f'"{name}": {{"const": {text}}}' for name, text in NUMBERS.items())
    schema = '{"type": "object", "properties": {' + properties + "}}"
    tools = '[{"type": "function", "function": {"name": "f", "parameters": ' + schema + "}}]"
    asks = '"messages": [{"role": "user", "content": "[[wb:exact]]"}]'
    body = '{"model": "gpt-5.5", ' + asks + ', "tools": ' + tools + "}"

    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            url = f"{d.gateway.chat_url}/chat/completions"
            headers = {**customer.headers, "Content-Type": "application/json"}
            answer = await d.send("POST", url, data=body.encode(), headers=headers)
            assert answer.status == 200, answer.text
            (entry,) = await d.journal("exact")
            assert by_value(entry["body"]) == by_value(body)

    asyncio.run(main())


def test_nesting_is_bounded_and_refused_as_a_malformed_body(deploy: Any) -> None:
    deep = "[" * 101 + "]" * 101
    check_nesting(decode("[" * 100 + "]" * 100))
    with pytest.raises(NotJsonError, match="more than 100 levels"):
        check_nesting(decode(deep))

    async def main() -> None:
        async with deploy() as d:
            customer, tasks = await d.customer(), await d.task_customer()
            body = '{"model": "gpt-5.5", "messages": [], "metadata": ' + deep + "}"
            for url, headers, code in (
                (f"{d.gateway.chat_url}/chat/completions", customer.headers, "malformed_body"),
                (f"{d.gateway.messages_url}/v1/messages", customer.headers, "malformed_body"),
                (f"{d.gateway.tasks_url}/images/generations", tasks.headers, 20001),
            ):
                answer = await d.send("POST", url, data=body, headers=headers)
                assert (answer.status, answer.json["error"]["code"]) == (400, code)

    asyncio.run(main())


def test_an_upstream_stream_beyond_the_limit_is_an_error_and_no_ending(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(limits={"reply_bytes": 4096}) as d:
            customer = await d.customer()
            text = "word " * 400
            body = {"model": "gpt-5.5", "stream": True}
            body["messages"] = [
                {"role": "user", "content": f"[[wb:endless;text={text};chunks=400;gap_ms=1]]"}
            ]
            answer = await d.chat(customer, body)
            assert answer.data[-1] != "[DONE]"
            assert "error" in answer.chunks[-1]
            assert await d.rows(customer, "settle") == []

    asyncio.run(main())


@pytest.mark.parametrize("framing", ["Connection: close", "Transfer-Encoding: chunked"])
def test_a_slow_caller_slows_the_upstream_down(deploy: Any, framing: str) -> None:
    """An upstream that could send 64 MiB at once is read only as fast as the caller takes it."""
    frame = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"x" * 60_000)
    if "chunked" in framing:
        frame = b"%x\r\n%b\r\n" % (len(frame), frame)
    frames = 1000
    sent = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        assert length is not None
        await reader.readexactly(int(length[1]))
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n".encode())
        try:
            for _ in range(frames):
                writer.write(frame)
                await writer.drain()
                sent += 1
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(upstream, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        channels = {"openai": {"dialect": "openai", "url": url, "key": "k"}}
        async with deploy(channels=channels) as d:
            customer = await d.customer()
            body = json.dumps(
                {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            )
            port = int(d.gateway.messages_url.rpartition(":")[2])
            caller = socket.socket()
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            caller.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(caller, ("127.0.0.1", port))
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {customer.key}\r\n"
            )
            await loop.sock_sendall(caller, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            # Nobody reads: the flow stops once all buffers on the way are full.
            before = -1
            async with asyncio.timeout(20):
                while sent != before or sent == 0:
                    before = sent
                    await asyncio.sleep(0.5)
            stopped_at = sent
            assert stopped_at < frames // 2, (
                f"{stopped_at} of {frames} frames were read for a caller who reads none"
            )
            # As soon as the caller reads, the upstream goes on.
            async with asyncio.timeout(20):
                while sent == stopped_at:
                    await loop.sock_recv(caller, 1 << 20)
            caller.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_keys_are_in_no_log_no_error_no_metric_and_no_file(deploy: Any, tmp_path: Path) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    seen: list[str] = []
    secrets: list[str] = ["upstream-secret-key", "operator-token"]

    async def main() -> None:
        async with deploy(database=str(tmp_path / "gateway.sqlite")) as d:
            customer, tasks = await d.customer(), await d.task_customer()
            aiml = await d.aimlapi_customer()
            secrets.extend((customer.key, tasks.key, aiml.key))
            asks = {"messages": [{"role": "user", "content": "hi"}]}
            for fault in ("status;status=401", "status;status=500", "garbled", "no_usage"):
                body = {
                    "model": "gpt-5.5",
                    "messages": [{"role": "user", "content": f"[[wb:k;fault={fault}]]"}],
                }
                seen.append((await d.chat(customer, body)).text)
            seen.append((await d.chat(customer, {"model": "gpt-5.5", **asks})).text)
            seen.append((await d.chat(tasks, {"model": "gpt-5.5", **asks})).text)
            seen.append((await d.messages(aiml, {"model": "claude-opus-4-8", **asks})).text)
            seen.append((await d.aimlapi(customer, {"model": "claude-opus-4-8", **asks})).text)
            wrong = {"Authorization": f"Bearer {customer.key}x"}
            seen.append((await d.send("GET", f"{d.gateway.chat_url}/models", headers=wrong)).text)
            twice = {"Authorization": f"Bearer {customer.key} {customer.key}"}
            seen.append((await d.send("GET", f"{d.gateway.chat_url}/models", headers=twice)).text)
            seen.append((await d.submit(tasks, "/images/generations", {"model": customer.key})).text)
            await d.operator("POST", f"/keys/{customer.key_id}/revoke")
            seen.append((await d.chat(customer, {"model": "gpt-5.5", **asks})).text)
            paths = ("/accounts", f"/accounts/{tasks.id}", f"/accounts/{tasks.id}/keys", "/groups", "/rates")
            seen.extend([json.dumps(await d.operator("GET", path)) for path in paths])
            operator = {"Authorization": "Bearer operator-token"}
            seen.append((await d.send("GET", d.gateway.metrics_url, headers=operator)).text)

    try:
        asyncio.run(main())
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    # The one place where a caller's own words come back is the refusal of the model that it named.
    texts = [text for text in seen if "There is no model" not in text]
    files = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) == len(seen) - 1
    assert files
    for secret in secrets:
        assert not [text for text in (*texts, *files, written.getvalue()) if secret in text], secret[:6]
