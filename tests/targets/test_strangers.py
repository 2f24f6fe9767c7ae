"""Servers that never heard of this project: no false accusation, and findings that anybody can repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.running import Finished, command, served
from tests.targets import aiohttp_server
from tests.targets.plain_server import KEY, MODEL, PlainServer, plain_server


def judge(server: PlainServer, out: Path, *more: str) -> tuple[Finished, dict[str, Any]]:
    """A run of the generic profile against a server, with nothing known but URL, key and model."""
    given = ("--target", server.url, "--key-env", "PLAIN_KEY", "--model", MODEL, "--out", str(out))
    done = command("run", *given, *more, env={"PLAIN_KEY": KEY})
    assert (out / "report.json").exists(), done.out + done.err
    return done, json.loads((out / "report.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("quirks", [(), ("llama",), ("bare", "comments")], ids=["strict", "llama", "bare"])
def test_a_correct_server_is_accused_of_nothing(quirks: tuple[str, ...], tmp_path: Path) -> None:
    with plain_server(*quirks) as server:
        done, report = judge(server, tmp_path)
    assert done.code == 0, done.out
    assert {
        row["id"] for row in report["requirements"] if row["verdict"] in {"fail", "harness_error"}
    } == set()
    assert report["counts"]["pass"] >= 40
    assert not [row["id"] for row in report["requirements"] if row["inside_scope"]]


def run_against(url: str, key: str, model: str, out: Path, *more: str) -> tuple[Finished, dict[str, Any]]:
    """A whole run with a URL, a key and a model."""
    given = ("--target", url, "--key-env", "STRANGE_KEY", "--model", model, "--out", str(out))
    done = command("run", *given, *more, env={"STRANGE_KEY": key})
    assert (out / "report.json").exists(), done.out + done.err
    return done, json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_an_engine_without_tools_is_conformant_and_told_to_lack_them(tmp_path: Path) -> None:
    with aiohttp_server.engine() as url:
        done, report = run_against(url, aiohttp_server.KEY, aiohttp_server.MODEL, tmp_path, "--require-claim")
        checked = command(
            *("check", str(written(url, aiohttp_server.MODEL, tmp_path))),
            env={"STRANGE_KEY": aiohttp_server.KEY},
        )
    assert done.code == 0, done.out
    verdicts = {row["id"]: row["verdict"] for row in report["requirements"]}
    assert not set(verdicts.values()) & {"fail", "harness_error"}
    assert {verdicts["CRES-16"], verdicts["PRAC-13"]} == {"unsupported"}
    assert {row["id"] for row in report["requirements"] if row["inside_scope"]} == set()
    assert "chat tools" in checked.out
    assert "refused with 400; if that is meant, declare features: {tools: false}" in checked.out
    assert "chat vision" in checked.out


def written(url: str, model: str, folder: Path) -> Path:
    """The smallest target file."""
    file = folder / "target.yaml"
    file.write_text(
        f"name: strange\nprofiles: [openai-chat]\nsurfaces: {{chat: {{url: '{url}'}}}}\n"
        f"principals: {{chat.funded: {{key: '${{STRANGE_KEY}}'}}}}\nmodels: {{openai: '{model}'}}\n",
        encoding="utf-8",
    )
    return file


def test_the_reference_gateway_is_conformant_as_a_bare_url(tmp_path: Path) -> None:
    with served() as variables:
        key = variables["WB_CHAT_KEY"]
        chat = run_against(variables["WB_CHAT_URL"], key, "gpt-5.5", tmp_path / "chat")
        native = run_against(
            *(variables["WB_MESSAGES_URL"], key, "claude-opus-4-8", tmp_path / "messages"),
            *("--profile", "anthropic-messages"),
        )
    for done, report in (chat, native):
        assert done.code == 0, done.out
        verdicts = {row["verdict"] for row in report["requirements"]}
        assert not verdicts & {"fail", "warn", "harness_error", "unsupported"}, done.out


def test_url_and_key_are_enough_to_be_conformant(tmp_path: Path) -> None:
    with plain_server("tools") as server:
        done, report = judge(server, tmp_path, "--require-claim")
    assert [claim["status"] for claim in report["claims"]] == ["conformant"], done.out
    assert done.code == 0, done.out


def test_a_model_that_calls_no_tool_is_not_accused(tmp_path: Path) -> None:
    with plain_server() as server:
        done, report = judge(server, tmp_path, "--requirement", "CRES-16")
    row = next(row for row in report["requirements"] if row["id"] == "CRES-16")
    assert (done.code, row["verdict"], row["inside_scope"]) == (0, "not_verified", False)
    assert row["missing"] == "a model that calls the tool it is told to call"


def test_a_baseline_keeps_quiet_about_what_it_lists_and_about_nothing_else(tmp_path: Path) -> None:
    known = tmp_path / "known.yaml"
    with plain_server(flaws=("no-done",)) as server:
        _, first = judge(server, tmp_path / "first", "--quick")
        written = command("baseline", str(tmp_path / "first"), "--out", str(known))
        assert written.code == 0, written.err
        again, report = judge(server, tmp_path / "again", "--quick", "--baseline", str(known))
        assert again.code == 0, again.out
    # Without [DONE] nobody can say whether it comes last, so that row is known as well.
    assert [item["requirement"] for item in report["baseline"]["listed"]] == ["CSTR-03", "CSTR-04"]
    broken = ["CSTR-03", "CSTR-04"]
    assert _first_summary_line(again.out).startswith(
        f"Baseline {known}: {len(broken)} baselined findings, 0 unl"
    )
    assert [claim["status"] for claim in report["claims"]] == [claim["status"] for claim in first["claims"]]

    with plain_server(flaws=("no-done", "text-finish")) as server:
        worse, report = judge(server, tmp_path / "worse", "--quick", "--baseline", str(known))
    assert worse.code == 1
    assert {item["requirement"] for item in report["baseline"]["unlisted"]} == {"CRES-09"}

    with plain_server() as server:
        better, report = judge(
            server,
            tmp_path / "better",
            "--quick",
            "--baseline",
            str(known),
            "--diff",
            str(tmp_path / "first"),
        )
    assert better.code == 1
    assert [item["requirement"] for item in report["baseline"]["stale"]] == broken
    assert f"STALE {broken[0]}" in better.out
    assert {item["id"] for item in report["diff"]["better"]} >= set(broken)
    assert report["diff"]["worse"] == []
    assert "better CSTR-03: fail -> pass" in better.out


def _first_summary_line(out: str) -> str:
    return next(line for line in out.splitlines() if line and not line.startswith((" ", "Judging")))


def test_a_row_outside_the_run_makes_no_entry_stale(tmp_path: Path) -> None:
    known = tmp_path / "known.yaml"
    known.write_text("entries:\n- {requirement: CSTR-03, reason: known to us}\n", encoding="utf-8")
    with plain_server() as server:
        done, report = judge(server, tmp_path / "run", "--requirement", "CRES-09", "--baseline", str(known))
    assert done.code == 0, done.out
    assert report["baseline"]["unseen"] == [{"requirement": "CSTR-03", "reason": "known to us"}]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("entries:\n- {requirement: CSTR-99, reason: gone}\n", "there is no requirement 'CSTR-99'"),
        (
            "entries:\n- {requirement: CSTR-03, check: chat/x::y, reason: odd}\n",
            "no check 'chat/x::y' judges CSTR-03",
        ),
        ("entries:\n- {requirement: CSTR-03}\n", "'reason' is a required property"),
        (
            "entries:\n- {requirement: CSTR-03, reason: one}\n- {requirement: CSTR-03, reason: two}\n",
            "named already",
        ),
        ("entries: [", "is not valid YAML"),
    ],
)
def test_a_bad_baseline_is_refused_in_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    known = tmp_path / "known.yaml"
    known.write_text(text, encoding="utf-8")
    done = command("run", "--baseline", str(known))
    assert done.code == 2
    assert sentence in done.err
    assert len(done.err.strip().splitlines()) == 1
