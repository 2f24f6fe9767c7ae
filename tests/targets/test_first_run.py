"""From a URL and a key to a verdict: `init` asks little and finds out the rest, `check` measures what is declared."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.running import ROOT, command, served
from tests.targets.plain_server import KEY, MODEL, plain_server
from weighbridge.catalogue import load as load_catalogue
from weighbridge.coverage import coverage
from weighbridge.embed import EMBEDDED_SHAPE
from weighbridge.initial import Answers, Found, candidates, normal, surfaces_of, text_of
from weighbridge.plan import Selection, make_plan
from weighbridge.suite import load_checks
from weighbridge.target_file import load


def test_three_answers_lead_to_the_first_verdict(tmp_path: Path) -> None:
    """On a terminal: URL, variable, model; then the file runs as it is."""
    file = tmp_path / "target.yaml"
    with plain_server() as server:
        mine, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "weighbridge", "init", str(file)],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PLAIN_KEY": KEY},
        )
        os.close(theirs)
        try:
            # The root is enough, the /v1 is found; the model is the listed one, by return.
            os.write(mine, f"{server.url.removesuffix('/v1')}\nPLAIN_KEY\n\n".encode())
            out = process.communicate(timeout=60)[0].decode()
        finally:
            os.close(mine)
            process.kill()
            process.wait()
        assert process.returncode == 0, out
        target = load(file, {"PLAIN_KEY": KEY})
        assert target.surfaces["chat"].url == server.url
        assert target.models == {"openai": MODEL}
        run = command(
            "run", "--target", str(file), "--quick", "--out", str(tmp_path / "run"), env={"PLAIN_KEY": KEY}
        )
        assert run.code == 0, run.out
        checked = command("check", str(file), env={"PLAIN_KEY": KEY})
    assert checked.code == 0, checked.out + checked.err
    assert "an unknown key is refused" in checked.out
    assert "upstream: {simulator: http://127.0.0.1:8890}" in checked.out


def test_nobody_to_ask_is_one_sentence_with_the_option(tmp_path: Path) -> None:
    done = command("init", str(tmp_path / "t.yaml"), "--key-env", "K", "--model", "m")
    assert (done.code, done.sentence) == (2, "weighbridge: nobody is there to ask; pass --url")


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("name: mine\n", encoding="utf-8")
    given = ("init", str(file), "--url", "http://127.0.0.1:9", "--key-env", "K", "--model", "m", "--no-probe")
    assert command(*given).code == 2
    assert file.read_text(encoding="utf-8") == "name: mine\n"
    assert command(*given, "--force").code == 0


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gw.example/v1/", "https://gw.example/v1"),
        ("localhost:8000", "http://localhost:8000"),
        ("http://h:1/v1/chat/completions", "http://h:1/v1"),
        ("http://h:1/v1/messages", "http://h:1"),
    ],
)
def test_a_url_is_taken_as_people_type_it(typed: str, meant: str) -> None:
    assert normal(typed) == meant


def test_a_base_path_is_kept_and_the_version_added() -> None:
    assert candidates("https://h/openai") == (("https://h/openai/v1", "https://h/openai"), "https://h/openai")
    assert candidates("https://h/api/v3") == (("https://h/api/v3",), "https://h/api/v3")


@pytest.mark.parametrize(
    ("model", "chat", "messages", "surfaces"),
    [
        ("gpt-5.5", "http://h/v1", "http://h", ["chat"]),
        ("claude-opus-4-8", "http://h/v1", "http://h", ["chat", "messages"]),
        ("claude-opus-4-8", None, "http://h", ["messages"]),
        ("anything", None, None, ["chat"]),
    ],
)
def test_what_is_written_can_be_read(
    model: str, chat: str | None, messages: str | None, surfaces: list[str], tmp_path: Path
) -> None:
    answers = Answers("http://h", "KEY", model, Found(chat, messages, (), ""))
    file = tmp_path / "t.yaml"
    file.write_text(text_of(answers, surfaces_of(answers)), encoding="utf-8")
    target = load(file, {"KEY": "sk-1"})
    assert list(target.surfaces) == surfaces
    make_plan(target, load_catalogue(), (), Selection())


def test_every_commented_line_of_a_new_file_is_valid_when_used(tmp_path: Path) -> None:
    answers = Answers("http://h/v1", "KEY", "m", Found("http://h/v1", None, (), ""))
    lines = text_of(answers, {"chat": "http://h/v1"}).splitlines()
    for number, line in enumerate(lines):
        body = line.strip().removeprefix("# ")
        if not line.strip().startswith("# ") or ": {" not in body:
            continue
        used = [*lines[:number], line.replace("# ", "", 1), *lines[number + 1 :]]
        file = tmp_path / "t.yaml"
        file.write_text("\n".join(used), encoding="utf-8")
        keys = ("KEY", "BROKE_KEY", "REVOKED_KEY", "SECOND_KEY", "OTHER_USER_KEY")
        load(file, dict.fromkeys(keys, "sk-1"))


def test_what_is_declared_in_full_leaves_nothing_to_add() -> None:
    catalogue = load_catalogue()
    plan = make_plan(EMBEDDED_SHAPE, catalogue, (), Selection())
    for one in coverage(EMBEDDED_SHAPE, catalogue, plan, load_checks()):
        assert one.gains == (), one.profile
        assert one.verifiable == one.rows


def test_check_tells_what_does_not_hold(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    with plain_server() as server:
        file.write_text(
            "name: wrong\nprofiles: [openai-chat]\n"
            f"surfaces: {{chat: {{url: '{server.url}'}}}}\n"
            "principals: {chat.funded: {key: '${K}'}, chat.broke: {key: '${K}'}}\n"
            f"models: {{openai: {MODEL}}}\nfeatures: {{authentication: false}}\n"
            f"balance: {{chat: {{http: {{get: '{server.url}/models', json: '$.data[0].created', "
            "headers: {Authorization: 'Bearer ${K}'}}, settle: 0s}}\n",
            encoding="utf-8",
        )
        done = command("check", str(file), env={"K": KEY})
    assert done.code == 3, done.out
    assert "this key works; put one in whose account is empty" in done.out
    assert "did not move after a call" in done.out
    assert "remove authentication: false" in done.out


def test_check_measures_the_embedded_pair() -> None:
    """`serve` prints what the embedded target file needs; every declaration of it holds."""
    with served() as variables:
        done = command("check", "targets/embedded.yaml", env=variables)
    assert done.code == 0, done.out + done.err
    assert "reaches the simulator" in done.out
    assert "upstream (12347 in, 919 out" in done.out
    assert json.dumps("WRONG") not in done.out
