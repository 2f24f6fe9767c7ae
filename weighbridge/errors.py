"""What stops the command, and with which exit code.

A run lives through: read the command line and the target file, reach the target, gather evidence,
judge, report. Each step has its own error here; each is one sentence for a person, with the remedy,
and never shown as a traceback. A *finding* about a target is not an error: it lives in `verdict`.

    WeighbridgeError
    |-- UsageError          2  command line, unknown id or profile
    |   `-- TargetFileError 2  the target file (place is part of the message)
    |-- UnknownModelError   2  the target does not serve a model that its file names
    |-- UnreachableError    4  nothing answers at a URL, or it answers no HTTP
    |-- KeyRefusedError     4  the target refuses the key that should work
    `-- HarnessError        4  our own part failed: a hook, the simulator, a full disk
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process answers to its caller; scripts depend on these numbers."""

    OK = 0
    VIOLATION = 1
    USAGE = 2
    INCOMPLETE = 3
    UNREACHABLE = 4
    INVALID_MEASUREMENT = 5
    INTERRUPTED = 130


#: Which code wins when several apply: the more fundamental trouble first.
PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.USAGE,
    ExitCode.UNREACHABLE,
    ExitCode.VIOLATION,
    ExitCode.INVALID_MEASUREMENT,
    ExitCode.INCOMPLETE,
    ExitCode.OK,
)


def strongest(codes: Iterable[ExitCode]) -> ExitCode:
    """The code to exit with when several conditions hold at once."""
    present = set(codes) | {ExitCode.OK}
    return next(code for code in PRECEDENCE if code in present)


class WeighbridgeError(Exception):
    """Anything that ends the command early; `exit_code` says how."""

    exit_code = ExitCode.UNREACHABLE


class UsageError(WeighbridgeError):
    """The caller asked for something that does not exist or does not fit together."""

    exit_code = ExitCode.USAGE


class TargetFileError(UsageError):
    """The target file cannot be read, parsed or understood."""


class UnknownModelError(WeighbridgeError):
    """The target answered, but does not know a model that the target file names."""

    exit_code = ExitCode.USAGE


class UnreachableError(WeighbridgeError):
    """Nothing listens at a URL of the target, or what answers there is not HTTP."""


class KeyRefusedError(WeighbridgeError):
    """The target refused the key of a principal that ought to work."""


class HarnessError(WeighbridgeError):
    """A part of the harness failed: no statement about the target follows from it."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word closest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
