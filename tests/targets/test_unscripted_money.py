"""Money without upstream control, on every surface: replies and balances alone, right gateways and wrong ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from defects import DEFECTS
from mock_upstreams import Simulator, SimulatorConfig
from weighbridge.catalogue import load as load_catalogue
from weighbridge.coverage import coverage
from weighbridge.embed import EMBEDDED_SHAPE, gateway_on
from weighbridge.engine import Settings, gather, prepare
from weighbridge.lab import Lab
from weighbridge.plan import Selection, make_plan
from weighbridge.probes.real_prompts import SPEND_GUARD, unscripted_roles, visible_prompt
from weighbridge.suite import judge_directly, load_checks
from weighbridge.target import Balance, Hook
from weighbridge.verdict import Finding, Outcome

PROBES = {
    "chat": ("chat_real_money",),
    "messages": ("message_real_money",),
    "tasks": ("task_lifecycles", "task_counted_prices"),
    "aimlapi": ("aimlapi_bad_requests",),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A gateway that is wrong on purpose complains about itself."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def judged(surface: str, defect: str | None = None, *, max_spend: float | None = 100.0) -> dict[str, Finding]:
    """Findings about a gateway whose provider is a stranger's: the simulator answers, and nobody scripts or asks it."""
    probes = PROBES[surface]

    async def run() -> dict[str, Finding]:
        async with Simulator(SimulatorConfig()) as simulator:
            components = DEFECTS[defect].components() if defect else None
            async with gateway_on(simulator.url, components) as pair:
                stranger = replace(pair.target, simulator=None)
                evidence = await gather(stranger, probes, (surface,), Settings(max_spend=max_spend))
        assert not [item.error for item in evidence.observations.values() if item.error]
        return {
            check.id.partition("::")[2]: judge_directly(check, evidence.observations, evidence.facts)
            for check in load_checks()
            if check.binding.surface == surface and set(check.probes) <= set(probes)
        }

    return asyncio.run(run())


def outcomes(found: dict[str, Finding], outcome: Outcome) -> set[str]:
    """The checks that came out so."""
    return {name for name, finding in found.items() if finding.outcome is outcome}


MESSAGES = {
    "test_real_charge_is_the_price_of_the_counters",
    "test_real_written_tokens_pay_the_write_rate",
    "test_real_read_tokens_pay_the_read_rate_only",
}
CHAT = {
    "test_real_charge_is_the_price_of_the_reported_usage",
    "test_real_sonnet_charge_is_the_price",
    "test_real_streamed_charge_is_the_price",
    "test_real_long_prompt_of_claude_is_standard",
    "test_real_prompt_below_the_boundary_is_standard",
    "test_real_prompt_above_the_boundary_is_long",
}


def test_a_right_gateway_is_verified_on_chat_with_both_sides_of_the_boundary() -> None:
    assert outcomes(judged("chat"), Outcome.MET) == CHAT


def test_long_prompts_wait_for_the_spend_guard() -> None:
    found = judged("chat", max_spend=None)
    waiting = {name for name in CHAT if "prompt" in name}
    assert outcomes(found, Outcome.MET) == CHAT - waiting
    assert {found[name].missing for name in waiting} == {SPEND_GUARD}
    assert not any(found[name].inside_scope for name in waiting)


def test_a_right_gateway_is_verified_on_messages_with_a_cache_that_is_written_and_read() -> None:
    assert outcomes(judged("messages"), Outcome.MET) == MESSAGES


@pytest.mark.parametrize(
    ("surface", "defect", "check"),
    [
        ("chat", "long-tier-for-claude", "test_real_long_prompt_of_claude_is_standard"),
        ("chat", "streams-cost-more", "test_real_streamed_charge_is_the_price"),
        ("messages", "cached-at-full-rate", "test_real_read_tokens_pay_the_read_rate_only"),
        ("messages", "cache-write-as-input", "test_real_written_tokens_pay_the_write_rate"),
    ],
)
def test_a_wrong_bill_is_found_by_the_one_check_that_is_about_it(
    surface: str, defect: str, check: str
) -> None:
    assert outcomes(judged(surface, defect), Outcome.BROKEN) == {check}


def test_credits_of_tasks_are_judged_by_balance_readings() -> None:
    found = judged("tasks")
    wanted = {
        "test_submission_takes_credits",
        "test_completed_task_is_not_refunded",
        "test_price_is_as_declared",
        "test_price_follows_the_count",
    }
    assert wanted <= outcomes(found, Outcome.MET)
    assert outcomes(found, Outcome.BROKEN) == set()
    guarded = judged("tasks", max_spend=None)["test_price_follows_the_count"]
    assert (guarded.outcome, guarded.missing) == (Outcome.NOT_VERIFIED, SPEND_GUARD)


def test_refused_calls_of_aimlapi_are_judged_by_balance_readings() -> None:
    found = judged("aimlapi")
    assert found["test_refused_call_costs_nothing"].outcome is Outcome.MET


def test_the_table_of_what_can_be_verified_counts_what_money_alone_shows() -> None:
    catalogue = load_catalogue()
    blind = replace(EMBEDDED_SHAPE, simulator=None)
    plan = make_plan(blind, catalogue, ("reapi-chat", "reapi-messages"), Selection())
    chat, messages = coverage(blind, catalogue, plan, load_checks())
    assert {"CBIL-02", "CBIL-18", "CBIL-19", "CBIL-24"} <= set(chat.verifiable)
    assert {"MBIL-01", "CBIL-08", "CBIL-09"} <= set(messages.verifiable)


@pytest.mark.parametrize(
    ("resolution", "rounding", "max_spend", "tokens"),
    [
        (1, "", None, 0),
        (10**8, "", None, 3_000),
        (10**10, "", None, 4_000),
        (10**10, "", 100.0, 200_000),
        (10**10, "none", 100.0, 0),
    ],
    ids=["exact", "coarse", "coarser", "coarser-guarded", "not-rounded"],
)
def test_a_prompt_is_as_long_as_its_charge_must_be_to_show(
    resolution: int, rounding: str, max_spend: float | None, tokens: int
) -> None:
    balance = {"chat": Balance(Hook(), "usd", 0.0, resolution, rounding)}
    target = replace(EMBEDDED_SHAPE, balance=balance, simulator=None)
    lab = Lab(prepare(target, Settings(max_spend=max_spend)), "p")
    assert visible_prompt(lab, "chat", "openai").count(" a") == tokens


def test_a_deployment_that_counts_one_model_itself_is_judged_by_real_prompts_on_that_model() -> None:
    shared = prepare(EMBEDDED_SHAPE, Settings())
    lab = Lab(shared, "p")
    assert lab.wired
    assert unscripted_roles(lab, "chat") == unscripted_roles(lab, "messages") == []
    shared.facts = replace(shared.facts, own_usage=("claude-opus-4-8",))
    assert unscripted_roles(lab, "chat") == unscripted_roles(lab, "messages") == ["anthropic"]
