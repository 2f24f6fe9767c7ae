"""What is observed survives the file, and a file that is not whole is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.report.records import call, evidence, stream
from weighbridge import evidence_file, evidence_tables
from weighbridge.clock import Ping, align
from weighbridge.errors import UsageError
from weighbridge.evidence import Observation, Reading, UpstreamCall

CONTEXT = {"id": "r", "target": {"name": "t"}}


def upstream(**change: object) -> UpstreamCall:
    values: dict[str, object] = {
        "seq": 1, "id": "c1", "upstream": "default", "provider": "openai", "operation": "chat",
        "method": "POST", "path": "/v1/chat/completions", "headers": (("host", "x"),), "credential": "ab",
        "body": '{"model":"m"}', "model": "m", "stream": True, "arrived_ns": 12, "status": 200,
        "events_sent": 3, "ending": "complete",
    }  # fmt: skip
    return UpstreamCall(**values | change)  # type: ignore[arg-type]


def test_everything_observed_is_read_back_as_it_was(tmp_path: Path) -> None:
    made = evidence(
        Observation(
            "chat_replies",
            calls=(
                call("c1", body=b"\xff\x00 no text", upstream=(upstream(), upstream(writes_us=(4, 9)))),
                stream("c2", [(0.1, b"data: {"), (0.2, b"}\n\n"), (0.25, b"data: [DONE]\n\n")]),
                call("c3", request=b"long " * 400_000, upstream=()),
            ),
            readings=(Reading("s", "before", "chat", "chat.fresh", 10**30, 1.5),),
            missing=(("x", "balance"),),
            notes=("a note",),
        ),
        preflight=(call("p1"),),
        clock=align([Ping(1.0, 1.002, 5_000_000_000)]),
    )
    path = tmp_path / "evidence.ndjson"
    written = evidence_file.write(made, path, CONTEXT)
    back, context, read = evidence_file.read(path)
    assert context == CONTEXT
    assert read == written
    assert back.clock == made.clock
    assert back.facts == made.facts
    assert [vars(item) for item in back.preflight] == [vars(item) for item in made.preflight]
    mine, theirs = made.observations["chat_replies"], back.observations["chat_replies"]
    assert theirs.readings == mine.readings
    assert [(c.exchange, c.upstream, c.streamed) for c in theirs] == [
        (c.exchange, c.upstream, c.streamed) for c in mine
    ]


def test_a_body_is_stored_once_and_a_long_one_is_compressed(tmp_path: Path) -> None:
    body = b'{"prompt": "' + b"Weighed and found right. " * 40_000 + b'"}'
    made = evidence(Observation("p", calls=tuple(call(f"c{i}", request=body) for i in range(20))))
    path = tmp_path / "evidence.ndjson"
    evidence_file.write(made, path, CONTEXT)
    assert path.stat().st_size < 40_000
    stored = [json.loads(line) for line in path.read_text().splitlines() if line.startswith('{"body"')]
    assert [line["size"] for line in stored].count(len(body)) == 1


def test_a_body_too_long_to_keep_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_tables, "MAX_STORED", 4096)
    noise = random.Random(7).randbytes(60_000)
    made = evidence(Observation("p", calls=(call("c1", body=noise), call("c2"))))
    path = tmp_path / "evidence.ndjson"
    summary = evidence_file.write(made, path, CONTEXT)
    back, _, _ = evidence_file.read(path)
    first, second = back.observations["p"].calls
    assert summary.cut_bodies == 1
    assert (first.cut, second.cut) == (True, False)
    assert first.exchange.response is not None
    kept = first.exchange.response.body
    assert noise.startswith(kept)
    line = next(json.loads(raw) for raw in path.read_text().splitlines() if '"kept"' in raw)
    assert (line["size"], line["kept"]) == (60_000, len(kept))


@pytest.mark.parametrize("damage", ["footer", "table", "hash", "bomb", "version"])
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "evidence.ndjson"
    evidence_file.write(evidence(Observation("p", calls=(call("c1", request=b"z" * 9000),))), path, CONTEXT)
    lines = path.read_text().splitlines()
    if damage == "footer":
        lines.pop()
    elif damage == "table":
        del lines[1]
    elif damage == "hash":
        lines = [line.replace('"text":"', '"text":"x', 1) if '"body"' in line[:8] else line for line in lines]
    elif damage == "bomb":
        lines = [line.replace('"size":9000', '"size":90') for line in lines]
    else:
        lines[0] = lines[0].replace('"version":2', '"version":7')
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UsageError, match=r"cut off|damaged|version 7"):
        evidence_file.read(path)


def test_text_that_no_file_can_hold_is_replaced(tmp_path: Path) -> None:
    made = evidence(Observation("p", notes=("half a pair: \ud800", "a whole one: \U0001f600")))
    path = tmp_path / "evidence.ndjson"
    evidence_file.write(made, path, CONTEXT)
    back, _, _ = evidence_file.read(path)
    assert back.observations["p"].notes == ("half a pair: \ufffd", "a whole one: \U0001f600")


def test_clocks_are_aligned_by_the_narrowest_pings() -> None:
    origin = 7_000_000_000
    honest = [Ping(at, at + trip, origin + round((at + trip * share) * 1e9))
              for at, trip, share in ((0.0, 0.010, 0.9), (0.1, 0.002, 0.5), (9.0, 0.004, 0.1))]  # fmt: skip
    clock = align(honest)
    assert clock is not None
    assert abs(clock.at(origin)) <= clock.uncertainty_s <= 0.001
    assert abs(clock.at(origin + 3_000_000_000) - 3.0) <= clock.uncertainty_s
    assert align([]) is None


def test_clocks_that_drift_apart_grow_uncertain() -> None:
    drifted = [Ping(0.0, 0.001, 500_000), Ping(10.0, 10.001, 10_000_500_000 + 20_000_000)]
    clock = align(drifted)
    assert clock is not None
    assert clock.uncertainty_s >= 0.009
