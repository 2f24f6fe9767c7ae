"""AI/ML API: which status a refusal has, its flat envelope, and that a failure costs nothing."""

from weighbridge.checks import aimlapi_errors, cut_streams, errors, failure_billing, tasks_limits
from weighbridge.checks.findings import over
from weighbridge.evidence import Observation
from weighbridge.probes.leaving import NOTHING_YET, STAGES
from weighbridge.probes.message_upstream import OTHER_STAGES
from weighbridge.suite import Judge, requirement

#: Bodies that no reading of the schema allows.
SHAPES = (
    "messages-text",
    "unknown-role",
    "max-tokens-text",
    "stop-sequences-text",
    "stream-text",
    "tools-text",
    "malformed-json",
)
REFUSED = ("no-model", "no-messages", *SHAPES, "unknown-route")
KEYS = ("no-key", "unknown-key")
FAILED = (
    "upstream-500",
    "upstream-500-streamed",
    "upstream-401",
    "upstream-reset",
    "upstream-garbled",
)


# ------------------------------------------------------------------ the envelope
@requirement("AIML-ERR-01", surface="aimlapi")
def test_errors_have_the_flat_envelope(
    judge: Judge, aimlapi_bad_requests: Observation, aimlapi_bad_keys: Observation
) -> None:
    """Clients of this vendor find nothing in a nested envelope."""
    judge.settle(
        *over(aimlapi_bad_requests, REFUSED, aimlapi_errors.has_flat_envelope),
        *over(aimlapi_bad_keys, KEYS, aimlapi_errors.has_flat_envelope),
    )


@requirement("AIML-ERR-01", surface="aimlapi", widens=True)
def test_empty_account_has_the_flat_envelope(judge: Judge, aimlapi_broke: Observation) -> None:
    """The refusal that customers meet most."""
    judge.settle(*over(aimlapi_broke, ("broke",), aimlapi_errors.has_flat_envelope))


