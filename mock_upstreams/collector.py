"""The garbage collector of a process that does nothing but serve."""

import gc


def calm_collector() -> None:
    """Spare streams its pauses: what exists now stays, and the journal holds no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
