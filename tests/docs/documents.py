"""What a YAML or JSON block of a page is, by what it holds, and whether the program that it is for accepts it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator

from mock_upstreams.scenario_files import read_library
from reference_gateway import parse_config
from tests.docs.blocks import ROOT, Block
from weighbridge.load import gates
from weighbridge.target_file import load

_SCHEMAS: Final = ROOT / "spec" / "schemas"


class EveryVariable(dict[str, str]):
    """An environment in which each variable that a page names is set."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> str:
        if default is not None:
            return str(default)
        return f"http://{name.lower().replace('_', '-')}.example" if name.endswith("URL") else f"value-{name}"

    def __missing__(self, name: str) -> str:
        return self.get(name)


def _schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((_SCHEMAS / name).read_text(encoding="utf-8")))


def _target(document: Any, folder: Path) -> None:
    place = folder / "checked-target.yaml"
    place.write_text(yaml.safe_dump(document), encoding="utf-8")
    load(place, EveryVariable())


#: What a part of a target file is added to.
_BARE_TARGET: Final[Mapping[str, Any]] = {
    "name": "bare",
    "surfaces": {
        "chat": {"url": "https://gw.example/v1"},
        "messages": {"url": "https://gw.example"},
        "tasks": {"url": "https://gw.example/api/v1"},
    },
    "principals": {"chat.funded": {"key": "${KEY}"}, "tasks.funded": {"key": "${TASKS_KEY}"}},
    "models": {"openai": "gpt-5.5"},
}


def _part_of_a_target(document: Any, folder: Path) -> None:
    whole = {**_BARE_TARGET, **document}
    for name in ("surfaces", "principals", "models"):
        whole[name] = {**_BARE_TARGET[name], **document.get(name, {})}
    _target(whole, folder)


def _gateway_example() -> dict[str, Any]:
    page = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
    example: dict[str, Any] = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    return example


def _gateway(document: Any, _folder: Path) -> None:
    parse_config({**_gateway_example(), **document})


def _baseline(document: Any, _folder: Path) -> None:
    _schema("baseline.schema.json").validate(document)


def _scenarios(document: Any, _folder: Path) -> None:
    library = read_library(document)
    assert library.named or document.get("rules") or document.get("outages")


def _gates(document: Any, folder: Path) -> None:
    place = folder / "gates.yaml"
    place.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert [item.text for item in gates.read_file(place)] == document


def _requirements(document: Any, _folder: Path) -> None:
    _schema("requirement.schema.json").validate(document)


def _ci(builtin: str) -> Callable[[Any, Path], None]:
    def check(document: Any, folder: Path) -> None:
        place = folder / "ci.yml"
        place.write_text(
            yaml.safe_dump({{True: "on"}.get(key, key): value for key, value in document.items()}),
            encoding="utf-8",
        )
        done = subprocess.run(
            [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", builtin, str(place)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return check


def _workflow(document: Any, folder: Path) -> None:
    _ci("vendor.github-workflows")(document, folder)
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    steps = [step for job in document["jobs"].values() for step in job["steps"]]
    ours = [step for step in steps if "weighbridge" in step.get("uses", "")]
    assert ours, "a workflow on our pages uses our action"
    for step in ours:
        unknown = set(step["with"]) - set(action["inputs"])
        assert not unknown, f"action.yml has no input {', '.join(sorted(unknown))}"


def _holds(*names: str) -> Callable[[Any], bool]:
    return lambda document: isinstance(document, dict) and any(name in document for name in names)


_GATEWAY_KEYS: Final = frozenset(json.loads(
    (ROOT / "reference_gateway" / "config.schema.json").read_text(encoding="utf-8")
)["properties"])  # fmt: skip
_TARGET_KEYS: Final = frozenset(
    json.loads((_SCHEMAS / "target.schema.json").read_text(encoding="utf-8"))["properties"]
)


def _only(keys: frozenset[str]) -> Callable[[Any], bool]:
    return lambda document: isinstance(document, dict) and set(document) <= keys


def _list_of(kind: type, key: str = "") -> Callable[[Any], bool]:
    return lambda document: (
        isinstance(document, list)
        and all(
            isinstance(item, kind) and (not key or key in item)  # type: ignore[operator]
            for item in document
        )
    )


Rule = tuple[str, Callable[[Any], bool], Callable[[Any, Path], None]]

#: The first rule that fits tells what a YAML block is.
RULES: Final[tuple[Rule, ...]] = (
    ("a whole target file", lambda it: _holds("surfaces")(it) and _holds("principals")(it), _target),
    ("a baseline", _holds("entries"), _baseline),
    ("scenarios of the simulator", _holds("scenarios", "outages"), _scenarios),
    ("a part of a target file", _only(_TARGET_KEYS), _part_of_a_target),
    ("a configuration of the reference gateway", _only(_GATEWAY_KEYS), _gateway),
    ("a GitHub workflow", _holds("jobs"), _workflow),
    (
        "a GitLab pipeline",
        lambda it: isinstance(it, dict) and any(_holds("script")(job) for job in it.values()),
        _ci("vendor.gitlab-ci"),
    ),
    ("gates of a load test", _list_of(str), _gates),
    ("rows of the catalogue", _list_of(dict, "statement"), _requirements),
)


def rule_of(document: Any) -> Rule | None:
    """What a document is, or None where nobody knows."""
    return next((rule for rule in RULES if rule[1](document)), None)


def check_yaml(block: Block, folder: Path) -> None:
    """A YAML block is what it looks like, and the program that reads such files accepts it.

    Where its first line says `# added to FILE`, the commands that follow on the page find it there.
    """
    document = yaml.safe_load(block.text)
    rule = rule_of(document)
    assert rule is not None, (
        f"{block.place}: nothing of ours reads this; teach tests/docs/documents.py, or mark the block"
    )
    rule[2](document, folder)
    added = re.match(r"# added to ([\w.-]+)\n", block.text)
    if added:
        with (folder / added[1]).open("a", encoding="utf-8") as file:
            file.write(block.text)


def check_json(block: Block, _folder: Path) -> None:
    """A JSON block parses."""
    json.loads(block.text)
