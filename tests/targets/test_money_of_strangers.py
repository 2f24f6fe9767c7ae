"""What a run costs is known before it begins, and money is judged where nobody scripts the usage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.running import Finished, command
from tests.targets.plain_server import KEY, MODEL, PlainServer, plain_server
from weighbridge.embed import EMBEDDED_SHAPE
from weighbridge.estimate import Planned, bill, planned
from weighbridge.evidence import Call, Chunk, Ending, Exchange, Observation, Request, Response, RunFacts
from weighbridge.usage import MISSING, SCRIPT, own_counters, spared, whose
from weighbridge.verdict import Finding, Outcome

BEARER = "{Authorization: 'Bearer ${K}'}"


def target_file(server: PlainServer, folder: Path, *more: str) -> Path:
    """A priced target whose balance is read with its key."""
    lines = [
        "name: priced",
        "profiles: [reapi-chat]",
        f"surfaces: {{chat: {{url: '{server.url}'}}}}",
        "principals: {chat.funded: {key: '${K}', requests_per_second: 50}}",
        f"models: {{openai: {MODEL}}}",
        f"rates: {{{MODEL}: {{input: 5, output: 30}}}}",
        "max_output: {max_tokens: 64}",
        "balance:",
        f"  chat: {{http: {{get: '{server.url}/balance', json: $.balance, headers: {BEARER}}}, settle: 0s}}",
        *more,
    ]
    path = folder / "target.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


_ROWS = ("CBIL-02", "CBIL-18", "CBIL-19")


def judge(file: Path, out: Path, *more: str) -> tuple[Finished, dict[str, str]]:
    """A run of three money rows: what it said, and the verdicts."""
    rows = [word for row in _ROWS for word in ("--requirement", row)]
    done = command("run", "--target", str(file), *rows, "--out", str(out), *more, env={"K": KEY})
    if not (out / "report.json").exists():
        return done, {}
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return done, {row["id"]: row["verdict"] for row in report["requirements"]}


def test_real_long_prompts_are_sent_only_within_the_spend_guard(tmp_path: Path) -> None:
    with plain_server() as server:
        file = target_file(server, tmp_path)
        _, without = judge(file, tmp_path / "without")
        assert without == {"CBIL-02": "pass", "CBIL-18": "not_verified", "CBIL-19": "not_verified"}
        assert server.spent < 0.1
        refused, _ = judge(file, tmp_path / "dear", "--max-spend", "2")
        assert refused.code == 2
        assert "the worst case of this run is" in refused.err
        assert server.spent < 0.1
        done, within = judge(file, tmp_path / "within", "--max-spend", "30")
        assert within == dict.fromkeys(_ROWS, "pass"), done.out
        assert 4.0 < server.spent < 30


def test_a_flat_tariff_is_found_without_upstream_control(tmp_path: Path) -> None:
    with plain_server(flaws=("flat-tier",)) as server:
        done, verdicts = judge(target_file(server, tmp_path), tmp_path / "run", "--max-spend", "30")
    assert (done.code, verdicts["CBIL-19"], verdicts["CBIL-18"]) == (1, "fail", "pass")


def test_a_dry_run_sends_nothing_and_counts_what_a_run_would_send(tmp_path: Path) -> None:
    with plain_server() as server:
        file = target_file(server, tmp_path)
        dry = command("run", "--target", str(file), "--dry-run", env={"K": KEY})
        assert (dry.code, server.calls) == (0, 0)
        counted = int(dry.out.split("Calls: ")[1].split()[0])
        command("run", "--target", str(file), "--out", str(tmp_path / "run"), env={"K": KEY})
        report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert "Worst case: " in dry.out
    assert "Not rehearsed" not in dry.out
    # Answers steer a few probes (a refused set of parameters is split), so the two differ a little.
    assert abs(counted - report["spent"]["calls"]) <= 0.25 * report["spent"]["calls"]
    assert server.spent <= float(dry.out.split("Worst case: ")[1].split()[0])


def test_a_dry_run_of_the_embedded_pair_rehearses_every_probe() -> None:
    done = command("run", "--dry-run")
    assert done.code == 0
    assert "Not rehearsed" not in done.out
    assert "Credits at most: " in done.out


def test_a_missing_price_is_named() -> None:
    done = command(
        *("run", "--target", "http://127.0.0.1:9/v1", "--key-env", "K", "--model", "m", "--max-spend", "1"),
        env={"K": KEY},
    )
    assert (done.code, done.sentence) == (
        2,
        "weighbridge: --max-spend needs a price for every model that is called; add rates.m",
    )


def test_the_worst_price_counts_every_byte_and_the_longest_answer() -> None:
    request = Request("POST", f"{EMBEDDED_SHAPE.surfaces['chat'].url}/chat/completions", (), b"")
    body = json.dumps({"model": "gpt-5.5", "messages": [], "max_tokens": 10, "n": 2}).encode()
    call = planned(EMBEDDED_SHAPE, "chat", replace(request, body=body))
    assert call == Planned("chat", "gpt-5.5", len(body), 20)
    scripted = b'{"model": "gpt-5.5", "messages": "[[wb:w1-1;in=400000;out=7]]"}'
    assert planned(EMBEDDED_SHAPE, "chat", replace(request, body=scripted)).prompt == 400_000
    assert bill(Planned("chat", "m", 300_000, 100), {"input": 2, "output": 4}) == 300_000 * 4 + 600


# ------------------------------------------------------------------ whose token counts
def reply(prompt: int, completion: int) -> Call:
    """A scripted plain call that was answered with these counts."""
    body = {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}
    request = Request("POST", "http://h/v1/chat/completions", (), b"x" * 200)
    response = Response(200, (), (Chunk(0.0, json.dumps(body).encode()),))
    seen = Exchange("w1-1", request, response, Ending.COMPLETE, 0.0, 0.1)
    return Call(seen, "plain", "chat", "openai", "m", scenario=SCRIPT)


@pytest.mark.parametrize(
    ("prompt", "completion", "owner"),
    [
        (12_347, 919, "upstream"),
        (40, 6, "own"),
        (919, 12_347, None),  # swapped: counted by nobody
        (40, 920, None),  # one too many: no tokenizer makes that of 24 bytes
        (0, 0, None),
    ],
)
def test_counts_that_nobody_can_have_made_are_no_counts_of_ones_own(
    prompt: int, completion: int, owner: str | None
) -> None:
    call = reply(prompt, completion)
    assert whose(call) == owner
    assert own_counters([call], ()) == (("m",) if owner == "own" else ())
    assert own_counters([call], ["m"]) == ()


def test_rows_on_scripted_counts_are_not_verified_where_counts_are_own() -> None:
    call = reply(40, 6)
    broken = Finding(Outcome.BROKEN, "a charge of 1 USD", "2 USD", (call.id,))
    seen = {"p": Observation("p", (call,))}
    own = RunFacts(own_usage=("m",))
    found = spared(broken, ("CBIL-02",), seen, own)
    assert (found.outcome, found.missing) == (Outcome.NOT_VERIFIED, MISSING)
    assert spared(broken, ("CBIL-02",), seen, RunFacts()) == broken
    assert spared(broken, ("CSTR-03",), seen, own) == broken  # nothing to do with counts
