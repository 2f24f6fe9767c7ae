"""`weighbridge run`: one isolated pytest session, our own console, our own exit code.

The session is shielded from wherever it is started: its own empty ini file, no plugin autoload, no
`PYTEST_ADDOPTS`, no cache folder, no conftest of the caller.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from weighbridge.errors import ExitCode, UnreachableError, UsageError
from weighbridge.locate import folder
from weighbridge.output import require_file, require_folder
from weighbridge.plugin import RunPlugin, attach_probe_fixtures
from weighbridge.report.console import Console, summary_lines
from weighbridge.session import RunOptions, RunSession
from weighbridge.target import Target, from_url, key_problem
from weighbridge.target_file import load

if TYPE_CHECKING:
    from weighbridge.pair_process import PairProcess


def resolve_target(
    text: str | None, profiles: tuple[str, ...], key_env: str | None, model: str | None
) -> Target | None:
    """The target that `--target` names: a file, a URL with `--key-env` and `--model`, or None for none.

    Raises:
        UsageError: options that do not fit together, an unset variable, an unusable file.
    """
    if text is None:
        if key_env or model:
            raise UsageError("--key-env and --model belong to a URL; add --target http://host:port/v1")
        return None
    if "://" not in text:
        if key_env or model:
            raise UsageError(
                "--key-env and --model belong to a URL; a target file names keys and models itself"
            )
        return load(Path(text))
    if not key_env or not model:
        missing = "--key-env VAR" if not key_env else "--model M"
        raise UsageError(f"--target {text}: a URL also needs {missing}")
    key = os.environ.get(key_env)
    if not key:
        raise UsageError(
            f"--key-env {key_env}: the environment has no variable {key_env}; export the key under that name"
        )
    if problem := key_problem(key):
        raise UsageError(f"--key-env {key_env}: the key in {key_env} {problem}")
    return from_url(text, key=key, model=model, profiles=profiles)


#: Parts of pytest that would work for every check, and have nothing to do in a run.
_UNUSED_PLUGINS = (
    "capture", "doctest", "pastebin", "setuponly", "setupplan", "skipping", "stepwise", "subtests", "unittest", "warnings",
)  # fmt: skip


def _pytest_arguments(options: RunOptions, scratch: Path) -> list[str]:
    ini = scratch / "pytest.ini"
    ini.write_text("[pytest]\n", encoding="utf-8")
    suites = folder("suites")
    arguments = [
        str(suites),
        "-c", str(ini),
        f"--rootdir={suites}",
        f"--confcutdir={suites}",
        "--import-mode=importlib",
        # Checks speak through `judge`; rewriting the asserts of all suites would cost more than to run them.
        "--assert=plain",
        "-p", "no:cacheprovider",
        "-p", "no:terminal",
        # Each of them collects garbage several times; a run holds much, and none of it in cycles.
        "-p", "no:unraisableexception",
        "-p", "no:threadexception",
        "-p", "no:faulthandler",
        "-p", "no:logging",
        # Nothing in the suites prints, warns, is marked to be skipped or wants a folder of its own.
        *(f"-pno:{name}" for name in _UNUSED_PLUGINS),
    ]  # fmt: skip
    if options.allure is not None:
        try:
            import allure_pytest  # noqa: F401 - only to see whether it is there
        except ModuleNotFoundError:
            raise UsageError("--allure needs the extra: pip install 'weighbridge[allure]'") from None
        arguments += ["-p", "allure_pytest.plugin", f"--alluredir={options.allure}"]
    return arguments


def _require_places(options: RunOptions, session: RunSession) -> None:
    """Every place of the results can be written to; found out before the run, not after it."""
    if options.out is not None:
        require_folder("--out", options.out)
    else:
        require_folder("the folder", session.folder.parent)
    if options.json_file is not None:
        require_file("--json", options.json_file)
    if options.allure is not None:
        require_folder("--allure", options.allure)
    options.views.require()


def run(options: RunOptions, pair: PairProcess | None = None, began: float | None = None) -> ExitCode:
    """Run, print, write the report; never raises for what a target does.

    Args:
        options: what the operator asked for.
        pair: the process of the embedded target; without it, a run without a target has it in its own.
        began: the moment of `time.monotonic` from which the run is timed; now if None.

    Raises:
        WeighbridgeError: the options do not fit together.
    """
    console = Console()
    attach_probe_fixtures()
    began = time.monotonic() if began is None else began
    session = RunSession(options, pair, began)
    limit = options.settings.max_spend
    if options.dry_run or limit is not None:
        from weighbridge.estimate import estimate_lines, refuse_dear

        found = session.estimate()
        if options.dry_run:
            for line in estimate_lines(found):
                console.line(line)
        if limit is not None:
            refuse_dear(found, limit)
        if options.dry_run:
            return ExitCode.OK
    _require_places(options, session)
    plugin = RunPlugin(session, progress=console.progress)
    plugins: list[object] = [plugin]
    if options.allure is not None:
        from weighbridge.report.allure import AllureLabels

        plugins.append(AllureLabels(session))
    console.begin(session)
    saved = {name: os.environ.pop(name, None) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}
    autoload = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with tempfile.TemporaryDirectory(prefix="weighbridge-") as scratch:
            code = pytest.main(_pytest_arguments(options, Path(scratch)), plugins=plugins)
    finally:
        sys.dont_write_bytecode = bytecode
        _restore(saved | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": autoload})
        console.end()
    if plugin.stopped is not None:
        raise plugin.stopped
    if plugin.interrupted or code == pytest.ExitCode.INTERRUPTED:
        return ExitCode.INTERRUPTED
    if plugin.document is None:
        if code == pytest.ExitCode.NO_TESTS_COLLECTED or int(code) == 0:
            raise UsageError(
                "nothing to judge: no check belongs to the chosen profiles and rows; see `weighbridge list requirements`"
            )
        raise UnreachableError(
            f"the run ended before it judged anything (pytest code {int(code)}); run `pytest suites` to see why"
        )
    took = time.monotonic() - began
    allowed = options.settings.allow_commands
    for line in summary_lines(
        plugin.document, plugin.report_path, console.width, seconds=took, allow_commands=allowed
    ):
        console.line(line)
    return ExitCode(int(code))


def _restore(saved: dict[str, str | None]) -> None:
    for name, value in saved.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
