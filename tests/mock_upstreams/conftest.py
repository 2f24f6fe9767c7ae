"""A simulator in a thread of its own, and a client on raw sockets that sees what no HTTP library shows.

The client tells a FIN from an RST, keeps every chunk as it was framed, and keeps what came before a break.
"""

import asyncio
import json
import logging
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
import uvloop

from mock_upstreams import Simulator, SimulatorConfig

_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class SseEvent:
    name: str | None
    data: str

    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Answer:
    """What came back. `ended` is "complete" (framing finished), "fin", "rst" or "broken" (framing).

    `segments` is how many pieces the kernel saw arrive: unlike `reads`, no starved reader makes one of two.
    """

    raw: bytes = b""
    ended: str = "fin"
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    reads: list[bytes] = field(default_factory=list)
    segments: int = 0

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[SseEvent]:
        """Events by the WHATWG rules: any line end, comments skipped, an unfinished event dropped."""
        lines = self.body.decode().replace("\r\n", "\n").split("\n")
        found: list[SseEvent] = []
        name: str | None = None
        data: list[str] = []
        for line in lines[:-1]:
            if not line:
                if data:
                    found.append(SseEvent(name, "\n".join(data)))
                name, data = None, []
            elif line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data.append(line[6:])
        return found

    def chunk_objects(self) -> list[Any]:
        """The JSON chunks of an OpenAI stream, without [DONE]."""
        return [event.json() for event in self.events() if event.data != "[DONE]"]

    def text(self) -> str:
        """The text that a stream of either dialect carries."""
        found = ""
        for event in self.events():
            if event.data == "[DONE]":
                continue
            item = event.json()
            for choice in item.get("choices", []):
                found += choice["delta"].get("content") or ""
            if item.get("type") == "content_block_delta":
                found += item["delta"].get("text", "")
        return found


