"""Rules about refusals of the task gateway: status, envelope and code are judged apart (TERR rows).

Exact codes are required only where a document prints them; elsewhere the leading digit must fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from weighbridge.checks.errors import on_error
from weighbridge.checks.findings import broken, excerpt, holds, is_int, member, met, outcome_of, unjudged
from weighbridge.checks.tasks_polls import FIVE_DIGITS
from weighbridge.evidence import Call, Observation
from weighbridge.suite import Rule
from weighbridge.verdict import Finding, Outcome

#: docs: Errors, and the agent skill repository for 404.
STATUSES = frozenset({400, 401, 402, 403, 404, 429, 500, 502, 503, 504})
#: Routes that no document names may answer as HTTP likes; they have a row of their own.
_OFF_ROUTE = frozenset({"unknown-route", "wrong-method"})


def errors(*observations: Observation) -> list[Call]:
    """Every refusal of the API itself in some observations; downloads and undocumented routes are left out."""
    return [
        call
        for observation in observations
        for call in observation
        if call.exchange.status is not None
        and call.exchange.status >= 400
        and call.situation not in _OFF_ROUTE
        and not call.situation.endswith(":fetch")
    ]


def _error(call: Call) -> Any:
    return member(call.exchange.json, "error")


def _body(call: Call) -> str:
    return excerpt(call.exchange.response.text) if call.exchange.response else outcome_of(call)


@on_error
def has_envelope(call: Call) -> Finding:
    """JSON {error: {code, message, request_id?}}."""
    error = _error(call)
    ok = isinstance(error, dict) and "code" in error and "message" in error
    return holds(
        call, ok, "JSON {error: {code, message, request_id?}}", f"{call.exchange.status}: {_body(call)}"
    )


@on_error
def code_has_five_digits(call: Call) -> Finding:
    """code is a JSON number between 10000 and 99999."""
    if not isinstance(_error(call), dict):
        return unjudged(call, f"no error object: {_body(call)}")
    code = member(call.exchange.json, "error", "code")
    return holds(
        call, is_int(code) and code in FIVE_DIGITS, "error.code is a number of five digits", f"code {code!r}"
    )


@on_error
def has_message(call: Call) -> Finding:
    """message is a non-empty string; its text is nobody's business."""
    if not isinstance(_error(call), dict):
        return unjudged(call, f"no error object: {_body(call)}")
    message = member(call.exchange.json, "error", "message")
    ok = isinstance(message, str) and bool(message.strip())
    return holds(call, ok, "error.message is a non-empty string", f"message {message!r}")


@on_error
def has_request_id(call: Call) -> Finding:
    """request_id is present."""
    if not isinstance(_error(call), dict):
        return unjudged(call, f"no error object: {_body(call)}")
    value = member(call.exchange.json, "error", "request_id")
    return holds(
        call, isinstance(value, str) and bool(value), "error.request_id is present", f"request_id {value!r}"
    )


@on_error
def request_id_is_prefixed(call: Call) -> Finding:
    """request_id starts as in the documented sample."""
    value = member(call.exchange.json, "error", "request_id")
    if not isinstance(value, str):
        return unjudged(call, f"no request_id: {_body(call)}")
    return holds(call, value.startswith("req_"), "error.request_id starts with req_", f"request_id {value!r}")


def request_ids_differ(calls: Sequence[Call]) -> list[Finding]:
    """request_id, where present, is a string that no other call shares."""
    required = "request_id, if present, is a string unique to the call"
    seen: dict[str, Call] = {}
    findings: list[Finding] = []
    for call in calls:
        value = member(call.exchange.json, "error", "request_id")
        if value is None:
            continue
        if not isinstance(value, str):
            findings.append(broken(call, required, f"request_id {value!r}"))
        elif value in seen:
            findings.append(broken(call, required, f"request_id {value!r} also in {seen[value].label}"))
        else:
            seen[value] = call
    if not calls:
        return findings
    return findings or [met(calls[-1], required, f"{len(seen)} different ids in {len(calls)} refusals")]


