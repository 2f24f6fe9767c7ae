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

from weighbridge.openapi import for_surface, surface_urls
from weighbridge.target import CHAT_PATH, MESSAGES_PATH

CHAT, MESSAGES, AIMLAPI = "/v1/chat/completions", "/v1/messages", "/chat/completions"
TASKS = "/api/v1"
SUBMISSIONS = tuple(
    f"{TASKS}/{name}"
    for name in (
        "images/generations", "videos/generations", "audio/generations", "humanize", "detect", "essay",
    )
)  # fmt: skip
SUBMISSION_STATUSES = {"400", "401", "402", "403", "429", "500", "502", "503", "504"}
#: Statuses that the documents name for each operation, beside 200.
STATUSES = {
    CHAT: {"400", "401", "402", "429", "500"},
    MESSAGES: {"400", "401", "402", "429", "500"},
    AIMLAPI: {"400", "401", "403", "429", "500", "502", "503", "504"},
    f"{TASKS}/tasks/{{id}}": {"401", "403", "404", "429", "500", "502", "503", "504"},
    f"{TASKS}/balance": {"401", "429", "500"},
} | dict.fromkeys(SUBMISSIONS, SUBMISSION_STATUSES)
GETS = {f"{TASKS}/tasks/{{id}}", f"{TASKS}/balance"}
#: A row about routes that are not described, so no operation can carry it.
ABOUT_NO_OPERATION = {"AIML-ERR-07"}
CHAT_URL = "http://gw.test/v1"
#: Each surface on a target of its own, and the URLs that its clients call.
ON_A_TARGET = {
    "chat": ("http://gw.test:8080/v1", {"/chat/completions"}),
    "messages": ("http://gw.test:8080", {"/v1/messages"}),
    "aimlapi": ("http://gw.test:8080/aiml/v1/", {"/chat/completions"}),
    "tasks": (
        "http://gw.test:8080/api/v1",
        {path.removeprefix(TASKS) for path in (*SUBMISSIONS, f"{TASKS}/balance", f"{TASKS}/tasks/{{id}}")},
    ),
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
    described = {(path, method) for path, method, _ in operations(openapi)}
    assert described == {(path, "get" if path in GETS else "post") for path in STATUSES}


def test_every_path_names_its_surface_and_its_own_server(openapi: Document) -> None:
    urls = surface_urls()
    for path, item in openapi["paths"].items():
        [server] = item["servers"]
        assert (server["url"] + path).startswith(urls[item["x-surface"]] + "/")


def test_every_operation_has_the_documented_statuses(openapi: Document) -> None:
    assert {
        path: set(operation["responses"]) - {"200"} for path, _, operation in operations(openapi)
    } == STATUSES


def test_every_operation_needs_a_key(openapi: Document) -> None:
    for _, _, operation in operations(openapi):
        assert operation["security"]
        assert all(operation["security"])


def test_it_refers_to_known_requirements_once(openapi: Document, rows: dict[str, Any]) -> None:
    for names in requirement_lists(openapi):
        assert len(names) == len(set(names))
        assert set(names) <= set(rows)


def test_every_requirement_is_linked_to_what_it_is_about(openapi: Document, rows: dict[str, Any]) -> None:
    linked = {name for names in requirement_lists(openapi) for name in names}
    assert set(rows) - linked == ABOUT_NO_OPERATION


def test_an_operation_is_linked_to_rows_of_its_surface(
    openapi: Document, rows: dict[str, Any], profiles: dict[str, Any]
) -> None:
    for path, _, operation in operations(openapi):
        surface = openapi["paths"][path]["x-surface"]
        answers = [resolve(openapi, answer) for answer in operation["responses"].values()]
        for names in requirement_lists([operation, answers]):
            for name in names:
                surfaces = {profiles[profile]["surface"] for profile in rows[name]["profiles"]}
                assert surface in surfaces, (path, name)


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
    assert checked > 50


def test_examples_of_events_fit_the_event_schema(openapi: Document) -> None:
    for path in (CHAT, MESSAGES, AIMLAPI):
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
        assert media["schema"]["contentSchema"] == media["x-event-schema"]


def test_every_described_answer_has_an_example(openapi: Document) -> None:
    for path, _, operation in operations(openapi):
        for status, answer in operation["responses"].items():
            for media in resolve(openapi, answer)["content"].values():
                assert "example" in media or media["examples"], (path, status)


@pytest.mark.parametrize("path", SUBMISSIONS)
def test_a_submission_links_to_its_poll(openapi: Document, path: str) -> None:
    link = openapi["paths"][path]["post"]["responses"]["200"]["links"]["poll"]
    assert link["operationId"] == openapi["paths"][f"{TASKS}/tasks/{{id}}"]["get"]["operationId"]
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
        ({"model": "gpt-5.5", "messages": [{"role": "tool", "content": "4"}]}, False),
        (
            {
                "model": "gpt-5.5",
                "messages": [{"role": "tool", "tool_call_id": "call_any", "content": "4"}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "tools": [
                    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
                    for name in ("f", "g")
                ],
            },
            True,
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


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"model": "gpt-5.5"}, False),
        ({"max_tokens": 128_001}, False),
        ({"temperature": 1}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
        ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, False),
        ({"thinking": {"type": "enabled"}}, False),
        ({"thinking": {"type": "adaptive"}}, True),
        ({"system": [{"type": "text", "text": "Be brief."}]}, True),
        ({"tool_choice": "auto"}, False),
        (
            {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
            True,
        ),
        ({"messages": [{"role": "developer", "content": "Be brief."}]}, True),
        ({"messages": [{"role": "function", "name": "f", "content": "4"}]}, True),
        ({"messages": [{"role": "tool", "content": "4"}]}, False),
    ],
)
def test_the_aimlapi_request_takes_both_forms(openapi: Document, change: Document, fits: bool) -> None:
    body = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "hi"}], **change}
    assert validator(openapi, {"$ref": "#/components/schemas/AimlapiRequest"}).is_valid(body) is fits


