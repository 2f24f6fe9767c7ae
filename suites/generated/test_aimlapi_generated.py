"""Generated traffic on AI/ML API: requests from the OpenAPI description, and ones that break it."""

from weighbridge.checks import generated
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("FUZZ-AIML-01", surface="aimlapi", generated=True)
def test_valid_requests_never_crash_the_target(judge: Judge, aimlapi_generated: Observation) -> None:
    """A valid combination that nobody tried by hand is where servers crash."""
    judge.each(aimlapi_generated.where("generated"), generated.no_server_error)


@requirement("FUZZ-AIML-02", surface="aimlapi", generated=True)
def test_every_answer_is_documented(judge: Judge, aimlapi_generated: Observation) -> None:
    """Clients generated from the description fail on the first answer outside it."""
    judge.settle(*generated.as_documented(aimlapi_generated))


@requirement("FUZZ-AIML-03", surface="aimlapi", generated=True)
def test_invalid_requests_never_crash_the_target(judge: Judge, aimlapi_generated: Observation) -> None:
    """What a caller got wrong is the caller's to mend, and a 5xx says the opposite."""
    judge.settle(*generated.invalid_never_crash(aimlapi_generated))
