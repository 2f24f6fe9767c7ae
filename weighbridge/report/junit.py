"""The JUnit view: one suite for each profile, one case for each of its rows.

JUnit knows failure, error and skipped, so it says less than a verdict. The exact verdict stands in the `type`
of that element, and for every case in a property of its suite: the common schema has no properties in a case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

#: What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KINDS = {"fail": "failure", "harness_error": "error", "unsupported": "skipped", "not_applicable": "skipped"}


def kind(verdict: str, *, inside_scope: bool) -> str | None:
    """The element that stands for a verdict, or None for a case that passed."""
    if verdict == "not_verified":
        return "error" if inside_scope else "skipped"
    return _KINDS.get(verdict)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _case(suite: ET.Element, row: Mapping[str, Any], profile: str, verdict: str) -> str | None:
    case = ET.SubElement(
        suite, "testcase", name=f"{row['id']} {row['title']}", classname=f"{profile}.{row['area']}", time="0"
    )
    element = kind(verdict, inside_scope=row["inside_scope"])
    told = _told(row)
    if element is not None:
        node = ET.SubElement(case, element, type=verdict, message=_clean(row["message"] or verdict))
        node.text = _clean(told)
    elif verdict == "warn":
        ET.SubElement(case, "system-out").text = _clean(f"warn: {told}")
    return element


def _told(row: Mapping[str, Any]) -> str:
    parts = [
        ("required", row["required"]),
        ("observed", row["observed"] or row["message"]),
        ("why a client cares", row["why"]),
        ("repeat", row["curl"]),
        ("evidence", ", ".join(row["evidence"][:10])),
    ]
    return "\n".join(f"{name}: {text}" for name, text in parts if text)


def _suite(document: Mapping[str, Any], profile: str) -> ET.Element:
    suite = ET.Element("testsuite", name=profile)
    properties = ET.SubElement(suite, "properties")
    counts = {"failure": 0, "error": 0, "skipped": 0}
    cases = 0
    for row in document["requirements"]:
        for part in row["profiles"]:
            if part["profile"] == profile:
                cases += 1
                element = _case(suite, row, profile, part["verdict"])
                if element is not None:
                    counts[element] += 1
                ET.SubElement(properties, "property", name=f"verdict.{row['id']}", value=part["verdict"])
    claim = next(claim for claim in document["claims"] if claim["profile"] == profile)
    for name, value in (
        ("claim", claim["status"]),
        ("edition", claim["edition"]),
        ("scope", claim["scope"]),
        ("target", document["target"]["name"]),
        ("run", document["run"]["id"]),
    ):
        ET.SubElement(properties, "property", name=name, value=_clean(str(value)))
    suite.attrib |= {
        "tests": str(cases),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
        "time": "0",
        "timestamp": document["run"]["started"][:19],
    }
    return suite


def render(document: Mapping[str, Any], first: Sequence[ET.Element] = ()) -> bytes:
    """The JUnit file of a report.

    Args:
        document: the report.
        first: suites of others with their counts, which stand before those of the profiles.
    """
    suites = [*first, *(_suite(document, claim["profile"]) for claim in document["claims"])]
    root = ET.Element("testsuites")
    root.set("name", _clean(document["target"]["name"]))
    root.set("time", f"{document['run']['duration_s']:.3f}")
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.attrib[name]) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()
