"""Mixed loads: how lanes are written, planned, and shared out."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from loadtests.opening import lanes_in_turn
from weighbridge.embed import EMBEDDED_SHAPE
from weighbridge.errors import UsageError
from weighbridge.load.arrivals import Arrivals
from weighbridge.load.direct import Direct, direct_plan
from weighbridge.load.lanes import Wanted, parse_mix
from weighbridge.load.plan import Condition, LoadPlan
from weighbridge.load.planning import make_plan


def test_a_mix_is_read() -> None:
    assert parse_mix("chat=3, messages,plain:gpt-5.5@side=2,tasks:image") == (
        Wanted("chat", weight=3),
        Wanted("messages"),
        Wanted("plain", "gpt-5.5", "side", 2),
        Wanted("tasks", "image"),
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("chatt", "did you mean 'chat'?"),
        ("chat=0", "WEIGHT from 1"),
        ("chat=x", "is no lane"),
        ("chat,chat=2", "stands there twice"),
        ("", "no kind of call ''"),
    ],
)
def test_a_bad_mix_is_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_mix(text)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("chat:gpt-9", "no model 'gpt-9'"),
        ("chat@sid", "did you mean 'side'?"),
        ("messages:gpt-5.5", "no model"),
    ],
)
def test_a_mix_that_the_target_cannot_serve_is_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(EMBEDDED_SHAPE, parse_mix(text), wired=True)
    assert part in str(caught.value)


def test_each_lane_carries_its_model_group_and_limit() -> None:
    plan = make_plan(EMBEDDED_SHAPE, parse_mix("chat:anthropic@limited,plain,tasks:image"), wired=True)
    chat, plain, task = plan.lanes
    body = json.loads(chat.body)
    assert (body["model"], body["group"], body["stream"]) == ("claude-opus-4-8", "limited", True)
    assert body["stream_options"] == {"include_usage": True}
    assert chat.pace == 5
    assert "stream" not in json.loads(plain.body)
    assert plain.pace is None
    assert task.pace == 9
    assert task.url.endswith("/api/v1/images/generations")
    assert plan.main is chat


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = make_plan(
        EMBEDDED_SHAPE, parse_mix("chat=2,tasks"), wired=True,
        arrivals=Arrivals("poisson", 5.0, 3, ((0.0, 0.5), (9.0, 1.0)), (), 7),
        shape=((0.0, 1.0),), goodput={"g": (Condition("ttft", "<", 5.0),)},
    )  # fmt: skip
    file = tmp_path / "plan.json"
    plan.write(file)
    assert LoadPlan.read(file) == plan
    assert file.stat().st_mode & 0o077 == 0


def test_the_direct_plan_sends_the_same_bodies_to_the_provider_with_another_key() -> None:
    plan = make_plan(EMBEDDED_SHAPE, parse_mix("chat=2,messages,tasks"), wired=True)
    direct = direct_plan(EMBEDDED_SHAPE, plan, Direct())
    assert [lane.url for lane in direct.lanes] == [
        "http://127.0.0.1:1/v1/chat/completions",
        "http://127.0.0.1:1/v1/messages",
    ]
    assert [lane.body for lane in direct.lanes] == [lane.body for lane in plan.lanes[:2]]
    secret = EMBEDDED_SHAPE.principals["chat.funded"].key
    assert all(secret not in value for lane in direct.lanes for _, value in lane.headers)


def test_starts_are_shared_out_by_weight_and_evenly() -> None:
    plan = make_plan(EMBEDDED_SHAPE, parse_mix("chat=3,messages=1"), wired=True)
    names = [lane.name for lane in islice(lanes_in_turn(plan.lanes), 400)]
    assert Counter(names) == {"chat": 300, "messages": 100}
    assert all(Counter(names[at : at + 4])["messages"] == 1 for at in range(0, 400, 4))
