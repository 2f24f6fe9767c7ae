"""Secrets are sown wherever a run meets them, and none is found in any file that it writes."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.core.running import command
from weighbridge.errors import HarnessError
from weighbridge.evidence import Chunk, Ending, Exchange, Request, Response
from weighbridge.hooks import pick
from weighbridge.redaction import MARK, Secrets
from weighbridge.target_file import from_document

#: What must not be found, by where it is sown. Signs that need escaping make every spelling a different one.
SOWN = {
    "KEY": 'sk-funded/"quoted"+plus=0001',
    "BROKE_KEY": "sk-broke-000000000002",
    "HOOK_TOKEN": "hook-token-0000000003",
    "GATE_COOKIE": "session=cookie-of-ours-0004",
}
SET_COOKIE = "cookie-of-theirs-000000000005"
OTHERS = "balance-of-others-987654321"


class _Leaky(BaseHTTPRequestHandler):
    """A gateway that repeats whatever it is given: in headers, bodies, cookies and streams, cut in two."""

    def log_message(self, *_: object) -> None:
        return

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _leak(self) -> str:
        key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        seen = f"{key} {quote(key, safe='')} {base64.b64encode(key.encode()).decode()} {self.headers.get('Cookie')}"
        return f"{seen} {SOWN['BROKE_KEY']} {SET_COOKIE}"

    def do_GET(self) -> None:
        self._answer(200, json.dumps({"users": {"someone": OTHERS}}).encode())

    def do_POST(self) -> None:
        body = json.loads(self._read() or b"{}")
        if not (self.headers.get("Authorization") or "").startswith("Bearer sk-funded"):
            self._answer(401, json.dumps({"error": {"message": f"bad {self._leak()}", "type": "t"}}).encode())
            return
        content = f"hello {self._leak()}"
        if not body.get("stream"):
            made = {"id": "1", "object": "chat.completion", "created": 1, "model": body.get("model"),
                    "choices": [{"index": 0, "finish_reason": "stop",
                                 "message": {"role": "assistant", "content": content}}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}  # fmt: skip
            self._answer(200, json.dumps(made).encode())
            return
        event = json.dumps(
            {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": content}}]}
        )
        data = f"data: {event}\n\ndata: [DONE]\n\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        cut = data.find(b"sk-funded") + 5
        self.wfile.write(data[:cut])
        self.wfile.flush()
        self.wfile.write(data[cut:])

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", f"sid={SET_COOKIE}; Path=/")
        self.send_header("X-Echo", quote(self._leak()))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def leaky() -> Iterator[str]:
    """Its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Leaky)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _texts(data: bytes) -> Iterator[bytes]:
    """A file's bytes, and everything that is packed inside it."""
    yield data
    for found in re.findall(rb"[A-Za-z0-9+/]{40,}={0,2}", data):
        with contextlib.suppress(ValueError):
            raw = base64.b64decode(found, validate=True)
            yield raw
            for unpack in (gzip.decompress, zlib.decompress):
                with contextlib.suppress(OSError, EOFError, zlib.error):
                    yield unpack(raw)


