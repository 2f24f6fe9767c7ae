"""The steps that every task probe is made of: submit, poll until the end, fetch results, read the balance.

A submission is labelled with its situation; its polls are `<situation>:poll`, downloads `<situation>:fetch`,
and balance reads through the API `<situation>:balance:<moment>`, all with the same role.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from weighbridge import tolerances
from weighbridge.evidence import Call
from weighbridge.lab import Lab
from weighbridge.probes.tasks_models import body, model_of
from weighbridge.scenario import Scenario
from weighbridge.target import Principal
from weighbridge.wire import Leave

TERMINAL = frozenset({"completed", "failed"})
BALANCE_PATH = "/balance"
#: Formed like an id of the documents' samples, known to no deployment.
NO_SUCH_TASK = "task_00000000000000000000000000"
#: An account that may poll this often sees a change within milliseconds; others keep to the common pace.
_FAST_REQUESTS_PER_SECOND = 20
_FAST_INTERVAL_S = 0.01


def task_path(task: str) -> str:
    """Where a task is polled."""
    return f"/tasks/{quote(task, safe='')}"


def task_id(call: Call) -> str | None:
    """The id that an accepted submission returned."""
    document = call.exchange.json
    value = document.get("id") if call.exchange.ok and isinstance(document, dict) else None
    return value if isinstance(value, str) and value else None


def status_of(call: Call) -> str | None:
    """The status that a poll showed."""
    document = call.exchange.json
    value = document.get("status") if call.exchange.ok and isinstance(document, dict) else None
    return value if isinstance(value, str) else None


async def submit(
    lab: Lab,
    role: str,
    situation: str,
    who: Principal | None,
    *,
    scenario: Scenario | None = None,
    change: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    **options: Any,
) -> Call:
    """One submission; further options as for `Lab.send`."""
    id_ = options.pop("correlation_id", None) or lab.shared.ids()
    document = body(lab, role, id_, scenario) | dict(change or {})
    for name in drop:
        document.pop(name, None)
    model = model_of(lab, role)
    assert model is not None  # noqa: S101 - probes take their roles from `usable_roles`
    return await lab.send(
        "tasks",
        model.endpoint,
        situation=situation,
        who=who,
        body=document,
        role=role,
        scenario=scenario,
        correlation_id=id_,
        **options,
    )


async def poll(
    lab: Lab, role: str | None, situation: str, who: Principal | None, task: str, **options: Any
) -> Call:
    """One poll; options as for `Lab.send`."""
    label = f"{situation}:poll"
    return await lab.send(
        "tasks", task_path(task), situation=label, who=who, method="GET", role=role, **options
    )


async def follow(
    lab: Lab, role: str, situation: str, who: Principal, task: str, *, race: bool = False
) -> Call:
    """Poll until the task ends, a poll is refused for good, or the bound passes; returns the last poll.

    Args:
        lab: of the probe.
        role: of the task's model.
        situation: of the submission.
        who: whose task.
        task: its id.
        race: poll as fast as the account may, to see the end within milliseconds; these polls contend with the
            change and are no observation each. Without it the first poll waits for the scripted end.
    """
    bound = tolerances.TASK_DONE_S if lab.wired else tolerances.REAL_TASK_DONE_S
    pause = tolerances.TASK_POLL_INTERVAL_S if lab.wired else tolerances.REAL_TASK_POLL_INTERVAL_S
    race = race and who.requests_per_second > _FAST_REQUESTS_PER_SECOND
    if race:
        pause = _FAST_INTERVAL_S
    else:
        await asyncio.sleep(_until_due(lab, role, situation))
    deadline = lab.now() + bound
    while True:
        call = await poll(lab, role, situation, who, task, contention=race, in_crowd=False)
        status = call.exchange.status
        refused = status is not None and 400 <= status < 500 and status != 429
        if refused or status_of(call) in TERMINAL or lab.now() > deadline:
            return call
        await asyncio.sleep(pause)


def _until_due(lab: Lab, role: str, situation: str) -> float:
    """Seconds until the last submission of a situation is scripted to end; none where nothing is scripted."""
    told = [call for call in lab.calls if call.role == role and situation in call.situations]
    if not told or told[-1].scenario is None:
        return 0.0
    sent = told[-1].exchange
    due = sent.started + sent.ended_at + (told[-1].scenario.duration_ms or 0) / 1000
    return max(0.0, due + tolerances.TASK_SEEN_S - lab.now())


async def again(
    lab: Lab, role: str, situation: str, who: Principal, task: str, times: int, *, race: bool = False
) -> None:
    """Poll some more, to see whether the end stays as it is; `race` where many polls are to meet one refund."""
    for _ in range(times):
        await poll(lab, role, situation, who, task, contention=race, in_crowd=False)


async def read_credits(
    lab: Lab,
    role: str | None,
    situation: str,
    who: Principal,
    moment: str,
    *,
    after: Call | None = None,
    expect: Callable[[int], bool] | None = None,
) -> None:
    """Read the credits through the API, and through the operator's hook where one is declared."""
    await balance(lab, role, situation, who, moment)
    if lab.has("tasks", "balance"):
        label = f"{situation}/{role}" if role else situation
        await lab.money(who, label, moment, after=after, expect=expect)


async def weigh(
    lab: Lab, role: str | None, situation: str, who: Principal, moment: str, *, after: Call | None = None
) -> int | None:
    """Read the credits once: through the operator's hook where one is declared, else through the API."""
    if lab.has("tasks", "balance"):
        return await lab.money(who, f"{situation}/{role}" if role else situation, moment, after=after)
    return amount_of(await balance(lab, role, situation, who, moment))


async def until_restored(
    lab: Lab, role: str, situation: str, who: Principal, before: int | None, wait: float
) -> None:
    """Tell a late refund from none: wait, bounded, until the credits are no longer below what they were."""
    deadline = lab.now() + wait
    while lab.now() < deadline:
        now = await weigh(lab, role, situation, who, "waiting")
        if before is None or now is None or now >= before:
            return
        await asyncio.sleep(tolerances.TASK_POLL_INTERVAL_S)


async def balance(
    lab: Lab, role: str | None, situation: str, who: Principal | None, moment: str, **options: Any
) -> Call:
    """One GET /balance; options as for `Lab.send`."""
    label = f"{situation}:balance:{moment}"
    return await lab.send("tasks", BALANCE_PATH, situation=label, who=who, method="GET", role=role, **options)


def amount_of(call: Call) -> int | None:
    """The credits that a balance read showed."""
    document = call.exchange.json
    value = document.get("balance") if call.exchange.ok and isinstance(document, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def result_urls(call: Call) -> tuple[str, ...]:
    """The http(s) URLs in the output of a completed task."""
    document = call.exchange.json
    output = document.get("output") if isinstance(document, dict) else None
    found: list[str] = []
    for value in (output or {}).values() if isinstance(output, dict) else ():
        found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
    return tuple(dict.fromkeys(url for url in found if _fetchable(url)))


def _fetchable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


async def fetch(lab: Lab, role: str, situation: str, url: str) -> Call:
    """Download one result without any key; from a stranger's storage only its beginning."""
    return await lab.send(
        "tasks",
        "",
        situation=f"{situation}:fetch",
        who=None,
        method="GET",
        headers=(),
        extra=(("Accept", "*/*"),),
        role=role,
        url=url,
        # Storage is public and no part of the API, so the user's limit does not count it.
        paced=False,
        leave=None if lab.wired else Leave(after_chunks=1),
    )
