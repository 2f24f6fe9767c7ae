"""Small correct OpenAI-compatible servers on the standard library alone: strangers that never heard of this project.

`PlainServer` speaks chat completions as the public description has them. Its quirks are those of real servers:
each is legal, and no check may accuse it. A flaw is wrong, one at a time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "plain-1"
KEY = "sk-plain-0123456789"
WORDS = ("Hello", ", ", "world", ". ", "How are", " you", "?")


class PlainServer(ThreadingHTTPServer):
    """A chat completions server.

    Args:
        quirks: `llama` (id, timings and envelope as llama.cpp's server has them), `bare` (no system
            fingerprint, final usage in the finishing chunk, CRLF line ends), `comments` (keep-alive comments), `tools` (a model that calls the tool it is
            told to call; without it, one that answers in words whatever it is told).
        flaws: `no-done`, `text-finish`, `html-errors`, `accepts-junk`, `any-key`,
            `flat-tier`.
    """

    daemon_threads = True

    def __init__(self, quirks: frozenset[str] = frozenset(), flaws: frozenset[str] = frozenset()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.quirks, self.flaws = quirks, flaws
        self.calls = 0

        self.spent = 0.0

    def charge(self, read: int, written: int) -> None:
        """Take the price off the balance: 5 and 30 USD per million, the double and one and a half beyond 272K."""
        long = read > 272_000 and "flat-tier" not in self.flaws
        self.spent += (read * 5 * (2 if long else 1) + written * 30 * (1.5 if long else 1)) / 1e6

    @property
    def url(self) -> str:
        """Base URL of chat completions."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Refusal(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, status: int, message: str, kind: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.param = status, kind, param


_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2)}
_KNOWN = {
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "n", "user",
    "seed", "logprobs", "top_logprobs", "tools", "tool_choice", "response_format", "reasoning_effort", "metadata",
    "logit_bias", "parallel_tool_calls", "store", *_RANGES,
}  # fmt: skip


