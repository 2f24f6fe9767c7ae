"""langchain-openai, the wrapper that many applications use in place of the client."""

from __future__ import annotations

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.clients.pictures import PIXEL
from tests.clients.places import Place, Places, says

MODELS = ("gpt-5.5", "claude-opus-4-8")


def chat(place: Place, model: str, key: str | None = None) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=place.openai,
        api_key=key or place.key,  # type: ignore[arg-type]
        model=model,
        max_retries=0,
        timeout=20,
        # The wrapper's own `max_tokens` goes out as `max_completion_tokens`, which the Claude pages do not know.
        extra_body={"max_tokens": 200} if model.startswith("claude") else None,
    )


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"{city}: 4 degrees"


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_has_text_and_usage(place: Place, model: str) -> None:
    reply = chat(place, model).invoke(says("Hello", text="Hi", **{"in": 41, "out": 7}))
    assert reply.content == "Hi"
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["input_tokens"] == 41


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_adds_up_to_the_text(place: Place, model: str) -> None:
    pieces = [
        str(piece.content) for piece in chat(place, model).stream(says("Hello", text="one two", chunks=2))
    ]
    assert "".join(pieces) == "one two"


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_round_trip(place: Place, model: str) -> None:
    bound = chat(place, model).bind_tools([weather])
    asked = HumanMessage(says("Weather?", tool="weather", args='{"city":"Oslo"}'))
    reply = bound.invoke([asked])
    assert isinstance(reply, AIMessage)
    call = reply.tool_calls[0]
    assert call["args"] == {"city": "Oslo"}
    result = ToolMessage(weather.invoke(call["args"]), tool_call_id=str(call["id"]))
    final = bound.invoke([asked, reply, result, HumanMessage(says("And?", text="Cold"))])
    assert final.content == "Cold"


@pytest.mark.parametrize("model", MODELS)
def test_a_picture_is_accepted_inline(place: Place, model: str) -> None:
    reply = chat(place, model).invoke(
        [
            HumanMessage(
                [
                    {"type": "text", "text": says("What is it?", text="a pixel")},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ]
            )
        ]
    )
    assert reply.content == "a pixel"


def test_errors_keep_their_class(places: Places) -> None:
    with pytest.raises(openai.AuthenticationError):
        chat(places.gateway, "gpt-5.5", "sk-unknown").invoke(says("Hello"))
    with pytest.raises(openai.RateLimitError):
        chat(places.gateway, "gpt-5.5").invoke(says("Hello", fault="status", status=429))
