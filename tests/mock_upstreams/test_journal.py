"""The journal: what an entry holds, its bounds, and the control API that hands it out."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams import FAULTS, Entry, Journal, SimulatorConfig
from mock_upstreams.journal import Follower

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Client

    Start = Callable[[SimulatorConfig], AbstractContextManager[Client]]
    Token = Callable[..., str]


def entry(name: str | None = None, body: bytes = b"") -> Entry:
    made = Entry("default", "openai", "chat", "POST", "/", "", (), None, 0, id=name)
    made.keep_body(body)
    return made


def test_an_entry_tells_what_arrived_and_what_was_sent(client: Client, token: Token, name: str) -> None:
    before = time.monotonic_ns()
    scenario = token(name, text="abcdef", chunks=3)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": scenario}]}
    headers = {"x-api-key": "0123456789wxyz", "cookie": "session=0123456789abcd", "x-other": "kept"}
    client.send("/u/alpha/v1/chat/completions?a=b", body, headers=headers)
    found = client.entry(name)
    raw = json.dumps(body).encode()
    times = ["arrived_ns", "head_sent_ns", "first_content_ns", "finished_ns"]
    arrived, finished = found["arrived_ns"], found["finished_ns"]
    moments = [before, *(found.pop(moment) for moment in times), time.monotonic_ns()]
    assert moments == sorted(moments)
    writes = found.pop("writes_us")
    assert writes == sorted(writes)
    assert 0 <= writes[0] <= writes[-1] <= (finished - arrived) // 1000
    assert found.pop("seq") > 0
    sent = found.pop("headers")
    assert found == {
        "id": name,
        "upstream": "alpha",
        "provider": "openai",
        "operation": "chat",
        "method": "POST",
        "path": "/u/alpha/v1/chat/completions",
        "query": "a=b",
        "credential_sha256": hashlib.sha256(b"0123456789wxyz").hexdigest()[:16],
        "body": raw.decode(),
        "body_truncated": False,
        "body_sha256": hashlib.sha256(raw).hexdigest(),
        "body_bytes": len(raw),
        "model": "m",
        "stream": True,
        "token": scenario,
        "status": 200,
        "events_sent": 3,
        "fault": None,
        "retry_after_s": None,
        "ending": "complete",
        "caller_left_ns": None,
        "caller_left_by": None,
    }
    assert (sent["x-api-key"], sent["cookie"], sent["authorization"]) == ("***wxyz", "***abcd", "***cdef")
    assert sent["x-other"] == "kept"


def test_no_secret_is_handed_out_in_full(client: Client, token: Token, name: str) -> None:
    client.chat(token(name))
    assert client.key.encode() not in client.send("/_wb/journal?since=0").body


def test_a_long_body_is_cut_but_hashed_in_full(client: Client, token: Token, name: str) -> None:
    content = token(name) + "é" * 50_000
    client.chat(content)
    found = client.entry(name)
    raw = json.dumps({"model": "gpt-5.5", "messages": [{"role": "user", "content": content}]}).encode()
    assert (found["body_truncated"], len(found["body"]), found["body_bytes"]) == (True, 65536, len(raw))
    assert found["body_sha256"] == hashlib.sha256(raw).hexdigest()


def test_the_token_is_found_behind_the_kept_part_of_a_body(client: Client, token: Token, name: str) -> None:
    client.chat("x" * 100_000 + token(name))
    assert client.entry(name)["token"] == token(name)


def test_one_id_may_own_several_calls(client: Client, token: Token, name: str) -> None:
    client.chat(token(name))
    client.messages(token(name))
    assert [found["provider"] for found in client.entries(name, name)] == ["openai", "anthropic"]


def test_requests_without_an_id_are_found_by_sequence(client: Client, token: Token, name: str) -> None:
    seq = client.cursor()
    client.chat(token(name))
    client.send("/v1/chat/completions", b"{broken", method="POST")
    client.send("/nowhere", {}, method="PUT")
    found = client.send("/_wb/journal/query", {"without_id_since": seq}).json()["entries"]
    assert [(item["path"], item["status"], item["provider"]) for item in found] == [
        ("/v1/chat/completions", 400, "openai"),
        ("/nowhere", 404, "unknown"),
    ]
    assert client.cursor() == seq + 3


def test_refused_calls_are_in_the_journal_under_their_id(client: Client, token: Token, name: str) -> None:
    client.send("/v1/messages", {"note": token(name)}, authorised=False)
    found = client.entry(name)
    assert (found["status"], found["ending"], found["credential_sha256"]) == (401, "complete", None)


@pytest.mark.parametrize("place", ["query", "header"])
def test_a_token_may_travel_in_query_or_header(client: Client, token: Token, name: str, place: str) -> None:
    scenario = token(name, text="a b")
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    if place == "query":
        encoded = scenario.replace("[", "%5B").replace("%20", "%2520").replace("]", "%5D")
        answer = client.send(f"/v1/chat/completions?s={encoded}", body)
    else:
        answer = client.send("/v1/chat/completions", body, headers={"x-wb-scenario": scenario})
    assert answer.json()["choices"][0]["message"]["content"] == "a b"
    assert client.entry(name)["token"] == scenario


def test_a_caller_who_leaves_in_mid_stream_is_noticed(client: Client, token: Token, name: str) -> None:
    content = token(name, chunks=1000, gap_ms=20)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": content}]}
    with client.open("/v1/chat/completions", body) as sock:
        assert b"200 OK" in sock.recv(65536)
        assert client.entries(name)[0]["ending"] == "open"
    found = client.entry(name)
    assert found["ending"] == "caller_left"
    assert found["caller_left_ns"] == found["finished_ns"]
    assert 0 < found["events_sent"] < 1000


def test_pages_start_after_a_sequence_number(client: Client) -> None:
    seq = client.cursor()
    for _ in range(3):
        client.chat()
    page = client.send(f"/_wb/journal?since={seq}&limit=2").json()
    assert [item["seq"] for item in page["entries"]] == [seq + 1, seq + 2]


def test_reset_forgets_entries_and_cache_but_not_the_count(start: Start) -> None:
    block = [{"type": "text", "text": "x" * 400, "cache_control": {"type": "ephemeral"}}]
    with start(SimulatorConfig()) as client:
        client.messages("q", system=block)
        assert client.send("/_wb/reset", method="POST").json() == {"seq": 1}
        assert client.send("/_wb/journal").json() == {"entries": [], "dropped": 0}
        assert client.messages("q", system=block).json()["usage"]["cache_read_input_tokens"] == 0
        assert client.cursor() == 2


def test_health_names_the_service(client: Client) -> None:
    body = client.send("/_wb/health", authorised=False).json()
    assert body["service"] == "weighbridge-simulator"
    assert 0 <= time.monotonic_ns() - body["monotonic_ns"] < 60e9
    assert body["version"]


def test_the_fault_table_is_served(client: Client) -> None:
    served = client.send("/_wb/faults").json()["faults"]
    assert [row["name"] for row in served] == list(FAULTS)
    assert set(served[0]) == {"name", "caller_sees", "surfaces", "streamed", "unstreamed", "by"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/_wb/journal/query", {}, 400, 'expected {"ids"'),
        ("POST", "/_wb/journal/query", {"ids": "x"}, 400, "ids: expected"),
        ("POST", "/_wb/journal/query", {"ids": [1]}, 400, "ids: expected"),
        ("POST", "/_wb/journal/query", {"without_id_since": -1}, 400, "without_id_since"),
        ("POST", "/_wb/journal/query", [], 400, "JSON object"),
        ("GET", "/_wb/journal?since=x", None, 400, "since: expected a whole number"),
        ("GET", "/_wb/journal?sinse=1", None, 400, "unknown parameter 'sinse'"),
        ("GET", "/_wb/nothing", None, 404, "no such control; known: /_wb/health"),
        ("GET", "/_wb/reset", None, 405, "use POST"),
    ],
)
def test_a_mistaken_control_request_is_told_so(
    client: Client, method: str, path: str, body: Any, status: int, says: str
) -> None:
    answer = client.send(path, body, method=method)
    assert answer.status == status
    assert says in answer.json()["error"]["message"]


def test_control_requests_leave_no_entry(client: Client) -> None:
    seq = client.cursor()
    client.send("/_wb/health")
    client.send("/_wb/nothing")
    assert client.cursor() == seq


def test_the_journal_drops_the_oldest_beyond_its_capacity() -> None:
    journal = Journal(capacity=3, capacity_bytes=10**9)
    for i in range(5):
        journal.add(entry(f"id{i % 2}"))
    assert (journal.dropped, [item.seq for item in journal.since(0)]) == (2, [3, 4, 5])
    assert [item.seq for item in journal.with_ids(["id0", "id1", "none"])] == [3, 4, 5]
    assert [item.seq for item in journal.with_ids(["id1"])] == [4]


def test_the_journal_drops_the_oldest_beyond_its_bytes() -> None:
    journal = Journal(capacity=100, capacity_bytes=10_000)
    for _ in range(5):
        journal.add(entry(body=b"x" * 4000))
    assert (journal.dropped, len(journal.since(0))) == (4, 1)


def test_the_first_ending_of_an_entry_stands() -> None:
    made = entry()
    made.finish("complete")
    made.caller_left()
    assert (made.ending, made.caller_left_ns) == ("complete", None)


def test_the_journal_is_bounded_by_what_headers_and_paths_cost_too() -> None:
    journal = Journal(capacity=100, capacity_bytes=100_000)
    for _ in range(5):
        made = Entry(
            "u", "openai", "chat", "POST", "/" + "p" * 5000, "q" * 5000, ((b"n", b"v" * 40_000),), None, 0
        )
        journal.add(made)
        assert journal.size_bytes <= journal.capacity_bytes
    assert (journal.dropped, len(journal.since(0))) == (4, 1)


def test_a_full_journal_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(capacity=2, capacity_bytes=10**9)
    for _ in range(5):
        journal.add(entry())
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == ["the journal is full"]
    assert json.loads(next(journal.ndjson(0))) == {"dropped": 3}


def test_the_journal_is_exported_as_lines(client: Client, token: Token, name: str) -> None:
    seq = client.cursor()
    client.chat(token(name))
    client.messages(token(name))
    answer = client.send(f"/_wb/journal/export?since={seq}")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [line["seq"] for line in lines if "seq" in line] == [seq + 1, seq + 2]
    assert lines[-1] == client.entries(name)[-1]


def test_the_journal_is_followed_as_it_grows(client: Client, token: Token, name: str) -> None:
    seq = client.cursor()
    with client.connect() as sock:
        sock.sendall(f"GET /_wb/journal/stream?since={seq} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        client.chat(token(f"{name}-slow", text="ab", chunks=2, gap_ms=60), stream=True)
        client.chat(token(name))
        received = b""
        while received.count(b'"finished_ns":') < 2:
            received += sock.recv(65536)
    found = [json.loads(line) for line in received.splitlines() if line.startswith(b"{")]
    assert [(line["id"], line["ending"]) for line in found] == [
        (f"{name}-slow", "complete"),
        (name, "complete"),
    ]


def test_a_follower_gets_every_entry_once_when_it_is_finished_and_is_told_what_it_missed() -> None:
    journal = Journal(capacity=2, capacity_bytes=10**9)
    follower = Follower(journal, 0)
    first, second = entry("a"), entry("b")
    journal.add(first)
    journal.add(second)
    second.finish("complete")
    assert [json.loads(line)["id"] for line in follower.lines()] == ["b"]
    assert follower.lines() == []
    first.finish("caller_left")
    assert [json.loads(line)["id"] for line in follower.lines()] == ["a"]
    for _ in range(4):
        made = entry("c")
        journal.add(made)
        made.finish("complete")
    assert [json.loads(line).get("missed") for line in follower.lines()] == [2, None, None]


def test_a_mistaken_follower_is_told_so(client: Client) -> None:
    assert "since: expected" in client.send("/_wb/journal/stream?since=x").json()["error"]["message"]
