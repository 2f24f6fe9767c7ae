"""The files that media jobs deliver: small, but real in their format, so that a caller can open them."""

import functools
import struct
import zlib
from typing import Final

_WIDTH: Final = 16
_HEIGHT: Final = 16
_SAMPLE_RATE: Final = 8000
_SAMPLES: Final = 800
_TIMESCALE: Final = 1000
_IDENTITY_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@functools.lru_cache(maxsize=32)
def png(number: int) -> bytes:
    """A 16 x 16 picture in one colour, another one for each number."""
    pixel = bytes(((number * 97 + 40) % 256, (number * 57 + 90) % 256, (number * 31 + 160) % 256))
    rows = (b"\0" + pixel * _WIDTH) * _HEIGHT
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _png_chunk(b"IHDR", header),
            _png_chunk(b"IDAT", zlib.compress(rows)),
            _png_chunk(b"IEND", b""),
        )
    )


@functools.lru_cache(maxsize=32)
def wav(number: int) -> bytes:
    """A tenth of a second of a triangle tone, 16 bit mono."""
    period = 16 + number % 16
    peak = 8000
    wave = (peak - abs(i % period * 4 * peak // period - 2 * peak) for i in range(_SAMPLES))
    data = struct.pack(f"<{_SAMPLES}h", *wave)
    layout = struct.pack("<HHIIHH", 1, 1, _SAMPLE_RATE, _SAMPLE_RATE * 2, 2, 16)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def _full_box(kind: bytes, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)


@functools.lru_cache(maxsize=32)
def mp4(number: int) -> bytes:
    """One second of video: an ISO base media file with one track, whose only sample is a PNG picture."""
    picture = png(number)
    file_type = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2mp41")
    payload_at = len(file_type) + 8
    return file_type + _box(b"mdat", picture) + _movie(len(picture), payload_at)


def _movie(sample_size: int, sample_at: int) -> bytes:
    entry = _box(
        b"png ",
        bytes(6),
        struct.pack(">H", 1),
        bytes(16),
        struct.pack(">HHIIIH", _WIDTH, _HEIGHT, 0x480000, 0x480000, 0, 1),
        bytes(32),
        struct.pack(">Hh", 24, -1),
    )
    table = _box(
        b"stbl",
        _full_box(b"stsd", 0, struct.pack(">I", 1), entry),
        _full_box(b"stts", 0, struct.pack(">III", 1, 1, _TIMESCALE)),
        _full_box(b"stsc", 0, struct.pack(">IIII", 1, 1, 1, 1)),
        _full_box(b"stsz", 0, struct.pack(">III", 0, 1, sample_size)),
        _full_box(b"stco", 0, struct.pack(">II", 1, sample_at)),
    )
    information = _box(
        b"minf",
        _full_box(b"vmhd", 1, bytes(8)),
        _box(b"dinf", _full_box(b"dref", 0, struct.pack(">I", 1), _full_box(b"url ", 1))),
        table,
    )
    media = _box(
        b"mdia",
        _full_box(b"mdhd", 0, struct.pack(">IIIIHH", 0, 0, _TIMESCALE, _TIMESCALE, 0x55C4, 0)),
        _full_box(b"hdlr", 0, bytes(4), b"vide", bytes(12), b"Video\0"),
        information,
    )
    track_header = _full_box(
        b"tkhd",
        7,
        struct.pack(">IIIII", 0, 0, 1, 0, _TIMESCALE),
        bytes(8),
        struct.pack(">hhhH", 0, 0, 0, 0),
        _IDENTITY_MATRIX,
        struct.pack(">II", _WIDTH << 16, _HEIGHT << 16),
    )
    movie_header = _full_box(
        b"mvhd",
        0,
        struct.pack(">IIIIIH", 0, 0, _TIMESCALE, _TIMESCALE, 0x10000, 0x100),
        bytes(10),
        _IDENTITY_MATRIX,
        bytes(24),
        struct.pack(">I", 2),
    )
    return _box(b"moov", movie_header, _box(b"trak", track_header, media))


FILES: Final = {"png": ("image/png", png), "wav": ("audio/wav", wav), "mp4": ("video/mp4", mp4)}
"""Content type and maker by file extension."""
