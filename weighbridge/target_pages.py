"""The target file as a page for people: `python -m weighbridge.target_pages` writes docs/target-file.md.

Every key with its description comes from the schema. With `--check` it writes nothing and fails when the page is
not what the schema gives.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from weighbridge.capabilities import CAPABILITIES
from weighbridge.generated_page import write_or_check
from weighbridge.locate import folder

_HEAD = """\
<!-- Written by `python -m weighbridge.target_pages` from spec/schemas/target.schema.json; change that instead. -->

# The target file

One YAML file says what a deployment is and what it lets us see. `weighbridge init` writes one from three answers,
`weighbridge check FILE` measures what it declares and says what each missing capability would add. An unknown key is an
error that names the nearest known one. `${VAR}` and `${VAR:-default}` work in every string; a key written literally into
the file is refused.

```yaml
name: my-gateway
profiles: [openai-chat, reapi-chat]
surfaces:
  chat: {url: https://gw.example/v1}          # ends in /v1
  messages: {url: https://gw.example}         # the bare root
  tasks: {url: https://gw.example/api/v1}
principals:
  chat.funded: {key: "${CHAT_KEY}", requests_per_second: 5, in_flight: 4}
  chat.broke: {key: "${CHAT_BROKE_KEY}"}
  tasks.funded: {key: "${TASKS_KEY}"}
models: {openai: gpt-5.5, anthropic: claude-opus-4-8, anthropic_sonnet: claude-sonnet-4-6, image: gpt-image-2}
```

Roles of models: `openai` and `anthropic` (and names that begin so) are called on chat, `anthropic...` on messages,
`aimlapi...` on aimlapi, `image`, `video`, `audio` and `text` on tasks. A base path belongs into the URL, fixed headers into
`headers` or a surface's own. A principal without `requests_per_second` and `in_flight` is called at most 5 times a second, 4 at a
time; a gateway that stands more is judged faster with both declared.

## Hooks

A hook is an HTTP request or a `command`, which runs only with `--allow-commands` and prints JSON or one number.

- `balance`: `http: {get: URL, json: $.place.of.the.number, headers}`, sent with the key of the account.
- `accounts` and `hooks`: `http: {get|post|put|delete: URL, headers, body, pick, key, account}`. `pick: {name: $.place}` takes
  values from the answer; `key: $.place` and `account: $.place` are short for its entries of those names. A command has
  `pick` beside it.

Placeholders: `{key}`, `{account}` and whatever `pick` took; `{balance}`,
`{workspace}` and `{requests_per_second}` when an account is made, `{amount}` when money is added, `{task}` when a task is
removed. `"{balance:int}"` in a body becomes a bare number. What a run made is removed by `hooks.remove_account`,
`hooks.revoke` (keys) and `hooks.remove_task`, and listed in the report, also after Ctrl-C.

## Capabilities

Each turns rows from `not_verified` into a verdict.

"""
_TAIL = """
## Features, token counts, money

- Features are tested both ways. Their calls are made whatever `features` says. Declared `true`, and in a profile that asks
  for the feature, a refusal is a finding. Not declared, a refusal (400 is documented) makes the rows `unsupported`; declared
  `false`, also a call that is answered as if the feature had not been asked for, since no document promises a refusal, but
  not one that fails (5xx): that is `not_verified`. `unsupported` breaks a claim only where the profile does not call the
  feature optional. `weighbridge check` measures `authentication`, `tools` and `vision`.
- `usage` need not be declared: preflight scripts counts and looks at what comes back. Where the deployment counts tokens
  itself, rows on scripted counts are `not_verified`, and charges are held against the usage that replies report.
- `rates`, `task_prices` and `credit_usd` let `--dry-run` and `--max-spend` bound what a run may cost. `max_output` bounds
  the answers of our own calls where real money is spent.

`targets/embedded.yaml` declares every capability and can be used as an example.
"""


def page_path() -> Path:
    """Where the page is kept."""
    return folder("spec").parent / "docs" / "target-file.md"


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _kind(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(item)}`" for item in schema["enum"])
    options = schema.get("anyOf") or schema.get("oneOf")
    if options and "type" not in schema:
        return " or ".join(dict.fromkeys(_kind(option, definitions) for option in options))
    kind = schema.get("type", "object")
    if kind == "array" and "enum" in schema.get("items", {}):
        return "list of " + _kind(schema["items"], definitions)
    return kind if isinstance(kind, str) else " or ".join(kind)


def _rows(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], place: str, depth: int, told_of: set[str]
) -> Iterator[tuple[str, str, str]]:
    """Key, kind and description of everything below a place, as far down as people write it; each shape once.

    A request (`http`) is spelt out however deep it stands, since nobody can guess its keys.
    """
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    below = dict(schema.get("properties", {}))
    if isinstance(schema.get("additionalProperties"), dict):
        below["<name>"] = schema["additionalProperties"]
    folded = _folded(below)
    for name, item in folded.items():
        key = f"{place}.{name}" if place else name
        told = item.get("description", "") or definitions.get(
            item.get("$ref", "").rpartition("/")[2], {}
        ).get("description", "")
        yield key, _kind(item, definitions), told
        shape = item.get("$ref") or json.dumps(item.get("properties", {}).get("chat", key))
        if (depth > 1 or name == "http") and shape not in told_of:
            told_of.add(shape)
            yield from _rows(item, definitions, key, max(depth - 1, 1), told_of)


def _folded(below: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Keys that differ in the surface alone, as one."""
    folded: dict[str, Mapping[str, Any]] = {}
    for name, item in below.items():
        surface, dot, role = name.partition(".")
        if dot:
            told = str(item.get("description", "")).replace(f" on {surface}", "")
            folded.setdefault(f"<surface>.{role}", {**item, "description": told})
        else:
            folded[name] = item
    return folded


def page() -> str:
    """The page."""
    schema = json.loads((folder("spec") / "schemas" / "target.schema.json").read_text(encoding="utf-8"))
    definitions = schema["$defs"]
    lines = [_HEAD + "| capability | declared by |", "|---|---|"]
    lines += [f"| `{name}` | {told} |" for name, told in CAPABILITIES.items()]
    lines += ["", "## All keys", "", "| key | kind | |", "|---|---|---|"]
    for key, kind, told in _rows(schema, definitions, "", 3, set()):
        lines.append(f"| `{key}` | {kind} | {told} |".replace(" |  |", " | |"))
    return "\n".join(lines) + "\n" + _TAIL


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` say whether it is fresh."""
    return write_or_check("weighbridge.target_pages", page_path(), page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
