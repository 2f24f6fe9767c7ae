"""Python's garbage collector during a run: a run keeps nearly all that it makes, and little of it in cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: A collection of the youngest objects after so many new ones, and of the oldest after so many of those.
#: By default Python looks through everything that a run holds dozens of times, and finds nothing to free.
RARELY = (50_000, 20, 50)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage seldom meanwhile; what was made before is left out of it."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def no_more_collections() -> None:
    """Collect no garbage until the process ends, which it is about to: the system takes it all back at once.

    Python would look through everything that a run made some times more while it ends.
    """
    gc.disable()
    gc.freeze()
