"""Results are fetched from public addresses only; reference media are not fetched at all."""

import asyncio
import dataclasses
import socket
from typing import Any

import pytest
from aiohttp import web

from reference_gateway import parse_config
from reference_gateway.config import MediaProvider
from reference_gateway.tasks.media import MediaClient, MediaError
from reference_gateway.tasks.reach import PrivateAddressError, is_public, public_socket

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2001:db8::1", "not-an-address", "",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_told(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_told(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("spelling", ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "0"])
def test_no_spelling_of_loopback_gets_a_socket(spelling: str) -> None:
    with pytest.raises(PrivateAddressError):
        public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", (spelling, 80)))


async def refused(url: str) -> None:
    """A result at this address is not fetched."""
    client = MediaClient(MediaProvider("http://provider.invalid", "key"), 5.0)
    await client.start()
    try:
        with pytest.raises(MediaError):
            async with client.download(url):
                pass
    finally:
        await client.close()


HOSTS = [
    "127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "0x7f000001", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a_result_at_a_private_address_is_never_connected_to(host: str) -> None:
    async def main() -> None:
        arrived = 0

        async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal arrived
            arrived += 1
            writer.close()

        server = await asyncio.start_server(count, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            await refused(f"http://{host}:{port}/file.png")
        assert arrived == 0

    asyncio.run(main())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://8.8.8.8/x", "http://[::1", "gopher://x"])
def test_a_result_that_is_not_on_the_web_is_refused(url: str) -> None:
    asyncio.run(refused(url))


def test_a_name_that_resolves_to_a_public_address_first_and_to_loopback_then_is_refused() -> None:
    """What is checked is the address that is connected to, so a second answer of the resolver is checked too."""

    async def main() -> None:
        answers = iter(["8.8.8.8", "127.0.0.1"])
        loop = asyncio.get_running_loop()

        async def rebinding(*_args: Any, **_options: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 80))]

        first = await rebinding()
        public_socket(first[0]).close()
        loop.getaddrinfo = rebinding  # type: ignore[method-assign]
        await refused("http://rebinding.example/x.png")

    asyncio.run(main())


def test_a_redirect_is_not_followed_and_a_private_result_is_fetched_when_configured() -> None:
    async def main() -> None:
        hit = []

        async def moved(request: web.Request) -> web.StreamResponse:
            hit.append(request.path)
            raise web.HTTPFound(str(request.url.with_path("/secret")))

        async def plain(request: web.Request) -> web.StreamResponse:
            hit.append(request.path)
            return web.Response(body=b"x", headers={"Seen-Auth": request.headers.get("Authorization", "")})

        app = web.Application()
        app.router.add_get("/moved", moved)
        app.router.add_get("/secret", plain)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        root = f"http://127.0.0.1:{runner.addresses[0][1]}"
        provider = MediaProvider("http://provider.invalid", "key", private_networks=True)
        client = MediaClient(provider, 5.0)
        await client.start()
        try:
            with pytest.raises(MediaError, match="status 302"):
                async with client.download(f"{root}/moved"):
                    pass
            assert hit == ["/moved"]
            async with client.download(f"{root}/secret") as response:
                assert (await response.read(), response.headers["Seen-Auth"]) == (b"x", "")
        finally:
            await client.close()
            await runner.cleanup()

    asyncio.run(main())


def test_reference_media_are_handed_on_and_never_fetched(deploy: Any) -> None:
    async def main() -> None:
        arrived = 0

        async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal arrived
            arrived += 1
            writer.close()

        server = await asyncio.start_server(count, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/picture.png"
        async with deploy() as d:
            customer, tasks = await d.customer(), await d.task_customer()
            body: dict[str, Any] = {"model": "gpt-image-2", "prompt": "[[wb:ref]]", "image_urls": [url]}
            submitted = await d.submit(tasks, "/images/generations", body)
            assert submitted.status == 200
            await d.finished(tasks, submitted.json["id"])
            part = {"type": "image_url", "image_url": {"url": url}}
            for model in ("gpt-5.5", "claude-opus-4-8"):
                content = [{"type": "text", "text": "look"}, part]
                body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": content}]}
                assert (await d.chat(customer, body)).status == 200
        server.close()
        await server.wait_closed()
        assert arrived == 0

    asyncio.run(main())


def test_a_result_that_is_too_large_fails_the_task_and_gives_the_credits_back(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = parse_config

    def bounded(values: Any) -> Any:
        config = original(values)
        return dataclasses.replace(config, media=dataclasses.replace(config.media, result_bytes=10))

    monkeypatch.setattr("reference_gateway.presets.parse_config", bounded)

    async def main() -> None:
        async with deploy() as d:
            tasks = await d.task_customer()
            submitted = await d.submit(tasks, "/images/generations", {"model": "gpt-image-2", "prompt": "x"})
            ended = await d.finished(tasks, submitted.json["id"])
            assert ended["status"] == "failed"
            assert await d.credits(tasks) == 1000

    asyncio.run(main())


def test_a_result_that_never_ends_is_given_up() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nx")
            await reader.read()
            gone.set()
            writer.close()

        server = await asyncio.start_server(stall, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = MediaClient(MediaProvider(url, "key", result_timeout_s=0.3), 5.0)
        await client.start()
        try:
            async with asyncio.timeout(5):
                with pytest.raises(MediaError):
                    async with client.download(f"{url}/file.png") as response:
                        await response.read()
                await gone.wait()
        finally:
            await client.close()
            server.close()
            await server.wait_closed()

    asyncio.run(main())
