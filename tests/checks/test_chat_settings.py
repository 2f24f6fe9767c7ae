"""Sampling settings: relayed, dropped, changed, refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.chat_evidence import call, post
from weighbridge.checks import posts
from weighbridge.verdict import Outcome

RULE = posts.settings_arrive("temperature", "top_p")
SENT = {"model": "gpt-5.5", "temperature": 0.7}


@pytest.mark.parametrize(
    ("arrived", "outcome"),
    [
        ({"temperature": 0.7}, Outcome.MET),
        ({"temperature": 0.7, "top_p": 1}, Outcome.MET),
        ({"temperature": 1}, Outcome.BROKEN),
        ({"model": "gpt-5.5"}, Outcome.BROKEN),
    ],
)
def test_a_setting_arrives_as_it_was_sent(arrived: dict[str, Any], outcome: Outcome) -> None:
    assert RULE(call({}, request=SENT, upstream=(post(body=arrived),))).outcome is outcome


def test_one_value_is_one_value_however_it_is_written() -> None:
    sent = {"temperature": 1}
    assert RULE(call({}, request=sent, upstream=(post(body={"temperature": 1.0}),))).outcome is Outcome.MET


def test_a_call_without_settings_says_nothing() -> None:
    assert RULE(call({}, request={}, upstream=(post(),))).outcome is Outcome.NOT_APPLICABLE


def test_a_refused_setting_does_not_arrive() -> None:
    assert RULE(call({}, request=SENT, status=400, upstream=())).outcome is Outcome.BROKEN


def test_without_a_look_at_the_provider_nothing_is_judged() -> None:
    assert RULE(call({}, request=SENT)).missing == "upstream"
