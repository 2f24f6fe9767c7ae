"""The control API: what its description says, what it changes, and who may use it."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import mock_upstreams
from mock_upstreams import SimulatorConfig
from mock_upstreams.callbacks import Callbacks
from mock_upstreams.control import FOLLOW, OPERATIONS
from mock_upstreams.listeners import require_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Answer, Client

    Tokens = Callable[..., str]
    Start = Callable[[SimulatorConfig], AbstractContextManager[Client]]

DESCRIPTION = yaml.safe_load(Path(mock_upstreams.__file__).with_name("control.openapi.yaml").read_text())


def template(path: str) -> str:
    """A path of the description as the table of operations has it."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def checked(method: str, path: str, answer: Answer) -> Any:
    """The body of an answer, once it is known to be as described."""
    operation = DESCRIPTION["paths"][path][method.lower()]
    described = operation["responses"]["200" if answer.status == 200 else "default"]["content"]
    if "application/x-ndjson" in described:
        lines = [json.loads(line) for line in answer.body.splitlines()]
        judge = Draft202012Validator(
            {**described["application/x-ndjson"]["schema"], "components": DESCRIPTION["components"]}
        )
        for line in lines:
            judge.validate(line)
        return lines
    schema = described["application/json"]["schema"]
    Draft202012Validator({**schema, "components": DESCRIPTION["components"]}).validate(answer.json())
    return answer.json()


@pytest.fixture
def control(start: Start) -> Iterator[Callable[..., Any]]:
    """Make a control request, have its answer checked, and get its body."""
    with start(SimulatorConfig()) as client:

        def request(method: str, path: str, body: Any = None, *, status: int = 200, **arguments: Any) -> Any:
            answer = client.send(path.format(**arguments), body, method=method)
            assert answer.status == status, answer.body
            return checked(method, path, answer)

        request.client = client  # type: ignore[attr-defined]
        yield request


def chat(control: Any, text: str = "Hello", **fields: Any) -> Answer:
    answer: Answer = control.client.chat(text, **fields)
    return answer


def test_every_operation_is_described_and_the_reverse() -> None:
    validate(DESCRIPTION)
    described = {
        (template(path), method.upper()) for path, item in DESCRIPTION["paths"].items() for method in item
    }
    served = {(path, method) for path, by_method in OPERATIONS.items() for method in by_method}
    assert described == {*served, (FOLLOW, "GET")}


def test_reading_answers_as_described(control: Any) -> None:
    chat(control, "[[wb:described;fault=no_usage]]", stream=True)
    control("GET", "/_wb/health")
    assert "invalid_utf8" in {fault["name"] for fault in control("GET", "/_wb/faults")["faults"]}
    control("GET", "/_wb/journal/cursor")
    assert len(control("GET", "/_wb/journal")["entries"]) == 1
    assert len(control("GET", "/_wb/journal/export")) == 1
    assert len(control("POST", "/_wb/journal/query", {"ids": ["described"]})["entries"]) == 1
    control("POST", "/_wb/journal/query", {"ids": 5}, status=400)
    control("GET", "/_wb/callbacks")
    control("POST", "/_wb/reset")


def test_a_scenario_is_defined_used_bound_and_forgotten(control: Any) -> None:
    scenario = {"text": "by control", "in": 5, "gap_ms": "uniform:0:1"}
    put = control("PUT", "/_wb/scenarios/{name}", scenario, name="mine")
    assert (
        put == control("GET", "/_wb/scenarios/{name}", name="mine") == {"name": "mine", "scenario": scenario}
    )
    assert control("GET", "/_wb/scenarios")["scenarios"] == {"mine": scenario}
    assert chat(control, model="wb-mine").json()["usage"]["prompt_tokens"] == 5
    bound = control("POST", "/_wb/bindings", {"use": "mine", "id": "meant"})
    assert control("GET", "/_wb/bindings")["bindings"] == [bound]
    assert chat(control, "[[wb:meant]]").json()["choices"][0]["message"]["content"] == "by control"
    assert chat(control, "[[wb:other]]").json()["choices"][0]["message"]["content"] != "by control"
    control("DELETE", "/_wb/bindings/{number}", number=bound["number"])
    control("DELETE", "/_wb/bindings/{number}", number=bound["number"], status=404)
    assert chat(control, "[[wb:meant]]").json()["choices"][0]["message"]["content"] != "by control"
    control("DELETE", "/_wb/scenarios/{name}", name="mine")
    control("DELETE", "/_wb/scenarios/{name}", name="mine", status=404)
    control("GET", "/_wb/scenarios/{name}", name="mine", status=404)
    assert "unknown scenario 'mine'" in chat(control, model="wb-mine").json()["error"]["message"]


