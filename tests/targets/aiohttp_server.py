"""A chat completions server on aiohttp, written apart from everything else here, with the manners of inference engines.

It is right, and unlike our own servers in all that the format leaves open: members of its own in every object, events
written `data:` without a space, `detail` for routes that do not exist, numbers as codes, members it does not know
passed over, tools refused because they were not switched on.
"""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from aiohttp import web

MODEL = "meta-llama/Example-8B-Instruct"
KEY = "token-abc123456789"
_TEXT = "Sure! Here is a short answer, with naïve café and 東京."
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def problem(status: int, message: str, param: str | None = None) -> web.Response:
    """An error as these engines write it: the number once more as its code."""
    kind = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError"}[status]
    told = {"message": message, "type": kind, "param": param, "code": status}
    return web.json_response({"error": told}, status=status)


def pieces() -> Iterator[str]:
    """The answer in tokens of a few characters."""
    for start in range(0, len(_TEXT), 4):
        yield _TEXT[start : start + 4]


class Numbers:
    """Bounds that a member's number has to keep."""

    bounds: ClassVar[dict[str, tuple[float, float]]] = {
        "temperature": (0.0, 2.0),
        "top_p": (0.0, 1.0),
        "presence_penalty": (-2.0, 2.0),
        "frequency_penalty": (-2.0, 2.0),
    }
    positive = ("max_tokens", "max_completion_tokens", "n")

    @classmethod
    def wrong(cls, body: dict[str, Any]) -> str | None:
        """The first member that breaks a bound."""
        for name, (low, high) in cls.bounds.items():
            given = body.get(name)
            if given is None:
                continue
            if type(given) not in {int, float} or not low <= given <= high:
                return name
        for name in cls.positive:
            given = body.get(name)
            if given is not None and (type(given) is not int or given <= 0):
                return name
        return None


def refused(body: Any) -> web.Response | None:
    """Why a request cannot be served, in the order in which a validator meets it."""
    if type(body) is not dict:
        return problem(400, "Input should be a valid dictionary")
    model, messages = body.get("model"), body.get("messages")
    if messages is None:
        return problem(400, "Field required: messages", "messages")
    if type(messages) is not list or len(messages) == 0:
        return problem(400, "messages: a list with at least one item", "messages")
    for turn in messages:
        if type(turn) is not dict or turn.get("role") not in _ROLES:
            return problem(400, "messages: unknown role", "messages")
        if type(turn.get("content")) not in {str, list} and turn["role"] != "assistant":
            return problem(400, "messages: content is text or parts", "messages")
        for part in turn["content"] if type(turn.get("content")) is list else ():
            if type(part) is not dict or part.get("type") != "text":
                return problem(400, "At most 0 image(s) may be provided in one prompt.")
    if model is None or type(model) is not str:
        return problem(400, "Field required: model", "model")
    if model != MODEL:
        return problem(404, f"The model `{model}` does not exist.")
    if name := Numbers.wrong(body):
        return problem(400, f"{name} is out of its bounds", name)
    if body.get("stream") not in {None, True, False}:
        return problem(400, "stream: Input should be a valid boolean", "stream")
    if body.get("reasoning_effort") not in {None, "none", "minimal", "low", "medium", "high", "xhigh"}:
        return problem(400, "reasoning_effort: unknown", "reasoning_effort")
    if body.get("tools") and body.get("tool_choice") != "none":
        return problem(400, "tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set")
    return None


