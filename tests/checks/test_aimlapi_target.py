"""What a target file means for the AI/ML API surface: its capabilities, its models, its preflight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.checks.chat_evidence import call
from weighbridge.capabilities import capabilities
from weighbridge.catalogue import load as load_catalogue
from weighbridge.embed import EMBEDDED_SHAPE
from weighbridge.errors import KeyRefusedError, TargetFileError
from weighbridge.plan import Selection, make_plan
from weighbridge.preflight import stop_reason
from weighbridge.target import Principal

URL = "http://127.0.0.1:1/v1"
WHO = Principal("aimlapi", "funded", "ak-1")


def test_the_embedded_target_declares_what_the_profile_needs() -> None:
    declared = set(capabilities(EMBEDDED_SHAPE, "aimlapi"))
    needed = {
        need
        for row in load_catalogue().profiles["aimlapi-chat"].levels
        for need in load_catalogue().requirement(row).needs
    }
    assert needed <= declared


def test_money_and_accounts_of_another_vendor_are_not_borrowed() -> None:
    others = replace(
        EMBEDDED_SHAPE,
        balance={"chat": EMBEDDED_SHAPE.balance["chat"]},
        accounts={"chat": EMBEDDED_SHAPE.accounts["chat"]},
        hooks={},
    )
    assert set(capabilities(others, "aimlapi")) & {"balance", "accounts", "broke", "revoked"} == set()
    assert "balance" in capabilities(others, "messages")


def test_keys_of_two_vendors_are_not_workspaces_of_one() -> None:
    assert "other_workspace_key" not in capabilities(EMBEDDED_SHAPE, "aimlapi")
    assert "other_workspace_key" in capabilities(EMBEDDED_SHAPE, "chat")


def test_the_profile_wants_a_model_of_its_own() -> None:
    without = replace(EMBEDDED_SHAPE, models={"openai": "gpt-5.5"})
    with pytest.raises(TargetFileError, match=r"models\.aimlapi"):
        make_plan(without, load_catalogue(), ("aimlapi-chat",), Selection())


def test_a_403_in_preflight_asks_for_money_and_a_401_for_a_key() -> None:
    empty = replace(call({"message": "no credits"}, status=403), surface="aimlapi")
    refused = replace(call({"message": "bad key"}, status=401), surface="aimlapi")
    reason = stop_reason(empty, WHO, URL)
    assert "give this principal money" in str(reason)
    assert not isinstance(reason, KeyRefusedError)
    assert isinstance(stop_reason(refused, WHO, URL), KeyRefusedError)
    assert isinstance(stop_reason(replace(empty, surface="chat"), WHO, URL), KeyRefusedError)
