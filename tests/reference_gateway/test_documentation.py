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
from reference_gateway.config_section import Section
from reference_gateway.observation.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
EXAMPLE = yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])
RATES = {"input": "1", "output": "2"}
# Every section once; what may be named freely is called x.
EVERYTHING: dict[str, Any] = {
    "listen": {"shared": "127.0.0.1:0", "hosts": {"chat": ["chat.example"]}},
    "channels": {"x": {"dialect": "anthropic", "url": "http://a", "key": "k"}},
    "groups": {"default": {"routes": {"x": "x"}}},
    "media": {"url": "http://m", "key": "k"},
    "models": {
        "x": {
            "family": "anthropic",
            "rates": RATES,
            "long_context": {"above": 9, "input_factor": "2", "output_factor": "2"},
        }
    },
    "aimlapi": {"models": {"x": {"rates": RATES}}, "routes": {"x": "x"}},
    "task_models": {
        "x": {"endpoint": "images", "kind": "image", "price": 1, "fields": {"x": {"type": "string"}}}
    },
    "limits": {},
    "log": {},
    "tracing": {"endpoint": "http://t"},
}


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


def _node(place: str) -> dict[str, Any]:
    """The schema of a section, by its dotted place; names that are free stand for `additionalProperties`."""
    node = schema()
    for name in filter(None, place.split(".")):
        inner = node.get("properties", {}).get(name)
        node = node["additionalProperties"] if inner is None else inner
    return node


def test_every_key_that_the_reader_asks_for_is_in_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads a configuration in which every section is there, and notes what is asked for."""
    asked: set[tuple[str, str]] = set()
    take, has = Section.take, Section.has

    def noted_take(self: Section, key: str, *values: Any, **named: Any) -> Any:
        asked.add((self.path, key))
        return take(self, key, *values, **named)

    def noted_has(self: Section, key: str) -> bool:
        asked.add((self.path, key))
        return has(self, key)

    monkeypatch.setattr(Section, "take", noted_take)
    monkeypatch.setattr(Section, "has", noted_has)
    parse_config(EVERYTHING)
    for place, key in sorted(asked):
        assert key in _node(place)["properties"], f"{place}.{key} is read, and the schema does not know it"
    sections = {path[:-1] for path in _paths(schema())}
    read = {tuple(place.replace("groups.default", "groups.x").split(".")) for place, _ in asked if place}
    read.add(())
    assert sections <= read, f"not read: {sections - read}"


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
