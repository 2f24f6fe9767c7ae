"""Shapes of a request that two parsers could read as different requests, sent over raw sockets."""

import asyncio
import json
import re
from typing import Any

import pytest

BODY = json.dumps({"model": "gpt-5.5", "messages": [{"role": "user", "content": "[[wb:smuggled]]"}]}).encode()
GET = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED_BODY = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


async def talk(port: int, data: bytes, within: float = 5.0) -> bytes:
    """Everything that comes back until the other side closes, or is silent for a moment after it has answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        answer = b""
        async with asyncio.timeout(within):
            while part := await reader.read(65536):
                answer += part
        return answer
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    assert answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), answer[:100]
    return int(answer[9:12])


def head(*lines: bytes, key: str) -> bytes:
    auth = b"Authorization: Bearer " + key.encode()
    return b"\r\n".join((b"POST /v1/chat/completions HTTP/1.1", b"Host: x", auth, *lines)) + b"\r\n\r\n"


LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
SHAPES: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "both lengths": ((LENGTH, CHUNKED), CHUNKED_BODY),
    "both lengths, the other way round": ((CHUNKED, LENGTH), CHUNKED_BODY),
    "two lengths": ((LENGTH, b"Content-Length: 3"), BODY),
    "two equal lengths": ((LENGTH, LENGTH), BODY),
    "a list of lengths": ((b"Content-Length: %d, %d" % (len(BODY), len(BODY)),), BODY),
    "a signed length": ((b"Content-Length: +%d" % len(BODY),), BODY),
    "a negative length": ((b"Content-Length: -1",), BODY),
    "a hexadecimal length": ((b"Content-Length: 0x10",), BODY),
    "a length with an underscore": ((b"Content-Length: 1_0",), BODY),
    "a folded header": ((b"X-Folded: a\r\n b", LENGTH), BODY),
    "a folded coding": ((b"Transfer-Encoding:\r\n chunked", LENGTH), BODY),
    "a space before the colon": ((b"Content-Length : %d" % len(BODY),), BODY),
    "a space before the colon of the coding": ((b"Transfer-Encoding : chunked", LENGTH), CHUNKED_BODY),
    "a header without a name": ((b": x", LENGTH), BODY),
    "a line without a colon": ((b"garbage", LENGTH), BODY),
    "a bare LF between headers": ((b"X-A: b\nX-C: d", LENGTH), BODY),
    "a bare CR in a header": ((b"X-A: b\rX-C: d", LENGTH), BODY),
    "a NUL in a header": ((b"X-A: b\x00c", LENGTH), BODY),
    "an unknown coding": ((b"Transfer-Encoding: xchunked",), CHUNKED_BODY),
    "an unknown coding beside a length": ((b"Transfer-Encoding: xchunked", LENGTH), BODY),
    "a coding after chunked": ((b"Transfer-Encoding: chunked, identity",), CHUNKED_BODY),
    "chunked twice": ((b"Transfer-Encoding: chunked, chunked",), CHUNKED_BODY),
    "two coding headers": ((CHUNKED, b"Transfer-Encoding: identity"), CHUNKED_BODY),
    "a coding with a control character": ((b"Transfer-Encoding: \x0bchunked", LENGTH), BODY),
    "chunk size with a sign": ((CHUNKED,), b"+" + CHUNKED_BODY),
    "chunk size with a prefix": ((CHUNKED,), b"0x" + CHUNKED_BODY),
    "chunk size with junk": ((CHUNKED,), b"%x z\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "chunk size that is huge": ((CHUNKED,), b"f" * 20 + b"\r\n" + BODY),
    "no size at all": ((CHUNKED,), b"\r\n" + BODY),
    "chunk with a bare LF": ((CHUNKED,), b"%x\n%s\n0\n\n" % (len(BODY), BODY)),
    "chunk data longer than its size": ((CHUNKED,), b"%x\r\n%sJUNK\r\n0\r\n\r\n" % (len(BODY), BODY)),
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_a_shape_that_could_hide_a_second_request_is_refused(deploy: Any, shape: str) -> None:
    async def main() -> None:
        lines, body = SHAPES[shape]
        async with deploy() as d:
            customer = await d.customer()
            port = int(d.gateway.messages_url.rpartition(":")[2])
            answer = await talk(port, head(*lines, key=customer.key) + body + GET)
            assert status_of(answer) == 400, answer[:300]
            assert len(re.findall(rb"HTTP/1\.[01] \d{3} ", answer)) == 1, "the second request was served"
            envelope = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert envelope["error"]["type"] == "invalid_request_error"
            assert await d.journal("smuggled") == []
            assert not await d.rows(customer, "hold", "settle")

    asyncio.run(main())


def test_the_plain_shapes_are_served(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.customer()
            port = int(d.gateway.messages_url.rpartition(":")[2])
            close = b"Connection: close"
            for lines, body in (((LENGTH, close), BODY), ((CHUNKED, close), CHUNKED_BODY)):
                answer = await talk(port, head(*lines, key=customer.key) + body)
                assert status_of(answer) == 200, answer[:300]

    asyncio.run(main())


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1 x", b"GE T / HTTP/1.1", b"GET / HTTP/9.9", b"nonsense"])
def test_a_bad_request_line_is_answered_in_the_envelope_and_the_connection_ends(
    deploy: Any, line: bytes
) -> None:
    async def main() -> None:
        async with deploy() as d:
            port = int(d.gateway.tasks_url.split(":")[2].partition("/")[0])
            answer = await talk(port, line + b"\r\nHost: x\r\n\r\n")
            assert status_of(answer) == 400, answer[:200]
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == 20001

    asyncio.run(main())


def test_headers_that_are_too_large_are_a_431_in_the_envelope(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(limits={"header_bytes": 1024}) as d:
            customer = await d.customer()
            port = int(d.gateway.messages_url.rpartition(":")[2])
            answer = await talk(port, head(b"X-Big: " + b"x" * 5000, LENGTH, key=customer.key) + BODY)
            assert status_of(answer) == 431, answer[:200]
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "headers_too_large"

    asyncio.run(main())


async def too_large(d: Any, url: str, *lines: bytes) -> tuple[int, Any]:
    """Status and body of the answer to a GET with too much of headers."""
    port = int(url.split(":")[2].partition("/")[0])
    answer = await talk(port, b"\r\n".join((b"GET /v1/models HTTP/1.1", b"Host: x", *lines)) + b"\r\n\r\n")
    return status_of(answer), json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("surface", ["chat", "messages", "tasks", "aimlapi", "operator"])
def test_every_surface_refuses_too_much_of_headers_in_its_own_words(deploy: Any, surface: str) -> None:
    async def main() -> None:
        async with deploy(limits={"header_bytes": 1024, "headers": 20}) as d:
            url = getattr(d.gateway, f"{surface}_url")
            status, body = await too_large(d, url, b"X-Big: " + b"x" * 5000)
            assert status == (400 if surface == "aimlapi" else 431)
            if surface == "aimlapi":
                assert body["statusCode"] == 400
                assert "1024 bytes" in body["message"]
            else:
                assert "1024 bytes" in body["error"]["message"]
                assert body["error"]["code"] == (20009 if surface == "tasks" else "headers_too_large")
            status, body = await too_large(d, url, *[b"X-%d: y" % number for number in range(50)])
            assert status in {400, 431}
            assert body.get("error") or body["statusCode"] == status

    asyncio.run(main())


def test_too_many_headers_are_refused(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(limits={"headers": 20}) as d:
            customer = await d.customer()
            port = int(d.gateway.messages_url.rpartition(":")[2])
            many = [b"X-%d: y" % number for number in range(50)]
            answer = await talk(port, head(*many, LENGTH, key=customer.key) + BODY)
            assert status_of(answer) in {431, 400}, answer[:200]
            assert await d.journal("smuggled") == []

    asyncio.run(main())