@pytest.mark.parametrize(
    ("scenario", "path", "says"),
    [
        ({"txt": "x"}, "txt", "unknown key 'txt'; did you mean 'text'?"),
        (
            {"sequence": [{"status": 500}, {"statos": 1}]},
            "sequence[1].statos",
            "unknown key 'statos'; did you mean 'status'?",
        ),
        ({"sequence": [{}, {"after": 1}]}, "sequence[1]", "after= needs fault="),
        ({"in": -1}, "in", "-1 is impossible; give an integer from 0 to 1000000000"),
        ({"tool_calls": [{"nome": "x"}]}, "tool_calls", "impossible; give 1 to 32 objects"),
        ({"status": 503, "times": 0}, "times", "0 is impossible; give an integer from 1 to 1000"),
    ],
)
def test_a_wrong_scenario_is_refused_with_the_path_of_its_mistake(
    control: Any, scenario: dict[str, Any], path: str, says: str
) -> None:
    error = control("PUT", "/_wb/scenarios/{name}", scenario, name="wrong", status=400)["error"]
    assert error["path"] == path
    assert says in error["message"]


def test_an_outage_lasts_as_long_as_planned(control: Any) -> None:
    planned = control("POST", "/_wb/outages", {"model": "gpt-5.5", "for_ms": 400, "status": 502})
    assert control("GET", "/_wb/outages")["outages"][0]["number"] == planned["number"]
    assert chat(control).status == 502
    assert chat(control, model="gpt-5.4").status == 200
    deadline = time.monotonic() + 5
    while chat(control).status == 502:
        assert time.monotonic() < deadline
    assert chat(control).status == 200
    later = control("POST", "/_wb/outages", {"upstream": "default", "after_ms": 60_000, "for_ms": 1})
    control("DELETE", "/_wb/outages/{number}", number=later["number"])
    control("DELETE", "/_wb/outages/{number}", number=later["number"], status=404)
    control("POST", "/_wb/outages", {"for_ms": "x"}, status=400)


def test_an_outage_can_close_connections(control: Any) -> None:
    control("POST", "/_wb/outages", {"provider": "openai", "for_ms": 5000, "fault": "reset_before_headers"})
    assert chat(control).ended == "rst"
    assert control.client.messages().status == 200
    control("POST", "/_wb/reset")
    assert chat(control).status == 200


def connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except ConnectionRefusedError:
        return False


def test_a_listener_refuses_connections_for_a_while_and_comes_back(control: Any) -> None:
    opened = control("POST", "/_wb/listeners", {})
    port = int(opened["url"].rpartition(":")[2])
    assert not opened["refusing"]
    assert connects(port)
    refusing = control("POST", "/_wb/listeners/{number}/refuse", {"for_ms": 400}, number=opened["number"])
    assert refusing == {**opened, "refusing": True}
    assert not connects(port)
    assert chat(control).status == 200
    deadline = time.monotonic() + 5
    while not connects(port):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    control.client.port = port
    assert chat(control).status == 200
    control.client.port = control.client.simulator.port
    assert control("GET", "/_wb/listeners")["listeners"] == [opened]
    control("DELETE", "/_wb/listeners/{number}", number=opened["number"])
    assert not connects(port)
    control("DELETE", "/_wb/listeners/{number}", number=opened["number"], status=404)
    control("POST", "/_wb/listeners", {"port": 70_000}, status=400)


def test_off_loopback_a_token_is_needed(start: Start) -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "example.com"):
        with pytest.raises(ValueError, match="set control_token"):
            require_token(host, None)
        require_token(host, "t")
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        require_token(host, None)
    with start(SimulatorConfig(control_token="right-token")) as client:
        assert client.send("/_wb/health", authorised=False).status == 200
        assert client.send("/_wb/journal").status == 401
        assert client.send("/_wb/journal", authorised=False).status == 401
        assert client.send("/_wb/journal/stream").status == 401
        right = {"authorization": "Bearer right-token"}
        assert client.send("/_wb/journal", authorised=False, headers=right).status == 200


