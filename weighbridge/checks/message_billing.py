"""Rules about money on /v1/messages: those of `billing`, over several situations at once.

A row such as MBIL-01 is about four counters together, so its verdict rests on several scripted charges.
"""

from __future__ import annotations

from weighbridge.checks import billing, failure_billing
from weighbridge.evidence import Observation, RunFacts
from weighbridge.verdict import Finding


def charged_the_price(observation: Observation, facts: RunFacts, *names: str) -> list[Finding]:
    """In each situation the balance fell by exactly the price of the reported usage."""
    return [finding for name in names for finding in billing.charged_the_price(observation, facts, name)]


def failures_are_free(observation: Observation, facts: RunFacts, *names: str) -> list[Finding]:
    """In each situation the call failed as planned and cost nothing."""
    found = [failure_billing.charged_nothing_if_failed(observation, facts, name) for name in names]
    return [finding for findings in found for finding in findings]


def repetitions_are_billed_once(observation: Observation, facts: RunFacts, *names: str) -> list[Finding]:
    """In each situation the failed call and its successful repetition cost the price of one."""
    return [finding for name in names for finding in failure_billing.billed_once(observation, facts, name)]
