"""The checks bite: a sample of wrong gateways is caught by the rows they break, a right one is spared."""

from __future__ import annotations

import json
from pathlib import Path

from tests.core.running import command

#: One for each kind of trouble that no other tester looks for.
SAMPLE = (
    "unknown-key-served",
    "retries-500",
    "broken-stream-charged",
    "long-tier-one-token-early",
    "refund-per-poll",
    "done-missing",
)
SPARED = ("crlf-line-ends",)


def test_a_sample_of_defects_is_killed_and_a_variant_is_spared(tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.json"
    arguments = [part for name in (*SAMPLE, *SPARED) for part in ("--defect", name)]
    done = command("prove", *arguments, "--json", str(matrix))
    assert done.code == 0, done.out + done.err
    document = json.loads(matrix.read_text(encoding="utf-8"))
    assert {defect["id"] for defect in document["defects"]} == set(SAMPLE)
    for defect in document["defects"]:
        assert set(defect["killed_by"]) <= set(defect["requirements"])
        assert defect["killed_by"], defect
    assert document["survivors"] == document["accused"] == []
    assert [variant["id"] for variant in document["variants"]] == list(SPARED)
