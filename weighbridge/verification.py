"""`weighbridge verify DIR`: judges the evidence of a published claim again and compares it with its report.

It proves that the report follows from the evidence. It cannot prove that the evidence was recorded and not
invented, nor who published it; what it prints says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge import __version__
from weighbridge.catalogue import EDITION
from weighbridge.errors import ExitCode
from weighbridge.recorded import judge_again, load_report

#: Members that only the run itself can know, or that say how it compares with files that are not published.
_NOT_REPRODUCIBLE = frozenset({"tool", "footer", "baseline", "diff", "beyond"})
#: Differences shown; a report that differs in more is not read further.
_MOST = 20
_UNPROVEN = (
    "This shows that the report follows from the evidence beside it; it does not show who recorded the evidence, "
    "or that it came from the deployment it names."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the report is not what its evidence gives."""

    place: str
    published: str
    judged: str

    def __str__(self) -> str:
        return f"{self.place}: published {self.published}, judged {self.judged}"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verifying a folder."""

    folder: Path
    report: Mapping[str, Any]
    differences: tuple[Difference, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0 where the report follows from the evidence, else 1."""
        return ExitCode.VIOLATION if self.differences else ExitCode.OK

    def lines(self) -> Iterator[str]:
        """What is printed."""
        report = self.report
        yield (
            f"{self.folder}: {report['target']['name']}, run {report['run']['id']}, edition {report['edition']}, "
            f"recorded by weighbridge {report['tool']['version']}"
        )
        if report["edition"] != EDITION or report["tool"]["version"] != __version__:
            yield f"Judged by weighbridge {__version__} with edition {EDITION}; another version may judge otherwise"
        for difference in self.differences[:_MOST]:
            yield f"DIFFERS  {difference}"
        if len(self.differences) > _MOST:
            yield f"DIFFERS  in {len(self.differences) - _MOST} more places"
        if not self.differences:
            rows = len(report["requirements"])
            claims = len(report["claims"])
            told = f"{rows} verdicts, {claims} claim{'' if claims == 1 else 's'}"
            yield f"Consistent: {told} and all figures follow from the evidence"
            for claim in report["claims"]:
                yield f"  {claim['profile']}: {claim['status']} (edition {claim['edition']}, {claim['scope']} run)"
        yield _UNPROVEN


def verify(folder: Path) -> Verification:
    """Judge a published claim again.

    Args:
        folder: holds `report.json` and `evidence.ndjson`.

    Raises:
        UsageError: one of them is missing, damaged, or was changed so that its footer does not fit.
    """
    published = load_report(folder)
    recorded = judge_again(folder)
    judged = recorded.document()
    differences = tuple(_differences(_comparable(published), _comparable(judged), ""))
    return Verification(folder, published, differences)


def _comparable(document: Mapping[str, Any]) -> dict[str, Any]:
    left_out = set(_NOT_REPRODUCIBLE)
    if document.get("beyond") is not None:
        left_out.add(
            "spent"
        )  # a load test keeps a sample of its streams, so its calls cannot be counted again
    return {name: value for name, value in document.items() if name not in left_out}


def _differences(published: Any, judged: Any, place: str) -> Iterator[Difference]:
    if isinstance(published, Mapping) and isinstance(judged, Mapping):
        for name in dict.fromkeys([*published, *judged]):
            inside = f"{place}.{name}" if place else str(name)
            yield from _differences(published.get(name, _ABSENT), judged.get(name, _ABSENT), inside)
    elif isinstance(published, list) and isinstance(judged, list | tuple):
        yield from _in_lists(published, list(judged), place)
    elif published != judged:
        yield Difference(place, _short(published), _short(judged))


def _in_lists(published: list[Any], judged: list[Any], place: str) -> Iterator[Difference]:
    if len(published) != len(judged):
        yield Difference(f"{place} (length)", str(len(published)), str(len(judged)))
    for index, (one, other) in enumerate(zip(published, judged, strict=False)):
        name = one.get("id") if isinstance(one, Mapping) else None
        yield from _differences(one, other, f"{place}[{name or index}]")


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
