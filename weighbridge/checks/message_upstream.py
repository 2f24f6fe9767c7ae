"""Rules about what a message call became at the provider: how many POSTs, what they carried, what leaked.

Counting is by correlation id, as in `posts`. Bodies are compared only where the provider behind the
target speaks the same format; a translated body cannot arrive "as sent".
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from weighbridge.bait import UPSTREAM_SECRET
from weighbridge.checks.findings import broken, excerpt, holds, met, needs, outcome_of, unjudged
from weighbridge.checks.posts import exactly, on_body
from weighbridge.evidence import Call, Ending, UpstreamCall
from weighbridge.suite import Rule
from weighbridge.verdict import Finding

#: Whatever may be a key: a run of the characters that keys consist of.
_WORD = re.compile(rb"[A-Za-z0-9_\-.]{8,}")


def one_post_though_failed(call: Call) -> Finding:
    """A call whose provider failed caused that one POST, and none behind the caller's back."""
    if call.upstream is None:
        return needs("upstream")
    if call.posts == 0:
        return unjudged(call, f"the call reached no provider: {outcome_of(call)}")
    return exactly(1)(call)


def none_after_leaving(call: Call) -> Finding:
    """After the client has gone, no further POST is made for it."""
    if call.upstream is None:
        return needs("upstream")
    if call.exchange.ending is not Ending.LEFT:
        return unjudged(call, f"the client never left: {outcome_of(call)}")
    return one_post_though_failed(call)


_native = on_body("anthropic")


def arrives_as_sent(*names: str) -> Rule:
    """Members of the request arrive upstream with equal values; numbers compare by value."""

    @_native
    def rule(call: Call, _post: UpstreamCall, body: Any) -> Finding:
        sent = json.loads(call.exchange.request.body)
        required = f"{', '.join(names)} arrive upstream as sent"
        for name in names:
            if body.get(name) != sent.get(name):
                return broken(
                    call,
                    f"{name} arrives upstream as sent: {excerpt(json.dumps(sent.get(name)))}",
                    excerpt(json.dumps(body.get(name))),
                )
        return met(call, required, "equal")

    return rule


def marked_blocks(value: Any) -> list[Any]:
    """All blocks with cache_control inside a request, in order."""
    if isinstance(value, dict):
        inner = [found for item in value.values() for found in marked_blocks(item)]
        return [value, *inner] if "cache_control" in value else inner
    if isinstance(value, list):
        return [found for item in value for found in marked_blocks(item)]
    return []


@_native
def marks_arrive_as_sent(call: Call, _post: UpstreamCall, body: Any) -> Finding:
    """Every block that carries cache_control arrives, unchanged and marked."""
    sent, arrived = marked_blocks(json.loads(call.exchange.request.body)), marked_blocks(body)
    return holds(
        call,
        arrived == sent,
        f"{len(sent)} blocks with cache_control arrive upstream as sent",
        f"{len(arrived)} arrived: {excerpt(json.dumps(arrived))}",
    )


def hides_upstream_key(call: Call) -> Finding:
    """Neither the key that the target used at its provider nor one in the provider's error text comes out."""
    if call.upstream is None:
        return needs("upstream")
    response = call.exchange.response
    if response is None:
        return unjudged(call, outcome_of(call))
    seen = response.body + "\n".join(f"{name}: {value}" for name, value in response.headers).encode()
    required = "the key of the provider stays inside"
    if UPSTREAM_SECRET.encode() in seen:
        return broken(call, required, "the key in the provider's error text was passed on")
    used = {post.credential for post in call.upstream if post.credential}
    found = {form for word in _WORD.findall(seen) for form in (word, word.strip(b"._-"))}
    words = {hashlib.sha256(word).hexdigest()[:16] for word in found}
    return holds(
        call,
        not used & words,
        required,
        "the target's own key is in the reply" if used & words else "not seen",
    )
