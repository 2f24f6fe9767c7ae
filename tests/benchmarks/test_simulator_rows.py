"""How readings of the simulator benchmark become rows: medians, ratios, targets in both directions, what is missing."""

import dataclasses

import pytest

from benchmarks.simulator import run
from benchmarks.simulator.measures import Effort, Measure, Peer, Reading
from benchmarks.simulator.processes import NotMeasured
from benchmarks.simulator.servers import AIMOCK, RAW, SIMULATOR, Contender

EFFORT = Effort(1.0, ())


def measure(values: dict[str, list[float]], target: float, **changes: object) -> Measure:
    """A measure whose readings are given; a contender without any cannot be measured."""
    waiting = {name: list(found) for name, found in values.items()}

    def read(contender: Contender, effort: Effort) -> Reading:
        assert effort is EFFORT
        if contender.name not in waiting:
            raise NotMeasured("it is not installed")
        return Reading(waiting[contender.name].pop(0))

    made = Measure("m", "calls/s", read, SIMULATOR, (Peer(RAW, target),))
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def rows(made: Measure, runs: int = 3) -> list[run.Row]:
    return run._rows(made, *run._readings(made, EFFORT, runs, lambda _text: None))


@pytest.mark.parametrize(("target", "ok"), [(0.5, True), (0.51, False)])
def test_the_ratio_of_medians_is_held_against_the_target(target: float, *, ok: bool) -> None:
    (row,) = rows(measure({SIMULATOR.name: [10, 50, 900], RAW.name: [100, 1, 1000]}, target))
    assert (row.value, row.ratio, row.ok) == (50, 0.5, ok)
    assert row.target == f">= {target:g} x"


@pytest.mark.parametrize(("target", "ok"), [(2.0, True), (1.9, False)])
def test_where_less_is_better_the_target_is_an_upper_bound(target: float, *, ok: bool) -> None:
    (row,) = rows(measure({SIMULATOR.name: [8], RAW.name: [4]}, target, less_is_better=True), runs=1)
    assert (row.ratio, row.ok, row.target) == (2.0, ok, f"<= {target:g} x")


@pytest.mark.parametrize(("limit", "ok"), [(2.0, True), (1.0, False)])
def test_a_figure_may_have_a_limit_of_its_own(limit: float, *, ok: bool) -> None:
    made = measure({SIMULATOR.name: [1.5]}, 1, less_is_better=True, limit=limit, peers=())
    (row,) = rows(made, runs=1)
    assert (row.value, row.ratio, row.ok) == (1.5, None, ok)


def test_a_peer_that_cannot_be_measured_is_named_and_judged_by_nobody() -> None:
    made = measure({SIMULATOR.name: [8]}, 1, peers=(Peer(AIMOCK, 3.0),))
    (row,) = rows(made, runs=1)
    assert (row.ratio, row.ok, row.note) == (None, None, "not measured: it is not installed")


def test_an_unknown_measure_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--only", "no such words"]) == 2
    assert "known: unpaced streams" in capsys.readouterr().err
