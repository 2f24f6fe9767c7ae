"""The deployment's own list of token groups, through `hooks.group_list`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from weighbridge.capabilities import GROUP_LIST, capabilities
from weighbridge.embed import embedded
from weighbridge.engine import Evidence, Settings, gather
from weighbridge.group_list import groups_in, merged
from weighbridge.hooks import HookError
from weighbridge.target import Hook, Target


@pytest.mark.parametrize(
    ("answer", "groups"),
    [
        (["default", "side"], {"default": None, "side": None}),
        ([{"name": "a", "requests_per_second": 5}, {"id": "b"}], {"a": 5.0, "b": None}),
        ({"groups": [{"group": "a", "limit": 0}]}, {"a": None}),
        ({"a": 2, "b": {"requests_per_second": 3}, "c": None}, {"a": 2.0, "b": 3.0, "c": None}),
    ],
    ids=["names", "objects", "wrapped", "mapping"],
)
def test_a_list_of_groups_is_read_in_every_usual_form(answer: Any, groups: dict[str, float | None]) -> None:
    assert groups_in({"*": answer}) == groups
    assert groups_in({"*": {"odd": 1}, "groups": answer}) == groups


@pytest.mark.parametrize("answer", [7, "default", [], {}, [{"title": "a"}], [3], None])
def test_what_is_no_list_of_groups_is_refused_in_words(answer: Any) -> None:
    with pytest.raises(HookError, match=r"list of groups|of its list"):
        groups_in({"*": answer})


def test_a_declared_limit_counts_and_an_unknown_declared_group_is_told() -> None:
    assert merged({"a": 5.0}, {"a": None, "b": 2.0}) == {"a": 5.0, "b": 2.0}
    with pytest.raises(HookError, match=r"groups\.defualt is declared.*did you mean 'default'"):
        merged({"defualt": None}, {"default": None, "side": None})


def listing(target: Target, pick: str = "$.groups") -> Target:
    """The embedded deployment with the operator's list in place of declared groups."""
    known = target.balance["chat"].hook
    root = known.url.rpartition("/accounts")[0]
    hook = Hook("GET", f"{root}/groups", known.headers, pick=(("groups", pick),))
    return replace(target, groups={}, hooks={**target.hooks, (GROUP_LIST, "chat"): hook})


def seen(change: Any, *probes: str) -> Evidence:
    """What probes of groups see at the embedded gateway."""
    import weighbridge.probes  # noqa: F401 - registers the probes

    async def run() -> Evidence:
        async with embedded() as target:
            changed = change(target)
            assert capabilities(changed, "chat")["groups"].source == "hooks.group_list.chat"
            return await gather(changed, probes, ("chat",), Settings())

    return asyncio.run(run())


def test_the_groups_of_the_list_are_called() -> None:
    evidence = seen(listing, "chat_groups", "chat_group_limit")
    assert set(evidence.facts.groups) >= {"default", "side", "limited"}
    called = {call.situation for call in evidence.observations["chat_groups"]}
    assert {"group:default", "group:side"} <= called
    assert [call for call in evidence.observations["chat_group_limit"] if call.exchange.status == 429]


def test_a_hook_that_yields_no_list_stops_the_run_in_one_sentence() -> None:
    with pytest.raises(
        HookError, match=r"the hook hooks\.group_list\.chat of the target file fails: nothing"
    ):
        seen(lambda target: listing(target, "$.nowhere"), "chat_groups")