def _spellings(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield quote(secret, safe="").encode()
    yield json.dumps(secret)[1:-1].encode()
    yield base64.b64encode(secret.encode()).rstrip(b"=")


def test_no_secret_reaches_any_file(leaky: str, tmp_path: Path) -> None:
    target = tmp_path / "target.yaml"
    target.write_text(
        f"""
name: leaky
profiles: [openai-chat]
surfaces:
  chat: {{url: "{leaky}/v1", auth: bearer, headers: {{Cookie: "${{GATE_COOKIE}}"}}}}
principals:
  chat.funded: {{key: "${{KEY}}"}}
  chat.broke: {{key: "${{BROKE_KEY}}"}}
models: {{openai: gpt-5.5}}
rates: {{gpt-5.5: {{input: 5, output: 30}}}}
balance:
  chat: {{http: {{get: "{leaky}/me?token=${{HOOK_TOKEN}}", json: $.balance_usd}}, settle: 0s}}
""",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    views = {
        "junit": "j.xml",
        "markdown": "m.md",
        "sarif": "s.sarif",
        "badge": "b.svg",
        "html": "h.html",
        "json": "r.json",
    }
    options = [part for name, file in views.items() for part in (f"--{name}", str(out / file))]
    done = command(
        "run", "--target", str(target), "--out", str(out), *options, "--allure", str(out / "allure"), env=SOWN
    )
    assert (out / "report.json").exists(), done.out + done.err
    again = command("judge", str(out), "--allure", str(out / "allure-again"))
    (tmp_path / "out" / "console.txt").write_text(done.out + done.err + again.out, encoding="utf-8")
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 40
    evidence = (out / "evidence.ndjson").read_text(encoding="utf-8")
    assert MARK in evidence
    secrets = [*SOWN.values(), SOWN["GATE_COOKIE"].partition("=")[2], SET_COOKIE, OTHERS]
    found = {
        (path.name, secret)
        for path in files
        for text in _texts(path.read_bytes())
        for secret in secrets
        if any(spelling in text for spelling in _spellings(secret))
    }
    assert found == set()


def exchange(chunks: tuple[Chunk, ...], *headers: tuple[str, str]) -> Exchange:
    return Exchange(
        "x",
        Request("POST", "http://h/?k=sk-1234", (), b""),
        Response(200, headers, chunks),
        Ending.COMPLETE,
        0.0,
        1.0,
    )


def test_a_secret_inside_one_read_leaves_the_times_of_all_reads() -> None:
    chunks = (Chunk(0.1, b"data: a\n\n"), Chunk(0.2, b"data: sk-1234\n\n"), Chunk(0.3, b"data: b\n\n"))
    kept = Secrets(frozenset({"sk-1234"})).exchange(exchange(chunks))
    assert kept.response is not None
    assert [chunk.at for chunk in kept.response.chunks] == [0.1, 0.2, 0.3]
    assert b"sk-1234" not in kept.response.body
    assert "sk-1234" not in kept.request.url


def test_a_secret_that_reads_cut_in_two_is_found() -> None:
    kept = Secrets(frozenset({"sk-1234"})).exchange(exchange((Chunk(0.1, b"xx sk-1"), Chunk(0.2, b"234 yy"))))
    assert kept.response is not None
    assert kept.response.body == f"xx {MARK} yy".encode()


def test_a_cookie_that_was_set_is_redacted_from_then_on() -> None:
    secrets = Secrets()
    kept = secrets.exchange(
        exchange((Chunk(0.1, b"your id is abcdefgh12345"),), ("Set-Cookie", "id=abcdefgh12345; HttpOnly"))
    )
    assert kept.response is not None
    assert b"abcdefgh" not in kept.response.body
    assert secrets.text("abcdefgh12345") == MARK


def test_a_longer_secret_is_replaced_before_a_shorter_one_inside_it() -> None:
    secrets = Secrets(frozenset({"sk-12", "sk-1234567"}))
    assert secrets.text("sk-1234567") == MARK


def test_an_answer_of_a_hook_is_described_without_its_values() -> None:
    with pytest.raises(HarnessError) as caught:
        pick({"users": {"someone": OTHERS}, OTHERS: 1}, "$.balance")
    assert "an object with users" in str(caught.value)
    assert OTHERS not in str(caught.value)


def test_secrets_of_a_target_are_those_of_its_keys_headers_and_secret_variables() -> None:
    document = {
        "name": "t",
        "profiles": ["openai-chat"],
        "surfaces": {
            "chat": {"url": "${BASE_URL}", "auth": "bearer", "headers": {"X-Auth": "${GATE_TOKEN}"}}
        },
        "principals": {"chat.funded": {"key": "${CHAT_KEY}"}},
        "models": {"openai": "m"},
    }
    variables = {"BASE_URL": "http://h/v1", "GATE_TOKEN": "gate-1234", "CHAT_KEY": "sk-5678"}
    assert from_document(document, "t.yaml", variables).secrets() == {"gate-1234", "sk-5678"}


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Set-Cookie", "sid=0123456789; Path=/; HttpOnly", MARK),
        ("Cookie", "a=0123456789; b=9876543210", MARK),
        ("Authorization", "Bearer sk-0123456789", f"Bearer {MARK}"),
        ("Authorization", "sk-0123456789 trailing", MARK),
        ("x-api-key", "sk-0123456789", MARK),
    ],
)
def test_a_header_that_holds_a_secret_keeps_its_scheme_at_most(name: str, value: str, kept: str) -> None:
    assert Secrets().headers(((name, value),)) == ((name, kept),)
