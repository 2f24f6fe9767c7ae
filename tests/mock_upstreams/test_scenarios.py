"""Where a scenario comes from, what wins, and what changes from one call to the next."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from mock_upstreams import SimulatorConfig
from mock_upstreams.library import Asked, Library
from mock_upstreams.scenario import Scenario, Token
from mock_upstreams.scenario_files import (
    SCHEMA_FILE,
    ScenarioFileError,
    file_schema,
    load_library,
    read_library,
)
from mock_upstreams.scenario_keys import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.mock_upstreams.conftest import Answer, Client

    Tokens = Callable[..., str]

FILE = """
scenarios:
  hello: {text: "hello from the file", in: 700000, out: 90000}
  flaky:
    sequence:
      - {status: 503, retry_after: 7}
      - {status: 429, retry_after: date+30}
      - {text: back again}
  busy: {requests_per_minute: 2}
  metered: {tokens_per_minute: 1000, in: 600}
  video: {duration_ms: 0, n: 2}
rules:
  - {use: hello, model: gpt-5.4*, headers: {x-tenant: blue}}
  - {use: flaky, upstream: shaky}
  - {use: video, provider: media}
"""


@pytest.fixture
def client(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]], tmp_path: Path
) -> Iterator[Client]:
    path = tmp_path / "scenarios.yaml"
    path.write_text(FILE)
    with start(SimulatorConfig(scenarios=str(path))) as found:
        yield found


def content(answer: Answer) -> Any:
    return answer.json()["choices"][0]["message"]["content"]


def call(
    client: Client, *, path: str = "/v1/chat/completions", model: str = "gpt-5.5", **headers: str
) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return client.send(path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_scenario_is_named_by_model_header_call_or_rule(client: Client, token: Tokens, name: str) -> None:
    assert content(call(client, model="wb-hello")) == "hello from the file"
    assert content(call(client, x_wb_scenario="hello")) == "hello from the file"
    assert content(client.chat(token(name, scenario="hello"))) == "hello from the file"
    assert content(call(client, model="gpt-5.4-mini", x_tenant="blue")) == "hello from the file"
    assert content(call(client, model="gpt-5.4-mini")) != "hello from the file"
    usage = call(client, model="wb-hello").json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (700_000, 90_000)


def test_the_keys_of_the_call_override_the_scenario_that_it_starts_from(
    client: Client, token: Tokens, name: str
) -> None:
    answer = client.chat(token(name, scenario="hello", text="mine")).json()
    assert answer["choices"][0]["message"]["content"] == "mine"
    assert answer["usage"]["prompt_tokens"] == 700_000


def test_the_header_wins_over_a_rule_and_a_rule_over_the_model_name(client: Client) -> None:
    assert content(call(client, model="gpt-5.4", x_tenant="blue")) == "hello from the file"
    assert call(client, model="gpt-5.4", x_tenant="blue", x_wb_scenario="flaky").status == 503
    assert call(client, model="wb-hello", path="/u/shaky/v1/chat/completions").status == 429


def test_a_sequence_goes_on_for_each_id_alone(client: Client, token: Tokens, name: str) -> None:
    for prefix in ("a", "b"):
        first, second, third, fourth = (
            client.chat(token(f"{prefix}{name}", scenario="flaky")) for _ in range(4)
        )
        assert (first.status, first.headers["retry-after"]) == (503, "7")
        assert (second.status, second.headers["retry-after"][-3:]) == (429, "GMT")
        assert content(third) == content(fourth) == "back again"


def test_a_sequence_can_be_written_into_the_call(client: Client, token: Tokens, name: str) -> None:
    steps = json.dumps([{"status": 500}, {"text": "fine"}])
    statuses = [client.chat(token(name, sequence=steps)).status for _ in range(3)]
    assert statuses == [500, 200, 200]


def test_a_fault_strikes_as_often_as_stated(client: Client, token: Tokens, name: str) -> None:
    statuses = [client.chat(token(name, status=503, times=2)).status for _ in range(4)]
    assert statuses == [503, 503, 200, 200]


def test_a_fault_strikes_within_its_window() -> None:
    library = read_library({"scenarios": {"down": {"status": 503, "window_ms": [100, 200]}}})

    def chosen(now: float) -> Scenario:
        asked = Asked("chat", "chat", False, None, "openai", "default", "/x", "wb-down", {}, now)
        return library.choose(asked)

    assert [chosen(5 + seconds).fault for seconds in (0, 0.15, 0.25)] == [None, "status", None]


def test_requests_beyond_the_limit_are_told_when_to_come_back(client: Client) -> None:
    statuses = [call(client, model="wb-busy") for _ in range(3)]
    assert [answer.status for answer in statuses] == [200, 200, 429]
    last = statuses[-1]
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert last.headers["x-ratelimit-limit-requests"] == "2"
    assert last.json()["error"]["code"] == "rate_limit_exceeded"
    assert [call(client, model="wb-metered").status for _ in range(2)] == [200, 429]


def test_polls_of_a_job_are_not_meant_by_a_rule_about_models(client: Client) -> None:
    submitted = client.send("/media/v1/jobs", {"kind": "image", "model": "m", "prompt": "p"}).json()
    deadline = time.monotonic() + 5
    while (poll := client.send(f"/media/v1/jobs/{submitted['job_id']}").json())["state"] != "succeeded":
        assert time.monotonic() < deadline
    assert len(poll["outputs"]) == 2


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"x-wb-scenario": "helo"}, "simulator: unknown scenario 'helo'; did you mean 'hello'?"),
        ({"x-wb-scenario": "not a name!"}, "neither a token [[wb:ID;...]] nor the name of a scenario"),
    ],
)
def test_an_unknown_scenario_is_refused_with_the_nearest_one(
    client: Client, headers: dict[str, str], says: str
) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    answer = client.send("/v1/chat/completions", body, headers=headers)
    assert answer.status == 400
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scenarios:\n  a: {txt: x}\n", ":2: scenarios.a.txt: unknown key 'txt'; did you mean 'text'?"),
        (
            "scenarios:\n  a:\n    sequence:\n      - {status: 500}\n      - statos: 3\n",
            ":5: scenarios.a.sequence[1].statos: unknown key 'statos'; did you mean 'status'?",
        ),
        (
            "scenarios:\n  a:\n    status: yes\n",
            ":3: scenarios.a.status: True is impossible; give an integer",
        ),
        ("scenarios:\n  a:\n    after: 3\n", ":2: scenarios.a: after= needs fault="),
        (
            "scenarios: {a: {in: 1}}\nrules:\n  - {use: b, model: x}\n",
            ":3: rules[0].use: unknown scenario 'b'",
        ),
        ("scenarios: {a: {in: 1}}\nrules:\n  - use: a\n", ":3: rules[0]: expected at least one of"),
        ("scenario: {}\n", ":1: scenario: unknown key 'scenario'; did you mean 'scenarios'?"),
        ("outages:\n  - {upstream: a, for_ms: -1}\n", ":2: outages[0].for_ms: expected milliseconds"),
        ("scenarios: [\n", ":2: not YAML"),
        (
            "scenarios: {a: {gap_ms: 'uniform:5:1'}}\n",
            "give milliseconds from 0 to 60000, or uniform:LOW:HIGH",
        ),
        ("scenarios: {a: {window_ms: [5, 5], status: 500}}\n", "END above START"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_line_and_path(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioFileError) as refused:
        load_library(str(path))
    assert str(refused.value).startswith(str(path))
    assert says in str(refused.value)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(ScenarioFileError, match="No such file or directory; give the path"):
        load_library("/nowhere/at/all.yaml")


def test_the_published_schema_is_the_one_that_is_read_by() -> None:
    published = json.loads(SCHEMA_FILE.read_text())
    assert published == file_schema()
    Draft202012Validator.check_schema(published)
    judge = Draft202012Validator(published)
    judge.validate(yaml.safe_load(FILE))
    assert not judge.is_valid({"scenarios": {"a": {"txt": "x"}}})
    assert set(KEYS) - {"scenario"} == set(published["$defs"]["scenario"]["properties"])


def test_what_is_kept_for_sequences_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mock_upstreams.library._MAX_TURNS", 3)
    library = Library()
    library.put("s", {"sequence": ({"status": 500}, {})})

    def chosen(name: str) -> str | None:
        token = Token(f"[[wb:{name};scenario=s]]", name)
        asked = Asked("chat", "chat", False, token, "openai", "default", "/x", "m", {}, 0.0)
        return library.choose(asked).fault

    assert [chosen(name) for name in ("a", "a", "b", "c", "d", "d")] == [
        "status",
        None,
        *["status"] * 3,
        None,
    ]
    assert chosen("a") == "status"
    assert library.remove("s")
    assert not library.remove("s")
