"""The Markdown view: fits a comment on a pull request, claims first, every finding folded.

Text of a target stands in code, with its own backticks fenced off, or escaped: it can neither format the
comment nor mention anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

#: GitHub refuses a comment of 65,536 characters; the tail that says what was left out fits as well.
MAX_CHARACTERS = 65_000
_TAIL = 400
_EXCERPT = 1200

SIGNS = {
    "pass": "✅", "fail": "❌", "warn": "⚠️", "unsupported": "⛔", "not_applicable": "⚪",
    "not_verified": "❔", "harness_error": "💥",
}  # fmt: skip
CLAIM_SIGNS = {"conformant": "✅", "non_conformant": "❌", "incomplete": "❔", "partial": "◐"}
WORDS = {name: name.replace("_", " ") for name in (*SIGNS, *CLAIM_SIGNS)} | {
    "non_conformant": "not conformant"
}


def plain(text: str) -> str:
    """A text on one line that HTML leaves as it is and that mentions nobody; for inside of HTML elements."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A mention or a reference to an issue needs its sign directly before a word.
    return re.sub(r"([@#])(?=\w)", "\\1\u200b", flat)


def escaped(text: str) -> str:
    """A text on one line that Markdown and HTML leave as it is."""
    return re.sub(r"([\\`*_{}\[\]()|~!])", r"\\\1", plain(text))


def fenced(text: str) -> str:
    """A block of code that no run of backticks inside can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _cut(text: str) -> str:
    return (
        text
        if len(text) <= _EXCERPT
        else f"{text[:_EXCERPT]} … ({len(text) - _EXCERPT} characters more in the report)"
    )


def _claims(document: Mapping[str, Any]) -> Iterator[str]:
    yield "| Profile | Claim | Pass | Fail | Warn | Not verified | Other | Rows |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for claim in document["claims"]:
        counts = claim["counts"]
        other = counts["unsupported"] + counts["not_applicable"] + counts["harness_error"]
        yield (
            f"| {claim['profile']} | {CLAIM_SIGNS[claim['status']]} **{WORDS[claim['status']]}** | {counts['pass']} "
            f"| {counts['fail']} | {counts['warn']} | {counts['not_verified']} | {other} | {claim['rows']} |"
        )


def _run(document: Mapping[str, Any]) -> str:
    run, spent = document["run"], document["spent"]
    return (
        f"Edition {document['edition']}, {run['scope']} run {run['id']}, {len(document['requirements'])} requirements, "
        f"{spent['calls']} calls, {run['duration_s']:.1f} s."
    )


def _finding(row: Mapping[str, Any]) -> str:
    lines = [
        f"<details><summary>{SIGNS[row['verdict']]} <b>{row['id']}</b> {plain(row['title'])} ({row['level']})</summary>",
        "",
    ]
    if row["required"]:
        lines.append(f"- **Required:** {escaped(_cut(row['required']))}")
    lines.append(f"- **Observed:** {escaped(_cut(row['observed'] or row['message']))}")
    lines.append(f"- **Why a client cares:** {escaped(row['why'])}")
    if row["evidence"]:
        lines.append(f"- **Evidence:** {', '.join(row['evidence'][:3])}")
    if row["curl"] and len(row["curl"]) <= _EXCERPT:
        lines += ["", fenced(row["curl"])]
    return "\n".join([*lines, "", "</details>"])


def _changes(document: Mapping[str, Any]) -> Iterator[str]:
    baseline, diff = document.get("baseline"), document.get("diff")
    if baseline:
        yield ""
        yield (
            f"Baseline `{baseline['file']}`: {len(baseline['listed'])} known, {len(baseline['unlisted'])} new, "
            f"{len(baseline['stale'])} stale."
        )
    if diff:
        yield ""
        yield f"Since run {diff['previous']['run']}: {len(diff['worse'])} rows worse, {len(diff['better'])} better."
        for change in diff["worse"][:20]:
            yield f"- {SIGNS.get(change['now'], '')} {change['id']}: {WORDS.get(change['was'], change['was'])} → **{WORDS.get(change['now'], change['now'])}**"


def render(document: Mapping[str, Any]) -> str:
    """The comment."""
    lines = [
        f"## Weighbridge: {escaped(document['target']['name'])}",
        "",
        *_claims(document),
        "",
        _run(document),
        *_changes(document),
        "",
    ]
    order = ("fail", "harness_error", "warn")
    rows = [row for verdict in order for row in document["requirements"] if row["verdict"] == verdict]
    rows += [
        row for row in document["requirements"] if row["verdict"] == "not_verified" and row["inside_scope"]
    ]
    if not rows:
        lines.append("No requirement is broken, and everything inside the scope could be judged.")
    text = "\n".join(lines) + "\n"
    for index, row in enumerate(rows):
        block = _finding(row) + "\n\n"
        if len(text) + len(block) > MAX_CHARACTERS - _TAIL:
            text += f"… and {len(rows) - index} further findings, see report.json or report.html.\n"
            break
        text += block
    return text
