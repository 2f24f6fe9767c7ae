"""Chat completions combined from documented members: valid ones, and the same with one thing wrong in them.

What a member does by itself is tried by hand (`chat_replies`, `chat_refusals`); validators fail as well where members
meet, or at values that nobody thought of. Hypothesis draws both. A valid request that is refused is shrunk to the
fewest members that still are, so that the record names the member to blame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from weighbridge.checks.combinations import EFFORTS, VALID, Ranges, ranges_of
from weighbridge.evidence import Call
from weighbridge.generation import Bridge, generate
from weighbridge.lab import Lab, Stage, probe
from weighbridge.probes.generated_requests import EXPLORE_FACTOR
from weighbridge.target import Principal

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

_VALID_EXAMPLES = 8
#: Of each family's members all together, so that each is seen whatever else is drawn.
_WHOLE_EXAMPLES = 2
#: Calls beyond those drawn, to find what a refused request is refused for.
_TO_SHRINK = 16
#: Of each violation; the first has every member, the second some of them.
_WRONG_EXAMPLES = 2
_BOTH = ("openai", "anthropic")
_GPT, _CLAUDE = ("openai",), ("anthropic",)
#: Beyond a range by at most so much, in thousandths.
_FAR = 20_000


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong: a member with a value that it may not have, or a member left out.

    Attributes:
        families: of models that the documents promise the refusal for.
        member: which member.
        values: what it is given, by the family's ranges; None leaves it out.
    """

    families: tuple[str, ...]
    member: str
    values: Callable[[Ranges], SearchStrategy[Any]] | None = None


def _thousandths(low: int, high: int) -> SearchStrategy[float]:
    from hypothesis import strategies as st

    return st.integers(low, high).map(lambda number: number / 1000)


def _beside(member: str) -> Callable[[Ranges], SearchStrategy[float]]:
    """A number outside the member's range, from just beside it to far away."""

    def values(ranges: Ranges) -> SearchStrategy[float]:
        low, high = (bound * 1000 for bound in ranges[member])
        return _thousandths(high + 1, high + _FAR) | _thousandths(low - _FAR, low - 1)

    return values


def _words() -> SearchStrategy[str]:
    from hypothesis import strategies as st

    return st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)


def _no_effort(_: Ranges) -> SearchStrategy[str]:
    return _words().filter(lambda word: word not in EFFORTS)


def _no_cap(_: Ranges) -> SearchStrategy[float]:
    from hypothesis import strategies as st

    return st.integers(-100_000, 0) | st.integers(0, 4_000).map(lambda number: number + 0.5)


def _no_array(_: Ranges) -> SearchStrategy[Any]:
    from hypothesis import strategies as st

    return _words() | st.integers() | st.dictionaries(_words(), _words(), max_size=2)


def _no_number(_: Ranges) -> SearchStrategy[Any]:
    from hypothesis import strategies as st

    return _words() | st.lists(st.integers(), max_size=2) | st.dictionaries(_words(), _words(), max_size=2)


def _anything(_: Ranges) -> SearchStrategy[Any]:
    from hypothesis import strategies as st

    return st.integers() | _words() | st.booleans() | st.lists(_words(), max_size=2)


#: situation -> what is wrong there
VIOLATIONS: Mapping[str, Violation] = {
    "wrong:no-model": Violation(_BOTH, "model"),
    "wrong:no-messages": Violation(_BOTH, "messages"),
    "wrong:top-p": Violation(_BOTH, "top_p", _beside("top_p")),
    "wrong:messages-type": Violation(_BOTH, "messages", _no_array),
    "wrong:cap-type": Violation(_BOTH, "max_tokens", _no_number),
    "wrong:gpt-temperature": Violation(_GPT, "temperature", _beside("temperature")),
    "wrong:frequency-penalty": Violation(_GPT, "frequency_penalty", _beside("frequency_penalty")),
    "wrong:presence-penalty": Violation(_GPT, "presence_penalty", _beside("presence_penalty")),
    "wrong:effort": Violation(_GPT, "reasoning_effort", _no_effort),
    "wrong:unknown-member": Violation(_GPT, "weighbridge_unknown", _anything),
    "wrong:claude-temperature": Violation(_CLAUDE, "temperature", _beside("temperature")),
    "wrong:cap": Violation(_CLAUDE, "max_tokens", _no_cap),
}


