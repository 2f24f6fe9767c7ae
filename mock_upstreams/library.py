"""Which scenario a call gets: the precedence of all places that may state one, and what changes from call to call.

1. An outage that is on wins over everything.
2. The keys of the token in the call (body, then query, then the header `x-wb-scenario`) override, key by key,
3. the one named scenario that the call starts from, which is the first of: `scenario=` of the token; the name in the
   header `x-wb-scenario`; a binding to the call's id; the first binding or rule that matches (those of the control
   API, newest first, before those of the file, in order); the model name `wb-NAME`.
4. What nobody states is done as a sane provider would.
"""

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mock_upstreams.faults import OTHER
from mock_upstreams.refusals import bad_request
from mock_upstreams.scenario import (
    NO_SCENARIO,
    OVER_TIME,
    Scenario,
    Stated,
    Token,
    build,
    check_fit,
    check_stated,
    read_token,
    without_fault,
)
from mock_upstreams.scenario_keys import NAME, ScenarioError, nearest

MODEL_PREFIX: Final = "wb-"
HEADER: Final = "x-wb-scenario"
MAX_NAMED: Final = 1000
MAX_BINDINGS: Final = 1000
MAX_OUTAGES: Final = 100
_MAX_TURNS: Final = 65_536


class LibraryFullError(Exception):
    """There is no room for one more of `what`, of which there are `most`."""

    def __init__(self, what: str, most: int) -> None:
        super().__init__(f"there are {most} {what} already; delete one first")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a call when its scenario is chosen. `now` is monotonic seconds."""

    operation: str
    surface: str
    streamed: bool
    token: Token | None
    provider: str
    upstream: str
    path: str
    model: str
    headers: Mapping[str, str]
    now: float


@dataclass(frozen=True, slots=True)
class Match:
    """What a call must be for a rule to hold; `None` matches all. A model may end in `*`."""

    id: str | None = None
    model: str | None = None
    upstream: str | None = None
    provider: str | None = None
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def holds(self, asked: Asked) -> bool:
        return (
            (self.id is None or (asked.token is not None and asked.token.id == self.id))
            and (self.model is None or _fits(self.model, asked.model))
            and self.upstream in {None, asked.upstream}
            and self.provider in {None, asked.provider}
            and self.path in {None, asked.path}
            and all(asked.headers.get(name) == value for name, value in self.headers)
        )


def _fits(pattern: str, model: str) -> bool:
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern


@dataclass(frozen=True, slots=True)
class Rule:
    """A named scenario for all calls that match; `number` is what the control API knows it by."""

    use: str
    match: Match
    number: int = 0


@dataclass(frozen=True, slots=True)
class Outage:
    """All matching calls fail as `scenario` says, between two monotonic times."""

    match: Match
    scenario: Scenario
    starts: float
    ends: float
    number: int = 0


class Turns:
    """How often each scenario has been used for one id, and since when; bounded, the oldest is forgotten."""

    def __init__(self) -> None:
        self._turns: OrderedDict[tuple[str, str, str], tuple[int, float]] = OrderedDict()

    def next(self, key: tuple[str, str, str], now: float) -> tuple[int, float]:
        """The number of this use, from 1, and the time of the first; the key is operation, scenario and id."""
        count, first = self._turns.get(key, (0, now))
        self._turns[key] = count + 1, first
        if len(self._turns) > _MAX_TURNS:
            self._turns.popitem(last=False)
        return count + 1, first

    def forget(self, name: str) -> None:
        """Begin every sequence of one scenario again."""
        for key in [key for key in self._turns if key[1] == name]:
            del self._turns[key]

    def clear(self) -> None:
        self._turns.clear()


@dataclass(slots=True)
class Library:
    """Named scenarios, the rules that lead to them, and how far each sequence has come. All of it is bounded."""

    named: dict[str, Stated] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    file_rules: tuple[Rule, ...] = ()
    bindings: list[Rule] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    _ready: dict[str, Scenario] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def choose(self, asked: Asked) -> Scenario:
        """The scenario of this call. Raises Refusal (400, "simulator: ...")."""
        if self.outages:
            for outage in self.outages:
                if outage.starts <= asked.now < outage.ends and outage.match.holds(asked):
                    return outage.scenario
        token = asked.token
        stated = {} if token is None else read_token(token)
        name = self._start(asked, stated)
        if name is None:
            if token is None:
                return NO_SCENARIO
        elif name not in self.named:
            raise bad_request(
                f"simulator: unknown scenario {name[:64]!r}"
                + (nearest(name, tuple(self.named)) if self.named else "; none is defined")
            )
        elif not stated and token is None and name in self._ready:
            check_fit(self.named[name], asked.surface, streamed=asked.streamed)
            return self._ready[name]
        else:
            return self._settled({**self.named[name], **stated}, stated, name, asked)
        return self._settled(stated, stated, name, asked)

    def _start(self, asked: Asked, stated: dict[str, Any]) -> str | None:
        """The name of the scenario that the call starts from."""
        name: str | None = stated.pop("scenario", None)
        if name is not None:
            return name
        header = asked.headers.get(HEADER)
        if header is not None and "[[wb:" not in header:
            if not NAME.fullmatch(header):
                raise bad_request(
                    f"simulator: the header {HEADER} holds neither a token [[wb:ID;...]] nor the name of a scenario"
                )
            return header
        if self.bindings or self.file_rules:
            found = self._bound(asked)
            if found is not None:
                return found
        if asked.model.startswith(MODEL_PREFIX) and asked.surface != OTHER:
            return asked.model[len(MODEL_PREFIX) :]
        return None

    def _bound(self, asked: Asked) -> str | None:
        """The first rule that holds. Polls and the like are meant only by rules that name their path."""
        rules = sorted(self.bindings, key=lambda rule: (rule.match.id is None, -rule.number))
        for rule in (*rules, *self.file_rules):
            if rule.match.holds(asked) and (asked.surface != OTHER or rule.match.path is not None):
                return rule.use
        return None

    def _settled(self, stated: Stated, own: Stated, name: str | None, asked: Asked) -> Scenario:
        """The scenario of these fields at this point of its sequence; `own` is what the call itself states."""
        try:
            if any(field in stated for field in OVER_TIME):
                check_stated(stated)
                stated = self._turned(stated, own, name, asked)
            check_fit(stated, asked.surface, streamed=asked.streamed)
            return build(stated, name)
        except ScenarioError as exc:
            raise bad_request(f"simulator: {exc}") from None

    def _turned(self, stated: Stated, own: Stated, name: str | None, asked: Asked) -> Stated:
        count, first = self.turns.next(
            (asked.operation, name or "", (asked.token and asked.token.id) or ""), asked.now
        )
        steps = stated.get("sequence")
        if steps is not None:
            stated = {**stated, **steps[min(count, len(steps)) - 1], **own}
        start, end = stated.get("window_ms", (0.0, float("inf")))
        elapsed_ms = (asked.now - first) * 1000
        strikes = count <= stated.get("times", count) and start <= elapsed_ms < end
        if not strikes:
            stated = without_fault(stated)
        return {field: value for field, value in stated.items() if field not in OVER_TIME}

    # Changes, by a file or the control API

    def put(self, name: str, stated: Stated, source: Any = None) -> None:
        """Define or replace a named scenario that has been checked; `source` is how it was written.

        Raises LibraryFullError.
        """
        if name not in self.named and len(self.named) >= MAX_NAMED:
            raise LibraryFullError("named scenarios", MAX_NAMED)
        self.named[name] = stated
        self.sources[name] = source
        self._ready.pop(name, None)
        if not any(field in stated for field in OVER_TIME):
            self._ready[name] = build(stated, name)
        self.turns.forget(name)

    def remove(self, name: str) -> bool:
        """Forget a named scenario and all that is bound to it; False if there is none."""
        if self.named.pop(name, None) is None:
            return False
        self.sources.pop(name, None)
        self._ready.pop(name, None)
        self.bindings = [rule for rule in self.bindings if rule.use != name]
        self.file_rules = tuple(rule for rule in self.file_rules if rule.use != name)
        self.turns.forget(name)
        return True

    def bind(self, use: str, match: Match) -> Rule:
        """Bind a named scenario to calls. Raises LibraryFullError."""
        if len(self.bindings) >= MAX_BINDINGS:
            raise LibraryFullError("bindings", MAX_BINDINGS)
        rule = Rule(use, match, next(self._numbers))
        self.bindings.append(rule)
        return rule

    def unbind(self, number: int) -> bool:
        kept = [rule for rule in self.bindings if rule.number != number]
        found = len(kept) < len(self.bindings)
        self.bindings = kept
        return found

    def announce(self, match: Match, scenario: Scenario, starts: float, ends: float, now: float) -> Outage:
        """Plan an outage; those that are over are forgotten. Raises LibraryFullError."""
        self.outages = [outage for outage in self.outages if outage.ends > now]
        if len(self.outages) >= MAX_OUTAGES:
            raise LibraryFullError("outages", MAX_OUTAGES)
        outage = Outage(match, scenario, starts, ends, next(self._numbers))
        self.outages.append(outage)
        return outage

    def call_off(self, number: int) -> bool:
        kept = [outage for outage in self.outages if outage.number != number]
        found = len(kept) < len(self.outages)
        self.outages = kept
        return found

    def reset(self) -> None:
        """Start every sequence over and end every outage; scenarios, rules and bindings stay."""
        self.turns.clear()
        self.outages.clear()
