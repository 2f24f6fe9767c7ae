"""Keys of the task gateway: every request needs one, and each mistake has its own code."""

from weighbridge.checks import errors, tasks_errors
from weighbridge.checks.findings import met, over
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement

READS = (":poll", ":balance:read")
EVERYWHERE = ("", *READS)


def _all(situation: str) -> tuple[str, ...]:
    return tuple(f"{situation}{suffix}" for suffix in EVERYWHERE)


@requirement("AUTH-13", surface="tasks")
def test_every_request_needs_a_key(judge: Judge, task_bad_keys: Observation) -> None:
    """Results and balances would be open to anyone who guesses an id."""
    judge.settle(*over(task_bad_keys, _all("no-key"), tasks_errors.refused_as(401, 1)))


@requirement("AUTH-06", surface="tasks")
def test_chat_key_is_refused(judge: Judge, task_bad_keys: Observation) -> None:
    """Who mixes up two keys must get a clear refusal and must not spend from the wrong balance."""
    judge.settle(*over(task_bad_keys, _all("other-workspace-key"), tasks_errors.refused_as(401, 1)))


@requirement("AUTH-14", surface="tasks")
def test_keys_have_the_documented_prefix(judge: Judge, task_bad_keys: Observation) -> None:
    """Secret scanners recognise a leaked key by its prefix; reported, never required."""
    note = next(
        (note for note in task_bad_keys.notes if note.startswith("key-prefix: ")), "key-prefix: not seen"
    )
    judge.each(
        task_bad_keys.calls[:1], lambda call: met(call, "keys start with rk_live_", note.partition(": ")[2])
    )


@requirement("TERR-09", surface="tasks")
def test_no_key_is_10001(judge: Judge, task_bad_keys: Observation) -> None:
    """The developer sees that the header is missing, and not that the key is wrong."""
    judge.settle(*over(task_bad_keys, _all("no-key"), tasks_errors.refusal(401, 10001)))


@requirement("TERR-10", surface="tasks")
def test_malformed_key_is_10002(judge: Judge, task_bad_keys: Observation) -> None:
    """The developer sees that the form is wrong, and not the key."""
    judge.settle(*over(task_bad_keys, _all("malformed-key"), tasks_errors.refusal(401, 10002)))


@requirement("TERR-11", surface="tasks")
def test_unknown_key_is_10003(judge: Judge, task_bad_keys: Observation) -> None:
    """The developer sees that the key itself is wrong."""
    judge.settle(*over(task_bad_keys, _all("unknown-key"), tasks_errors.refusal(401, 10003)))


@requirement("TERR-12", surface="tasks")
def test_revoked_key_is_10004(judge: Judge, task_bad_keys: Observation) -> None:
    """Operations see that a key was withdrawn and fetch the new one."""
    judge.settle(*over(task_bad_keys, _all("revoked-key"), tasks_errors.refusal(401, 10004)))


@requirement("BAL-03", surface="tasks")
def test_balance_needs_a_valid_key(judge: Judge, task_bad_keys: Observation) -> None:
    """A balance is private, and the code tells a client what is wrong with its key."""
    names = ("no-key:balance:read", "malformed-key:balance:read", "unknown-key:balance:read")
    judge.settle(*over(task_bad_keys, names, tasks_errors.refused_between(401, range(10001, 10006))))


@requirement("PRAC-06", surface="tasks")
def test_refusal_does_not_repeat_the_key(judge: Judge, task_bad_keys: Observation) -> None:
    """Error bodies end up in logs and tickets."""
    names = (*_all("unknown-key"), *_all("malformed-key"))
    judge.settle(*over(task_bad_keys, names, errors.keeps_key_out_of_body))