@requirement("AIML-ERR-01", surface="aimlapi", widens=True)
def test_provider_failure_has_the_flat_envelope(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """A provider's envelope must not shine through."""
    judge.settle(*over(aimlapi_upstream_failures, FAILED, aimlapi_errors.has_flat_envelope))


@requirement("AIML-ERR-01", surface="aimlapi", widens=True)
def test_limited_call_has_the_flat_envelope(judge: Judge, aimlapi_limit: Observation) -> None:
    """A limiter often answers from another part of the gateway."""
    refused = tasks_limits.refusals(aimlapi_limit)
    judge.settle(
        *(aimlapi_errors.has_flat_envelope(call) for call in refused),
        *([] if refused else [tasks_limits.nothing_refused(aimlapi_limit, "burst")]),
    )


@requirement("AIML-ERR-02", surface="aimlapi")
def test_status_code_repeats_the_status(
    judge: Judge, aimlapi_bad_requests: Observation, aimlapi_bad_keys: Observation
) -> None:
    """Logs keep the body and lose the status line."""
    judge.settle(
        *over(aimlapi_bad_requests, REFUSED, aimlapi_errors.repeats_status),
        *over(aimlapi_bad_keys, KEYS, aimlapi_errors.repeats_status),
    )


@requirement("AIML-ERR-03", surface="aimlapi")
def test_errors_tell_when_and_where(
    judge: Judge, aimlapi_bad_requests: Observation, aimlapi_bad_keys: Observation
) -> None:
    """Support looks up the failing call by these two."""
    judge.settle(
        *over(aimlapi_bad_requests, REFUSED, aimlapi_errors.tells_when_and_where),
        *over(aimlapi_bad_keys, KEYS, aimlapi_errors.tells_when_and_where),
    )


# ------------------------------------------------------------------ keys and money
@requirement("AIML-ERR-04", surface="aimlapi")
def test_missing_and_invalid_key_are_401(judge: Judge, aimlapi_bad_keys: Observation) -> None:
    """SDKs raise their authentication error on 401."""
    judge.settle(*over(aimlapi_bad_keys, KEYS, errors.status(401)))


@requirement("AIML-ERR-10", surface="aimlapi")
def test_key_that_is_not_enabled_is_401(judge: Judge, aimlapi_bad_keys: Observation) -> None:
    """Switching a key off has to stop its use at once."""
    judge.settle(*over(aimlapi_bad_keys, ("disabled-key",), errors.status(401)))


@requirement("PRAC-06", surface="aimlapi")
def test_refusal_does_not_repeat_the_key(judge: Judge, aimlapi_bad_keys: Observation) -> None:
    """Error bodies end up in logs and tickets."""
    judge.settle(*over(aimlapi_bad_keys, ("unknown-key",), errors.keeps_key_out_of_body))


@requirement("AIML-ERR-05", surface="aimlapi")
def test_empty_account_is_403(judge: Judge, aimlapi_broke: Observation) -> None:
    """Clients of this vendor show "top up" on 403."""
    judge.settle(*over(aimlapi_broke, ("broke",), errors.status(403)))


@requirement("AIML-BIL-01", surface="aimlapi")
def test_refused_call_costs_nothing(judge: Judge, aimlapi_bad_requests: Observation) -> None:
    """A typing error must not cost money."""
    names = (*REFUSED, "unknown-model", "thinking-1023", "thinking-no-budget")
    judge.settle(
        failure_billing.refusals_cost_nothing(aimlapi_bad_requests, judge.facts, "bad-requests", names)
    )


@requirement("AIML-BIL-01", surface="aimlapi", widens=True)
def test_failed_call_costs_nothing(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """Clients retry failures on the strength of this promise, broken streams included."""
    names = (*FAILED, "upstream-429", "broken-stream", "cut-stream", "early-end", "error-event")
    seen, facts = aimlapi_upstream_failures, judge.facts
    found = [failure_billing.charged_nothing_if_failed(seen, facts, name) for name in names]
    judge.settle(*(finding for findings in found for finding in findings))


@requirement("AIML-BIL-01", surface="aimlapi", widens=True)
def test_a_stream_cut_early_or_late_costs_what_its_ending_allows(
    judge: Judge, aimlapi_upstream_failures: Observation
) -> None:
    """Behind the finish all counters are known; a stream that is told as failed is free all the same."""
    seen = aimlapi_upstream_failures
    judge.settle(*cut_streams.charged_as_it_ended(seen, judge.facts, *OTHER_STAGES, at_most=True))


@requirement("AIML-BIL-01", surface="aimlapi", widens=True)
def test_leaving_costs_at_most_once(judge: Judge, aimlapi_pacing: Observation) -> None:
    """Hanging up is no reason to pay more than for staying, at whatever stage of the stream."""
    names = [name for name in STAGES if name not in NOTHING_YET]
    judge.settle(*cut_streams.charged_as_it_ended(aimlapi_pacing, judge.facts, *names, at_most=True))


@requirement("AIML-BIL-01", surface="aimlapi", widens=True)
def test_leaving_before_the_first_chunk_holds_nothing_back(judge: Judge, aimlapi_pacing: Observation) -> None:
    """What was reserved for a call that nobody waits for any more is the caller's again."""
    judge.settle(*cut_streams.charged_as_it_ended(aimlapi_pacing, judge.facts, *NOTHING_YET, at_most=True))


# ------------------------------------------------------------------ requests
@requirement("AIML-REQ-02", surface="aimlapi")
def test_missing_and_unknown_model_are_400(judge: Judge, aimlapi_bad_requests: Observation) -> None:
    """A silent default would bill for a model that nobody chose."""
    judge.settle(*over(aimlapi_bad_requests, ("no-model", "unknown-model"), errors.status(400)))


@requirement("AIML-REQ-03", surface="aimlapi")
def test_missing_messages_is_400(judge: Judge, aimlapi_bad_requests: Observation) -> None:
    """A client bug that drops the conversation must surface."""
    judge.settle(*over(aimlapi_bad_requests, ("no-messages",), errors.status(400)))


@requirement("AIML-REQ-19", surface="aimlapi")
def test_small_thinking_budget_is_400(judge: Judge, aimlapi_bad_requests: Observation) -> None:
    """A budget raised in silence costs more than the caller allowed."""
    names = ("thinking-1023", "thinking-no-budget")
    judge.settle(*over(aimlapi_bad_requests, names, errors.status(400)))


@requirement("AIML-ERR-06", surface="aimlapi")
def test_malformed_body_is_400(judge: Judge, aimlapi_bad_requests: Observation) -> None:
    """400 tells the client that repeating is useless."""
    judge.settle(*over(aimlapi_bad_requests, SHAPES, errors.status(400)))


@requirement("AIML-ERR-07", surface="aimlapi")
def test_unknown_route_is_404(judge: Judge, aimlapi_bad_requests: Observation) -> None:
    """A wrong base URL shows at once as such."""
    judge.settle(*over(aimlapi_bad_requests, ("unknown-route",), errors.status(404)))


@requirement("AIML-ERR-08", surface="aimlapi")
def test_burst_meets_429(judge: Judge, aimlapi_limit: Observation) -> None:
    """Clients slow down on 429; with any other status they keep pushing."""
    judge.settle(tasks_limits.some_refused(aimlapi_limit, "burst"))


# ------------------------------------------------------------------ the provider fails
@requirement("AIML-ERR-09", surface="aimlapi")
def test_server_trouble_is_a_documented_5xx(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """Clients retry these statuses and no others."""
    judge.settle(*over(aimlapi_upstream_failures, FAILED, aimlapi_errors.server_error))


@requirement("PRAC-09", surface="aimlapi")
def test_early_failure_uses_the_status(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """A failed stream that never began is an HTTP error."""
    judge.settle(*over(aimlapi_upstream_failures, ("upstream-500-streamed",), errors.no_success))


@requirement("PRAC-09", surface="aimlapi", widens=True)
def test_a_wire_that_breaks_early_uses_the_status(
    judge: Judge, aimlapi_upstream_failures: Observation
) -> None:
    """The same where the provider's connection broke, or brought its headers and nothing more."""
    names = ("upstream-reset-streamed", "cut-after-headers")
    judge.settle(*cut_streams.over_stages(aimlapi_upstream_failures, names, errors.no_success))


@requirement("PRAC-10", surface="aimlapi")
def test_upstream_failure_is_no_success(judge: Judge, aimlapi_upstream_failures: Observation) -> None:
    """Whatever the mapping, it is not a 2xx."""
    judge.settle(*over(aimlapi_upstream_failures, (*FAILED, "upstream-429"), errors.no_success))
