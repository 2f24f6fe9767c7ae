"""What a target, an operator or a terminal can do wrong: one sentence and the right exit code each time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.core.running import ROOT, command
from weighbridge.checks.transcripts import read
from weighbridge.engine import first_cause
from weighbridge.errors import HarnessError, TargetFileError, UnreachableError, UsageError
from weighbridge.evidence import Call, Chunk, Ending, Exchange, Request, Response, UpstreamCall
from weighbridge.hooks import HookError, HookRunner
from weighbridge.preflight import stop_reason
from weighbridge.session import RunOptions, RunSession
from weighbridge.target import Hook, Principal, from_url
from weighbridge.target_file import load

DEEP = "[" * 100_000
URLS = [
    ("http://[::1", "is no URL"),
    ("http://h:99999/v1", "is no URL"),
    ("http://h:0/v1", "port 0"),
    (f"http://{'h' * 70}/v1", "more than 63"),
    ("http://h..x/v1", "empty part"),
    ("http://h x/v1", "a space"),
    ("http://пример/v1", "beyond ASCII"),
    ("ftp://h/v1", "http(s)"),
]


def _call(body: bytes, url: str = "http://127.0.0.1:1/v1") -> Call:
    response = Response(200, (("Content-Type", "text/event-stream"),), (Chunk(0.1, body),))
    seen = Exchange("x", Request("POST", url, (), b"{}"), response, Ending.COMPLETE, 0.0, 0.2)
    return Call(seen, "plain", "chat", role="openai", model="m")


def _one_sentence(err: str, *words: str) -> None:
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    for word in words:
        assert word in lines[0], lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--json", "/proc/x.json"),
        ("run", "--out", "/proc/x"),
        ("run", "--allure", "/proc/x"),
        ("run", "--json", "/dev/null"),
        ("prove", "--json", "/proc/x.json"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_run(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = command(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert done.code == 2, done.out + done.err
    _one_sentence(done.err, *arguments[1:])
    assert done.out == ""


def test_a_place_is_checked_without_a_trace(tmp_path: Path) -> None:
    done = command(
        "run", "--out", str(tmp_path / "a" / "b"), "--json", str(tmp_path / "c" / "r.json"),
        "--target", "http://127.0.0.1:1/v1", "--key-env", "K", "--model", "m",
        env={"K": "abcd1234"},
    )  # fmt: skip
    assert done.code == 4, done.out + done.err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("url", "problem"), URLS)
def test_a_url_that_cannot_be_called_is_refused(url: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as told:
        from_url(url, key="abcd", model="m")
    assert problem in str(told.value)
    path = tmp_path / "target.yaml"
    path.write_text(f"name: x\nsurfaces: {{chat: {{url: '{url}'}}}}\n", encoding="utf-8")
    with pytest.raises(TargetFileError) as told_file:
        load(path, {})
    assert problem in str(told_file.value)
    assert "surfaces.chat.url" in str(told_file.value)


def test_a_broken_url_ends_the_command_with_2() -> None:
    done = command("run", "--target", "http://[::1", "--key-env", "K", "--model", "m", env={"K": "abcd1234"})
    assert done.code == 2
    _one_sentence(done.err, "http://[::1")


@pytest.mark.parametrize("key", ["schlüssel-\u20ac", "abcd\r\nX: y", "abcd\n"])
def test_a_key_that_no_header_can_carry_is_named_and_not_shown(key: str, tmp_path: Path) -> None:
    done = command(
        "run", "--target", "http://127.0.0.1:1/v1", "--key-env", "ODD_KEY", "--model", "m",
        env={"ODD_KEY": key},
    )  # fmt: skip
    assert done.code == 2, done.out + done.err
    _one_sentence(done.err, "ODD_KEY")
    path = tmp_path / "target.yaml"
    path.write_text(
        "name: x\nsurfaces: {chat: {url: http://h/v1}}\nprincipals: {chat.funded: {key: '${K}'}}\n",
        encoding="utf-8",
    )
    with pytest.raises(TargetFileError) as told:
        load(path, {"K": key})
    assert "principals.chat.funded.key" in str(told.value)
    assert "abcd" not in str(told.value) + done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [*a]\n", ("not valid YAML",)),
        ("[" * 20_000, ("not valid YAML",)),
        ("name: 2026-99-99\n", ("not valid YAML", "quote")),
        ("name: x\nsurfaces: {}\nname: y\n", ("'name'", "line 3", "twice")),
        ("name: x\nsurfaces:\n  chat: {url: http://h/v1, url: http://i/v1}\n", ("'url'", "line 3", "twice")),
    ],
)
def test_yaml_that_means_nothing_is_one_sentence(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TargetFileError) as told:
        load(path, {})
    for word in (str(path), *words):
        assert word in str(told.value)


def test_a_merge_key_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    text = "name: x\nsurfaces:\n  chat: &c {url: http://h/v1}\n  messages: {<<: *c, url: http://i}\n"
    path.write_text(text, encoding="utf-8")
    assert load(path, {}).surfaces["messages"].url == "http://i"


def test_a_body_nested_without_end_is_no_json() -> None:
    assert _call(DEEP.encode()).exchange.json is None
    pieces = read(_call(f"data: {DEEP}\n\n".encode())).events
    assert [piece.json for piece in pieces] == [None]
    upstream = UpstreamCall(
        1, "x", "default", "openai", "chat", "POST", "/", (), None, DEEP, "m", False, 0, 200, 0, "complete"
    )  # fmt: skip
    assert upstream.json is None


def test_a_task_group_tells_the_first_sentence_of_ours() -> None:
    ours = HookError("the hook GET http://h failed")
    nested = ExceptionGroup("outer", [ValueError("x"), ExceptionGroup("inner", [KeyError("k"), ours])])
    assert first_cause(nested) is ours
    plain = ValueError("x")
    assert first_cause(ExceptionGroup("outer", [plain])) is plain
    assert first_cause(plain) is plain


def test_a_hook_command_whose_quotes_do_not_match_is_a_hook_error() -> None:
    hook = Hook("GET", "", command="sh -c 'oops")
    with pytest.raises(HookError, match="No closing quotation; correct its quotes"):
        asyncio.run(HookRunner(allow_commands=True).run(hook, {}))


def test_a_hook_whose_url_makes_no_sense_is_a_hook_error() -> None:
    with pytest.raises(HookError, match="cannot be sent"):
        asyncio.run(HookRunner().run(Hook("GET", "http://[::1"), {}))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        header = Hook("GET", url, (("X-Key", "{key}"),))
        with pytest.raises(HookError, match="cannot be sent") as told:
            asyncio.run(HookRunner().run(header, {"key": "s\u20accret"}))
    assert "cret" not in str(told.value)


def test_in_url_mode_the_remedy_names_the_option() -> None:
    url = "http://127.0.0.1:1/v1"
    target = from_url(url, key="abcd", model="m")
    who = Principal("chat", "funded", "abcd")
    refused = Exchange("x", Request("POST", url, (), b""), None, Ending.REFUSED, 0.0, 0.0)
    call = Call(refused, "preflight", "chat", role="openai", model="m")
    told = stop_reason(call, who, url, by_options=target.by_options)
    assert isinstance(told, UnreachableError)
    assert "correct --target" in str(told)
    assert "correct surfaces.chat.url" in str(stop_reason(call, who, url))


def test_results_that_cannot_be_written_after_all_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = RunSession(RunOptions(target=from_url("http://h/v1", key="abcd", model="m"), out=tmp_path))
    monkeypatch.setattr(session, "evidence", object())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "report.json"))

    monkeypatch.setattr("weighbridge.report.document.write", full)
    with pytest.raises(HarnessError, match="No space left"):
        session.write({"target": {}, "run": {}})


def _signalled(arguments: list[str], until: str, number: signal.Signals) -> tuple[int, str, list[int]]:
    """Code, standard error, and the children that it had when the signal came."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "weighbridge", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if until in line:
                break
        children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return process.returncode, err, children


def _all_gone(pids: list[int], bound: float = 10.0) -> bool:
    deadline = time.monotonic() + bound
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    _, alive = psutil.wait_procs(found, timeout=max(0.0, deadline - time.monotonic()))
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_ends_with_130_and_a_line_on_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    code, err, _ = _signalled(["run", "--out", str(tmp_path)], "probes: preflight", number)
    assert code == 130, err
    _one_sentence(err, "weighbridge: interrupted")


PROVE = ["prove", "--defect", "done-missing", "--defect", "refund-per-poll", "--defect", "crlf-line-ends"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_prove_takes_its_workers_along_on_a_signal(number: signal.Signals) -> None:
    code, err, children = _signalled(PROVE, "1/3", number)
    assert code == 130, err
    _one_sentence(err, "weighbridge: interrupted")
    assert children
    assert _all_gone(children)


def test_workers_end_with_a_parent_that_was_killed() -> None:
    code, _, children = _signalled(PROVE, "1/3", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert children
    assert _all_gone(children)


def test_usage_errors_keep_their_text_and_code() -> None:
    done = command("run", "--no-such-option")
    assert done.code == 2
    assert "No such option" in done.err
    assert "interrupted" not in done.err
    assert json.loads(command("list", "profiles", "--json").out)
