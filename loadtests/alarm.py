"""A clock that wakes a greenlet on time: the kernel's timer behind a watcher, not the loop's milliseconds.

The event loop rounds its own timers up to whole milliseconds, which an open load would add to every latency.
Where the kernel has no timerfd the loop's timers do, and the schedule delay says what that costs.
"""

from __future__ import annotations

import ctypes
import os
import sys
from types import TracebackType
from typing import Any, Self

import gevent

from loadtests.dialling import now

_MONOTONIC = 1
_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_ABSOLUTE = 1


class _Spec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """Waits until moments on the clock `now`; one greenlet uses it at a time."""

    def __init__(self) -> None:
        self._file = -1
        self._watcher: Any = None
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._file = self._libc.timerfd_create(_MONOTONIC, _FLAGS)
        if self._file >= 0:
            self._watcher = gevent.get_hub().loop.io(self._file, 1)

    def until(self, moment: int) -> None:
        """Return at that moment, or at once if it is over."""
        left = moment - now()
        if left <= 0:
            return
        if self._file < 0:
            gevent.sleep(left / 1e9)
            return
        spec = _Spec(0, 0, *divmod(moment, 1_000_000_000))
        if self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(spec), None) != 0:
            gevent.sleep(left / 1e9)
            return
        gevent.get_hub().wait(self._watcher)
        os.read(self._file, 8)

    def close(self) -> None:
        """Give the timer back."""
        if self._file >= 0:
            self._watcher.close()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
