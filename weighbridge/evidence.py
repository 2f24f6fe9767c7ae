"""What was observed: exchanges, the upstream side of them, readings of money. No judgement here.

Every value is frozen and can be written as JSON and read back without loss, so a recorded run can be
judged again with newer checks. Times are seconds on the run's own monotonic clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from weighbridge.scenario import Scenario
from weighbridge.sse import Event, parse


class Ending(StrEnum):
    """How a connection ended, told apart as far as a socket can tell."""

    COMPLETE = "complete"
    CLOSED = "closed"  # FIN before the message was whole
    RESET = "reset"  # RST
    TIMEOUT = "timeout"
    LEFT = "left"  # we hung up on purpose
    TOO_LARGE = "too_large"
    REFUSED = "refused"  # no connection came about
    INVALID = "invalid"  # not HTTP


Headers = tuple[tuple[str, str], ...]


def header(headers: Headers, name: str) -> str | None:
    """The first value of a header, or None; names compare without case."""
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class Request:
    """What we sent. Secrets in `headers` are redacted when evidence is made."""

    method: str
    url: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Body bytes of one socket read, after HTTP framing was removed."""

    at: float
    data: bytes


@dataclass(frozen=True)
class Response:
    """What came back: head, and every piece of the body with its time of arrival."""

    status: int
    headers: Headers
    chunks: tuple[Chunk, ...]

    @cached_property
    def body(self) -> bytes:
        """The whole body as received."""
        return b"".join(chunk.data for chunk in self.chunks)

    @cached_property
    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # nested without end is no JSON that anybody can use
            return None

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The body as server-sent events, with the arrival time of the chunk that completed each."""
        return parse(tuple((chunk.at, chunk.data) for chunk in self.chunks))

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case; empty where the header is absent."""
        return (header(self.headers, "content-type") or "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body for people."""
        return self.body.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Exchange:
    """One request and its response, from the client's side.

    Attributes:
        id: correlation id; the same id is inside the request's scenario token.
        started: seconds since the run began when the first byte was sent.
        head_at: seconds after `started` when the response head was whole.
        ended_at: seconds after `started` when the exchange was over.
        detail: what the socket said about the ending, for people.
    """

    id: str
    request: Request
    response: Response | None
    ending: Ending
    started: float
    ended_at: float
    head_at: float | None = None
    detail: str = ""

    @property
    def status(self) -> int | None:
        """The HTTP status, or None where no head arrived."""
        return self.response.status if self.response else None

    @property
    def ok(self) -> bool:
        """A 2xx whose body arrived whole."""
        return self.status is not None and 200 <= self.status < 300 and self.ending is Ending.COMPLETE

    @property
    def json(self) -> Any:
        """The body as JSON, or None."""
        return self.response.json if self.response else None


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """One request as the simulator received it behind the target.

    Attributes:
        writes_us: microseconds after the arrival at which parts of the answer were written; the first ones.
    """

    seq: int
    id: str | None
    upstream: str
    provider: str
    operation: str
    method: str
    path: str
    headers: Headers
    credential: str | None
    body: str
    model: str | None
    stream: bool
    arrived_ns: int
    status: int | None
    events_sent: int
    ending: str
    caller_left_ns: int | None = None
    finished_ns: int | None = None
    head_sent_ns: int | None = None
    first_content_ns: int | None = None
    writes_us: tuple[int, ...] = ()

    @property
    def json(self) -> Any:
        """The received body as JSON, or None."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def is_model_call(self) -> bool:
        """Whether this is a POST that makes a provider work, as opposed to a poll or a file read."""
        return self.method == "POST" and self.operation in {"chat", "messages", "responses", "submit"}


@dataclass(frozen=True, eq=False)
class Call:
    """An exchange with its meaning in the run, and its upstream side where the target is wired.

    Compared and hashed by identity: two calls are never the same call.

    Attributes:
        situation: what the probe did, for checks to select by: `plain`, `upstream-500`, ...; several joined by
            `+` where one request shows them all.
        role: role of the model in the target file (`openai`, `anthropic`, `image`), if any.
        upstream: the calls that the simulator saw under the same id; None when not wired.
        retried: an unprovoked 429 preceded this exchange (its id).
        lag: seconds for which our own event loop stood still at the longest meanwhile; what arrived then is read late.
        contention: sent to contend with others (a burst, a race, many at once), and not for its own answer.
        cut: the record keeps only the beginning of a body, so it cannot be judged again.
    """

    exchange: Exchange
    situation: str
    surface: str
    role: str | None = None
    model: str | None = None
    principal: str = ""
    scenario: Scenario | None = None
    streamed: bool = False
    upstream: tuple[UpstreamCall, ...] | None = None
    retried: str | None = None
    contention: bool = False
    cut: bool = False
    lag: float = 0.0

    @cached_property
    def situations(self) -> frozenset[str]:
        """The situation, or each of several that this one request shows."""
        return frozenset(self.situation.split("+"))

    @property
    def id(self) -> str:
        """The correlation id."""
        return self.exchange.id

    @property
    def posts(self) -> int | None:
        """How many provider POSTs the call caused, or None when that was not observable."""
        if self.upstream is None:
            return None
        return sum(1 for call in self.upstream if call.is_model_call)

    @property
    def label(self) -> str:
        """Names the case in a message."""
        parts = [self.situation, self.model or self.role or "", "streamed" if self.streamed else ""]
        return " / ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of an account's money.

    Attributes:
        amount: pico-dollars on chat surfaces, whole credits on the task gateway.
        after: id of the last call whose effect the reading should show, or None for the first one.
        waited: seconds spent until the value settled.
    """

    situation: str
    moment: str
    surface: str
    principal: str
    amount: int
    at: float
    after: str | None = None
    waited: float = 0.0


#: What an observation lacks whose probe was still under way when the run ended early.
CUT_SHORT = "the rest of the run, which was cut short"


@dataclass(frozen=True)
class Observation:
    """All that one probe saw.

    Attributes:
        missing: why parts of the evidence could not be had, by situation ('*' for all of it).
        contaminated: situations in which the target was unhealthy before the probe began.
        notes: findings of a generator, in its own words, for its own check.
    """

    probe: str
    calls: tuple[Call, ...] = ()
    readings: tuple[Reading, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    contaminated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None

    def cut_short(self) -> Observation:
        """The same, kept as evidence but not to be judged: its probe did not come to its end."""
        return replace(self, missing=(("*", CUT_SHORT),), error=None)

    def where(
        self, *situations: str, role: str | None = None, streamed: bool | None = None
    ) -> tuple[Call, ...]:
        """The calls of these situations (all without any), in the order in which they were made."""
        return tuple(
            call
            for call in self.calls
            if (not situations or not call.situations.isdisjoint(situations))
            and (role is None or call.role == role)
            and (streamed is None or call.streamed is streamed)
        )

    def money(self, situation: str, moment: str) -> Reading | None:
        """The reading of a situation at a moment (`before`, `after`, ...)."""
        return next((r for r in self.readings if r.situation == situation and r.moment == moment), None)

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls)


@dataclass(frozen=True)
class RunFacts:
    """What the target file says that a check needs in order to judge; part of the recorded evidence.

    Attributes:
        rounding: how each surface's balance is rounded, where declared: `none`, `nearest`, `up` or `down`.
        cache_window: seconds for which a cached prompt lives, where declared.
        rates: pico-dollars per token, by model and kind (`input`, `output`, `cache_read`, ...).
        limits: declared requests per second by principal.
        task_prices: credits by model.
        task_price_per: the integer field of the request that multiplies the price, by model.
        models: model name by role.
        own_usage: models whose replies report the deployment's own token counts.
    """

    models: dict[str, str] = field(default_factory=dict)
    rates: dict[str, dict[str, int]] = field(default_factory=dict)
    resolution: dict[str, int] = field(default_factory=dict)
    rounding: dict[str, str] = field(default_factory=dict)
    task_prices: dict[str, int] = field(default_factory=dict)
    task_price_per: dict[str, str] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    features: dict[str, bool] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    retry_policy: str = ""
    out_of_credit_status: int | None = None
    cache_window: float | None = None
    wired: bool = False
    own_usage: tuple[str, ...] = ()
