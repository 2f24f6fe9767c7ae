"""From recorded streams to verdicts: the same checks, rows and report as a conformance run.

Recorded streams become calls as a probe would have recorded them, under the name of the probe whose checks
they feed, so the bundled suites judge them unchanged and `weighbridge judge` can do it again offline.

The rows speak of streams that end as whole ones. A failure that shows itself as one (no connection, a status,
a broken connection, a timeout, an error event) breaks none of them: it is kept as evidence under a situation of
its own, and counts against completion. Streams that the end of the test cut off are not even recorded.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weighbridge import evidence_file
from weighbridge.catalogue import load as load_catalogue
from weighbridge.engine import Evidence
from weighbridge.evidence import Call, Chunk, Ending, Exchange, Observation, Request, Response
from weighbridge.judgement import Judgement, judge_rows
from weighbridge.load.figures import Failure
from weighbridge.load.plan import LoadPlan
from weighbridge.plan import Plan, Selection, make_plan
from weighbridge.redaction import Secrets
from weighbridge.report import document as report
from weighbridge.suite import judge_directly, load_checks
from weighbridge.target import Target


@dataclass(frozen=True, slots=True)
class Rows:
    """What a load test of a surface judges.

    Attributes:
        probe: whose observation the checks of these rows take.
        ids: the rows.
        profile: whose rows they are where the target names none for the surface.
    """

    probe: str
    ids: tuple[str, ...]
    profile: str


ROWS: Mapping[str, Rows] = {
    "chat": Rows("chat_replies", ("CSTR-03", "CSTR-04", "CSTR-10", "CSTR-11", "CSTR-12"), "openai-chat"),
    "messages": Rows(
        "message_replies", ("MSTR-03", "MSTR-04", "MSTR-05", "MSTR-07", "MSTR-08"), "anthropic-messages"
    ),
}
#: The situation that the checks of these rows select.
SITUATION = "plain"
#: Failures of a reply that came whole and says itself that it is none; a broken connection says so as well.
_SHOWN = frozenset(
    {Failure.ERROR_EVENT, Failure.HTTP_429, Failure.HTTP_4XX, Failure.HTTP_5XX, Failure.HTTP_OTHER}
)


@dataclass(frozen=True)
class Recorded:
    """One recorded stream: the call, and what the client called it (None for a whole one)."""

    call: Call
    failure: Failure | None


def _situation(failure: Failure | None, ending: Ending) -> str:
    """`plain` for what ended as a whole stream does, whatever is wrong with it; else the class of failure."""
    shows = failure in _SHOWN or ending is not Ending.COMPLETE
    return f"load-{failure}" if failure is not None and shows else SITUATION


def _call(raw: Mapping[str, Any], plan: LoadPlan, secrets: Secrets) -> Call:
    started, lane = int(raw["started"]), plan.lane(raw["lane"])
    failure = None if raw["failure"] is None else Failure(raw["failure"])

    def since(at: int) -> float:
        return (at - started) / 1e9

    response = None
    if raw["status"] is not None:
        response = Response(
            status=int(raw["status"]),
            headers=tuple((str(name), str(value)) for name, value in raw["headers"]),
            chunks=tuple(Chunk(since(at), base64.b64decode(data)) for at, data in raw["chunks"]),
        )
    exchange = Exchange(
        id=str(raw["id"]),
        request=Request("POST", lane.url, lane.headers, lane.body_of(raw["id"])),
        response=response,
        ending=Ending(raw["ending"]),
        started=(started - plan.epoch_ns) / 1e9,
        ended_at=since(int(raw["ended"])),
        head_at=None if raw["head"] is None else since(int(raw["head"])),
        detail=str(raw["detail"]),
    )
    return Call(
        exchange=secrets.exchange(exchange),
        situation=_situation(failure, exchange.ending) if lane.streamed else f"load-{failure or 'plain'}",
        surface=lane.surface,
        role=lane.role,
        model=lane.model,
        principal=lane.principal,
        scenario=lane.scenario_of(exchange.id),
        streamed=lane.streamed,
    )


def read_records(folder: Path, plan: LoadPlan, secrets: Secrets) -> tuple[Recorded, ...]:
    """All streams that the client processes recorded, in the order in which they began."""
    found = []
    for path in folder.glob("streams-*.ndjson"):
        for line in path.read_text(encoding="utf-8").splitlines():
            raw = json.loads(line)
            failure = None if raw["failure"] is None else Failure(raw["failure"])
            found.append(Recorded(_call(raw, plan, secrets), failure))
    return tuple(sorted(found, key=lambda item: item.call.exchange.started))


def load_rows(target: Target, surfaces: Sequence[str]) -> Plan:
    """The rows that a load test of these surfaces reports on; narrowed, so it claims nothing.

    A load without any stream is reported under the rows of chat, none of which it can show.

    Raises:
        WeighbridgeError: a profile of the target is unknown or does not fit it.
    """
    catalogue = load_catalogue()
    profiles: list[str] = []
    ids: list[str] = []
    for surface in surfaces or ("chat",):
        rows = ROWS[surface]
        named = [name for name in target.profiles if catalogue.profile(name).surface == surface]
        profiles += named or [rows.profile]
        ids += rows.ids
    return make_plan(target, catalogue, list(dict.fromkeys(profiles)), Selection(requirements=tuple(ids)))


def observe(records: Iterable[Recorded], surface: str) -> Observation:
    """The recorded calls of a surface as the observation that the checks take."""
    calls = tuple(item.call for item in records if item.call.surface == surface)
    return Observation(ROWS[surface].probe, calls)


def judge(rows: Plan, evidence: Evidence) -> Judgement:
    """Verdicts of the rows, by those checks of the bundled suites that this evidence feeds."""
    checks = load_checks()
    findings = {
        check.id: judge_directly(check, evidence.observations, evidence.facts)
        for check in checks
        if rows.wants(check) and set(check.probes) <= set(evidence.observations)
    }
    return judge_rows(rows, load_catalogue(), checks, findings)


def document(
    *,
    target: Target,
    rows: Plan,
    evidence: Evidence,
    judgement: Judgement,
    run: report.RunInfo,
    streams: int,
    beyond: Sequence[tuple[str, str, Sequence[str]]],
) -> dict[str, Any]:
    """The report of a load test, in the format of every run.

    Args:
        target: what was loaded.
        rows: what was to be judged.
        evidence: the recorded sample.
        judgement: what it means.
        run: identity of the run.
        streams: how many streams were sent in all; the evidence holds only a sample of them.
        beyond: title, message and evidence of what belongs to no requirement.
    """
    made = report.build(
        target=report.describe_target(target, rows.surfaces),
        plan=rows,
        evidence=evidence,
        judgement=judgement,
        run=run,
        generated=frozenset(),
    )
    calls = streams + len(evidence.preflight)
    made["spent"] |= {"calls": calls, "directed": len(evidence.preflight), "generated": streams}
    del made["footer"]
    made["beyond"] = [
        {"title": title, "message": message, "evidence": list(refs)} for title, message, refs in beyond
    ]
    made["footer"] = report.footer(made)
    return made


def write_evidence(
    evidence: Evidence, rows: Plan, document: Mapping[str, Any], path: Path, run: report.RunInfo
) -> None:
    """Write the evidence so that `weighbridge judge` can judge it again."""
    context = {
        "id": run.id,
        "started": run.started,
        "seed": run.seed,
        "profiles": rows.profiles,
        "selection": {
            "level": rows.selection.level.value,
            "requirements": rows.selection.requirements,
            "quick": rows.selection.quick,
        },
        "target": document["target"],
    }
    evidence_file.write(evidence, path, context)


def with_streams(evidence: Evidence, observed: Iterable[Observation], duration: float) -> Evidence:
    """The evidence of preflight, with the streams added."""
    return replace(
        evidence,
        observations={**evidence.observations, **{item.probe: item for item in observed}},
        duration=duration,
    )
