"""Rules about refusals and failures on /v1/messages (MERR rows): status, envelope and type apart.

No document says which envelope this route uses (reading C6), so OpenAI's and Anthropic's are both right,
and a report names the one that was seen.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighbridge.checks.errors import Envelope, envelope, on_error
from weighbridge.checks.findings import (
    alternative,
    broken,
    excerpt,
    holds,
    member,
    met,
    needs,
    outcome_of,
    situation,
    unjudged,
)
from weighbridge.checks.limits import some_refused_at_once
from weighbridge.checks.posts import exactly, model_posts
from weighbridge.evidence import Call, Observation
from weighbridge.verdict import Finding, Outcome

#: Anthropic format, error types. A status that is not here has no type of its own.
TYPE_OF_STATUS: dict[int, frozenset[str]] = {
    400: frozenset({"invalid_request_error"}),
    401: frozenset({"authentication_error"}),
    402: frozenset({"billing_error"}),
    403: frozenset({"permission_error"}),
    404: frozenset({"not_found_error"}),
    413: frozenset({"request_too_large"}),
    429: frozenset({"rate_limit_error"}),
    500: frozenset({"api_error"}),
    504: frozenset({"timeout_error"}),
    529: frozenset({"overloaded_error"}),
}


def refusals(*observations: Observation) -> list[Call]:
    """Every call that was answered with an error status, whatever it had been sent for."""
    return [call for observed in observations for call in observed if (call.exchange.status or 0) >= 400]


@on_error
def has_error_object(call: Call) -> Finding:
    """An `error` object with type and message, in either envelope; the finding names it."""
    shape = envelope(call.exchange.json)
    error = member(call.exchange.json, "error")
    kind, message = member(error, "type"), member(error, "message")
    response = call.exchange.response
    return holds(
        call,
        isinstance(kind, str) and isinstance(message, str),
        "JSON with error.type and error.message, in the OpenAI or the Anthropic envelope",
        f"the {shape} envelope: {excerpt(response.text) if response else ''}",
    )


@on_error
def type_fits_status(call: Call) -> Finding:
    """In the Anthropic envelope the type is the one of the status."""
    shape = envelope(call.exchange.json)
    if shape is not Envelope.ANTHROPIC:
        return Finding(
            Outcome.NOT_APPLICABLE, observed=f"the reply uses the {shape} envelope", evidence=(call.id,)
        )
    status = call.exchange.status or 0
    known = TYPE_OF_STATUS.get(status)
    if known is None:
        return Finding(
            Outcome.NOT_APPLICABLE, observed=f"status {status} has no type of its own", evidence=(call.id,)
        )
    kind = member(call.exchange.json, "error", "type")
    return holds(
        call, kind in known, f"error type {' or '.join(sorted(known))} for {status}", f"type {kind!r}"
    )


def provider_failure_is_500(call: Call) -> Finding:
    """A failing provider is the caller's 500; another 5xx tells a client the same and is reported."""
    if call.upstream is None:
        return needs("upstream")
    seen = call.exchange.status
    required = "500 when the provider fails"
    if seen == 500:
        return met(call, required, "500")
    if seen is not None and 500 < seen < 600:
        return alternative(call, required, outcome_of(call))
    return broken(call, required, outcome_of(call))


def provider_limit_is_429(call: Call) -> Finding:
    """A provider's 429 is the caller's 429 or a 5xx (reading C23): either way a failure to wait out."""
    if call.upstream is None:
        return needs("upstream")
    seen = call.exchange.status
    required = "429 or a 5xx when the provider limits requests"
    return holds(call, seen == 429 or (seen is not None and 500 <= seen < 600), required, outcome_of(call))


def burst_is_limited(observation: Observation) -> Finding:
    """Beyond the group's rate at least one call is answered 429."""
    calls = situation(observation, "group-limit")
    return calls if isinstance(calls, Finding) else some_refused_at_once(calls)


def observable(findings: Iterable[Finding]) -> list[Finding]:
    """Without those that a missing capability left open, as long as anything else was judged.

    For a row about several causes of which some need more than a key to be brought about.
    """
    found = list(findings)
    judged = [item for item in found if item.outcome is not Outcome.NOT_VERIFIED or item.inside_scope]
    return judged or found


def refused_without_upstream(call: Call) -> Finding:
    """A call that the target refuses by itself reaches no provider; one that its provider refused says nothing."""
    if call.upstream is None:
        return needs("upstream")
    if call.exchange.status is None or call.exchange.status < 400:
        return unjudged(call, f"the call was not refused: {outcome_of(call)}")
    posts = model_posts(call)
    required = "no upstream POST for a request that the target refuses"
    if not posts:
        return met(call, required, f"{call.exchange.status}, no POST")
    answer = posts[-1].status
    if answer is not None and 400 <= answer < 500:
        return Finding(
            Outcome.NOT_APPLICABLE,
            observed=f"the provider refused it ({answer}), not the target",
            evidence=(call.id,),
        )
    return broken(call, required, f"{len(posts)} POSTs, the provider answered {answer}")


def none_if_401(call: Call) -> Finding:
    """A call answered 401 reached no provider; one answered otherwise is judged by its status."""
    if call.posts is None:
        return needs("upstream")
    if call.exchange.status != 401:
        return unjudged(call, f"the call was not answered 401: {outcome_of(call)}")
    return exactly(0)(call)


def fails_before_stream(call: Call) -> Finding:
    """A streamed call that fails before its first event has an error status and no 200 stream."""
    if call.upstream is None:
        return needs("upstream")
    response = call.exchange.response
    seen = call.exchange.status
    kind = response.content_type if response else ""
    return holds(
        call,
        seen is not None and seen >= 400 and kind != "text/event-stream",
        "an HTTP error status, not a 200 stream",
        f"{outcome_of(call)}, {kind or 'no Content-Type'}",
    )


def failure_is_no_success(call: Call) -> Finding:
    """Whatever the mapping, a provider that failed is no 2xx to the caller."""
    if call.upstream is None:
        return needs("upstream")
    if not call.upstream:
        return unjudged(call, f"the call reached no provider: {outcome_of(call)}")
    seen = call.exchange.status
    return holds(
        call, seen is None or seen >= 400, "no 2xx after a failure of the provider", outcome_of(call)
    )
