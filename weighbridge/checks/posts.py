"""Rules about the provider's side of a call: how many POSTs it caused, and what they carried.

Calls are counted by correlation id, never since a reset, so late retries are found and neighbours do not
disturb. Without a view of the upstream nothing here passes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from weighbridge import tolerances
from weighbridge.checks.endings import failed
from weighbridge.checks.findings import (
    broken,
    excerpt,
    holds,
    member,
    met,
    needs,
    not_applicable,
    outcome_of,
    unjudged,
)
from weighbridge.evidence import Call, Ending, UpstreamCall
from weighbridge.suite import Rule
from weighbridge.verdict import Finding, Outcome


def model_posts(call: Call) -> list[UpstreamCall]:
    """The provider POSTs of a call, in order of arrival."""
    return [item for item in call.upstream or () if item.is_model_call]


def _told(call: Call) -> str:
    posts = model_posts(call)
    if len(posts) < 2:
        return f"{len(posts)} POSTs" if len(posts) != 1 else "1 POST"
    gap = (posts[1].arrived_ns - posts[0].arrived_ns) / 1e9
    return f"{len(posts)} POSTs, the second {gap:.2f} s after the first"


def exactly(count: int) -> Rule:
    """The call caused so many provider POSTs."""
    required = f"{count} upstream POST{'' if count == 1 else 's'} for the call"

    def rule(call: Call) -> Finding:
        if call.posts is None:
            return needs("upstream")
        return holds(call, call.posts == count, required, _told(call))

    return rule


def none_after_leaving(call: Call) -> Finding:
    """A client that left caused one POST; none where it left before the target had asked its provider."""
    if call.posts is None:
        return needs("upstream")
    if call.exchange.ending is not Ending.LEFT:
        if not failed(call):
            return not_applicable("the answer was over before its client could leave")
        return unjudged(call, f"the client never left: {outcome_of(call)}")
    if call.posts == 0:
        if call.exchange.head_at is None:
            return not_applicable("the client left before the call had reached the provider")
        return unjudged(call, f"the call reached no provider: {outcome_of(call)}")
    return exactly(1)(call)


def if_somebody_left(findings: Sequence[Finding]) -> list[Finding]:
    """The findings about clients that leave; where none of them could be judged, that is no reason to pass."""
    if any(finding.outcome is not Outcome.NOT_APPLICABLE for finding in findings):
        return list(findings)
    told = "no client could leave a call that was under way"
    return [*findings, Finding(Outcome.NOT_VERIFIED, observed=told, inside_scope=True)]


def one_if_served(call: Call) -> Finding:
    """A served call caused exactly one POST."""
    if call.posts is None:
        return needs("upstream")
    if not call.exchange.ok:
        return unjudged(call, f"the call was not served: {outcome_of(call)}")
    return exactly(1)(call)


def none_if_refused(call: Call) -> Finding:
    """A call that the target refused by itself reached no provider."""
    if call.posts is None:
        return needs("upstream")
    if call.exchange.status is None or call.exchange.status < 400:
        return unjudged(call, f"the call was not refused: {outcome_of(call)}")
    posts = model_posts(call)
    if posts and all(post.status is not None and 400 <= post.status < 500 for post in posts):
        return not_applicable("the provider refused, and the target passed its refusal on")
    return exactly(0)(call)


def none_if_401(call: Call) -> Finding:
    """A call that was refused for its key reached no provider; one that was served is another row's matter."""
    if call.posts is None:
        return needs("upstream")
    if call.exchange.status is None:
        return unjudged(call, f"the key was not refused: {outcome_of(call)}")
    if call.exchange.status < 400:
        return not_applicable("the key was not refused")
    return exactly(0)(call)


def none_at_all(call: Call) -> Finding:
    """The call reached no provider, whatever it was answered; one without an answer need not have come to the target."""
    if call.posts is None:
        return needs("upstream")
    if call.exchange.status is None and not call.posts:
        return unjudged(call, f"the call was not answered: {outcome_of(call)}")
    return exactly(0)(call)


def one_each(calls: Iterable[Call], situation: str) -> list[Finding]:
    """Calls that may share an id caused as many POSTs as there were calls."""
    by_id: dict[str, list[Call]] = {}
    for call in calls:
        by_id.setdefault(call.id, []).append(call)
    findings = []
    for same in by_id.values():
        last = same[-1]
        if last.posts is None:
            findings.append(needs("upstream"))
            continue
        served = sum(1 for call in same if call.exchange.ok)
        if served < len(same):
            findings.append(unjudged(last, f"{len(same) - served} of {len(same)} calls were not served"))
            continue
        required = f"{len(same)} upstream POSTs for {len(same)} {situation} calls"
        findings.append(holds(last, last.posts == len(same), required, _told(last)))
    return findings


#: A rule about a call, given its first provider POST and the body of that.
BodyRule = Callable[[Call, UpstreamCall, Any], Finding]


def on_body(*providers: str) -> Callable[[BodyRule], Rule]:
    """Decorator of rules about the first provider POST of a call and its body.

    Args:
        providers: whose formats the rule can read; where another one was called it does not apply. All where
            none is named.
    """

    def bind(rule: BodyRule) -> Rule:
        def guarded(call: Call) -> Finding:
            if call.upstream is None:
                return needs("upstream")
            posts = model_posts(call)
            if not posts:
                return unjudged(call, f"nothing arrived upstream: {outcome_of(call)}")
            post, body = posts[0], posts[0].json
            if providers and post.provider not in providers:
                told = f"the upstream speaks {post.provider}"
                return Finding(Outcome.NOT_APPLICABLE, observed=told, evidence=(call.id,))
            if not isinstance(body, dict):
                return unjudged(call, "the upstream body could not be read")
            return rule(call, post, body)

        return guarded

    return bind


