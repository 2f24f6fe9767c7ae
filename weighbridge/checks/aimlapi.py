"""Rules about one reply of AI/ML API: its members, its cost, its headers (AIML-RES, AIML-HDR and some AIML-REQ).

What this surface shares with other chat completions is judged by `replies`; here stands what differs.
Source: S4, Responses; public docs, OpenAPI of the model page, and Request tracing and cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from weighbridge.checks.findings import (
    alternative,
    broken,
    excerpt,
    holds,
    is_int,
    member,
    met,
    needs,
    not_applicable,
    on_success,
    outcome_of,
    situation,
    unjudged,
)
from weighbridge.checks.replies import FINISH_REASONS, field
from weighbridge.checks.transcripts import read
from weighbridge.evidence import Call, Observation, header
from weighbridge.verdict import Finding

#: S4, the opening: both names are valid, in requests and so in replies (reading C35).
LISTED_NAMES = ("anthropic/claude-opus-4-8", "claude-opus-4-8")
#: public docs, Request tracing and cost, samples: 27222 credits for 0.013611 USD.
CREDITS_PER_USD = 2_000_000
#: Amounts are shown to a millionth of a dollar, which is two credits.
_ROUNDING_CREDITS = 2
#: Where gateways of this format put thinking; the vendor's own sample has the first.
_THINKING_MEMBERS = ("reasoning_content", "reasoning", "thinking")

_INFERENCE_ID = "x-inference-id"
_CLIENT_ID = "x-client-request-id"
#: Characters of an id by which what is left of it is known; made-up ids begin with other ones.
_TELLING_START = 3
_COST_HEADERS = ("x-aimlapi-credits-used", "x-aimlapi-usd-spent")


def is_number(value: Any) -> bool:
    """A JSON number; JSON's true is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """A string with something in it."""
    return isinstance(value, str) and bool(value)


def is_unix_time(value: Any) -> bool:
    """Seconds between 2020 and 2100; milliseconds lie beyond."""
    return is_number(value) and 1_577_836_800 <= value <= 4_102_444_800


created_is_now = field("created is a Unix time in seconds", ("created",), is_unix_time)
names_listed_model = field(
    f"model is {' or '.join(LISTED_NAMES)}", ("model",), lambda value: value in LISTED_NAMES
)


def serves(observation: Observation, name: str) -> Finding:
    """A listed name is accepted, streamed or not; a target file that does not name it leaves that open."""
    calls = [call for call in observation.where("plain") if call.model == name]
    if not calls:
        return needs(f"models: a role that starts with aimlapi and names {name}")
    call = next((call for call in calls if not call.exchange.ok), calls[0])
    return holds(call, call.exchange.ok, f"model {name!r} is accepted", outcome_of(call))


# ------------------------------------------------------------------ members
@on_success
def choices_are_complete(call: Call) -> Finding:
    """Each choice has an index, a message with role and content, and a finish_reason."""
    required = "each choice has index, message with role and content, finish_reason"
    choices = member(call.exchange.json, "choices")
    if not isinstance(choices, list) or not choices:
        return broken(call, required, f"choices is {excerpt(json.dumps(choices))}")
    for choice in choices:
        message = member(choice, "message")
        problems = [
            name
            for name, good in (
                ("index", is_int(member(choice, "index"))),
                ("message.role", is_text(member(message, "role"))),
                ("message.content", isinstance(message, dict) and "content" in message),
                ("finish_reason", is_text(member(choice, "finish_reason"))),
            )
            if not good
        ]
        if problems:
            return broken(call, required, f"no proper {', '.join(problems)} in {excerpt(json.dumps(choice))}")
    return met(call, required, f"{len(choices)} choices")


