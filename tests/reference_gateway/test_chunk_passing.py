"""Chunks that pass as the bytes that came: the same to every reader as chunks written anew, and nothing slips by."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_gateway.jsonwire import JsonObject
from reference_gateway.sse import SseEvent
from reference_gateway.translation import streams
from reference_gateway.translation.replies import Identity
from reference_gateway.translation.streams import BrokenStreamError, ChatStreamFromOpenAI, Progress

ME = Identity(id="chatcmpl-mine", model="gpt-5.5", created=7)
SHELL = {"id": "chatcmpl-theirs", "object": "chat.completion.chunk", "created": 5, "model": "gpt-5.5-2026"}


class WrittenAnew(ChatStreamFromOpenAI):
    """Writes every chunk itself, as it overrides how chunks are written."""

    written = 0

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        self.written += 1
        return super().chunk(choices)


def piece(delta: JsonObject, index: int = 0, finish: str | None = None, **more: Any) -> JsonObject:
    return {"index": index, "delta": delta, "finish_reason": finish, **more}


def chunk(*choices: JsonObject, **more: Any) -> bytes:
    return json.dumps({**SHELL, "choices": list(choices), **more}).encode()


def compact(data: bytes) -> bytes:
    return json.dumps(json.loads(data), separators=(",", ":"), ensure_ascii=False).encode()


WORDS = [
    chunk(piece({"role": "assistant", "content": ""})),
    chunk(piece({"content": 'a "choices": b'})),
    chunk(piece({"content": "Grüße 世界\n"}, logprobs={"content": [{"logprob": -0.12345678901234567890}]})),
    chunk(piece({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]})),
    chunk(piece({"content": "x"}, 1)),
    chunk(piece({"content": "y"}, 1), piece({"content": "z"})),
    chunk(piece({"content": "o"}), obfuscation="ab"),
    chunk(piece({"content": "p"}), obfuscation="ab"),
    chunk(piece({"content": "n"}), usage=None),
    chunk(piece({"content": "m"}), usage=None),
    chunk(piece({"content": "k"}), usage=None, obfuscation="ab"),
    chunk(piece({"content": "l"}), usage=None, obfuscation="abc"),
    chunk(piece({"content": "l"}), usage={"prompt_tokens": 1, "completion_tokens": 2}, obfuscation="abc"),
    chunk(piece({"content": ',"usage":null'}, usage=None), usage=None, obfuscation=',"usage":null'),
    chunk(
        piece({"content": "r"}, usage=None),
        usage={"prompt_tokens": 2, "completion_tokens": 2},
        obfuscation="c",
    ),
    chunk(piece({"content": "u"}), usage={"prompt_tokens": 1, "completion_tokens": 1}),
    chunk(piece({"content": "not ours"}, 5)),
    chunk({"index": 0, "delta": {"content": "no finish"}}),
    chunk(piece({"content": "q"})),
    chunk(piece({}, finish="stop")),
    chunk(piece({"content": "too late"})),
    chunk(piece({}, 1, finish="length")),
    chunk(usage={"prompt_tokens": 3, "completion_tokens": 4}),
    b"[DONE]",
]
ANEW_ORDER = [json.dumps({"choices": [piece({"content": str(n)})], **SHELL}).encode() for n in range(3)]
IN_A_TEXT = [json.dumps({"x": '"choices":', **json.loads(data)}).encode() for data in WORDS[1:4]]


def said(stream: ChatStreamFromOpenAI, data: list[bytes]) -> list[Any]:
    out = b"".join(stream.feed(SseEvent("", one)) for one in data)
    if stream.progress is not Progress.OPEN:
        out += stream.closing()
    frames = [one for one in out.split(b"\n\n") if one]
    assert all(one.startswith(b"data: ") for one in frames)
    return [json.loads(one[6:]) for one in frames if one != b"data: [DONE]"]


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("written", [compact, bytes], ids=["compact", "spaced"])
@pytest.mark.parametrize("data", [WORDS, ANEW_ORDER, IN_A_TEXT], ids=["usual", "choices first", "in a text"])
def test_a_passed_chunk_says_what_a_written_one_says(data: list[bytes], written: Any, asked: bool) -> None:
    sent = [one if one == b"[DONE]" else written(one) for one in data]
    passed = ChatStreamFromOpenAI(ME, choices=2, include_usage=asked)
    anew = WrittenAnew(ME, choices=2, include_usage=asked)
    found = said(passed, sent)
    assert found == said(anew, sent)
    assert {(one["id"], one["created"], one["model"]) for one in found} == {("chatcmpl-mine", 7, "gpt-5.5")}
    assert passed.usage == anew.usage
    assert ("usage" in found[0]) is asked


def test_the_bytes_of_an_ordinary_chunk_are_not_touched_behind_its_head() -> None:
    stream = ChatStreamFromOpenAI(ME)
    stream.feed(SseEvent("", compact(WORDS[0])))
    odd = compact(WORDS[1]).replace(b'"delta":', b'"delta" :  ').replace(b"null", b'null , "n":1e2')
    assert b'"delta" :  ' in stream.feed(SseEvent("", odd))
    assert b'"n":1e2' in stream.feed(SseEvent("", odd))


def test_a_subclass_that_writes_chunks_itself_is_given_all_of_them() -> None:
    stream = WrittenAnew(ME)
    for data in WORDS[:4]:
        stream.feed(SseEvent("", compact(data)))
    assert stream.written == 4


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b'{"error":{"message":"x"}}',
        compact(WORDS[1])[:-1] + b',"error":{"message":"x"}}',
        compact(WORDS[1]).replace(b'"delta":', b'"delte":'),
        compact(WORDS[1]).replace(b'"index":0', b'"index":true'),
        compact(WORDS[1]).replace(b"b", b"\xff"),
    ],
)
def test_a_chunk_that_makes_no_sense_breaks_the_stream_after_good_ones_too(bad: bytes) -> None:
    stream = ChatStreamFromOpenAI(ME)
    for data in WORDS[:2]:
        stream.feed(SseEvent("", compact(data)))
    with pytest.raises(BrokenStreamError):
        stream.feed(SseEvent("", bad))


ODD = [
    *(b"\\", b'\\"', b'"', b"\\n", b"\\u00e9", b"\\ud800", b"\\x", b"\n", b"\xc3", b"\xed\xa0\x80", b"\x7f"),
    b'","finish_reason":"stop","x":"',
    b'"},"finish_reason":"stop"}],"error":{"x":"',
    b'\\"content\\":\\"',
]
INSIDE = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(lambda text: json.dumps(text)[1:-1].encode()),
    st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False)[1:-1].encode()),
    st.sampled_from(ODD),
)


@given(st.lists(INSIDE, max_size=6), st.booleans(), st.booleans())
def test_whatever_stands_for_a_text_is_read_as_a_parser_reads_it(
    insides: list[bytes], usage: bool, spaced: bool
) -> None:
    one = chunk(piece({"content": "@"}, logprobs=None), **({"usage": None} if usage else {}))
    form = one if spaced else compact(one)
    passed, anew = ChatStreamFromOpenAI(ME), WrittenAnew(ME)
    said(passed, [form, form, form])
    said(anew, [form, form, form])
    for inside in insides:
        sent = [form.replace(b"@", inside)]
        try:
            expected = said(anew, sent)
        except BrokenStreamError:
            with pytest.raises(BrokenStreamError):
                said(passed, sent)
            return
        assert said(passed, sent) == expected
        if anew.progress is not Progress.OPEN:
            return


def test_a_choice_that_has_finished_says_no_more_in_the_form_it_had() -> None:
    words = [chunk(piece({"content": text}, index)) for text in "abc" for index in (0, 1)]
    data = [*words, chunk(piece({}, finish="stop")), *words, chunk(piece({}, 1, finish="stop")), *words]
    sent = [*map(compact, data), b"[DONE]", compact(words[0])]
    assert said(ChatStreamFromOpenAI(ME, choices=2), sent) == said(WrittenAnew(ME, choices=2), sent)


def test_a_chunk_without_choices_says_nothing() -> None:
    stream = ChatStreamFromOpenAI(ME)
    for data in WORDS[:3]:
        stream.feed(SseEvent("", compact(data)))
    assert stream.feed(SseEvent("", compact(chunk()))) == b""


def test_an_error_in_the_form_of_a_chunk_is_told_by_the_name_of_its_event() -> None:
    stream = ChatStreamFromOpenAI(ME)
    for data in WORDS[:2]:
        stream.feed(SseEvent("", compact(data)))
    assert stream.feed(SseEvent("", compact(WORDS[1]))) != b""
    with pytest.raises(BrokenStreamError):
        stream.feed(SseEvent("error", compact(WORDS[1])))


def test_a_chunk_as_the_one_before_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = ChatStreamFromOpenAI(ME)
    for data in WORDS[:2]:
        stream.feed(SseEvent("", compact(data)))
    first = stream.feed(SseEvent("", compact(WORDS[1])))
    monkeypatch.setattr(streams, "read_event", None)
    other = compact(WORDS[1]).replace(b'b"}', 'Ä\\n"}'.encode())
    assert stream.feed(SseEvent("", other)) == first.replace(b'b"}', 'Ä\\n"}'.encode())
