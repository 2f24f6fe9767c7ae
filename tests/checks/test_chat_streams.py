"""Rules about chat streams: each catches its defect and spares the odd but right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.checks.chat_evidence import DONE, FINISH, FIRST, GOOD, ROLE, SECOND, TEXT, call, chunk, stream
from weighbridge.checks import stream_breaks, streams
from weighbridge.evidence import Call, Ending, Observation
from weighbridge.scenario import Scenario
from weighbridge.suite import Rule
from weighbridge.verdict import Outcome

ALL: dict[str, Rule] = {
    "type": streams.is_event_stream,
    "chunks": streams.events_are_chunks,
    "done": streams.has_done,
    "done once": streams.done_once_and_last,
    "object": streams.object_is_chunk,
    "identity": streams.identity_is_stable,
    "delta": streams.has_choices_and_delta,
    "role": streams.role_comes_first,
    "finish null": streams.finish_null_before,
    "finish last": streams.finish_is_last,
    "finish once": streams.finish_once,
    "text": streams.text_is_whole,
    "usage": streams.no_usage,
    "compression": streams.not_compressed,
}
SCRIPT = Scenario(text=TEXT)

#: Odd but right: what no rule may accuse.
BENIGN = {
    "plain": GOOD,
    "CRLF": GOOD.replace("\n", "\r\n"),
    "CR": GOOD.replace("\n", "\r"),
    "keep-alive comments": ": hi\n\n" + GOOD.replace(FIRST, ": still here\n\n" + FIRST),
    "role with content": chunk({"role": "assistant", "content": TEXT}) + FINISH + DONE,
    "null usage": GOOD.replace('"created"', '"usage": null, "created"'),
    "more members": GOOD.replace('"created"', '"system_fingerprint": "fp", "created"'),
    "no space after data:": GOOD.replace("data: ", "data:"),
    "finish with the last text": ROLE + FIRST + chunk({"content": TEXT[5:]}, "stop") + DONE,
    "byte order mark": "\ufeff" + GOOD,
    "event ids": GOOD.replace("data:", "id: 1\ndata:"),
}


@pytest.mark.parametrize("variant", BENIGN)
@pytest.mark.parametrize("rule", ALL)
def test_an_odd_but_right_stream_is_spared(rule: str, variant: str) -> None:
    finding = ALL[rule](stream(BENIGN[variant], scenario=SCRIPT))
    assert finding.outcome is Outcome.MET, finding.message


#: name of the rule -> bodies that it must catch
WRONG = {
    "chunks": [
        ROLE + "data: {nonsense\n\n" + FINISH + DONE,
        GOOD.removesuffix("\n"),
        ROLE + FINISH + "data: hi\n\n" + DONE,
    ],
    "done": [GOOD.removesuffix(DONE), ROLE + FIRST],
    "done once": [GOOD + DONE, GOOD + FIRST, GOOD.replace(SECOND, DONE + SECOND)],
    "object": [GOOD.replace("completion.chunk", "completion")],
    "identity": [
        ROLE + FIRST.replace("chatcmpl-1", "chatcmpl-2") + FINISH + DONE,
        ROLE + FIRST.replace("gpt-5.5", "gpt-5.4") + FINISH + DONE,
    ],
    "delta": [GOOD.replace('"delta"', '"message"'), GOOD.replace('"index": 0', '"index": "0"')],
    "role": [FIRST + SECOND + FINISH + DONE],
    "finish null": [ROLE + chunk({"content": "a"}, "stop") + SECOND + DONE],
    "finish last": [ROLE + FIRST + DONE, ROLE + FINISH + FIRST + DONE, ROLE + chunk({}, "end_turn") + DONE],
    "finish once": [ROLE + FINISH + FINISH + DONE],
    "text": [
        ROLE + FIRST + FINISH + DONE,
        GOOD.replace("京", "亰"),
        ROLE + FIRST + SECOND + SECOND + FINISH + DONE,
    ],
    "usage": [GOOD.replace('"created"', '"usage": {"prompt_tokens": 1}, "created"')],
}


@pytest.mark.parametrize(
    ("rule", "number"), [(name, i) for name, bodies in WRONG.items() for i in range(len(bodies))]
)
def test_a_wrong_stream_is_caught_by_its_rule(rule: str, number: int) -> None:
    finding = ALL[rule](stream(WRONG[rule][number], scenario=SCRIPT))
    assert finding.outcome is Outcome.BROKEN, finding.message
    assert finding.evidence == ("w-1",)


@pytest.mark.parametrize("rule", [name for name in ALL if name not in {"type", "compression"}])
def test_an_error_reply_is_not_judged_as_a_stream(rule: str) -> None:
    finding = ALL[rule](call({"error": {}}, status=500, streamed=True, scenario=SCRIPT))
    assert finding.outcome is Outcome.NOT_VERIFIED


def test_json_in_place_of_a_stream_breaks_the_content_type_only() -> None:
    reply = call({"choices": []}, streamed=True, scenario=SCRIPT)
    assert streams.is_event_stream(reply).outcome is Outcome.BROKEN
    assert streams.has_done(reply).outcome is Outcome.NOT_VERIFIED


def test_a_compressed_stream_is_caught() -> None:
    reply = stream(GOOD, headers=(("Content-Encoding", "gzip"),))
    assert streams.not_compressed(reply).outcome is Outcome.BROKEN


def test_without_a_script_the_text_is_not_verified() -> None:
    assert streams.text_is_whole(stream(GOOD)).missing == "upstream"


BROKEN_SCRIPT = Scenario(fault="reset", after=2)
ERROR = 'data: {"error": {"message": "x"}}\n\n'
#: The form in which some routers tell of a provider that broke.
ERROR_CHUNK = chunk({"content": ""}, "error").replace('{"id"', '{"error": {"message": "x"}, "id"', 1)


@pytest.mark.parametrize(
    ("end", "ending", "signalled", "made_up", "done"),
    [
        ("", Ending.COMPLETE, Outcome.MET, Outcome.MET, Outcome.MET),
        ("", Ending.RESET, Outcome.MET, Outcome.MET, Outcome.MET),
        (ERROR, Ending.COMPLETE, Outcome.MET, Outcome.MET, Outcome.MET),
        (ERROR_CHUNK, Ending.COMPLETE, Outcome.MET, Outcome.MET, Outcome.MET),
        (FINISH + DONE, Ending.COMPLETE, Outcome.BROKEN, Outcome.BROKEN, Outcome.BROKEN),
        (DONE, Ending.COMPLETE, Outcome.BROKEN, Outcome.MET, Outcome.BROKEN),
        (DONE, Ending.RESET, Outcome.MET, Outcome.MET, Outcome.BROKEN),
        (DONE + ERROR, Ending.COMPLETE, Outcome.BROKEN, Outcome.MET, Outcome.BROKEN),
        (FINISH, Ending.COMPLETE, Outcome.BROKEN, Outcome.MET, Outcome.MET),
        (FINISH, Ending.RESET, Outcome.MET, Outcome.MET, Outcome.MET),
        (FINISH + ERROR, Ending.COMPLETE, Outcome.MET, Outcome.MET, Outcome.MET),
        (ERROR + DONE, Ending.COMPLETE, Outcome.MET, Outcome.MET, Outcome.MET),
        (ERROR + FINISH + DONE, Ending.COMPLETE, Outcome.MET, Outcome.BROKEN, Outcome.MET),
    ],
)
def test_a_broken_upstream_is_three_facts(
    end: str, ending: Ending, signalled: Outcome, made_up: Outcome, done: Outcome
) -> None:
    reply = stream(ROLE + FIRST + end, ending=ending, scenario=BROKEN_SCRIPT)
    assert stream_breaks.is_signalled(reply).outcome is signalled
    assert stream_breaks.finish_is_not_made_up(reply).outcome is made_up
    assert stream_breaks.done_is_not_the_only_word(reply).outcome is done


@pytest.mark.parametrize(
    ("end", "made_up", "done"),
    [
        ("", Outcome.MET, Outcome.MET),
        (ERROR_CHUNK, Outcome.MET, Outcome.MET),
        (FINISH + ERROR, Outcome.BROKEN, Outcome.MET),
        (ERROR + DONE, Outcome.MET, Outcome.BROKEN),
    ],
)
def test_after_an_early_end_neither_finish_nor_end_mark_may_be_invented(
    end: str, made_up: Outcome, done: Outcome
) -> None:
    reply = stream(ROLE + FIRST + end, scenario=BROKEN_SCRIPT)
    assert stream_breaks.no_made_up_finish(reply).outcome is made_up
    assert stream_breaks.no_done_after_break(reply).outcome is done


def test_without_a_script_nobody_knows_that_a_stream_broke() -> None:
    assert stream_breaks.is_signalled(stream(GOOD)).missing == "upstream"


def _tool_stream(*fragments: str, name: str = "get_weather") -> str:
    first = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": fragments[0]},
    }
    rest = [{"index": 0, "function": {"arguments": text}} for text in fragments[1:]]
    body = "".join(chunk({"tool_calls": [fragment]}) for fragment in [first, *rest])
    return ROLE + body + chunk({}, "tool_calls") + DONE


def test_tool_fragments_must_concatenate_to_the_call() -> None:
    script = Scenario(tool="get_weather", args='{"city": "Oslo"}')
    whole = stream(_tool_stream('{"ci', 'ty": "Os', 'lo"}'), scenario=script)
    lost = stream(_tool_stream('{"ci', 'lo"}'), scenario=script)
    other = stream(_tool_stream('{"city": "Oslo"}', name="set_weather"), scenario=script)
    assert streams.tool_call_is_whole(whole).outcome is Outcome.MET
    assert streams.tool_call_is_whole(lost).outcome is Outcome.BROKEN
    assert streams.tool_call_is_whole(other).outcome is Outcome.BROKEN


def _plain(text: str, finish: str = "stop") -> Call:
    body: dict[str, Any] = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}]
    }
    return call(body, scenario=SCRIPT)


def test_streamed_and_plain_reply_must_agree() -> None:
    same = Observation("p", (_plain(TEXT), stream(GOOD, scenario=SCRIPT)))
    other = Observation("p", (_plain(TEXT, "length"), stream(GOOD, scenario=SCRIPT)))
    assert [f.outcome for f in streams.same_as_unstreamed(same)] == [Outcome.MET]
    assert [f.outcome for f in streams.same_as_unstreamed(other)] == [Outcome.BROKEN]


def test_a_usage_chunk_that_was_asked_for_may_follow_the_finish() -> None:
    usage = f"data: {json.dumps({'id': 'chatcmpl-1', 'object': 'chat.completion.chunk', 'created': 1764000000, 'model': 'gpt-5.5', 'choices': [], 'usage': {'prompt_tokens': 1}})}\n\n"
    body = GOOD.replace(DONE, usage + DONE)
    asked = stream(body, request={"stream_options": {"include_usage": True}})
    unasked = stream(body)
    assert streams.finish_is_last(asked).outcome is Outcome.MET
    assert streams.finish_is_last(unasked).outcome is Outcome.BROKEN
