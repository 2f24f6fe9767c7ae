"""The catalogue is complete, well-formed and says where each row comes from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from jsonschema import Draft202012Validator

Row = dict[str, Any]

#: Rows of each block of the documents' requirements; a lost or doubled row changes a claim's meaning.
ROWS_PER_BLOCK = {
    "surfaces-auth": 24,
    "chat-request": 24,
    "chat-claude": 25,
    "chat-gpt": 24,
    "chat-response": 18,
    "chat-streaming": 22,
    "chat-errors": 30,
    "chat-billing": 27,
    "messages": 42,
    "tasks-submit": 18,
    "tasks-poll": 24,
    "tasks-credits": 20,
    "tasks-idempotency": 7,
    "tasks-rate-limit": 13,
    "tasks-errors": 17,
    "aimlapi": 51,
}
BEYOND = {"practice", "fuzz"}
LAST_CONTRADICTION = 39


def test_every_block_is_valid(blocks: dict[str, list[Row]], schemas: dict[str, Any]) -> None:
    validator = Draft202012Validator(schemas["requirement"])
    problems = [
        f"{name} {error.json_path}: {error.message}"
        for name, block in blocks.items()
        for error in validator.iter_errors(block)
    ]
    assert problems == []


def test_every_block_has_the_rows_of_the_documents(blocks: dict[str, list[Row]]) -> None:
    assert {name: len(block) for name, block in blocks.items() if name not in BEYOND} == ROWS_PER_BLOCK
    assert sum(ROWS_PER_BLOCK.values()) == 386


def test_levels_of_the_documents_are_kept(blocks: dict[str, list[Row]]) -> None:
    levels = Counter(row["level"] for name, block in blocks.items() if name not in BEYOND for row in block)
    assert levels == {"MUST": 278, "SHOULD": 86, "MAY": 22}


def test_rows_beyond_the_documents_are_never_a_must(blocks: dict[str, list[Row]]) -> None:
    assert {row["level"] for name in BEYOND for row in blocks[name]} == {"SHOULD"}
    assert all(
        any(source["document"] == "practice" for source in row["source"])
        for name in BEYOND
        for row in blocks[name]
    )


def test_ids_are_unique(blocks: dict[str, list[Row]]) -> None:
    ids = Counter(row["id"] for block in blocks.values() for row in block)
    assert [name for name, count in ids.items() if count > 1] == []


def test_rows_of_the_documents_name_no_practice_as_source(blocks: dict[str, list[Row]]) -> None:
    practice = [
        row["id"]
        for name, block in blocks.items()
        if name not in BEYOND
        for row in block
        if any(source["document"] == "practice" for source in row["source"])
    ]
    assert practice == []


def test_sources_are_named_once_per_row(rows: dict[str, Row]) -> None:
    repeated = [
        row["id"]
        for row in rows.values()
        if len({tuple(source.values()) for source in row["source"]}) != len(row["source"])
    ]
    assert repeated == []


def test_texts_are_sentences_and_titles_are_not(rows: dict[str, Row]) -> None:
    for row in rows.values():
        assert not row["title"].endswith("."), row["id"]
        for name in ("statement", "why", "reading", "not_checked"):
            assert row.get(name, "x.").endswith("."), (row["id"], name)


def test_a_row_says_why_in_words_of_its_own(rows: dict[str, Row]) -> None:
    same = [row["id"] for row in rows.values() if row["why"] in {row["statement"], row["title"]}]
    assert same == []


@pytest.mark.parametrize(
    ("prefixes", "profile"),
    [("AIML-", "aimlapi-chat"), ("TSUB- TPOL- TBIL- BAL- TIDM- TRAT- TERR-", "reapi-tasks")],
)
def test_rows_of_one_vendor_s_surface_belong_to_its_profile_alone(
    rows: dict[str, Row], prefixes: str, profile: str
) -> None:
    own = [row for row in rows.values() if row["id"].startswith(tuple(prefixes.split()))]
    assert len(own) >= 50
    assert [row["id"] for row in own if row["profiles"] != [profile]] == []


def test_a_row_that_needs_an_empty_account_says_so(rows: dict[str, Row]) -> None:
    for name in ("CERR-402-1", "CERR-402-2", "CERR-402-3", "CERR-402-4", "TBIL-13", "AIML-ERR-05"):
        assert "broke" in rows[name]["needs"], name


def test_a_row_that_recomputes_a_price_needs_money_and_rates(rows: dict[str, Row]) -> None:
    for row in rows.values():
        if "rates" in row["needs"]:
            assert "balance" in row["needs"], row["id"]


def test_readings_point_to_a_known_contradiction(rows: dict[str, Row]) -> None:
    numbers = {int(row["reading"].split(":")[0][1:]) for row in rows.values() if "reading" in row}
    assert numbers <= set(range(1, LAST_CONTRADICTION + 1))
    # C27 concerns a feature without any fact on the wire, so no row exists that could carry it.
    assert set(range(1, LAST_CONTRADICTION + 1)) - numbers == {27}


def test_only_rows_that_cannot_be_judged_are_left_out_of_judgement(rows: dict[str, Row]) -> None:
    left_out = {row["id"] for row in rows.values() if "not_checked" in row}
    assert left_out == {
        "SURF-05",
        "CLA-16",
        "GPT-24",
        "CERR-NR-8",
        "MCACHE-05",
        "TSUB-12",
        "TIDM-07",
        "TERR-13",
    }
    assert not [name for name in left_out if rows[name]["level"] == "MUST"]
