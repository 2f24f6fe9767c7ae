"""Evidence made by hand, for views and files to be tested on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from weighbridge.catalogue import load as load_catalogue
from weighbridge.clock import Clock
from weighbridge.embed import EMBEDDED_SHAPE
from weighbridge.engine import Evidence
from weighbridge.evidence import (
    Call,
    Chunk,
    Ending,
    Exchange,
    Headers,
    Observation,
    Reading,
    Request,
    Response,
    RunFacts,
    UpstreamCall,
)
from weighbridge.judgement import judge_rows
from weighbridge.plan import Selection, make_plan
from weighbridge.report import document as report
from weighbridge.scenario import Scenario
from weighbridge.suite import Check, load_checks
from weighbridge.verdict import Finding, Outcome

JSON: Headers = (("Content-Type", "application/json"),)
SSE: Headers = (("Content-Type", "text/event-stream"),)


def call(
    id_: str,
    *,
    situation: str = "plain",
    request: bytes = b'{"model": "gpt-5.5"}',
    status: int = 200,
    headers: Headers = JSON,
    body: bytes = b'{"object": "chat.completion"}',
    chunks: tuple[Chunk, ...] | None = None,
    **change: Any,
) -> Call:
    """An answered call."""
    return Call(
        exchange=Exchange(
            id=id_,
            request=Request(
                "POST",
                "http://127.0.0.1:9/v1/chat/completions",
                (("Authorization", "Bearer <redacted>"), *JSON),
                request,
            ),
            response=Response(status, headers, (Chunk(0.02, body),) if chunks is None else chunks),
            ending=change.pop("ending", Ending.COMPLETE),
            started=change.pop("started", 1.0),
            ended_at=change.pop("ended_at", 0.5),
            head_at=0.01,
        ),
        situation=situation,
        surface=change.pop("surface", "chat"),
        role=change.pop("role", "openai"),
        model=change.pop("model", "gpt-5.5"),
        principal="chat.funded",
        **change,
    )


def stream(id_: str, pieces: Sequence[tuple[float, bytes]], **change: Any) -> Call:
    """A streamed call."""
    chunks = tuple(Chunk(at, data) for at, data in pieces)
    return call(id_, headers=SSE, chunks=chunks, streamed=True, **change)


def evidence(
    *observations: Observation, preflight: tuple[Call, ...] = (), clock: Clock | None = None
) -> Evidence:
    """What a run saw."""
    return Evidence(
        facts=RunFacts(),
        observations={item.probe: item for item in observations},
        preflight=preflight,
        unwired=(),
        duration=1.0,
        clock=clock,
    )


#: What a hostile gateway would like a reader's browser to run.
HOSTILE = '</script><img src=x onerror="window.pwned=1"><svg onload=window.pwned=1>\'"`${window.pwned=1}'


def findings(
    checks: Sequence[Check], outcomes: Mapping[str, Finding], refs: tuple[str, ...]
) -> dict[str, Finding]:
    """A finding for every check: those of some rows as given, all others met."""
    made = {}
    for check in checks:
        given = next((outcomes[row] for row in check.binding.ids if row in outcomes), None)
        made[check.id] = given or Finding(Outcome.MET, "as documented", "as required", refs)
    return made


def a_document(
    seen: Evidence,
    outcomes: Mapping[str, Finding],
    *,
    profiles: Sequence[str] = ("openai-chat", "reapi-tasks"),
    place: str = "the embedded target",
    name: str = "test gateway",
    edition: str | None = None,
) -> dict[str, Any]:
    """A report on this evidence with these findings."""
    catalogue = load_catalogue()
    target = replace(EMBEDDED_SHAPE, place=place, name=name)
    plan = make_plan(target, catalogue, profiles, Selection())
    checks = [check for check in load_checks() if plan.wants(check)]
    refs = tuple(call.id for item in seen.observations.values() for call in item.calls)[:1]
    judgement = judge_rows(plan, catalogue, load_checks(), findings(checks, outcomes, refs))
    document = report.build(
        target=report.describe_target(target, plan.surfaces),
        plan=plan,
        evidence=seen,
        judgement=judgement,
        run=report.RunInfo("20261121-000000-aaaa", "2026-11-21T00:00:00+00:00", 1.25, 0),
        generated=frozenset(),
    )
    if edition is not None:
        document["edition"] = edition
        document["footer"] = report.footer(document)
    return document


def broken(ref: str, required: str, observed: str) -> Finding:
    """A violation that rests on one exchange."""
    return Finding(Outcome.BROKEN, required, observed, (ref,))


def chunk(content: str | None = None, finish: str | None = None) -> bytes:
    """One event of a chat stream."""
    delta = {} if content is None else {"content": content}
    body = {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return f"data: {json.dumps(body)}\n\n".encode()


def upstream_call(id_: str, *, arrived_ns: int = 1_005_000_000, **change: Any) -> UpstreamCall:
    """A provider call that the simulator saw."""
    values: dict[str, Any] = {
        "seq": 1, "id": id_, "upstream": "default", "provider": "openai", "operation": "chat", "method": "POST",
        "path": "/v1/chat/completions", "headers": JSON, "credential": "ab", "body": "{}", "model": "gpt-5.5",
        "stream": True, "arrived_ns": arrived_ns, "status": 200, "events_sent": 2, "ending": "complete",
        "finished_ns": arrived_ns + 30_000_000, "writes_us": (2000, 20000),
    }  # fmt: skip
    return UpstreamCall(**values | change)


def a_run(count: int = 6) -> tuple[Evidence, dict[str, Any]]:
    """Evidence and report of a gateway that breaks a few rows, with hostile texts wherever a target speaks."""
    whole = stream(
        "c1",
        [
            (0.02, chunk("Hel")),
            (0.04, chunk("lo")),
            (0.05, chunk(None, "stop")),
            (0.06, b"data: [DONE]\n\n" * 2),
        ],
        upstream=(upstream_call("c1"),),
    )
    cut = stream(
        "c2",
        [(0.02, chunk("Hel")), (0.03, b'data: {"error": {"message": "broken"}}\n\n'), (0.04, b'data: {"cho')],
        ending=Ending.RESET,
        situation="broken-stream",
    )
    hostile = call(
        "c3",
        status=400,
        situation=HOSTILE,
        headers=(*JSON, ("X-Note", HOSTILE), ("Retry-After", "0")),
        body=json.dumps({"error": {"message": HOSTILE, "code": 12345678901234567890}}).encode(),
        request=json.dumps({"model": HOSTILE}).encode(),
    )
    long = call("c4", body=json.dumps({"error": {"message": "x" * 40_000}}).encode(), status=500)
    rest = tuple(call(f"r{number}") for number in range(count))
    readings = tuple(
        Reading("tasks/1", moment, "tasks", "tasks.fresh", amount, 1.0 + index, after="c1" if index else None)
        for index, (moment, amount) in enumerate(
            (("before", 1000), ("held", 960), ("after", 1000), ("paid", 940))
        )
    )
    boundary = tuple(
        call(
            f"b{size}",
            situation=f"boundary-{size}",
            scenario=Scenario(prompt_tokens=size, completion_tokens=10_000),
        )
        for size in (270_000, 280_000)
    )
    money = tuple(
        Reading(f"boundary-{size}/openai", moment, "chat", "chat.fresh", amount, 1.0)
        for size, charge in ((270_000, 1_650_000_000_000), (280_000, 1_700_000_000_000))
        for moment, amount in (("before", 10**14), ("after", 10**14 - charge))
    )
    seen = evidence(
        Observation("chat_replies", calls=(whole, cut, hostile, long, *rest)),
        Observation("task_books", readings=readings),
        Observation("chat_boundary", calls=boundary, readings=money),
        clock=Clock(0, 0.0001, 10),
    )
    seen = replace(
        seen,
        facts=RunFacts(
            models={"openai": "gpt-5.5"}, rates={"gpt-5.5": {"input": 5_000_000, "output": 30_000_000}}
        ),
    )
    outcomes = {
        "CSTR-04": broken(
            "c1", "[DONE] once and nothing after it", "[DONE] 2 times (plain / gpt-5.5 / streamed)"
        ),
        "CERR-01": broken(
            "c3", "JSON {error: {message, type, code}}", f"no type in {{'message': '{HOSTILE}'}}"
        ),
        "CSTR-08": broken("c2", "the first delta has role assistant", "first roles {0: None}"),
        "TSUB-01": Finding(Outcome.NOT_VERIFIED, observed="nothing was observed", inside_scope=True),
        "TIDM-01": Finding(Outcome.NOT_VERIFIED, observed="needs balance", missing="balance"),
        "CREQ-01": Finding(Outcome.UNSUPPORTED, observed="not offered"),
        "CRES-01": Finding(Outcome.NOT_APPLICABLE, observed="no such reply"),
        "CRES-02": Finding(Outcome.HARNESS_ERROR, observed="the probe failed", inside_scope=True),
    }
    all_refs = tuple(made.id for made in rest)
    outcomes["CSTR-03"] = Finding(
        Outcome.MET, "the stream ends with data: [DONE]", "it is there", ("c1", *all_refs)
    )
    return seen, a_document(seen, outcomes)
