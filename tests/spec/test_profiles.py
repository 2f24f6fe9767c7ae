"""Profiles resolve, raise only, and stay fair to a server that knows neither vendor."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

import spec
from weighbridge.source_documents import DOCUMENTS

STRENGTH = {"MAY": 0, "SHOULD": 1, "MUST": 2}
GENERIC = ("openai-chat", "anthropic-messages")

#: What the project exists for: these rows bind every vendor's profile of the surface that has them.
RAISED = {
    "reapi-chat": {
        "AUTH-11", "CERR-402-2", "CREQ-22", "CSTR-04", "CSTR-06", "CSTR-11", "CSTR-12", "CSTR-21", "CSTR-22", "PRAC-01",
    },
    "reapi-messages": {"AUTH-11", "MSTR-10", "PRAC-01", "PRAC-14", "PRAC-15"},
    "aimlapi-chat": {"AUTH-11", "CREQ-22", "CSTR-06", "CSTR-11", "CSTR-12", "CSTR-21", "CSTR-22", "PRAC-01"},
    "openai-chat": {"CSTR-04", "CSTR-06", "CSTR-11"},
}  # fmt: skip

Rows = dict[str, dict[str, Any]]
Profiles = dict[str, dict[str, Any]]


def listed(profile: str, rows: Rows) -> set[str]:
    """The rows that name the profile themselves."""
    return {name for name, row in rows.items() if profile in row["profiles"]}


def members(profile: str, rows: Rows, profiles: Profiles) -> set[str]:
    """The rows of a profile, by the rules at the head of profiles.yaml."""
    definition = profiles[profile]
    inherited = members(definition["extends"], rows, profiles) if "extends" in definition else set()
    return (inherited | listed(profile, rows)) - set(definition.get("drops", {}))


def test_the_file_is_valid(schemas: dict[str, Any], profiles: Profiles) -> None:
    document = {"profiles": list(profiles.values())}
    assert [error.message for error in Draft202012Validator(schemas["profiles"]).iter_errors(document)] == []
    assert spec.text("profiles.yaml").count("\n  - id: ") == len(profiles) == 6


def test_rows_name_known_profiles_only(rows: Rows, profiles: Profiles) -> None:
    assert {name for row in rows.values() for name in row["profiles"]} == set(profiles)


def test_a_profile_extends_one_of_its_own_surface_that_stands_before_it(profiles: Profiles) -> None:
    order = list(profiles)
    for name, definition in profiles.items():
        if "extends" in definition:
            parent = definition["extends"]
            assert order.index(parent) < order.index(name)
            assert profiles[parent]["surface"] == definition["surface"]


def test_raises_concern_members_and_only_raise(rows: Rows, profiles: Profiles) -> None:
    for name, definition in profiles.items():
        have = members(name, rows, profiles)
        for requirement, level in definition.get("raises", {}).items():
            assert requirement in have, (name, requirement)
            assert STRENGTH[level] > STRENGTH[rows[requirement]["level"]], (name, requirement)


def test_a_profile_repeats_the_raises_of_the_one_that_it_extends(profiles: Profiles) -> None:
    for definition in profiles.values():
        if "extends" in definition:
            inherited = profiles[definition["extends"]].get("raises", {})
            assert set(inherited) <= set(definition.get("raises", {}))


def test_every_raise_names_the_place_that_promises_it_and_practice_alone_raises_nothing(
    rows: Rows, profiles: Profiles
) -> None:
    for name, definition in profiles.items():
        assert set(definition.get("raised_by", {})) == set(definition.get("raises", {})), name
        for place in definition.get("raised_by", {}).values():
            assert place["document"] in DOCUMENTS
            assert place["document"] != "practice"
            assert place["heading"].startswith("follows from") == (place["document"] == "inference")
    assert {row["level"] for row_id, row in rows.items() if row_id.startswith("PRAC-")} <= {"SHOULD", "MAY"}


def test_the_rows_that_the_project_exists_for_are_raised(profiles: Profiles) -> None:
    assert {
        name: set(definition["raises"]) for name, definition in profiles.items() if "raises" in definition
    } == RAISED


def test_drops_concern_inherited_rows_and_name_a_stricter_one(rows: Rows, profiles: Profiles) -> None:
    for name, definition in profiles.items():
        for requirement, reason in definition.get("drops", {}).items():
            assert requirement in members(definition["extends"], rows, profiles)
            assert requirement not in listed(name, rows)
            stricter = [word.strip(",.") for word in reason.split() if word.strip(",.") in rows]
            assert stricter, (name, requirement)
            assert all(rows[other]["level"] == "MUST" for other in stricter)
            assert set(stricter) <= members(name, rows, profiles)


def test_a_vendor_s_row_is_listed_by_the_vendor_s_profile_even_when_inherited(
    rows: Rows, profiles: Profiles
) -> None:
    for name, definition in profiles.items():
        if "extends" in definition:
            inherited = members(definition["extends"], rows, profiles) - set(definition.get("drops", {}))
            assert inherited <= listed(name, rows)


def test_a_stranger_can_conform_with_nothing_but_a_url_and_a_key(rows: Rows, profiles: Profiles) -> None:
    for name in GENERIC:
        raised = profiles[name].get("raises", {})
        hidden = [
            requirement
            for requirement in members(name, rows, profiles)
            if raised.get(requirement, rows[requirement]["level"]) == "MUST" and rows[requirement]["needs"]
        ]
        assert hidden == []


def test_generic_profiles_hold_no_vendor_s_own_rows(rows: Rows, profiles: Profiles) -> None:
    vendor_blocks = (
        "CLA-",
        "GPT-",
        "VIS-",
        "CBIL-",
        "CLIM-",
        "CERR-402",
        "CERR-429",
        "CERR-500",
        "MBIL-",
        "AIML-",
    )
    for name in GENERIC:
        assert not [
            requirement
            for requirement in members(name, rows, profiles)
            if requirement.startswith(vendor_blocks)
        ]


#: In the catalogue and in every report, and scored by the next edition only.
NEXT_EDITION = {
    "FUZZ-CHAT-04",
    *(f"FUZZ-MSG-0{number}" for number in (1, 2, 3)),
    *(f"FUZZ-AIML-0{number}" for number in (1, 2, 3)),
    *(f"FUZZ-TASK-0{number}" for number in (2, 3, 4)),
}


def test_sizes_of_the_profiles_are_those_of_the_edition(rows: Rows, profiles: Profiles) -> None:
    """A changed number is a changed claim; it belongs to a new edition."""
    assert set(rows) >= NEXT_EDITION
    assert {name: len(set(members(name, rows, profiles)) - NEXT_EDITION) for name in profiles} == {
        "openai-chat": 66,
        "anthropic-messages": 43,
        "reapi-chat": 195,
        "reapi-messages": 72,
        "reapi-tasks": 108,
        "aimlapi-chat": 70,
    }
