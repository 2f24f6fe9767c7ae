"""How many calls a second this client can make at most: `python ability.py CHUNKS` prints one JSON line.

A forked peer on loopback answers every request at once with a canned stream; the client reads as it does
under load, sixteen connections at a time, for half a second.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if "loadtests" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "loadtests", _HERE / "__init__.py", submodule_search_locations=[str(_HERE)]
    )
    assert _spec is not None and _spec.loader is not None  # noqa: S101, PT018 - a .py path always has both
    sys.modules["loadtests"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["loadtests"])

_CONNECTIONS = 16
_SECONDS = 0.5
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    document = {
        "id": "chatcmpl-ability",
        "object": "chat.completion.chunk",
        "created": 1,
        "choices": [choice],
    }
    return _piece(b"data: " + json.dumps(document).encode() + b"\n\n")


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(chunks: int) -> bytes:
    """A canned stream."""
    events = [_event({"content": "words "}, None)] * chunks
    return b"".join([_HEAD, *events, _event({}, "stop"), _piece(b"data: [DONE]\n\n"), b"0\r\n\r\n"])


def serve(listener: socket.socket, reply: bytes) -> None:
    """Answer whatever comes; ended by a signal."""
    import selectors

    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is listener:
                    ready.register(listener.accept()[0], selectors.EVENT_READ)
                    continue
                peer = key.fileobj
                assert isinstance(peer, socket.socket)  # noqa: S101 - registered above
                if peer.recv(65536):
                    peer.sendall(reply)
                else:
                    ready.unregister(peer)
                    peer.close()


def measure(port: int) -> float:
    """Calls a second."""
    import gevent

    from loadtests.dialling import now
    from loadtests.recorder import Recorder
    from loadtests.streaming import Calls
    from weighbridge.load.plan import Lane, LoadPlan

    lane = Lane(
        "chat",
        "chat",
        f"http://127.0.0.1:{port}/v1/chat/completions",
        (),
        '{"stream": true}',
        "m",
        "openai",
        "",
    )
    recorder = Recorder(warm_up=0, sample=0, keep_failed=0)
    calls = Calls(LoadPlan((lane,)), recorder)
    recorder.begin()
    over = now() + int(_SECONDS * 1e9)

    def one() -> None:
        connection = None
        while now() < over:
            _, connection = calls.run(lane, connection)
        if connection is not None:
            connection.close()

    # By processor time: what it can do with a core of its own, whatever else the machine does just now.
    used = time.process_time()
    gevent.joinall([gevent.spawn(one) for _ in range(_CONNECTIONS)], raise_error=True)
    made = recorder.tally.completed
    recorder.end()
    return made / (time.process_time() - used)


def main() -> None:
    """Fork the peer, measure, end it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        child = os.fork()
        if not child:
            try:
                serve(listener, answer(int(sys.argv[1])))
            finally:
                os._exit(1)
    try:
        sys.stdout.write(json.dumps({"calls_per_s": measure(port)}) + "\n")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
