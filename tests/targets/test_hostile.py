"""Whatever a target does, a run stays bounded in time and memory, tells it in words, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.core.running import ROOT, Finished, command
from tests.targets.hostile_server import MODEL, MODES, hostile_server
from weighbridge import evidence_file
from weighbridge.evidence import Exchange, Response

#: A run that takes in nothing beside a few small answers was seen to need 80 MB.
_MAX_RSS_KB = 300_000
_SCHEMA = json.loads((ROOT / "spec" / "schemas" / "report.schema.json").read_text(encoding="utf-8"))


def judge(url: str, out: Path, *more: str) -> tuple[Finished, int, float]:
    """A quick run with short patience: what it said, its largest memory in kB, and how long it took."""
    began = time.monotonic()
    measured = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], timeout=100); "
        "print('RSS', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
    )
    named = ("--key-env", "K", "--model", MODEL) if "://" in url else ()
    run = [sys.executable, "-m", "weighbridge", "run", "--target", url, *named]
    done = subprocess.run(
        [sys.executable, "-c", measured, *run, "--out", str(out), "--timeout", "1.5", *more],
        env={**os.environ, "K": "sk-hostile-1", "NO_COLOR": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=130,
        check=False,
    )
    told, _, rss = done.stdout.rpartition("RSS ")
    return Finished(done.returncode, told, done.stderr), int(rss), time.monotonic() - began


#: Bytes that a run with a declared limit takes of one answer: reached in no time, whatever the machine does besides.
_DECLARED = 128 * 1024


def bounded(url: str, folder: Path) -> str:
    """A target file for the server that declares how much of an answer may be taken in."""
    file = folder / "target.yaml"
    file.write_text(
        "name: hostile\nprofiles: [openai-chat]\n"
        f"surfaces: {{chat: {{url: '{url}'}}}}\nprincipals: {{chat.funded: {{key: '${{K}}'}}}}\n"
        f"models: {{openai: {MODEL}}}\nlimits: {{response_bytes: {_DECLARED}}}\n",
        encoding="utf-8",
    )
    return str(file)


def read(out: Path) -> dict[str, Any]:
    """The report, whole by its schema."""
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [error.message for error in Draft202012Validator(_SCHEMA).iter_errors(report)] == []
    return report


@pytest.mark.parametrize("mode", [name for name in MODES if name != "silence"])
def test_a_target_that_turns_hostile_is_judged_within_bounds(mode: str, tmp_path: Path) -> None:
    with hostile_server(mode) as server:
        narrow = ("--requirement", "CRES-01", "--requirement", "CSTR-03", "--requirement", "CERR-01")
        done, rss, seconds = judge(bounded(server.url, tmp_path), tmp_path, *narrow)
    assert "Traceback" not in done.out + done.err
    assert seconds < 60
    assert rss < _MAX_RSS_KB
    report = read(tmp_path)
    assert done.code in {1, 3, 4}, done.out
    told = [row for row in report["requirements"] if row["verdict"] in {"fail", "not_verified"}]
    assert told
    assert [row["id"] for row in told if row["verdict"] == "fail" and not row["evidence"]] == []
    again = command("judge", str(tmp_path))
    assert "Traceback" not in again.err
    assert (tmp_path / "evidence.ndjson").stat().st_size < 4_000_000
    if mode in {"endless-stream", "gigabyte-body", "compressed-bomb"}:
        taken = [len(answer.body) for answer in _answers(tmp_path)]
        assert max(taken) <= _DECLARED + 128 * 1024
        assert "the body went past the size limit" in _details(tmp_path)


@pytest.mark.parametrize("mode", list(MODES))
def test_a_target_that_is_hostile_from_the_start_is_refused_in_one_sentence(
    mode: str, tmp_path: Path
) -> None:
    with hostile_server(mode, healthy=0) as server:
        done, rss, seconds = judge(server.url, tmp_path)
    assert done.code == 4 if mode != "compressed-bomb" else done.code in {1, 3, 4}
    assert "Traceback" not in done.out + done.err
    if mode != "compressed-bomb":
        assert len(done.err.strip().splitlines()) == 1
        assert done.err.startswith("weighbridge: ")
    assert seconds < 60
    assert rss < _MAX_RSS_KB


def test_broken_tls_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with hostile_server(broken_tls=True) as server:
        done, rss, seconds = judge(server.url, tmp_path)
    assert done.code == 4
    assert (rss < _MAX_RSS_KB, seconds < 60) == (True, True)
    assert "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_target_that_dies_half_way_leaves_a_truncated_report(tmp_path: Path) -> None:
    with hostile_server(dies_after=8) as server:
        done, rss, seconds = judge(server.url, tmp_path)
    report = read(tmp_path)
    assert rss < _MAX_RSS_KB
    assert done.code == 4, done.out + done.err
    assert "nothing listens" in report["run"]["truncated"]
    assert report["run"]["scope"] == "partial"
    assert {claim["status"] for claim in report["claims"]} == {"partial"}
    assert "The run ended early" in done.out
    assert seconds < 60
    # What broke off while it died accuses nobody.
    endings = _endings(tmp_path)
    refs = {ref for row in report["requirements"] if row["verdict"] == "fail" for ref in row["evidence"]}
    assert {endings[ref] for ref in refs if ref in endings} <= {"complete"}
    again = command("judge", str(tmp_path))
    assert "The recorded run ended early" in again.out


def test_a_target_that_falls_silent_leaves_a_truncated_report(tmp_path: Path) -> None:
    with hostile_server("silence", healthy=4) as server:
        done, _, seconds = judge(server.url, tmp_path)
    assert done.code == 4, done.out + done.err
    assert "answers nothing any more" in read(tmp_path)["run"]["truncated"]
    assert seconds < 60


def _exchanges(out: Path) -> list[Exchange]:
    observations = evidence_file.read(out / "evidence.ndjson")[0].observations.values()
    return [call.exchange for observation in observations for call in observation.calls]


def _answers(out: Path) -> list[Response]:
    return [seen.response for seen in _exchanges(out) if seen.response is not None]


def _details(out: Path) -> list[str]:
    return [seen.detail for seen in _exchanges(out)]


def _endings(out: Path) -> dict[str, str]:
    observations = evidence_file.read(out / "evidence.ndjson")[0].observations.values()
    return {call.id: call.exchange.ending.value for observation in observations for call in observation.calls}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_still_writes_its_report(number: signal.Signals, tmp_path: Path) -> None:
    with hostile_server("slow-headers", healthy=6) as server:
        reached = threading.Event()
        server.on_call = lambda count: reached.set() if count >= 8 else None
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "weighbridge", "run", "--target", server.url, "--key-env", "K"),
                *("--model", MODEL, "--out", str(tmp_path)),
            ],
            env={**os.environ, "K": "sk-hostile-1", "NO_COLOR": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert reached.wait(60)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    report = read(tmp_path)
    assert report["run"]["truncated"] == "interrupted"
    assert sum(report["counts"].values()) == len(report["requirements"]) > 60


def test_what_an_interrupted_run_made_is_removed_and_its_commands_are_ended(tmp_path: Path) -> None:
    removed, slow = tmp_path / "removed", tmp_path / "slow.pid"
    (tmp_path / "make.sh").write_text(
        f'n=$(ls "{tmp_path}" | wc -l); echo $$ > "{slow}.$$"; '
        'echo "{\\"key\\": \\"sk-made-$$\\", \\"account\\": \\"acct-$$\\"}"\n',
        encoding="utf-8",
    )
    (tmp_path / "target.yaml").write_text(
        "name: hooked\nprofiles: [openai-chat]\n"
        "surfaces: {chat: {url: '${URL}'}}\n"
        "principals: {chat.funded: {key: '${K}'}}\n"
        f"models: {{openai: {MODEL}}}\n"
        f"accounts: {{chat: {{command: 'sh {tmp_path}/make.sh {{balance}}', pick: {{key: $.key, account: $.account}}}}}}\n"
        f"hooks: {{remove_account: {{chat: {{command: 'sh -c \"echo {{account}} >> {removed}; echo 1\"'}}}}}}\n",
        encoding="utf-8",
    )
    with hostile_server(None) as server:
        done = command(
            *("run", "--target", str(tmp_path / "target.yaml"), "--allow-commands", "--timeout", "2"),
            *("--requirement", "CREQ-01", "--requirement", "CREQ-05", "--out", str(tmp_path / "run")),
            env={"URL": server.url, "K": "sk-hostile-1"},
        )
    report = read(tmp_path / "run")
    made = [item for item in report["made"] if item["kind"] == "account"]
    assert made, done.out
    assert {item["removed"] for item in made} == {True}
    assert sorted(removed.read_text(encoding="utf-8").split()) == sorted(item["id"] for item in made)
