"""What is sent as a wrong request is one: it breaks the contract, and in more ways than one."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from weighbridge.breaking import Basket, Breaches, mutations
from weighbridge.drawing import INVALID, VALID, Drawing, Order
from weighbridge.embedded_target import EMBEDDED_SHAPE
from weighbridge.errors import HarnessError
from weighbridge.openapi import request_schema
from weighbridge.probes.generated_requests import SHARES

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "additionalProperties": False,
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "unit": {"oneOf": [{"const": "kg"}, {"type": "object", "required": ["name"]}]},
        "load": {"type": "array", "items": {"type": "string"}},
    },
}


@pytest.mark.parametrize(
    ("body", "way"),
    [
        ({"size": 3}, None),
        ({"size": 3, "more": 1}, None),
        ({"size": 0, "more": 1}, "size minimum"),
        ({}, " required"),
        ({"size": 0}, "size minimum"),
        ({"size": "3"}, "size type"),
        ({"size": 3, "load": ["a", 1]}, "load type"),
        ({"size": 3, "load": [1]}, "load type"),
        ([], " type"),
    ],
)
def test_bodies_that_break_a_schema_alike_have_one_name(body: Any, way: str | None) -> None:
    assert Breaches(SCHEMA).of(body) == way


def test_a_basket_keeps_what_breaks_the_schema_in_other_ways_first_and_counts_what_does_not() -> None:
    basket = Basket(Breaches(SCHEMA), 4)
    bodies: list[Any] = [{"size": 1}, *({"size": -n} for n in range(4)), {"size": 2}, {"size": 1}, {}]
    for body in bodies:
        basket.take(json.dumps(body).encode(), body)
    assert basket.valid == 2
    assert [json.loads(raw) for raw in basket.bodies()] == [{"size": 0}, {"size": -1}, {}, {"size": -2}]
    assert not basket.full
    basket.take(b"7", 7)
    assert basket.full


def test_mutations_change_one_thing_and_leave_their_body_as_it_is() -> None:
    whole = {"size": 3, "load": ["a"], "unit": {"name": "t"}}
    before = json.dumps(whole)
    made = list(islice(mutations([whole], 1), 60))
    assert json.dumps(whole) == before
    assert made == list(islice(mutations([whole], 1), 60)), "the seed fixes them"
    assert made != list(islice(mutations([whole], 2), 60))
    assert {} not in made
    assert sum(Breaches(SCHEMA).of(body) is not None for body in made) > 20
    assert list(islice(mutations([{}], 1), 5)) == []


@pytest.mark.parametrize("surface", SHARES)
def test_what_a_run_sends_as_invalid_breaks_the_contract_and_what_it_sends_as_valid_does_not(
    surface: str,
) -> None:
    shares = SHARES[surface]
    wanted = {(path, VALID): share.valid for path, share in shares.items()}
    wanted |= {(path, INVALID): share.invalid for path, share in shares.items()}
    models = frozenset(EMBEDDED_SHAPE.models.values())
    drawn = Drawing(Order(surface, "http://127.0.0.1:1", models, 5, wanted), lambda: None).drawn
    for (path, situation), bodies in drawn.bodies.items():
        contract = Draft202012Validator(request_schema(surface, path))
        assert {contract.is_valid(json.loads(raw)) for raw in bodies} == {situation == VALID}
        if situation == INVALID:
            assert len(bodies) == shares[path].invalid
            ways = {Breaches(request_schema(surface, path)).of(json.loads(raw)) for raw in bodies}
            assert len(ways) >= min(3, len(bodies)) - 1
    assert sum(drawn.left_out.values()) > 0


def test_an_operation_that_takes_no_body_is_one_sentence() -> None:
    with pytest.raises(HarnessError, match="tasks has no operation /balance that takes a body"):
        request_schema("tasks", "/balance")
