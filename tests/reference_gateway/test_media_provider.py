"""What a media provider may say: half of it makes no sense, and none of that ends a task that is at work."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from reference_gateway.config import MediaProvider
from reference_gateway.tasks.media import JobState, MediaClient, MediaError


@asynccontextmanager
async def client_of(answer: Any) -> AsyncIterator[MediaClient]:
    """A client of a provider that answers everything with one value."""

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=json.dumps(answer))

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = MediaClient(MediaProvider(f"http://127.0.0.1:{runner.addresses[0][1]}", "key"), 5.0)
    await client.start()
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("error", "message"), [("boom", "boom"), (["boom"], "['boom']"), (None, ""), ({"message": "m"}, "m")]
)
def test_an_error_in_any_form_is_read(error: Any, message: str) -> None:
    async def main() -> None:
        for state in ("running", "failed"):
            async with client_of({"state": state, "error": error}) as client:
                job = await client.poll("job")
                assert (job.state, job.message, job.moderated) == (JobState(state), message, False)

    asyncio.run(main())


@pytest.mark.parametrize("job_id", [None, "", 5, "a\0b"])
def test_a_job_is_accepted_under_a_name_that_can_be_kept(job_id: Any) -> None:
    async def main() -> None:
        async with client_of({"job_id": job_id}) as client:
            with pytest.raises(MediaError, match="without naming"):
                await client.submit({})

    asyncio.run(main())
