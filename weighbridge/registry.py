"""Where probes are registered: their name, surface, stage and what they cannot do without."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from weighbridge.errors import UsageError

if TYPE_CHECKING:
    from weighbridge.ahead import GoOn
    from weighbridge.lab import Lab
    from weighbridge.workbench import Shared


class Stage(IntEnum):
    """When a probe may run.

    Those that look at the pace of a stream come when nothing else is under way, since a client that is busy
    with other calls reads late. Those that make an upstream fail come after all that need it healthy.
    """

    HEALTHY = 0
    PACED = 1
    FAILING = 2
    GENERATED = 3


Progress = Callable[[str], None]
ProbeFunction = Callable[["Lab"], Awaitable[None]]
#: What can be made without the target, in a thread, before the probe's stage; see `weighbridge.ahead`.
AheadFunction = Callable[["Shared", "GoOn"], Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """A registered probe."""

    name: str
    surface: str
    stage: Stage
    function: ProbeFunction
    needs: tuple[str, ...] = ()
    quick: bool = False
    unscripted: bool = False
    ahead: AheadFunction | None = None
    waits: bool = False


PROBES: dict[str, Probe] = {}


def probe(
    surface: str,
    *,
    stage: Stage = Stage.HEALTHY,
    needs: tuple[str, ...] = (),
    quick: bool = False,
    unscripted: bool = False,
    ahead: AheadFunction | None = None,
    waits: bool = False,
) -> Callable[[ProbeFunction], ProbeFunction]:
    """Register a probe under its function's name.

    Args:
        surface: the surface that it drives.
        stage: when it may run.
        needs: capabilities without which it has nothing to do; checks then say what is missing.
        quick: what it sends is judged by the replies, and it waits for nothing; `--quick` runs these alone.
        unscripted: it is for providers whose usage nobody scripts, and judges rows that otherwise need `upstream`.
        ahead: makes what the probe takes with `Ahead.made`, while earlier stages run.
        waits: it takes seconds, and mostly waits, for windows or for one answer after another; so it begins before the
            others of its stage, which then fill its time.
    """

    def register(function: ProbeFunction) -> ProbeFunction:
        name = function.__name__
        if name in PROBES:
            raise UsageError(f"two probes are called {name!r}; rename one")
        PROBES[name] = Probe(name, surface, stage, function, needs, quick, unscripted, ahead, waits)
        return function

    return register
