"""YAML files of people: read within a bound, and with the line of every value, so that a mistake is told with its place."""

from enum import Enum, auto
from pathlib import Path
from typing import Any

import yaml


class FileTrouble(Enum):
    """Why a file could not be read; the remedy depends on what it was to hold."""

    UNREADABLE = auto()
    TOO_LARGE = auto()
    NOT_UTF8 = auto()
    NOT_YAML = auto()


class YamlFileError(Exception):
    """A file is no YAML that can be read; the message begins with file and, where there is one, line."""

    def __init__(self, trouble: FileTrouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


def read_yaml(path: str, most_bytes: int) -> tuple[Any, yaml.Node | None]:
    """The value that a file holds, and the tree that `line_of` looks lines up in. Raises YamlFileError."""
    try:
        raw = Path(path).read_bytes()[: most_bytes + 1]
    except OSError as exc:
        raise YamlFileError(FileTrouble.UNREADABLE, f"{path}: {exc.strerror}") from None
    if len(raw) > most_bytes:
        raise YamlFileError(FileTrouble.TOO_LARGE, f"{path}: larger than {most_bytes} bytes")
    try:
        text = raw.decode("utf-8")
        return yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise YamlFileError(FileTrouble.NOT_UTF8, f"{path}: not UTF-8; save the file as UTF-8") from None
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise YamlFileError(FileTrouble.NOT_YAML, f"{path}:{line}: not YAML: {exc.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise YamlFileError(FileTrouble.NOT_YAML, f"{path}: not YAML: {exc}") from None


def line_of(node: yaml.Node | None, path: str) -> int:
    """The line of the value that a path leads to, or of the last part of it that exists."""
    line = 1
    rest = path
    while node is not None:
        line = int(node.start_mark.line) + 1
        if isinstance(node, yaml.SequenceNode) and rest.startswith("["):
            index, _, rest = rest[1:].partition("]")
            rest = rest.removeprefix(".")
            node = node.value[int(index)] if int(index) < len(node.value) else None
        elif isinstance(node, yaml.MappingNode) and rest:
            for key, child in node.value:
                name = str(key.value)
                if rest == name or rest.startswith((f"{name}.", f"{name}[")):
                    rest = rest[len(name) :].removeprefix(".")
                    line, node = int(key.start_mark.line) + 1, child
                    break
            else:
                return line
            if not rest:
                return line
        else:
            return line
    return line
