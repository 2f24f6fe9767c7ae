"""Rules about refusals: the status, the envelope and the members are judged apart.

Four shapes of error are understood, so that a finding names what a stranger's gateway really sent:
OpenAI's, Anthropic's, FastAPI's `detail`, and plain text.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from weighbridge.bait import UNKNOWN_KEY
from weighbridge.checks.findings import (
    alternative,
    broken,
    excerpt,
    holds,
    member,
    met,
    not_applicable,
    outcome_of,
    unjudged,
)
from weighbridge.evidence import Call, header
from weighbridge.redaction import MARK
from weighbridge.suite import Rule
from weighbridge.verdict import Finding


class Envelope(StrEnum):
    """How an error body is shaped."""

    OPENAI = "OpenAI"
    ANTHROPIC = "Anthropic"
    DETAIL = "detail"
    TEXT = "plain text"
    OTHER = "another JSON"


def envelope(body: Any) -> Envelope:
    """The shape of a parsed error body (None where it was no JSON)."""
    if body is None:
        return Envelope.TEXT
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return Envelope.ANTHROPIC if body.get("type") == "error" else Envelope.OPENAI
    if isinstance(body, dict) and "detail" in body:
        return Envelope.DETAIL
    return Envelope.OTHER


def status(*codes: int, also: tuple[int, ...] = ()) -> Rule:
    """The reply has one of these statuses; `also` are readings that the documents leave open."""
    required = f"status {' or '.join(map(str, codes))}"

    def rule(call: Call) -> Finding:
        seen = call.exchange.status
        if seen in codes:
            return met(call, required, str(seen))
        if seen in also:
            return alternative(call, required, outcome_of(call))
        return broken(call, required, outcome_of(call))

    return rule


def refused_or_default_cap(call: Call) -> Finding:
    """Without max_tokens: 400, or served with the 4096 that the heading names (reading C1)."""
    required = "status 400 without max_tokens"
    if call.exchange.status == 400:
        return met(call, required, "400")
    if not call.exchange.ok:
        return broken(call, required, outcome_of(call))
    posts = [post for post in call.upstream or () if post.is_model_call]
    sent = member(posts[0].json, "max_tokens") if posts else None
    if posts and sent != 4096:
        return broken(
            call, required, f"served with max_tokens {sent}, neither refused nor the 4096 of the heading"
        )
    return alternative(call, required, "served with 4096 (reading C1)" if posts else "served")


def is_plain_http_error(call: Call) -> Finding:
    """A failure known before the first byte: the status line says so, and the body is no event stream."""
    required = "an HTTP error status with a JSON body"
    seen = call.exchange.status
    if seen is None or seen < 400:
        return broken(call, required, outcome_of(call))
    return is_json_not_sse(call)


def refusal_is_json(call: Call) -> Finding:
    """A refused call of a stream is answered in JSON, and not by an event; a served one is not this rule's matter."""
    if not call.exchange.ok:
        return is_json_not_sse(call)
    if _begins_with_error(call):
        return broken(
            call, "a JSON error body, not an event stream", f"200 with an error event: {_text(call)}"
        )
    return not_applicable("the call was served")


def _begins_with_error(call: Call) -> bool:
    """Whether the first event with data is an error: nothing was served before it."""
    events = call.exchange.response.events if call.exchange.response else ()
    first = next((event.data for event in events if event.data), "")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and (bool(value.get("error")) or value.get("type") == "error")


def refused(call: Call) -> Finding:
    """Any 4xx."""
    seen = call.exchange.status
    return holds(call, seen is not None and 400 <= seen < 500, "a 4xx", outcome_of(call))


def server_error(call: Call) -> Finding:
    """500; another 5xx is an alternative that a client treats alike."""
    seen = call.exchange.status
    if seen == 500:
        return met(call, "status 500", "500")
    if seen is not None and 500 < seen < 600:
        return alternative(call, "status 500", outcome_of(call))
    return broken(call, "status 500", outcome_of(call))


