"""Generated traffic on messages: requests from the OpenAPI description, and ones that break it."""

from weighbridge.checks import generated
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("FUZZ-MSG-01", surface="messages", generated=True)
def test_valid_requests_never_crash_the_target(judge: Judge, message_generated: Observation) -> None:
    """A valid combination that nobody tried by hand is where servers crash."""
    judge.each(message_generated.where("generated"), generated.no_server_error)


@requirement("FUZZ-MSG-02", surface="messages", generated=True)
def test_every_answer_is_documented(judge: Judge, message_generated: Observation) -> None:
    """Clients generated from the description fail on the first answer outside it."""
    judge.settle(*generated.as_documented(message_generated))


@requirement("FUZZ-MSG-03", surface="messages", generated=True)
def test_invalid_requests_never_crash_the_target(judge: Judge, message_generated: Observation) -> None:
    """What a caller got wrong is the caller's to mend, and a 5xx says the opposite."""
    judge.settle(*generated.invalid_never_crash(message_generated))
