"""The configuration's schema, its reader and the documentation say the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from reference_gateway import ConfigError, load_config, parse_config
from reference_gateway.config_reference import reference, schema
from reference_gateway.observation.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
EXAMPLE = yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])


def test_the_page_holds_the_reference_as_generated() -> None:
    assert reference() in PAGE


def test_the_page_names_every_metric_with_its_meaning() -> None:
    for metric in Metrics().registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        assert f"| `{name}` | {metric.type} |" in PAGE
        assert metric.documentation in PAGE


def test_the_pages_example_is_a_configuration_for_reader_and_schema(tmp_path: Path) -> None:
    Draft202012Validator(schema()).validate(EXAMPLE)
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(EXAMPLE))
    names = ("GATEWAY_OPERATOR_TOKEN", "OPENAI_KEY", "ANTHROPIC_KEY", "MEDIA_KEY")
    config = load_config(file, {name: f"secret-{name}" for name in names})
    assert config.channels["openai"].key == "secret-OPENAI_KEY"
    with pytest.raises(
        ConfigError, match=r"channels\.claude\.key: the environment variable ANTHROPIC_KEY is not"
    ):
        load_config(file, {name: "x" for name in names if name != "ANTHROPIC_KEY"})


def _paths(node: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, inner in node.get("properties", {}).items():
        found.append((*path, name))
        found += _paths(inner, (*path, name))
        if isinstance(inner.get("additionalProperties"), dict):
            found += _paths(inner["additionalProperties"], (*path, name, "x"))
    return found


@pytest.mark.parametrize("path", _paths(schema()), ids=".".join)
def test_every_key_of_the_schema_is_known_to_the_reader(path: tuple[str, ...]) -> None:
    """A value of the wrong type is refused at its own place, not as an unknown key."""
    values: Any = json.loads(json.dumps(EXAMPLE))
    place = values
    for name in path[:-1]:
        if name == "x":
            name = next(iter(place), "x")  # noqa: PLW2901 - any entry will do
        place = place.setdefault(name, {})
    place[path[-1]] = {"not": ["this", 1.5]}
    with pytest.raises(ConfigError) as refused:
        parse_config(values)
    assert "is not a known key" not in str(refused.value) or f"{path[-1]}.not" in str(refused.value)


@pytest.mark.parametrize("key", ["listen", "media", "limits", "log", "tracing", "aimlapi"])
def test_an_unknown_key_is_refused_by_reader_and_schema_alike(key: str) -> None:
    values: Any = json.loads(json.dumps(EXAMPLE))
    values.setdefault(key, {})["unheard_of"] = 1
    with pytest.raises(ConfigError):
        parse_config(values)
    assert not Draft202012Validator(schema()).is_valid(values)


def test_the_program_prints_the_schema_and_the_reference() -> None:
    command = [sys.executable, "-m", "reference_gateway"]
    shown = subprocess.run([*command, "--schema"], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(shown.stdout) == schema()
    shown = subprocess.run([*command, "--reference"], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout == reference()
