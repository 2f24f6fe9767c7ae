"""What a deployment is and what it lets us see, as frozen values.

`target_file` reads them from YAML; a bare URL on the command line makes the smallest of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from weighbridge.errors import UsageError

#: What no header can carry: control characters (a line break ends it), and what is not latin-1.
NOT_IN_HEADER = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")
_NOT_IN_URL = re.compile(r"[^\x21-\x7e]")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}

#: Where a report says its target was when it was the embedded pair.
EMBEDDED_PLACE = "the embedded target"
#: Where each surface puts its main POST, below the surface's URL.
CHAT_PATH = "/chat/completions"
MESSAGES_PATH = "/v1/messages"

#: What we allow ourselves against a target that declares no limit.
DEFAULT_REQUESTS_PER_SECOND = 5.0
DEFAULT_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class Surface:
    """One API of the deployment. `url` ends in `/v1` for chat and is the bare root for messages."""

    name: str
    url: str
    auth: str = "bearer"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """A credential with a role on a surface.

    Attributes:
        ids: what hooks may need beside the key: `account`, `key_id`, ...
    """

    surface: str
    role: str
    key: str
    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND
    in_flight: int = DEFAULT_IN_FLIGHT
    ids: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """`surface.role`, as in the target file."""
        return f"{self.surface}.{self.role}"


@dataclass(frozen=True, slots=True)
class Hook:
    """How to read or steer something: an HTTP request template or a command, and what to pick from its JSON."""

    method: str = ""
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    command: str | None = None
    pick: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Balance:
    """How an account's money is read.

    Attributes:
        settle: seconds within which a charge becomes visible.
        resolution: smallest visible change, in pico-dollars or credits.
        rounding: how the reading is rounded to it: `none`, `nearest`, `up` or `down`; empty if nobody said.
    """

    hook: Hook
    unit: str
    settle: float = 2.0
    resolution: int = 1
    rounding: str = ""


@dataclass(frozen=True)
class Target:
    """A deployment, as its file describes it.

    Attributes:
        max_response: bytes of one response body at most; None for the usual bound.
        cache_window: seconds for which a cached prompt lives.
        variables: values of the variables in the file whose names say that they are secret.
    """

    name: str
    profiles: tuple[str, ...]
    surfaces: Mapping[str, Surface]
    principals: Mapping[str, Principal]
    models: Mapping[str, str]
    rates: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    task_prices: Mapping[str, int] = field(default_factory=dict)
    task_price_per: Mapping[str, str] = field(default_factory=dict)
    balance: Mapping[str, Balance] = field(default_factory=dict)
    accounts: Mapping[str, Hook] = field(default_factory=dict)
    hooks: Mapping[tuple[str, str], Hook] = field(default_factory=dict)
    simulator: str | None = None
    upstream_timeout: float | None = None
    impatient_group: str | None = None
    unreachable_group: str | None = None
    features: Mapping[str, bool] = field(default_factory=dict)
    groups: Mapping[str, float | None] = field(default_factory=dict)
    assets: Mapping[str, str] = field(default_factory=dict)
    retry_policy: str = ""
    out_of_credit_status: int | None = None
    cache_window: float | None = None
    usage: str | None = None
    dialects: Mapping[str, str] = field(default_factory=dict)
    max_output: tuple[str, int] | None = None
    credit_usd: int | None = None
    timeouts: Mapping[str, float] = field(default_factory=dict)
    max_response: int | None = None
    verify_tls: bool = True
    ca_file: str | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    variables: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def by_options(self) -> bool:
        """Whether a URL on the command line named it, rather than a target file."""
        return "://" in self.place

    def uses_commands(self) -> list[str]:
        """The names of hooks that run a command on this machine."""
        hooks = {f"accounts.{name}": hook for name, hook in self.accounts.items()}
        hooks |= {f"hooks.{what}.{name}": hook for (what, name), hook in self.hooks.items()}
        hooks |= {f"balance.{name}": balance.hook for name, balance in self.balance.items()}
        return sorted(name for name, hook in hooks.items() if hook.command)

    def secrets(self) -> frozenset[str]:
        """Every secret of the file, so that evidence can be redacted when it is written."""
        keys = {principal.key for principal in self.principals.values()}
        hooks = [*self.accounts.values(), *self.hooks.values(), *(b.hook for b in self.balance.values())]
        headers = [pair for hook in hooks for pair in hook.headers]
        headers += [pair for surface in self.surfaces.values() for pair in surface.headers]
        keys |= {value.rpartition(" ")[2] for name, value in headers if _is_secret(name)}
        keys |= {value for name, value in headers if "cookie" in name.lower()} | self.variables
        return frozenset(key for key in keys if len(key) >= 4)


def _is_secret(header: str) -> bool:
    return any(word in header.lower() for word in ("auth", "key", "token", "secret", "cookie"))


def seconds(text: str | float) -> float:
    """A duration such as `250ms`, `2s`, `5m`, or a plain number of seconds.

    Raises:
        ValueError: the text is none of these.
    """
    if isinstance(text, int | float):
        return float(text)
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write 250ms, 2s or 5m")
    return float(match[1]) * _UNITS[match[2]]


def url_problem(url: str) -> str | None:
    """What is wrong with an http(s) URL, as the end of a sentence, or None if calls can be sent to it."""
    if _NOT_IN_URL.search(url):
        return "has a space or a character beyond ASCII; percent-encode it (a host name: as xn--...)"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no URL ({error}); write http://host:port/v1"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "is no http(s) URL; write http://host:port/v1"
    if port == 0:
        return "has the port 0; write one from 1 to 65535"
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        return "has a host name with an empty part or one of more than 63 characters; correct it"
    return None


def key_problem(key: str) -> str | None:
    """Why a key cannot be sent in a header, as the end of a sentence that does not tell it, or None."""
    if NOT_IN_HEADER.search(key):
        return "has a line break, a control character or one beyond latin-1; no header can carry it, so correct the key"
    return None


def from_url(url: str, *, key: str, model: str, profiles: tuple[str, ...] = ()) -> Target:
    """A target from a bare URL: the generic profile, one key, one model, nothing else known.

    Raises:
        UsageError: the URL is no http(s) URL, a chat URL does not end in `/v1`, or no header can carry the key.
    """
    anthropic = profiles == ("anthropic-messages",)
    surface, role = ("messages", "anthropic") if anthropic else ("chat", "openai")
    if problem := url_problem(url):
        raise UsageError(f"--target {url!r} {problem}")
    if problem := key_problem(key):
        raise UsageError(f"--target {url}: the key {problem}")
    parts = urlsplit(url)
    if not anthropic and not parts.path.rstrip("/").endswith("/v1"):
        raise UsageError(f"--target {url}: a chat URL ends in /v1; write {url.rstrip('/')}/v1")
    return Target(
        name=parts.netloc.rpartition("@")[2],
        profiles=profiles or ("openai-chat",),
        surfaces={surface: Surface(surface, url.rstrip("/"))},
        principals={f"{surface}.funded": Principal(surface, "funded", key)},
        models={role: model},
        place=url,
    )
