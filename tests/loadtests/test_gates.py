"""The grammar of gates and what they measure."""

from pathlib import Path

import pytest

from weighbridge.errors import UsageError
from weighbridge.load.figures import ClientProcess, Failure, Figures, Tally
from weighbridge.load.gates import judge, parse, read_file, with_default


def figures() -> Figures:
    tally = Tally()
    for value in range(1, 1001):
        tally.histograms["ttft"].record(value * 100)
    tally.started = 1000
    tally.completed = 990
    tally.failures.update({Failure.HTTP_5XX: 8, Failure.RESET: 2})
    tally.chunks = 20_000
    tally.coalesced = 100
    tally.processes.append(
        ClientProcess(pid=1, window_s=10.0, cpu_s=1.0, chunks=20_000, streams=1000, tokens=4000)
    )
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
        ("chunks_per_s>1999", True),
        ("streams_per_s>=100", True),
        ("tokens_per_s>=400", True),
        ("tokens_per_s>=401", False),
        ("dropped<=0", True),
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


def direct() -> Figures:
    tally = Tally()
    for value in range(1, 1001):
        tally.histograms["ttft"].record(value * 98)
    tally.started = tally.completed = 1000
    tally.processes.append(ClientProcess(1, 5.0, 1.0, 12_500, 500, 2500))
    tally.processes.append(ClientProcess(2, 5.0, 1.0, 12_500, 500, 2500, part=1))
    return Figures.of(tally)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("added.ttft.p50<1.1ms", True),
        ("added.ttft.p50<0.9ms", False),
        ("added.ttft.p99<2.2ms", True),
        ("relative.tokens_per_s>=80%", True),
        ("relative.tokens_per_s>=81%", False),
        ("relative.chunks_per_s>=0.8", True),
        ("added.icl.p50<1s", False),
    ],
)
def test_a_gate_compares_with_the_direct_baseline(text: str, met: bool) -> None:
    (result,) = judge([parse(text)], figures(), direct())
    assert result.met is met, result
    assert not judge([parse(text)], figures())[0].met


def test_a_goodput_gate_is_about_one_and_the_same_stream() -> None:
    gate = parse("goodput(ttft<300ms, tpot<=25ms)>=95%")
    assert [(item.metric, item.comparison, item.bound) for item in gate.conditions] == [
        ("ttft", "<", 300_000),
        ("tpot", "<=", 25_000),
    ]
    tally = Tally()
    tally.judged = 100
    tally.good[gate.text] = 95
    assert judge([gate], Figures.of(tally))[0].met
    tally.good[gate.text] = 94
    assert not judge([gate], Figures.of(tally))[0].met
    assert not judge([gate], Figures.of(Tally()))[0].met


def test_dropped_starts_of_an_open_load_are_tolerated_only_on_request() -> None:
    tally = Tally()
    tally.started = tally.completed = 10
    tally.dropped = 1
    made = Figures.of(tally)
    assert [item.met for item in judge(with_default([], open_load=True), made)] == [True, False]
    assert [item.met for item in judge(with_default([parse("dropped<=1")], open_load=True), made)] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("goodput>=95%", r"write goodput\(ttft<300ms\)>=95%"),
        ("goodput(ttft)>=95%", "'ttft' is no condition"),
        ("goodput(tft<3ms)>=95%", "did you mean 'ttft'?"),
        ("goodput(ttft<300)>=95%", "takes the unit us, ms, s"),
        ("godput(ttft<3ms)>=95%", "only goodput takes conditions"),
        ("added.completion>=1%", "no latency 'completion' to compare"),
        ("added.ttft<2ms", "say which statistic"),
        ("relative.ttft.p50<2", "no rate 'ttft' to compare"),
        ("relative.tokens_s>2", "did you mean 'tokens_per_s'?"),
    ],
)
def test_a_malformed_compound_gate_is_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=part.replace("?", r"\?")):
        parse(text)


@pytest.mark.parametrize(
    "text",
    ["- ttft.p99<400ms\n- completion>=99%", "gates:\n  ttft.p99: <400ms\n  completion: '>=99%'"],
)
def test_gates_come_from_yaml(text: str, tmp_path: Path) -> None:
    file = tmp_path / "gates.yaml"
    file.write_text(text)
    assert [(gate.metric, gate.comparison) for gate in read_file(file)] == [
        ("ttft", "<"),
        ("completion", ">="),
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "write a list of gates"),
        ("- 5", "write a list"),
        ("a: [", "not valid YAML"),
        ("- 2026-13-45", "not valid YAML: month must be in 1..12"),
        ("- x<5", "no metric 'x'"),
    ],
)
def test_a_bad_gates_file_is_refused(text: str, part: str, tmp_path: Path) -> None:
    file = tmp_path / "gates.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=part):
        read_file(file)
    with pytest.raises(UsageError, match="cannot be read"):
        read_file(tmp_path / "none.yaml")
