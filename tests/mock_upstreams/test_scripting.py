"""From a recording to a scenario file: what was said, how it failed and when, by name and at any speed."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from mock_upstreams import Recorder, RecordingError, Simulator, SimulatorConfig, write_scenarios
from mock_upstreams.pacing import Trace
from mock_upstreams.recordings import Part, Recorded, as_line, digest, header_line
from mock_upstreams.scenario import build
from mock_upstreams.scenario_files import read_library
from mock_upstreams.scenario_pace import pace_of
from mock_upstreams.scripting import scripted
from mock_upstreams.timings import Timing

if TYPE_CHECKING:
    from pathlib import Path

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


def request(surface: str, text: str, *, stream: bool, model: str = "m") -> dict[str, Any]:
    if surface == "responses":
        return {"model": model, "stream": stream, "input": text}
    body: dict[str, Any] = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    if surface == "messages":
        body["max_tokens"] = 500
    elif stream:
        body["stream_options"] = {"include_usage": True}
    return body


async def ask(
    base: str, surface: str, text: str, *, stream: bool, model: str = "m", **headers: str
) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection broke."""
    body = b""
    async with (
        aiohttp.ClientSession(headers={"authorization": "Bearer k", **headers}) as session,
        session.post(
            base + PATHS[surface], json=request(surface, text, stream=stream, model=model)
        ) as answer,
    ):
        try:
            async for data in answer.content.iter_any():
                body += data
        except aiohttp.ClientError:
            return answer.status, body, True
        return answer.status, body, False


def said(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream without what is each answer's own, or the one object."""
    text = body.decode()
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
    found = [json.loads(line) for line in lines or [text]]
    return [_plain(item) for item in found]


def _plain(value: Any) -> Any:
    own = (
        "id",
        "created",
        "created_at",
        "completed_at",
        "model",
        "request_id",
        "item_id",
        "signature",
        "call_id",
        "sequence_number",
    )
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if name not in own}
    return [_plain(item) for item in value] if isinstance(value, list) else value


REPLIES = {
    "text": "text=Grüße%20aus%20Köln%20🙂%20und%20Bergen;chunks=7;in=123456;out=789;cached=100000",
    "tool": "tool=weather;args={%22city%22:%22Bergen%22};in=20;out=9",
    "cut by length": "text=one%20two%20three;chunks=3;finish=length;reasoning=4;out=11",
}
FAILURES: dict[str, tuple[str, dict[str, Any]]] = {
    "status": ("status=429;retry_after=7;message=Slow%20down", {"status": 429, "retry_after": "7", "message": "Slow down"}),
    "html": ("fault=html;status=502", {"status": 502, "fault": "html"}),
    "reset": ("text=abcdef;chunks=6;fault=reset;after=4", {"fault": "reset", "after": 4, "text": "abcd"}),
    "close": ("text=abcdef;chunks=6;fault=close;after=3", {"fault": "close", "after": 3, "text": "abc"}),
    "end_early": ("text=abcdef;chunks=6;fault=end_early;after=2", {"fault": "end_early", "after": 2, "text": "ab"}),
    "no_done": ("text=abc;chunks=3;fault=no_done", {"fault": "no_done", "text": "abc"}),
    "error_event": (
        "text=abcdef;chunks=6;fault=error_event;after=2;message=Overloaded",
        {"fault": "error_event", "after": 2, "text": "ab", "message": "Overloaded"},
    ),
}  # fmt: skip


def cycle(tmp_path: Path, surface: str, keys: str, *, stream: bool) -> tuple[tuple[int, bytes, bool], ...]:
    """The recorded answer, and those of the scenario by model name, header and token."""
    recording, file = tmp_path / "story.ndjson", tmp_path / "story.yaml"

    async def main() -> tuple[tuple[int, bytes, bool], ...]:
        async with Simulator() as provider, Recorder(provider.url, str(recording)) as recorder:
            original = await ask(recorder.url, surface, f"[[wb:a;{keys}]]", stream=stream)
        assert write_scenarios(str(recording), str(file)).left_out == ()
        async with Simulator(SimulatorConfig(scenarios=str(file))) as simulator:
            return (
                original,
                await ask(simulator.url, surface, "Hi", stream=stream, model="wb-story-1"),
                await ask(simulator.url, surface, "Hi", stream=stream, **{"x-wb-scenario": "story-1"}),
                await ask(
                    simulator.url, surface, "[[wb:b;scenario=story-1;speed=0]]", stream=stream, model="other"
                ),
            )

    return asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", PATHS)
