"""The catalogue as a page for people: `python -m weighbridge.requirement_pages` writes docs/requirements.md.

With `--check` it writes nothing and fails when the page is not what catalogue and suites give.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from weighbridge.catalogue import EDITION, Catalogue, Requirement, load
from weighbridge.generated_page import write_or_check
from weighbridge.locate import folder
from weighbridge.requirement_texts import raises, texts
from weighbridge.source_documents import DOCUMENTS, READ_ON
from weighbridge.suite import Check, load_checks
from weighbridge.verdict import Level

#: Areas in reading order, with the title of their section.
AREAS = {
    "surfaces-auth": "Surfaces, authentication and key separation",
    "chat-request": "Chat completions: request, all models",
    "chat-claude": "Chat completions: Claude models",
    "chat-gpt": "Chat completions: gpt-5.5",
    "chat-response": "Chat completions: response",
    "chat-streaming": "Chat completions: streaming",
    "chat-errors": "Chat completions: errors and retries",
    "chat-billing": "Chat completions: bill and limits",
    "messages": "Messages",
    "tasks-submit": "Tasks: submission",
    "tasks-poll": "Tasks: polling and result",
    "tasks-credits": "Tasks: credits",
    "tasks-idempotency": "Tasks: idempotency header",
    "tasks-rate-limit": "Tasks: rate limit",
    "tasks-errors": "Tasks: errors",
    "aimlapi": "AI/ML API chat",
    "practice": "Good practice beyond the documents",
    "fuzz": "Generated calls and sequences",
}
_HEAD = """\
<!-- Written by `python -m weighbridge.requirement_pages` from spec/requirements/ and suites/; change those instead. -->

# Requirements

Every row that a run can judge, in edition {edition}: {rows} rows, {must} MUST, {should} SHOULD and {may} MAY, of which
{checked} have a check. A profile may raise a level; where it does, the level stands behind the profile's name.
"Source" names a document below and the heading in it. "Needs" names the capabilities of a target file without which a
row stays `not_verified`. `weighbridge explain ID` shows one row on a terminal.

## Source documents

S0 to S4 were read on {read_on}. The pages carry no version of their own and may have changed since; what counts is the
statement of the row.

| name | document | published by | address |
|---|---|---|---|
{documents}
"""


def _documents() -> Iterator[str]:
    for name, document in DOCUMENTS.items():
        address = f"<{document.address}>" if document.address else ""
        yield f"| {name} | {document.title} | {document.publisher} | {address} |".replace("|  |", "| |")


def _profiles(row: Requirement, catalogue: Catalogue) -> str:
    held = [profile for profile in catalogue.profiles.values() if row.id in profile.levels]
    return ", ".join(
        f"`{profile.id}`"
        + (f" ({level.value})" if (level := profile.levels[row.id]) is not row.level else "")
        for profile in held
    )


def _block(row: Requirement, catalogue: Catalogue, checks: Sequence[Check]) -> Iterator[str]:
    yield f"### {row.id}: {row.title}"
    yield ""
    told = texts(row)
    yield f"**{row.level.value}.** {told.statement}"
    yield ""
    yield f"*Why:* {told.why}"
    yield ""
    if row.reading:
        yield f"- Reading {told.reading}"
    yield f"- Source: {told.source}"
    yield f"- Needs: {told.needs}"
    yield f"- Profiles: {_profiles(row, catalogue)}"
    if raised := raises(row, catalogue.profiles.values()):
        yield f"- Raised: {'; '.join(raised)}"
    if row.feature:
        yield f"- Feature: {row.feature}"
    if checks:
        yield f"- Checks: {', '.join(f'`{check.id}`' for check in checks)}"
    else:
        yield f"- Not checked: {told.unchecked}"
    yield ""


def page(catalogue: Catalogue, checks: Iterable[Check]) -> str:
    """The whole page as Markdown."""
    judging: dict[str, list[Check]] = {}
    for check in checks:
        for bound in check.binding.ids:
            judging.setdefault(bound, []).append(check)
    rows = list(catalogue.requirements.values())
    count = {level: sum(1 for row in rows if row.level is level) for level in Level}
    head = _HEAD.format(
        edition=EDITION,
        rows=len(rows),
        must=count[Level.MUST],
        should=count[Level.SHOULD],
        may=count[Level.MAY],
        checked=sum(1 for row in rows if row.id in judging),
        read_on=READ_ON,
        documents="\n".join(_documents()),
    )
    lines = [head]
    for area, title in AREAS.items():
        lines += [f"## {title}", ""]
        for row in rows:
            if row.area == area:
                lines += _block(row, catalogue, judging.get(row.id, []))
    return "\n".join(lines).rstrip("\n") + "\n"


def page_path() -> Path:
    """Where the page stands in a checkout."""
    return folder("spec").parent / "docs" / "requirements.md"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` say whether it is fresh."""
    text = page(load(), load_checks())
    return write_or_check("weighbridge.requirement_pages", page_path(), text, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
