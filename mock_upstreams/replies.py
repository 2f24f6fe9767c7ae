"""The reply to a call, before any dialect: text, tool call, finish and usage.

What the scenario states is taken exactly; what it leaves open is what a sane provider would do: plausible text
that depends on the prompt alone, cut where the request says so, and an honest count.
"""

import functools
import itertools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from mock_upstreams.calls import CHARACTERS_PER_TOKEN, Call, tokens_of
from mock_upstreams.examples import example
from mock_upstreams.prompt_cache import CacheUse
from mock_upstreams.refusals import bad_request
from mock_upstreams.scenario import Scenario

MAX_EVENTS: Final = 200_000
"""Content events of one answer, over all its choices."""
MAX_TEXT: Final = 1_048_576
"""Characters of one answer, over all its choices."""

_SENTENCES: Final = (
    "The short answer is yes, with one condition that is easy to overlook. ",
    "Start with the smallest case and make sure that it holds. ",
    "There are two ways to read the question, and they lead to different results. ",
    "In practice the first step takes most of the time. ",
    "The figures agree with each other to within a few percent. ",
    "It helps to write the assumptions down before changing anything. ",
    "A second look shows that the order of the steps matters. ",
    "The usual approach works here as well, only slower. ",
    "Measure before and after, and keep both results. ",
    "Most of the difference comes from a single place. ",
    "That leaves one open point, which can be settled later. ",
    "The example below uses the default settings. ",
    "If the input is empty, the result is empty too. ",
    "Each part can be checked on its own. ",
    "Nothing else needs to change for this to work. ",
    "In short, keep it simple and verify the result. ",
)
_SHORTEST_SENTENCE: Final = min(map(len, _SENTENCES))
_TOKENS: Final = re.compile(r"\[\[wb:[^\]]*\]\]")
_BEYOND_ASCII: Final = "Naïve façade: 東京 is 12 °C, Ωmega costs 5 € 🙂. "
_DEFAULT_SENTENCES: Final = 4


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is JSON text; a stream sends it in `fragments` pieces."""

    name: str
    arguments: str
    fragments: int


class Usage(NamedTuple):
    """Counts as billed: `input` includes `cached` and `written`; `written` includes `written_long`."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    written_long: int = 0
    reasoning: int = 0
    searches: int = 0


class Reply(NamedTuple):
    """`finish` is the OpenAI word; `stop_sequence` is the one that cut the text, if one did.

    A stream sends the text in `pieces` pieces. `redacted` thinking is delivered encrypted.
    """

    text: str
    pieces: int
    tools: tuple[ToolCall, ...]
    thinking: str | None
    redacted: bool
    finish: str
    stop_sequence: str | None
    usage: Usage


