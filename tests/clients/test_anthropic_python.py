"""The official Anthropic client for Python."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.clients.pictures import PIXEL
from tests.clients.places import Place, Places, says

MODELS = ("claude-opus-4-8", "claude-sonnet-4-6")
WEATHER: Any = {
    "name": "weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def client(place: Place, key: str | None = None) -> Anthropic:
    return Anthropic(base_url=place.anthropic, api_key=key or place.key, max_retries=0, timeout=20)


def _user(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("model", MODELS)
def test_a_message_is_answered_with_a_text_block_and_usage(place: Place, model: str) -> None:
    with client(place) as api:
        reply = api.messages.create(
            model=model,
            max_tokens=200,
            messages=_user(says("Hello", text="Grüße", **{"in": 41, "out": 7})),
        )
    assert [block.type for block in reply.content] == ["text"]
    assert reply.content[0].text == "Grüße"  # type: ignore[union-attr]
    assert reply.stop_reason == "end_turn"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (41, 7)


@pytest.mark.parametrize("model", MODELS)
def test_the_streaming_helper_yields_text_and_a_final_message(place: Place, model: str) -> None:
    prompt = says("Hello", text="one two three four", chunks=4, **{"in": 41, "out": 7})
    with (
        client(place) as api,
        api.messages.stream(model=model, max_tokens=200, messages=_user(prompt)) as stream,
    ):
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == "one two three four"
    assert len(pieces) > 1
    assert final.usage.output_tokens == 7


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_is_taken(place: Place, streamed: bool) -> None:
    asked = says("Weather?", tool="weather", args='{"city":"Oslo"}')
    with client(place) as api:
        if streamed:
            with api.messages.stream(
                model=MODELS[0], max_tokens=200, messages=_user(asked), tools=[WEATHER]
            ) as stream:
                reply: Any = stream.get_final_message()
        else:
            reply = api.messages.create(
                model=MODELS[0], max_tokens=200, messages=_user(asked), tools=[WEATHER]
            )
        assert reply.stop_reason == "tool_use"
        call = next(block for block in reply.content if block.type == "tool_use")
        assert call.input == {"city": "Oslo"}
        result: Any = [
            {"type": "tool_result", "tool_use_id": call.id, "content": "4 degrees"},
            {"type": "text", "text": says("And?", text="Cold")},
        ]
        second = api.messages.create(
            model=MODELS[0],
            max_tokens=200,
            tools=[WEATHER],
            messages=[
                *_user(asked),
                {
                    "role": "assistant",
                    "content": [block.model_dump(exclude_none=True) for block in reply.content],
                },
                {"role": "user", "content": result},
            ],
        )
    assert second.content[0].text == "Cold"  # type: ignore[union-attr]


def test_a_picture_is_accepted_inline(place: Place) -> None:
    content: Any = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "text", "text": says("What is it?", text="a pixel")},
    ]
    with client(place) as api:
        reply = api.messages.create(
            model=MODELS[0], max_tokens=200, messages=[{"role": "user", "content": content}]
        )
    assert reply.content[0].text == "a pixel"  # type: ignore[union-attr]


@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_comes_before_the_text(place: Place, streamed: bool) -> None:
    wanted: Any = {
        "model": MODELS[0],
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": _user(says("Think", text="Done")),
    }
    with client(place) as api:
        if streamed:
            with api.messages.stream(**wanted) as stream:
                reply = stream.get_final_message()
        else:
            reply = api.messages.create(**wanted)
    kinds = [block.type for block in reply.content]
    assert kinds[0] == "thinking"
    assert kinds[-1] == "text"


def test_cached_tokens_are_shown(place: Place) -> None:
    with client(place) as api:
        reply = api.messages.create(
            model=MODELS[0],
            max_tokens=200,
            messages=_user(says("Hello", cached=30, written=20, **{"in": 100, "out": 5})),
        )
    usage = reply.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (
        50,
        30,
        20,
    )


STATUSES = [
    (400, anthropic.BadRequestError),
    (401, anthropic.AuthenticationError),
    (402, anthropic.APIStatusError),
    (429, anthropic.RateLimitError),
    (500, anthropic.InternalServerError),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_each_error_status_of_the_gateway_raises_its_class(
    places: Places, status: int, kind: type[anthropic.APIStatusError]
) -> None:
    prompt, key = says("Hello"), places.gateway.key
    if status == 401:
        key = "sk-unknown"
    elif status == 402:
        key = places.broke_key
    elif status in {429, 500}:
        prompt = says("Hello", fault="status", status=status)
    role: Any = "narrator" if status == 400 else "user"
    with client(places.gateway, key) as api, pytest.raises(kind) as caught:
        api.messages.create(model=MODELS[0], max_tokens=100, messages=[{"role": role, "content": prompt}])
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["message"]


@pytest.mark.parametrize("fault", ["reset", "close", "end_early"])
def test_a_broken_upstream_stream_raises_and_never_looks_finished(places: Places, fault: str) -> None:
    prompt = says("Hello", text="one two three four", chunks=4, fault=fault, after=2)
    kinds: list[str] = []
    with client(places.gateway) as api, pytest.raises(anthropic.APIError):  # noqa: PT012 - the error comes while reading
        stream = api.messages.create(model=MODELS[0], max_tokens=200, stream=True, messages=_user(prompt))
        kinds.extend(event.type for event in stream)
    assert kinds[0] == "message_start"
    assert "message_stop" not in kinds
    assert "message_delta" not in kinds


def test_a_bearer_token_is_accepted_in_place_of_the_key(places: Places) -> None:
    with Anthropic(
        base_url=places.gateway.anthropic, auth_token=places.gateway.key, max_retries=0, timeout=20
    ) as api:
        reply = api.messages.create(model=MODELS[0], max_tokens=100, messages=_user(says("Hello", text="Hi")))
    assert reply.content[0].text == "Hi"  # type: ignore[union-attr]
