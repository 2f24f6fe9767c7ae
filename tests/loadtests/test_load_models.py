"""The load models, end to end: real runs of a few seconds through the command and through locust itself."""

import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.loadtests.plain_locust import free_port, honest_code, plain_locust
from weighbridge.cli import main

PLAIN = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]
}
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":" you"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def answer(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM, WHOLE = answer(b"text/event-stream", EVENTS), answer(b"application/json", json.dumps(PLAIN).encode())


@pytest.fixture
def serving(hostile: Any) -> Any:
    """Every call is answered some 20 ms later, never more than eight at a time."""
    room = threading.Semaphore(8)

    def script(peer: Any) -> bool:
        streamed = b'"stream": true' in hostile.requests[-1]
        with room:
            threading.Event().wait(0.02)
        peer.sendall(STREAM if streamed else WHOLE)
        return True

    hostile.script = script
    return hostile


@pytest.fixture
def target(serving: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LOAD_TEST_KEY", "sk-load-models")
    return ["--target", serving.url, "--key-env", "LOAD_TEST_KEY", "--model", "m"]


def load(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["load", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def figures(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "load.json").read_text())
    return found


def expected(document: dict[str, Any], code: int) -> int:
    """The exit code, unless a busy machine made the client say that it is not to be believed."""
    return code if document["client"]["ok"] or code == 1 else 5


def test_an_open_load_makes_its_starts_and_gates_them(target: list[str], tmp_path: Path) -> None:
    code = load(*target, "--rate", "40", "--duration", "3s", "--warm-up", "500ms", "--out", str(tmp_path),
                "--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "m.md"), "--html", str(tmp_path / "h.html"),
                "--gate", "goodput(ttft<2s,stall<2s)>=90%", "--gate", "tokens_per_s>=1")  # fmt: skip
    found = figures(tmp_path)
    assert code == expected(found, 0)
    assert all(item["met"] for item in found["gates"])
    streams = found["streams"]
    assert 80 <= streams["started"] <= 165
    assert streams["started"] == streams["completed"] + streams["unfinished"]
    assert streams["dropped"] == 0
    assert found["latencies_ms"]["ttft"]["p50"] >= found["latencies_ms"]["ttft_sent"]["p50"] >= 19
    assert found["headline"]["token_source"] == "content events"
    assert sum(item["counts"].get("started", 0) for item in found["slices"]) == streams["started"]
    assert "<testcase" in (tmp_path / "j.xml").read_text()
    assert "goodput" in (tmp_path / "m.md").read_text()
    assert (tmp_path / "h.html").read_text() == (tmp_path / "load.html").read_text()


def test_starts_beyond_the_cap_miss_the_default_gate(target: list[str], tmp_path: Path) -> None:
    code = load(*target, "--rate", "200", "--arrivals", "constant", "--max-in-flight", "2", "--duration", "2s",
                "--warm-up", "200ms", "--out", str(tmp_path))  # fmt: skip
    found = figures(tmp_path)
    assert code == 1
    assert found["streams"]["dropped"] > 50
    assert [item["gate"] for item in found["gates"] if not item["met"]] == ["dropped<=0 (the default)"]


def test_two_processes_share_an_open_load(target: list[str], tmp_path: Path, serving: Any) -> None:
    load(*target, "--rate", "50", "--arrivals", "constant", "--processes", "2", "--duration", "3s", "--warm-up", "500ms",
         "--out", str(tmp_path))  # fmt: skip
    found = figures(tmp_path)
    assert len(found["client"]["processes"]) == 2
    assert 110 <= found["streams"]["started"] <= 151
    assert found["streams"]["started"] == len(serving.requests) - 1


def test_a_shape_moves_the_users(target: list[str], tmp_path: Path) -> None:
    load(*target, "--users", "12", "--shape", "0s:0.1,2s:0.1,2s:1,5s:1", "--duration", "5s", "--warm-up", "500ms",
         "--out", str(tmp_path))  # fmt: skip
    started = {item["at_s"]: item["counts"].get("started", 0) for item in figures(tmp_path)["slices"]}
    assert started[4] > 2 * started[0] > 0


def test_capacity_is_searched_and_its_knee_drawn(target: list[str], serving: Any, tmp_path: Path) -> None:
    """A user keeps one connection, and the server serves twenty at a time: the limit is the same on any machine."""
    most, lock = 20, threading.Lock()
    ranks: dict[Any, int] = {}

    def script(peer: Any) -> bool:
        if b'"stream": true' not in serving.requests[-1]:
            peer.sendall(WHOLE)
            return True
        with lock:
            if peer not in ranks:
                taken = {rank for other, rank in ranks.items() if other.fileno() >= 0}
                ranks[peer] = next(rank for rank in itertools.count(1) if rank not in taken)
        threading.Event().wait(0.02)
        peer.sendall(STREAM if ranks[peer] <= most else BUSY)
        return True

    serving.script = script
    code = load(*target, "--capacity", "1..80", "--duration", "2s", "--warm-up", "200ms", "--out", str(tmp_path),
                "--gate", "ttft.p50<60s", "--gate", "errors.http_429<=0")  # fmt: skip
    search = figures(tmp_path)["capacity"]
    assert search["unit"] == "users"
    for step in search["steps"]:
        assert step["met"] == (step["trusted"] and step["level"] <= most)
    doubtful = [step["level"] for step in search["steps"] if not step["trusted"]]
    # A machine that is busy with other work makes the client the limit, and the search says so.
    if not doubtful:
        assert search["found"] == most
        assert f"{most} users: 22 users fails: errors.http_429<=0 is missed" in search["statement"]
    else:
        assert search["found"] is None or search["found"] < min(doubtful)
    assert code == expected(figures(tmp_path), 0)
    assert "Capacity" in (tmp_path / "load.html").read_text()


def test_a_mix_against_the_embedded_pair_is_judged_reconciled_and_compared(tmp_path: Path) -> None:
    code = load("--mix", "chat=2,messages,plain@side", "--users", "4", "--duration", "3s", "--warm-up", "500ms",
                "--gate", "added.ttft.p50<5s", "--out", str(tmp_path))  # fmt: skip
    found = figures(tmp_path)
    assert code == expected(found, 0)
    assert set(found["lanes"]) == {"chat", "messages", "plain@side"}
    assert all(item["completed"] and not item["failed"] for item in found["lanes"].values())
    money = found["money"]
    assert (money["ok"], money["skipped"]) == (True, False)
    assert money["charged_pico"] > 0
    assert set(found["direct"]["latencies_ms"]) >= {"ttft", "icl", "e2e", "plain"}
    report = json.loads((tmp_path / "report.json").read_text())
    verdicts = {row["id"]: row["verdict"] for row in report["requirements"]}
    assert set(verdicts.values()) == {"pass"}
    assert {"CSTR-03", "MSTR-03"} <= set(verdicts)


def test_media_tasks_are_submitted_and_polled_within_the_declared_limit(tmp_path: Path) -> None:
    load(
        "--mix",
        "tasks:image",
        "--users",
        "6",
        "--duration",
        "4s",
        "--warm-up",
        "100ms",
        "--out",
        str(tmp_path),
    )
    found = figures(tmp_path)
    assert found["streams"]["failed"] == 0
    assert found["streams"]["completed"] >= 3
    assert found["streams"]["paced"] > 5
    assert found["latencies_ms"]["task"]["p50"] >= 300
    assert found["latencies_ms"]["poll"]["count"] >= found["latencies_ms"]["submit"]["count"]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--rate", "900000"], 2, "cannot be offered: one process of this client makes at most"),
        (["--arrivals", "poison", "--rate", "5"], 2, "did you mean 'poisson'?"),
        (["--arrivals", "constant"], 2, "needs --rate"),
        (["--mix", "chats"], 2, "did you mean 'chat'?"),
        (["--mix", "messages"], 2, "needs surfaces.messages"),
        (["--mix", "chat", "--surface", "chat"], 2, "leave --surface out"),
        (["--shape", "wave"], 2, "no shape 'wave'"),
        (["--capacity", "9..3"], 2, "the lowest and the highest level"),
        (["--capacity", "0.4..3"], 2, "it counts users; write whole numbers"),
        (["--baseline"], 2, "needs the provider's own URL"),
        (["--gate", "added.ttft.p50<2ms", "--capacity", "1..9"], 2, "takes no direct baseline"),
        (["--direct", "http://127.0.0.1:9/v1"], 2, "needs --direct-key-env"),
        (["--gates", "nowhere.yaml"], 2, "cannot be read"),
        (["--out", "{file}"], 2, "--out"),
        (["--json", "{file}/x.json"], 2, "--json"),
        (["--html", "{folder}"], 2, "--html"),
        (["--script", "chunks=3"], 2, "needs a target whose provider is the simulator"),
    ],
)
def test_what_cannot_be_is_said_before_the_load(
    target: list[str], serving: Any, tmp_path: Path, arguments: list[str], code: int, part: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "file"
    file.write_text("")
    filled = [item.format(file=file, folder=tmp_path) for item in arguments]
    assert load(*target, *filled) == code
    said = capsys.readouterr()
    assert part in said.err
    assert said.err.count("\n") == 1
    assert "Loading" not in said.out
    assert not any(b'"stream": true' in request for request in serving.requests)


# -------------------------------------------------------------------------------- locust itself
def test_plain_locust_merges_the_figures_of_its_workers_exactly(serving: Any, tmp_path: Path) -> None:
    port = str(free_port())
    process = plain_locust(
        serving.url, tmp_path, "--headless", "--only-summary", "--users", "4", "--spawn-rate", "4", "--run-time", "4",
        "--processes", "2", "--stop-timeout", "5", "--master-bind-host", "127.0.0.1", "--master-bind-port", port,
        "--master-port", port, WEIGHBRIDGE_MIX="chat,plain", WEIGHBRIDGE_WARM_UP="100ms",
    )  # fmt: skip
    said, errors = process.communicate(timeout=60)
    assert process.returncode == honest_code(said), errors
    whole = int(
        next(line for line in said.splitlines() if "calls whole" in line).split(" calls")[0].replace(",", "")
    )
    assert whole == len(serving.requests)
    assert "chat " in said
    assert "plain" in said


def test_plain_locust_replays_a_trace(serving: Any, tmp_path: Path) -> None:
    (tmp_path / "starts").write_text("".join(f"{moment / 20}\n" for moment in range(30)))
    process = plain_locust(
        serving.url, tmp_path, "--headless", "--only-summary", "--users", "1", "--run-time", "3", "--stop-timeout", "5",
        WEIGHBRIDGE_ARRIVALS=f"trace:{tmp_path / 'starts'}", WEIGHBRIDGE_WARM_UP="100ms",
    )  # fmt: skip
    said, errors = process.communicate(timeout=60)
    assert process.returncode == honest_code(said), errors
    assert "30 calls whole" in said
    assert len(serving.requests) == 30


@pytest.mark.parametrize("users", ["1", "2"])
def test_workers_started_one_by_one_share_the_starts_of_an_open_load(
    serving: Any, tmp_path: Path, users: str
) -> None:
    port = str(free_port())
    start = partial(
        plain_locust, serving.url, tmp_path, WEIGHBRIDGE_ARRIVALS="constant", WEIGHBRIDGE_RATE="20", WEIGHBRIDGE_WARM_UP="100ms"
    )  # fmt: skip
    master = start(
        "--master", "--expect-workers", "2", "--headless", "--only-summary", "--users", users,
        "--spawn-rate", "2", "--run-time", "3", "--stop-timeout", "5", "--master-bind-host", "127.0.0.1",
        "--master-bind-port", port,
    )  # fmt: skip
    workers = [start("--worker", "--master-host", "127.0.0.1", "--master-port", port) for _ in range(2)]
    said, errors = master.communicate(timeout=60)
    for worker in workers:
        worker.communicate(timeout=60)
    assert master.returncode == honest_code(said), errors
    assert "calls whole" in said
    assert 40 <= len(serving.requests) <= 62


@pytest.fixture
def web(serving: Any, tmp_path: Path) -> Iterator[str]:
    """Locust with its web UI, loading."""
    port = free_port()
    process = plain_locust(
        serving.url, tmp_path, "--web-host", "127.0.0.1", "--web-port", str(port), "--autostart", "--users", "3",
        "--spawn-rate", "3", WEIGHBRIDGE_WARM_UP="100ms",
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_web_ui_has_a_page_of_ours(web: str, serving: Any) -> None:
    deadline = time.monotonic() + 40
    page = ""
    while time.monotonic() < deadline and "Time to first token" not in page:
        threading.Event().wait(0.3)
        try:
            with urllib.request.urlopen(f"{web}/weighbridge", timeout=5) as seen:
                page = seen.read().decode()
        except (urllib.error.URLError, ConnectionError):
            continue
    assert "Running" in page
    assert '<meta http-equiv="refresh"' in page
    assert "Time to first token" in page
    with urllib.request.urlopen(web, timeout=5) as seen:
        assert seen.status == 200