def compose(call: Call, scenario: Scenario, cache: CacheUse, seed: int) -> Reply:
    """The reply to `call`. Raises Refusal if the scenario cannot be done for this call."""
    tools = _tools(call, scenario)
    text, finish, stop_sequence = _text(call, scenario, seed, has_tool=bool(tools))
    if len(text) * call.n > MAX_TEXT:
        raise bad_request(
            f"simulator: the text of all choices is longer than {MAX_TEXT} characters; shorten it"
        )
    wanted = scenario.chunks if text else None
    if scenario.chunk_tokens is not None:
        wanted = -(-tokens_of(len(text)) // scenario.chunk_tokens)
    if wanted is not None and wanted * call.n > MAX_EVENTS:
        raise bad_request(f"simulator: chunks= times n is more than {MAX_EVENTS}; lower one")
    thinking = scenario.thinking
    if thinking is None and (call.thinking or scenario.redacted):
        thinking = _sentences(call, seed + 1, 1).strip()
    written_text = len(text) + sum(len(tool.arguments) for tool in tools) + len(thinking or "")
    return Reply(
        text=text,
        pieces=(wanted or min(tokens_of(len(text)), MAX_EVENTS // call.n)) if text else 0,
        tools=tools,
        thinking=thinking,
        redacted=scenario.redacted,
        finish=_finish(scenario, finish, has_tool=bool(tools)),
        stop_sequence=stop_sequence if scenario.finish is None else None,
        usage=_usage(call, scenario, cache, tokens_of(written_text) * call.n),
    )


def _tools(call: Call, scenario: Scenario) -> tuple[ToolCall, ...]:
    if scenario.tool_calls:
        return tuple(
            ToolCall(scripted.name, scripted.arguments, tokens_of(len(scripted.arguments)))
            for scripted in scenario.tool_calls
        )
    name = scenario.tool or call.forced_tool
    if name is None and scenario.finish == "tool_calls":
        if not call.tools:
            raise bad_request("simulator: finish=tool_calls needs tool=, or tools in the request")
        name = call.tools[0].name
    if name is None:
        return ()
    arguments = scenario.args
    if arguments is None:
        schema = next((tool.schema for tool in call.tools if tool.name == name), {})
        value = example(schema)
        arguments = _encoded(value if isinstance(value, dict) else {})
    count = scenario.chunks if scenario.chunks is not None and not scenario.text else None
    count = min(count or tokens_of(len(arguments)), len(arguments))
    return (ToolCall(name, arguments, count),)


def _encoded(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise bad_request("tools: a schema is nested too deeply or holds a number out of range") from None


def _text(call: Call, scenario: Scenario, seed: int, *, has_tool: bool) -> tuple[str, str, str | None]:
    """The text, why it ends, and the stop sequence that ended it."""
    if scenario.text is not None:
        return scenario.text, "stop", None
    if has_tool:
        return "", "stop", None
    if scenario.chunks is not None:
        length = scenario.chunks * CHARACTERS_PER_TOKEN
        return _sentences(call, seed, -(-length // _SHORTEST_SENTENCE))[:length], "stop", None
    if call.schema is not None:
        text = _encoded(example(call.schema))
    else:
        text = _sentences(call, seed, _DEFAULT_SENTENCES).strip()
        if scenario.fault == "split_utf8":
            text = _BEYOND_ASCII + text
    cuts = [(at, stop) for stop in call.stops if (at := text.find(stop)) >= 0]
    stopped = min(cuts, default=None)
    if stopped is not None:
        text = text[: stopped[0]]
    if call.max_tokens is not None and len(text) > call.max_tokens * CHARACTERS_PER_TOKEN:
        return text[: call.max_tokens * CHARACTERS_PER_TOKEN], "length", None
    return text, "stop", stopped[1] if stopped else None


def _sentences(call: Call, seed: int, count: int) -> str:
    """Plausible sentences that depend on the prompt, the model and the seed alone."""
    prompt = _TOKENS.sub("", call.prompt) if "[[wb:" in call.prompt else call.prompt
    start = zlib.crc32(f"{seed}\0{call.model}\0{prompt}".encode())
    join = _few_sentences if count <= _FEW else _joined
    return join(start % len(_SENTENCES), (start >> 8) % 8 * 2 + 1, count)


def _joined(first: int, stride: int, count: int) -> str:
    return "".join(_SENTENCES[(first + i * stride) % len(_SENTENCES)] for i in range(count))


_FEW: Final = 64
_few_sentences: Final = functools.lru_cache(maxsize=1024)(_joined)


def _finish(scenario: Scenario, natural: str, *, has_tool: bool) -> str:
    if scenario.finish is not None:
        return scenario.finish
    return "tool_calls" if has_tool else natural


def _usage(call: Call, scenario: Scenario, cache: CacheUse, output: int) -> Usage:
    cached = cache.read if scenario.cached is None else scenario.cached
    written = cache.written if scenario.written is None else scenario.written
    stated_input = scenario.input_tokens
    stated_output = scenario.output_tokens
    reasoning = scenario.reasoning
    if reasoning is None:
        reasoning = _EFFORT_TOKENS.get(call.effort or "", 0)
        if call.max_tokens is not None:
            reasoning = min(reasoning, call.max_tokens - min(output, call.max_tokens))
        if stated_output is not None:
            reasoning = min(reasoning, stated_output)
    return Usage(
        input=max(call.input_tokens, cached + written) if stated_input is None else stated_input,
        output=output + reasoning if stated_output is None else stated_output,
        cached=cached,
        written=written,
        written_long=min(cache.written_long, written),
        reasoning=reasoning,
        searches=scenario.searches,
    )


_EFFORT_TOKENS: Final = {"low": 64, "medium": 192, "high": 512, "xhigh": 1024, "max": 2048}
"""Reasoning tokens of a reply to a call that asks for this much effort."""


def encoded_pieces(text: str, count: int) -> Sequence[bytes]:
    """`text` in `count` pieces of equal length, give or take one character, each as a JSON string."""
    return (_short_pieces if len(text) <= _SHORT_TEXT else _pieces)(text, count)


def _pieces(text: str, count: int) -> Sequence[bytes]:
    length = len(text)
    edges = [i * length // count for i in range(count + 1)] if count else []
    # orjson makes its result in a kilobyte and cuts that short, and what is cut off is too small for the next: a copy
    # is as large as what it holds.
    return [bytes(memoryview(orjson.dumps(text[start:end]))) for start, end in itertools.pairwise(edges)]


# A load test sends the same prompt again and again, and so gets the same reply.
_short_pieces: Final = functools.lru_cache(maxsize=512)(_pieces)
_SHORT_TEXT: Final = 8192
