"""Bad input: one sentence that names cause and remedy, the right exit code, no traceback."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.core.running import ROOT, command, served
from weighbridge.cli import main


def _target(tmp_path: Path, text: str) -> str:
    path = tmp_path / "target.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _sentence(arguments: tuple[str, ...], code: int, *words: str, env: dict[str, str] | None = None) -> None:
    done = command(*arguments, env=env)
    assert done.code == code, done.out + done.err
    assert "Traceback" not in done.err + done.out
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert len(lines) == 1, done.err
    for word in words:
        assert word in lines[0], lines[0]


def test_an_unknown_key_names_the_nearest_one(tmp_path: Path) -> None:
    path = _target(tmp_path, "name: x\nsurfces: {}\nsurfaces: {chat: {url: http://127.0.0.1:1/v1}}\n")
    _sentence(("run", "--target", path), 2, "'surfces'", "did you mean 'surfaces'")


def test_half_written_yaml_names_line_and_column(tmp_path: Path) -> None:
    _sentence(
        ("run", "--target", _target(tmp_path, 'name: x\nsurfaces: {chat: {url: "http')),
        2,
        "line 2",
        "not valid YAML",
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    _sentence(("run", "--target", str(tmp_path / "none.yaml")), 2, "none.yaml", "cannot be read")


def test_a_literal_secret_is_refused(tmp_path: Path) -> None:
    text = "name: x\nsurfaces: {chat: {url: http://127.0.0.1:1/v1}}\nprincipals: {chat.funded: {key: sk-secret}}\n"
    _sentence(
        ("run", "--target", _target(tmp_path, text)), 2, "principals.chat.funded.key", "${CHAT_FUNDED_KEY}"
    )


def test_a_variable_that_is_not_written_in_capitals_is_no_key(tmp_path: Path) -> None:
    text = "name: x\nsurfaces: {chat: {url: http://127.0.0.1:1/v1}}\nprincipals: {chat.funded: {key: '${my_key}'}}\n"
    _sentence(("run", "--target", _target(tmp_path, text)), 2, "names no variable", "${CHAT_FUNDED_KEY}")


def test_an_unset_variable_is_named(tmp_path: Path) -> None:
    text = "name: x\nsurfaces: {chat: {url: '${NO_SUCH_URL_HERE}'}}\n"
    _sentence(("run", "--target", _target(tmp_path, text)), 2, "NO_SUCH_URL_HERE", "export it")


def test_a_url_where_nothing_listens() -> None:
    url = f"http://127.0.0.1:{_free_port()}/v1"
    _sentence(
        ("run", "--target", url, "--key-env", "K", "--model", "m"),
        4,
        "nothing listens at",
        url,
        env={"K": "abcd1234"},
    )


def test_a_chat_url_without_v1_is_refused() -> None:
    _sentence(
        ("run", "--target", "http://127.0.0.1:1", "--key-env", "K", "--model", "m"),
        2,
        "ends in /v1",
        env={"K": "abcd"},
    )


def test_a_url_needs_key_and_model() -> None:
    _sentence(("run", "--target", "http://127.0.0.1:1/v1"), 2, "--key-env")
    _sentence(
        ("run", "--target", "http://127.0.0.1:1/v1", "--key-env", "NO_KEY_HERE", "--model", "m"),
        2,
        "NO_KEY_HERE",
    )


def test_an_unknown_profile_and_requirement_are_named() -> None:
    _sentence(("run", "--profile", "openai-cat"), 2, "openai-cat", "did you mean 'openai-chat'")
    _sentence(("run", "--requirement", "CSTR-99"), 2, "CSTR-99", "list requirements")
    _sentence(("explain", "NOPE-1"), 2, "NOPE-1")


def test_an_unknown_defect_is_named() -> None:
    _sentence(("prove", "--defect", "no-such-defect"), 2, "no-such-defect", "list defects")


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        _sentence(("mock", "--port", str(taken.getsockname()[1])), 4, "cannot listen", "--port 0")


@pytest.fixture(scope="module")
def pair() -> Iterator[dict[str, str]]:
    """Variables of a served simulator and gateway."""
    with served(end=signal.SIGINT) as variables:
        yield variables


def test_a_refused_key_stops_the_run(pair: dict[str, str]) -> None:
    _sentence(
        ("run", "--target", pair["WB_CHAT_URL"], "--key-env", "K", "--model", "gpt-5.5"),
        4,
        "refuses the key of chat.funded",
        env={"K": "sk-wrong-0000"},
    )


def test_an_unknown_model_stops_the_run(pair: dict[str, str]) -> None:
    _sentence(
        ("run", "--target", pair["WB_CHAT_URL"], "--key-env", "K", "--model", "gpt-0"),
        2,
        "does not serve the model 'gpt-0'",
        env={"K": pair["WB_CHAT_KEY"]},
    )


def test_a_simulator_that_is_none_stops_the_run(pair: dict[str, str]) -> None:
    wrong = {**pair, "WB_SIMULATOR_URL": pair["WB_CHAT_URL"].removesuffix("/v1")}
    _sentence(("run", "--target", "targets/embedded.yaml"), 4, "simulator", env=wrong)


def test_a_url_and_a_key_are_enough_for_the_generic_profile(pair: dict[str, str], tmp_path: Path) -> None:
    done = command(
        "run", "--target", pair["WB_CHAT_URL"], "--key-env", "K", "--model", "gpt-5.5", "--out", str(tmp_path),
        env={"K": pair["WB_CHAT_KEY"]},
    )  # fmt: skip
    assert done.code == 0, done.out + done.err
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [claim["profile"] for claim in report["claims"]] == ["openai-chat"]
    assert report["counts"]["fail"] == 0
    assert report["counts"]["pass"] >= 35
    assert report["upstream_posts"] == []


def test_the_target_file_of_the_served_pair_works(pair: dict[str, str], tmp_path: Path) -> None:
    done = command(
        "run",
        "--target",
        "targets/embedded.yaml",
        "--profile",
        "reapi-chat",
        "--out",
        str(tmp_path),
        "--quick",
        env=pair,
    )
    assert done.code == 0, done.out + done.err
    assert "reapi-chat: partial" in done.out


def test_one_key_without_accounts_is_enough_to_finish(pair: dict[str, str], tmp_path: Path) -> None:
    """Probes then take turns on one principal; an order of leases that can lock up would show here."""
    document = yaml.safe_load((ROOT / "targets" / "embedded.yaml").read_text(encoding="utf-8"))
    for name in ("accounts", "hooks"):
        del document[name]
    path = tmp_path / "one-key.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = command(
        "run", "--target", str(path), "--profile", "reapi-chat", "--profile", "reapi-messages", "--quick",
        "--out", str(tmp_path / "run"), env=pair,
    )  # fmt: skip
    assert done.code == 0, done.out + done.err
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["counts"]["fail"] == 0
    done = command(
        "run", "--target", str(path), "--profile", "reapi-chat", "--requirement", "CERR-402-1",
        "--out", str(tmp_path / "broke"), env=pair,
    )  # fmt: skip
    assert done.code == 0, done.out + done.err
    report = json.loads((tmp_path / "broke" / "report.json").read_text(encoding="utf-8"))
    assert {row["missing"] for row in report["requirements"]} == {"broke"}


@pytest.mark.parametrize("hook", ["accounts", "balance"])
def test_a_wrong_hook_ends_the_run_in_one_sentence(hook: str, pair: dict[str, str], tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "targets" / "embedded.yaml").read_text(encoding="utf-8"))
    spoiled = document[hook]["chat"]["http"]
    name = "post" if hook == "accounts" else "get"
    spoiled[name] = spoiled[name].replace("accounts", "acounts")
    path = tmp_path / "wrong-hook.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = command(
        "run", "--target", str(path), "--profile", "reapi-chat", "--requirement", "CBIL-14",
        "--out", str(tmp_path / "run"), env=pair,
    )  # fmt: skip
    assert done.code == 4, done.out + done.err
    assert done.err.count("\n") == 1
    assert f"the hook {hook}.chat of the target file fails" in done.err
    assert not (tmp_path / "run" / "report.json").exists()


def test_plain_pytest_judges_a_target_file(pair: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = command(
        "run", "--target", "targets/embedded.yaml", "--profile", "anthropic-messages", "--json", str(report),
        "--out", str(tmp_path / "run"), env=pair,
    )  # fmt: skip
    assert done.code == 0, done.out + done.err
    plain = subprocess.run(
        [
            sys.executable, "-m", "pytest", "suites", "-q", "-p", "no:cacheprovider",
            "--target", "targets/embedded.yaml", "--profile", "anthropic-messages",
        ],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False, env={**os.environ, **pair},
    )  # fmt: skip
    assert plain.returncode == 0, plain.stdout[-3000:] + plain.stderr[-2000:]
    expected = json.loads(report.read_text(encoding="utf-8"))
    assert f"anthropic-messages: {expected['claims'][0]['status']}" in plain.stdout
    head = f"{len(expected['requirements'])} requirements: "
    told = next(line for line in plain.stdout.splitlines() if line.startswith(head))
    for verdict, count in expected["counts"].items():
        if count:
            assert f"{count} {verdict}" in told


@pytest.mark.parametrize(
    "what", ["requirements", "profiles", "capabilities", "scenarios", "faults", "defects"]
)
def test_every_listing_is_a_list_of_objects(what: str) -> None:
    done = command("list", what, "--json")
    rows = json.loads(done.out)
    assert rows
    assert all(row["id"] and row["title"] for row in rows)


def test_explain_tells_source_check_and_defect() -> None:
    out = command("explain", "CSTR-03").out
    for word in ("CSTR-03", "statement", "source", "S0", "check", "chat/test_streaming"):
        assert word in out


def test_it_runs_in_an_empty_folder_with_hostile_pytest_files(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text("raise SystemExit(99)\n", encoding="utf-8")
    done = command(
        "run", "--profile", "openai-chat", "--requirement", "CRES-04",
        cwd=tmp_path, env={"PYTEST_ADDOPTS": "--no-such-option", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.code == 0, done.out + done.err
    assert list((tmp_path / "reports" / "runs").glob("*/report.json"))


def test_ctrl_c_ends_with_130_and_no_traceback(pair: dict[str, str]) -> None:
    async def main() -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "weighbridge", "run", "--target", pair["WB_CHAT_URL"], "--key-env", "K",
            "--model", "gpt-5.5",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
            env={**os.environ, "K": pair["WB_CHAT_KEY"]},
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while b"probes: preflight" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, err.decode()

    code, err = asyncio.run(main())
    assert code == 130
    assert "Traceback" not in err


def test_the_gateway_prints_its_schema_and_its_keys_and_wants_one_thing_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["gateway", "--schema"])
    assert json.loads(capsys.readouterr().out)["title"] == "Configuration of the reference gateway"
    with pytest.raises(SystemExit, match="0"):
        main(["gateway", "--reference"])
    assert "| `listen.chat` |" in capsys.readouterr().out
    for words in ([], ["--schema", "--reference"], ["--schema", "--config", "gateway.yaml"]):
        with pytest.raises(SystemExit, match="2"):
            main(["gateway", *words])
        assert "give one of --config FILE, --schema and --reference" in capsys.readouterr().err


def test_the_options_of_compare_speak_of_the_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["compare", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "the comparison as one HTML file" in told
    assert "the comparison as Markdown" in told
    assert "pull-request" not in told
