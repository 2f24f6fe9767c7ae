"""What every run is made of: a simulator, callers, a tally, and an audit that stops it when something is wrong."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import yaml

from mock_upstreams import Simulator, SimulatorConfig
from tests.crash.audit import Audit, Tally, configuration


class Run(ABC):
    """One run over one database; `seed` repeats its choices, `defect` names a gateway that is wrong on purpose."""

    settings: ClassVar[dict[str, Any]] = {}
    """Of the gateway, beside those that every run has."""

    def __init__(
        self,
        folder: Path,
        database: str,
        seed: int,
        *,
        defect: str | None = None,
        progress: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._folder = folder
        self._database = database
        self._chance = random.Random(seed)
        self._defect = defect
        self._left: list[str] = []
        self.tally = Tally()
        self._audit = Audit(self.tally, progress)

    async def run(self, kills: int) -> Tally:
        """Kill so many times; the tally says what came of it. Stops early when something is wrong."""
        began = time.monotonic()
        async with (
            Simulator(SimulatorConfig(journal_capacity=500_000)) as simulator,
            aiohttp.ClientSession() as session,
        ):
            values = configuration(simulator.url, self._database, str(self._folder / "files"))
            (self._folder / "gateway.yaml").write_text(yaml.safe_dump(values | self.settings))
            await self._kill_until(kills, session, simulator.url)
        self.tally.seconds = time.monotonic() - began
        return self.tally

    def _next(self, choices: Sequence[str]) -> str:
        """One of these, each of them before any comes again."""
        if not self._left:
            self._left = list(choices)
        return self._left.pop(self._chance.randrange(len(self._left)))

    @abstractmethod
    async def _kill_until(self, kills: int, session: aiohttp.ClientSession, simulator: str) -> None:
        """Start the gateway that the folder's `gateway.yaml` describes, kill it so many times, and end it."""