def _checked(raw: bytes, *, strict: bool) -> dict[str, Any]:
    """The body, if it is a chat request.

    Raises:
        _Refusal: it is none.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise _Refusal(400, "the body is no JSON", "invalid_request_error") from None
    if not isinstance(body, dict):
        raise _Refusal(400, "the body is no object", "invalid_request_error")
    if not isinstance(body.get("model"), str):
        raise _Refusal(400, "model is missing", "invalid_request_error", "model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _Refusal(
            400, "messages must be a list with at least one message", "invalid_request_error", "messages"
        )
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in {
            "system", "developer", "user", "assistant", "tool", "function",
        }:  # fmt: skip
            raise _Refusal(400, "a message needs a known role", "invalid_request_error", "messages")
        content = message.get("content")
        if not isinstance(content, str | list) and not (message["role"] == "assistant" and content is None):
            raise _Refusal(400, "content is text or a list of parts", "invalid_request_error", "messages")
    if body["model"] != MODEL:
        raise _Refusal(404, f"there is no model {body['model']}", "invalid_request_error", "model")
    for name, (low, high) in _RANGES.items():
        value = body.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high
        ):
            raise _Refusal(400, f"{name} lies from {low} to {high}", "invalid_request_error", name)
    for name in ("max_tokens", "max_completion_tokens", "n"):
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise _Refusal(400, f"{name} is a positive integer", "invalid_request_error", name)
    if body.get("reasoning_effort") not in {None, "none", "minimal", "low", "medium", "high", "xhigh"}:
        raise _Refusal(400, "unknown reasoning_effort", "invalid_request_error", "reasoning_effort")
    if not isinstance(body.get("stream"), bool | None):
        raise _Refusal(400, "stream is true or false", "invalid_request_error", "stream")
    if strict and (unknown := sorted(set(body) - _KNOWN)):
        raise _Refusal(400, f"unknown field {unknown[0]}", "invalid_request_error", unknown[0])
    return body


class _Handler(BaseHTTPRequestHandler):
    server: PlainServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def _json(self, status: int, document: Any) -> None:
        html = status >= 400 and "html-errors" in self.server.flaws
        payload = b"<h1>oops</h1>" if html else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if html else "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _refuse(self, refusal: _Refusal) -> None:
        error: dict[str, Any] = {"message": str(refusal), "type": refusal.kind}
        if "llama" in self.server.quirks:
            error["code"] = refusal.status
        else:
            error |= {"param": refusal.param, "code": None}
        self._json(refusal.status, {"error": error})

    def _allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        if given == f"Bearer {KEY}" or ("any-key" in self.server.flaws and given):
            return True
        self._refuse(_Refusal(401, "Incorrect API key provided", "authentication_error"))
        return False

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if self.path == "/v1/balance":
            self._json(200, {"balance": f"{1000 - self.server.spent:.12f}"})
        elif self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1}]})
        else:
            self._refuse(_Refusal(404, "no such route", "not_found_error"))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls += 1
        if not self._allowed():
            return
        if self.path != "/v1/chat/completions":
            self._refuse(_Refusal(404, "no such route", "not_found_error"))
            return
        try:
            body = _checked(raw, strict="llama" not in self.server.quirks)
        except _Refusal as refusal:
            if "accepts-junk" not in self.server.flaws:
                self._refuse(refusal)
                return
            body = {"model": MODEL, "messages": []}
        (self._stream if body.get("stream") else self._reply)(body)

    def _head(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if "bare" not in self.server.quirks else "cmpl"
        return {
            "id": f"{prefix}-{self.server.calls:024d}",
            "object": kind,
            "created": int(time.time()),
            "model": MODEL,
        } | ({} if "bare" in self.server.quirks else {"system_fingerprint": "fp_plain"})

    def _words(self, body: dict[str, Any]) -> tuple[tuple[str, ...], str]:
        cap = body.get("max_completion_tokens") or body.get("max_tokens") or len(WORDS)
        return WORDS[:cap], "stop" if cap >= len(WORDS) else "length"

    def _usage(self, body: dict[str, Any], written: int) -> dict[str, Any]:
        read = max(1, len(json.dumps(body["messages"])) // 2)
        self.server.charge(read, written)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def _tool_calls(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """A call of the first tool, where the model has to call one and can."""
        forced = body.get("tool_choice") not in {None, "auto", "none"}
        if "tools" not in self.server.quirks or not forced or not body.get("tools"):
            return []
        name = body["tools"][0]["function"]["name"]
        function = {"name": name, "arguments": '{"city": "Tokyo"}'}
        return [{"id": f"call_{self.server.calls}", "type": "function", "function": function}]

    def _reply(self, body: dict[str, Any]) -> None:
        words, finish = self._words(body)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(words)}
        if calls := self._tool_calls(body):
            message, finish = {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
        choices = [
            {
                "index": index,
                "message": message,
                "finish_reason": "done" if "text-finish" in self.server.flaws else finish,
            }
            | ({} if "bare" in self.server.quirks else {"logprobs": None})
            for index in range(body.get("n") or 1)
        ]
        document = self._head("chat.completion") | {
            "choices": choices,
            "usage": self._usage(body, len(words)),
        }
        if "llama" in self.server.quirks:
            document["timings"] = {"prompt_n": 4, "predicted_per_second": 71.5}
        self._json(200, document)

    def _stream(self, body: dict[str, Any]) -> None:
        words, finish = self._words(body)
        head = self._head("chat.completion.chunk")
        end = "\r\n" if "bare" in self.server.quirks else "\n"
        wanted = bool((body.get("stream_options") or {}).get("include_usage"))
        deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
        deltas += [({"content": word}, None) for word in words]
        if calls := self._tool_calls(body):
            whole = [{"index": index} | one for index, one in enumerate(calls)]
            deltas, finish = (
                [({"role": "assistant", "content": None, "tool_calls": whole}, None)],
                "tool_calls",
            )
        deltas.append(({}, finish))
        chunks = []
        for delta, reason in deltas:
            for index in range(body.get("n") or 1):
                chunk = head | {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}
                if wanted and "llama" not in self.server.quirks:
                    chunk["usage"] = None
                chunks.append(chunk)
        if wanted:
            chunks.append(head | {"choices": [], "usage": self._usage(body, len(words))})
        lines = [f"data: {json.dumps(chunk)}{end}{end}" for chunk in chunks]
        if "comments" in self.server.quirks:
            lines[1:1] = [f": keep-alive{end}{end}"]
        if "no-done" not in self.server.flaws:
            lines.append(f"data: [DONE]{end}{end}")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for line in [*lines, ""]:
                data = line.encode()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def plain_server(*quirks: str, flaws: tuple[str, ...] = ()) -> Iterator[PlainServer]:
    """A running server."""
    server = PlainServer(frozenset(quirks), frozenset(flaws))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
