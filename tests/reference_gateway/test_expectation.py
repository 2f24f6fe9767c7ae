"""Callers that ask before they send a body: they are told to go on, or refused while it is still at home."""

import asyncio
import json
from typing import Any

import pytest

SQLITE = pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
BODY = json.dumps({"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}]}).encode()


def head(key: str, *, version: bytes = b"1.1", expect: bytes = b"100-continue") -> bytes:
    lines = (
        b"POST /v1/chat/completions HTTP/" + version,
        b"Host: x",
        b"Authorization: Bearer " + key.encode(),
        b"Content-Length: %d" % len(BODY),
        b"Expect: " + expect,
        b"Connection: close",
    )
    return b"\r\n".join(lines) + b"\r\n\r\n"


@SQLITE
def test_a_caller_who_waits_for_a_word_gets_it_before_the_body(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d, asyncio.timeout(10):
            customer = await d.customer()
            port = int(d.gateway.chat_url.split(":")[2].split("/")[0])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head(customer.key, expect=b"100-Continue"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(BODY)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.count(b"HTTP/1.1") == 1
            writer.close()

    asyncio.run(main())


@SQLITE
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_caller_who_is_refused_is_not_asked_for_the_body(deploy: Any, version: bytes) -> None:
    async def main() -> None:
        async with deploy() as d, asyncio.timeout(10):
            port = int(d.gateway.chat_url.split(":")[2].split("/")[0])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head("nobody", version=version))
            assert b" 401 " in await reader.readline()
            writer.close()

    asyncio.run(main())


@SQLITE
def test_the_older_protocol_knows_no_such_word(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d, asyncio.timeout(10):
            customer = await d.customer()
            port = int(d.gateway.chat_url.split(":")[2].split("/")[0])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head(customer.key, version=b"1.0") + BODY)
            assert (await reader.readline()).endswith(b" 200 OK\r\n")
            writer.close()

    asyncio.run(main())