@pytest.mark.parametrize("reply", REPLIES)
def test_a_recorded_reply_is_said_again_to_whoever_names_it(
    tmp_path: Path, surface: str, reply: str, *, stream: bool
) -> None:
    original, *again = cycle(tmp_path, surface, REPLIES[reply], stream=stream)
    for found in again:
        assert found[0] == original[0] == 200
        assert said(found[1]) == said(original[1])


@pytest.mark.parametrize("surface", PATHS)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_recorded_failure_is_a_fault_by_name(tmp_path: Path, surface: str, failure: str) -> None:
    keys, stated = FAILURES[failure]
    original, *again = cycle(tmp_path, surface, keys, stream=True)
    scenario = yaml.safe_load((tmp_path / "story.yaml").read_text())["scenarios"]["story-1"]
    assert {name: scenario.get(name) for name in stated} == stated
    for status, body, broken in again:
        assert (status, broken) == (original[0], original[2])
        if status == 200:
            assert said(body) == said(original[1])


def test_the_times_of_the_pieces_are_kept_and_played_at_any_speed(tmp_path: Path) -> None:
    keys = "text=one%20two%20three%20four;chunks=5;ttft_ms=80;gap_ms=trace:60,20,40,30"
    recording, file = tmp_path / "r.ndjson", tmp_path / "s.yaml"

    async def main() -> dict[str, float]:
        async with Simulator() as provider, Recorder(provider.url, str(recording)) as recorder:
            await ask(recorder.url, "chat", f"[[wb:a;{keys}]]", stream=True)
        write_scenarios(str(recording), str(file), "paced")
        lasted: dict[str, float] = {}
        async with Simulator(SimulatorConfig(scenarios=str(file))) as simulator:
            for speed in ("1x", "2", "0.5x", "0"):
                began = time.monotonic()
                text = f"[[wb:b;scenario=paced-1;speed={speed}]]"
                await ask(simulator.url, "chat", text, stream=True)
                lasted[speed] = time.monotonic() - began
        return lasted

    lasted = asyncio.run(main())
    stated = yaml.safe_load(file.read_text())["scenarios"]["paced-1"]
    assert stated["ttft_ms"] >= 80
    assert len(stated["gap_ms"]) == 4
    assert stated["ttft_ms"] + sum(stated["gap_ms"]) >= 225
    whole = (stated["ttft_ms"] + sum(stated["gap_ms"])) / 1000
    assert lasted["1x"] >= whole
    assert lasted["2"] >= whole / 2
    assert lasted["0.5x"] >= whole * 2
    assert lasted["0"] < lasted["0.5x"]
    fields = read_library(yaml.safe_load(file.read_text())).named["paced-1"]
    for speed in (0.5, 1.0, 4.0):
        pace = pace_of(build({**fields, "speed": speed}), 5, 1, "k")
        assert isinstance(pace.gap, Trace)
        assert pace.length_s(5) == pytest.approx(whole / speed)
    assert pace_of(build({**fields, "speed": 0.0}), 5, 1, "k").is_instant


def test_a_speed_changes_the_median_of_a_lognormal_gap_and_not_its_shape() -> None:
    fast = build({"gap_ms": Timing("lognormal", (20.0, 0.5)), "ttft_ms": 100.0, "speed": 4.0})
    assert fast.gap_ms == Timing("lognormal", (5.0, 0.5))
    assert fast.ttft_ms == 25.0
    assert build({"gap_ms": Timing("uniform", (10.0, 30.0)), "speed": 2.0}).gap_ms == Timing(
        "uniform", (5.0, 15.0)
    )


def test_answers_to_the_same_request_become_a_sequence(tmp_path: Path) -> None:
    recording, file = tmp_path / "r.ndjson", tmp_path / "s.yaml"

    async def main() -> list[int]:
        async with Simulator() as provider, Recorder(provider.url, str(recording)) as recorder:
            for _ in range(3):
                await ask(
                    recorder.url,
                    "chat",
                    "[[wb:a;fault=status;status=503;times=2;text=at%20last]]",
                    stream=False,
                )
        write_scenarios(str(recording), str(file), "flaky")
        async with Simulator(SimulatorConfig(scenarios=str(file))) as simulator:
            return [
                (await ask(simulator.url, "chat", "[[wb:b]]", stream=False, model="wb-flaky-1"))[0]
                for _ in range(4)
            ]

    assert asyncio.run(main()) == [503, 503, 200, 200]


