"""Counters: handed over exactly once, merged without loss; the client's judgement of itself."""

import json

from weighbridge.load.figures import LAG, ClientProcess, Failure, Figures, Tally
from weighbridge.load.trust import check


def tally(seed: int) -> Tally:
    made = Tally()
    for value in range(seed, seed + 50):
        made.histograms["ttft"].record(value * 37)
        made.histograms["icl"].record(value)
    made.started, made.completed, made.unfinished = 60 + seed, 50 + seed, 3
    made.failures.update({Failure.RESET: seed, Failure.EMPTY: 1})
    made.chunks, made.coalesced, made.connections = 400 * seed, 7, 5
    made.processes.append(ClientProcess(seed, 2.0, 0.5, 400 * seed, 60))
    return made


def test_taking_in_pieces_and_merging_loses_and_doubles_nothing() -> None:
    expected = Tally()
    for seed in (1, 2, 3):
        expected.merge(tally(seed).as_json())
    master, worker = Tally(), Tally()
    for seed in (1, 2, 3):
        worker.merge(tally(seed).as_json())
        master.merge(json.loads(json.dumps(worker.take())))
    master.merge(worker.take())
    assert master.as_json() == expected.as_json()
    assert worker.as_json() == Tally().as_json()


def test_throughput_adds_up_over_processes_and_unfinished_streams_count_neither_way() -> None:
    merged = Tally()
    for seed in (1, 2):
        merged.merge(tally(seed).as_json())
    figures = Figures.of(merged)
    assert figures.chunks_per_second == 200 + 400
    assert figures.completion == (51 + 52) / (51 + 52 + 1 + 1 + 2 + 1)
    assert figures.busiest == 0.25


def measured(lag_us: int, ttft_us: int, cpu_s: float) -> Figures:
    made = Tally()
    made.started = made.completed = 100
    for _ in range(100):
        made.histograms[LAG].record(lag_us)
        made.histograms["ttft"].record(ttft_us)
    made.processes.append(ClientProcess(1, 10.0, cpu_s, 100, 100))
    return Figures.of(made)


def test_a_punctual_client_is_trusted() -> None:
    trust = check(measured(900, 60_000, 3.0))
    assert trust.ok
    assert trust.statement.startswith("client ok: event loop lag p99 0.9 ms, 30% of a core")


def test_a_client_that_is_late_names_what_not_to_trust() -> None:
    trust = check(measured(30_000, 60_000, 3.0))
    assert trust.distrusted == ("ttft.p50", "ttft.p99")
    assert "do not trust ttft.p50, ttft.p99" in trust.statement


def test_the_lag_is_held_against_small_figures_only() -> None:
    assert check(measured(30_000, 2_000_000, 3.0)).ok


def test_a_client_without_processor_to_spare_trusts_no_latency() -> None:
    trust = check(measured(900, 60_000, 9.5))
    assert not trust.ok
    assert {"ttfb", "ttft", "icl", "e2e"} <= set(trust.distrusted)


def test_a_client_that_never_measured_itself_is_not_trusted() -> None:
    made = Tally()
    made.started = 5
    assert not check(Figures.of(made)).ok


def test_the_rate_of_parts_one_after_the_other_is_their_mean_and_of_processes_their_sum() -> None:
    made = Tally()
    made.processes += [ClientProcess(1, 2.0, 0.1, 200, 20), ClientProcess(2, 2.0, 0.1, 200, 20)]
    made.processes += [ClientProcess(3, 4.0, 0.1, 1200, 40, part=1)]
    assert Figures.of(made).chunks_per_second == (200 * 2 + 300 * 4) / 6


def test_starts_that_were_late_spoil_what_counts_from_them_and_true_lag_spoils_every_stamp() -> None:
    late = measured(900, 60_000, 3.0)
    for _ in range(100):
        late.histograms["schedule"].record(40_000)
        late.histograms["icl"].record(8_000)
    assert set(check(late).distrusted) == {"ttft.p50", "ttft.p99"}
    direct = measured(900, 60_000, 3.0)
    for _ in range(100):
        direct.histograms["true_lag"].record(9_000)
        direct.histograms["icl"].record(8_000)
    trust = check(direct, direct)
    assert {"icl.p50", "icl.p99", "ttft.p50"} == set(trust.distrusted)
    assert "true lag p99 9.0 ms" in trust.statement


def test_a_late_client_spoils_the_baseline_as_it_spoils_the_load() -> None:
    fine = measured(900, 60_000, 3.0)
    assert check(fine, fine).ok
    trust = check(fine, measured(30_000, 60_000, 3.0))
    assert trust.distrusted == ("direct ttft.p50", "direct ttft.p99")
    busy = check(fine, measured(900, 60_000, 9.5))
    assert "in the direct baseline the client used 95% of its core" in busy.statement