@on_error
def digit_fits_status(call: Call) -> Finding:
    """1xxxx with 401 or 403, 2xxxx with 400; and a 401 is about authentication."""
    code, status = member(call.exchange.json, "error", "code"), call.exchange.status
    if not is_int(code):
        return unjudged(call, f"no numeric code: {_body(call)}")
    digit = str(code)[:1]
    ok = not (
        (digit == "1" and status not in {401, 403})
        or (digit == "2" and status != 400)
        or (status == 401 and digit != "1")
    )
    return holds(call, ok, "codes 1xxxx with 401 or 403, codes 2xxxx with 400", f"code {code} with {status}")


@on_error
def status_is_documented(call: Call) -> Finding:
    """One of the statuses that the documents use."""
    required = f"a status among {', '.join(map(str, sorted(STATUSES)))}"
    return holds(call, call.exchange.status in STATUSES, required, str(call.exchange.status))


def refusal(status: int, code: int) -> Rule:
    """This status with this code. A refusal with the right code in an odd envelope fails elsewhere, not here."""
    required = f"{status} with code {code}"

    def rule(call: Call) -> Finding:
        seen = _code(call.exchange.json)
        ok = call.exchange.status == status and seen == code
        return holds(call, ok, required, f"code {seen!r} with {outcome_of(call)}")

    return rule


def _code(body: Any) -> Any:
    """The code, in its place or at the top of the body; digits as text count as the number here."""
    code = member(body, "error", "code")
    if code is None:
        code = member(body, "code")
    return int(code) if isinstance(code, str) and code.isascii() and code.isdigit() else code


def refused_as(status: int, digit: int) -> Rule:
    """This status with a code of this category."""
    required = f"{status} with a code {digit}xxxx"

    def rule(call: Call) -> Finding:
        code = _code(call.exchange.json)
        ok = call.exchange.status == status and is_int(code) and code // 10_000 == digit
        return holds(call, ok, required, f"code {code!r} with {outcome_of(call)}")

    return rule


def in_envelope(status: int) -> Rule:
    """This status, in the envelope of the task gateway, whatever the code."""
    required = f"{status} in the envelope {{error: {{code, message}}}}"

    def rule(call: Call) -> Finding:
        error = _error(call)
        ok = call.exchange.status == status and isinstance(error, dict) and {"code", "message"} <= set(error)
        return holds(call, ok, required, f"{outcome_of(call)}")

    return rule


def refused_between(status: int, codes: range) -> Rule:
    """This status with a code of a documented range."""
    required = f"{status} with a code from {codes[0]} to {codes[-1]}"

    def rule(call: Call) -> Finding:
        code = _code(call.exchange.json)
        return holds(
            call,
            call.exchange.status == status and code in codes,
            required,
            f"code {code!r} with {outcome_of(call)}",
        )

    return rule


def is_json_error(call: Call) -> Finding:
    """A refusal whose body is a JSON object, whatever its members."""
    response = call.exchange.response
    if response is None or response.status < 400:
        return broken(call, "a refusal in JSON", outcome_of(call))
    ok = isinstance(response.json, dict) and response.content_type == "application/json"
    return holds(
        call,
        ok,
        "a refusal in JSON",
        f"{response.status} with {response.content_type or 'no Content-Type'}: {_body(call)}",
    )


def unexpected_errors(calls: Iterable[Call]) -> list[Finding]:
    """Every 500 carries 60099; without any 500 there is nothing to judge."""
    rule = refusal(500, 60099)
    findings = [rule(call) for call in calls if call.exchange.status == 500]
    missing = "an unexpected failure of the server"
    return findings or [
        Finding(Outcome.NOT_VERIFIED, observed="no call was answered with 500", missing=missing)
    ]
