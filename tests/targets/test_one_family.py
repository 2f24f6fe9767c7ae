"""A target that serves models of one family is judged by what it serves; rows of the other family say what they wait for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.core.running import ROOT, command, served


def _rows(folder: Path, role: str, *wanted: str) -> dict[str, Any]:
    """The rows of a run against the reference gateway, whose target file names one model."""
    document = yaml.safe_load((ROOT / "targets" / "embedded.yaml").read_text(encoding="utf-8"))
    document["models"] = {role: document["models"][role]}
    file = folder / "target.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    chosen = [word for row in wanted for word in ("--requirement", row)]
    with served() as variables:
        done = command(
            *("run", "--target", str(file), "--profile", "reapi-chat", "--out", str(folder / "run"), *chosen),
            env=variables,
        )
    assert (folder / "run" / "report.json").exists(), done.err
    report = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    return {row["id"]: row for row in report["requirements"]}


def test_a_row_that_the_reply_shows_passes_where_no_model_has_a_cache_to_bill(tmp_path: Path) -> None:
    rows = _rows(tmp_path, "openai", "CRES-13", "CBIL-06", "CBIL-11")
    assert rows["CRES-13"]["verdict"] == "pass"
    assert (rows["CBIL-06"]["verdict"], rows["CBIL-06"]["missing"]) == ("not_verified", "models.anthropic")
    assert rows["CBIL-11"]["missing"] == "rates (web_search)"
    assert not any(rows[name]["inside_scope"] for name in ("CBIL-06", "CBIL-11"))
