"""Bodies and header lists of an evidence file, each stored once and referred to by number.

- a body: `{"body": 7, "sha256": "...", "size": 212, "text": "..."}`
- a long one: `{"body": 8, "sha256": "...", "size": 1200114, "zlib": "..."}`, in Base64, without loss
- a cut one: `{"body": 9, "sha256": "...", "size": 9000000, "zlib": "...", "kept": 2097152}`
- headers: `{"headers": 3, "fields": [["content-type", "application/json"]]}`
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.evidence import Headers

#: A text longer than this is compressed, if that makes it shorter.
_COMPRESS_ABOVE = 2048
#: What one body may take in the file; beyond, only its beginning is kept and the cut is stated.
MAX_STORED = 1024 * 1024
#: No body of a run is longer (see `response_reader.Limits`); what unpacks to more was not written by us.
MAX_UNPACKED = 64 * 1024 * 1024


def _written(data: bytes) -> tuple[dict[str, Any], int]:
    """The members that hold a body, and how many of its bytes they hold."""
    if len(data) <= _COMPRESS_ABOVE:
        try:
            return {"text": data.decode("utf-8")}, len(data)
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(data).decode()}, len(data)
    kept = data
    packed = zlib.compress(kept)
    while len(packed) * 4 > MAX_STORED * 3:
        kept = kept[: len(kept) // 2]
        packed = zlib.compress(kept)
    return {"zlib": base64.b64encode(packed).decode()}, len(kept)


def _unpacked(line: Mapping[str, Any]) -> bytes:
    """A compressed body; a file that would unpack without end is refused."""
    size = min(int(line.get("kept", line["size"])), MAX_UNPACKED)
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(line["zlib"]), size + 1)
    except zlib.error as error:
        raise ValueError(f"body {line['body']} cannot be unpacked: {error}") from error
    if len(data) > size:
        raise ValueError(f"body {line['body']} unpacks to more than the {size} bytes that it states")
    return data


class TableWriter:
    """Gives out numbers, and the lines that explain those given out since the last time.

    Attributes:
        lines: how many table lines were written.
        cut: how many bodies did not fit and were cut.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.cut = 0
        self._bodies: dict[bytes, int] = {}
        self._headers: dict[Headers, int] = {}
        self._new: list[dict[str, Any]] = []

    def body(self, data: bytes) -> int:
        """The number of a body; 0 stands for the empty one."""
        if not data:
            return 0
        name = hashlib.sha256(data).digest()
        number = self._bodies.get(name)
        if number is None:
            number = self._bodies[name] = len(self._bodies) + 1
            members, kept = _written(data)
            line = {"body": number, "sha256": name.hex(), "size": len(data), **members}
            if kept < len(data):
                line["kept"] = kept
                self.cut += 1
            self._new.append(line)
        return number

    def headers(self, headers: Headers) -> int:
        """The number of a header list."""
        number = self._headers.get(headers)
        if number is None:
            number = self._headers[headers] = len(self._headers) + 1
            self._new.append({"headers": number, "fields": headers})
        return number

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """The lines that what was written since the last call refers to."""
        fresh, self._new = self._new, []
        self.lines += len(fresh)
        yield from fresh


class TableReader:
    """Gives back what stands behind a number."""

    def __init__(self) -> None:
        self._bodies: dict[int, bytes] = {0: b""}
        self._headers: dict[int, Headers] = {}
        self._cut: set[int] = set()

    def take(self, line: Mapping[str, Any]) -> bool:
        """Take a table line; False for any other.

        Raises:
            ValueError: a whole body does not fit its hash.
        """
        if "body" in line:
            self._bodies[line["body"]] = self._read(line)
        elif "headers" in line:
            self._headers[line["headers"]] = tuple((str(name), str(value)) for name, value in line["fields"])
        else:
            return False
        return True

    def _read(self, line: Mapping[str, Any]) -> bytes:
        if "text" in line:
            data = str(line["text"]).encode()
        elif "base64" in line:
            data = base64.b64decode(line["base64"])
        else:
            data = _unpacked(line)
        if "kept" in line:
            self._cut.add(line["body"])
        elif hashlib.sha256(data).hexdigest() != line["sha256"]:
            raise ValueError(f"body {line['body']} does not fit its hash")
        return data

    def body(self, number: int) -> bytes:
        """The bytes of a body, or its beginning where it was cut."""
        return self._bodies[number]

    def headers(self, number: int) -> Headers:
        """A header list."""
        return self._headers[number]

    @property
    def cut(self) -> int:
        """How many bodies were cut."""
        return len(self._cut)

    def is_cut(self, number: int) -> bool:
        """Whether only the beginning of a body was kept."""
        return number in self._cut
