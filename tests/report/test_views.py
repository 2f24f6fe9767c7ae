"""Every view names the verdicts of report.json, in its own format's words, and is read by its format's readers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from junitparser import Error, Failure, JUnitXml, Skipped
from lxml import etree

from tests.report.records import HOSTILE, a_document, a_run
from weighbridge.engine import Evidence
from weighbridge.report import allure_results, badge, junit, markdown, sarif
from weighbridge.report.console import summary_lines
from weighbridge.report.document import footer, serialised
from weighbridge.report.views import ViewPaths, write_views

Run = tuple[Evidence, dict[str, Any]]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def verdicts(document: dict[str, Any]) -> dict[tuple[str, str], tuple[str, bool]]:
    """Verdict and scope by profile and requirement."""
    return {
        (part["profile"], row["id"]): (part["verdict"], row["inside_scope"])
        for row in document["requirements"]
        for part in row["profiles"]
    }


# ---------------------------------------------------------------------- report.json
def test_the_report_fits_its_published_schema(document: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "spec/schemas/report.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        json.loads(serialised(document))
    )
    assert document["footer"] == footer(document)


def test_half_a_surrogate_pair_out_of_a_reply_breaks_no_report(run: Run) -> None:
    from tests.report.records import broken

    document = a_document(run[0], {"CERR-01": broken("c3", "a message", "got '\ud800'")})
    assert b"got '\xef\xbf\xbd'" in serialised(document)
    assert document["footer"] == footer(json.loads(serialised(document)))


# ---------------------------------------------------------------------- JUnit
_JUNIT = {
    ("pass", False): None, ("warn", False): None, ("fail", False): "failure", ("harness_error", True): "error",
    ("not_verified", True): "error", ("not_verified", False): "skipped", ("unsupported", False): "skipped",
    ("not_applicable", False): "skipped",
}  # fmt: skip


def test_junit_fits_the_common_schema(document: dict[str, Any]) -> None:
    schema = etree.XMLSchema(etree.parse(HERE / "junit.xsd"))
    schema.assertValid(etree.fromstring(junit.render(document)))


def test_junit_maps_each_verdict_and_keeps_it_exactly(document: dict[str, Any]) -> None:
    root = etree.fromstring(junit.render(document))
    wanted = verdicts(document)
    assert set(wanted.values()) == set(_JUNIT)
    seen = {}
    for suite in root.iter("testsuite"):
        exact = {item.get("name"): item.get("value") for item in suite.iter("property")}
        for case in suite.iter("testcase"):
            key = (suite.get("name"), case.get("name").split()[0])
            outcome = next((child for child in case if child.tag != "system-out"), None)
            seen[key] = None if outcome is None else outcome.tag
            assert exact[f"verdict.{key[1]}"] == wanted[key][0]
            assert outcome is None or outcome.get("type") == wanted[key][0]
        for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(attribute)) == len(list(suite.iter(tag)))
    assert seen == {key: _JUNIT[verdict] for key, verdict in wanted.items()}


def test_two_readers_of_junit_find_the_same_numbers(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_bytes(junit.render(document))
    kinds: dict[type, int] = {Failure: 0, Error: 0, Skipped: 0}
    for suite in JUnitXml.fromfile(str(path)):
        for case in suite:
            for result in case.result:
                kinds[type(result)] += 1
    mapped = [_JUNIT[verdict] for verdict in verdicts(document).values()]
    assert [kinds[Failure], kinds[Error], kinds[Skipped]] == [
        mapped.count(name) for name in ("failure", "error", "skipped")
    ]
    page = tmp_path / "junit.html"
    subprocess.run([sys.executable, "-m", "junit2htmlreport", str(path), str(page)], check=True, timeout=60)
    text = page.read_text(encoding="utf-8")
    assert "CSTR-04" in text
    assert "TIDM-01" in text


def test_what_xml_cannot_hold_is_replaced(run: Run) -> None:
    from tests.report.records import broken

    document = a_document(run[0], {"CERR-01": broken("c3", "text", "\x00\x1b[31m\ufffe]]>")})
    text = etree.tostring(etree.fromstring(junit.render(document)), encoding="unicode")
    assert "\ufffd\ufffd[31m\ufffd]]&gt;" in text


# ---------------------------------------------------------------------- SARIF
def test_sarif_fits_its_schema(document: dict[str, Any], node_modules: Path) -> None:
    schema = json.loads(
        (node_modules / "@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json").read_text(
            encoding="utf-8"
        )
    )
    Draft7Validator(schema).validate(sarif.render(document))


def test_sarif_points_to_the_line_that_declares_the_surface(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    place = ROOT / "targets" / "embedded.yaml"
    document = a_document(run[0], {}, place=str(place))
    document |= {"requirements": [row | {"verdict": "fail"} for row in document["requirements"]]}
    lines = place.read_text(encoding="utf-8").splitlines()
    results = sarif.render(document)["runs"][0]["results"]
    assert results
    for result in results:
        for location in result["locations"]:
            surface = location["logicalLocations"][0]["name"]
            physical = location["physicalLocation"]
            assert lines[physical["region"]["startLine"] - 1].strip().startswith(f"{surface}:")
            assert physical["artifactLocation"]["uri"] == "targets/embedded.yaml"


def test_sarif_of_a_target_without_a_file_names_the_url_alone(document: dict[str, Any]) -> None:
    results = sarif.render(document)["runs"][0]["results"]
    assert {result["ruleId"]: result["level"] for result in results} == {
        "CERR-01": "error", "CRES-02": "error", "CSTR-04": "error", "CSTR-08": "warning", "TSUB-01": "note",
    }  # fmt: skip
    assert all("physicalLocation" not in place for result in results for place in result["locations"])


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n- 2", "surfaces: text", "&a [*a]"])
def test_sarif_takes_any_text_for_a_target_file(text: str) -> None:
    assert sarif.surface_lines(text) == {}


# ---------------------------------------------------------------------- Markdown
def test_markdown_folds_every_finding_and_counts_the_claims(document: dict[str, Any]) -> None:
    text = markdown.render(document)
    assert text.count("<details>") == text.count("</details>") == 5
    for row in ("CERR-01", "CSTR-04", "CRES-02", "CSTR-08", "TSUB-01"):
        assert f"<b>{row}</b>" in text
    assert "| openai-chat | ❌ **not conformant** | 60 | 2 | 1 |" in text


def test_markdown_lets_no_text_of_a_target_through(document: dict[str, Any]) -> None:
    text = markdown.render(
        document | {"target": document["target"] | {"name": "@everyone [x](http://e) #1 `a`"}}
    )
    prose = re.sub(r"^(`{3,})\n.*?\n\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert HOSTILE not in prose
    assert "<img" not in prose
    assert "<svg" not in prose
    assert "@everyone" not in prose
    assert "](http" not in prose


def test_markdown_fits_a_comment_however_much_is_broken(run: Run) -> None:
    from tests.report.records import broken

    rows = [row["id"] for row in run[1]["requirements"]]
    many = {row: broken("c3", "r" * 900, "`" * 30 + "o" * 5000) for row in rows}
    text = markdown.render(a_document(run[0], many))
    assert 40_000 < len(text) < 65_000
    assert "further findings" in text
    assert text.count("<details>") == text.count("</details>")


# ---------------------------------------------------------------------- badge
def test_a_badge_says_the_worst_claim_and_needs_nothing_from_elsewhere(document: dict[str, Any]) -> None:
    text = badge.render(document)
    root = etree.fromstring(text.encode())
    assert root.get("aria-label") == "weighbridge 2 profiles: not conformant 2026.11"
    assert "href" not in text
    assert re.findall(r"https?://[^\"']+", text) == ["http://www.w3.org/2000/svg"]
    assert badge.worst(["conformant", "conformant"]) == "conformant"
    assert badge.worst(["conformant", "partial", "incomplete"]) == "incomplete"


# ---------------------------------------------------------------------- Allure
def test_allure_results_name_the_verdicts_of_the_report(run: Run, tmp_path: Path) -> None:
    seen, document = run
    allure_results.write(document, seen, tmp_path)
    found = {}
    for path in tmp_path.glob("*-result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        labels = {label["name"]: label["value"] for label in result["labels"]}
        key = (labels["epic"], labels["story"])
        found[key] = labels["verdict"]
        verdict, inside = verdicts(document)[key]
        assert result["status"] == allure_results.status(verdict, inside_scope=inside)
        for attached in result["attachments"]:
            assert (tmp_path / attached["source"]).exists()
    assert found == {key: verdict for key, (verdict, _) in verdicts(document).items()}


# ---------------------------------------------------------------------- console
@pytest.mark.parametrize("width", [80, 140])
def test_the_console_prints_what_it_printed_before(document: dict[str, Any], width: int) -> None:
    """To take over a change on purpose: delete the file and run the test twice."""
    text = "\n".join(summary_lines(document, width=width)) + "\n"
    path = HERE / "snapshots" / f"console-{width}.txt"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path} was written; look at it and run the test again")
    assert text == path.read_text(encoding="utf-8")
    prose = [line for line in text.splitlines() if not line.lstrip().startswith(("repeat", "evidence"))]
    assert max(map(len, prose)) <= width


# ---------------------------------------------------------------------- all together
def test_views_are_written_where_they_were_asked_for(run: Run, tmp_path: Path) -> None:
    seen, document = run
    names = ("json", "junit", "html", "markdown", "sarif", "badge")
    paths = ViewPaths(**{name: tmp_path / "deep" / f"view.{name}" for name in names})
    write_views(paths, document, seen)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == sorted(
        f"view.{name}" for name in names
    )
    assert json.loads((tmp_path / "deep" / "view.json").read_text(encoding="utf-8")) == json.loads(
        serialised(document)
    )


def test_the_same_record_gives_the_same_views() -> None:
    one, other = a_run(), a_run()
    for render in (junit.render, markdown.render, sarif.render, badge.render):
        assert render(one[1]) == render(other[1])
