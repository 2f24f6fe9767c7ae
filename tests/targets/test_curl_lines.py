"""The curl line of a finding repeats it when pasted in the report's folder: run in a shell, against live wrong servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.running import command
from tests.targets.plain_server import KEY, MODEL, PlainServer, plain_server
from tests.targets.test_money_of_strangers import target_file
from weighbridge import evidence_file
from weighbridge.evidence import Call, Ending, Exchange, Request
from weighbridge.report.curl import body_file, body_files, curl


@pytest.fixture(scope="module", autouse=True)
def _curl() -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is missing; on Debian: apt-get install curl")


def repeated(line: str, folder: Path) -> tuple[int, str]:
    """What the line prints in a shell that knows nothing but the key: status and body."""
    done = subprocess.run(
        ["/bin/bash", "-c", line],
        env={"KEY": KEY, "PATH": os.environ["PATH"]},
        cwd=folder,
        capture_output=True,
        timeout=30,
        check=True,
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def judge(server: PlainServer, out: Path, *more: str) -> dict[str, Any]:
    """A run that finds something."""
    given = ("--target", server.url, "--key-env", "PLAIN_KEY", "--model", MODEL, "--out", str(out))
    done = command("run", *given, *more, env={"PLAIN_KEY": KEY})
    assert done.code == 1, done.out + done.err
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    for row in failing(report):
        assert row["curl"] in done.out
    return report


def failing(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that are broken; each has a line."""
    rows = [row for row in report["requirements"] if row["verdict"] == "fail"]
    assert rows
    assert all(row["curl"] for row in rows)
    return rows


def exchanges(out: Path) -> dict[str, Exchange]:
    """Everything recorded, by id."""
    observations = evidence_file.read(out / "evidence.ndjson")[0].observations.values()
    return {call.id: call.exchange for observation in observations for call in observation.calls}


@pytest.mark.parametrize("flaw", ["no-done", "text-finish", "html-errors", "accepts-junk", "any-key"])
def test_the_line_repeats_the_finding(flaw: str, tmp_path: Path) -> None:
    with plain_server(flaws=(flaw,)) as server:
        report = judge(server, tmp_path, "--quick")
        seen = exchanges(tmp_path)
        for row in failing(report):
            status, body = repeated(row["curl"], tmp_path)
            shown = next(seen[ref] for ref in row["evidence"] if ref in seen).response
            assert shown is not None
            assert status == shown.status
            assert list(steady(body)) == list(steady(shown.text))


def steady(text: str) -> Iterator[str]:
    """What of a body does not depend on when it was asked for: its lines, without id and time."""
    for line in text.replace("\r", "").split("\n"):
        payload = line.removeprefix("data: ")
        if payload.startswith("{"):
            document = json.loads(payload)
            yield json.dumps({name: document[name] for name in document if name not in {"id", "created"}})
        elif payload.strip():
            yield payload


def test_a_body_too_long_for_an_argument_stands_beside_the_report(tmp_path: Path) -> None:
    with plain_server(flaws=("flat-tier",)) as server:
        out = tmp_path / "run"
        given = ("--target", str(target_file(server, tmp_path)), "--max-spend", "30", "--out", str(out))
        done = command("run", *given, "--requirement", "CBIL-19", env={"K": KEY})
        assert done.code == 1, done.out
        (row,) = failing(json.loads((out / "report.json").read_text(encoding="utf-8")))
        assert f"@bodies/{row['curl'].rpartition('@bodies/')[2]}" in done.out
        file = out / row["curl"].rpartition("@")[2]
        assert file.stat().st_size > 500_000
        assert KEY not in file.read_text(encoding="utf-8")
        before = server.spent
        status, body = repeated(row["curl"], out)
        # The call that was charged at the wrong tier, to the token.
        sent = next(one for one in exchanges(out).values() if one.request.body == file.read_bytes())
        assert sent.response is not None
        assert (status, json.loads(body)["usage"]) == (200, json.loads(sent.response.text)["usage"])
        assert server.spent > before + 1


def sending(body: bytes) -> Call:
    """A call with this body."""
    request = Request("POST", "http://127.0.0.1:9/v1/chat/completions", (), body)
    return Call(Exchange("w1-1", request, None, Ending.REFUSED, 0.0, 0.1), "p", "chat", "openai", MODEL)


@pytest.mark.parametrize(
    ("body", "in_a_file"),
    [
        (b'{"a": "it\'s $HOME `x` \\\\ \\n"}', False),
        (b"\xff\xfe{", False),
        (b"@/etc/hostname", True),
        (b"\x00\x01", True),
        (b"\xff\n", True),
        (b"'" * 30_000, True),
        (b"x" * 99_000, False),
        (b"x" * 100_001, True),
    ],
    ids=["quotes", "no-text", "at", "zero", "line-break", "many-quotes", "long", "too-long"],
)
def test_every_body_arrives_byte_by_byte(body: bytes, in_a_file: bool, tmp_path: Path) -> None:
    call = sending(body)
    assert (body_file(body) is not None) is in_a_file
    for name, content in body_files([call]).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    # A curl that shows its last argument, or the file that it names.
    (tmp_path / "curl").write_text(
        '#!/bin/bash\nlast="${@: -1}"\nif [ "${last:0:1}" = @ ]; then cat "${last:1}"; else printf %s "$last"; fi\n',
        encoding="utf-8",
    )
    (tmp_path / "curl").chmod(0o755)
    done = subprocess.run(
        ["/bin/bash", "-c", curl(call)],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "LC_ALL": "C"},
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == body