def settings_arrive(*names: str) -> Rule:
    """The named numbers arrive upstream in whichever format; a call that carries none of them says nothing."""

    @on_body()
    def arrive(call: Call, _post: UpstreamCall, body: Any) -> Finding:
        sent = json.loads(call.exchange.request.body)
        carried = {name: sent[name] for name in names if name in sent}
        arrived = {name: body.get(name) for name in carried}
        required = f"arrives upstream as sent: {json.dumps(carried)}"
        return holds(call, arrived == carried, required, json.dumps(arrived))

    def rule(call: Call) -> Finding:
        sent = json.loads(call.exchange.request.body)
        if not any(name in sent for name in names):
            return not_applicable(f"the call carries none of {', '.join(names)}")
        if call.upstream is not None and not model_posts(call) and call.exchange.status in {400, 422}:
            return broken(call, f"passed on: {', '.join(names)}", f"refused: {outcome_of(call)}")
        return arrive(call)

    return rule


def defaults_arrive(**defaults: float) -> Rule:
    """Settings that the caller left out stay out on the way, or arrive with their documented defaults."""
    required = ", ".join(f"{name} left out or {value:g}" for name, value in defaults.items())

    @on_body()
    def rule(call: Call, _post: UpstreamCall, body: Any) -> Finding:
        sent = json.loads(call.exchange.request.body)
        odd = {
            name: body[name]
            for name, value in defaults.items()
            if name not in sent and body.get(name) is not None and body[name] != value
        }
        return holds(
            call, not odd, f"{required}, where the caller sets none", f"{odd or 'so it is'} upstream"
        )

    return rule


def passes_through(*names: str) -> Rule:
    """Members of the request arrive upstream with equal values; numbers compare by value.

    Calls that carry none of them say nothing. A call that the target refuses by itself does not pass them on.
    """
    required = f"passed on as sent: {', '.join(names)}"

    @on_body()
    def arrives(call: Call, post: UpstreamCall, body: Any) -> Finding:
        if post.provider != "openai":
            return Finding(Outcome.NOT_APPLICABLE, observed=f"the upstream speaks {post.provider}")
        sent = json.loads(call.exchange.request.body)
        for name in names:
            if body.get(name) != sent[name]:
                return broken(
                    call,
                    f"{name} arrives upstream as sent: {excerpt(json.dumps(sent[name]))}",
                    f"{excerpt(json.dumps(body.get(name)))}",
                )
        return met(call, required, "equal")

    def rule(call: Call) -> Finding:
        sent = json.loads(call.exchange.request.body)
        if not all(name in sent for name in names):
            return not_applicable(f"the call does not carry {', '.join(names)}")
        if call.upstream is not None and not model_posts(call) and call.exchange.status in {400, 422}:
            return broken(call, required, f"refused: {outcome_of(call)}")
        return arrives(call)

    return rule


@on_body()
def group_stays_inside(call: Call, _post: UpstreamCall, body: Any) -> Finding:
    """`group` is the gateway's own field."""
    return holds(
        call,
        "group" not in body,
        "group is not forwarded",
        f"group {body.get('group')!r} arrived upstream" if "group" in body else "absent",
    )


@on_body()
def turns_in_order(call: Call, _post: UpstreamCall, body: Any) -> Finding:
    """All turns arrive, in the order sent, with their texts; system prompts too, inside the turns or beside them."""
    sent, arrived = _turns(json.loads(call.exchange.request.body)), _turns(body)
    return holds(call, arrived == sent, f"{len(sent)} turns in the order sent", excerpt(str(arrived)))


def _turns(body: Any) -> list[tuple[Any, str]]:
    """(role, text) of each turn, system prompts first."""
    turns = [(member(turn, "role"), _text(member(turn, "content"))) for turn in body.get("messages") or []]
    system = [("system", text) for role, text in turns if role in _SYSTEM]
    system += [("system", _text(body["system"]))] if body.get("system") else []
    return system + [turn for turn in turns if turn[0] not in _SYSTEM]


_SYSTEM = frozenset({"system", "developer"})


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(member(part, "text") or "") for part in content)
    return ""


def upstream_stopped(call: Call) -> Finding:
    """A client that leaves stops the provider's work within the bound."""
    if call.upstream is None:
        return needs("upstream")
    if call.exchange.ending is not Ending.LEFT:
        return unjudged(call, f"the client never left: {outcome_of(call)}")
    posts = model_posts(call)
    if not posts:
        return unjudged(call, "nothing arrived upstream")
    post = posts[0]
    required = f"the upstream call ends within {tolerances.CLIENT_LEFT_S:g} s after the client left"
    if post.ending == "caller_left":
        if post.caller_left_ns is None:
            return unjudged(call, "when the provider was left is not recorded")
        # The POST came behind the call, so this is the least that it can have been.
        later = (post.caller_left_ns - post.arrived_ns) / 1e9 - call.exchange.ended_at
        told = f"the provider was left after {post.events_sent} events, at least {max(later, 0.0):.1f} s behind the client"
        return holds(call, later <= tolerances.CLIENT_LEFT_S, required, told)
    return broken(
        call, required, f"the provider was kept working ({post.ending}, {post.events_sent} events sent)"
    )


def by_upstream(calls: Iterable[Call]) -> Counter[str]:
    """How many provider POSTs each upstream channel received."""
    return Counter(post.upstream for call in calls for post in model_posts(call))