class _Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it; answers with the statuses that its server still has to give."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        server.received.append((dict(self.headers), body))
        self.send_response(server.statuses.pop(0) if server.statuses else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so by the library
        del format, args


@contextmanager
def receiver(*statuses: int) -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.received, server.statuses = [], list(statuses)
    server.url = f"http://127.0.0.1:{server.server_address[1]}/done"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def submit(control: Any, url: str, text: str) -> str:
    body = {"kind": "image", "model": "m", "prompt": text, "webhook_url": url}
    job_id: str = control.client.send("/media/v1/jobs", body).json()["job_id"]
    return job_id


def delivered(control: Any, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 10
    while len(found := control("GET", "/_wb/callbacks")["callbacks"]) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return list(found)


def test_a_callback_whose_timer_rings_early_tells_of_the_end_all_the_same(
    control: Any, token: Tokens, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Callbacks.schedule

    def at_once(callbacks: Callbacks, job: str, url: str, _delay_s: float, times: int, body: Any) -> None:
        schedule(callbacks, job, url, 0.0, times, body)

    monkeypatch.setattr(Callbacks, "schedule", at_once)
    with receiver(200) as server:
        submit(control, server.url, token(name, duration_ms=60_000))
        delivered(control, 1)
        _, body = server.received[-1]
    assert json.loads(body)["state"] == "succeeded"


@pytest.mark.parametrize(("outcome", "state"), [("completed", "succeeded"), ("failed", "failed")])
def test_a_callback_carries_the_finished_job_and_a_signature(
    control: Any, token: Tokens, name: str, outcome: str, state: str
) -> None:
    with receiver(500) as server:
        job_id = submit(control, server.url, token(name, outcome=outcome, duration_ms=10))
        attempts = delivered(control, 2)
        assert [attempt["status"] for attempt in attempts] == [500, 200]
        headers, body = server.received[-1]
    assert json.loads(body) == control.client.send(f"/media/v1/jobs/{job_id}").json()
    assert json.loads(body)["state"] == state
    headers = {key.lower(): value for key, value in headers.items()}
    seal = hmac.new(
        SimulatorConfig().callback_secret.encode(),
        headers["x-callback-timestamp"].encode() + b"." + body,
        hashlib.sha256,
    ).hexdigest()
    assert headers["x-callback-signature"] == f"sha256={seal}"
    assert headers["x-callback-id"] == job_id


def test_a_callback_comes_twice_or_never_as_asked(control: Any, token: Tokens, name: str) -> None:
    with receiver() as server:
        never = submit(control, server.url, token(f"n{name}", fault="callback_never", duration_ms=0))
        twice = submit(control, server.url, token(f"t{name}", fault="callback_twice", duration_ms=5))
        assert [attempt["job_id"] for attempt in delivered(control, 2)] == [twice, twice]
        assert control.client.send(f"/media/v1/jobs/{never}").json()["state"] == "succeeded"
        assert [json.loads(body)["job_id"] for _, body in server.received] == [twice, twice]


def test_a_callback_to_nowhere_is_given_up_and_told(control: Any, token: Tokens, name: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        submit(control, f"http://127.0.0.1:{closed.getsockname()[1]}/x", token(name, duration_ms=0))
        assert {attempt["status"] for attempt in delivered(control, 3)} == {None}


def test_links_expire_with_the_status_asked_for(control: Any, token: Tokens, name: str) -> None:
    def links(**keys: Any) -> list[str]:
        body = {"kind": "image", "model": "m", "prompt": token(name, duration_ms=0, **keys)}
        job_id = control.client.send("/media/v1/jobs", body).json()["job_id"]
        outputs = control.client.send(f"/media/v1/jobs/{job_id}").json()["outputs"]
        return ["/media" + output["url"].partition("/media")[2] for output in outputs]

    (lasting,), (gone,) = links(expires_ms=60_000), links(expires_ms=0)
    (forbidden,) = links(expires_ms=0, expired_status=403)
    statuses = [control.client.send(path).status for path in (lasting, gone, forbidden)]
    assert statuses == [200, 410, 403]


def test_a_result_that_changes_names_other_outputs_from_the_second_poll_on(
    control: Any, token: Tokens, name: str
) -> None:
    body = {"kind": "image", "model": "m", "prompt": token(name, duration_ms=0, fault="result_changes")}
    path = f"/media/v1/jobs/{control.client.send('/media/v1/jobs', body).json()['job_id']}"
    first, second, third = (control.client.send(path).json()["outputs"] for _ in range(3))
    assert first != second == third
    for outputs in (first, second):
        assert control.client.send("/media" + outputs[0]["url"].partition("/media")[2]).status == 200
