"""Three facts about a stream whose provider broke: was it signalled, was a finish made up, was [DONE] sent.

Gateways differ in all three, so each is a rule of its own; what a whole stream may hold is in `streams`. After a
break on the wire (CSTR-21, reading C22) a stream must not look like a finished one: each rule says what of it does.
After a clean early end (PRAC-01) neither a finish nor an end mark may be invented at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weighbridge.checks import aimlapi_streams
from weighbridge.checks.findings import holds, met, needs, outcome_of, unjudged
from weighbridge.checks.posts import model_posts
from weighbridge.checks.transcripts import Transcript, read
from weighbridge.evidence import Call, Ending
from weighbridge.suite import Rule
from weighbridge.verdict import Finding


@dataclass(frozen=True, slots=True)
class Break:
    """How a gateway ended a stream that its provider broke.

    Attributes:
        finish: the finish_reason that it made up.
        done: [DONE] was sent.
        told: an error event came, before any [DONE] that would have sent the client away.
        cut: the connection did not end cleanly.
    """

    finish: str | None
    done: bool
    told: bool
    cut: bool

    def __str__(self) -> str:
        ends = [f"finish_reason {self.finish!r}"] if self.finish else []
        ends += ["[DONE]"] if self.done else []
        signal = "an error event" if self.told else "a broken connection" if self.cut else "no error"
        return f"{' and '.join(ends) or 'neither finish_reason nor [DONE]'}, {signal}"


def _seen(call: Call, stream: Transcript) -> Break:
    is_error = aimlapi_streams.is_error if call.surface == "aimlapi" else lambda piece: piece.is_error
    reasons = [str(reason) for _, _, reason in stream.finishes]
    end = stream.dones[0].index if stream.dones else None
    told = any(is_error(piece) and (end is None or piece.index < end) for piece in stream.events)
    cut = call.exchange.ending is not Ending.COMPLETE
    return Break(reasons[0] if reasons else None, end is not None, told, cut)


def _broken_upstream(rule: Callable[[Call, Break], Finding]) -> Rule:
    def guarded(call: Call) -> Finding:
        if call.scenario is None:
            return needs("upstream")
        if call.upstream is not None and not model_posts(call):
            return unjudged(call, f"the call reached no provider: {outcome_of(call)}")
        if call.exchange.status != 200:
            return met(call, "no normal ending", f"no stream at all: {outcome_of(call)}")
        return rule(call, _seen(call, read(call)))

    return guarded


# ------------------------------------------------------------------ the wire broke
@_broken_upstream
def is_signalled(call: Call, seen: Break) -> Finding:
    """An error event, a broken connection, or at least no ending: something tells a client that the text is not whole."""
    silent = not seen.told and not seen.cut
    return holds(
        call,
        not (silent and (seen.finish or seen.done)),
        "an ending after a broken upstream comes with an error event or a broken connection",
        str(seen),
    )


@_broken_upstream
def finish_is_not_made_up(call: Call, seen: Break) -> Finding:
    """No finish_reason that the provider never sent, with [DONE] behind it: that is the ending of a whole stream."""
    return holds(
        call,
        not (seen.finish and seen.done),
        "no made-up finish_reason followed by [DONE] after a broken upstream",
        str(seen),
    )


@_broken_upstream
def done_is_not_the_only_word(call: Call, seen: Break) -> Finding:
    """Clients stop reading at [DONE], so an error has to come before it."""
    return holds(
        call,
        seen.told or not seen.done,
        "no [DONE] after a broken upstream unless an error event came before it",
        str(seen),
    )


# ------------------------------------------------------------------ the provider stopped early, and cleanly
@_broken_upstream
def no_made_up_finish(call: Call, seen: Break) -> Finding:
    """No finish_reason that the provider never sent."""
    return holds(call, not seen.finish, "no finish_reason after an early end of the upstream", str(seen))


@_broken_upstream
def no_done_after_break(call: Call, seen: Break) -> Finding:
    """No terminator that the provider never sent."""
    return holds(call, not seen.done, "no [DONE] after an early end of the upstream", str(seen))
