"""The gevent client against servers that misbehave on the wire: every fault has its class, none is a success."""

import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import gevent
import pytest

from loadtests.dialect import EventStream
from loadtests.recorder import Recorder
from loadtests.streaming import Calls, Outcome
from weighbridge.evidence import Ending
from weighbridge.load.figures import LAG, Failure
from weighbridge.load.histogram import middle_of
from weighbridge.load.plan import PLACEHOLDER, Bounds, Lane, LoadPlan

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def event(content: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
WHOLE = [event("Hello "), event("world"), event(finish="stop"), DONE]


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(*events: bytes) -> bytes:
    return CHUNKED + b"".join(piece(item) for item in events) + b"0\r\n\r\n"


LANE_FIELDS = {field.name for field in fields(Lane)}


def plan_for(port: int, **changes: Any) -> LoadPlan:
    values: dict[str, Any] = {
        "name": "chat",
        "kind": "chat",
        "url": f"http://127.0.0.1:{port}/v1/chat/completions",
        "headers": (("Authorization", "Bearer secret"),),
        "body": json.dumps({"stream": True, "user": PLACEHOLDER}),
        "model": "m",
        "role": "openai",
        "principal": "chat.funded",
        "bounds": Bounds(connect=2, first_byte=2, idle=2, total=5),
        "warm_up": 0.0,
    }
    given = values | changes
    lane = Lane(**{name: value for name, value in given.items() if name in LANE_FIELDS})
    return LoadPlan((lane,), **{name: value for name, value in given.items() if name not in LANE_FIELDS})


class Client:
    """Streams by one plan, one after the other, as one user would."""

    def __init__(self, plan: LoadPlan) -> None:
        self.recorder = Recorder(warm_up=plan.warm_up, sample=plan.sample, keep_failed=plan.keep_failed)
        self.calls = Calls(plan, self.recorder)
        self.plan = plan
        self.connection: Any = None
        self.recorder.begin()

    def one(self) -> Outcome:
        outcome, self.connection = self.calls.run(self.plan.main, self.connection)
        return outcome

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.recorder.end()
        self.recorder.fold()


def ask(port: int, **changes: Any) -> tuple[Outcome, Client]:
    client = Client(plan_for(port, **changes))
    try:
        return client.one(), client
    finally:
        client.close()


def answering(data: bytes, *, keep: bool = False) -> Callable[[Any], bool]:
    def script(peer: Any) -> bool:
        peer.sendall(data)
        return keep

    return script


def breaking(data: bytes) -> Callable[[Any], bool]:
    """Send, then RST."""

    def script(peer: Any) -> bool:
        peer.sendall(data)
        return reset(peer)

    return script


def reset(peer: socket.socket) -> bool:
    """Close with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


SLOW = Bounds(connect=2, first_byte=0.15, idle=0.15, total=5)

FAULTS: dict[str, tuple[bytes, Failure | None]] = {
    "whole": (chunked(*WHOLE), None),
    "whole with a length": (
        HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(b"".join(WHOLE)), b"".join(WHOLE)),
        None,
    ),
    "whole until close": (HEAD + b"\r\n" + b"".join(WHOLE), None),
    "after an interim head": (b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(*WHOLE), None),
    "nothing": (b"", Failure.EMPTY),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", Failure.EMPTY),
    "no http": (b"hello there, this is no protocol of yours\r\n\r\n", Failure.BAD_HTTP),
    "broken chunk framing": (CHUNKED + piece(WHOLE[0]) + b"zz\r\n", Failure.BAD_HTTP),
    "cut by FIN": (CHUNKED + piece(WHOLE[0]), Failure.TRUNCATED),
    "cut until close": (HEAD + b"\r\n" + WHOLE[0], Failure.TRUNCATED),
    "clean end too early": (chunked(*WHOLE[:2]), Failure.TRUNCATED),
    "no done": (chunked(*WHOLE[:3]), Failure.BROKEN_ENDING),
    "two dones": (chunked(*WHOLE, DONE), Failure.BROKEN_ENDING),
    "two finishes": (chunked(*WHOLE[:3], *WHOLE[2:]), Failure.BROKEN_ENDING),
    "error event": (chunked(WHOLE[0], b'data: {"error":{"message":"x"}}\n\n'), Failure.ERROR_EVENT),
    "junk event": (chunked(WHOLE[0], b"data: {oops\n\n"), Failure.MALFORMED),
    "empty body": (chunked(), Failure.EMPTY),
    "a json reply": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        Failure.NOT_SSE,
    ),
    "429": (b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", Failure.HTTP_429),
    "401": (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", Failure.HTTP_4XX),
    "503": (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", Failure.HTTP_5XX),
    "302": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", Failure.HTTP_OTHER),
}


@pytest.mark.parametrize(("data", "failure"), FAULTS.values(), ids=FAULTS)
def test_every_answer_has_its_class(hostile: Any, data: bytes, failure: Failure | None) -> None:
    hostile.script = answering(data)
    outcome, client = ask(hostile.port)
    assert outcome.failure is failure, outcome
    tally = client.recorder.tally
    assert (tally.started, tally.completed) == (1, int(failure is None))
    assert dict(tally.failures) == ({} if failure is None else {failure: 1})
    (record,) = client.recorder.records
    assert record.failure is failure


def test_bytes_one_by_one_are_the_same_stream(hostile: Any) -> None:
    data = chunked(*WHOLE)

    def script(peer: Any) -> bool:
        for at in range(len(data)):
            peer.sendall(data[at : at + 1])
        return True

    hostile.script = script
    outcome, client = ask(hostile.port)
    assert outcome.failure is None
    (record,) = client.recorder.records
    assert b"".join(data for _, data in record.chunks) == b"".join(WHOLE)


@pytest.mark.parametrize(
    ("sent", "failure"),
    [(b"", Failure.RESET), (CHUNKED, Failure.RESET), (CHUNKED + piece(WHOLE[0]), Failure.RESET)],
    ids=["before the head", "after the head", "in the stream"],
)
def test_a_reset_is_told_from_a_close(hostile: Any, sent: bytes, failure: Failure) -> None:
    hostile.script = breaking(sent)
    outcome, client = ask(hostile.port)
    assert outcome.failure is failure
    assert client.recorder.records[0].ending is Ending.RESET


@pytest.mark.parametrize(
    ("sent", "bounds", "failure"),
    [
        (b"", SLOW, Failure.TIMEOUT_FIRST_BYTE),
        (CHUNKED + piece(WHOLE[0]), SLOW, Failure.TIMEOUT_IDLE),
        (
            CHUNKED + piece(WHOLE[0]),
            Bounds(connect=2, first_byte=5, idle=5, total=0.2),
            Failure.TIMEOUT_TOTAL,
        ),
    ],
    ids=["first byte", "idle", "total"],
)
def test_timeouts_are_told_apart(hostile: Any, sent: bytes, bounds: Bounds, failure: Failure) -> None:
    over = threading.Event()

    def script(peer: Any) -> bool:
        peer.sendall(sent)
        over.wait(5)
        return False

    hostile.script = script
    try:
        outcome, client = ask(hostile.port, bounds=bounds)
    finally:
        over.set()
    assert outcome.failure is failure
    assert outcome.seconds < 2
    assert client.recorder.records[0].ending is Ending.TIMEOUT


def test_nobody_listening_is_a_connect_failure(hostile: Any) -> None:
    port = hostile.port
    hostile.close()
    outcome, _ = ask(port)
    assert outcome.failure is Failure.CONNECT
    assert f"no connection to 127.0.0.1:{port}" in outcome.detail


def test_a_connection_serves_stream_after_stream(hostile: Any) -> None:
    hostile.script = answering(chunked(*WHOLE), keep=True)
    client = Client(plan_for(hostile.port))
    assert [client.one().failure for _ in range(5)] == [None] * 5
    client.close()
    assert hostile.connections == 1
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2])["user"] for request in hostile.requests]
    assert len(set(bodies)) == 5


def test_without_keep_alive_each_stream_connects(hostile: Any) -> None:
    hostile.script = answering(chunked(*WHOLE))
    client = Client(plan_for(hostile.port, keep_alive=False))
    assert [client.one().failure for _ in range(3)] == [None] * 3
    client.close()
    assert hostile.connections == 3
    assert all(b"\r\nConnection: close\r\n" in request for request in hostile.requests)


def test_a_connection_that_the_peer_closed_between_streams_is_replaced(hostile: Any) -> None:
    hostile.script = answering(chunked(*WHOLE))
    client = Client(plan_for(hostile.port))
    assert client.one().failure is None
    with gevent.Timeout(5):
        while client.connection.reusable:
            gevent.sleep(0.005)
    assert client.one().failure is None
    client.close()
    assert hostile.connections == 2


def test_several_events_in_one_read_are_one_arrival(hostile: Any) -> None:
    hostile.script = answering(chunked(*[event("x")] * 10, *WHOLE[2:]))
    _, client = ask(hostile.port)
    tally = client.recorder.tally
    assert tally.chunks == 10
    assert tally.histograms["icl"].count + tally.coalesced == 9
    assert tally.histograms["ttft"].count == 1


def test_times_are_those_of_the_server(hostile: Any) -> None:
    gaps = 6

    def script(peer: Any) -> bool:
        peer.sendall(CHUNKED)
        for number in range(gaps + 1):
            threading.Event().wait(0.06 if number == 0 else 0.03)
            peer.sendall(piece(event("x")))
        peer.sendall(b"".join(map(piece, WHOLE[2:])) + b"0\r\n\r\n")
        return False

    hostile.script = script
    outcome, client = ask(hostile.port)
    assert outcome.failure is None
    found = client.recorder.tally.histograms
    ttfb, ttft, gap = (found[name].lowest or 0 for name in ("ttfb", "ttft", "icl"))
    assert ttfb < ttft
    assert ttft >= 59_000
    assert gap >= 20_000
    assert found["icl"].count == gaps
    assert (found["e2e"].lowest or 0) >= ttft + gaps * 29_000


def test_streams_before_the_end_of_the_warm_up_are_checked_and_not_timed(hostile: Any) -> None:
    hostile.script = answering(chunked(*WHOLE))
    _, client = ask(hostile.port, warm_up=30.0)
    tally = client.recorder.tally
    assert tally.completed == 1
    assert not any(histogram.count for histogram in tally.histograms.values())


def test_a_stream_that_the_end_of_the_test_cuts_off_is_unfinished(hostile: Any) -> None:
    over = threading.Event()

    def script(peer: Any) -> bool:
        peer.sendall(CHUNKED + piece(WHOLE[0]))
        over.wait(5)
        return False

    hostile.script = script
    client = Client(plan_for(hostile.port))
    running = gevent.spawn(client.one)
    with gevent.Timeout(5):
        while not client.recorder.chunks:
            gevent.sleep(0.005)
    running.kill()
    over.set()
    client.close()
    tally = client.recorder.tally
    assert (tally.started, tally.unfinished, tally.failures.total()) == (1, 1, 0)
    assert client.recorder.records == []


def test_a_fault_of_ours_is_raised_and_counted_and_never_blamed_on_the_target(
    hostile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_stream: Any, _data: bytes) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(EventStream, "feed", broken)
    hostile.script = answering(chunked(*WHOLE))
    client = Client(plan_for(hostile.port))
    with pytest.raises(RuntimeError, match="a bug"):
        client.one()
    client.close()
    tally = client.recorder.tally
    assert tally.bugs == ["RuntimeError: a bug"]
    assert tally.failures.total() == tally.completed == 0


def test_a_text_of_another_stream_is_noticed(hostile: Any) -> None:
    hostile.script = answering(chunked(*WHOLE))
    outcome, _ = ask(hostile.port, text="Hello world")
    assert outcome.failure is None
    outcome, _ = ask(hostile.port, text=f"Hello {PLACEHOLDER}")
    assert outcome.failure is Failure.WRONG_TEXT


def test_records_are_bounded_in_number_and_size(hostile: Any) -> None:
    hostile.script = answering(chunked(event("x" * 3000), *WHOLE), keep=True)
    client = Client(plan_for(hostile.port, sample=2, keep_bytes=1000))
    for _ in range(4):
        assert client.one().failure is None
    client.close()
    assert [record.ending for record in client.recorder.records] == [Ending.TOO_LARGE] * 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    file = folder / "both.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(file), "-out", str(folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    file.write_bytes(file.read_bytes() + (folder / "cert.pem").read_bytes())
    return file


class _Secure:
    """Wraps each connection of a hostile server before its script reads from it."""

    def __init__(self, hostile: Any, file: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        plain = hostile._serve

        def serve(peer: Any) -> None:
            try:
                plain(context.wrap_socket(peer, server_side=True))
            except OSError:
                peer.close()

        hostile._serve = serve


def test_tls_streams_are_read_and_timed(hostile: Any, certificate: Path) -> None:
    _Secure(hostile, certificate)
    events = [event(f"word {number} ") for number in range(200)]
    hostile.script = answering(chunked(*events, *WHOLE[2:]), keep=True)
    url = f"https://127.0.0.1:{hostile.port}/v1/chat/completions"
    client = Client(plan_for(hostile.port, url=url, ca_file=str(certificate)))
    outcomes = [client.one() for _ in range(3)]
    client.close()
    assert [outcome.failure for outcome in outcomes] == [None] * 3
    assert hostile.connections == 1
    assert client.recorder.tally.histograms["tls"].count == 1
    assert client.recorder.tally.chunks == 600


def test_an_unknown_certificate_is_a_tls_failure(hostile: Any, certificate: Path) -> None:
    _Secure(hostile, certificate)
    hostile.script = answering(chunked(*WHOLE))
    url = f"https://127.0.0.1:{hostile.port}/v1/chat/completions"
    outcome, _ = ask(hostile.port, url=url)
    assert outcome.failure is Failure.TLS
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.detail
    assert ask(hostile.port, url=url, verify_tls=False)[0].failure is None


def test_plain_http_on_a_tls_port_is_a_tls_failure(hostile: Any) -> None:
    hostile.script = answering(b"")
    url = f"https://127.0.0.1:{hostile.port}/v1/chat/completions"
    outcome, _ = ask(hostile.port, url=url, bounds=Bounds(connect=0.3, first_byte=1, idle=1, total=2))
    assert outcome.failure in {Failure.TLS, Failure.TIMEOUT_CONNECT}


@pytest.mark.parametrize("users", [10, 100, 500])
def test_users_of_one_second_begin_evenly_over_it(users: int) -> None:
    calls = Calls(LoadPlan(lanes=()), Recorder(warm_up=0, sample=0, keep_failed=0))
    waits = sorted(calls.wait_to_begin() for _ in range(users))
    gaps = [later - earlier for earlier, later in pairwise([*waits, 1.0])]
    assert waits[0] == 0
    assert max(gaps) < 3 / users


def test_foreign_bytes_within_tls_break_the_stream_and_not_the_client(
    hostile: Any, certificate: Path
) -> None:
    _Secure(hostile, certificate)

    def script(peer: Any) -> bool:
        peer.sendall(CHUNKED + piece(WHOLE[0]))
        with socket.socket(fileno=os.dup(peer.fileno())) as raw:
            raw.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        return False

    hostile.script = script
    url = f"https://127.0.0.1:{hostile.port}/v1/chat/completions"
    outcome, client = ask(hostile.port, url=url, ca_file=str(certificate))
    assert outcome.failure is Failure.RESET
    assert "TLS: " in outcome.detail
    assert client.recorder.tally.bugs == []


def test_an_event_nested_beyond_measure_is_malformed(hostile: Any) -> None:
    hostile.script = answering(chunked(WHOLE[0], b"data: " + b"[" * 200_000 + b"\n\n", *WHOLE[1:]))
    assert ask(hostile.port)[0].failure is Failure.MALFORMED


def test_a_record_that_is_exactly_full_is_not_whole_if_more_came(hostile: Any) -> None:
    events = [event("x" * 100), *WHOLE]
    body = b"".join(events)

    def script(peer: Any) -> bool:
        peer.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
        for item in events:
            peer.sendall(item)
            threading.Event().wait(0.05)
        return False

    hostile.script = script
    _, client = ask(hostile.port, keep_bytes=len(events[0]))
    assert client.recorder.records[0].ending is Ending.TOO_LARGE
    _, client = ask(hostile.port, keep_bytes=len(body))
    assert client.recorder.records[0].ending is Ending.COMPLETE


def test_a_call_that_hangs_when_the_test_ends_has_failed(
    hostile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtests.hanging._LONG_NS", 100_000_000)
    over = threading.Event()

    def script(peer: Any) -> bool:
        if len(hostile.requests) <= 10:
            peer.sendall(chunked(*WHOLE))
            return True
        peer.sendall(CHUNKED + piece(WHOLE[0]))
        over.wait(10)
        return False

    hostile.script = script
    client = Client(plan_for(hostile.port))
    for _ in range(10):
        assert client.one().failure is None
    chunks = client.recorder.chunks
    running = gevent.spawn(client.one)
    with gevent.Timeout(5):
        while client.recorder.chunks == chunks:
            gevent.sleep(0.005)
    longest = client.calls._whole["chat"].longest / 1e9
    gevent.sleep(max(0.15, 2.1 * longest))
    running.kill()
    over.set()
    client.close()
    tally = client.recorder.tally
    assert (tally.completed, tally.unfinished, dict(tally.failures)) == (10, 0, {Failure.TIMEOUT_TOTAL: 1})
    assert "whole calls took at most" in client.recorder.records[-1].detail


def test_one_pause_of_the_client_is_as_many_late_turns_as_it_was_long() -> None:
    recorder = Recorder(warm_up=0, sample=0, keep_failed=0)
    recorder.begin()
    gevent.sleep(0.3)
    time.sleep(0.4)
    gevent.sleep(0.3)
    recorder.end()
    lag = recorder.tally.histograms[LAG]
    assert sum(times for cell, times in lag.cells.items() if middle_of(cell) > 100_000) >= 10
    assert (lag.quantile(0.9) or 0) > 50_000


def of_tasks(hostile: Any) -> dict[str, Any]:
    """What makes a plan one of media tasks."""
    return {"name": "tasks", "kind": "tasks", "follow": f"{hostile.url}/tasks/", "poll_s": 0.05}


def reply(document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def test_a_task_whose_connection_was_replaced_leaves_none_behind(hostile: Any) -> None:
    def script(peer: Any) -> bool:
        submitted = hostile.requests[-1].startswith(b"POST")
        peer.sendall(reply({"id": "t", "status": "queued" if submitted else "completed"}))
        return not submitted

    hostile.script = script
    client = Client(plan_for(hostile.port, **of_tasks(hostile)))
    for _ in range(3):
        assert client.one().failure is None
    client.close()
    for thread in hostile._threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in hostile._threads)


def test_a_target_that_refuses_to_be_asked_for_a_task_has_failed_it(hostile: Any) -> None:
    def script(peer: Any) -> bool:
        peer.sendall(reply({"id": "t", "status": "queued"}))
        hostile._listener.shutdown(socket.SHUT_RDWR)
        hostile._listener.close()
        return False

    hostile.script = script
    outcome, client = ask(hostile.port, **of_tasks(hostile))
    assert outcome.failure is Failure.CONNECT
    assert client.recorder.tally.bugs == []


def test_a_failed_task_with_an_error_in_it_is_a_failed_task(hostile: Any) -> None:
    def script(peer: Any) -> bool:
        submitted = hostile.requests[-1].startswith(b"POST")
        peer.sendall(
            reply(
                {"id": "t", "status": "queued"} if submitted else {"status": "failed", "error": {"code": "x"}}
            )
        )
        return True

    hostile.script = script
    outcome, _ = ask(hostile.port, **of_tasks(hostile))
    assert outcome.failure is Failure.TASK_FAILED
