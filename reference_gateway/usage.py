"""Token counts as the two wire formats write them, read into and written from one common form.

OpenAI's prompt_tokens include cached tokens; Anthropic's input_tokens exclude cache reads and writes.
"""

from typing import Any

from reference_gateway.jsonwire import JsonObject
from reference_gateway.pricing import MOST_TOKENS, Usage


def from_openai(value: Any) -> Usage | None:
    """Read an OpenAI usage object; None when the counters are missing or make no sense."""
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details") or {}
    searches = value.get("server_tool_use") or {}
    return _usage(
        value.get("prompt_tokens"),
        value.get("completion_tokens"),
        _member(details, "cached_tokens"),
        _member(details, "cache_write_tokens"),
        _member(searches, "web_search_requests"),
    )


def from_anthropic(value: Any) -> Usage | None:
    """Read an Anthropic usage object; None when the counters are missing or make no sense."""
    if not isinstance(value, dict):
        return None
    cached = value.get("cache_read_input_tokens") or 0
    written = value.get("cache_creation_input_tokens") or 0
    fresh = value.get("input_tokens")
    if not (_count(cached) and _count(written) and _count(fresh)) or fresh is None:
        return None
    searches = _member(value.get("server_tool_use") or {}, "web_search_requests")
    return _usage(fresh + cached + written, value.get("output_tokens"), cached, written, searches)


def to_openai(usage: Usage, *, details: bool) -> JsonObject:
    """Write the OpenAI form; `details` forces the cached counter even when it is zero."""
    value: JsonObject = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    if details or usage.cached or usage.written:
        value["prompt_tokens_details"] = {"cached_tokens": usage.cached}
        if usage.written:
            value["prompt_tokens_details"]["cache_write_tokens"] = usage.written
    if usage.searches:
        value["server_tool_use"] = {"web_search_requests": usage.searches}
    return value


def merged_openai(reported: JsonObject, usage: Usage, *, details: bool) -> JsonObject:
    """An OpenAI usage object as reported, further details included; the sum is set right."""
    merged = {**reported, "total_tokens": usage.input + usage.output}
    if details and not isinstance(reported.get("prompt_tokens_details"), dict):
        merged["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    return merged


def to_anthropic(usage: Usage) -> JsonObject:
    """Write the Anthropic form."""
    value: JsonObject = {
        "input_tokens": usage.input - usage.cached - usage.written,
        "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if usage.searches:
        value["server_tool_use"] = {"web_search_requests": usage.searches}
    return value


def _member(value: Any, name: str) -> Any:
    return (value.get(name) or 0) if isinstance(value, dict) else 0


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_TOKENS


def _usage(total_input: Any, output: Any, cached: Any, written: Any, searches: Any) -> Usage | None:
    if not all(_count(value) for value in (total_input, output, cached, written, searches)):
        return None
    if cached + written > total_input:
        return None
    return Usage(total_input, output, cached, written, searches)
