"""`weighbridge init`: a commented target file out of a URL, the name of a key's variable and a model.

It finds out by itself what it can: the routes that the URL serves, whether a `/v1` is missing, which models are
listed. What it sends costs nothing: a list of models, and empty bodies that every server refuses.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from weighbridge.errors import UsageError
from weighbridge.evidence import Ending, Exchange, Headers, Request
from weighbridge.output import write_or_refuse
from weighbridge.response_reader import Limits
from weighbridge.target import CHAT_PATH, MESSAGES_PATH, key_problem, url_problem
from weighbridge.target_file import load
from weighbridge.wire import Timeouts, exchange

_TIMEOUTS = Timeouts(connect=5.0, first_byte=15.0, total=20.0)
_LIMITS = Limits(body=4 * 1024 * 1024)
#: A refusal of an empty body says that the route is there; these say that it is not.
_NO_ROUTE = {404, 405, 410, 501}
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*\Z")

#: Asks for one answer: the question and the proposal; yields the answer.
Ask = Callable[[str, str | None], str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a URL turned out to serve.

    Attributes:
        chat: base URL of chat completions, or None.
        messages: root of native messages, or None.
        models: names that it lists.
        told: what was found, for people.
    """

    chat: str | None
    messages: str | None
    models: tuple[str, ...]
    told: str


def normal(url: str) -> str:
    """A URL as typed, with its scheme and without a route that belongs to a call.

    Raises:
        UsageError: it is no URL.
    """
    text = url.strip().rstrip("/")
    if "://" not in text:
        local = text.startswith(("localhost", "127.", "[::1]"))
        text = f"{'http' if local else 'https'}://{text}"
    for route in (CHAT_PATH, MESSAGES_PATH, "/completions", "/models"):
        text = text.removesuffix(route)
    if problem := url_problem(text):
        raise UsageError(f"{url!r} {problem}")
    return text


def candidates(url: str) -> tuple[tuple[str, ...], str]:
    """Base URLs at which chat completions may be, the likeliest first, and the root for messages."""
    root = url.removesuffix("/v1")
    versioned = re.search(r"/v\d+[a-z0-9]*\Z", url)
    return ((url,) if versioned else (f"{url}/v1", url)), root


async def _ask(method: str, url: str, headers: Headers, body: bytes = b"") -> Exchange:
    head = (*headers, ("Accept", "application/json"), ("User-Agent", "weighbridge"))
    if body:
        head = (*head, ("Content-Type", "application/json"))
    return await exchange(
        Request(method, url, head, body),
        id="init",
        epoch=time.perf_counter(),
        timeouts=_TIMEOUTS,
        limits=_LIMITS,
    )


def _serves(seen: Exchange) -> bool:
    return seen.status is not None and seen.status not in _NO_ROUTE and not 300 <= seen.status < 400


async def detect(url: str, key: str | None) -> Found:
    """Find out what a URL serves; never raises for what it answers."""
    bearer: Headers = (("Authorization", f"Bearer {key}"),) if key else ()
    native: Headers = (("anthropic-version", "2023-06-01"), *((("x-api-key", key),) if key else ()), *bearer)
    bases, root = candidates(url)
    chat = None
    models: tuple[str, ...] = ()
    for base in bases:
        posted = await _ask("POST", base + CHAT_PATH, bearer, b"{}")
        if posted.ending is Ending.REFUSED or posted.status is None:
            return Found(None, None, (), f"nothing answers at {base} ({posted.detail})")
        if _serves(posted):
            chat, models = base, listed(await _ask("GET", f"{base}/models", bearer))
            break
    posted = await _ask("POST", root + MESSAGES_PATH, native, b"{}")
    messages = root if _serves(posted) else None
    if messages and not models:
        models = listed(await _ask("GET", f"{root}/v1/models", native))
    words = [f"chat completions at {chat}"] if chat else []
    words += [f"messages at {messages}"] if messages else []
    told = " and ".join(words) if words else f"neither chat completions nor messages are served at {url}"
    return Found(chat, messages, models, told)


def listed(seen: Exchange) -> tuple[str, ...]:
    """The names in a list of models, or none. Pure."""
    body = seen.json
    items = body.get("data") if isinstance(body, dict) else None
    if not seen.ok or not isinstance(items, list):
        return ()
    names = (item.get("id") for item in items if isinstance(item, dict))
    return tuple(name for name in names if isinstance(name, str) and name.isprintable())


@dataclass(frozen=True, slots=True)
class Answers:
    """What the operator gave, and what was found out."""

    url: str
    variable: str
    model: str
    found: Found | None


def surfaces_of(answers: Answers) -> dict[str, str]:
    """The surfaces to write: those found, or what the URL itself suggests when nothing could be found out."""
    found = answers.found
    claude = "claude" in answers.model.lower()
    if found is None or (found.chat is None and found.messages is None):
        bases, root = candidates(answers.url)
        native = claude and not answers.url.endswith("/v1")
        return {"messages": root} if native else {"chat": bases[0]}
    chosen = {}
    if found.chat is not None:
        chosen["chat"] = found.chat
    if found.messages is not None and (claude or found.chat is None):
        chosen["messages"] = found.messages
    return chosen


