"""The JSON Schemas are valid, closed and explain themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

NAMES = ("baseline", "edition", "models", "profiles", "report", "requirement", "target")

TARGET: dict[str, Any] = {
    "name": "my-gateway",
    "profiles": ["reapi-chat", "reapi-tasks"],
    "surfaces": {
        "chat": {"url": "https://gw.example/v1", "auth": "bearer"},
        "tasks": {"url": "https://gw.example/api/v1"},
    },
    "principals": {
        "chat.funded": {"key": "${CHAT_KEY}", "requests_per_second": 5},
        "chat.broke": {"key": "${BROKE}"},
    },
    "models": {"openai": "gpt-5.5", "anthropic": "claude-opus-4-8", "image": "gpt-image-2"},
    "rates": {
        "gpt-5.5": {"input": 5, "output": "30.25"},
        "claude-opus-4-8": {"input": 5, "output": 25, "web_search": "0.01"},
    },
    "task_prices": {"gpt-image-2": 40},
    "balance": {
        "chat": {
            "http": {"get": "https://gw.example/me", "json": "$.balance_usd"},
            "settle": "2s",
            "resolution": "0.01",
        },
        "tasks": {"command": "./balance.sh {key}", "unit": "credits", "rounding": "down"},
    },
    "accounts": {"command": "./make-account.sh", "pick": {"key": "$.key"}},
    "hooks": {
        "top_up": {"chat": {"http": {"post": "https://op.example/{account}", "body": {"usd": "{amount}"}}}},
        "revoke": {"http": {"delete": "https://op.example/keys/{key}"}},
    },
    "upstream": {"simulator": "http://127.0.0.1:8890", "dialects": {"claude-opus-4-8": "openai"}},
    "features": {"vision": True, "web_search": False},
    "groups": {"default": {"requests_per_second": 3}, "slow": None},
    "assets": {"image": "https://files.example/a.png"},
    "headers": {"x-route": "a"},
    "retry_policy": {"max_attempts": 3, "on": [500, "timeout"]},
    "usage": "own",
    "cache_window": "5m",
    "tls": {"verify": True, "ca_file": "ca.pem"},
    "timeouts": {"connect": "500ms", "first_byte": 30},
    "identity": {"vendor": "V", "product": "P", "version": "1", "contact": "c@v.example"},
}


def parts(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects inside a schema with their place."""
    if isinstance(node, dict):
        yield place, node
        for name, value in node.items():
            yield from parts(value, f"{place}/{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from parts(value, f"{place}/{index}")


def problems(schema: dict[str, Any], document: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)
    ]


def test_the_expected_schemas_exist(schemas: dict[str, dict[str, Any]]) -> None:
    assert set(NAMES) <= set(schemas)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_itself(schemas: dict[str, dict[str, Any]], name: str) -> None:
    Draft202012Validator.check_schema(schemas[name])
    assert schemas[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", NAMES)
def test_every_object_with_named_properties_is_closed(schemas: dict[str, dict[str, Any]], name: str) -> None:
    open_ones = [
        place
        for place, part in parts(schemas[name])
        if isinstance(part.get("properties"), dict)
        and "object" in part.get("type", ())
        and "additionalProperties" not in part
    ]
    assert open_ones == []


@pytest.mark.parametrize("name", NAMES)
def test_every_property_has_a_title_and_a_description(schemas: dict[str, dict[str, Any]], name: str) -> None:
    silent = [
        f"{place}/{key}"
        for place, part in parts(schemas[name])
        if isinstance(part.get("properties"), dict) and "object" in part.get("type", ())
        for key, value in part["properties"].items()
        if not (value.get("title") and value.get("description"))
    ]
    assert silent == []


def test_a_full_target_file_is_valid(schemas: dict[str, dict[str, Any]]) -> None:
    assert problems(schemas["target"], TARGET) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"surfces": {}}, "$"),
        ({"principals": {"chat.fundd": {"key": "${K}"}}}, "$.principals"),
        ({"balance": {"chat": {"settle": "2s"}}}, "$.balance.chat"),
        ({"balance": {"chat": {"command": "x", "settle": "2 seconds"}}}, "$.balance.chat.settle"),
        ({"rates": {"m": {"input": "five", "output": 1}}}, "$.rates.m.input"),
        ({"hooks": {"topup": {"command": "x"}}}, "$.hooks"),
        ({"retry_policy": {"max_attempts": 2, "on": [200]}}, "$.retry_policy.on[0]"),
        ({"features": {"visoin": True}}, "$.features"),
    ],
)
def test_a_wrong_target_file_is_refused_at_its_place(
    schemas: dict[str, dict[str, Any]], change: dict[str, Any], place: str
) -> None:
    found = problems(schemas["target"], TARGET | change)
    assert [line.split(": ")[0] for line in found] == [place]


def test_a_baseline_entry_needs_its_reason(schemas: dict[str, dict[str, Any]]) -> None:
    entry = {"requirement": "CSTR-04", "check": "end_marker_is_last"}
    assert problems(schemas["baseline"], {"entries": [entry | {"reason": "fixed in the next release"}]}) == []
    assert problems(schemas["baseline"], {"entries": [entry]}) == [
        "$.entries[0]: 'reason' is a required property"
    ]


def test_a_report_without_its_footer_is_not_whole(schemas: dict[str, dict[str, Any]]) -> None:
    assert "footer" in schemas["report"]["required"]
    assert schemas["report"]["properties"]["footer"]["properties"]["complete"] == {
        "title": "Complete",
        "description": "Written last, always true.",
        "const": True,
    }


def test_report_and_catalogue_agree_on_verdict_words_and_capabilities(
    schemas: dict[str, dict[str, Any]],
) -> None:
    row = schemas["report"]["$defs"]["requirement"]["properties"]
    catalogue = schemas["requirement"]["$defs"]
    assert row["needs"]["items"]["enum"] == catalogue["capability"]["enum"]
    assert row["verdict"]["enum"] == schemas["report"]["properties"]["counts"]["required"]
