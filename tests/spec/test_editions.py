"""The scored set of the edition: complete, and unchanged in meaning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import spec
from weighbridge import editions
from weighbridge.catalogue import EDITION, Catalogue, Requirement, load
from weighbridge.editions import Edition, ScoredRow, changes, digest, read, rendered, scored
from weighbridge.suite import Binding, Check, load_checks
from weighbridge.verdict import Level

NAME = f"editions/{EDITION}.yaml"


@pytest.fixture(scope="module")
def recorded() -> Edition:
    """The edition as its file has it."""
    return read(spec.text(NAME))


def check(row: str, surface: str) -> Check:
    return Check("area/file::test", Binding((row,), surface), (), lambda: None)


def test_the_file_is_valid(schemas: dict[str, Any]) -> None:
    document = yaml.safe_load(spec.text(NAME))
    assert [error.message for error in Draft202012Validator(schemas["edition"]).iter_errors(document)] == []


def test_no_scored_row_lost_its_check_or_changed_its_meaning(recorded: Edition) -> None:
    """A changed claim belongs to a new edition; a draft is written anew with `python -m weighbridge.editions`."""
    assert changes(recorded, load(), scored(load(), load_checks())) == ()


def test_the_file_is_as_its_command_writes_it(recorded: Edition) -> None:
    assert rendered(recorded) == spec.text(NAME)


def test_claims_rest_on_the_file(recorded: Edition) -> None:
    pairs = {(profile, row.id) for row in recorded.rows for profile, _ in row.profiles}
    assert {(profile, row) for profile, rows in load().scored.items() for row in rows} == pairs
    assert load().scores("reapi-chat", "CSTR-03")
    assert not load().scores("aimlapi-chat", "CSTR-03")


ROW = load().requirement("CSTR-03")
LEVELS = (("openai-chat", Level.MUST), ("reapi-chat", Level.MUST))


@pytest.mark.parametrize(
    "row",
    [
        replace(ROW, statement="Anything goes."),
        replace(ROW, level=Level.SHOULD),
        replace(ROW, needs=("upstream",)),
        replace(ROW, reading="C1: another one."),
    ],
)
def test_a_changed_meaning_changes_the_digest(row: Requirement) -> None:
    assert digest(row, LEVELS) != digest(ROW, LEVELS)


def test_another_level_in_a_profile_changes_the_digest() -> None:
    assert digest(ROW, (LEVELS[0], ("reapi-chat", Level.SHOULD))) != digest(ROW, LEVELS)
    assert digest(ROW, LEVELS[:1]) != digest(ROW, LEVELS)


def test_words_around_the_meaning_do_not_change_the_digest() -> None:
    told = replace(ROW, title="t", why="w", sources=(), statement=ROW.statement.replace(" ", "  "))
    assert digest(told, LEVELS) == digest(ROW, LEVELS)


def edition_of(catalogue: Catalogue, *, frozen: bool) -> tuple[Edition, tuple[ScoredRow, ...]]:
    rows = scored(catalogue, [check("CSTR-03", "chat")])
    return Edition("2026.11", frozen, rows), rows


def test_a_row_is_scored_on_the_surface_of_its_check_alone() -> None:
    _, rows = edition_of(load(), frozen=True)
    assert [(row.id, [name for name, _ in row.profiles]) for row in rows] == [
        ("CSTR-03", ["openai-chat", "reapi-chat"])
    ]
    assert scored(load(), [check("CSTR-03", "messages")]) == ()


def test_a_changed_row_needs_a_new_edition() -> None:
    edition, _ = edition_of(load(), frozen=True)
    changed = replace(
        load(), requirements={**load().requirements, "CSTR-03": replace(ROW, statement="Anything goes.")}
    )
    now = scored(changed, [check("CSTR-03", "chat")])
    assert [text.partition(" ")[0] for text in changes(edition, changed, now)] == ["CSTR-03"]


def test_a_lost_check_needs_a_new_edition() -> None:
    edition, _ = edition_of(load(), frozen=True)
    assert [text.partition(" ")[0] for text in changes(edition, load(), ())] == ["CSTR-03"]


def test_a_new_check_is_no_change_of_a_frozen_edition_and_one_of_a_draft() -> None:
    edition, rows = edition_of(load(), frozen=True)
    more = (*rows, *scored(load(), [check("CSTR-01", "chat")]))
    assert changes(edition, load(), more) == ()
    assert changes(replace(edition, frozen=False), load(), more) == (
        "CSTR-01 has a check and is not in the draft; write it anew",
    )


def test_a_new_surface_of_a_row_keeps_its_frozen_meaning() -> None:
    chat = Edition("2026.11", True, scored(load(), [check("PRAC-01", "chat")]))
    both = scored(load(), [check("PRAC-01", "chat"), check("PRAC-01", "messages")])
    assert changes(chat, load(), both) == ()
    assert changes(Edition("2026.11", True, both), load(), chat.rows) != ()


def test_the_command_refuses_to_rewrite_a_frozen_edition(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "editions" / "2026.11.yaml"
    monkeypatch.setattr(editions, "edition_path", lambda: path)
    assert editions.main([]) == 0
    assert not read(path.read_text(encoding="utf-8")).frozen
    assert editions.main(["--freeze"]) == 0
    frozen = path.read_text(encoding="utf-8")
    assert read(frozen).frozen
    assert editions.main([]) == 1
    assert path.read_text(encoding="utf-8") == frozen
    assert "is frozen" in capsys.readouterr().err
    assert editions.main(["--thaw"]) == 2
