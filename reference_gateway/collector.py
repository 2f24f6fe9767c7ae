"""Keeps the garbage collector and the other threads out of the way of streams, in a process that serves and nothing else."""

import gc
import sys
from typing import Final

# A thread that computes gives way within this time; the default of 5 ms is longer than a whole call takes here.
_SWITCH_S: Final = 0.0005


def calm_collector() -> None:
    """What exists now stays; what a call makes holds no cycles, so rare collections are enough."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    sys.setswitchinterval(_SWITCH_S)
