"""What several worker processes must know in common, kept by one owner: jobs, sequences, quotas, caches, numbers of calls.

The owner is a process of its own. A worker asks it when a call needs such state and waits for the answer, about a tenth
of a millisecond; a call without any is never delayed. Entries of all journals are numbered by one counter in shared
memory, so that they have one order.
"""

import threading
from collections.abc import Callable
from multiprocessing.managers import BaseManager
from typing import Any, Final, Protocol, cast

from mock_upstreams.answers import Providers
from mock_upstreams.config import SimulatorConfig
from mock_upstreams.library import Turns
from mock_upstreams.media import Jobs
from mock_upstreams.numbers import CallNumbers
from mock_upstreams.prompt_cache import PromptCache
from mock_upstreams.quotas import Quotas
from mock_upstreams.response_store import ResponseStore

_PARTS: Final = ("jobs", "responses", "cache", "quotas", "numbers", "turns")


class Owner(Protocol):
    """The owner as a worker sees it."""

    def do(self, part: str, method: str, arguments: tuple[Any, ...]) -> Any: ...


class SharedState:
    """The state itself, in the owner's process."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, Any] = {
            "jobs": Jobs(config.job_capacity),
            "responses": ResponseStore(config.job_capacity),
            "cache": PromptCache(config.cache_capacity, config.cache_window_s),
            "quotas": Quotas(),
            "numbers": CallNumbers(),
            "turns": Turns(),
        }

    def do(self, part: str, method: str, arguments: tuple[Any, ...]) -> Any:
        """One operation on one part; raises what it raises."""
        with self._lock:
            return getattr(self._parts[part], method)(*arguments)


class StateManager(BaseManager):
    """Runs the owner's process."""

    state: Callable[[SimulatorConfig], Owner]
    """Makes the state there."""


StateManager.register("state", SharedState, exposed=("do",))


class _Remote:
    """Stands for one part of the owner's state, with the same methods."""

    def __init__(self, owner: Owner, part: str) -> None:
        self._owner = owner
        self._part = part

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments: self._owner.do(self._part, method, arguments)


def share(providers: Providers, owner: Owner) -> None:
    """Have the providers of a worker use the owner's state in place of their own."""
    remote = {part: _Remote(owner, part) for part in _PARTS}
    providers.media.jobs = cast("Jobs", remote["jobs"])
    providers.responses = cast("ResponseStore", remote["responses"])
    providers.cache = cast("PromptCache", remote["cache"])
    providers.quotas = cast("Quotas", remote["quotas"])
    providers.numbers = cast("CallNumbers", remote["numbers"])
    providers.library.turns = cast("Turns", remote["turns"])
