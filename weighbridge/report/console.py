"""The console: progress while a run lasts, then failures first, then one line per claim.

`summary_lines` is pure and plain text, so a pipe, a CI log and a snapshot test see the same lines; a
terminal gets colour on top.
"""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from weighbridge.target import EMBEDDED_PLACE
from weighbridge.terminal import Terminal

if TYPE_CHECKING:
    from weighbridge.session import RunSession

_MARKS = {
    "fail": ("FAIL", "bold red"),
    "warn": ("WARN", "yellow"),
    "harness_error": ("ERROR", "bold magenta"),
    "not_verified": ("?", "cyan"),
    "conformant": ("conformant", "bold green"),
    "non_conformant": ("non_conformant", "bold red"),
    "incomplete": ("incomplete", "bold yellow"),
    "partial": ("partial", "cyan"),
}
#: A reply's text may hold sequences that steer a terminal.
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "\ufffd")
#: Columns of a pipe or a CI log; a terminal has its own.
WIDTH = 140
#: A command longer than this is left to report.json; nobody reads it on a terminal.
_MAX_CURL = 600


class Console:
    """Prints a run on standard output; progress only on a terminal, else as a few plain lines."""

    def __init__(self) -> None:
        self._rich = Terminal(highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._task: Any = None
        self._announced = 0

    @property
    def width(self) -> int:
        """Columns to print in."""
        return max(60, self._rich.width) if self._rich.is_terminal else WIDTH

    def line(self, text: str) -> None:
        """One line, coloured by its first word on a terminal."""
        styled = Text(text)
        for word, style in _MARKS.values():
            if text.startswith(word) or f"  {word}" in text[:60]:
                styled.stylize(style, text.find(word), text.find(word) + len(word))
                break
        self._rich.print(styled)

    def begin(self, session: RunSession) -> None:
        """Say what is about to happen."""
        target = session.options.target
        place = target.place if target is not None else "the embedded simulator and reference gateway"
        assert session.plan is not None  # noqa: S101 - set by the session's constructor
        rows = len(session.plan.ids)
        self.line(f"Judging {place} against {', '.join(session.plan.profiles)} ({rows} requirements)")

    def progress(self, done: int, total: int, what: str) -> None:
        """One probe more is done."""
        if not self._rich.is_terminal:
            if done in {0, total} or done >= self._announced + max(1, total // 4):
                self._announced = done
                self._rich.print(f"  {done}/{total} probes: {what}")
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._rich,
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task("gathering evidence", total=total)
        self._progress.update(self._task, completed=done, total=total, description=what)

    def end(self) -> None:
        """Stop the progress display, whatever happened."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _wrapped(label: str, text: str, width: int) -> Iterator[str]:
    lines = textwrap.wrap(text, width - 16, break_long_words=False, break_on_hyphens=False) or [""]
    yield f"      {label:<9} {lines[0]}"
    for line in lines[1:]:
        yield f"      {'':<9} {line}"


def _finding(row: Mapping[str, Any], mark: str, width: int, again: str = "") -> Iterator[str]:
    yield f"{mark:<5} {row['id']}  {row['title']}  [{row['level']}]"
    if row["required"]:
        yield from _wrapped("required", row["required"], width)
    yield from _wrapped("observed", row["observed"] or row["message"], width)
    if mark == "FAIL":
        yield from _wrapped("matters", row["why"], width)
    if row["curl"] and len(row["curl"]) <= _MAX_CURL:
        yield f"      {'repeat':<9} {row['curl']}"
    if again:
        yield f"      {'repeat':<9} {again}"
    if row["evidence"]:
        refs = row["evidence"]
        more = f" and {len(refs) - 3} more" if len(refs) > 3 else ""
        yield f"      {'evidence':<9} {', '.join(refs[:3])}{more}"


def _again(document: Mapping[str, Any], row: Mapping[str, Any], path: Path | None, flags: str) -> str:
    """The command that repeats a finding about a history, of which a single call would repeat nothing."""
    # Not at the top: what judges histories need not be there while a run begins.
    from weighbridge.history import BOOKS

    if path is None or row["id"] not in BOOKS or row["verdict"] == "harness_error":
        return ""
    target = "" if document["target"]["place"] == EMBEDDED_PLACE else f" --target FILE{flags}"
    return f"weighbridge replay {row['id']} --in {shlex.quote(str(path.parent))}{target}"


def _posts(table: list[Mapping[str, Any]], width: int) -> Iterator[str]:
    if not table:
        return
    yield ""
    yield "Upstream POSTs per customer call"
    situations = list(dict.fromkeys(row["situation"] for row in table))
    columns = list(dict.fromkeys((row["surface"], row["model"], row["streamed"]) for row in table))
    cells = {(row["situation"], row["surface"], row["model"], row["streamed"]): row for row in table}
    name_width = max(len(_column(*column)) for column in columns)
    widths = [max(len(text), 5) for text in situations]
    if name_width + sum(widths) + 2 * len(widths) + 2 > width:
        for column in columns:
            told = (f"{situation} {_count(cells.get((situation, *column)))}" for situation in situations)
            yield f"  {_column(*column)}: {', '.join(told)}"
        return
    yield (
        "  "
        + " " * name_width
        + "  "
        + "  ".join(f"{s:>{w}}" for s, w in zip(situations, widths, strict=True))
    )
    for column in columns:
        texts = []
        for situation, wide in zip(situations, widths, strict=True):
            cell = cells.get((situation, *column))
            texts.append(f"{_count(cell):>{wide}}")
        yield f"  {_column(*column):<{name_width}}  " + "  ".join(texts)


def _column(surface: str, model: str, streamed: bool) -> str:
    return f"{surface} {model}{' (streamed)' if streamed else ''}"


def _count(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "-"
    low, high = cell["posts_min"], cell["posts_max"]
    return str(low) if low == high else f"{low}-{high}"


def _unverified(rows: list[Mapping[str, Any]]) -> Iterator[str]:
    reasons: Counter[str] = Counter(row["missing"] or row["message"] for row in rows)
    if not reasons:
        return
    yield ""
    yield f"Not verified: {sum(reasons.values())}"
    for reason, count in reasons.most_common(8):
        yield f"  ? {count:>3}  needs {reason}" if " " not in reason else f"  ? {count:>3}  {reason}"
    rest = len(reasons) - 8
    if rest > 0:
        yield f"  ? and {rest} other reasons, see report.json"


def known_findings(document: Mapping[str, Any]) -> dict[str, str]:
    """Requirements whose every finding the baseline lists, with the reason given there."""
    baseline = document.get("baseline")
    if baseline is None:
        return {}
    unlisted = {item["requirement"] for item in baseline["unlisted"]}
    return {
        item["requirement"]: item["reason"]
        for item in reversed(baseline["listed"])
        if item["requirement"] not in unlisted
    }


def _baselined(baseline: Mapping[str, Any]) -> str:
    """The first line of a summary: how much of what follows the operator knows about."""
    listed, stale, unseen = (len(baseline[name]) for name in ("listed", "stale", "unseen"))
    parts = [
        f"{listed} baselined finding{'' if listed == 1 else 's'}",
        f"{len(baseline['unlisted'])} unlisted",
        f"{stale} stale {'entry' if stale == 1 else 'entries'}",
    ]
    if unseen:
        parts.append(f"{unseen} {'entry' if unseen == 1 else 'entries'} not looked for")
    return f"Baseline {baseline['file']}: {', '.join(parts)}"


def _stale(document: Mapping[str, Any]) -> Iterator[str]:
    for item in document.get("baseline", {}).get("stale", ()):
        check = f" ({item['check']})" if "check" in item else ""
        yield f"STALE {item['requirement']}{check}: the finding is gone; remove the entry from the baseline"


def _changes(diff: Mapping[str, Any] | None) -> Iterator[str]:
    if diff is None:
        return
    before = diff["previous"]
    yield f"Since run {before['run']} ({before['file']}): {len(diff['worse'])} worse, {len(diff['better'])} better"
    for word in ("worse", "better"):
        for item in diff[word]:
            yield f"  {word:<6} {item['id']}: {item['was']} -> {item['now']}"
    for item in diff["claims"]:
        yield f"  claim  {item['profile']}: {item['was']} -> {item['now']}"


def _left_behind(made: list[Mapping[str, Any]]) -> Iterator[str]:
    """What is still at the target, by kind and reason; what was removed again is only in the report."""
    reasons = Counter((item["kind"], item["note"]) for item in made if not item["removed"])
    if reasons:
        yield ""
    for (kind, note), count in reasons.items():
        names = [item["id"] for item in made if (item["kind"], item["note"]) == (kind, note)]
        more = f" and {count - 3} more" if count > 3 else ""
        yield f"Left at the target: {count} {kind}{'s' if count > 1 else ''} ({', '.join(names[:3])}{more}): {note}"


def summary_lines(
    document: Mapping[str, Any],
    path: Path | None = None,
    width: int = WIDTH,
    *,
    seconds: float | None = None,
    allow_commands: bool = False,
) -> Iterator[str]:
    """The result of a run as plain lines, failures first, claims last.

    Args:
        document: the report.
        path: where it was written.
        width: columns to keep within; a command to paste is never broken.
        seconds: how long the whole command took; the report knows of the time until it was made.
        allow_commands: command hooks might run, and a command to paste shall let them too.
    """
    took = document["run"]["duration_s"] if seconds is None else seconds
    flags = " --allow-commands" if allow_commands else ""
    for line in _lines(document, path, width, took, flags):
        yield from _folded(line.translate(_CONTROLS), width)


def _folded(line: str, width: int) -> Iterator[str]:
    """A line within the width: what is behind its mark hangs below its first word."""
    if len(line) <= width or line.lstrip().startswith(("repeat ", "evidence ", "Report: ", "To read: ")):
        yield line
        return
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    yield from textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True, replace_whitespace=False,
    )  # fmt: skip


def _lines(
    document: Mapping[str, Any], path: Path | None, width: int, seconds: float, flags: str
) -> Iterator[str]:
    rows = document["requirements"]
    known = known_findings(document)
    if "baseline" in document:
        yield _baselined(document["baseline"])
    for verdict, mark in (("fail", "FAIL"), ("harness_error", "ERROR"), ("warn", "WARN")):
        for row in rows:
            if row["verdict"] == verdict and row["id"] not in known:
                yield ""
                yield from _finding(row, mark, width, _again(document, row, path, flags))
    for row in rows:
        if row["id"] in known:
            yield f"KNOWN {row['id']}  {row['title']}  ({known[row['id']]})"
    yield from _stale(document)
    in_scope = [
        row
        for row in rows
        if row["verdict"] == "not_verified" and row["inside_scope"] and row["id"] not in known
    ]
    for row in in_scope:
        yield ""
        yield from _finding(row, "?", width)
    yield from _posts(document["upstream_posts"], width)
    yield from _unverified([row for row in rows if row["verdict"] == "not_verified"])
    if "truncated" in document["run"]:
        yield ""
        yield f"The run ended early and claims nothing: {document['run']['truncated']}"
    yield from _left_behind(document.get("made", []))
    counts, spent = document["counts"], document["spent"]
    told = ", ".join(f"{counts[name]} {name}" for name in counts if counts[name])
    yield ""
    yield (
        f"{len(rows)} requirements: {told}; {spent['calls']} calls ({spent['directed']} directed, "
        f"{spent['generated']} generated, {spent['contention']} contention), "
        f"{spent['prompt_tokens']} + {spent['completion_tokens']} tokens, {seconds:.1f} s"
    )
    for claim in document["claims"]:
        good = claim["counts"]["pass"]
        yield (
            f"  {claim['profile']}: {claim['status']} (edition {claim['edition']}, {claim['scope']} run, "
            f"{good} of {claim['rows']} rows pass, {claim['counts']['fail']} fail, {claim['scored']} scored)"
        )
    yield from _changes(document.get("diff"))
    if path is not None:
        yield f"Report: {path}"
        page = path.with_name("report.html")
        if page.exists():
            yield f"To read: {page}"
