"""The histogram: exact counts, bounded error, bounded memory, exact merge."""

import json
import math
import random

import pytest

from weighbridge.load.histogram import LARGEST, MAX_CELLS, Histogram, cell_of, middle_of


def filled(values: list[int]) -> Histogram:
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def test_cells_are_in_order_and_without_gaps() -> None:
    edges = [*range(5000), *(2**power + step for power in range(10, 36) for step in (-1, 0, 1))]
    cells = [cell_of(value) for value in sorted(edges)]
    assert cells == sorted(cells)
    assert {cell_of(value) for value in range(5000)} == set(range(cell_of(4999) + 1))
    assert cell_of(LARGEST) == MAX_CELLS - 1


@pytest.mark.parametrize("value", [0, 1, 511, 1023, 1024, 1025, 99_999, 100_000, 123_456_789, LARGEST])
def test_a_cell_stands_for_its_values_within_a_thousandth(value: int) -> None:
    assert abs(middle_of(cell_of(value)) - value) <= value * 0.001


def test_recording_uses_the_cell_of_the_value() -> None:
    for value in [0, 5, 1023, 1024, 65_537, LARGEST, LARGEST * 4, -3]:
        assert filled([value]).cells == {cell_of(value): 1}


def test_quantiles_are_those_of_the_sorted_values_within_a_thousandth() -> None:
    source = random.Random(1)
    values = [int(source.lognormvariate(11, 1.2)) for _ in range(20_000)]
    histogram = filled(values)
    values.sort()
    for share in (0.001, 0.5, 0.9, 0.99, 0.999, 1.0):
        true = values[max(0, math.ceil(share * len(values)) - 1)]
        found = histogram.quantile(share)
        assert found is not None
        assert abs(found - true) <= true * 0.001
    assert histogram.mean == sum(values) / len(values)
    assert (histogram.lowest, histogram.highest) == (values[0], values[-1])


def test_merging_gives_the_histogram_of_all_values() -> None:
    source = random.Random(2)
    parts = [[source.randrange(3_000_000) for _ in range(source.randrange(400))] for _ in range(7)]
    merged = Histogram()
    for part in parts:
        merged.add(Histogram.from_json(json.loads(json.dumps(filled(part).as_json()))))
    assert merged.as_json() == filled([value for part in parts for value in part]).as_json()
    assert merged.count == sum(map(len, parts))


def test_an_empty_histogram_has_no_quantile() -> None:
    empty = Histogram()
    assert empty.quantile(0.5) is None
    assert empty.mean is None
    empty.add(Histogram())
    assert empty.highest is None


def test_memory_is_bounded_whatever_is_recorded() -> None:
    source = random.Random(3)
    histogram = filled([source.randrange(2 ** source.randrange(1, 45)) for _ in range(100_000)])
    assert len(histogram.cells) <= MAX_CELLS
    assert histogram.count == 100_000
