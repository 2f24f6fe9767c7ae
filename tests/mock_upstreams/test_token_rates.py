"""Tokens of a chunk and tokens per second, through a scenario and on the wire."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams import SimulatorConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.mock_upstreams.conftest import Answer, Client

    Token = Callable[..., str]

PATHS = ["/v1/chat/completions", "/v1/messages", "/v1/responses"]
LATE_S = 1.0
"""Never early is exact; never late depends on the machine."""


def ask(client: Client, path: str, text: str, *, stream: bool = True) -> Answer:
    body: dict[str, Any] = {"model": "m", "stream": stream}
    if path == "/v1/responses":
        body["input"] = text
    else:
        body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 1000}
    return client.send(path, body)


def pieces(answer: Answer) -> list[str]:
    """The texts of the content events."""
    found: list[str] = []
    for event in answer.events():
        if event.data == "[DONE]":
            continue
        item = event.json()
        found += [
            choice["delta"]["content"] for choice in item.get("choices", ()) if choice["delta"].get("content")
        ]
        if item.get("type") == "content_block_delta":
            found.append(item["delta"]["text"])
        elif item.get("type") == "response.output_text.delta":
            found.append(item["delta"])
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("characters", "tokens"), [(80, 1), (80, 3), (80, 100), (81, 5), (1, 1)])
def test_a_chunk_carries_so_many_tokens(
    client: Client, token: Token, name: str, path: str, characters: int, tokens: int
) -> None:
    """Four characters are a token."""
    text = "".join(chr(ord("a") + k % 26) for k in range(characters))
    found = pieces(ask(client, path, token(name, text=text, chunk_tokens=tokens)))
    assert "".join(found) == text
    assert len(found) == math.ceil(math.ceil(characters / 4) / tokens)
    assert max(map(len, found)) <= 4 * tokens
    assert client.entry(name)["events_sent"] == len(found)


@pytest.mark.parametrize("path", PATHS)
def test_text_flows_no_faster_than_the_rate(client: Client, token: Token, name: str, path: str) -> None:
    content = token(name, text="abcd" * 24, chunk_tokens=4, ttft_ms=20, tokens_per_second=80)
    assert len(pieces(ask(client, path, content))) == 6
    entry = client.entry(name)
    # Each piece has a moment of its own, counted from the request: a first one that is late makes no other late.
    arrived, last = entry["arrived_ns"], entry["finished_ns"]
    assert 0.02 + 0.25 - 0.001 <= (last - arrived) / 1e9 < 0.02 + 0.25 + LATE_S
    within = [at / 1e6 for at in entry["writes_us"]][-6:]
    assert all(after >= 0.02 + 0.05 * k - 0.002 for k, after in enumerate(within))


def test_a_gap_that_is_longer_than_the_rate_asks_for_stands(client: Client, token: Token, name: str) -> None:
    content = token(name, text="abcd" * 5, chunk_tokens=1, gap_ms=40, tokens_per_second=1000)
    assert len(pieces(ask(client, PATHS[0], content))) == 5
    entry = client.entry(name)
    assert (entry["finished_ns"] - entry["first_content_ns"]) / 1e9 >= 0.159


def test_an_unstreamed_answer_waits_for_its_last_token(client: Client, token: Token, name: str) -> None:
    content = token(name, text="abcd" * 10, chunk_tokens=2, tokens_per_second=50)
    ask(client, PATHS[0], content, stream=False)
    entry = client.entry(name)
    assert (entry["head_sent_ns"] - entry["arrived_ns"]) / 1e9 >= 0.16


def test_both_come_from_a_scenario_file_too(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]], tmp_path: Path
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("scenarios:\n  slow: {text: abcdabcdabcd, chunk_tokens: 1, tokens_per_second: 25}\n")
    with start(SimulatorConfig(scenarios=str(file))) as client:
        answer = client.chat("Hi [[wb:x]]", model="wb-slow", stream=True)
        assert pieces(answer) == ["abcd"] * 3
        entry = client.entry("x")
    assert (entry["finished_ns"] - entry["first_content_ns"]) / 1e9 >= 0.079


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"chunk_tokens": 0}, "chunk_tokens=0 is impossible; give an integer from 1 to 10000"),
        ({"chunk_tokens": 2, "chunks": 2}, "chunks= and chunk_tokens= exclude each other"),
        ({"tokens_per_second": 0}, "tokens_per_second=0 is impossible; give an integer from 1 to 1000000"),
    ],
)
def test_what_cannot_be_is_refused(
    client: Client, token: Token, name: str, keys: dict[str, int], says: str
) -> None:
    answer = client.chat(token(name, **keys), stream=True)
    assert answer.status == 400
    assert answer.json()["error"]["message"].startswith(f"simulator: {says}")
