"""Callbacks of media jobs: what a provider posts to the address that a submission named, once the job is over.

Each delivery is a task of this object: bounded in number, retried a few times, and ended with the simulator. A
delivery is signed like the common webhooks: HMAC-SHA256 over `timestamp.body` in `x-callback-signature`.
"""

import asyncio
import hashlib
import hmac
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from mock_upstreams.refusals import Refusal

_MOST_WAITING: Final = 10_000
_KEPT: Final = 1000
_TIMEOUT_S: Final = 10.0
_RETRY_AFTER_S: Final = (0.2, 1.0)
_TAKEN_BACK_S: Final = 5.0


class Callbacks:
    """The deliveries that are waiting or under way; `log` has the latest attempts, oldest first."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.log: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def schedule(self, job_id: str, url: str, delay_s: float, times: int, body: Callable[[], bytes]) -> None:
        """Deliver `body()` in `delay_s` seconds, `times` times. Raises Refusal (503) when too many are waiting."""
        if len(self._tasks) >= _MOST_WAITING:
            raise Refusal(503, f"simulator: {_MOST_WAITING} callbacks are waiting; submit fewer jobs")
        task = asyncio.get_running_loop().create_task(self._deliver(job_id, url, delay_s, times, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Give up what is not delivered yet."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_TAKEN_BACK_S)
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _deliver(
        self, job_id: str, url: str, delay_s: float, times: int, body: Callable[[], bytes]
    ) -> None:
        await asyncio.sleep(delay_s)
        data = body()
        for _ in range(times):
            for wait_s in (*_RETRY_AFTER_S, None):
                if await self._attempt(job_id, url, data) or wait_s is None:
                    break
                await asyncio.sleep(wait_s)

    async def _attempt(self, job_id: str, url: str, data: bytes) -> bool:
        stamp = str(int(time.time()))
        seal = hmac.new(self._secret, stamp.encode() + b"." + data, hashlib.sha256).hexdigest()
        headers = {
            "content-type": "application/json",
            "x-callback-id": job_id,
            "x-callback-timestamp": stamp,
            "x-callback-signature": f"sha256={seal}",
        }
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        status: int | None = None
        problem: str | None = None
        try:
            async with self._session.post(url, data=data, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            problem = type(exc).__name__
        self.log.append(
            {
                "job_id": job_id,
                "url": url,
                "status": status,
                "error": problem,
                "finished_ns": time.monotonic_ns(),
            }
        )
        return status is not None and 200 <= status < 300
