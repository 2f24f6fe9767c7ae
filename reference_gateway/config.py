"""The gateway's configuration as frozen values. `config_file` reads them; everything else only looks at them.

Rates are pico-dollars per token, already multiplied out for both tiers, so no fraction is left at run time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

DEFAULT_GROUP = "default"
ACCOUNT_PLACEHOLDER = "{account}"


class Dialect(StrEnum):
    """The wire format that an upstream channel speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Surface(StrEnum):
    """Where a chat model is served: the two ways into the chat workspace, and the AI/ML API."""

    CHAT = "chat"
    MESSAGES = "messages"
    AIMLAPI = "aimlapi"


class MediaKind(StrEnum):
    """What a task makes; it decides the shape of its output."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class HostMode:
    """One listener for several surfaces, chosen by the name in the Host header; names in lower case."""

    address: Address
    names: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Listen:
    """A listener for each surface, except those that `shared` serves; `metrics` is one without a credential."""

    chat: Address
    tasks: Address
    operator: Address
    aimlapi: Address
    shared: HostMode | None = None
    metrics: Address | None = None

    def own(self) -> dict[str, Address]:
        """Every address to listen on, by what is served there."""
        surfaces = {
            "chat": self.chat,
            "tasks": self.tasks,
            "aimlapi": self.aimlapi,
            "operator": self.operator,
        }
        if self.shared is not None:
            surfaces = {name: place for name, place in surfaces.items() if name not in self.shared.names}
            surfaces["shared"] = self.shared.address
        if self.metrics is not None:
            surfaces["metrics"] = self.metrics
        return surfaces


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may be. `headers` counts them, `reply_bytes` bounds an upstream's reply or whole stream."""

    body_bytes: int = 64 * 1024 * 1024
    header_bytes: int = 16 * 1024
    headers: int = 128
    reply_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the program logs to its standard error."""

    level: str = "info"
    format: str = "json"


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where OpenTelemetry traces go: the full URL of an OTLP/HTTP receiver."""

    endpoint: str
    service: str = "reference-gateway"


@dataclass(frozen=True, slots=True)
class Channel:
    """One upstream provider account. The URL ends in /v1 for OpenAI and is the bare root for Anthropic.

    `{account}` in the key stands for the calling account: one credential each, for providers that keep prompt caches
    (or limits, or books) by credential. `timeout_s` is how long this provider may be silent, if not as long as others.
    """

    name: str
    dialect: Dialect
    url: str
    key: str
    timeout_s: float | None = None

    def for_account(self, account_id: str) -> "Channel":
        """The channel with the credential that serves an account."""
        if ACCOUNT_PLACEHOLDER not in self.key:
            return self
        return replace(self, key=self.key.replace(ACCOUNT_PLACEHOLDER, account_id))


@dataclass(frozen=True, slots=True)
class Group:
    """A token group: which channel serves which model, and how often per second and account."""

    name: str
    routes: Mapping[str, str]
    requests_per_second: int | None


@dataclass(frozen=True, slots=True)
class Rates:
    """Pico-dollars per token. A missing cache rate means that the input rate applies."""

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None


@dataclass(frozen=True, slots=True)
class LongContext:
    """The tier of calls with strictly more than `above` input tokens (public docs: gpt-5.5, Long-context tier)."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A model of the chat workspace."""

    id: str
    family: Dialect
    rates: Rates
    long_context: LongContext | None
    max_output: int
    surfaces: frozenset[Surface]
    created: int = 1_735_000_000


@dataclass(frozen=True, slots=True)
class AimlapiService:
    """The AI/ML API surface: its own models at its own rates, and limits per account (None is no limit).

    `group` holds the routes, to channels of dialect Anthropic, and the calls per second.
    """

    models: Mapping[str, ChatModel]
    group: Group
    concurrent_requests: int | None


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What one field of a request may hold. Limits are inclusive; unset ones do not apply."""

    type: str | None = None
    enum: tuple[str | int | float | bool, ...] = ()
    low: float | None = None
    high: float | None = None
    max_length: int | None = None
    max_items: int | None = None
    media: bool = False


@dataclass(frozen=True, slots=True)
class TaskModel:
    """A model of the task gateway. The price in credits is multiplied by the integer field `price_per`, if set."""

    id: str
    endpoint: str
    kind: MediaKind
    required: tuple[str, ...]
    price: int
    price_per: str | None
    fields: Mapping[str, FieldRule]


@dataclass(frozen=True, slots=True)
class MediaProvider:
    """The provider behind the task gateway, and how far its results are followed.

    Results on the provider's own origin are always fetched; elsewhere only from public addresses, unless
    `private_networks` says otherwise. `result_timeout_s` is for one file.
    """

    url: str
    key: str
    result_bytes: int = 1024 * 1024 * 1024
    result_timeout_s: float = 600.0
    private_networks: bool = False


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Everything the gateway is told. Times are in seconds; `web_search_fee` is pico-dollars per search.

    `database` is the path of an SQLite file, the URL of a PostgreSQL database, or None for a file that goes away.
    `files` is the folder of result files; with PostgreSQL all workers and hosts must see the same one.
    Without an operator token the operator API refuses every call. `drain_s` is how long a stop waits for what is
    running.
    """

    listen: Listen
    database: Path | str | None
    operator_token: str | None
    channels: Mapping[str, Channel]
    groups: Mapping[str, Group]
    media: MediaProvider
    models: Mapping[str, ChatModel]
    task_models: Mapping[str, TaskModel]
    aimlapi: AimlapiService
    web_search_fee: int = 0
    task_rate_limit: int = 10
    upstream_timeout_s: float = 600.0
    task_poll_interval_s: float = 1.0
    task_timeout_s: float = 3600.0
    public_tasks_url: str | None = None
    files: Path | None = None
    database_connections: int = 8
    lease_s: float = 10.0
    drain_s: float = 2.0
    limits: Limits = field(default_factory=Limits)
    log: LogSettings = field(default_factory=LogSettings)
    tracing: TracingSettings | None = None
    endpoints: tuple[str, ...] = field(default=("images", "videos", "audio", "humanize", "detect", "essay"))
