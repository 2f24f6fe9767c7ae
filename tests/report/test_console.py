"""Colour is for terminals that want it, and a target's text steers none."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.records import a_document, a_run, broken
from weighbridge.report.console import summary_lines
from weighbridge.target import EMBEDDED_PLACE

_PRINT = "from weighbridge.report.console import Console; Console().line('FAIL  CSTR-04  [DONE] comes once')"


def printed_to_a_terminal(env: dict[str, str]) -> str:
    """What a process prints on a terminal of its own."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-c", _PRINT], stdout=theirs, env={**clean, "TERM": "xterm-256color", **env}
    )
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 4096):
            text += piece
    except OSError:  # a terminal whose other side is closed reads as an error on Linux
        pass
    finally:
        os.close(ours)
        assert process.wait(30) == 0
    return text.decode()


def test_a_terminal_gets_colour_and_only_there() -> None:
    assert "\x1b[" in printed_to_a_terminal({})
    piped = subprocess.run(
        [sys.executable, "-c", _PRINT], capture_output=True, text=True, timeout=30, check=True
    )
    assert piped.stdout == "FAIL  CSTR-04  [DONE] comes once\n"


def test_no_color_is_honoured() -> None:
    text = printed_to_a_terminal({"NO_COLOR": "1"})
    assert "\x1b[3" not in text
    assert "CSTR-04" in text


def test_no_text_of_a_target_steers_a_terminal() -> None:
    document = a_document(a_run()[0], {"CERR-01": broken("c3", "text", "\x1b]0;owned\x07\x9b31m red")})
    assert not any(
        ord(letter) < 32 or 127 <= ord(letter) < 160 for line in summary_lines(document) for letter in line
    )


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_every_line_but_a_command_fits(width: int, document: dict[str, Any]) -> None:
    lines = list(summary_lines(document, Path("reports/runs/x/report.json"), width))
    kept_whole = ("repeat", "evidence", "Report:", "To read:")
    assert max(len(line) for line in lines if not line.lstrip().startswith(kept_whole)) <= width


def _summary(document: dict[str, Any], commands: bool) -> Iterator[str]:
    return summary_lines(document, Path("my runs/x/report.json"), allow_commands=commands)


@pytest.mark.parametrize(
    ("place", "commands", "target"),
    [
        (EMBEDDED_PLACE, False, ""),
        ("http://gateway", False, " --target FILE"),
        ("http://gateway", True, " --target FILE --allow-commands"),
    ],
)
def test_a_history_is_repeated_by_the_command_that_replays_it(
    place: str, commands: bool, target: str
) -> None:
    findings = {"FUZZ-CHAT-03": broken("c1", "the books agree", "charged twice")}
    document = a_document(a_run()[0], findings, profiles=("reapi-chat",), place=place)
    lines = [line.strip() for line in _summary(document, commands)]
    assert f"repeat    weighbridge replay FUZZ-CHAT-03 --in 'my runs/x'{target}" in lines
