"""The metrics: what is counted, the text format, and that nothing a caller sends becomes a label."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from mock_upstreams import SimulatorConfig
from mock_upstreams.metrics import added
from tests.mock_upstreams.samples import by_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Client

    Start = Callable[[SimulatorConfig], AbstractContextManager[Client]]

SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\\n]*"(,[a-z]+="[^"\\\n]*")*\})? [0-9.e+-]+')


def page(client: Client) -> dict[str, float]:
    return dict(by_sample(client.send("/_wb/metrics").body))


def test_answers_are_counted_by_what_they_were(start: Start, token: Callable[..., str]) -> None:
    with start(SimulatorConfig()) as client:
        client.chat(token("a", text="one two", chunks=3), stream=True)
        client.chat(token("a", fault="status", status=503))
        client.chat(token("a", fault="reset", after=1), stream=True)
        client.messages("plain")
        client.send("/nowhere")
        found = page(client)
    of = "simulator_requests_total{{provider={},operation={},status={},ending={}}}".format
    assert found[of('"openai"', '"chat"', '"200"', '"complete"')] == 1
    assert found[of('"openai"', '"chat"', '"503"', '"fault"')] == 1
    assert found[of('"openai"', '"chat"', '"200"', '"fault"')] == 1
    assert found[of('"anthropic"', '"messages"', '"200"', '"complete"')] == 1
    assert found[of('"unknown"', '"unknown"', '"404"', '"complete"')] == 1
    assert found['simulator_faults_total{fault="status"}'] == 1
    assert found['simulator_faults_total{fault="reset"}'] == 1
    assert found['simulator_events_sent_total{provider="openai"}'] == 4
    assert found["simulator_journal_entries"] == 5
    assert found["simulator_open_exchanges"] == 0


def test_an_open_stream_is_counted_and_one_that_was_left_is_not(
    start: Start, token: Callable[..., str]
) -> None:
    with start(SimulatorConfig()) as client:
        body = {
            "model": "m",
            "stream": True,
            "messages": [
                {"role": "user", "content": token("slow", text="one two three", chunks=3, gap_ms=20_000)}
            ],
        }
        with client.open("/v1/chat/completions", body) as sock:
            assert sock.recv(100)
            assert page(client)["simulator_open_exchanges"] == 1
        client.entry("slow")
        found = page(client)
    assert found["simulator_open_exchanges"] == 0
    left = 'simulator_requests_total{provider="openai",operation="chat",status="200",ending="caller_left"}'
    assert found[left] == 1


def test_drops_and_counters_outlive_a_reset(start: Start) -> None:
    with start(SimulatorConfig(journal_capacity=2)) as client:
        for _ in range(5):
            client.chat()
        before = page(client)
        client.send("/_wb/reset", {})
        after = page(client)
    assert before["simulator_journal_dropped_total"] == after["simulator_journal_dropped_total"] == 3
    assert (before["simulator_journal_entries"], after["simulator_journal_entries"]) == (2, 0)
    assert [v for n, v in before.items() if "requests" in n] == [
        v for n, v in after.items() if "requests" in n
    ]


def test_the_page_is_in_the_text_format(start: Start, token: Callable[..., str]) -> None:
    with start(SimulatorConfig()) as client:
        client.chat(token("a"), model='evil"\n{}')
        answer = client.send("/_wb/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.body.decode()
    assert text.endswith("\n")
    kinds = re.findall(r"^# TYPE (\S+) (counter|gauge)$", text, re.MULTILINE)
    helped = re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)
    assert [name for name, _ in kinds] == helped
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in kinds)
    for line in text.splitlines():
        assert line.startswith("#") or SAMPLE.fullmatch(line), line
    assert "evil" not in text


def test_pages_of_several_simulators_add_up(start: Start) -> None:
    pages = []
    for calls in (1, 2):
        with start(SimulatorConfig()) as client:
            for _ in range(calls):
                client.chat()
            deadline = time.monotonic() + 5
            while page(client)["simulator_open_exchanges"] and time.monotonic() < deadline:
                pass
            pages.append(client.send("/_wb/metrics").body)
    total = by_sample(added(pages))
    done = 'simulator_requests_total{provider="openai",operation="chat",status="200",ending="complete"}'
    assert total[done] == 3
    assert added(pages[:1]).decode().count("# HELP") == pages[0].decode().count("# HELP")
