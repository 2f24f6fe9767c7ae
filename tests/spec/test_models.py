"""Model facts are well-formed, dated, and agree with the OpenAPI description."""

from __future__ import annotations

from typing import Any

import yaml
from jsonschema import Draft202012Validator

import spec

Models = dict[str, dict[str, Any]]

#: Wire name to the request schema that describes it.
DESCRIBED = {
    "claude-opus-4-8": "ClaudeChatRequest",
    "claude-sonnet-4-6": "ClaudeChatRequest",
    "gpt-5.5": "GptChatRequest",
    "gpt-image-2": "GptImageRequest",
    "gpt-image-2-official": "GptImageOfficialRequest",
    "gemini-2.5-flash-image-preview": "GeminiFlashImageRequest",
    "imagen-4-0": "ImagenRequest",
    "doubao-seedance-2.0": "SeedanceRequest",
    "doubao-seedance-2.0-fast": "SeedanceRequest",
    "audio-stem-separator": "AudioTaskRequest",
    "humanize": "HumanizeTaskRequest",
    "ai-text-detector": "DetectTaskRequest",
    "ai-essay-writer": "EssayTaskRequest",
}


def test_the_file_is_valid(schemas: dict[str, Any]) -> None:
    document = yaml.safe_load(spec.text("models.yaml"))
    problems = [
        f"{e.json_path}: {e.message}" for e in Draft202012Validator(schemas["models"]).iter_errors(document)
    ]
    assert problems == []


def test_wire_names_are_unique_with_their_aliases() -> None:
    listed = yaml.safe_load(spec.text("models.yaml"))["models"]
    names = [(item["vendor"], name) for item in listed for name in (item["id"], *item.get("aliases", ()))]
    assert len(names) == len(set(names))


def test_the_models_of_the_documents_are_there(models: Models) -> None:
    documented = {name for name, model in models.items() if model["certainty"] == "documented"}
    assert documented == {
        "claude-opus-4-8", "claude-sonnet-4-6", "gpt-5.5", "claude-opus-4-7", "anthropic/claude-opus-4-8",
    }  # fmt: skip


def test_task_models_name_their_endpoint(models: Models) -> None:
    endpoints = {
        "image": "/images/generations",
        "video": "/videos/generations",
        "audio": "/audio/generations",
    }
    for model in models.values():
        if model["kind"] in endpoints:
            assert model["endpoint"] == endpoints[model["kind"]]
            assert model["output"] == f"{model['kind']}_urls"
        assert ("endpoint" in model) == (model["surfaces"] == ["tasks"])


def _field(openapi: dict[str, Any], request: str, name: str) -> dict[str, Any]:
    field = dict(openapi["components"]["schemas"][request]["properties"][name])
    while "$ref" in field:
        field = dict(openapi["components"]["schemas"][field["$ref"].rpartition("/")[2]])
    return field


def test_ranges_agree_with_the_openapi_description(models: Models, openapi: dict[str, Any]) -> None:
    compared = 0
    for name, request in DESCRIBED.items():
        described = openapi["components"]["schemas"][request]
        for parameter, rule in models[name]["parameters"].items():
            field = _field(openapi, request, parameter)
            required = rule.get("required", False)
            assert (parameter in described["required"]) == required, (name, parameter)
            if "values" in rule and parameter != "group":
                assert field.get("enum", [field.get("const")]) == rule["values"], (name, parameter)
            if "minimum" in rule:
                bounds = (field.get("minimum", field.get("const")), field.get("maximum", field.get("const")))
                assert bounds == (rule["minimum"], rule["maximum"]), (name, parameter)
            if "min_length" in rule:
                assert (field["minLength"], field["maxLength"]) == (rule["min_length"], rule["max_length"])
            if "default" in rule and "default" in field:
                assert field["default"] == rule["default"], (name, parameter)
            if "max_items" in rule:
                assert field["maxItems"] == rule["max_items"], (name, parameter)
            compared += 1
    assert compared > 80


def test_the_long_context_tier_begins_above_272_000(models: Models) -> None:
    limits = models["gpt-5.5"]["limits"]
    assert limits["standard_input_tokens"] == 272_000
    assert limits["long_context"] == {"input_factor": 2, "output_factor": 1.5}
