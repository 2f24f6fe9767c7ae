"""The OpenAPI description is valid, refers to known rows, and its own examples fit it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode

OPERATIONS = {
    ("/v1/chat/completions", "post"),
    ("/v1/messages", "post"),
    ("/api/v1/images/generations", "post"),
    ("/api/v1/tasks/{id}", "get"),
    ("/api/v1/balance", "get"),
}
#: Statuses that the documents name for each surface, beside 200.
STATUSES = {
    "/v1/chat/completions": {"400", "401", "402", "429", "500"},
    "/v1/messages": {"400", "401", "402", "429", "500"},
    "/api/v1/images/generations": {"400", "401", "402", "403", "429", "500", "502", "503", "504"},
    "/api/v1/tasks/{id}": {"401", "403", "404", "429", "500", "502", "503", "504"},
    "/api/v1/balance": {"401", "429", "500"},
}
Document = dict[str, Any]


def operations(openapi: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in openapi["paths"].items():
        for method in ("get", "post"):
            if method in item:
                yield path, method, item[method]


def resolve(openapi: Document, node: Document) -> Document:
    while "$ref" in node:
        target: Any = openapi
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def validator(openapi: Document, schema: Document) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": openapi["components"]})


def requirement_lists(node: Any) -> Iterator[list[str]]:
    if isinstance(node, dict):
        if "x-requirements" in node:
            yield node["x-requirements"]
        for value in node.values():
            yield from requirement_lists(value)
    elif isinstance(node, list):
        for value in node:
            yield from requirement_lists(value)


def test_the_description_is_valid(openapi: Document) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(openapi).iter_errors()] == []


def test_it_describes_the_documented_operations(openapi: Document) -> None:
    assert {(path, method) for path, method, _ in operations(openapi)} == OPERATIONS


def test_every_path_names_its_own_server(openapi: Document) -> None:
    assert "servers" not in openapi
    assert all(item["servers"] for item in openapi["paths"].values())


def test_every_operation_has_the_documented_statuses(openapi: Document) -> None:
    assert {
        path: set(operation["responses"]) - {"200"} for path, _, operation in operations(openapi)
    } == STATUSES


def test_every_operation_needs_a_key(openapi: Document) -> None:
    for _, _, operation in operations(openapi):
        assert operation["security"]
        assert all(operation["security"])


def test_it_refers_to_known_requirements(openapi: Document, rows: dict[str, Any]) -> None:
    named = {name for names in requirement_lists(openapi) for name in names}
    assert named - set(rows) == set()
    assert len(named) > 100


def test_examples_of_requests_and_answers_fit_their_schemas(openapi: Document) -> None:
    checked = 0
    for _, _, operation in operations(openapi):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        bodies += [resolve(openapi, response) for response in operation["responses"].values()]
        for body in bodies:
            media = body.get("content", {}).get("application/json", {})
            examples = [item["value"] for item in media.get("examples", {}).values()]
            examples += [media["example"]] if "example" in media else []
            for example in examples:
                assert [
                    error.message for error in validator(openapi, media["schema"]).iter_errors(example)
                ] == []
                checked += 1
    assert checked > 15


def test_examples_of_events_fit_the_event_schema(openapi: Document) -> None:
    for path in ("/v1/chat/completions", "/v1/messages"):
        media = openapi["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]
        data = [
            line.removeprefix("data: ") for line in media["example"].splitlines() if line.startswith("data: ")
        ]
        end = media.get("x-event-end")
        events = [json.loads(text) for text in data if text != end]
        assert len(events) >= 2
        assert (data[-1] == end) == (end is not None)
        for event in events:
            assert [
                error.message for error in validator(openapi, media["x-event-schema"]).iter_errors(event)
            ] == []


def test_a_submission_links_to_its_poll(openapi: Document) -> None:
    link = openapi["paths"]["/api/v1/images/generations"]["post"]["responses"]["200"]["links"]["poll"]
    assert link["operationId"] == openapi["paths"]["/api/v1/tasks/{id}"]["get"]["operationId"]
    assert link["parameters"] == {"id": "$response.body#/id"}


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ({"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}]}, True),
        ({"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "hi"}]}, False),
        (
            {"model": "claude-opus-4-8", "max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}]},
            True,
        ),
        (
            {
                "model": "claude-opus-4-8",
                "max_tokens": 128_001,
                "messages": [{"role": "user", "content": "hi"}],
            },
            False,
        ),
        ({"model": "gpt-5.5", "temperature": 1.5, "messages": [{"role": "user", "content": "hi"}]}, True),
        (
            {
                "model": "claude-sonnet-4-6",
                "max_tokens": 9,
                "temperature": 1.5,
                "messages": [{"role": "user", "content": "hi"}],
            },
            False,
        ),
        ({"model": "gpt-5.5", "colour": "red", "messages": [{"role": "user", "content": "hi"}]}, False),
        ({"model": "gpt-6", "messages": [{"role": "user", "content": "hi"}]}, False),
        ({"model": "gpt-5.5", "messages": []}, False),
        (
            {
                "model": "gpt-5.5",
                "stream_options": {"include_usage": True},
                "messages": [{"role": "user", "content": "hi"}],
            },
            False,
        ),
    ],
)
def test_the_chat_request_follows_the_family_of_its_model(
    openapi: Document, body: Document, fits: bool
) -> None:
    schema = {"$ref": "#/components/schemas/ChatRequest"}
    assert validator(openapi, schema).is_valid(body) is fits


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ({"status": "processing"}, True),
        ({"status": "processing", "output": None, "error": None}, True),
        ({"status": "processing", "output": {"image_urls": ["u"]}}, False),
        ({"status": "completed", "output": {"image_urls": ["u"]}, "error": None}, True),
        ({"status": "completed", "output": None}, False),
        ({"status": "failed", "output": None, "error": {"code": 80006, "message": "m"}}, True),
        ({"status": "failed", "output": None, "error": {"code": 806, "message": "m"}}, False),
        ({"status": "queued"}, False),
    ],
)
def test_a_task_fits_its_state(openapi: Document, body: Document, fits: bool) -> None:
    task = {"id": "task_1", "model": "gpt-image-2", "created_at": 1_764_000_000, **body}
    assert validator(openapi, {"$ref": "#/components/schemas/Task"}).is_valid(task) is fits


@pytest.fixture(scope="module")
def chat_requests(openapi: Document) -> st.SearchStrategy[Document]:
    """Bodies as the fuzz checks generate them; built once, since that is the slow part."""
    operation = schemathesis.openapi.from_dict(openapi)["/v1/chat/completions"]["POST"]
    cases: st.SearchStrategy[Any] = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    return cases.map(_body)


def _body(case: Any) -> Document:
    assert isinstance(case.body, dict)
    return case.body


@settings(
    max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_generated_chat_requests_are_ones_that_a_strict_provider_accepts(
    chat_requests: st.SearchStrategy[Document], data: st.DataObject
) -> None:
    """Rules that no schema can express hold for every generated request all the same."""
    body = data.draw(chat_requests)
    roles = [message["role"] for message in body["messages"]]
    assert roles[-1] in {"user", "tool"}
    assert "tool_choice" not in body or body["tools"]
    assert "top_logprobs" not in body or body["logprobs"] is True
    assert "stream_options" not in body or body["stream"] is True
    for message in body["messages"]:
        if message["role"] == "tool":
            assert roles == ["user", "assistant", "tool"]
            assert message["tool_call_id"] == body["messages"][1]["tool_calls"][0]["id"]
