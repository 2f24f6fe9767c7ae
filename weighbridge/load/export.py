"""The result of a load test for other tools: JUnit for CI, Markdown for a comment or a job summary. Views of load.json. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement

_SHOWN = ("p50", "p90", "p99", "max")


def junit_suite(document: Mapping[str, Any]) -> Element:
    """One test case for each gate, one for the client, one for the money; the rows have suites of their own."""
    gates = document["gates"]
    suite = Element("testsuite", name="weighbridge load", timestamp=str(document["run"]["started"])[:19])
    for gate in gates:
        case = SubElement(suite, "testcase", classname="load.gates", name=gate["gate"])
        if not gate["met"]:
            SubElement(
                case, "failure", message=f"measured {gate['shown']}"
            ).text = f"{gate['gate']}: measured {gate['shown']}"
    client = document["client"]
    case = SubElement(
        suite, "testcase", classname="load.client", name="the client's own figures can be trusted"
    )
    if not client["ok"]:
        SubElement(case, "error", message=client["statement"]).text = "\n".join(client["reasons"])
    money = document.get("money")
    if money is not None:
        case = SubElement(suite, "testcase", classname="load.money", name="charges are the priced usage")
        if money["skipped"]:
            SubElement(case, "skipped", message=money["statement"])
        elif not money["ok"]:
            SubElement(case, "failure", message=money["statement"]).text = money["statement"]
    cases = suite.findall("testcase")
    for case in cases:
        case.set("time", "0")
    suite.set("tests", str(len(cases)))
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("time", "0")
    return suite


def markdown(document: Mapping[str, Any]) -> str:
    """A summary of one screen."""
    return "\n".join(_markdown(document)) + "\n"


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _markdown(document: Mapping[str, Any]) -> Iterator[str]:
    load, headline, streams = document["load"], document["headline"], document["streams"]
    yield f"## Load test of `{load['url']}`"
    yield ""
    yield f"{load['model']}, {load['how']}, {load['duration_s']} s"
    yield ""
    yield (
        f"**{_cell(headline['tokens_per_s'])} tokens/s** (by {headline['token_source']}), "
        f"**{_cell(headline['chunks_per_s'])} chunks/s**, **{_cell(headline['streams_per_s'])} whole calls/s**; "
        f"{streams['completed']:,} whole, {streams['failed']:,} failed, {streams['unfinished']:,} cut off, {streams['dropped']:,} dropped"
    )
    yield ""
    if document["gates"]:
        yield "| gate | measured | |"
        yield "|---|---:|---|"
        for gate in sorted(document["gates"], key=lambda item: item["met"]):
            text = gate["gate"].replace("|", "\\|")
            yield f"| `{text}` | {gate['shown']} | {'met' if gate['met'] else '**MISSED**'} |"
        yield ""
    yield "| ms | " + " | ".join(_SHOWN) + " | count |"
    yield "|---|" + "---:|" * (len(_SHOWN) + 1)
    for name, item in document["latencies_ms"].items():
        yield f"| {name} | " + " | ".join(_cell(item[shown]) for shown in _SHOWN) + f" | {item['count']:,} |"
    direct = document.get("direct")
    if direct:
        yield ""
        yield "| against direct | direct p50 | gateway p50 | added | direct p99 | gateway p99 | added |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        for name, item in direct["latencies_ms"].items():
            here = document["latencies_ms"].get(name)
            if here:
                cells = [
                    cell
                    for shown in ("p50", "p99")
                    for cell in (_cell(item[shown]), _cell(here[shown]), f"{here[shown] - item[shown]:+.2f}")
                ]
                yield f"| {name} | " + " | ".join(cells) + " |"
    if document["failures"]:
        yield ""
        for name, times in document["failures"].items():
            yield f"- {times:,} x `{name}`: {document['examples'].get(name, '')}"
    yield ""
    if document.get("capacity"):
        yield document["capacity"]["statement"]
        yield ""
    yield document["client"]["statement"]
    if document.get("money"):
        yield ""
        yield document["money"]["statement"]
