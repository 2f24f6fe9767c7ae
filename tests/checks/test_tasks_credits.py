"""Rules about credits: late, missing, double and partial debits and refunds are told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.checks.tasks_evidence import balance, call, credited, document, poll, provider, reading, refusal
from weighbridge.checks import credit_changes, tasks_balance, tasks_credits, tasks_refunds
from weighbridge.checks.credit_changes import Change
from weighbridge.evidence import Observation, RunFacts
from weighbridge.verdict import Finding, Outcome

CreditRule = Callable[[Observation, str, str | None], Finding]
DONE = {"before": 1000, "submitted": 960, "seen": 960, "final": 960}
BACK = {"before": 1000, "submitted": 960, "seen": 1000, "final": 1000}
STILL = dict.fromkeys(DONE, 1000)


@pytest.mark.parametrize(
    ("rule", "moments", "outcome"),
    [
        (tasks_credits.debited, DONE, Outcome.MET),
        (tasks_credits.debited, DONE | {"submitted": 1000}, Outcome.MET),
        (tasks_credits.debited, dict.fromkeys(DONE, 1000), Outcome.BROKEN),
        (tasks_credits.debited_at_once, DONE, Outcome.MET),
        (tasks_credits.debited_at_once, DONE | {"submitted": 1000}, Outcome.BROKEN),
        (tasks_credits.polls_are_free, DONE, Outcome.MET),
        (tasks_credits.polls_are_free, DONE | {"final": 957}, Outcome.BROKEN),
        (tasks_credits.not_refunded, DONE, Outcome.MET),
        (tasks_credits.not_refunded, DONE | {"final": 1000}, Outcome.BROKEN),
        (tasks_credits.not_refunded, DONE | {"final": 980}, Outcome.BROKEN),
        (tasks_refunds.given_back, BACK, Outcome.MET),
        (tasks_refunds.given_back, BACK | {"submitted": 1000}, Outcome.NOT_VERIFIED),
        (tasks_refunds.given_back, BACK | {"final": 960}, Outcome.BROKEN),
        (tasks_refunds.refunded_when_seen, BACK, Outcome.MET),
        (tasks_refunds.refunded_when_seen, BACK | {"seen": 960}, Outcome.BROKEN),
        (tasks_refunds.refunded_once, BACK, Outcome.MET),
        (tasks_refunds.refunded_once, BACK | {"final": 960}, Outcome.MET),
        (tasks_refunds.refunded_once, BACK | {"final": 1040}, Outcome.BROKEN),
        (tasks_refunds.restored, BACK, Outcome.MET),
        (tasks_refunds.restored, BACK | {"final": 1040}, Outcome.BROKEN),
        (tasks_refunds.restored, BACK | {"final": 980}, Outcome.BROKEN),
        (tasks_refunds.given_back, STILL, Outcome.NOT_VERIFIED),
        (tasks_refunds.refunded_when_seen, STILL, Outcome.NOT_VERIFIED),
        (tasks_refunds.refunded_once, STILL, Outcome.NOT_VERIFIED),
        (tasks_refunds.restored, STILL, Outcome.NOT_VERIFIED),
        (tasks_refunds.refunded_once, STILL | {"final": 1040}, Outcome.BROKEN),
        (tasks_refunds.failure_is_free, STILL, Outcome.NOT_VERIFIED),
        (tasks_refunds.failure_is_free, BACK, Outcome.MET),
        (tasks_refunds.failure_is_free, BACK | {"final": 980}, Outcome.BROKEN),
    ],
)
def test_rule_about_credits(rule: CreditRule, moments: dict[str, int], outcome: Outcome) -> None:
    assert rule(credited(**moments), "completed", "image").outcome is outcome


@pytest.mark.parametrize(
    "rule",
    [
        tasks_credits.debited,
        tasks_refunds.restored,
        tasks_refunds.refunded_when_seen,
        tasks_refunds.given_back,
    ],
)
def test_nothing_is_concluded_without_a_balance(rule: CreditRule) -> None:
    finding = rule(Observation("p", (call(document()),)), "completed", "image")
    assert finding.outcome is Outcome.NOT_VERIFIED
    assert finding.missing == "balance"


def test_balance_that_could_not_be_read_is_no_verdict_but_within_scope() -> None:
    broken = replace(refusal(500, 60099), situation="completed:balance:final")
    seen = Observation("p", (balance(1000, "before"), broken))
    finding = tasks_refunds.restored(seen, "completed", "image")
    assert finding.outcome is Outcome.NOT_VERIFIED
    assert finding.inside_scope


def test_readings_of_the_hook_and_of_the_api_are_never_mixed() -> None:
    readings = (reading("completed/image", "before", 5000), reading("completed/image", "final", 4960))
    seen = replace(credited(before=1000, submitted=960, final=960), readings=readings)
    assert credit_changes.change(seen, "completed", "image", "before", "final") == Change(40, ())
    at_once = credit_changes.change(seen, "completed", "image", "before", "submitted")
    assert isinstance(at_once, Change)
    assert at_once.taken == 40


def test_refund_at_first_sight_is_read_through_the_api_alone() -> None:
    readings = tuple(reading("completed/image", moment, 1000) for moment in ("before", "seen"))
    seen = replace(credited(before=1000, seen=960), readings=readings)
    assert tasks_refunds.refunded_when_seen(seen, "completed", "image").outcome is Outcome.BROKEN


def test_price_is_compared_where_it_is_declared() -> None:
    seen = credited(**DONE)
    assert tasks_credits.costs(seen, "completed", "image", 40).outcome is Outcome.MET
    assert tasks_credits.costs(seen, "completed", "image", 41).outcome is Outcome.BROKEN
    assert tasks_credits.costs(seen, "completed", "image", None).missing == "rates"


def test_price_is_the_declared_one_or_what_a_plain_task_cost() -> None:
    declared = RunFacts(models={"image": "m"}, task_prices={"m": 55})
    assert credit_changes.price_of(declared, credited(**DONE), "image") == 55
    assert credit_changes.price_of(RunFacts(), credited(**DONE), "image") == 40
    assert credit_changes.price_of(RunFacts(), Observation("p"), "image") is None


@pytest.mark.parametrize(
    ("final", "outcome"), [(920, Outcome.MET), (960, Outcome.BROKEN), (880, Outcome.BROKEN)]
)
def test_each_accepted_submission_is_charged_and_no_refused_one(final: int, outcome: Outcome) -> None:
    calls = (*(call(document(), situation="same-key") for _ in range(2)), refusal(429, 50001, "same-key"))
    reads = (balance(1000, "before", situation="same-key"), balance(final, "final", situation="same-key"))
    seen = Observation("p", (*calls, *reads))
    assert tasks_credits.charged_for_each(seen, "same-key", 40).outcome is outcome
    assert tasks_credits.charged_for_each(seen, "same-key", None).missing == "rates"


def _race(final: int, served: int) -> Observation:
    polls = tuple(poll("failed", at=1.0, situation="race") for _ in range(served))
    refused = tuple(refusal(429, 50001, "race:poll") for _ in range(50 - served))
    return Observation("p", (*credited("race", before=1000, final=final).calls, *polls, *refused))


def test_double_refund_in_a_race_is_caught() -> None:
    plain = credited(**DONE)
    assert tasks_refunds.race_refunded_once(_race(1000, 50), "image", plain).outcome is Outcome.MET
    assert tasks_refunds.race_refunded_once(_race(1040, 50), "image", plain).outcome is Outcome.BROKEN


@pytest.mark.parametrize("others", [(), (credited(**STILL),), (Observation("p"),)])
def test_race_proves_nothing_where_no_task_was_ever_charged(others: tuple[Observation, ...]) -> None:
    finding = tasks_refunds.race_refunded_once(_race(1000, 50), "image", *others)
    assert finding.outcome is Outcome.NOT_VERIFIED
    assert "no debit was seen" in finding.observed


def test_debit_of_another_task_of_the_role_shows_that_there_was_one_to_refund() -> None:
    fast, other = credited("fast", **STILL), credited("failed", **BACK)
    both = Observation("p", (*fast.calls, *other.calls))
    assert tasks_refunds.restored(both, "fast", "image").outcome is Outcome.MET
    foreign = Observation("p", (*fast.calls, *(replace(c, role="video") for c in other.calls)))
    assert tasks_refunds.restored(foreign, "fast", "image").outcome is Outcome.NOT_VERIFIED


def test_failed_submission_that_was_refused_needs_no_debit_to_be_free() -> None:
    for final, outcome in ((1000, Outcome.MET), (960, Outcome.BROKEN)):
        reads = (
            balance(1000, "before", situation="moderated"),
            balance(final, "final", situation="moderated"),
        )
        seen = Observation("p", (refusal(400, 80006, "moderated"), *reads))
        assert tasks_refunds.failure_is_free(seen, "moderated", "image").outcome is outcome


def test_few_served_polls_are_no_race() -> None:
    assert tasks_refunds.race_refunded_once(_race(1000, 3), "image").outcome is Outcome.NOT_VERIFIED


@pytest.mark.parametrize(
    ("good", "outcome"), [(3, Outcome.MET), (4, Outcome.BROKEN), (2, Outcome.BROKEN), (8, Outcome.BROKEN)]
)
def test_overdraft_is_caught(good: int, outcome: Outcome) -> None:
    calls = tuple(
        call(document(), situation="overdraft") if number < good else refusal(402, 30001, "overdraft")
        for number in range(8)
    )
    assert tasks_credits.affordable_only(Observation("p", calls, notes=("affordable: 3",))).outcome is outcome


def test_overdraft_is_not_judged_where_the_rate_limit_came_first() -> None:
    calls = (call(document(), situation="overdraft"), refusal(429, 50001, "overdraft"))
    seen = Observation("p", calls, notes=("affordable: 1",))
    assert tasks_credits.affordable_only(seen).outcome is Outcome.NOT_VERIFIED


def test_negative_balance_is_caught() -> None:
    for amount, outcome in ((0, Outcome.MET), (-1, Outcome.BROKEN)):
        seen = Observation("p", (balance(amount, "final", situation="overdraft"),))
        assert tasks_credits.never_negative(seen, "overdraft").outcome is outcome


def test_balance_is_one_whole_number() -> None:
    assert tasks_balance.whole_credits(balance(7, "before")).outcome is Outcome.MET
    for odd in (7.5, "7", None, True):
        assert tasks_balance.whole_credits(balance(odd, "before")).outcome is Outcome.BROKEN
    assert tasks_balance.whole_number(balance(7.5, "before")).outcome is Outcome.BROKEN
    assert tasks_balance.whole_number(refusal(429, 50001)).outcome is Outcome.NOT_APPLICABLE


def test_second_key_must_show_the_same_balance() -> None:
    first = balance(500, "final", situation="balance", role=None)
    for amount, outcome in ((500, Outcome.MET), (0, Outcome.BROKEN)):
        second = balance(amount, "second-key", situation="balance", role=None)
        assert tasks_balance.same_through_second_key(Observation("p", (first, second))).outcome is outcome
    lacking = Observation("p", (first,), missing=(("balance:second-key", "second_key"),))
    assert tasks_balance.same_through_second_key(lacking).missing == "second_key"


def _workspaces(chat: tuple[int, int, int], tasks: tuple[int, int, int]) -> Observation:
    moments = ("before", "between", "final")
    readings = [reading("workspaces/chat", m, amount) for m, amount in zip(moments, chat, strict=True)]
    readings += [reading("workspaces/tasks", m, amount) for m, amount in zip(moments, tasks, strict=True)]
    return Observation("p", (call(document(), situation="workspaces"),), tuple(readings))


@pytest.mark.parametrize(
    ("chat", "tasks", "outcomes"),
    [
        ((100, 90, 90), (50, 50, 40), [Outcome.MET, Outcome.MET]),
        ((100, 90, 90), (50, 49, 40), [Outcome.BROKEN, Outcome.MET]),
        ((100, 90, 80), (50, 50, 40), [Outcome.MET, Outcome.BROKEN]),
        ((100, 100, 100), (50, 50, 40), [Outcome.NOT_VERIFIED, Outcome.MET]),
    ],
)
def test_workspaces_must_not_share_a_balance(
    chat: tuple[int, int, int], tasks: tuple[int, int, int], outcomes: list[Outcome]
) -> None:
    found = tasks_balance.workspaces_apart(_workspaces(chat, tasks))
    assert [finding.outcome for finding in found] == outcomes


def test_refusal_whose_debit_stays_is_caught() -> None:
    for final, outcome in ((1000, Outcome.MET), (960, Outcome.BROKEN)):
        seen = Observation("p", (balance(1000, "before"), balance(final, "final")))
        assert tasks_credits.takes_nothing(seen, "completed", "image", what="a refusal").outcome is outcome


def test_why_nothing_was_accepted_is_said() -> None:
    refused = Observation("p", (refusal(402, 30001, "completed", upstream=[provider("submit")]),))
    assert credit_changes.roles(refused, "completed") == ()
    assert "402" in credit_changes.nothing_accepted(refused, "completed").observed
    absent = Observation("p", missing=(("completed", "models.image"),))
    assert credit_changes.nothing_accepted(absent, "completed").missing == "models.image"