def text_of(answers: Answers, surfaces: dict[str, str]) -> str:
    """The target file, comments included. Pure."""
    quote = json.dumps
    made = 'body: {balance_usd: "{balance}"}, pick: {key: $.key, account: $.id}'
    name = urlsplit(answers.url).netloc.rpartition("@")[2]
    profiles = [{"chat": "openai-chat", "messages": "anthropic-messages"}[surface] for surface in surfaces]
    roles = [{"chat": "openai", "messages": "anthropic"}[surface] for surface in surfaces]
    first = next(iter(surfaces))
    lines = [
        "# What this deployment is and what it lets us see; docs/target-file.md names every key.",
        "# `weighbridge check` on this file measures what is declared and says what each capability would add.",
        f"name: {quote(name, ensure_ascii=False)}",
        f"profiles: [{', '.join(profiles)}]",
        "",
        "surfaces:",
    ]
    ends = {"chat": "ends in /v1", "messages": "the bare root"}
    lines += [f"  {surface}: {{url: {quote(url)}}}    # {ends[surface]}" for surface, url in surfaces.items()]
    lines += [
        "",
        "# Keys stay in the environment. Without declared limits a run keeps to 5 requests a second, 4 at a time.",
        "principals:",
    ]
    lines += [f'  {surface}.funded: {{key: "${{{answers.variable}}}"}}' for surface in surfaces]
    lines += [
        f'  # {first}.broke: {{key: "${{BROKE_KEY}}"}}            # its account is empty',
        f'  # {first}.revoked: {{key: "${{REVOKED_KEY}}"}}        # it was withdrawn',
        f'  # {first}.second_key: {{key: "${{SECOND_KEY}}"}}      # of the same user',
        f'  # {first}.second_user: {{key: "${{OTHER_USER_KEY}}"}}',
        "",
        "models:",
        *(f"  {role}: {quote(answers.model, ensure_ascii=False)}" for role in roles),
        "",
        "# See behind the gateway: start `weighbridge mock`, point the deployment's providers there.",
        "# upstream: {simulator: http://127.0.0.1:8890}",
        "",
        "# Prices in USD per one million tokens; with them --max-spend can bound what a run may cost.",
        f"# rates: {{{quote(answers.model, ensure_ascii=False)}: {{input: 5, output: 30}}}}",
        "",
        "# Money: how the balance of an account is read, and how a fresh account is made.",
        f"# balance: {{{first}: {{http: {{get: https://gateway.example/me, json: $.balance}}, settle: 2s, resolution: 0.0001}}}}",
        f"# accounts: {{{first}: {{http: {{post: https://gateway.example/accounts, {made}}}}}}}",
        "",
        "# What the product does not offer is refused, not broken.",
        "# features: {authentication: false, tools: false, vision: false, web_search: false, prompt_caching: false}",
        "",
        "# Fixed headers of every call; retries that the gateway makes by design.",
        "# headers: {x-route: a}",
        "# retry_policy: {max_attempts: 1}",
    ]
    return "\n".join(lines) + "\n"


def initial(
    out: Path,
    *,
    url: str | None,
    variable: str | None,
    model: str | None,
    force: bool,
    probe: bool,
    ask: Ask | None,
    tell: Callable[[str], None],
) -> None:
    """Write a target file, asking for what is not given: URL, key variable, model.

    Args:
        out: the file.
        url: where the deployment is.
        variable: environment variable that holds the key.
        model: model to call.
        force: write over an existing file.
        probe: find out what the URL serves.
        ask: asks the operator; None where nobody can answer.
        tell: prints a line.

    Raises:
        UsageError: an answer is missing or unusable, or the file exists.
    """
    if out.exists() and not force:
        raise UsageError(f"{out} exists; pass --force to write over it, or name another file")

    def answer(given: str | None, option: str, question: str, proposal: str | None) -> str:
        if given is not None:
            return given
        if ask is None:
            raise UsageError(f"nobody is there to ask; pass {option}")
        return ask(question, proposal)

    place = normal(answer(url, "--url", "URL of the deployment", None))
    name = answer(variable, "--key-env", "Environment variable that holds the key", "GATEWAY_KEY")
    name = name.strip().lstrip("$")
    if not _VARIABLE.match(name):
        raise UsageError(
            "--key-env wants the name of a variable, such as GATEWAY_KEY; the key itself stays out of the file"
        )
    key = os.environ.get(name) or None
    if key and (problem := key_problem(key)):
        raise UsageError(f"--key-env {name}: the key in {name} {problem}")
    found = asyncio.run(detect(place, key)) if probe else None
    if found is not None:
        tell(f"Found: {found.told}")
        if found.models:
            more = f" and {len(found.models) - 8} more" if len(found.models) > 8 else ""
            tell(f"Models: {', '.join(found.models[:8])}{more}")
    proposal = found.models[0] if found and found.models else None
    chosen = answer(model, "--model", "Model to call", proposal).strip()
    if not chosen:
        raise UsageError("--model is empty; name a model that the deployment serves")
    answers = Answers(place, name, chosen, found)
    surfaces = surfaces_of(answers)
    text = text_of(answers, surfaces)
    write_or_refuse("the target file", out, text)
    load(out, {name: key or "not-set-yet"})  # what we write, we can read
    tell(f"Wrote {out} ({', '.join(surfaces)})")
    tell("Next:")
    if not key:
        tell(f"  export {name}=...")
    tell(f"  weighbridge check {out}")
    tell(f"  weighbridge run --target {out}")
