"""Generated chat traffic: requests from the OpenAPI description, and sequences of money."""

from weighbridge.checks import books, generated
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement


@requirement("FUZZ-CHAT-01", surface="chat", generated=True)
def test_valid_requests_never_crash_the_target(judge: Judge, chat_generated: Observation) -> None:
    """A valid combination that nobody tried by hand is where servers crash."""
    judge.each(chat_generated.where("generated"), generated.no_server_error)


@requirement("FUZZ-CHAT-02", surface="chat", generated=True)
def test_every_answer_is_documented(judge: Judge, chat_generated: Observation) -> None:
    """Clients generated from the description fail on the first answer outside it."""
    judge.settle(*generated.as_documented(chat_generated))


@requirement("FUZZ-CHAT-03", surface="chat", generated=True)
def test_books_agree_after_every_step(judge: Judge, chat_books: Observation) -> None:
    """Money is lost in sequences that no single test walks through."""
    judge.settle(*books.books_agree(chat_books, judge.facts))


@requirement("FUZZ-CHAT-04", surface="chat", generated=True)
def test_invalid_requests_never_crash_the_target(judge: Judge, chat_generated: Observation) -> None:
    """What a caller got wrong is the caller's to mend, and a 5xx says the opposite."""
    judge.settle(*generated.invalid_never_crash(chat_generated))
