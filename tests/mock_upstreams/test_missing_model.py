"""A request without a model is refused as the provider would, in its own words, whatever else it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pytest

from mock_upstreams import SimulatorConfig, running_simulator

if TYPE_CHECKING:
    from tests.mock_upstreams.conftest import Client

MESSAGES = [{"role": "user", "content": "Hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 9},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("given", [{}, {"model": None}, {"model": ""}, {"model": 7}, {"model": ["gpt-5.5"]}])
@pytest.mark.parametrize("more", [{}, {"stream": True}])
def test_a_request_without_a_model_is_refused(
    client: Client, path: str, given: dict[str, Any], more: dict[str, Any]
) -> None:
    if path.endswith("count_tokens"):
        more = {}
    answer = client.send(path, {**BODIES[path], **given, **more})
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    body = answer.json()
    assert body["error"]["type"] == "invalid_request_error"
    assert "model" in body["error"]["message"]
    if path.startswith("/v1/messages"):
        assert body["type"] == "error"
        assert body["request_id"] == answer.headers["request-id"]
        if given.get("model") is None:
            assert body["error"]["message"] == "model: Field required"
    else:
        assert body["error"]["param"] == "model"
        if given.get("model") is None:
            assert body["error"]["message"] == "you must provide a model parameter"


def test_a_scenario_does_not_stand_in_for_the_model(client: Client, name: str) -> None:
    body = {"messages": [{"role": "user", "content": f"[[wb:{name};text=Hello]]"}]}
    assert client.send("/v1/chat/completions", body).status == 400
    assert client.entry(name)["model"] is None


def test_the_official_clients_raise_their_error_for_it() -> None:
    with running_simulator(SimulatorConfig()) as simulator:
        with (
            openai.OpenAI(base_url=simulator.openai_url, api_key="k", max_retries=0) as client,
            pytest.raises(openai.BadRequestError, match="model"),
        ):
            client.post("/chat/completions", body={"messages": MESSAGES}, cast_to=httpx.Response)
        with (
            anthropic.Anthropic(base_url=simulator.url, api_key="k", max_retries=0) as claude,
            pytest.raises(anthropic.BadRequestError, match="model: Field required"),
        ):
            claude.post("/v1/messages", body={"messages": MESSAGES, "max_tokens": 9}, cast_to=httpx.Response)
