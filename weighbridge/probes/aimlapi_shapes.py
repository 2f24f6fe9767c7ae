"""Requests of AI/ML API in every documented form: messages, tools, tool choices and thinking of two families.

Not a probe; the probes of this surface take their requests from here. Where a shape holds the text `@text`,
the last user text goes, since only the probe knows its token. Source: S4, API Schema; public docs, OpenAPI of
the model page.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from weighbridge.probes.pictures import data_url, png

Change = dict[str, Any]

_CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_ZONE = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
#: The tool that a forced choice names; the other one stands before it, so that "the first" is the wrong one.
NAMED_TOOL = "get_time"
_TOOLS = (
    ("get_weather", "Look up the current weather for a city.", _CITY),
    (NAMED_TOOL, "Look up the time in a time zone.", _ZONE),
)
OPENAI_TOOLS = [
    {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}
    for name, about, schema in _TOOLS
]
ANTHROPIC_TOOLS = [
    {"name": name, "description": about, "input_schema": schema} for name, about, schema in _TOOLS
]

_USER = {"role": "user", "content": "@text"}
_PICTURE = png(8, 8)


def _pdf() -> bytes:
    """The smallest PDF of one empty page, with the offsets that its table needs."""
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]>>",
    )
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj%bendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return data + (
        b"xref\n0 %d\n0000000000 65535 f \n%btrailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
        % (size, table, size, len(data))
    )


def _base64(kind: str, data: bytes) -> dict[str, str]:
    return {"type": "base64", "media_type": kind, "data": base64.b64encode(data).decode()}


def _asking(*blocks: dict[str, Any]) -> Change:
    """One user message of some blocks and the prompt."""
    return {"messages": [{"role": "user", "content": [*blocks, {"type": "text", "text": "@text"}]}]}


def _openai_messages() -> dict[str, Change]:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Tokyo"}'},
    }
    return {
        "openai-turns": {
            "messages": [
                {"role": "system", "content": "You answer in one sentence."},
                {"role": "user", "content": "What is a gateway?"},
                {"role": "assistant", "content": "A gateway relays calls to providers."},
                _USER,
            ]
        },
        "developer-role": {
            "messages": [{"role": "developer", "content": "Prefer short words, always."}, _USER]
        },
        "tool-role": {
            "messages": [
                {"role": "user", "content": "What is the weather in Tokyo?"},
                {"role": "assistant", "content": "Let me look it up.", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees and light rain"},
                _USER,
            ],
            "tools": OPENAI_TOOLS,
        },
        "function-role": {
            "messages": [
                {"role": "user", "content": "What is the time in Tokyo?"},
                {"role": "assistant", "content": "Let me ask the clock."},
                {"role": "function", "name": NAMED_TOOL, "content": "a quarter past nine"},
                _USER,
            ]
        },
    }


def _anthropic_messages() -> dict[str, Change]:
    use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Tokyo"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 degrees and clear"}
    listed = result | {"content": [{"type": "text", "text": "23 degrees and windy"}]}

    def loop(answer: dict[str, Any]) -> Change:
        return {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "What is the weather in Tokyo?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Let me look it up."}, use]},
                {"role": "user", "content": [answer, {"type": "text", "text": "@text"}]},
            ],
            "tools": ANTHROPIC_TOOLS,
        }

    return {
        "anthropic-blocks": {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "What is a relay?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "A relay passes things on."}]},
                *_asking({"type": "text", "text": "Now listen."})["messages"],
            ]
        },
        "tool-result": loop(result),
        "tool-result-blocks": loop(listed),
    }


def _files() -> dict[str, Change]:
    text = {"type": "text", "media_type": "text/plain", "data": "Weights and measures, a short history."}
    picture = data_url("png", _PICTURE)
    return {
        "image-anthropic": _asking({"type": "image", "source": _base64("image/png", _PICTURE)}),
        "image-openai": _asking({"type": "image_url", "image_url": {"url": picture}}),
        "document-text": _asking({"type": "document", "source": text}),
        "document-pdf": _asking({"type": "document", "source": _base64("application/pdf", _pdf())}),
    }


def _tools() -> dict[str, Change]:
    openai: Change = {"tools": OPENAI_TOOLS}
    anthropic: Change = {"tools": ANTHROPIC_TOOLS}
    return {
        "tools-openai": openai,
        "tools-anthropic": anthropic,
        "choice-none": openai | {"tool_choice": "none"},
        "choice-auto": openai | {"tool_choice": "auto"},
        "choice-required": openai | {"tool_choice": "required"},
        "choice-function": openai | {"tool_choice": {"type": "function", "function": {"name": NAMED_TOOL}}},
        "choice-none-object": anthropic | {"tool_choice": {"type": "none"}},
        "choice-auto-object": anthropic | {"tool_choice": {"type": "auto"}},
        "choice-any-object": anthropic | {"tool_choice": {"type": "any"}},
        "choice-tool-object": anthropic | {"tool_choice": {"type": "tool", "name": NAMED_TOOL}},
    }


def _thinking() -> dict[str, Change]:
    return {
        "thinking-1024": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048},
        "thinking-disabled": {"thinking": {"type": "disabled"}},
        "thinking-adaptive": {"thinking": {"type": "adaptive"}},
    }


VALID: dict[str, Change] = {
    **_openai_messages(),
    **_anthropic_messages(),
    **_files(),
    **_tools(),
    **_thinking(),
    "system-text": {"system": "You are terse and exact."},
    "system-blocks": {
        "system": [
            {"type": "text", "text": "You are brief and calm."},
            {"type": "text", "text": "You never guess a number."},
        ]
    },
    "stream-false": {"stream": False},
    "full-output": {"max_tokens": 128_000},
}

#: Each single violation of the request's shape: name -> (changes, members to drop).
INVALID: dict[str, tuple[Change, tuple[str, ...]]] = {
    "no-model": ({}, ("model",)),
    "unknown-model": ({"model": "weighbridge-no-such-model"}, ()),
    "no-messages": ({}, ("messages",)),
    "messages-text": ({"messages": "Say hello."}, ()),
    "unknown-role": ({"messages": [{"role": "narrator", "content": "@text"}]}, ()),
    "max-tokens-text": ({"max_tokens": "many"}, ()),
    "stop-sequences-text": ({"stop_sequences": "END"}, ()),
    "stream-text": ({"stream": "yes"}, ()),
    "tools-text": ({"tools": "get_weather"}, ()),
    "thinking-1023": ({"thinking": {"type": "enabled", "budget_tokens": 1023}, "max_tokens": 2048}, ()),
    "thinking-no-budget": ({"thinking": {"type": "enabled"}, "max_tokens": 2048}, ()),
}


def filled(change: Change, text: str) -> Change:
    """The change with the last user text in its place."""
    done: Change = json.loads(json.dumps(change).replace('"@text"', json.dumps(text)))
    return done