def exchange(path: str, body: str | list[str], **fields: Any) -> Recorded:
    parts = [body] if isinstance(body, str) else body
    kind = "text/event-stream" if "data:" in parts[0] else "application/json"
    given: dict[str, Any] = {
        "method": "POST",
        "target": path,
        "digest": digest(path.encode()),
        "request_headers": (),
        "request_body": b"",
        "status": 200,
        "headers": (("content-type", f"{kind}; charset=utf-8"),),
        "chunked": True,
        "head_s": 0.01,
        "parts": tuple(Part(0.1 * at, part.encode()) for at, part in enumerate(parts, 1)),
        "ending": "complete",
        **fields,
    }
    return Recorded(**given)


def stated(found: Recorded) -> dict[str, Any]:
    (scenario,) = yaml.safe_load(scripted([found], "x").text)["scenarios"].values()
    return dict(scenario)


def sse(*values: dict[str, Any], end: str = "\n") -> str:
    return "".join(f"event: {value['type']}{end}data: {json.dumps(value)}{end}{end}" for value in values)


def test_a_stream_with_thinking_text_and_a_tool_is_read_as_anthropic_writes_it() -> None:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 30}
    stream = sse(
        {"type": "message_start", "message": {"usage": {**usage, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Küß"}},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "name": "f", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": '{"a":'},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": "1}"},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 42}},
        {"type": "message_stop"},
        end="\r\n",
    ).encode()
    cut = stream.index("ß".encode()) + 1 if "ß".encode() in stream else len(stream) // 2
    parts = (Part(0.1, stream[:cut]), Part(0.2, stream[cut:-9]), Part(0.3, stream[-9:]))
    assert stated(exchange("/v1/messages", "data:", parts=parts)) == {
        "text": "Küß",
        "chunks": 1,
        "thinking": "Hm",
        "tool_calls": [{"name": "f", "arguments": '{"a":1}'}],
        "finish": "tool_calls",
        "in": 240,
        "out": 42,
        "cached": 200,
        "written": 30,
        "ttft_ms": stated(exchange("/v1/messages", "data:", parts=parts))["ttft_ms"],
    }


def test_only_the_first_choice_counts_and_odd_values_are_passed_by() -> None:
    body = {
        "choices": [
            {"index": 0, "message": {"content": "first", "tool_calls": None}, "finish_reason": "eos"},
            {"index": 1, "message": {"content": "second"}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": None},
    }
    assert stated(exchange("/openai/v1/chat/completions?api-version=1", json.dumps(body))) == {
        "text": "first",
        "in": 3,
        "ttft_ms": 100.0,
    }


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (exchange("/v1/models", "{}", method="GET"), "neither chat completions, nor messages, nor responses"),
        (exchange("/v1/messages", "{}", status=304), "status 304 is no reply"),
        (exchange("/v1/messages", "x", headers=(("content-type", "text/plain"),)), "neither JSON nor an event stream"),
        (
            exchange("/v1/chat/completions", 'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}}]}\n\n', ending="rst"),
            "beyond what a scenario can hold: tool_calls",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_scenario_is_left_out_and_told(tmp_path: Path, found: Recorded, why: str) -> None:
    (line,) = scripted([found], "x").left_out
    assert line.startswith("exchange 1, ")
    assert why in line
    recording = tmp_path / "r.ndjson"
    recording.write_bytes(header_line("http://x") + as_line(found, ()))
    with pytest.raises(RecordingError, match="nothing in it makes a scenario: exchange 1"):
        write_scenarios(str(recording), str(tmp_path / "s.yaml"))
    assert not (tmp_path / "s.yaml").exists()


def test_broken_whole_answers_become_the_faults_that_break_them() -> None:
    path = "/v1/chat/completions"
    for found, fault in (
        (exchange(path, '{"choi', ending="rst"), "reset"),
        (exchange(path, '{"choi', ending="fin"), "close"),
        (exchange(path, '{"choi'), "bad_json"),
        (exchange(path, "{}", parts=()), "empty"),
    ):
        assert stated(found)["fault"] == fault


def test_names_come_from_the_file_and_are_safe_and_in_order() -> None:
    found = [exchange("/v1/chat/completions", "{}", digest=str(number)) for number in range(3)]
    text = scripted(found, "a story / of (three)").text
    assert list(yaml.safe_load(text)["scenarios"]) == [f"a-story-of-three-{number}" for number in (1, 2, 3)]
    assert all(before < after for before, after in pairwise(yaml.safe_load(text)["scenarios"]))
