"""Which rows a target file lets us verify, and how many each missing capability would add. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from weighbridge.capabilities import capabilities
from weighbridge.catalogue import Catalogue
from weighbridge.plan import Plan
from weighbridge.registry import PROBES
from weighbridge.suite import Check
from weighbridge.target import Target

#: What to put into a target file for each capability. `<surface>` and its like are filled in.
LINES: dict[str, tuple[str, ...]] = {
    "upstream": (
        "# The deployment's providers point to `weighbridge mock`, which listens here:",
        "upstream: {simulator: http://127.0.0.1:8890}",
    ),
    "balance": (
        "balance:",
        "  <surface>: {http: {get: https://<host>/me, json: $.balance_usd}, settle: 2s, resolution: 0.0001}",
    ),
    "rates": ("rates:", "  <model>: {input: 5, output: 30}    # USD per one million tokens"),
    "accounts": (
        "accounts:",
        "  <surface>:",
        '    http: {post: https://<host>/accounts, body: {balance_usd: "{balance}"}, pick: {key: $.key, account: $.id}}',
    ),
    "broke": ("principals:", '  <surface>.broke: {key: "${BROKE_KEY}"}    # its account is empty'),
    "revoked": ("principals:", '  <surface>.revoked: {key: "${REVOKED_KEY}"}    # it was withdrawn'),
    "second_key": ("principals:", '  <surface>.second_key: {key: "${SECOND_KEY}"}    # of the same user'),
    "second_user": ("principals:", '  <surface>.second_user: {key: "${OTHER_USER_KEY}"}'),
    "other_workspace_key": (
        "surfaces:",
        "  <other>: {url: https://<host>/api/v1}",
        "principals:",
        '  <other>.funded: {key: "${OTHER_KEY}"}    # a key of the other workspace',
    ),
    "top_up": (
        "hooks:",
        '  top_up: {<surface>: {http: {post: "https://<host>/accounts/{account}/top-up", body: {usd: "{amount}"}}}}',
    ),
    "groups": ("groups: {default: {}, limited: {requests_per_second: 5}}",),
}
_TASK_LINES: dict[str, tuple[str, ...]] = {
    "balance": ("balance:", "  tasks: {http: {get: https://<host>/credits, json: $.credits}, settle: 2s}"),
    "rates": ("task_prices: {<model>: 40}    # whole credits per task",),
    "accounts": (
        "accounts:",
        "  tasks:",
        '    http: {post: https://<host>/accounts, body: {credits: "{balance:int}"}, pick: {key: $.key, account: $.id}}',
    ),
}


@dataclass(frozen=True, slots=True)
class Gain:
    """What one more capability would add.

    Attributes:
        rows: requirements that could be verified with it and cannot without.
        lines: what to put into the target file.
    """

    capability: str
    surface: str
    rows: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one profile allows to verify.

    Attributes:
        rows: all of its rows that a check judges.
        verifiable: those that what is declared suffices for.
        unjudged: rows that no check judges, whatever is declared.
        gains: missing capabilities, the most useful first.
    """

    profile: str
    surface: str
    rows: tuple[str, ...]
    verifiable: tuple[str, ...]
    unjudged: tuple[str, ...]
    gains: tuple[Gain, ...]


def _needs(row: str, catalogue: Catalogue, checks: Sequence[Check]) -> list[frozenset[str]]:
    """The sets of capabilities each of which suffices for the row: what it names and what its checks' probes do."""
    own = frozenset(catalogue.requirements[row].needs)
    judging = [check for check in checks if row in check.binding.ids]
    plain = [check for check in judging if not check.binding.widens] or judging
    ways = [own | _asked(check) for check in plain]
    # Where nobody scripts the usage, replies and money show some rows as well.
    ways += [_asked(check) for check in judging if any(PROBES[name].unscripted for name in _known(check))]
    return ways


def _known(check: Check) -> list[str]:
    return [name for name in check.probes if name in PROBES]


def _asked(check: Check) -> frozenset[str]:
    """What the probes of a check cannot do without."""
    return frozenset(need for name in _known(check) for need in PROBES[name].needs)


def coverage(
    target: Target, catalogue: Catalogue, plan: Plan, checks: Sequence[Check]
) -> tuple[Coverage, ...]:
    """What each chosen profile allows to verify."""
    import weighbridge.probes  # noqa: F401 - registers the probes

    found = []
    for name in plan.profiles:
        surface = catalogue.profiles[name].surface
        mine = [check for check in checks if check.binding.surface == surface]
        judged = {row for check in mine for row in check.binding.ids}
        rows = tuple(row for row in plan.rows[name] if row in judged)
        ways = {row: _needs(row, catalogue, mine) for row in rows}
        have = frozenset(capabilities(target, surface))
        now = _verifiable(ways, have)
        missing = sorted({need for row in rows for way in ways[row] for need in way} - have)
        gains = [
            Gain(
                one,
                surface,
                tuple(row for row in _verifiable(ways, have | {one}) if row not in now),
                lines_for(one, surface, target),
            )
            for one in missing
        ]
        gains.sort(key=lambda gain: -len(gain.rows))
        unjudged = tuple(row for row in plan.rows[name] if row not in judged)
        found.append(Coverage(name, surface, rows, now, unjudged, tuple(gains)))
    return tuple(found)


def _verifiable(ways: dict[str, list[frozenset[str]]], have: Collection[str]) -> tuple[str, ...]:
    given = frozenset(have)
    return tuple(row for row, sets in ways.items() if any(way <= given for way in sets))


def lines_for(capability: str, surface: str, target: Target) -> tuple[str, ...]:
    """What to put into this target's file, with its own names filled in."""
    table = _TASK_LINES if surface == "tasks" else {}
    lines = table.get(capability, LINES.get(capability, ()))
    model = next(iter(target.models.values()), "MODEL")
    other = "chat" if surface == "tasks" else "tasks"
    words = {"<surface>": surface, "<model>": model, "<host>": "gateway.example", "<other>": other}
    return tuple(_filled(line, words) for line in lines)


def _filled(line: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        line = line.replace(word, value)
    return line


def coverage_lines(found: Iterable[Coverage]) -> list[str]:
    """The table for people."""
    lines: list[str] = []
    for one in found:
        lines += [
            "",
            f"{one.profile}: {len(one.verifiable)} of {len(one.rows)} requirements can be verified now",
        ]
        for gain in one.gains:
            adds = f"adds {len(gain.rows)}" if gain.rows else "adds none by itself, only together with others"
            lines.append(f"  {gain.capability:<20} {adds}")
            lines += [f"      {line}" for line in gain.lines]
        if one.unjudged:
            lines.append(f"  {len(one.unjudged)} more are judged by no check, whatever is declared")
    return lines
