"""The load client of the simulator benchmark: no two of its calls are the same, as the benchmark claims."""

import asyncio
import json
import re
import shutil

import pytest

from benchmarks.simulator.measures import NEW_HEADS
from benchmarks.simulator.processes import load_client
from benchmarks.simulator.servers import AIOHTTP_WRITE, SIMULATOR

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="there is no C compiler; on Debian: apt-get install gcc libc6-dev"
)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def requests(body: str, header: str = "") -> list[tuple[str, str]]:
    """Head and body of each request that a short load sends."""
    found: list[tuple[str, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                (length,) = re.findall(r"content-length: (\d+)", head)
                found.append((head, (await reader.readexactly(int(length))).decode()))
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        arguments = [str(port), "4", "0.05", "0.1", "0", body, str(1 << 30), header]
        client = await asyncio.create_subprocess_exec(
            load_client(), *arguments, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(client.communicate(), 30)
    assert json.loads(output)["failed"] == 0
    return found


@needs_compiler
@pytest.mark.parametrize("stream", [True, False])
def test_every_call_has_a_prompt_and_an_id_of_its_own(*, stream: bool) -> None:
    for contender in (SIMULATOR, AIOHTTP_WRITE):
        found = asyncio.run(requests(contender.body(64, 0, stream=stream)))
        assert len(found) > 20
        assert len({head for head, _ in found}) == 1
        prompts = [json.loads(body)["messages"][0]["content"] for _, body in found]
        assert len({re.sub(r"\[\[.*\]\]", "", prompt) for prompt in prompts}) == len(prompts)
        if contender.scripted:
            assert len({re.findall(r"\[\[wb:(bench-\d+);", prompt)[0] for prompt in prompts}) == len(prompts)


@needs_compiler
def test_every_call_may_have_a_head_of_its_own() -> None:
    found = asyncio.run(requests(SIMULATOR.body(64, 0, stream=True), NEW_HEADS))
    assert len({head for head, _ in found}) == len(found) > 20
