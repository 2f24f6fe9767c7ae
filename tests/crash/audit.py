"""What a run did, and the look at callers, providers and books that says whether all is right."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.crash.evidence import Attempt, Books, Delivery, delivery
from tests.crash.traffic import OPERATOR_TOKEN
from tests.crash.verdict import violations


@dataclass(slots=True)
class Tally:
    """What a run did. `ways` counts the kills by what was hit."""

    kills: int = 0
    ways: dict[str, int] = field(default_factory=dict)
    staged: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    whole: int = 0
    charges: int = 0
    tasks: int = 0
    refunds: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def hit(self, way: str) -> None:
        """Count a kill."""
        self.kills += 1
        self.ways[way] = self.ways.get(way, 0) + 1

    def line(self, name: str) -> str:
        """One line for people."""
        verdict = "nothing lost, nothing paid twice" if not self.wrong else f"{len(self.wrong)} things wrong"
        ways = ", ".join(f"{count} {way}" for way, count in sorted(self.ways.items()))
        stages = f"; {sum(self.staged.values())} at {len(self.staged)} stages" if self.staged else ""
        return (
            f"{name}: {self.kills} kills ({ways}{stages}) in {self.seconds:.0f} s; {self.calls} calls,"
            f" {self.whole} delivered, {self.charges} charged; {self.tasks} tasks, {self.refunds} refunded: {verdict}"
        )


class Audit:
    """Collects what providers have seen, and judges."""

    def __init__(self, tally: Tally, progress: Callable[[str], None]) -> None:
        self._tally = tally
        self._progress = progress
        self._deliveries: dict[str, list[Delivery]] = {}
        self._looked = 0

    async def look(
        self, session: aiohttp.ClientSession, simulator: str, attempts: list[Attempt], books: Books
    ) -> None:
        """Compare the three sides; the tally says what is wrong."""
        fresh = attempts[self._looked :]
        self._looked = len(attempts)
        names = [attempt.name for attempt in fresh]
        for start in range(0, len(names), 1000):
            query = {"ids": names[start : start + 1000]}
            async with session.post(f"{simulator}/_wb/journal/query", json=query) as response:
                found: Any = await response.json()
            if found["dropped"]:
                raise RuntimeError("the simulator's journal is too small for this run")
            for entry in found["entries"]:
                self._deliveries.setdefault(entry["id"], []).append(delivery(entry))
        tally = self._tally
        tally.wrong += violations(
            books, attempts, (one for many in self._deliveries.values() for one in many)
        )
        tally.calls = len(attempts)
        tally.whole = sum(attempt.whole for attempt in attempts)
        tally.charges = sum(row.reason == "settle" for row in books.rows)
        tally.tasks = len(books.tasks)
        tally.refunds = sum(row.reason == "refund" for row in books.rows)
        self._progress(f"{tally.kills} kills, {tally.calls} calls, {tally.tasks} tasks")


def configuration(simulator: str, database: str, files: str) -> dict[str, Any]:
    """The gateway under test."""
    return {
        "operator_token": OPERATOR_TOKEN,
        "database": database,
        "files": files,
        "database_connections": 6,
        "lease_s": 1.0,
        "groups": {"default": {"routes": {"gpt-5.5": "openai", "claude-opus-4-8": "anthropic"}}},
        "models": {
            "gpt-5.5": {"family": "openai", "rates": {"input": "5", "output": "30"}},
            "claude-opus-4-8": {
                "family": "anthropic",
                "rates": {"input": "5", "output": "30"},
                "surfaces": ["chat", "messages"],
            },
        },
        "task_models": {"gpt-image-2": {"endpoint": "images", "kind": "image", "price": 40}},
        "channels": {
            "openai": {"dialect": "openai", "url": f"{simulator}/v1", "key": "k"},
            "anthropic": {"dialect": "anthropic", "url": simulator, "key": "k"},
        },
        "media": {"url": simulator, "key": "k"},
        "task_poll_interval_s": 0.02,
        "task_rate_limit": 100_000,
    }
