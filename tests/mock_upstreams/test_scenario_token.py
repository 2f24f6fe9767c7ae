"""Reading the scenario token: where it is found, what it may say, and how a mistake is told."""

import pytest

from mock_upstreams.faults import CHAT, FAULTS, IN_CALL, JOBS, OTHER
from mock_upstreams.refusals import Refusal
from mock_upstreams.scenario import Scenario, find_token, read_scenario


def read(raw: str, surface: str = CHAT, *, streamed: bool = True) -> Scenario:
    found = find_token(raw.encode())
    assert found is not None
    return read_scenario(found, surface, streamed=streamed)


def test_the_last_token_of_a_body_wins() -> None:
    found = find_token(b'{"a":"[[wb:old;text=x]]","b":"... [[wb:new]] ..."}')
    assert found is not None
    assert (found.id, found.raw) == ("new", "[[wb:new]]")


def test_the_body_comes_before_the_query_and_the_query_before_the_header() -> None:
    places = (b"[[wb:body]]", b"[[wb:query]]", b"[[wb:header]]")
    for i, expected in enumerate(("body", "query", "header")):
        found = find_token(*(None,) * i, *places[i:])
        assert found is not None
        assert found.id == expected
    assert find_token(b"no token", None, b"") is None


def test_every_key_reaches_its_field() -> None:
    scenario = read(
        "[[wb:a-B_9;text=caf%C3%A9%3B%5D;chunks=3;in=100;out=50;cached=10;written=20;searches=2;reasoning=7;"
        "finish=length;tool=f;args=%7B%22a%22%3A1%7D;ttft_ms=1.5;gap_ms=20;fault=reset;after=4;message=m]]"
    )
    assert scenario == Scenario(
        text="café;]",
        chunks=3,
        input_tokens=100,
        output_tokens=50,
        cached=10,
        written=20,
        searches=2,
        reasoning=7,
        finish="length",
        tool="f",
        args='{"a":1}',
        ttft_ms=1.5,
        gap_ms=20.0,
        fault="reset",
        after=4,
        message="m",
    )
    media = read("[[wb:m;outcome=moderated;duration_ms=10;n=2]]", JOBS, streamed=False)
    assert (media.outcome, media.duration_ms, media.n) == ("moderated", 10.0, 2)


def test_json_string_escapes_around_a_token_are_undone() -> None:
    assert read(r"[[wb:x\u003btext\u003dhi\/there]]").text == "hi/there"
    assert read(r"[[wb:x;text=caf\u00e9]]").text == "café"


@pytest.mark.parametrize("fault", sorted(IN_CALL))
def test_every_fault_of_a_call_can_be_asked_for(fault: str) -> None:
    extra = ";status=500" if fault == "status" else ""
    surface = FAULTS[fault].surfaces[0]
    assert read(f"[[wb:x;fault={fault}{extra}]]", surface, streamed=surface == CHAT).fault == fault


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("[[wb:x;txt=1]]", "unknown key 'txt'; did you mean 'text'?"),
        ("[[wb:x;faults=reset]]", "unknown key 'faults'; did you mean 'fault'?"),
        ("[[wb:x;fault=resett]]", "fault=resett is impossible; give one of"),
        ("[[wb:x;fault=rest]]", "did you mean 'reset'?"),
        ("[[wb:x;in=-1]]", "in=-1 is impossible; give an integer from 0 to 1000000000"),
        ("[[wb:x;in=٣]]", "in=٣ is impossible"),
        ("[[wb:x;gap_ms=soon]]", "gap_ms=soon is impossible; give milliseconds"),
        ("[[wb:x;text=%zz]]", "the value of 'text' is not percent-encoded"),
        ("[[wb:x;text=%ff]]", "the value of 'text' is not UTF-8"),
        ("[[wb:x;text]]", "key 'text' has no value"),
        ("[[wb:x;]]", "unknown key ''"),
        ("[[wb:x;text=a;text=b]]", "key 'text' is given twice"),
        ("[[wb:x;args=%5B%5D;tool=f]]", "give a JSON object"),
        ("[[wb:x;args=%7B%7D]]", "args= needs tool="),
        ("[[wb:x;fault=status]]", "fault=status needs status="),
        ("[[wb:x;fault=status;status=200]]", "fault=status needs status= from 400"),
        ("[[wb:x;fault=reset;status=500]]", "status= does not go with fault=reset"),
        ("[[wb:x;fault=html;status=304]]", "status=304 has no body"),
        ("[[wb:x;retry_after=3]]", "retry_after= needs status="),
        ("[[wb:x;status=429;retry_after=later]]", "give whole seconds, an HTTP date, or date+SECONDS"),
        ("[[wb:x;after=1]]", "after= needs fault="),
        ("[[wb:x;text=ab;chunks=3]]", "chunks=3 is more than the 2 characters of text="),
        ("[[wb:x;in=5;cached=3;written=3]]", "cached= plus written= is more than in="),
        ("[[wb:x;out=5;reasoning=6]]", "reasoning= is more than out="),
        ("[[wb:x;fault=split_utf8;text=plain]]", "needs a character beyond ASCII"),
        ("[[wb:x;outcome=failed]]", "key 'outcome' is for media jobs only"),
        ("[[wb:bad id]]", "is malformed; write [[wb:ID;key=value]]"),
        ("[[wb:" + "x" * 65 + "]]", "is malformed"),
        ("[[wb:]]", "is malformed"),
        ("[[wb:never closed", "is malformed"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(raw: str, says: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(raw)
    assert refused.value.status == 400
    assert refused.value.message.startswith("simulator: ")
    assert says in refused.value.message


def test_a_fault_outside_its_surface_is_refused() -> None:
    with pytest.raises(Refusal, match="fault=end_early is for chat completions, messages and responses only"):
        read("[[wb:x;fault=end_early]]", OTHER, streamed=False)
    with pytest.raises(Refusal, match="fault=wrong_usage is for chat completions and responses only"):
        read("[[wb:x;fault=wrong_usage]]", "messages")
    with pytest.raises(Refusal, match="key 'chunks' is for chat completions, messages and responses only"):
        read("[[wb:x;chunks=2]]", OTHER, streamed=False)


def test_an_id_is_known_even_when_the_rest_is_wrong() -> None:
    found = find_token(b"[[wb:known;nonsense]]")
    assert found is not None
    assert found.id == "known"