@pytest.mark.parametrize("surface", ON_A_TARGET)
def test_each_surface_is_fuzzed_on_its_own_url(surface: str) -> None:
    url, paths = ON_A_TARGET[surface]
    document = for_surface(surface, url)
    assert set(document["paths"]) == paths
    schema = schemathesis.openapi.from_dict(document)
    for path, method, _ in operations(document):
        operation = schema[path][method.upper()]
        case = operation.Case(path_parameters={"id": "task_1"}, body={}, media_type="application/json")
        called = case.as_transport_kwargs(base_url=document["servers"][0]["url"])["url"]
        assert called == url.rstrip("/") + path.replace("{id}", "task_1")
    if surface in {"chat", "messages", "aimlapi"}:
        [path] = paths
        assert path == (MESSAGES_PATH if surface == "messages" else CHAT_PATH)


def test_the_two_vendors_of_one_route_are_not_confused() -> None:
    ours = for_surface("chat", "http://gw.test/v1")["paths"]["/chat/completions"]["post"]
    other = for_surface("aimlapi", "http://gw.test/v1")["paths"]["/chat/completions"]["post"]
    assert (ours["operationId"], other["operationId"]) == (
        "createChatCompletion",
        "createAimlapiChatCompletion",
    )


def test_generators_see_the_narrower_schemas_and_nothing_that_is_left_out() -> None:
    text = json.dumps(for_surface("chat", CHAT_URL))
    assert "x-generated-as" not in text
    assert "x-event-schema" not in text
    assert "max_completion_tokens" not in text


@pytest.fixture(scope="module")
def chat_requests() -> st.SearchStrategy[Document]:
    """Bodies as the fuzz checks generate them; built once, since that is the slow part."""
    operation = schemathesis.openapi.from_dict(for_surface("chat", CHAT_URL))[CHAT_PATH]["POST"]
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
