"""Many writes in one system call, each a message of its own to the kernel.

A frame of a stream costs little more than the system call that sends it. `sendmmsg` does many sends in one call: to the
network and to the reader it is the same as if each frame had been written alone. Linux has it; elsewhere, on TLS and
behind a slow reader, nothing is sent here and the transport is written to frame by frame.
"""

import asyncio
import ctypes
import itertools
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from typing import Final

MOST: Final = 256
"""Writes of one call."""


class _Header(ctypes.Structure):
    """`struct msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """`struct mmsghdr`."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


class _Vector(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_FUNCTION: Final = getattr(ctypes.CDLL(None), "sendmmsg", None) if sys.platform == "linux" else None
_VECTOR: Final = "PN"
"""A vector, in the notation of `struct`."""


class _Arguments(threading.local):
    """What the system call is told with, for each thread: message k is what vector k points to."""

    def __init__(self) -> None:
        self.vectors = (_Vector * MOST)()
        self.messages = (_Message * MOST)()
        for k, message in enumerate(self.messages):
            message.header.vectors = ctypes.addressof(self.vectors) + k * ctypes.sizeof(_Vector)
            message.header.vector_count = 1


_ARGUMENTS: Final = _Arguments()


def _send(descriptor: int, data: bytes, lengths: Sequence[int]) -> int:
    """The bytes that the kernel took."""
    function, arguments = _FUNCTION, _ARGUMENTS
    if function is None:
        return 0
    count, messages = len(lengths), arguments.messages
    start = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
    places = [0] * (2 * count)
    places[0::2] = itertools.islice(itertools.accumulate(lengths, initial=start), count)
    places[1::2] = lengths
    struct.pack_into(_VECTOR * count, arguments.vectors, 0, *places)
    taken: int = function(descriptor, messages, count, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
    return sum(lengths[: taken - 1]) + int(messages[taken - 1].sent) if taken > 0 else 0


def _works() -> bool:
    """Whether the structures above are those of this system: what is sent has to arrive, all of it and in order."""
    if _FUNCTION is None:
        return False
    _FUNCTION.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    _FUNCTION.restype = ctypes.c_int
    data = b"onetwothree"
    try:
        near, far = socket.socketpair()
        with near, far:
            far.settimeout(0)
            return _send(near.fileno(), data, (3, 3, 5)) == len(data) and far.recv(64) == data
    except OSError:  # nothing has arrived, or there are no sockets to try it with
        return False


_IS_POSSIBLE: Final = _works()


def send_each(transport: asyncio.Transport, data: bytes, lengths: Sequence[int]) -> int:
    """Send `data` in messages of these lengths, as far as the kernel takes it now; returns the bytes that it took.

    The rest, all of it where this is not possible, is for the transport to write.
    """
    if not _IS_POSSIBLE or len(lengths) > MOST or transport.get_write_buffer_size():
        return 0
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("sslcontext") is not None:
        return 0
    return _send(sock.fileno(), data, lengths)
