"""A published claim is judged again; whatever was changed in it is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.running import ROOT, command
from weighbridge import evidence_file
from weighbridge.errors import ExitCode, UsageError
from weighbridge.recorded import judge_again
from weighbridge.report import document as report
from weighbridge.verification import verify


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole published claim: one small profile of the embedded pair."""
    folder = tmp_path_factory.mktemp("published")
    done = command(
        "run", "--profile", "openai-chat", "--out", str(folder), "--allure", str(folder / "allure")
    )
    assert (folder / "report.json").exists(), done.out + done.err
    return folder


@pytest.fixture
def claim(published: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(published, tmp_path / "claim"))


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a report, and give it a footer that fits."""
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    change(document)
    document["footer"] = report.footer({name: value for name, value in document.items() if name != "footer"})
    report.write(document, folder / "report.json")


def test_a_claim_as_it_was_recorded_is_consistent(claim: Path) -> None:
    result = verify(claim)
    assert result.differences == ()
    assert result.exit_code is ExitCode.OK
    text = "\n".join(result.lines())
    assert "Consistent" in text
    assert "does not show who recorded" in text


def _better(document: dict[str, Any]) -> None:
    row = next(row for row in document["requirements"] if row["evidence"])
    row["verdict"] = "not_applicable"


def _claim(document: dict[str, Any]) -> None:
    document["claims"][0]["status"] = "partial"


def _dropped(document: dict[str, Any]) -> None:
    del document["requirements"][3]


def _cheaper(document: dict[str, Any]) -> None:
    document["spent"]["calls"] -= 1


def _other(document: dict[str, Any]) -> None:
    document["target"]["name"] = "another gateway"


@pytest.mark.parametrize("change", [_better, _claim, _dropped, _cheaper, _other])
def test_a_changed_report_is_found_out(claim: Path, change: Callable[[dict[str, Any]], None]) -> None:
    forge(claim, change)
    result = verify(claim)
    assert result.exit_code is ExitCode.VIOLATION
    assert result.differences


def test_changed_evidence_is_found_out(claim: Path) -> None:
    path = claim / evidence_file.NAME
    data = path.read_bytes()
    assert b'"started":' in data
    path.write_bytes(data.replace(b'"accounts_made":', b'"accounts_made":1', 1))
    result = verify(claim)
    assert {item.place.partition(".")[0] for item in result.differences} >= {"evidence", "spent"}


def test_a_report_changed_without_a_new_footer_is_refused(claim: Path) -> None:
    text = (claim / "report.json").read_text(encoding="utf-8")
    (claim / "report.json").write_text(text.replace('"seed": 0', '"seed": 1'), encoding="utf-8")
    with pytest.raises(UsageError, match="footer does not fit"):
        verify(claim)


def test_the_command_fails_on_a_difference_and_says_what_it_proves(claim: Path) -> None:
    forge(claim, _claim)
    done = command("verify", str(claim))
    assert done.code == 1
    assert "DIFFERS  claims[0].status: published 'partial', judged 'conformant'" in done.out
    assert "does not show who recorded" in done.out


def test_judge_writes_every_view_from_a_record(claim: Path, tmp_path: Path) -> None:
    names = {
        "json": "r.json",
        "junit": "j.xml",
        "html": "r.html",
        "markdown": "m.md",
        "sarif": "s.sarif",
        "badge": "b.svg",
    }
    options = [part for name, file in names.items() for part in (f"--{name}", str(tmp_path / file))]
    done = command("judge", str(claim), *options, "--allure", str(tmp_path / "allure"))
    assert done.code == 0, done.out + done.err
    assert all((tmp_path / file).stat().st_size for file in names.values())
    assert list((tmp_path / "allure").glob("*-result.json"))
    made = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert made == json.loads((claim / "report.json").read_text(encoding="utf-8"))


def test_a_record_judged_again_gives_the_report_of_the_run(claim: Path) -> None:
    made = json.loads(report.serialised(judge_again(claim).document()))
    assert made == json.loads((claim / "report.json").read_text(encoding="utf-8"))


def test_allure_results_of_the_session_name_the_verdicts_of_the_report(claim: Path) -> None:
    document = json.loads((claim / "report.json").read_text(encoding="utf-8"))
    alone = {row["id"]: row["verdict"] for row in document["requirements"] if len(row["checks"]) == 1}
    judged = {row["id"] for row in document["requirements"] if row["checks"]}
    seen: dict[str, set[str]] = {}
    for path in (claim / "allure").glob("*-result.json"):
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        verdict = next(label["value"] for label in labels if label["name"] == "verdict")
        for label in labels:
            if label["name"] == "story":
                seen.setdefault(label["value"], set()).add(verdict)
            assert label["name"] != "epic" or label["value"] == "openai-chat"
    assert judged <= set(seen)
    assert {id_: seen[id_] for id_ in alone} == {id_: {verdict} for id_, verdict in alone.items()}


def test_the_commands_of_the_documentation_work(claim: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
    lines = [
        line.removeprefix("$ weighbridge ").split() for line in text.splitlines() if line.startswith("$ ")
    ]
    assert [line[0] for line in lines] == ["run", "judge", "verify", "compare"]
    for name in ("my-run", "their-run"):
        shutil.copytree(claim, tmp_path / name)
    for words in lines:
        if words[0] == "run":
            offered = command("run", "--help", env={"COLUMNS": "200"}).out
            assert [word for word in words if word.startswith("--") and word not in offered] == []
            continue
        done = command(*words, cwd=tmp_path)
        assert done.code == 0, done.out + done.err
    assert (tmp_path / "matrix.html").exists()
