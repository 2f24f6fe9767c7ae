"""One full embedded run for all tests of this folder that read its results."""

from __future__ import annotations

import json

import pytest

from tests.core.running import EmbeddedRun, command


@pytest.fixture(scope="session")
def embedded_run(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedRun:
    """One full embedded run; its report and evidence are in its folder."""
    folder = tmp_path_factory.mktemp("run")
    finished = command("run", "--out", str(folder), "--allure", str(folder / "allure"))
    assert (folder / "report.json").exists(), finished.out + finished.err
    return EmbeddedRun(finished, folder, json.loads((folder / "report.json").read_text(encoding="utf-8")))
