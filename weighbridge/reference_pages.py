"""One page of everything that has a name: `python -m weighbridge.reference_pages` writes docs/reference.md.

Commands with their flags, exit codes, verdicts, capabilities, scenario keys, faults and the fields of report.json are each read from
the place that defines them, so a new one cannot stay undocumented. With `--check` it writes nothing and fails when the page
is not what those places give.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from weighbridge.cli import app
from weighbridge.describe import listing
from weighbridge.errors import PRECEDENCE, ExitCode
from weighbridge.generated_page import write_or_check
from weighbridge.locate import folder
from weighbridge.verdict import Verdict

_HEAD = """\
<!-- Written by `python -m weighbridge.reference_pages` from the places that define these; change those instead. -->

# Reference

Everything that has a name. `weighbridge COMMAND --help` shows the same for one command.
"""

EXIT_CODES: Mapping[ExitCode, str] = {
    ExitCode.OK: "The gate is met.",
    ExitCode.VIOLATION: "A MUST is broken outside the baseline, or a baseline entry is stale. `load`: also a gate is missed, "
    "the bill is wrong, or a capacity search finds no level that meets the gates. `replay`: the finding comes again. `prove`: a "
    "defect survives. `verify`: a published claim does not hold.",
    ExitCode.USAGE: "The command line, the target file, a model or an id is not usable, or the run could cost more than "
    "`--max-spend`.",
    ExitCode.INCOMPLETE: "Something inside the scope could not be judged; with `--require-claim`, anything but conformant. "
    "`check`: a declaration does not hold.",
    ExitCode.UNREACHABLE: "The target does not answer, refuses the key or died on the way, or the harness itself failed.",
    ExitCode.INVALID_MEASUREMENT: "`load`: the client could not measure what it was asked to.",
    ExitCode.INTERRUPTED: "Interrupted; what a run found until then is reported as truncated.",
}

VERDICTS: Mapping[Verdict, str] = {
    Verdict.PASS: "The requirement holds, shown by evidence.",
    Verdict.FAIL: "A MUST is broken.",
    Verdict.WARN: "A SHOULD is departed from, or a MUST is met only by a reading that the documents leave open.",
    Verdict.UNSUPPORTED: "The product does not offer it: declared so, or not declared and refused.",
    Verdict.NOT_APPLICABLE: "The requirement does not apply here.",
    Verdict.NOT_VERIFIED: "It could not be judged; the report says what is missing.",
    Verdict.HARNESS_ERROR: "Our fault.",
}


def _text(value: object) -> str:
    return " ".join(("" if value is None else str(value)).split()).replace("|", "\\|").replace("<", "&lt;")


def _table(titles: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield "| " + " | ".join(_text(cell) for cell in row) + " |"


def _flags(command: Any) -> Iterator[tuple[object, ...]]:
    for parameter in command.params:
        names = [*parameter.opts, *parameter.secondary_opts]
        if parameter.param_type_name == "argument":
            names = [parameter.metavar or (parameter.name or "").upper()]
        default = parameter.default
        shown = "" if default in {None, False, ()} or callable(default) else f"`{default}`"
        yield ", ".join(f"`{name}`" for name in names), getattr(parameter, "help", ""), shown


def _commands(group: Any, path: str = "weighbridge") -> Iterator[str]:
    for name, command in group.commands.items():
        full = f"{path} {name}"
        yield f"\n### `{full}`\n"
        yield _text(command.help)
        if command.params:
            yield ""
            yield from _table(("option", "meaning", "default"), _flags(command))
        if hasattr(command, "commands"):
            yield from _commands(command, full)


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a value in a few words."""
    if "$ref" in schema:
        return f"`{str(schema['$ref']).rpartition('/')[2]}`"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(_kind(item) for item in schema[choice]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _fields(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[object, ...]]:
    """Every field below a schema by its path; what has a definition of its own is left to that."""
    for name, member in schema.get("properties", {}).items():
        place = f"{path}{name}"
        yield f"`{place}`", _kind(member), member.get("description") or member.get("title")
        yield from _below(member, place)


def _below(member: Mapping[str, Any], place: str) -> Iterator[tuple[object, ...]]:
    yield from _fields(member, f"{place}.")
    if isinstance(member.get("items"), dict):
        yield from _below(member["items"], f"{place}[]")
    if isinstance(member.get("additionalProperties"), dict):
        yield from _below(member["additionalProperties"], f"{place}.<name>")
    for choice in ("oneOf", "anyOf"):
        for item in member.get(choice, ()):
            yield from _below(item, place)


def report_schema() -> Any:
    """The published schema of report.json."""
    return json.loads((folder("spec") / "schemas" / "report.schema.json").read_text(encoding="utf-8"))


def _report() -> Iterator[str]:
    schema = report_schema()
    yield from _table(("field", "type", "meaning"), _fields(schema))
    for name, part in sorted(schema.get("$defs", {}).items()):
        yield f"\n### {name}\n"
        if part.get("description"):
            yield _text(part["description"]) + "\n"
        if "properties" in part:
            yield from _table(("field", "type", "meaning"), _fields(part))
        else:
            yield f"Kind: {_text(_kind(part))}"


def _listed(what: str) -> Iterator[tuple[object, ...]]:
    for row in listing(what):
        yield f"`{row['id']}`", row["title"]


def page() -> str:
    """The whole page."""
    lines = [_HEAD, "## Commands"]
    lines += _commands(typer.main.get_command(app))
    lines += [
        "\n## Exit codes\n",
        *_table(("code", "meaning"), ((int(code), text) for code, text in EXIT_CODES.items())),
    ]
    order = ", ".join(str(int(code)) for code in PRECEDENCE if code is not ExitCode.OK)
    lines += [f"\nWhen several apply, the first of {order} is taken."]
    lines += [
        "\n## Verdicts\n",
        *_table(("verdict", "meaning"), ((f"`{word.value}`", text) for word, text in VERDICTS.items())),
    ]
    for what, title in (
        ("capabilities", "Capabilities"),
        ("profiles", "Profiles"),
        ("scenarios", "Scenario keys"),
        ("faults", "Faults"),
    ):
        lines += [f"\n## {title}\n", *_table(("name", "meaning"), _listed(what))]
    lines += ["\n## report.json\n", *_report()]
    return "\n".join(lines) + "\n"


def page_path() -> Path:
    """Where the page is kept."""
    return Path(folder("spec")).parent / "docs" / "reference.md"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` say whether it is fresh."""
    return write_or_check("weighbridge.reference_pages", page_path(), page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
