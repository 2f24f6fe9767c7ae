"""A chat call, read: what both dialects ask for, in one form.

`openai_requests.py` and `anthropic_requests.py` read into it; `replies.py` answers it without knowing where it
came from.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from mock_upstreams.pictures import picture_tokens
from mock_upstreams.refusals import bad_request

CHARACTERS_PER_TOKEN: Final = 4
"""What an image adds to the input: that of a 1024 x 1024 picture in the public vision guides."""

Json = dict[str, Any]
_NO_ECHO: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    schema: Json


@dataclass(frozen=True, slots=True)
class CacheMark:
    """The end of a cacheable region: a digest of all content up to it, its length in tokens, its life in seconds."""

    digest: bytes
    tokens: int
    window_s: float


class Call(NamedTuple):
    """One chat call. `schema` is the JSON schema that the reply text must fit, if one was asked for.

    `logprobs` is the number of alternatives wanted for each token, None if no log probabilities are; `searching`
    says that the provider's own web search is among the tools; `echo` is what the answer repeats of the request.
    """

    model: str
    stream: bool
    prompt: str
    input_tokens: int
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    n: int = 1
    tools: tuple[Tool, ...] = ()
    forced_tool: str | None = None
    schema: Json | None = None
    thinking: bool = False
    include_usage: bool = False
    marks: tuple[CacheMark, ...] = ()
    logprobs: int | None = None
    effort: str | None = None
    searching: bool = False
    echo: Mapping[str, Any] = _NO_ECHO


class Identity(NamedTuple):
    """What one answer is known by: 32 hex digits, a request id, and its Unix second."""

    digits: str
    request_id: str
    created: int


def tokens_of(characters: int) -> int:
    """The estimate used all over: four characters a token, at least one."""
    return max(1, -(-characters // CHARACTERS_PER_TOKEN))


_NOT_TEXT: Final = frozenset({"type", "role", "cache_control"})


def text_length(value: Any) -> int:
    """Characters of all strings inside a JSON value, however deep, but for those that only label its parts."""
    total = 0
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, dict):
            waiting.extend(child for name, child in item.items() if name not in _NOT_TEXT)
        elif isinstance(item, list):
            waiting.extend(item)
    return total


class PrefixReader:
    """Reads content in the order in which a provider caches it, and remembers every marked prefix."""

    def __init__(self, model: str) -> None:
        self._hash = hashlib.sha256(model.encode())
        self._characters = 0
        self._picture_tokens = 0
        self.marks: list[CacheMark] = []

    def add(self, role: str, block: Json, *, picture: Any = None) -> None:
        """One block of content; `picture` is what it shows, if it shows one.

        Raises Refusal for a cache_control that is none.
        """
        control = block.get("cache_control")
        content = {key: value for key, value in block.items() if key != "cache_control"}
        try:
            self._hash.update(role.encode() + b"\0" + orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
        except orjson.JSONEncodeError:
            raise bad_request(
                f"{role}: content is nested too deeply or holds a number out of range", role
            ) from None
        if picture is not None:
            self._picture_tokens += picture_tokens(picture)
        else:
            self._characters += text_length(block)
        if control is None:
            return
        ttl = control.get("ttl", "5m") if isinstance(control, dict) else None
        if (
            not isinstance(control, dict)
            or control.get("type") != "ephemeral"
            or ttl not in tuple(_WINDOWS_S)
        ):
            raise bad_request(
                'cache_control: expected {"type": "ephemeral"} with ttl "5m" or "1h"', "cache_control"
            )
        tokens = tokens_of(self._characters) + self._picture_tokens
        self.marks.append(CacheMark(self._hash.digest(), tokens, _WINDOWS_S[ttl]))


_WINDOWS_S: Final = {"5m": 300.0, "1h": 3600.0}
LONG_WINDOW_S: Final = _WINDOWS_S["1h"]


def load_object(body: bytes) -> Json:
    """The JSON object of a request body. Raises Refusal."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise bad_request(f"We could not parse the JSON body of your request: {exc}") from None
    if not isinstance(value, dict):
        raise bad_request("The body of the request must be a JSON object.")
    return value


def marks_present(items: Iterable[Any]) -> bool:
    return any(isinstance(item, dict) and "cache_control" in item for item in items)
