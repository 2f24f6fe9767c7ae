"""Record and replay: the simulator stands for the real provider, is recorded, and is then played from the recording."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mock_upstreams import Recorder, RecordingError, Simulator, SimulatorConfig, recordings
from mock_upstreams.pacing import Trace
from mock_upstreams.recordings import Part, Recorded, as_line, digest, header_line, load
from mock_upstreams.replay import Replay, plan_of

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-proj-0123456789abcdefghijklmnop"


async def fetch(
    base: str, body: dict[str, Any] | None, path: str = "/v1/chat/completions"
) -> tuple[Any, ...]:
    """Status, content type, body in parts, and whether the connection broke."""
    parts: list[bytes] = []
    broken = False
    headers = {"authorization": f"Bearer {KEY}", "cookie": "session=abcdef-123456"}
    async with (
        aiohttp.ClientSession() as session,
        session.request("POST" if body else "GET", base + path, json=body, headers=headers) as answer,
    ):
        try:
            async for data, _ in answer.content.iter_chunks():
                if data:
                    parts.append(data)
        except aiohttp.ClientError:
            broken = True
        return answer.status, answer.headers.get("content-type"), parts, broken


def call(text: str, *, stream: bool = True, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5.5", "stream": stream, "messages": [{"role": "user", "content": text}], **more}


async def recorded(out: Path, *bodies: dict[str, Any]) -> list[tuple[Any, ...]]:
    async with Simulator() as provider, Recorder(provider.url, str(out)) as recorder:
        found = [await fetch(recorder.url, body) for body in bodies]
    assert (recorder.recorded, recorder.skipped) == (len(bodies), 0)
    return found


async def replayed(path: Path, *bodies: dict[str, Any], speed: float = 0.0) -> list[tuple[Any, ...]]:
    async with Simulator(SimulatorConfig(replay=str(path), replay_speed=speed)) as simulator:
        return [await fetch(simulator.url, body) for body in bodies]


def test_answers_are_replayed_byte_for_byte(tmp_path: Path) -> None:
    out = tmp_path / "r.ndjson"
    bodies = [
        call("[[wb:a;text=Grüße%20aus%20Köln%20🙂;chunks=6]]"),
        call("plain", stream=False),
        call("[[wb:b;fault=status;status=429;retry_after=3]]"),
        call("[[wb:c;fault=split_utf8;text=äöü🙂]]"),
    ]

    async def main() -> None:
        originals = await recorded(out, *bodies)
        for speed in (0.0, 5.0):
            for original, again in zip(originals, await replayed(out, *bodies, speed=speed), strict=True):
                assert again[0] == original[0]
                assert again[1] == original[1]
                assert b"".join(again[2]) == b"".join(original[2])
                assert again[3] == original[3]

    asyncio.run(main())


def test_parts_keep_their_borders_inside_characters(tmp_path: Path) -> None:
    out = tmp_path / "r.ndjson"
    asyncio.run(recorded(out, call("[[wb:c;fault=bytewise;text=ä🙂]]")))
    (exchange,) = load(str(out))
    assert len(exchange.parts) > 100
    assert any(len(part.data) == 1 and part.data[0] >= 0x80 for part in exchange.parts)
    assert b'"content":"' in b"".join(part.data for part in exchange.parts)
    assert '"base64"' not in out.read_text()


def test_the_recorded_schedule_is_kept_and_scaled(tmp_path: Path) -> None:
    out = tmp_path / "r.ndjson"
    body = call("[[wb:a;text=one%20two%20three%20four;chunks=5;ttft_ms=60;gap_ms=40]]")

    async def main() -> float:
        await recorded(out, body)
        async with Simulator(SimulatorConfig(replay=str(out))) as simulator:
            started = time.monotonic()
            await fetch(simulator.url, body)
            lasted = time.monotonic() - started
            (entry,) = simulator.journal.since(0)
            first, last = entry.writes_us[0] / 1e6, entry.writes_us[-1] / 1e6
        (exchange,) = load(str(out))
        assert last - first >= exchange.parts[-1].at_s - exchange.head_s - 0.01
        return lasted

    lasted = asyncio.run(main())
    (exchange,) = load(str(out))
    times = [part.at_s for part in exchange.parts]
    assert times == sorted(times)
    assert times[-1] >= 0.2
    assert lasted >= times[-1] - 0.01
    whole, half, none = (plan_of(exchange, speed) for speed in (1.0, 2.0, 0.0))
    assert whole.delay_s + whole.pace.length_s(len(times)) == pytest.approx(times[-1])
    assert half.delay_s + half.pace.length_s(len(times)) == pytest.approx(times[-1] / 2)
    assert isinstance(half.pace.gap, Trace)
    assert none.delay_s == 0
    assert none.pace.is_instant


def test_a_stream_is_relayed_as_it_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            Simulator() as provider,
            Recorder(provider.url, str(tmp_path / "r")) as recorder,
            aiohttp.ClientSession() as session,
            session.post(
                recorder.url + "/v1/chat/completions",
                json=call("[[wb:a;text=one%20two%20three;chunks=3;gap_ms=20000]]"),
                headers={"authorization": f"Bearer {KEY}"},
            ) as answer,
        ):
            first = await asyncio.wait_for(answer.content.readany(), 10)
            assert b"data: " in first
            assert b"[DONE]" not in first
        assert len(list(load(str(tmp_path / "r")))) == 0

    asyncio.run(main())


@pytest.mark.parametrize(("fault", "ending"), [("close", "fin"), ("reset", "rst")])
def test_a_broken_answer_is_recorded_and_breaks_again(tmp_path: Path, fault: str, ending: str) -> None:
    out = tmp_path / "r"
    body = call(f"[[wb:a;fault={fault};after=2;text=one%20two%20three;chunks=3]]")

    async def main() -> None:
        (original,) = await recorded(out, body)
        (again,) = await replayed(out, body)
        assert original[3]
        assert again[3]
        assert b"".join(again[2]) == b"".join(original[2])
        assert b"".join(again[2]).count(b"data: ") >= 2

    asyncio.run(main())
    (exchange,) = load(str(out))
    assert exchange.ending == ending


def test_secrets_are_masked_as_they_are_written(tmp_path: Path) -> None:
    out = tmp_path / "r.ndjson"
    leaky = f"my key is {KEY} and sk-ant-REDACTED-0123456789 and ghp_0123456789abcdefghij"
    body = call(f"[[wb:a;text=Your%20key%20{KEY}%20leaked;chunks=9]] {leaky}")
    originals = asyncio.run(recorded(out, body))
    text = out.read_text()
    for secret in (KEY, "abcdef-123456", "sk-ant-REDACTED-0123456789", "ghp_0123456789"):
        assert secret not in text
    assert oct(out.stat().st_mode & 0o777) == "0o600"
    (exchange,) = load(str(out))
    assert dict(exchange.request_headers)["authorization"] == "***"
    assert sum(len(part.data) for part in exchange.parts) == len(b"".join(originals[0][2]))
    (again,) = asyncio.run(replayed(out, body))
    assert again[0] == 200


def test_a_secret_that_is_cut_by_a_part_border_is_masked() -> None:
    exchange = Recorded(
        "POST", "/v1/x", "d", (), b"", 200, (), True, 0.1,
        (Part(0.1, b"your key sk-abcdefgh"), Part(0.2, b"ijklmnopqrstuvw.")), "complete",
    )  # fmt: skip
    line = json.loads(as_line(exchange, ()))
    assert line["response"]["text"] == "your key " + "*" * 26 + "."
    assert line["response"]["part_ends"] == [20, 36]
    own = json.loads(as_line(replace(exchange, parts=(Part(0, b"<se"), Part(1, b"same!>"))), ("sesame!",)))
    assert own["response"]["text"] == "<*******>"


def test_credentials_in_a_query_are_masked_and_still_match() -> None:
    assert recordings.target_of("/v1/x", "key=AIzaSecret&alt=sse") == "/v1/x?key=**********&alt=sse"
    assert recordings.target_of("/v1/x", "") == "/v1/x"


def test_requests_match_without_tokens_white_space_and_key_order() -> None:
    assert digest(b'{"a":1,"b":"[[wb:x1;text=hi]] q"}') == digest(b'{ "b": "[[wb:x2]] q", "a": 1 }')
    assert digest(b'{"a":1}') != digest(b'{"a":2}')
    assert digest(b"plain") != digest(b"plain ")


def test_repeated_requests_get_their_answers_in_order_and_the_last_one_stays(tmp_path: Path) -> None:
    out = tmp_path / "r"
    body = call("[[wb:a;fault=status;status=503;times=1]]", stream=False)

    async def main() -> None:
        await recorded(out, body, body)
        found = await replayed(out, body, body, body)
        assert [answer[0] for answer in found] == [503, 200, 200]

    asyncio.run(main())


def test_what_was_not_recorded_is_refused_and_says_what_was(tmp_path: Path) -> None:
    out = tmp_path / "r"

    async def main() -> None:
        await recorded(out, call("one"))
        async with Simulator(SimulatorConfig(replay=str(out))) as simulator:
            other = await fetch(simulator.url, call("two"))
            elsewhere = await fetch(simulator.url, None, "/v1/models")
        assert other[0] == elsewhere[0] == 404
        message = json.loads(b"".join(other[2]))["error"]["message"]
        assert message.startswith(
            "simulator: no recorded answer for POST /v1/chat/completions; 1 requests were"
        )
        message = json.loads(b"".join(elsewhere[2]))["error"]["message"]
        assert message.endswith("recorded: POST /v1/chat/completions")

    asyncio.run(main())


def test_a_provider_that_is_not_there_is_told_as_502(tmp_path: Path) -> None:
    async def main() -> None:
        async with Recorder("http://127.0.0.1:9", str(tmp_path / "r")) as recorder:
            found = await fetch(recorder.url, call("one"))
            assert found[0] == 502
            assert b"no answer from http://127.0.0.1:9" in b"".join(found[2])
            assert (recorder.recorded, recorder.skipped) == (0, 1)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ":1: not a recording"),
        (b"{}\n", ":1: not a recording"),
        (b'{"format":"weighbridge-recording","version":9}\n', ":1: version 9 is not known"),
        (header_line("http://x") + b'{"method":"POST"}\n', ":2: 'request' is missing"),
        (header_line("http://x") + b'{"meth', ":2: not a JSON object; was the recorder ended by force"),
    ],
)
def test_a_file_that_is_no_recording_is_told_with_its_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "r"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        load(str(path))
    assert f"{path}{problem}" in str(caught.value)


def test_a_missing_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file or directory; give a file that `mock record`"):
        Replay.of_file(str(tmp_path / "none"), 1.0)