def members(family: str) -> dict[str, SearchStrategy[Any]]:
    """What a valid request to a model of the family may carry beside `model` and `messages`."""
    from hypothesis import strategies as st

    numbers = {name: _thousandths(low * 1000, high * 1000) for name, (low, high) in ranges_of(family).items()}
    if family == "openai":
        return {**numbers, "reasoning_effort": st.sampled_from(EFFORTS)}
    return {**numbers, "max_tokens": st.integers(1, 4_096)}


def _earlier_turns(fewest: int = 0) -> SearchStrategy[list[dict[str, str]]]:
    """A system message or none, and pairs of a question and an answer."""
    from hypothesis import strategies as st

    system = {"role": "system", "content": "Answer in one sentence."}
    pair = [{"role": "user", "content": "And before?"}, {"role": "assistant", "content": "Nothing."}]
    return st.builds(
        lambda led, pairs: [system] * led + pair * pairs, st.integers(0, 1), st.integers(fewest, 2)
    )


def _some(family: str) -> SearchStrategy[dict[str, Any]]:
    """Any of the members; smallest without any."""
    from hypothesis import strategies as st

    return st.fixed_dictionaries({}, optional=members(family))


def _most(family: str) -> SearchStrategy[dict[str, Any]]:
    """The members without some; smallest with all, since what is wrong shall stand among others."""
    from hypothesis import strategies as st

    @st.composite
    def draw_most(draw: DrawFn) -> dict[str, Any]:
        known = members(family)
        absent = draw(st.sets(st.sampled_from(sorted(known)), max_size=len(known)))
        return {name: draw(values) for name, values in known.items() if name not in absent}

    return draw_most()


@dataclass(frozen=True, slots=True)
class Combination:
    """One request: a role's model, members, earlier turns, and whether it is streamed."""

    role: str
    chosen: Mapping[str, Any]
    turns: list[dict[str, str]]
    stream: bool

    def __hash__(self) -> int:
        return hash((self.role, json.dumps(self.chosen, sort_keys=True), len(self.turns), self.stream))


def without_needless(refused: Combination, accepted: Callable[[Combination], bool]) -> Combination:
    """A refused request without what it is refused without as well: first the earlier turns, then member by member."""
    if not accepted(replace(refused, turns=[])):
        refused = replace(refused, turns=[])
    if not accepted(replace(refused, stream=False)):
        refused = replace(refused, stream=False)
    for name in sorted(refused.chosen):
        rest = {other: value for other, value in refused.chosen.items() if other != name}
        if not accepted(replace(refused, chosen=rest)):
            refused = replace(refused, chosen=rest)
    return refused


@probe("chat", stage=Stage.GENERATED, needs=("upstream",))
async def chat_combinations(lab: Lab) -> None:
    """Combined members, each request wrong in one thing first, in an account whose money is read around them."""
    factor = EXPLORE_FACTOR if lab.shared.explore else 1
    roles = {role.partition("_")[0]: role for role in reversed(lab.roles("chat"))}
    for situation, violation in VIOLATIONS.items():
        if not any(family in roles for family in violation.families):
            lab.miss(situation, f"models.{violation.families[0]}")
    wrong = _WRONG_EXAMPLES * len(VIOLATIONS) * factor
    async with lab.alone("chat") as who:
        await lab.money(who, "combined", "before")
        await generate(lambda bridge: _Sending(lab, who, roles, bridge, factor).wrong(), budget=wrong)
        await lab.money(who, "combined", "after", after=lab.calls[-1] if lab.calls else None)
        valid = 2 * (_VALID_EXAMPLES + _WHOLE_EXAMPLES * len(roles)) * factor + _TO_SHRINK
        await generate(lambda bridge: _Sending(lab, who, roles, bridge, factor).valid(), budget=valid)


