"""The grammar of gates and what they measure."""

import pytest

from weighbridge.errors import UsageError
from weighbridge.load.figures import ClientProcess, Failure, Figures, Tally
from weighbridge.load.gates import judge, parse, with_default


def figures() -> Figures:
    tally = Tally()
    for value in range(1, 1001):
        tally.histograms["ttft"].record(value * 100)
    tally.started = 1000
    tally.completed = 990
    tally.failures.update({Failure.HTTP_5XX: 8, Failure.RESET: 2})
    tally.chunks = 20_000
    tally.coalesced = 100
    tally.processes.append(ClientProcess(pid=1, window_s=10.0, cpu_s=1.0, chunks=20_000, streams=1000))
    return Figures.of(tally)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("ttft.p99<400ms", True),
        ("ttft.p99<99ms", False),
        ("ttft.p50 <= 0.0501s", True),
        ("ttft.p99.9>=99000us", True),
        ("ttft.min<0.11ms", True),
        ("ttft.max<=100ms", True),
        ("ttft.mean<50ms", False),
        ("completion>=99%", True),
        ("completion>=0.991", False),
        ("errors<=10", True),
        ("errors.http_5xx<8", False),
        ("errors.timeout_idle<=0", True),
        ("chunks_s>1999", True),
        ("streams_s>=100", True),
        ("coalesced<1%", True),
        ("streams>=991", False),
    ],
)
def test_a_gate_compares_what_was_measured(text: str, met: bool) -> None:
    (result,) = judge([parse(text)], figures())
    assert result.met is met, result


def test_a_gate_on_what_was_never_measured_is_missed() -> None:
    (result,) = judge([parse("tls.p50<100s")], figures())
    assert not result.met
    assert result.shown == "nothing measured"
    empty = Figures.of(Tally())
    assert not any(item.met for item in judge([parse("completion>=0%"), parse("errors<=0")], empty))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("ttft.p99", "is no gate; write METRIC"),
        ("ttft.p99=400ms", "is no gate"),
        ("", "is no gate"),
        ("ttft.p99<abc", "is no gate"),
        ("tft.p99<400ms", "no metric 'tft'; did you mean 'ttft'?"),
        ("ttft<400ms", "say which statistic of ttft"),
        ("ttft.p999<400ms", "no statistic 'p999'"),
        ("ttft.p99<400", "takes the unit us, ms, s"),
        ("ttft.p99<4%", "takes the unit us, ms, s, not '%'"),
        ("completion.p99>1%", "completion has no statistics"),
        ("completion>=99ms", "takes the unit %, none, not 'ms'"),
        ("errors.http_500<1", "no class of failure 'http_500'; did you mean 'http_5xx'?"),
    ],
)
def test_a_malformed_gate_is_refused_in_one_sentence(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_failures_are_tolerated_only_on_request() -> None:
    results = judge(with_default([parse("ttft.p50<1s")]), figures())
    assert [result.met for result in results] == [True, False]
    assert [result.met for result in judge(with_default([parse("completion>=98%")]), figures())] == [True]
    assert [result.met for result in judge(with_default([parse("errors.reset<=2")]), figures())] == [True]