def _segments_of(sock: socket.socket) -> int | None:
    """How many segments with data came in on a connection; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    # tcpi_data_segs_in of struct tcp_info, linux/tcp.h.
    found: int = struct.unpack_from("I", told, 152)[0]
    return found


class _BrokenFramingError(Exception):
    """A chunk announces itself with a size that is no number."""


class _Reader:
    """Reads one HTTP answer from a socket, incrementally: nothing is parsed twice."""

    def __init__(self, sock: socket.socket, *, no_body: bool) -> None:
        self._sock = sock
        self._no_body = no_body
        self._received = bytearray()
        self._has_head = False
        self._unparsed = bytearray()
        self.answer = Answer()

    def read(self) -> Answer:
        answer = self.answer
        try:
            answer.ended = self._read_all()
        except _BrokenFramingError:
            answer.ended = "broken"
        answer.segments = _segments_of(self._sock) or len(answer.reads)
        answer.raw = bytes(self._received)
        if answer.headers.get("transfer-encoding") == "chunked":
            answer.body = b"".join(answer.chunks)
        elif self._has_head:
            answer.body = bytes(self._unparsed)
        return answer

    def _read_all(self) -> str:
        while not self._is_complete():
            try:
                data = self._sock.recv(65536)
            except ConnectionResetError:
                return "rst"
            if not data:
                return "complete" if self._ends_by_close() else "fin"
            self._received += data
            self._unparsed += data
            self.answer.reads.append(data)
            self.answer.arrivals.append(time.monotonic())
        return "complete"

    def _ends_by_close(self) -> bool:
        return self._has_head and not {"content-length", "transfer-encoding"} & set(self.answer.headers)

    def _is_complete(self) -> bool:
        answer = self.answer
        if not self._has_head and not self._parse_head():
            return False
        if self._no_body or answer.status in {204, 304}:
            return True
        if answer.headers.get("transfer-encoding") == "chunked":
            return self._dechunk()
        return len(self._unparsed) >= int(answer.headers.get("content-length", sys.maxsize))

    def _parse_head(self) -> bool:
        head, separator, rest = bytes(self._unparsed).partition(b"\r\n\r\n")
        if not separator:
            return False
        self._unparsed = bytearray(rest)
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        if status == 100:
            return self._parse_head()
        self.answer.status = status
        self.answer.headers = {
            name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])
        }
        self._has_head = True
        return True

    def _dechunk(self) -> bool:
        while (line_end := self._unparsed.find(b"\r\n")) >= 0:
            try:
                length = int(self._unparsed[:line_end], 16)
            except ValueError:
                raise _BrokenFramingError from None
            end = line_end + 2 + length + 2
            if len(self._unparsed) < end:
                return False
            if length == 0:
                return True
            self.answer.chunks.append(bytes(self._unparsed[line_end + 2 : end - 2]))
            del self._unparsed[:end]
        return False


def _request_bytes(
    method: str, path: str, body: bytes, headers: dict[str, str], version: str = "1.1"
) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: simulator.test"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Client:
    """Talks to one simulator; `key` is the provider credential that it sends."""

    host: str
    port: int
    simulator: Simulator
    key: str = "sk-test-0123456789abcdef"

    def connect(self) -> socket.socket:
        sock = socket.create_connection((self.host, self.port), timeout=_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def raw(self, data: bytes, *, no_body: bool = False) -> Answer:
        """Send bytes as they are and read one answer."""
        with self.connect() as sock:
            sock.sendall(data)
            return _Reader(sock, no_body=no_body).read()

    def send(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        authorised: bool = True,
        version: str = "1.1",
    ) -> Answer:
        encoded = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        sent = {"authorization": f"Bearer {self.key}"} if authorised else {}
        data = _request_bytes(method, path, encoded, {**sent, **(headers or {})}, version)
        return self.raw(data, no_body=method == "HEAD")

    def open(self, path: str, body: Any) -> socket.socket:
        """Send a call and hand over the socket, unread."""
        sock = self.connect()
        headers = {"authorization": f"Bearer {self.key}"}
        sock.sendall(_request_bytes("POST", path, json.dumps(body).encode(), headers))
        return sock

    def chat(self, content: Any = "Hello", **fields: Any) -> Answer:
        body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": content}], **fields}
        return self.send("/v1/chat/completions", body)

    def messages(self, content: Any = "Hello", **fields: Any) -> Answer:
        body = {
            "model": "claude-opus-4-8",
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": content}],
            **fields,
        }
        return self.send("/v1/messages", body)

    def entries(self, *ids: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.send("/_wb/journal/query", {"ids": list(ids)}).json()["entries"]
        return found

    def entry(self, name: str) -> dict[str, Any]:
        """The only entry with this id, once it is finished."""
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            (found,) = self.entries(name)
            if found["ending"] != "open":
                return found
            assert time.monotonic() < deadline, f"{name} is still open: {found}"
            time.sleep(0.005)

    def cursor(self) -> int:
        seq: int = self.send("/_wb/journal/cursor").json()["seq"]
        return seq


def _token(name: str, **keys: object) -> str:
    parts = [f"{key.rstrip('_')}={quote(str(value), safe='')}" for key, value in keys.items()]
    return f"[[wb:{';'.join([name, *parts])}]]"


@contextmanager
def _running(config: SimulatorConfig, loops: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[Client]:
    """A simulator that serves from another thread until the block ends."""
    ready = threading.Event()
    started: list[tuple[Simulator, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with Simulator(config) as simulator:
            started.append((simulator, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=loops) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(_TIMEOUT_S), "the simulator did not start"
    simulator, loop, stop = started[0]
    try:
        yield Client(config.host, simulator.port, simulator)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_TIMEOUT_S)
        assert not thread.is_alive(), "the simulator did not stop"


_WAYS: dict[str, tuple[Callable[[], asyncio.AbstractEventLoop], SimulatorConfig]] = {
    "asyncio": (asyncio.new_event_loop, SimulatorConfig(direct=False)),
    "uvloop": (uvloop.new_event_loop, SimulatorConfig()),
}


@pytest.fixture(scope="session", params=list(_WAYS))
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a simulator on each kind of event loop; one answers directly, one the long way."""
    loops, config = _WAYS[request.param]
    with _running(config, loops) as found:
        yield found


@pytest.fixture(params=list(_WAYS))
def direct(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a simulator of its own that answers directly, on each kind of event loop."""
    with _running(SimulatorConfig(), _WAYS[request.param][0]) as found:
        yield found


@pytest.fixture
def start() -> Callable[[SimulatorConfig], AbstractContextManager[Client]]:
    """Start a simulator with settings of its own."""
    return lambda config: _running(config, uvloop.new_event_loop)


@pytest.fixture
def token() -> Callable[..., str]:
    """A builder of scenario tokens; a key that is a Python word takes an underscore: in_=5."""
    return _token


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A scenario id that no other test uses."""
    return f"t{zlib.crc32(request.node.nodeid.encode()):08x}"


@pytest.fixture(autouse=True)
def _no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    errors = [r for when in ("setup", "call") for r in caplog.get_records(when) if r.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == []
