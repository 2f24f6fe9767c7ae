"""The Responses API keeps what it answered: a conversation goes on, is read again, and is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from mock_upstreams import SimulatorConfig, running_simulator
from mock_upstreams.refusals import Refusal
from mock_upstreams.response_store import ResponseStore, Stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Answer, Client

    Token = Callable[..., str]


def respond(client: Client, text: str, **fields: Any) -> Answer:
    return client.send("/v1/responses", {"model": "gpt-5.5", "input": text, **fields})


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_goes_on_and_its_length_is_counted(
    client: Client, token: Token, name: str, *, stream: bool
) -> None:
    text = token(name, text="a" * 400)
    first = respond(client, text, stream=stream)
    body = first.events()[-1].json()["response"] if stream else first.json()
    alone = respond(client, "And then?").json()["usage"]["input_tokens"]
    second = respond(client, "And then?", previous_response_id=body["id"]).json()
    assert second["previous_response_id"] == body["id"]
    assert second["usage"]["input_tokens"] == alone + body["usage"]["total_tokens"]
    third = respond(client, "And then?", previous_response_id=second["id"]).json()
    assert third["usage"]["input_tokens"] == alone + second["usage"]["total_tokens"]


def test_a_response_is_read_again_as_it_was_and_deleted_once(client: Client, token: Token, name: str) -> None:
    made = respond(client, token(name, text="to be kept", out=12)).json()
    path = f"/v1/responses/{made['id']}"
    read = client.send(path)
    assert (read.status, read.json()) == (200, made)
    gone = client.send(path, method="DELETE")
    assert (gone.status, gone.json()) == (200, {"id": made["id"], "object": "response", "deleted": True})
    for method in ("GET", "DELETE"):
        answer = client.send(path, method=method)
        assert answer.status == 404
        assert answer.json()["error"]["code"] == "response_not_found"
        assert made["id"] in answer.json()["error"]["message"]


def test_what_is_not_there_cannot_be_gone_on_with(client: Client, token: Token, name: str) -> None:
    deleted = respond(client, token(name)).json()["id"]
    client.send(f"/v1/responses/{deleted}", method="DELETE")
    unstored = respond(client, "secret", store=False).json()["id"]
    for previous in ("resp_unknown", deleted, unstored, 7):
        answer = respond(client, "And then?", previous_response_id=previous)
        assert answer.status == 400
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")


def test_nobody_sees_what_another_credential_stored(client: Client, token: Token, name: str) -> None:
    made = respond(client, token(name)).json()["id"]
    other = {"authorization": "Bearer sk-somebody-else"}
    for method in ("GET", "DELETE"):
        answer = client.send(f"/v1/responses/{made}", method=method, headers=other, authorised=False)
        assert answer.status == 404
    body = {"model": "gpt-5.5", "input": "Hi", "previous_response_id": made}
    assert client.send("/v1/responses", body, headers=other, authorised=False).status == 400
    assert client.send(f"/v1/responses/{made}").status == 200


def test_another_method_is_not_allowed_there(client: Client) -> None:
    answer = client.send("/v1/responses/resp_1", {}, method="PUT")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, DELETE")


def test_reset_forgets_responses(start: Callable[[SimulatorConfig], AbstractContextManager[Client]]) -> None:
    with start(SimulatorConfig()) as client:
        made = respond(client, "Hi").json()["id"]
        client.send("/_wb/reset", {})
        assert client.send(f"/v1/responses/{made}").status == 404


def test_responses_are_bounded_by_number_and_by_bytes() -> None:
    store = ResponseStore(3)
    for number in range(5):
        store.add("k", f"r{number}", Stored(b"x", 1))
    with pytest.raises(Refusal):
        store.find("k", "r1")
    assert store.find("k", "r2").tokens == 1
    large = ResponseStore(1000)
    for number in range(9):
        large.add("k", f"r{number}", Stored(bytes(16 * 1024 * 1024), 1))
    with pytest.raises(Refusal):
        large.find("k", "r4")
    assert large.find("k", "r5")


def test_the_official_client_goes_on_reads_and_deletes() -> None:
    with (
        running_simulator() as simulator,
        openai.OpenAI(base_url=simulator.openai_url, api_key="k") as client,
    ):
        first = client.responses.create(model="gpt-5.5", input="[[wb:a;text=Once%20upon%20a%20time]]")
        assert first.output_text == "Once upon a time"
        second = client.responses.create(model="gpt-5.5", input="Go on", previous_response_id=first.id)
        assert second.usage is not None
        assert first.usage is not None
        assert second.usage.input_tokens > first.usage.total_tokens
        with client.responses.stream(
            model="gpt-5.5", input="[[wb:b;text=and%20so%20on;chunks=3]]", previous_response_id=second.id
        ) as stream:
            assert stream.get_final_response().output_text == "and so on"
        assert client.responses.retrieve(first.id) == first
        client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(first.id)
        with pytest.raises(openai.BadRequestError, match="not found"):
            client.responses.create(model="gpt-5.5", input="Go on", previous_response_id=first.id)
