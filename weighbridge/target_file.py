"""Reads a target file: YAML to a document that its schema accepts, with `${VAR}` filled in.

Parsed once, at the border. Anything wrong is one `TargetFileError` that names the file, the place and the
remedy. The schema is `spec/schemas/target.schema.json`; its checks run first, so `target_parts` only converts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from yaml.composer import ComposerError

from weighbridge.errors import TargetFileError, nearest
from weighbridge.locate import folder
from weighbridge.target import Target
from weighbridge.target_parts import convert

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)(?::-([^}]*))?\}")


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # slow to load

    schema = json.loads((folder("spec") / "schemas" / "target.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def _place(path: str, error: ValidationError) -> str:
    inside = ".".join(str(part) for part in error.absolute_path)
    return f"{path}, {inside}" if inside else path


def _explain(path: str, error: ValidationError) -> TargetFileError:
    """A schema error as one sentence with the nearest known name."""
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        known = list(error.schema.get("properties", {}))
        unknown = sorted(set(cast("dict[str, Any]", error.instance)) - set(known))
        names = ", ".join(repr(name) for name in unknown)
        return TargetFileError(
            f"{_place(path, error)}: unknown key {names}{nearest(unknown[0], known)} (known here: {', '.join(sorted(known))})"
        )
    if error.validator == "required":
        return TargetFileError(f"{_place(path, error)}: {error.message}; add it")
    return TargetFileError(f"{_place(path, error)}: {error.message}")


def _expand(value: Any, path: str, place: str, variables: Mapping[str, str]) -> Any:
    """`${VAR}` and `${VAR:-default}` in every string."""
    if isinstance(value, dict):
        return {
            key: _expand(item, path, f"{place}.{key}" if place else str(key), variables)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_expand(item, path, f"{place}.{index}", variables) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        found = variables.get(match[1], match[2])
        if found is None:
            raise TargetFileError(
                f"{path}, {place}: the environment has no variable {match[1]}; export it first"
            )
        return found

    return _VARIABLE.sub(one, value)


def _refuse_literal_secrets(document: Mapping[str, Any], path: str) -> None:
    for name, principal in (document.get("principals") or {}).items():
        key = str(principal.get("key", "${KEY}")) if isinstance(principal, dict) else "${KEY}"
        if _VARIABLE.search(key) is None:
            found = (
                "it names no variable as they are written here"
                if "${" in key
                else "a key stands in the file itself"
            )
            raise TargetFileError(
                f"{path}, principals.{name}.key: {found}; "
                f"put it into an environment variable and write ${{{name.replace('.', '_').upper()}_KEY}}"
            )


def _text_keys(value: Any) -> Any:
    """YAML reads a bare `on:` as true and `4:` as a number; keys of a target file are names."""
    if isinstance(value, dict):
        return {
            ("on" if key is True else "off" if key is False else str(key)): _text_keys(item)
            for key, item in value.items()
        }
    return [_text_keys(item) for item in value] if isinstance(value, list) else value


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: the first value would be lost without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ComposerError(
                        None, None, f"the key {key.value!r} stands here twice", key.start_mark
                    )
                seen.add(key.value)
        return node


def load(path: Path, variables: Mapping[str, str] | None = None) -> Target:
    """Read a target file; `variables` stand in for the environment.

    Raises:
        TargetFileError: unreadable, no YAML, unknown or missing keys, an unset variable, a literal secret.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TargetFileError(f"the target file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TargetFileError(f"the target file {path} is not UTF-8 text") from error
    try:
        document = _text_keys(yaml.load(text, _Loader))  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise TargetFileError(
            f"{path}{where}: not valid YAML: {problem}; complete or correct that line"
        ) from error
    except RecursionError as error:
        raise TargetFileError(
            f"{path}: not valid YAML: nested without end; write a mapping that does not contain itself"
        ) from error
    except ValueError as error:
        raise TargetFileError(f"{path}: not valid YAML: {error}; correct or quote that value") from error
    if not isinstance(document, dict):
        raise TargetFileError(
            f"{path}: a target file is a mapping that begins with `name:`; see docs/target-file.md"
        )
    return from_document(document, str(path), os.environ if variables is None else variables)


def from_document(
    document: Mapping[str, Any], path: str, variables: Mapping[str, str], *, ours: bool = False
) -> Target:
    """A target from parsed YAML; `path` is used in messages only.

    Args:
        document: the parsed file.
        path: the file's.
        variables: what `${VAR}` stands for.
        ours: the file came with this package, whose tests hold it against the schema.

    Raises:
        TargetFileError: as for `load`.
    """
    if not ours:
        errors = sorted(
            _validator().iter_errors(document), key=lambda e: (len(e.absolute_path), str(e.absolute_path))
        )
        if errors:
            raise _explain(path, errors[0])
    _refuse_literal_secrets(document, path)
    try:
        target = convert(_expand(document, path, "", variables), path)
    except ValueError as error:
        raise TargetFileError(f"{path}: {error}") from error
    return replace(target, variables=_secret_values(document, variables))


_SECRET_WORDS = frozenset({"KEY", "TOKEN", "SECRET", "PASSWORD", "COOKIE", "CREDENTIAL", "AUTH"})


def _secret_values(document: Mapping[str, Any], variables: Mapping[str, str]) -> frozenset[str]:
    """What the file's variables stand for whose names hold a word such as KEY or TOKEN."""
    used = _VARIABLE.findall(json.dumps(document, ensure_ascii=False))
    return frozenset(
        variables.get(name, default) for name, default in used if _SECRET_WORDS & set(name.split("_"))
    )