@on_success
def finish_is_openai_word(call: Call) -> Finding:
    """finish_reason is an OpenAI word; end_turn stands in the vendor's own sample (reading C35)."""
    reason = member(call.exchange.json, "choices", 0, "finish_reason")
    required = f"finish_reason is one of {', '.join(sorted(FINISH_REASONS))}"
    if reason == "end_turn":
        return alternative(
            call, required, "finish_reason 'end_turn', as in the vendor's sample (reading C35)"
        )
    return holds(call, reason in FINISH_REASONS, required, f"finish_reason {reason!r}")


# ------------------------------------------------------------------ cost
def cost_of(call: Call) -> Any:
    """meta.usage of a reply: of its body, or of the last chunk of its stream."""
    if not call.streamed:
        return member(call.exchange.json, "meta", "usage")
    chunks = read(call).chunks
    return member(chunks[-1].json, "meta", "usage") if chunks else None


def _is_cost(value: Any) -> bool:
    return all(is_number(member(value, name)) for name in ("credits_used", "usd_spent"))


@on_success
def cost_is_complete(call: Call) -> Finding:
    """meta.usage, where it is, has both figures."""
    cost = cost_of(call)
    if cost is None:
        return not_applicable("the replies report no cost under meta.usage")
    return holds(
        call,
        _is_cost(cost),
        "meta.usage has the numbers credits_used and usd_spent",
        f"meta.usage is {excerpt(json.dumps(cost))}",
    )


@on_success
def credits_are_dollars(call: Call) -> Finding:
    """2,000,000 credits are one dollar, to the rounding of the figures."""
    cost = cost_of(call)
    if cost is None:
        return not_applicable("the replies report no cost under meta.usage")
    if not _is_cost(cost):
        return unjudged(call, f"meta.usage is {excerpt(json.dumps(cost))}")
    used, spent = cost["credits_used"], cost["usd_spent"]
    return holds(
        call,
        abs(used - spent * CREDITS_PER_USD) <= _ROUNDING_CREDITS,
        f"credits_used is {CREDITS_PER_USD:,} times usd_spent",
        f"{used} credits for {spent} USD",
    )


@on_success
def last_chunk_has_cost(call: Call) -> Finding:
    """The last chunk of a stream carries the cost."""
    cost = cost_of(call)
    chunks = read(call).chunks
    told = excerpt(chunks[-1].data) if chunks else "no chunk"
    return holds(
        call,
        _is_cost(cost),
        "the last chunk has meta.usage with credits_used and usd_spent",
        "as required" if _is_cost(cost) else f"the last chunk is {told}",
    )


# ------------------------------------------------------------------ headers
def _header(call: Call, name: str) -> str | None:
    response = call.exchange.response
    return header(response.headers, name) if response else None


def has_inference_id(call: Call) -> Finding:
    """Every response has an inference id, whatever its status."""
    if call.exchange.response is None:
        return unjudged(call, outcome_of(call))
    value = _header(call, _INFERENCE_ID)
    return holds(
        call, bool(value), f"a header {_INFERENCE_ID}", f"{value!r} at status {call.exchange.status}"
    )


def _sent_id(call: Call) -> str | None:
    return header(call.exchange.request.headers, _CLIENT_ID)


def echoes_client_id(call: Call) -> Finding:
    """A valid id comes back, unchanged."""
    sent = _sent_id(call)
    if call.exchange.response is None:
        return unjudged(call, outcome_of(call))
    value = _header(call, _CLIENT_ID)
    return holds(
        call,
        value == sent,
        f"{_CLIENT_ID}: {excerpt(str(sent))}",
        f"{value!r} at status {call.exchange.status}",
    )


def drops_client_id(call: Call) -> Finding:
    """An invalid id is dropped, and the call runs all the same.

    An id of the gateway's own may stand in its place. One that begins as the invalid one did is what cutting
    or cleaning left of it, which the caller never sent and finds in no record.
    """
    required = "the call runs and its invalid id does not come back"
    if not call.exchange.ok:
        return broken(call, required, outcome_of(call))
    value = _header(call, _CLIENT_ID)
    sent = _sent_id(call) or ""
    dropped = value is None or not value.lower().startswith(sent[:_TELLING_START].lower())
    return holds(call, dropped, required, f"{_CLIENT_ID}: {value and excerpt(value)}")


