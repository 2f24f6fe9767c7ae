"""Can this client offer what was asked for? Answered before the load starts, by measuring, not by hoping.

A process that reads answers from a loopback peer as fast as it can shows how many calls a second it can make at
all; a wanted rate beyond half of that would measure the client. Little's law says how many calls are in flight at
a rate, and the operating system how many connections a process may hold.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from dataclasses import dataclass

from weighbridge.errors import HarnessError, UsageError
from weighbridge.load.plan import LoadPlan
from weighbridge.locate import folder

#: Beyond this part of what it can do at most, a client's own queue is part of every latency.
SAFE_PART = 0.5
_BOUND_S = 30.0
#: Content events of an answer whose length nobody knows beforehand.
USUAL_CHUNKS = 50
#: Files that a process needs besides its connections.
_OTHER_FILES = 64


@dataclass(frozen=True, slots=True)
class Ability:
    """What one process of this client can do with calls of a given length.

    Attributes:
        calls_per_s: at most, with nothing else to do.
    """

    calls_per_s: float


async def measure(chunks: int, python_path: dict[str, str]) -> Ability:
    """Run the client against canned answers for half a second, in a child.

    Args:
        chunks: content events of one answer.
        python_path: the environment of the child.

    Raises:
        HarnessError: the child did not answer.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(folder("loadtests") / "ability.py"),
        str(chunks),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=python_path,
    )
    try:
        async with asyncio.timeout(_BOUND_S):
            out, said = await process.communicate()
        return Ability(float(json.loads(out)["calls_per_s"]))
    except TimeoutError:
        raise HarnessError(
            f"the client's ability could not be measured within {_BOUND_S:g} s; try again on a less busy machine"
        ) from None
    except (ValueError, KeyError) as error:
        words = said.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise HarnessError(f"the client's ability could not be measured: {words[0]}") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def require_files(calls: int, processes: int, option: str) -> None:
    """Make sure that a process may hold so many connections.

    Raises:
        UsageError: its limit of open files is lower.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = -(-calls // processes) + _OTHER_FILES
    if most not in {-1, resource.RLIM_INFINITY} and wanted > most:
        raise UsageError(
            f"{option}: {wanted:,} open files are needed in one process and {most:,} are allowed; "
            "raise ulimit -n or --processes"
        )


def require_in_flight(plan: LoadPlan) -> None:
    """Make sure that a scripted open load fits below its cap, by Little's law.

    Raises:
        UsageError: it cannot.
    """
    lane, arrivals = plan.main, plan.arrivals
    if arrivals is None or lane.script is None or lane.script.fault is not None:
        return
    length = ((lane.script.ttft_ms or 0) + (lane.script.gap_ms or 0) * ((lane.script.chunks or 1) - 1)) / 1000
    needed = arrivals.rate * length
    if needed > arrivals.in_flight * plan.processes:
        raise UsageError(
            f"--rate {arrivals.rate:g}: calls of {length:g} s keep {needed:,.0f} in flight, more than --max-in-flight "
            f"{arrivals.in_flight} in each of {plan.processes} processes; raise it or lower the rate"
        )


def require_rate(ability: Ability, plan: LoadPlan) -> None:
    """Make sure that the client can offer the rate with time to spare.

    Raises:
        UsageError: it cannot.
    """
    assert plan.arrivals is not None  # noqa: S101 - asked for open loads only
    safe = ability.calls_per_s * SAFE_PART
    rate = plan.arrivals.rate
    if rate > safe * plan.processes:
        needed = int(-(-rate // safe))
        raise UsageError(
            f"--rate {rate:g} cannot be offered: one process of this client makes at most {ability.calls_per_s:,.0f} such "
            f"calls a second and measures well up to {safe:,.0f}; use --processes {needed} or a lower rate"
        )