class Engine:
    """The application."""

    def __init__(self) -> None:
        self.application = web.Application(client_max_size=64 * 1024 * 1024)
        self.application.router.add_post("/v1/chat/completions", self.complete)
        self.application.router.add_get("/v1/models", self.models)
        self.application.router.add_get("/health", self.health)
        self.application.middlewares.append(self.gate)

    @web.middleware
    async def gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Keys below /v1 alone; routes that are not there are told the way of the framework."""
        if request.path.startswith("/v1") and request.headers.get("Authorization") != f"Bearer {KEY}":
            return problem(401, "Invalid token")
        try:
            answer: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return web.json_response({"detail": "Not Found"}, status=404)
        except web.HTTPMethodNotAllowed:
            return web.json_response({"detail": "Method Not Allowed"}, status=405)
        return answer

    async def health(self, request: web.Request) -> web.Response:
        return web.Response(status=200)

    async def models(self, request: web.Request) -> web.Response:
        card = {
            "id": MODEL,
            "object": "model",
            "created": 1_760_000_000,
            "owned_by": "vllm",
            "max_model_len": 8192,
        }
        return web.json_response({"object": "list", "data": [card | {"permission": []}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await request.text())
        except (ValueError, RecursionError):
            return problem(400, "There was an error parsing the body")
        if answer := refused(body):
            return answer
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        tokens = list(pieces())
        reason = "length" if limit is not None and limit < len(tokens) else "stop"
        tokens = tokens[:limit]
        counted = {
            "prompt_tokens": len(json.dumps(body["messages"])) // 3,
            "completion_tokens": len(tokens) * (body.get("n") or 1),
        }
        counted |= {"total_tokens": sum(counted.values())}
        if body.get("stream"):
            return await self.streamed(request, body, tokens, reason, counted)
        choices: list[dict[str, Any]] = [
            {
                "index": number,
                "message": {
                    "role": "assistant",
                    "content": "".join(tokens),
                    "refusal": None,
                    "annotations": None,
                    "audio": None,
                    "function_call": None,
                    "tool_calls": [],
                    "reasoning_content": None,
                },
                "logprobs": None,
                "finish_reason": reason,
                "stop_reason": None,
                "token_ids": None,
            }
            for number in range(body.get("n") or 1)
        ]
        return web.json_response(
            self.head("chat.completion")
            | {"choices": choices, "usage": counted | {"prompt_tokens_details": None}}
            | {
                "service_tier": None,
                "system_fingerprint": None,
                "prompt_logprobs": None,
                "kv_transfer_params": None,
            }
        )

    def head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": kind,
            "created": 1_760_000_000,
            "model": MODEL,
        }

    async def streamed(
        self,
        request: web.Request,
        body: dict[str, Any],
        tokens: list[str],
        reason: str,
        counted: dict[str, Any],
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await answer.prepare(request)
        async for event in self.events(body, tokens, reason, counted):
            await answer.write(event)
        await answer.write_eof()
        return answer

    async def events(
        self, body: dict[str, Any], tokens: list[str], reason: str, counted: dict[str, Any]
    ) -> AsyncIterator[bytes]:
        head, many = self.head("chat.completion.chunk"), range(body.get("n") or 1)

        def event(**members: Any) -> bytes:
            return b"data:" + json.dumps(head | members, ensure_ascii=False).encode() + b"\n\n"

        for number in many:
            delta = {"role": "assistant", "content": "", "reasoning_content": None}
            yield event(choices=[{"index": number, "delta": delta, "logprobs": None, "finish_reason": None}])
        for position, token in enumerate(tokens):
            last = position == len(tokens) - 1
            for number in many:
                one: dict[str, Any] = {"index": number, "delta": {"content": token}, "logprobs": None}
                one |= {"finish_reason": reason, "stop_reason": None} if last else {"finish_reason": None}
                yield event(choices=[one | {"token_ids": None}])
            await asyncio.sleep(0)
        if (body.get("stream_options") or {}).get("include_usage"):
            yield event(choices=[], usage=counted)
        yield b"data:[DONE]\n\n"


@contextmanager
def engine() -> Iterator[str]:
    """A running server; yields the base URL of chat completions."""
    loop = asyncio.new_event_loop()
    ready: list[str] = []
    up, end = threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(Engine().application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        up.set()
        await end.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert up.wait(10)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()