def on_error(rule: Rule) -> Rule:
    """The rule, for calls that were refused; a call that was served is judged by its status, not here."""

    def guarded(call: Call) -> Finding:
        if call.exchange.status is None or call.exchange.status < 400:
            return unjudged(call, f"no error to judge: {outcome_of(call)}")
        return rule(call)

    return guarded


@on_error
def has_envelope(call: Call) -> Finding:
    """JSON {error: {message, type, code}}; more members are welcome."""
    error = member(call.exchange.json, "error")
    required = "JSON {error: {message, type, code}}"
    if not isinstance(error, dict):
        return broken(call, required, f"{envelope(call.exchange.json)} body: {_text(call)}")
    absent = [name for name in ("message", "type", "code") if name not in error]
    return holds(
        call,
        not absent,
        required,
        f"no {', '.join(absent)} in {excerpt(str(error))}" if absent else "as required",
    )


@on_error
def has_error_object(call: Call) -> Finding:
    """JSON with an error object that holds a message, as every OpenAI client reads it."""
    message = member(call.exchange.json, "error", "message")
    return holds(
        call,
        isinstance(message, str),
        "JSON {error: {message, ...}}",
        f"{envelope(call.exchange.json)} body: {_text(call)}",
    )


@on_error
def members_are_typed(call: Call) -> Finding:
    """message a non-empty string, type a string, code a string or null."""
    error = member(call.exchange.json, "error")
    if not isinstance(error, dict):
        return unjudged(call, f"{envelope(call.exchange.json)} body")
    problems = []
    if not isinstance(error.get("message"), str) or not error["message"]:
        problems.append(f"message {error.get('message')!r}")
    if not isinstance(error.get("type"), str):
        problems.append(f"type {error.get('type')!r}")
    if error.get("code") is not None and not isinstance(error["code"], str):
        problems.append(f"code {error['code']!r}")
    return holds(
        call,
        not problems,
        "message non-empty string, type string, code string or null",
        ", ".join(problems) or "as required",
    )


@on_error
def is_invalid_request(call: Call) -> Finding:
    """A shape error has type invalid_request_error."""
    kind = member(call.exchange.json, "error", "type")
    return holds(call, kind == "invalid_request_error", "type invalid_request_error", f"type {kind!r}")


@on_error
def is_json_not_sse(call: Call) -> Finding:
    """A refusal of a streamed call is an ordinary JSON error."""
    response = call.exchange.response
    kind = response.content_type if response else ""
    return holds(
        call,
        kind != "text/event-stream" and isinstance(call.exchange.json, dict),
        "a JSON error body, not an event stream",
        f"{kind or 'no Content-Type'}: {_text(call)}",
    )


@on_error
def keeps_key_out_of_body(call: Call) -> Finding:
    """A refusal does not print the key it refuses."""
    response = call.exchange.response
    if response is None:
        return unjudged(call, outcome_of(call))
    echoed = MARK.encode() in response.body or UNKNOWN_KEY.encode() in response.body
    return holds(
        call,
        not echoed,
        "the key is not repeated in the reply",
        "the whole key is in the body" if echoed else "it is not",
    )


def retry_after_parses(call: Call) -> Finding:
    """Retry-After is optional on chat; where present it is seconds or an HTTP date."""
    value = header(call.exchange.response.headers, "retry-after") if call.exchange.response else None
    if value is None:
        return met(call, "Retry-After, if present, parses", "absent")
    return holds(call, value.isdigit() or value.endswith("GMT"), "Retry-After in seconds or as a date", value)


def not_success_and_not_callers_fault(call: Call) -> Finding:
    """A provider that refuses the gateway's key is not the caller's 401."""
    seen = call.exchange.status
    return holds(
        call, seen is not None and seen >= 500, "a 5xx: the caller's key is not at fault", outcome_of(call)
    )


def no_success(call: Call) -> Finding:
    """Whatever the mapping, the client of a failed call gets an error status."""
    seen = call.exchange.status
    return holds(call, seen is not None and seen >= 400, "an error status", outcome_of(call))


def _text(call: Call) -> str:
    return excerpt(call.exchange.response.text) if call.exchange.response else ""
