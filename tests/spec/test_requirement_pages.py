"""The page of the requirements is fresh and leaves no row out."""

from __future__ import annotations

from typing import Any

from weighbridge.catalogue import load
from weighbridge.describe import explain_lines
from weighbridge.requirement_pages import AREAS, page, page_path
from weighbridge.source_documents import DOCUMENTS
from weighbridge.suite import load_checks


def test_the_page_is_fresh() -> None:
    """Write it anew with `python -m weighbridge.requirement_pages`."""
    assert page_path().read_text(encoding="utf-8") == page(load(), load_checks())


def test_every_area_has_a_section(blocks: dict[str, Any]) -> None:
    assert set(AREAS) == set(blocks)


def test_every_row_stands_there_once_with_its_statement_and_source(rows: dict[str, Any]) -> None:
    text = page(load(), load_checks())
    for name, row in rows.items():
        assert text.count(f"\n### {name}: {row['title']}\n") == 1
        assert " ".join(row["statement"].split()) in text
        assert row["source"][0]["document"] in text


def test_every_cited_document_is_listed_and_the_five_pages_have_an_address(rows: dict[str, Any]) -> None:
    text = page(load(), load_checks()).partition("## Source documents")[2].partition("\n## ")[0]
    assert {source["document"] for row in rows.values() for source in row["source"]} == set(DOCUMENTS)
    for name, document in DOCUMENTS.items():
        assert f"| {name} | {document.title} |" in text
    assert all(DOCUMENTS[name].address in text for name in ("S0", "S1", "S2", "S3", "S4"))
    assert all(DOCUMENTS[name].address for name in ("S0", "S1", "S2", "S3", "S4"))


def test_explain_says_where_the_cited_page_is() -> None:
    told = "\n".join(explain_lines("CSTR-03"))
    assert "S2 = gpt-5.5, reAPI Docs: https://reapi.ai/docs/gpt-5-5" in told
    assert "S4 =" not in told


def test_a_row_without_a_check_says_why() -> None:
    block = page(load(), []).partition("### GPT-24:")[2].partition("###")[0]
    assert "- Not checked: It depends on how the model behaves" in block


def test_a_raised_level_stands_behind_the_profile() -> None:
    block = page(load(), load_checks()).partition("### CSTR-04:")[2].partition("###")[0]
    assert "**SHOULD.**" in block
    assert "`reapi-chat` (MUST)" in block
    assert (
        "- Raised: openai-chat to MUST by OpenAI format, chat completion chunk; reapi-chat to MUST by S0, "
        in block
    )
    assert "reapi-messages to MUST by inference, follows from S0, Endpoints" in " ".join(
        " ".join(explain_lines("PRAC-14")).split()
    )
