"""Sources are joined into one document, and do not fit together in silence."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

import spec
from weighbridge.openapi_bundle import SOURCES, BundleError, bundle, from_sources, rendered

Source = dict[str, Any]


def source(schemas: Source | None = None, paths: Source | None = None) -> Source:
    return {"paths": paths or {}, "components": {"schemas": schemas or {}}}


def test_every_source_is_bundled() -> None:
    files = {path.name for path in (spec.root() / "openapi").glob("*.yaml")}
    assert files == {"root.yaml", *SOURCES}


def test_the_bundle_is_fresh() -> None:
    """Write it anew with `python -m weighbridge.openapi_bundle`."""
    assert spec.text("openapi.yaml") == from_sources(spec.root())


def test_a_reference_into_another_source_stays_inside() -> None:
    whole = bundle(
        {},
        {
            "a.yaml": source({"A": {"$ref": "b.yaml#/components/schemas/B"}}),
            "b.yaml": source({"B": {"items": [{"$ref": "#/components/schemas/B"}]}}),
        },
    )
    assert whole["components"]["schemas"]["A"] == {"$ref": "#/components/schemas/B"}
    assert whole["components"]["schemas"]["B"] == {"items": [{"$ref": "#/components/schemas/B"}]}


def test_a_reference_into_no_source_is_an_error() -> None:
    with pytest.raises(BundleError, match=r"there is no source 'c.yaml'; the sources are a.yaml"):
        bundle({}, {"a.yaml": source({"A": {"$ref": "c.yaml#/x"}})})


def test_a_name_of_two_sources_is_an_error() -> None:
    with pytest.raises(BundleError, match="components/schemas: 'A' is defined by two sources"):
        bundle({}, {"a.yaml": source({"A": {}}), "b.yaml": source({"A": {}})})
    with pytest.raises(BundleError, match="the path '/a' is defined by two sources"):
        bundle({}, {"a.yaml": source(paths={"/a": {}}), "b.yaml": source(paths={"/a": {}})})


def test_text_of_several_lines_survives_the_writing() -> None:
    document = {"example": "event: a\ndata: {}\n\n", "same": [shared := {"x": 1}, shared]}
    text = rendered(document)
    assert yaml.safe_load(text) == document
    assert "&id" not in text
