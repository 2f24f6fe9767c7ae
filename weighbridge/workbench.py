"""What all probes of a run share, and what each one keeps: the base of every lab."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from weighbridge.ahead import Ahead
from weighbridge.capabilities import Capability, capabilities
from weighbridge.drawer_process import DrawerProcess
from weighbridge.errors import HarnessError
from weighbridge.evidence import Call, Exchange, Reading, RunFacts
from weighbridge.hooks import HookRunner
from weighbridge.lag import LagMeter
from weighbridge.leases import Pace, SharedLock
from weighbridge.pulse import Pulse
from weighbridge.redaction import Secrets
from weighbridge.response_reader import Limits
from weighbridge.simulator import SimulatorControl
from weighbridge.target import Principal, Target
from weighbridge.wire import Timeouts, exchange


@dataclass
class Shared:
    """What all labs of one run have in common."""

    target: Target
    facts: RunFacts
    epoch: float
    secrets: Secrets
    hooks: HookRunner
    control: SimulatorControl | None
    tls: ssl.SSLContext | None
    timeouts: Timeouts
    limits: Limits
    seed: int
    concurrency: asyncio.Semaphore
    crowd: asyncio.Semaphore
    crowd_size: int
    ids: Callable[[], str]
    explore: bool = False
    lag: LagMeter = field(default_factory=LagMeter)
    principals: dict[str, SharedLock] = field(default_factory=dict)
    models: dict[str, SharedLock] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)
    accounts: list[Principal] = field(default_factory=list)
    keys: list[Principal] = field(default_factory=list)
    pulse: Pulse = field(default_factory=Pulse)
    ahead: Ahead = field(default_factory=Ahead)
    drawer: DrawerProcess = field(default_factory=DrawerProcess)
    #: How a request gets to the target: over the wire, or to a stand-in that answers at once.
    exchange: Callable[..., Awaitable[Exchange]] = exchange
    max_spend: float | None = None

    def lock(self, locks: dict[str, SharedLock], name: str) -> SharedLock:
        """The one lock of this name."""
        return locks.setdefault(name, SharedLock())


def correlation_ids() -> Callable[[], str]:
    """A source of ids that are unique in the run and, by their prefix, between runs."""
    prefix = f"w{secrets.token_hex(4)}"
    counter = itertools.count(1)
    return lambda: f"{prefix}-{next(counter)}"


def tls_context(target: Target) -> ssl.SSLContext | None:
    """The TLS settings of a target, or None for the defaults.

    Raises:
        HarnessError: the CA file cannot be read.
    """
    if target.verify_tls and target.ca_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=target.ca_file)
    except OSError as error:
        raise HarnessError(
            f"{target.place}, tls.ca_file: {target.ca_file} cannot be read: {error}"
        ) from error
    if not target.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Workbench:
    """One probe's place: what the target offers, and what was observed so far."""

    def __init__(self, shared: Shared, name: str) -> None:
        self.shared = shared
        self.name = name
        self.calls: list[Call] = []
        self.readings: list[Reading] = []
        self.missing: dict[str, str] = {}
        self.contaminated: list[str] = []
        self.notes: list[str] = []

    @property
    def target(self) -> Target:
        """The deployment under test."""
        return self.shared.target

    @property
    def wired(self) -> bool:
        """Whether the deployment's providers are our simulator."""
        return self.shared.control is not None

    def roles(self, surface: str) -> tuple[str, ...]:
        """The roles to judge a surface by: one model for each family and kind of output; all of them in an exploring run.

        What holds for one model of a family holds for its sisters, and each call of a live deployment costs
        money; `every_role` is for what is promised of each model by name.
        """
        every = self.every_role(surface)
        if self.shared.explore or surface in {"tasks", "aimlapi"}:
            return every
        families = {role.partition("_")[0]: role for role in reversed(every)}
        return tuple(role for role in every if families[role.partition("_")[0]] == role)

    def every_role(self, surface: str) -> tuple[str, ...]:
        """The model roles that a surface serves, in the order of the target file."""
        if surface == "messages":
            return tuple(role for role in self.target.models if role.startswith("anthropic"))
        if surface == "chat":
            return tuple(role for role in self.target.models if role.startswith(("openai", "anthropic")))
        if surface == "aimlapi":
            return tuple(role for role in self.target.models if role.startswith("aimlapi"))
        return tuple(
            role
            for role in self.target.models
            if role.partition("_")[0] in {"image", "video", "audio", "text"}
        )

    def has(self, surface: str, capability: str) -> bool:
        """Whether a capability is declared for a surface."""
        return capability in self.capabilities(surface)

    def capabilities(self, surface: str) -> Mapping[str, Capability]:
        """All declared capabilities of a surface."""
        return capabilities(self.target, surface)

    def miss(self, situation: str, capability: str) -> None:
        """Record that a situation could not be brought about for want of a capability."""
        self.missing[situation] = capability

    def now(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.shared.epoch
