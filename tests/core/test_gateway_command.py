"""`weighbridge gateway` and `python -m reference_gateway` are the same program, log and all."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
operator_token: operator-token
groups: {default: {routes: {gpt-5.5: openai}}}
channels: {openai: {dialect: openai, url: "http://127.0.0.1:1/v1", key: k}}
media: {url: "http://127.0.0.1:1", key: k}
models: {gpt-5.5: {family: openai, rates: {input: "5", output: "30"}}}
task_models: {t: {endpoint: images, kind: image, price: 1}}
"""


def _post(url: str, key: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("program", [("weighbridge", "gateway"), ("reference_gateway",)], ids=" ".join)
def test_it_says_where_it_is_and_logs_as_configured(program: tuple[str, ...], tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", *program, "--config", str(config)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        urls = dict(line.split() for line in itertools.islice(process.stdout, 5))
        opened = _post(f"{urls['operator']}/accounts", "operator-token", workspace="chat", balance_usd="25")
        call = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hello"}]}
        with pytest.raises(urllib.error.HTTPError):
            _post(f"{urls['chat']}/chat/completions", opened["key"], **call)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert list(urls) == ["chat", "messages", "tasks", "aimlapi", "operator"]
    assert process.returncode == 0, errors
    (line,) = (line for line in map(json.loads, errors.splitlines()) if line["message"] == "call")
    assert line["model"] == "gpt-5.5"