class _Sending:
    """Draws and sends; runs in a generator's thread."""

    def __init__(
        self, lab: Lab, who: Principal, roles: Mapping[str, str], bridge: Bridge, factor: int
    ) -> None:
        self._lab, self._who, self._roles, self._bridge = lab, who, roles, bridge
        self._factor = factor

    def wrong(self) -> None:
        """Each violation among other members; the thing that is wrong is known, so nothing is shrunk."""
        from hypothesis import Phase
        from hypothesis import strategies as st

        for situation, violation in VIOLATIONS.items():
            families = [family for family in violation.families if family in self._roles]
            if not families:
                continue
            drawn = st.one_of([self._pair(family, violation) for family in families])

            def send(pair: Any, situation: str = situation, violation: Violation = violation) -> None:
                combination, value = pair
                gone = (violation.member,) if violation.values is None else ()
                change = {} if gone else {violation.member: value}
                self._send(situation, combination, change, gone)

            self._each(drawn, send, _WRONG_EXAMPLES, [Phase.generate])

    def valid(self) -> None:
        """Requests without anything wrong; one that is refused is made smaller while it still is."""
        from hypothesis import Phase
        from hypothesis import strategies as st

        answers: dict[Combination, bool] = {}

        def accepted(combination: Combination) -> bool:
            if combination not in answers:
                answers[combination] = self._send(VALID, combination, {}, ()).exchange.ok
            return answers[combination]

        def whole(combination: Combination) -> None:
            if not accepted(combination):
                without_needless(combination, accepted)

        def some(combination: Combination) -> None:
            if not accepted(combination):
                raise AssertionError("refused")

        for family, role in self._roles.items():
            every = st.fixed_dictionaries(members(family))
            drawn = st.builds(Combination, st.just(role), every, _earlier_turns(1), st.booleans())
            self._each(drawn, whole, _WHOLE_EXAMPLES, [Phase.generate])
        drawn = st.one_of([self._combination(family, _some(family)) for family in self._roles])
        try:
            self._each(drawn, some, _VALID_EXAMPLES, [Phase.generate, Phase.shrink])
        except AssertionError:
            return  # recorded, the smallest among the rest

    def _pair(self, family: str, violation: Violation) -> SearchStrategy[Any]:
        """A combination, and the value that the member shall not have."""
        from hypothesis import strategies as st

        value = st.none() if violation.values is None else violation.values(ranges_of(family))
        return st.tuples(self._combination(family, _most(family)), value)

    def _combination(
        self, family: str, chosen: SearchStrategy[dict[str, Any]]
    ) -> SearchStrategy[Combination]:
        from hypothesis import strategies as st

        role = self._roles[family]
        return st.builds(Combination, st.just(role), chosen, _earlier_turns(), st.booleans())

    def _send(
        self, situation: str, combination: Combination, change: Mapping[str, Any], gone: tuple[str, ...]
    ) -> Call:
        id_ = self._lab.shared.ids()
        body = self._lab.chat_body(combination.role, id_)
        turns = [*combination.turns, *body["messages"]]
        return self._bridge.run(
            self._lab.chat(
                combination.role,
                situation,
                self._who,
                stream=combination.stream,
                change={**combination.chosen, "messages": turns, **change},
                drop=gone,
                correlation_id=id_,
            )
        )

    def _each(
        self, drawn: SearchStrategy[Any], send: Callable[[Any], None], examples: int, phases: list[Any]
    ) -> None:
        from hypothesis import HealthCheck, given, seed, settings

        chosen = settings(
            max_examples=examples * self._factor,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )

        def one(value: Any) -> None:
            send(value)

        test: Any = seed(self._lab.shared.seed)(chosen(given(drawn)(one)))
        test()
