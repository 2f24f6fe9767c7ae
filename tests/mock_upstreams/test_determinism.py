"""The same seed gives the same bytes and the same schedule, ids and times of creation included.

Only the Date header is of the moment, and ids of calls without a correlation id go by their order of arrival.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams import Entry, SimulatorConfig
from mock_upstreams.answers import Providers
from mock_upstreams.plain_answers import Received
from mock_upstreams.routes import find_place
from mock_upstreams.scenario import find_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Client

    Start = Callable[[SimulatorConfig], AbstractContextManager[Client]]

CALLS: list[tuple[str, dict[str, Any]]] = [
    (
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream},
    )
    for text in ("Hello [[wb:a]]", "Hello [[wb:a]]", "No id", "[[wb:b;chunks=9;gap_ms=lognormal:3:0.5]]")
    for stream in (False, True)
]
CALLS += [
    (
        "/v1/messages",
        {"model": "c", "max_tokens": 2000, "stream": stream, "messages": [{"role": "user", "content": t}]},
    )
    for t in ("Hello [[wb:c;searches=2;thinking=hm]]", "[[wb:d;ttft_ms=uniform:1:3;gap_ms=uniform:0:2]]")
    for stream in (False, True)
]
CALLS += [
    ("/v1/responses", {"model": "m", "input": "[[wb:e;reasoning=5]]", "stream": stream})
    for stream in (False, True)
]
CALLS += [("/media/v1/jobs", {"kind": "image", "model": "m", "prompt": "[[wb:f]]"})]


def stable(raw: bytes) -> bytes:
    """An answer without its Date header."""
    lines = raw.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"date:"))


def test_two_runs_with_one_seed_are_the_same_byte_for_byte(start: Start) -> None:
    def run(seed: int) -> list[bytes]:
        with start(SimulatorConfig(seed=seed, clock=1_767_225_600, public_url="http://x")) as client:
            return [stable(client.send(path, body).raw) for path, body in CALLS]

    first, second, other = run(7), run(7), run(8)
    assert first == second
    assert all(one != two for one, two in zip(first, other, strict=True))


def plans(config: SimulatorConfig, order: list[int]) -> dict[int, tuple[list[bytes], list[float]]]:
    """Events and due times of each call, whatever the order in which they arrive."""
    import orjson

    providers = Providers(config)
    found = {}
    for at in order:
        path, body = CALLS[at]
        raw = orjson.dumps(body)
        token = find_token(raw)
        entry = Entry("", "", "", "POST", path, "", (), None, 0)
        entry.id = token.id if token else None
        plan = providers.answer(Received(find_place(path), "POST", raw, token, "k", "http://x"), entry)
        offsets = plan.pace.offsets()
        events = [data for _, data in plan.events]
        found[at] = events, [plan.delay_s, *(next(offsets) for _ in events)]
    return found


def test_calls_with_ids_of_their_own_do_not_depend_on_the_order_of_arrival() -> None:
    config = SimulatorConfig(seed=3, clock=0)
    order = [0, 6, 8, 11, 12, 14]
    forwards, backwards = plans(config, order), plans(config, order[::-1])
    assert forwards == backwards


def test_a_schedule_is_drawn_anew_for_another_seed() -> None:
    (_, one), (_, two) = (plans(SimulatorConfig(seed=seed, clock=0), [7])[7] for seed in (1, 2))
    assert one != two
    assert len(set(one)) > 5


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_every_answer_has_an_id_of_its_own(start: Start, path: str) -> None:
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "[[wb:x]]"}],
    }
    if path == "/v1/responses":
        body = {"model": "m", "input": "[[wb:x]]"}
    with start(SimulatorConfig()) as client:
        ids = [client.send(path, body).json()["id"] for _ in range(5)]
    assert len(set(ids)) == 5
