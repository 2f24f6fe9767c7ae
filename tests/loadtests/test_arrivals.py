"""When calls start: shapes, open arrivals, and how they are shared by processes."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from weighbridge.errors import UsageError
from weighbridge.load import arrivals, shapes
from weighbridge.load.arrivals import Arrivals, moments, share_of
from weighbridge.load.direct import behind
from weighbridge.load.plan import LoadPlan


def until(made: Arrivals, end: float) -> list[float]:
    return list(itertools.takewhile(lambda moment: moment <= end + 1e-9, moments(made)))


@pytest.mark.parametrize(
    ("text", "moment", "level"),
    [
        ("ramp", 5, 0.5),
        ("ramp:50%", 0, 0.5),
        ("ramp:50%", 5, 0.75),
        ("step:2", 4.9, 0.5),
        ("step:2", 5.1, 1),
        ("spike", 3.9, 0.2),
        ("spike", 5, 1),
        ("spike:0.1", 6.1, 0.1),
        ("soak", 5, 1),
        ("0s:0.2,2s:1,10s:1", 1, 0.6),
        ("2s:1,4s:0.5", 0, 1),
        ("2s:1,4s:0.5", 99, 0.5),
    ],
)
def test_a_shape_has_a_level_at_every_moment(text: str, moment: float, level: float) -> None:
    assert shapes.level_at(shapes.parse(text, 10), moment) == pytest.approx(level)


@pytest.mark.parametrize(
    "text", ["ramp", "ramp:20%", "step:4", "spike", "soak", "0s:0.1,2s:1,2s:0,9s:0,9s:1"]
)
@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_an_open_load_follows_the_area_under_its_shape(text: str, kind: str) -> None:
    shape = shapes.parse(text, 10)
    found = until(Arrivals(kind, 1000, 3, shape), 10)
    assert found == sorted(found)
    tolerance = 1 if kind == "constant" else 5 * 1000**0.5 * 3
    for moment in (2.5, 5, 10):
        wanted = 1000 * shapes.area_until(shape, moment)
        assert abs(sum(item <= moment for item in found) - wanted) <= tolerance


def test_constant_starts_are_evenly_spaced_and_poisson_ones_are_not() -> None:
    even = until(Arrivals("constant", 50), 2)
    assert [round(gap, 9) for gap in map(float.__sub__, even[1:], even)] == [0.02] * (len(even) - 1)
    gaps = [two - one for one, two in itertools.pairwise(until(Arrivals("poisson", 1000, 7), 20))]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(0.001, rel=0.05)
    assert spread == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_processes_share_one_schedule_without_loss_or_double(processes: int) -> None:
    made = Arrivals("poisson", 200, 11)
    whole = list(itertools.islice(moments(made), 300))
    parts = [list(itertools.islice(share_of(made, place, processes), 300)) for place in range(processes)]
    merged = sorted(item for part in parts for item in part)[:300]
    assert [number for number, _ in merged] == list(range(300))
    assert [moment for _, moment in merged] == whole


def test_a_trace_is_replayed_from_its_first_start(tmp_path: Path) -> None:
    file = tmp_path / "starts.jsonl"
    file.write_text('1700000002.5\n{"at": 1700000000.5, "model": "x"}\n\n1700000001\n')
    made = arrivals.parse(f"trace:{file}", None, seed=0, shape=(), in_flight=10)
    assert list(moments(made)) == [0, 0.5, 2]
    assert made.rate == 1.5


def test_a_trace_that_is_one_burst_has_the_rate_of_a_second(tmp_path: Path) -> None:
    file = tmp_path / "starts"
    file.write_text("7\n" * 5)
    made = arrivals.parse(f"trace:{file}", None, seed=0, shape=(), in_flight=10)
    assert (list(moments(made)), made.rate) == ([0] * 5, 5)


def test_the_second_half_of_a_baseline_replays_the_second_half_of_a_trace() -> None:
    plan = LoadPlan((), Arrivals("trace", 1, 0, (), (0.0, 1.0, 5.0, 7.5)))
    later = behind(plan, 5)
    assert later == replace(plan, arrivals=Arrivals("trace", 1, 0, (), (0.0, 2.5)))
    assert behind(plan, 8) == plan


def test_a_shape_is_laid_over_a_shorter_load() -> None:
    assert shapes.stretched(((0.0, 0.2), (10.0, 1.0)), 0.5) == ((0, 0.2), (5, 1))


@pytest.mark.parametrize(
    ("text", "rate", "part"),
    [
        ("posson", 5, "did you mean 'poisson'?"),
        ("poisson", None, "needs --rate"),
        ("constant:5", 5, "takes nothing more"),
        ("trace", None, "needs a file"),
        ("trace:nowhere.txt", None, "cannot be read"),
        ("trace:{file}", 5, "leave --rate and --shape out"),
        ("trace:{file}", None, "line 2: write seconds"),
    ],
)
def test_bad_arrivals_are_refused_in_one_sentence(
    text: str, rate: float | None, part: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.txt"
    file.write_text("1\nsoon\n")
    with pytest.raises(UsageError, match=part):
        arrivals.parse(text.format(file=file), rate, seed=0, shape=(), in_flight=1)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("spke", "did you mean 'spike'?"),
        ("ramp:2", "'2' is no share"),
        ("step:0", "a whole one from 1 to 100"),
        ("soak:3", "soak takes nothing more"),
        ("5s:1,2s:1", "comes before the one ahead of it"),
        ("0s:0,5s:0", "never rises above 0"),
        ("0s:x", "is no share"),
    ],
)
def test_bad_shapes_are_refused_in_one_sentence(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        shapes.parse(text, 10)
