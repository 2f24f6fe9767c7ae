"""From each requirement to the checks that judged it in a real run, and back."""

from __future__ import annotations

import pytest

from tests.core.running import EmbeddedRun
from weighbridge.catalogue import load
from weighbridge.editions import executed, executed_path
from weighbridge.suite import load_checks
from weighbridge.verdict import Level, Outcome

pytestmark = pytest.mark.xdist_group("embedded-run")

#: Least share of MUST rows, over all profiles, that some check judges: of those that can be observed when the
#: target declares every capability, and of all.
OBSERVABLE_MUST = 1.0
ALL_MUST = 0.95

#: Checks that the reference gateway gives no occasion for, with what they would need.
NO_OCCASION = {
    "tasks/test_errors::test_unexpected_error_is_60099": "a failure of the gateway itself",
    "tasks/test_polling::test_poll_answered_with_5xx_does_no_harm": "a poll that fails",
    **dict.fromkeys(
        (
            "billing/test_chat_real_money::test_real_charge_is_the_price_of_the_reported_usage",
            "billing/test_chat_real_money::test_real_prompt_above_the_boundary_is_long",
            "billing/test_chat_real_money::test_real_prompt_below_the_boundary_is_standard",
            "billing/test_chat_real_money::test_real_long_prompt_of_claude_is_standard",
            "billing/test_chat_real_money::test_real_sonnet_charge_is_the_price",
            "billing/test_chat_real_money::test_real_streamed_charge_is_the_price",
            "messages/test_message_real_money::test_real_charge_is_the_price_of_the_counters",
            "messages/test_message_real_money::test_real_read_tokens_pay_the_read_rate_only",
            "messages/test_message_real_money::test_real_written_tokens_pay_the_write_rate",
        ),
        "the simulator scripts the usage",
    ),
}

Pair = tuple[str, str]


def judged(run: EmbeddedRun) -> set[Pair]:
    """Row and surface, wherever a check reached a verdict."""
    return {
        (row["id"], check["surface"])
        for row in run.report["requirements"]
        for check in row["checks"]
        if check["outcome"] not in {Outcome.NOT_VERIFIED, Outcome.HARNESS_ERROR}
    }


def must_rows() -> set[Pair]:
    """Every profile with each row that is a MUST there."""
    return {
        (profile.id, row)
        for profile in load().profiles.values()
        for row, level in profile.levels.items()
        if level is Level.MUST
    }


def unjudged(run: EmbeddedRun, pairs: set[Pair]) -> set[Pair]:
    """The pairs of profile and row that no check of the profile's surface judged."""
    found = judged(run)
    return {(name, row) for name, row in pairs if (row, load().profiles[name].surface) not in found}


def test_the_checks_that_reached_a_verdict_are_those_on_the_list(embedded_run: EmbeddedRun) -> None:
    """A check that silently stops running is lost; a new one is added by python -m weighbridge.editions."""
    listed = set(executed_path().read_text(encoding="utf-8").split())
    ran = set(executed(embedded_run.report))
    assert listed - ran == set(), "these checks no longer reach a verdict on the reference gateway"
    assert ran - listed == set(), "write the list anew: python -m weighbridge.editions --executed REPORT"


def test_every_check_of_the_suites_ran_or_says_what_it_lacks(embedded_run: EmbeddedRun) -> None:
    idle = {check.id for check in load_checks()} - set(executed(embedded_run.report))
    assert idle == set(NO_OCCASION)


def test_every_must_that_can_be_observed_is_judged(embedded_run: EmbeddedRun) -> None:
    catalogue = load()
    observable = {(name, row) for name, row in must_rows() if not catalogue.requirements[row].not_checked}
    left = unjudged(embedded_run, observable)
    share = 1 - len(left) / len(observable)
    print(f"judged {share:.1%} of {len(observable)} observable MUST rows over all profiles")  # noqa: T201 - the measured share is what a reader looks for
    assert share >= OBSERVABLE_MUST, sorted(left)


def test_nearly_every_must_is_judged(embedded_run: EmbeddedRun) -> None:
    every = must_rows()
    left = unjudged(embedded_run, every)
    share = 1 - len(left) / len(every)
    print(f"judged {share:.1%} of all {len(every)} MUST rows over all profiles")  # noqa: T201 - the measured share is what a reader looks for
    assert share >= ALL_MUST, sorted(left)


def test_every_row_without_a_check_says_why() -> None:
    catalogue = load()
    checked = {(row, check.binding.surface) for check in load_checks() for row in check.binding.ids}
    silent = {
        row
        for profile in catalogue.profiles.values()
        for row in profile.levels
        if (row, profile.surface) not in checked and not catalogue.requirements[row].not_checked
    }
    assert silent == set()


def test_no_row_has_both_a_check_and_a_reason_for_having_none() -> None:
    checked = {row for check in load_checks() for row in check.binding.ids}
    assert not [row.id for row in load().requirements.values() if row.not_checked and row.id in checked]


def test_every_check_is_bound_to_rows_of_its_surface() -> None:
    """A check of a row that no profile has on that surface would never run."""
    held = {(row, profile.surface) for profile in load().profiles.values() for row in profile.levels}
    lost = [
        (check.id, row)
        for check in load_checks()
        for row in check.binding.ids
        if (row, check.binding.surface) not in held
    ]
    assert lost == []
