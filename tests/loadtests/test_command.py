"""`weighbridge load` end to end: real runs of a few seconds, its files, its exit codes, its processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
from lxml import etree

from tests.loadtests.plain_locust import honest_code
from weighbridge.cli import main
from weighbridge.locate import folder
from weighbridge.recorded import judge_again, load_report

KEY = "sk-load-test-secret"
CHAT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b'{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(content: str | None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    return piece(b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n")


DONE = piece(b"data: [DONE]\n\n")
GOOD = CHAT_HEAD + event("Hello") + event(" world") + event(None, "stop") + DONE + b"0\r\n\r\n"


def serving(hostile: Any, streams: Callable[[int], bytes]) -> None:
    """Plain calls are answered well; the n-th stream with `streams(n)`, some 20 ms later."""
    count = 0
    lock = threading.Lock()

    def script(peer: Any) -> bool:
        nonlocal count
        asked = json.loads(hostile.requests[-1].partition(b"\r\n\r\n")[2])
        if not asked.get("stream"):
            peer.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(PLAIN), PLAIN)
            )
            return True
        with lock:
            count += 1
            number = count
        threading.Event().wait(0.02)
        answer = streams(number)
        peer.sendall(answer)
        return answer.endswith(b"0\r\n\r\n")

    hostile.script = script


def load(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["load", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def target(hostile: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LOAD_TEST_KEY", KEY)
    return ["--target", hostile.url, "--key-env", "LOAD_TEST_KEY", "--model", "m"]


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    schema = json.loads((Path(__file__).parents[2] / "spec/schemas/report.schema.json").read_text())
    report = load_report(folder)
    jsonschema.validate(report, schema)
    figures: dict[str, Any] = json.loads((folder / "load.json").read_text())
    return report, figures


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {row["id"]: row["verdict"] for row in report["requirements"]}


def test_the_embedded_pair_under_load_is_judged_by_the_same_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code = load(
        "--users", "5", "--duration", "2s", "--warm-up", "300ms", "--out", str(out),
        "--gate", "ttft.p50<2s", "--gate", "completion>=100%", "--json", str(tmp_path / "copy.json"),
    )  # fmt: skip
    report, figures = read(out)
    # A machine that is busy with other work makes the client say so; its figures are then not believed.
    assert code == (0 if figures["client"]["ok"] else 5)
    assert report["run"]["scope"] == "partial"
    assert verdicts(report) == dict.fromkeys(("CSTR-03", "CSTR-04", "CSTR-10", "CSTR-11", "CSTR-12"), "pass")
    assert {claim["status"] for claim in report["claims"]} == {"partial"}
    streams = figures["streams"]
    assert streams["failed"] == 0
    assert streams["completed"] >= 10
    assert streams["started"] == streams["completed"] + streams["unfinished"]
    assert figures["connections"] == 5
    assert figures["latencies_ms"]["ttft"]["p50"] >= 60
    assert 6 <= figures["latencies_ms"]["icl"]["p50"] <= 20
    assert report["spent"]["calls"] == streams["started"] + 1
    assert report["upstream_posts"][0]["posts_max"] == 1
    assert json.loads((tmp_path / "copy.json").read_text()) == report
    again = judge_again(out)
    assert {row.requirement.id: row.verdict.value for row in again.judgement.rows} == verdicts(report)
    calls = again.evidence.observations["chat_replies"].calls
    assert len({call.scenario.text for call in calls if call.scenario}) == len(calls) > 1
    printed = capsys.readouterr().out
    assert "  met     ttft.p50<2s" in printed
    assert "5 requirements: 5 pass" in printed


def test_messages_are_loaded_and_judged_by_their_own_rows(tmp_path: Path) -> None:
    code = load("--surface", "messages", "--users", "3", "--duration", "1s", "--warm-up", "100ms",
                "--script", "chunks=5,ttft_ms=20,gap_ms=2", "--out", str(tmp_path))  # fmt: skip
    report, figures = read(tmp_path)
    assert code == (0 if figures["client"]["ok"] else 5)
    assert figures["load"]["url"].endswith("/v1/messages")
    assert figures["streams"]["completed"] > 5
    assert verdicts(report) == dict.fromkeys(("MSTR-03", "MSTR-04", "MSTR-05", "MSTR-07", "MSTR-08"), "pass")
    judgement = judge_again(tmp_path).judgement
    assert {row.requirement.id: row.verdict.value for row in judgement.rows} == verdicts(report)


def test_a_missed_gate_exits_1_and_no_file_holds_the_key(
    hostile: Any, target: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving(hostile, lambda _: GOOD)
    code = load(*target, "--users", "2", "--duration", "1s", "--warm-up", "0s", "--gate", "ttft.p50<1us",
                "--out", str(tmp_path))  # fmt: skip
    assert code == 1
    assert "  MISSED  ttft.p50<1us  (measured" in capsys.readouterr().out
    report, figures = read(tmp_path)
    assert figures["streams"]["failed"] == 0
    assert verdicts(report)["CSTR-03"] == "pass"
    assert verdicts(report)["CSTR-12"] == "not_verified"
    assert f"Bearer {KEY}".encode() in hostile.requests[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "evidence.ndjson",
        "load.html",
        "load.json",
        "report.json",
    ]
    for path in tmp_path.iterdir():
        assert KEY not in path.read_text()


def test_one_broken_stream_among_many_breaks_its_row(
    hostile: Any, target: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = GOOD.replace(DONE, DONE + DONE)
    serving(hostile, lambda number: twice if number == 7 else GOOD)
    code = load(*target, "--users", "2", "--duration", "1s", "--warm-up", "0s", "--out", str(tmp_path),
                "--gate", "completion>=1%", "--junit", str(tmp_path / "junit.xml"))  # fmt: skip
    assert code == 1
    report, figures = read(tmp_path)
    assert figures["failures"] == {"broken_ending": 1}
    # A CI that reads nothing but this file must not take the load for a green one.
    cases = etree.parse(tmp_path / "junit.xml")
    etree.XMLSchema(etree.parse(Path(__file__).parents[1] / "report" / "junit.xsd")).assertValid(cases)
    assert [str(name)[:7] for name in cases.xpath("//testcase[failure]/@name")] == ["CSTR-04"]
    assert figures["streams"]["completed"] > 20
    assert verdicts(report)["CSTR-04"] == "fail"
    assert verdicts(report)["CSTR-03"] == "pass"
    printed = capsys.readouterr().out
    assert "FAIL  CSTR-04" in printed
    assert "[DONE] 2 times" in printed


def test_failures_that_show_themselves_miss_the_default_gate_and_break_no_row(
    hostile: Any, target: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {
        0: b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        1: CHAT_HEAD + event("Hel"),
        2: CHAT_HEAD + event("Hel") + piece(b'data: {"error":{"message":"x"}}\n\n') + b"0\r\n\r\n",
    }
    serving(hostile, lambda number: answers.get(number % 4, GOOD))
    code = load(*target, "--users", "2", "--duration", "1s", "--warm-up", "0s", "--out", str(tmp_path))
    assert code == 1
    report, figures = read(tmp_path)
    assert set(figures["failures"]) == {"http_5xx", "truncated", "error_event"}
    assert {verdicts(report)[row] for row in ("CSTR-03", "CSTR-04", "CSTR-10", "CSTR-11")} == {"pass"}
    assert "  MISSED  completion>=100% (the default)" in capsys.readouterr().out
    evidence = judge_again(tmp_path).evidence
    situations = {call.situation for call in evidence.observations["chat_replies"].calls}
    assert situations == {"plain", "load-http_5xx", "load-truncated", "load-error_event"}


def test_two_client_processes_lose_and_double_no_stream(
    hostile: Any, target: list[str], tmp_path: Path
) -> None:
    serving(hostile, lambda _: GOOD)
    load(*target, "--users", "4", "--processes", "2", "--duration", "2s", "--warm-up", "200ms",
         "--out", str(tmp_path))  # fmt: skip
    _, figures = read(tmp_path)
    assert figures["streams"]["started"] == len(hostile.requests) - 1
    assert figures["streams"]["completed"] + figures["streams"]["unfinished"] == len(hostile.requests) - 1
    assert figures["histograms_us"]["ttft"]["cells"]
    assert figures["connections"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--gate", "ttft.p99"], 2, "is no gate"),
        (["--gate", "tps>3"], 2, "no metric 'tps'"),
        (["--duration", "soon"], 2, "--duration 'soon' is not a duration"),
        (["--duration", "1500ms"], 2, "write whole seconds"),
        (["--duration", "2s", "--warm-up", "2s"], 2, "leaves nothing of --duration"),
        (["--users", "2", "--processes", "3"], 2, "--processes 3 is more than --users 2"),
        (["--key-env", "X"], 2, "add --target"),
        (["--target", "nowhere.yaml"], 2, "cannot be read"),
        (
            ["--target", "http://127.0.0.1:1/v1", "--key-env", "UNSET_KEY", "--model", "m"],
            2,
            "no variable UNSET_KEY",
        ),
        (["--surface", "mesages"], 2, "did you mean 'messages'?"),
        (["--script", "chunk=3"], 2, "no key 'chunk'; did you mean 'chunks'?"),
        (["--script", "chunks=many"], 2, "chunks takes a whole number"),
    ],
)
def test_bad_options_end_in_one_sentence(
    arguments: list[str], code: int, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load(*arguments) == code
    said = capsys.readouterr().err
    assert part in said
    assert said.count("\n") == 1


def test_nothing_listening_stops_before_the_load(
    hostile: Any, target: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    hostile.close()
    assert load(*target) == 4
    assert "nothing listens at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body", "code", "part"),
    [
        (b"401 No", b'{"error":{"message":"bad key"}}', 4, "refuses the key of chat.funded"),
        (b"404 No", b'{"error":{"message":"no such model"}}', 2, "does not serve the model 'm'"),
        (b"500 No", b"", 4, "must serve a plain call"),
    ],
)
def test_a_hopeless_target_stops_before_the_load(
    hostile: Any,
    target: list[str],
    capsys: pytest.CaptureFixture[str],
    status: bytes,
    body: bytes,
    code: int,
    part: str,
) -> None:
    def script(peer: Any) -> bool:
        peer.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        return False

    hostile.script = script
    assert load(*target) == code
    said = capsys.readouterr()
    assert part in said.err
    assert "Loading" not in said.out
    assert len(hostile.requests) == 1


def test_a_script_for_a_target_without_simulator_is_refused(
    hostile: Any, target: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    serving(hostile, lambda _: GOOD)
    assert load(*target, "--script", "chunks=3") == 2
    assert "--script needs a target whose provider is the simulator" in capsys.readouterr().err


# ------------------------------------------------------------------------------ processes
@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A load test of the embedded pair in full swing, with all processes that it started."""
    command = "from weighbridge.cli import main; main(['load', '--users', '2', '--duration', '60s'])"
    process = subprocess.Popen(
        [sys.executable, "-c", command],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children: list[psutil.Process] = []
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Loading")
        deadline = time.monotonic() + 30
        while len(children) < 2 and time.monotonic() < deadline:
            children = psutil.Process(process.pid).children(recursive=True)
            threading.Event().wait(0.05)
        assert len(children) == 2
        yield process, children
    finally:
        for child in children:
            if child.is_running():
                child.kill()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_every_process_and_exits_130(
    running: tuple[subprocess.Popen[str], list[psutil.Process]], number: signal.Signals
) -> None:
    process, children = running
    process.send_signal(number)
    _, said = process.communicate(timeout=40)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert psutil.wait_procs(children, timeout=0.5)[1] == []


def test_children_end_even_if_the_parent_is_killed(
    running: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    process, children = running
    process.kill()
    process.wait()
    assert psutil.wait_procs(children, timeout=30)[1] == []


def test_plain_locust_runs_the_folder_from_any_place(hostile: Any, tmp_path: Path) -> None:
    serving(hostile, lambda _: GOOD)
    place = tmp_path / "bundled" / "loadtests"
    shutil.copytree(folder("loadtests"), place, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {
        "WEIGHBRIDGE_TARGET": hostile.url,
        "WEIGHBRIDGE_KEY": KEY,
        "WEIGHBRIDGE_MODEL": "m",
    }
    done = subprocess.run(
        [
            sys.executable, "-P", "-m", "locust", "-f", str(place / "locustfile.py"), "--headless",
            "--only-summary", "--users", "2", "--spawn-rate", "2", "--run-time", "2", "--stop-timeout", "5",
        ],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == honest_code(done.stdout), done.stderr
    assert "completion 100.000%" in done.stdout
    assert "ttft" in done.stdout
    assert "SSE      chat" in done.stderr + done.stdout


def test_plain_locust_without_a_target_says_what_is_missing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEIGHBRIDGE")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "locust", "-f", str(folder("loadtests") / "locustfile.py"), "--headless"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert "weighbridge: export WEIGHBRIDGE_TARGET" in done.stderr
