"""What recurs from call to call, and is therefore worked out once: all caches of that kind.

A load test sends the same few things again and again: the same headers, the same keys in the token, and so the same
text in the same pieces. Each cache holds values of a pure function of its key, so that an answer from the cache is the same answer; what
makes two calls differ (ids, prompts, the time) is in none of the values. Since callers decide on the keys, each cache
is bounded by the number of its entries and by the size of what it takes in.
"""

import functools
from typing import Final

from mock_upstreams import openai_replies
from mock_upstreams.calls import Call, Identity
from mock_upstreams.heads import Head
from mock_upstreams.plans import StreamParts
from mock_upstreams.refusals import bad_request
from mock_upstreams.replies import Reply, Usage
from mock_upstreams.scenario import OVER_TIME, Scenario, Token, build, check_fit, read_keys
from mock_upstreams.scenario_keys import ScenarioError
from mock_upstreams.stencils import Stamped, Stencil

_LONGEST_KEYS: Final = 1024
_LONGEST_TEXT: Final = 4096
_MOST_PIECES: Final = 256

_ONE_CALL_ONLY: Final = frozenset((*OVER_TIME, "scenario"))


def scenario_of(token: Token, surface: str, *, streamed: bool) -> Scenario | None:
    """The scenario of a call for which its token alone decides; None if more is needed to tell.

    Raises Refusal (400, "simulator: ...").
    """
    if token.id is None or len(token.raw) > _LONGEST_KEYS or not token.raw.endswith("]]"):
        return None
    return _scenario(token.keys, surface, streamed)


@functools.lru_cache(maxsize=512)
def _scenario(keys: str, surface: str, streamed: bool) -> Scenario | None:
    stated = read_keys(keys)
    if not _ONE_CALL_ONLY.isdisjoint(stated):
        return None
    check_fit(stated, surface, streamed=streamed)
    try:
        return build(stated)
    except ScenarioError as exc:
        raise bad_request(f"simulator: {exc}") from None


def chunk_stream(call: Call, reply: Reply, identity: Identity, scenario: Scenario) -> StreamParts:
    """As `openai_replies.chunk_stream`, from a stencil where the answer is of the plain kind."""
    if (
        scenario.fault is not None
        or reply.tools
        or call.n != 1
        or call.logprobs is not None
        or reply.pieces > _MOST_PIECES
        or len(reply.text) > _LONGEST_TEXT
        or len(call.model) > _LONGEST_KEYS
    ):
        return openai_replies.chunk_stream(call, reply, identity, scenario)
    name = openai_replies.stream_name(identity)
    usage = reply.usage if call.include_usage else None
    stencil = _chunk_stencil(call.model, reply.text, reply.pieces, reply.finish, usage, len(name))
    return openai_replies.stream_parts(Stamped(stencil, name), call, identity, scenario)


@functools.lru_cache(maxsize=256)
def _chunk_stencil(
    model: str, text: str, pieces: int, finish: str, usage: Usage | None, length: int
) -> Stencil:
    return Stencil.of(openai_replies.plain_chunks(model, text, pieces, finish, usage), length)


class KnownHeads:
    """Heads of plain requests, byte for byte, with what the HTTP parser has made of each and the length of the body.

    A connection repeats its headers with every request, so most heads have been parsed before. Those that come once only
    (a caller may put an id of its own into each) would crowd the others out; a head is kept when it comes again.
    """

    __slots__ = ("_known", "_once")

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Head, int]] = {}
        self._once: set[int] = set()

    def whole(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and the body, if `data` is exactly one request whose head is known."""
        end = data.find(_END_OF_HEAD, 0, _LONGEST_HEAD)
        known = self._known.get(data[:end]) if end > 0 else None
        if known is None:
            return None
        body = data[end + len(_END_OF_HEAD) :]
        return (known[0], body) if len(body) == known[1] else None

    def learn(self, data: bytes, head: Head) -> bool:
        """Whether `data`, of which the parser has read `head` first, is exactly one plain request; if so, know it again.

        Plain is what means the same to every reader: one length, nothing coded, every line ended as it should be.
        """
        end = data.find(_END_OF_HEAD, 0, _LONGEST_HEAD)
        line, headers = data[:end], head.headers
        lengths = headers.getall("content-length", ["0"])
        if (
            end < 0
            or not (head.is_11 and head.keep_alive)
            or len(lengths) != 1
            or lengths[0] != str(len(data) - end - len(_END_OF_HEAD))
            or any(name in headers for name in _CODED)
            or not line.startswith(head.method.encode() + b" ")
            or line.count(b"\n") != line.count(b"\r\n")
        ):
            return False
        mark = hash(line)
        if mark in self._once:
            if len(self._known) >= _MOST_HEADS:
                del self._known[next(iter(self._known))]
            self._known[line] = head, int(lengths[0])
            self._once.discard(mark)
        else:
            if len(self._once) >= _MOST_ONCE:
                self._once.clear()
            self._once.add(mark)
        return True


_END_OF_HEAD: Final = b"\r\n\r\n"
_LONGEST_HEAD: Final = 4096
_MOST_HEADS: Final = 1024
_MOST_ONCE: Final = 8192
_CODED: Final = ("transfer-encoding", "content-encoding", "expect", "upgrade")
