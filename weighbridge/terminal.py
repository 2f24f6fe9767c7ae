"""Standard output, which may be closed, full, or left by its reader before the work is done."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from rich.console import Console


class Terminal(Console):
    """Where a long command speaks. When nobody can hear it any more the work goes on: its results are in files."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does; what cannot be written is left out."""
        try:
            super().print(*objects, **options)
        except OSError as error:
            self._fall_silent(error.strerror or str(error))

    def on_broken_pipe(self) -> None:
        """The reader has left; rich would end the process."""
        self._fall_silent("its reader has left")

    def _fall_silent(self, why: str) -> None:
        self.quiet = True
        mute_standard_output()
        with contextlib.suppress(OSError):
            sys.stderr.write(
                f"weighbridge: standard output cannot be written ({why}); the results are in files\n"
            )


def mute_standard_output() -> None:
    """Let everything that is still to be written there go nowhere, so that the end of the process says nothing of it."""
    with contextlib.suppress(AttributeError, OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def open_standard_streams() -> None:
    """Give closed standard streams a place, so that no file or socket of ours takes their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.open(os.devnull, os.O_RDWR)
