"""The main job end to end: one command judges a real gateway, and every output says the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.core.running import ROOT, EmbeddedRun, command, rows
from weighbridge import evidence_file
from weighbridge.catalogue import load
from weighbridge.recorded import load_report

#: One for each surface, and two state machines.
GENERATORS = (
    "chat_generated", "message_generated", "aimlapi_generated", "task_generated", "chat_combinations", "chat_books",
    "tasks_books",
)  # fmt: skip
pytestmark = pytest.mark.xdist_group("embedded-run")


def test_the_reference_gateway_has_no_finding_and_the_gate_is_open(embedded_run: EmbeddedRun) -> None:
    assert rows(embedded_run.report, "fail", "warn", "harness_error") == []
    assert embedded_run.finished.code == 0, embedded_run.finished.out


def test_every_profile_is_claimed_conformant(embedded_run: EmbeddedRun) -> None:
    claims = {claim["profile"]: claim["status"] for claim in embedded_run.report["claims"]}
    profiles = (
        "openai-chat",
        "anthropic-messages",
        "reapi-chat",
        "reapi-messages",
        "reapi-tasks",
        "aimlapi-chat",
    )
    assert claims == dict.fromkeys(profiles, "conformant")


def test_the_console_ends_with_one_line_for_each_claim(embedded_run: EmbeddedRun) -> None:
    out = embedded_run.finished.out
    for claim in embedded_run.report["claims"]:
        assert f"{claim['profile']}: conformant (edition 2026.11" in out
    assert "\x1b[" not in out


def test_at_least_ninety_requirements_get_a_verdict(embedded_run: EmbeddedRun) -> None:
    judged = rows(embedded_run.report, "pass", "fail", "warn", "unsupported")
    assert len(judged) >= 90


def test_directed_calls_are_fewer_than_the_rows_that_they_judge(embedded_run: EmbeddedRun) -> None:
    spent = embedded_run.report["spent"]
    assert spent["calls"] == spent["directed"] + spent["generated"] + spent["contention"]
    assert min(spent["directed"], spent["generated"], spent["contention"]) > 0
    assert spent["directed"] < len(rows(embedded_run.report, "pass", "fail", "warn", "unsupported"))
    told = f"({spent['directed']} directed, {spent['generated']} generated, {spent['contention']} contention)"
    assert told in embedded_run.finished.out


def test_about_three_hundred_calls_are_generated_and_every_generator_has_its_share(
    embedded_run: EmbeddedRun,
) -> None:
    assert 260 <= embedded_run.report["spent"]["generated"] <= 340
    record = evidence_file.read(embedded_run.folder / "evidence.ndjson")[0]
    made = {name: len(record.observations[name].calls) for name in GENERATORS}
    assert min(made.values()) >= 25, made
    assert sum(made.values()) == embedded_run.report["spent"]["generated"]


def test_one_post_for_each_customer_call_in_every_situation(embedded_run: EmbeddedRun) -> None:
    table = embedded_run.report["upstream_posts"]
    assert {row["situation"] for row in table} == {
        "success",
        "upstream 500",
        "upstream 429",
        "upstream reset",
        "broken stream",
    }
    assert {(row["posts_min"], row["posts_max"]) for row in table} == {(1, 1)}
    assert "Upstream POSTs per customer call" in embedded_run.finished.out


def test_the_report_validates_against_its_schema_and_its_footer_fits(embedded_run: EmbeddedRun) -> None:
    schema = json.loads((ROOT / "spec" / "schemas" / "report.schema.json").read_text(encoding="utf-8"))
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(embedded_run.report)]
    assert errors == []
    assert load_report(embedded_run.folder) == embedded_run.report


def test_every_row_of_the_profiles_is_in_the_report(embedded_run: EmbeddedRun) -> None:
    catalogue = load()
    expected = {
        row for claim in embedded_run.report["claims"] for row in catalogue.profiles[claim["profile"]].levels
    }
    assert {row["id"] for row in embedded_run.report["requirements"]} == expected


def test_judging_the_record_gives_the_same_verdicts(embedded_run: EmbeddedRun) -> None:
    judged = command("judge", str(embedded_run.folder))
    assert judged.code == 0, judged.err
    counts = {name: count for name, count in embedded_run.report["counts"].items() if count}
    told = next(
        line
        for line in judged.out.splitlines()
        if line.startswith(f"{len(embedded_run.report['requirements'])} ")
    )
    assert {part.split()[1]: int(part.split()[0]) for part in told.partition(": ")[2].split(", ")} == counts


def test_a_cut_record_is_recognised(embedded_run: EmbeddedRun, tmp_path: Path) -> None:
    whole = (embedded_run.folder / "evidence.ndjson").read_text(encoding="utf-8")
    cut = tmp_path / "evidence.ndjson"
    cut.write_text(whole[: len(whole) // 2], encoding="utf-8")
    judged = command("judge", str(cut))
    assert judged.code == 2
    assert "cut off" in judged.sentence
    assert "Traceback" not in judged.err


def test_no_key_reaches_any_file(embedded_run: EmbeddedRun) -> None:
    text = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in embedded_run.folder.rglob("*")
        if path.is_file()
    )
    assert (
        re.findall(r"rk_live_[A-Za-z0-9]{12,}|sk-(?!weighbridge|upstream-secret)[A-Za-z0-9_-]{16,}", text)
        == []
    )
    assert re.findall(r"operator-[0-9a-f]{8,}", text) == []
    assert "Bearer <redacted>" in text


def test_allure_results_name_the_same_verdicts(embedded_run: EmbeddedRun) -> None:
    results = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (embedded_run.folder / "allure").glob("*-result.json")
    ]
    assert results
    told: dict[str, set[str]] = {}
    for result in results:
        labels = [(label["name"], label["value"]) for label in result["labels"]]
        verdict = next(value for name, value in labels if name == "verdict")
        for name, value in labels:
            if name == "story":
                told.setdefault(value, set()).add(verdict)
    verdicts = embedded_run.verdicts()
    for row, seen in told.items():
        assert verdicts[row] in seen, row


def test_plain_pytest_gives_the_same_verdicts(embedded_run: EmbeddedRun, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "suites",
            "-q",
            "-p",
            "no:cacheprovider",
            "--profile",
            "openai-chat",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    path = (
        next(line for line in done.stdout.splitlines() if line.startswith("Report: "))
        if "Report: " in done.stdout
        else ""
    )
    assert "openai-chat: conformant" in done.stdout
    if path:
        plain = json.loads((ROOT / path.removeprefix("Report: ")).read_text(encoding="utf-8"))
        expected = embedded_run.verdicts()
        assert {row["id"]: row["verdict"] for row in plain["requirements"]} == {
            row["id"]: expected[row["id"]] for row in plain["requirements"]
        }
