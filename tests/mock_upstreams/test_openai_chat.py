"""The chat completions surface: shapes, usage, what a request may change, and refusals."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from mock_upstreams.pictures import FLAT_TOKENS, picture_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.mock_upstreams.conftest import Client

    Token = Callable[..., str]

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 2},
                "unit": {"enum": ["c", "f"]},
            },
            "required": ["city", "days", "unit"],
        },
    },
}


def test_an_unstreamed_answer_has_the_official_shape(client: Client, token: Token, name: str) -> None:
    answer = client.chat(token(name, text="Hi there", in_=1000, out=20, cached=400, reasoning=5))
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    assert body.pop("id").startswith("chatcmpl-")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "object": "chat.completion",
        "model": "gpt-5.5",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi there", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 20,
            "total_tokens": 1020,
            "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 5,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_5ca1ab1e00",
    }


def test_a_stream_is_role_content_finish_done(client: Client, token: Token, name: str) -> None:
    answer = client.chat(token(name, text="abcdef", chunks=3), stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    chunks = answer.chunk_objects()
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in chunks} == {
        (chunks[0]["id"], "chat.completion.chunk", chunks[0]["created"], "gpt-5.5")
    }
    assert [c["choices"] for c in chunks] == [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        for delta, finish in [
            ({"role": "assistant", "content": "", "refusal": None}, None),
            ({"content": "ab"}, None),
            ({"content": "cd"}, None),
            ({"content": "ef"}, None),
            ({}, "stop"),
        ]
    ]
    assert all("usage" not in c for c in chunks)


def test_include_usage_adds_one_chunk_without_choices(client: Client, token: Token, name: str) -> None:
    answer = client.chat(token(name, in_=272_001, out=9), stream=True, stream_options={"include_usage": True})
    *others, last = answer.chunk_objects()
    assert [c["usage"] for c in others] == [None] * len(others)
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["total_tokens"]) == (272_001, 272_010)


def test_several_choices_each_have_a_role_and_a_finish(client: Client, token: Token, name: str) -> None:
    chunks = client.chat(token(name, text="abcd", chunks=2), stream=True, n=2).chunk_objects()
    seen = [
        (c["choices"][0]["index"], c["choices"][0]["delta"], c["choices"][0]["finish_reason"]) for c in chunks
    ]
    role = {"role": "assistant", "content": "", "refusal": None}
    assert seen == [
        (0, role, None),
        (1, role, None),
        (0, {"content": "ab"}, None),
        (1, {"content": "ab"}, None),
        (0, {"content": "cd"}, None),
        (1, {"content": "cd"}, None),
        (0, {}, "stop"),
        (1, {}, "stop"),
    ]
    whole = client.chat(token(name, text="abcd"), n=2).json()
    assert [c["message"]["content"] for c in whole["choices"]] == ["abcd", "abcd"]


def test_streamed_and_unstreamed_answers_agree(client: Client) -> None:
    whole = client.chat("What is the weather?").json()["choices"][0]
    streamed = client.chat("What is the weather?", stream=True)
    assert streamed.text() == whole["message"]["content"]
    assert streamed.chunk_objects()[-1]["choices"][0]["finish_reason"] == whole["finish_reason"] == "stop"


def test_the_default_text_depends_on_the_prompt_and_not_on_the_token(client: Client, token: Token) -> None:
    def text(content: str) -> Any:
        return client.chat(content).json()["choices"][0]["message"]["content"]

    assert text("one question") == text("one question")
    assert text("a" + token("t1")) == text("a" + token("t2"))
    assert len({text(f"question {i}") for i in range(20)}) > 5


def test_a_scripted_tool_call_streams_id_and_name_once(client: Client, token: Token, name: str) -> None:
    arguments = '{"city": "Paris", "days": 3}'
    answer = client.chat(token(name, tool="weather", args=arguments), stream=True)
    deltas = [c["choices"][0]["delta"] for c in answer.chunk_objects()]
    calls = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
    assert deltas[0] == {"role": "assistant", "content": None, "refusal": None}
    assert calls[0]["type"] == "function"
    assert calls[0]["id"].startswith("call_")
    assert calls[0]["function"] == {"name": "weather", "arguments": ""}
    assert all(set(call) == {"index", "function"} for call in calls[1:])
    assert "".join(call["function"]["arguments"] for call in calls) == arguments
    assert answer.chunk_objects()[-1]["choices"][0]["finish_reason"] == "tool_calls"
    message = client.chat(token(name, tool="weather", args=arguments)).json()["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": arguments}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_forced_tool_is_called_with_fitting_arguments(client: Client, choice: Any) -> None:
    message = client.chat("Weather?", tools=[TOOL], tool_choice=choice).json()["choices"][0]["message"]
    arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"city": "example", "days": 2, "unit": "c"}


def test_tools_on_offer_are_not_called_unless_forced(client: Client) -> None:
    assert client.chat("Hi", tools=[TOOL], tool_choice="auto").json()["choices"][0]["finish_reason"] == "stop"


def test_max_tokens_cuts_the_default_text_and_is_counted(client: Client) -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        answer = client.chat("Tell me", **{field: 5}).json()
        assert len(answer["choices"][0]["message"]["content"]) == 20
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 5


def test_a_stop_sequence_cuts_the_default_text(client: Client) -> None:
    whole = client.chat("Stop test").json()["choices"][0]["message"]["content"]
    stop = whole[20:25]
    cut = client.chat("Stop test", stop=[stop, "never there"]).json()["choices"][0]
    assert cut["message"]["content"] == whole[: whole.index(stop)]
    assert cut["finish_reason"] == "stop"


def test_scripted_text_is_exact_whatever_the_limits(client: Client, token: Token, name: str) -> None:
    answer = client.chat(token(name, text="one two three"), max_tokens=1, stop="two").json()
    assert answer["choices"][0]["message"]["content"] == "one two three"
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
def test_finish_is_scripted(client: Client, token: Token, name: str, finish: str) -> None:
    assert client.chat(token(name, finish=finish)).json()["choices"][0]["finish_reason"] == finish


def test_chunks_without_text_make_as_many_pieces(client: Client, token: Token, name: str) -> None:
    answer = client.chat(token(name, chunks=100), stream=True)
    pieces = [c["choices"][0]["delta"].get("content") for c in answer.chunk_objects()]
    assert len([piece for piece in pieces if piece]) == 100
    assert client.entry(name)["events_sent"] == 100


def test_an_empty_text_is_an_empty_reply(client: Client, token: Token, name: str) -> None:
    answer = client.chat(token(name, text=""), stream=True)
    assert (answer.text(), len(answer.chunk_objects())) == ("", 2)


def test_the_input_is_estimated_from_all_text_and_pictures(client: Client) -> None:
    def counted(content: Any, **fields: Any) -> Any:
        return client.chat(content, **fields).json()["usage"]["prompt_tokens"]

    assert counted("a") == 1
    assert counted("a" * 4000) == 1000
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    assert counted([{"type": "text", "text": "a" * 400}, picture]) == 100 + 765
    assert counted("a" * 400, tools=[TOOL]) > 100


def test_json_formats_give_json_text(client: Client) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    fmt = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    content = client.chat("Go", response_format=fmt).json()["choices"][0]["message"]["content"]
    assert json.loads(content) == {"ok": True}


def test_searches_and_written_tokens_are_reported_when_scripted(
    client: Client, token: Token, name: str
) -> None:
    usage = client.chat(token(name, in_=100, written=60, searches=3)).json()["usage"]
    assert usage["prompt_tokens_details"]["cache_write_tokens"] == 60
    assert usage["server_tool_use"] == {"web_search_requests": 3}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": None}, "you must provide a model parameter"),
        ({"model": 5}, "model: expected a non-empty string"),
        ({"messages": None}, "messages: at least one message"),
        ({"messages": []}, "messages: at least one message"),
        ({"messages": "hi"}, "messages: expected an array"),
        ({"messages": ["hi"]}, "messages[0]: expected an object"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role: expected one of"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role: expected one of"),
        ({"messages": [{"role": "user"}]}, "messages[0].content: expected a string"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "expected an http(s) URL",
        ),
        ({"stream": "yes"}, "stream: expected a boolean"),
        ({"n": 0}, "n: expected an integer from 1 to 128"),
        ({"max_tokens": 0}, "max_tokens: expected an integer"),
        ({"temperature": 2.1}, "temperature: expected a number from 0 to 2"),
        ({"stop": ["a", ""]}, "stop: expected at most 4 non-empty strings"),
        ({"stream_options": {"include_usage": True}}, "only allowed when stream is true"),
        ({"tool_choice": "required"}, "'required' needs tools"),
        ({"tool_choice": {"type": "function", "function": {"name": "no"}}}, "tool_choice: expected"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"response_format": {"type": "poem"}}, "response_format.type"),
    ],
)
def test_a_bad_request_is_refused_in_openais_words(client: Client, change: dict[str, Any], says: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **change}
    answer = client.send("/v1/chat/completions", {k: v for k, v in body.items() if v is not None})
    error = answer.json()["error"]
    assert (answer.status, error["type"]) == (400, "invalid_request_error")
    assert says in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"nul"])
def test_a_body_that_is_no_json_object_is_refused(client: Client, body: bytes) -> None:
    answer = client.send("/v1/chat/completions", body, method="POST")
    assert answer.status == 400
    assert "JSON" in answer.json()["error"]["message"]


def test_a_call_without_credential_is_refused(client: Client) -> None:
    answer = client.send("/v1/chat/completions", {}, authorised=False)
    assert (answer.status, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    by_key = client.send("/v1/models", headers={"x-api-key": "k"}, authorised=False)
    assert by_key.status == 200


def test_models_are_listed_in_either_shape(client: Client) -> None:
    listed = client.send("/v1/models").json()
    assert (listed["object"], listed["data"][0]["object"]) == ("list", "model")
    other = client.send("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
    assert (other["has_more"], other["data"][0]["type"]) == (False, "model")


def test_an_impossible_scenario_is_refused_in_the_own_dialect(client: Client, name: str) -> None:
    answer = client.chat(f"[[wb:{name};colour=red]]", stream=True)
    error = answer.json()["error"]
    assert (answer.status, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith("simulator: unknown key 'colour'")
    assert client.entry(name)["status"] == 400


def test_a_png_counts_by_its_size() -> None:
    def png(width: int, height: int) -> dict[str, str]:
        head = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + width.to_bytes(4) + height.to_bytes(4)
        return {"url": "data:image/png;base64," + base64.b64encode(head + b"rest").decode()}

    assert picture_tokens(png(1, 1)) == 1
    assert picture_tokens(png(750, 100)) == 100
    assert picture_tokens(png(9000, 9000)) == 1600
    assert picture_tokens({"url": "https://example.com/a.png"}) == FLAT_TOKENS
    assert picture_tokens({"data": "not base64!"}) == FLAT_TOKENS


def test_what_the_provider_does_not_know_is_refused(client: Client) -> None:
    bmp = {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0="}}
    assert client.chat("a", group="default").status == 400
    assert client.chat("a", reasoning_effort="extreme").status == 400
    assert client.chat([{"type": "text", "text": "a"}, bmp]).status == 400
    assert client.chat("a", max_tokens=12.0, reasoning_effort="low", store=False).status == 200