def _is_amount(text: str | None) -> bool:
    try:
        return text is not None and 0 <= float(text) < float("inf")
    except ValueError:
        return False


@on_success
def cost_headers_fit(call: Call) -> Finding:
    """Both cost headers with a number on a plain answer, neither of them on a stream."""
    seen = {name: _header(call, name) for name in _COST_HEADERS}
    if call.streamed:
        good = all(value is None for value in seen.values())
        return holds(call, good, "no cost headers on a stream", f"{seen}")
    return holds(
        call,
        all(_is_amount(value) for value in seen.values()),
        f"{' and '.join(_COST_HEADERS)} with a number",
        f"{seen}",
    )


# ------------------------------------------------------------------ stop sequences and thinking
def _text(call: Call) -> str:
    if call.streamed:
        return read(call).text()
    content = member(call.exchange.json, "choices", 0, "message", "content")
    return content if isinstance(content, str) else ""


def stops_at_first(observation: Observation) -> list[Finding]:
    """The text ends where the first of the sequences stands in the reply to the same prompt without any."""
    whole = situation(observation, "unstopped")
    stopped = situation(observation, "stopped")
    if not isinstance(whole, list) or not isinstance(stopped, list):
        return [item for item in (whole, stopped) if isinstance(item, Finding)]
    if not whole[0].exchange.ok:
        return [unjudged(whole[0], f"no reply without stop sequences: {outcome_of(whole[0])}")]
    return [_stops_at_first(call, _text(whole[0])) for call in stopped]


def _stops_at_first(call: Call, whole: str) -> Finding:
    if call.upstream is None:
        return needs("upstream")
    required = "the answer stops at the first stop sequence"
    if not call.exchange.ok:
        return broken(call, required, outcome_of(call))
    sequences = json.loads(call.exchange.request.body)["stop_sequences"]
    cuts = [(at, word) for word in sequences if (at := whole.find(word)) >= 0]
    if not cuts:
        return unjudged(call, f"the provider's text holds none of {sequences}")
    at, word = min(cuts)
    text = _text(call)
    return holds(
        call, text in {whole[:at], whole[:at] + word}, f"{required}: {whole[:at]!r}", excerpt(repr(text))
    )


def shows_thinking(call: Call) -> Finding:
    """Thinking comes with the reply, and before the answer where there is an order.

    No document names the member; those that clients of the format read are accepted, and content blocks.
    """
    if call.upstream is None:
        return needs("upstream")
    if not call.exchange.ok:
        return unjudged(call, f"no successful reply to judge: {outcome_of(call)}")
    required = "thinking content, and the answer after it"
    kinds = list(_kinds_streamed(call) if call.streamed else _kinds(call))
    if "thinking" not in kinds:
        return broken(call, required, "no thinking in the reply")
    good = "answer" in kinds and kinds.index("thinking") < kinds.index("answer")
    return holds(call, good, required, f"first thinking, then answer: {kinds[:4]}")


def _kinds(call: Call) -> Iterable[str]:
    message = member(call.exchange.json, "choices", 0, "message")
    yield from _kinds_of(message)


def _kinds_streamed(call: Call) -> Iterable[str]:
    for piece in read(call).chunks:
        for choice in piece.choices:
            yield from _kinds_of(choice.get("delta"))


def _kinds_of(message: Any) -> Iterable[str]:
    """What a message or a delta shows: members have no order among themselves, so thinking is named first."""
    if any(is_text(member(message, name)) for name in _THINKING_MEMBERS):
        yield "thinking"
    content = member(message, "content")
    if is_text(content):
        yield "answer"
    for block in content if isinstance(content, list) else []:
        if member(block, "type") == "thinking":
            yield "thinking"
        elif is_text(member(block, "text")):
            yield "answer"
