"""The official OpenAI client for Python."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.clients.pictures import PIXEL
from tests.clients.places import Place, Places, says

MODELS = ("gpt-5.5", "claude-opus-4-8", "claude-sonnet-4-6")
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def client(place: Place, key: str | None = None) -> OpenAI:
    return OpenAI(base_url=place.openai, api_key=key or place.key, max_retries=0, timeout=20)


@pytest.mark.parametrize("model", MODELS)
def test_a_chat_is_answered_with_text_and_usage(place: Place, model: str) -> None:
    with client(place) as api:
        reply = api.chat.completions.create(
            model=model,
            max_tokens=200,
            messages=[{"role": "user", "content": says("Hello", text="Grüße 🌍", **{"in": 41, "out": 7})}],
        )
    assert reply.choices[0].message.content == "Grüße 🌍"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (41, 7)


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_arrives_piece_by_piece_and_ends(place: Place, model: str) -> None:
    prompt = says("Hello", text="one two three four", chunks=4)
    with (
        client(place) as api,
        api.chat.completions.create(
            model=model, max_tokens=200, stream=True, messages=[{"role": "user", "content": prompt}]
        ) as stream,
    ):
        chunks = [chunk for chunk in stream if chunk.choices]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three four"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]


def test_the_streaming_helper_assembles_a_whole_reply_with_usage(place: Place) -> None:
    prompt = says("Hello", text="assembled", **{"in": 12, "out": 3})
    with (
        client(place) as api,
        api.chat.completions.stream(
            model="gpt-5.5",
            messages=[{"role": "user", "content": prompt}],
            stream_options={"include_usage": True},
        ) as stream,
    ):
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "assembled"
    assert final.usage is not None
    assert final.usage.total_tokens == 15


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_is_taken(place: Place, model: str, streamed: bool) -> None:
    asked: Any = {"role": "user", "content": says("Weather?", tool="weather", args='{"city":"Oslo"}')}
    with client(place) as api:
        if streamed:
            with api.chat.completions.stream(
                model=model,
                max_tokens=200,
                messages=[asked],
                tools=[WEATHER],
            ) as stream:
                message: Any = stream.get_final_completion().choices[0].message
        else:
            message = (
                api.chat.completions.create(model=model, max_tokens=200, messages=[asked], tools=[WEATHER])
                .choices[0]
                .message
            )
        call = message.tool_calls[0]
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments) == {"city": "Oslo"}
        told: Any = {"role": "tool", "tool_call_id": call.id, "content": "4 degrees"}
        turn: Any = {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": call.function.model_dump(include={"name", "arguments"}),
                }
            ],
        }
        reply = api.chat.completions.create(
            model=model,
            max_tokens=200,
            messages=[asked, turn, told, {"role": "user", "content": says("And?", text="Cold")}],
            tools=[WEATHER],
        )
    assert reply.choices[0].message.content == "Cold"


@pytest.mark.parametrize("model", MODELS)
def test_a_picture_is_accepted_inline(place: Place, model: str) -> None:
    with client(place) as api:
        reply = api.chat.completions.create(
            model=model,
            max_tokens=200,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": says("What is it?", text="a pixel")},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                    ],
                }
            ],
        )
    assert reply.choices[0].message.content == "a pixel"


class _Answer(BaseModel):
    city: str
    degrees: int


def test_structured_output_is_parsed_into_its_model(place: Place) -> None:
    prompt = says("Weather as JSON", text='{"city":"Oslo","degrees":4}')
    with client(place) as api:
        reply = api.chat.completions.parse(
            model="gpt-5.5", messages=[{"role": "user", "content": prompt}], response_format=_Answer
        )
    assert reply.choices[0].message.parsed == _Answer(city="Oslo", degrees=4)


def test_models_can_be_listed(place: Place) -> None:
    with client(place) as api:
        assert "gpt-5.5" in {model.id for model in api.models.list()}


STATUSES = [
    (400, openai.BadRequestError),
    (401, openai.AuthenticationError),
    (402, openai.APIStatusError),
    (429, openai.RateLimitError),
    (500, openai.InternalServerError),
]


def _provoke(places: Places, status: int) -> None:
    place = places.gateway
    prompt, key = says("Hello"), place.key
    if status == 401:
        key = "sk-unknown"
    elif status == 402:
        key = places.broke_key
    elif status in {429, 500}:
        prompt = says("Hello", fault="status", status=status)
    content: Any = {"not": "a text"} if status == 400 else prompt
    with client(place, key) as api:
        api.chat.completions.create(model="gpt-5.5", messages=[{"role": "user", "content": content}])


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_each_error_status_of_the_gateway_raises_its_class(
    places: Places, status: int, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind) as caught:
        _provoke(places, status)
    assert caught.value.status_code == status
    assert caught.value.body, "the client found no error object in the envelope"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]


def test_the_ai_ml_surface_says_403_when_the_credit_is_used_up(places: Places) -> None:
    with client(places.aimlapi, places.broke_aimlapi_key) as api, pytest.raises(openai.PermissionDeniedError):
        api.chat.completions.create(
            model="anthropic/claude-opus-4-8",
            max_tokens=100,
            messages=[{"role": "user", "content": says("Hello")}],
        )


def test_the_ai_ml_surface_answers_the_client(places: Places) -> None:
    with client(places.aimlapi) as api:
        reply = api.chat.completions.create(
            model="anthropic/claude-opus-4-8",
            max_tokens=100,
            messages=[{"role": "user", "content": says("Hello", text="Hi")}],
        )
    assert reply.choices[0].message.content == "Hi"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", ["reset", "close", "end_early"])
def test_a_broken_upstream_stream_raises_and_never_looks_finished(
    places: Places, model: str, fault: str
) -> None:
    prompt = says("Hello", text="one two three four", chunks=4, fault=fault, after=2)
    finished = []
    with client(places.gateway) as api, pytest.raises(openai.APIError):  # noqa: PT012 - the error comes while reading
        stream = api.chat.completions.create(
            model=model, max_tokens=200, stream=True, messages=[{"role": "user", "content": prompt}]
        )
        finished += [chunk.choices[0].finish_reason for chunk in stream if chunk.choices]
    assert not any(finished)


def test_the_image_client_gets_a_task_and_no_picture(places: Places) -> None:
    """The task gateway answers a submission with a task, which the image client has no member for (docs/clients.md)."""
    with OpenAI(base_url=places.tasks_url, api_key=places.tasks_key, max_retries=0, timeout=20) as api:
        reply = api.images.generate(model="gpt-image-2", prompt=says("A bridge", duration_ms=10))
    assert reply.data is None
    extra = reply.model_extra or {}
    assert extra["id"].startswith("task_")
    assert extra["status"] == "processing"
