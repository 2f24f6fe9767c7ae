"""The Portkey target: what is pinned, what it tells the gateway, and that the target file reads it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from weighbridge.target_file import load

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "targets" / "portkey"


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("target_portkey_gateway", FOLDER / "gateway.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["target_portkey_gateway"] = module
    spec.loader.exec_module(module)
    return module


gateway = _script()


def test_every_package_is_pinned_and_none_names_a_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: item for name, item in lock["packages"].items() if name}
    assert packages["node_modules/@portkey-ai/gateway"]["version"] == gateway.VERSION
    assert packages["node_modules/@hono/node-server"]["version"] == "1.8.2"
    assert all(item["integrity"].startswith("sha") for item in packages.values())
    assert not [name for name, item in packages.items() if "resolved" in item]


def test_the_target_file_takes_what_the_script_gives() -> None:
    pair = gateway.Pair(8787, 8890, "sk-made-up-1234")
    target = load(REPOSITORY / "targets" / "portkey.yaml", pair.variables())
    assert target.surfaces["chat"].url == "http://127.0.0.1:8787/v1"
    assert target.surfaces["messages"].url == "http://127.0.0.1:8787"
    assert target.simulator == pair.simulator_url
    header = dict(target.surfaces["chat"].headers)["x-portkey-config"]
    hosts = {item["name"]: item["custom_host"] for item in json.loads(header)["targets"]}
    assert hosts == dict.fromkeys(("openai", "anthropic"), f"{pair.simulator_url}/v1")


def test_missing_node_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gateway.shutil, "which", lambda _name: None)
    monkeypatch.setattr(gateway, "installed", lambda: False)
    monkeypatch.setattr(gateway, "ENVIRONMENT", Path("/nonexistent/env"))
    monkeypatch.setattr(gateway.Path, "mkdir", lambda *_args, **_options: None)
    monkeypatch.setattr(gateway.shutil, "copyfile", lambda *_args: None)
    assert gateway.main_of(gateway.read_arguments, ["install"]) == 1
    assert "npm is not installed" in capsys.readouterr().err


def test_only_with_takes_a_command() -> None:
    with pytest.raises(SystemExit):
        gateway.read_arguments(["start", "--", "true"])
    assert gateway.read_arguments(["with", "--", "a", "b"]).command == ["a", "b"]
