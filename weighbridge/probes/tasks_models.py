"""What the dated model data says about task models, and valid request bodies made from it.

Names of pages and names on the wire are different things, so the endpoint of a model is looked up and never
derived. A model that the data does not know is submitted by its role, with a prompt and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from weighbridge.lab import Lab
from weighbridge.locate import folder
from weighbridge.scenario import Scenario

#: Kinds of output, which are also the first word of a role in the target file.
KINDS = ("image", "video", "audio", "text")
TEXT_ENDPOINTS = ("/humanize", "/detect", "/essay")
#: Where a model that the data does not know is submitted; text tools share no endpoint.
_ENDPOINTS = {"image": "/images/generations", "video": "/videos/generations", "audio": "/audio/generations"}
_PROMPT_NAMES = frozenset({"prompt", "content", "text", "input"})
_PROMPT = "A red bicycle leaning against a wall."
#: Values for required parameters whose lists are not published.
_SAMPLES = {"stem": "vocals", "type": "essay", "academic_level": "College"}
#: A reserved domain: whatever fetches it, nobody is bothered. Real providers need `assets` in the target file.
_MEDIA = {
    "image": "https://media.example.com/weighbridge.png",
    "video": "https://media.example.com/weighbridge.mp4",
    "audio": "https://media.example.com/weighbridge.wav",
}
#: Outside every list of values.
_NO_VALUE = "weighbridge-no-such-value"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One request field of a model's page."""

    name: str
    type: str
    required: bool = False
    values: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    public_url: bool = False

    @property
    def is_prompt(self) -> bool:
        """Whether it is the text that the model works on."""
        return self.name in _PROMPT_NAMES


@dataclass(frozen=True, slots=True)
class TaskModel:
    """One model of the task gateway."""

    id: str
    kind: str
    endpoint: str
    parameters: tuple[Parameter, ...] = ()

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, if the model has it."""
        return next((item for item in self.parameters if item.name == name), None)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _parameter(name: str, raw: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name,
        str(raw.get("type", "string")),
        bool(raw.get("required", False)),
        tuple(str(value) for value in raw.get("values", ())),
        _whole(raw.get("minimum")),
        _whole(raw.get("maximum")),
        bool(raw.get("public_url", False)),
    )


@cache
def known_models() -> Mapping[str, TaskModel]:
    """The task models of the data that ships with this installation, by wire id."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (folder("spec") / "models.yaml").read_text(encoding="utf-8")
    document = yaml.load(text, Loader=loader)  # noqa: S506 - both loaders are safe ones
    return {
        str(raw["id"]): TaskModel(
            str(raw["id"]),
            str(raw["kind"]),
            str(raw["endpoint"]),
            tuple(_parameter(name, item) for name, item in (raw.get("parameters") or {}).items()),
        )
        for raw in document["models"]
        if "tasks" in raw["surfaces"]
    }


def kind_of(role: str) -> str:
    """The kind of output that a role such as `text_essay` stands for."""
    return role.partition("_")[0]


def model_of(lab: Lab, role: str) -> TaskModel | None:
    """The model of a role; None for a text tool whose endpoint nobody knows."""
    name = lab.target.models[role]
    known = known_models().get(name)
    if known is not None:
        return known
    endpoint = _ENDPOINTS.get(kind_of(role))
    prompt = Parameter("prompt", "string", required=True)
    return None if endpoint is None else TaskModel(name, kind_of(role), endpoint, (prompt,))


def usable_roles(lab: Lab) -> tuple[str, ...]:
    """The roles that can be submitted to this target; the others are recorded as missing."""
    usable = []
    for role in lab.roles("tasks"):
        model = model_of(lab, role)
        if model is None:
            lab.miss(f"completed/{role}", f"an endpoint for {lab.target.models[role]} in the model data")
        elif not lab.wired and any(
            item.required and item.public_url and not _asset(lab, item) for item in model.parameters
        ):
            lab.miss(f"completed/{role}", f"assets.{model.kind}: a public URL for the model to work on")
        else:
            usable.append(role)
    return tuple(usable)


def role_of(lab: Lab, kind: str) -> str | None:
    """The first usable role of a kind."""
    return next((role for role in usable_roles(lab) if kind_of(role) == kind), None)


def one_of_each_endpoint(lab: Lab) -> tuple[str, ...]:
    """The first usable role of each endpoint: the text tools have one each."""
    first: dict[str, str] = {}
    for role in usable_roles(lab):
        model = model_of(lab, role)
        if model is not None:
            first.setdefault(model.endpoint, role)
    return tuple(first.values())


def one_of_each_kind(lab: Lab) -> tuple[str, ...]:
    """The first usable role of each kind of output."""
    return tuple(dict.fromkeys(role for kind in KINDS if (role := role_of(lab, kind)) is not None))


def _asset(lab: Lab, parameter: Parameter) -> str | None:
    return lab.target.assets.get(parameter.name.partition("_")[0])


def body(lab: Lab, role: str, correlation_id: str, scenario: Scenario | None = None) -> dict[str, Any]:
    """The smallest valid body of a role's model, with the mark in the text that reaches the provider."""
    model = model_of(lab, role)
    assert model is not None  # noqa: S101 - probes take their roles from `usable_roles`
    mark = lab.mark(correlation_id, scenario)
    filled: dict[str, Any] = {"model": model.id}
    for parameter in model.parameters:
        if parameter.required:
            filled[parameter.name] = _value(lab, parameter, mark)
    if not any(parameter.required for parameter in model.parameters):
        filled["prompt"] = f"{_PROMPT} {mark}"
    return filled


def _value(lab: Lab, parameter: Parameter, mark: str) -> Any:
    if parameter.public_url:
        url = _asset(lab, parameter) or _MEDIA[parameter.name.partition("_")[0]]
        # A fragment is never sent to the host that serves the file, but the provider sees it.
        return f"{url}#{mark}" if lab.wired else url
    if parameter.is_prompt:
        return f"{_PROMPT} {mark}"
    return valid_value(parameter)


def valid_value(parameter: Parameter) -> Any:
    """A value inside the documented list or range; None for shapes that the data does not describe."""
    if parameter.values:
        return parameter.values[0]
    if parameter.type == "integer":
        return parameter.minimum if parameter.minimum is not None else 1
    if parameter.type == "boolean":
        return False
    return _SAMPLES.get(parameter.name)


def optional_fields(model: TaskModel) -> dict[str, Any]:
    """One valid value for each optional parameter that has a list, a range or is a flag."""
    told = (
        item for item in model.parameters if not item.required and not item.public_url and not item.is_prompt
    )
    described = (item for item in told if item.values or item.type in {"integer", "boolean"})
    # Some values go with one value of another parameter only, and the data does not say so in a field.
    return {item.name: valid_value(item) for item in described if item.name != "multivocal"}


def violations(model: TaskModel) -> dict[str, dict[str, Any]]:
    """Each single violation of a list or range: situation -> changes."""
    found: dict[str, dict[str, Any]] = {}
    for item in model.parameters:
        if item.values:
            found[f"bad-{item.name}"] = {item.name: _NO_VALUE}
        elif item.type == "integer" and item.maximum is not None:
            found[f"bad-{item.name}"] = {item.name: item.maximum + 1000}
    return found
