"""The specification files, parsed once for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

import spec


@pytest.fixture(scope="session")
def blocks() -> dict[str, list[dict[str, Any]]]:
    """Requirement rows by block."""
    files = sorted((spec.root() / "requirements").glob("*.yaml"))
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}


@pytest.fixture(scope="session")
def rows(blocks: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Requirement rows by id; a repeated id is caught by a test of its own."""
    return {row["id"]: row for block in blocks.values() for row in block}


@pytest.fixture(scope="session")
def profiles() -> dict[str, dict[str, Any]]:
    """Profiles by id."""
    return {item["id"]: item for item in yaml.safe_load(spec.text("profiles.yaml"))["profiles"]}


@pytest.fixture(scope="session")
def models() -> dict[str, dict[str, Any]]:
    """Models by wire name."""
    return {item["id"]: item for item in yaml.safe_load(spec.text("models.yaml"))["models"]}


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """The OpenAPI description."""
    return dict(yaml.safe_load(spec.text("openapi.yaml")))


@pytest.fixture(scope="session")
def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas by the name before `.schema.json`."""
    files = sorted((spec.root() / "schemas").glob("*.schema.json"))
    return {path.name.split(".")[0]: json.loads(path.read_text(encoding="utf-8")) for path in files}
