"""A page of metrics as numbers."""

from __future__ import annotations

from collections.abc import Mapping


def by_sample(page: bytes) -> Mapping[str, float]:
    """A page as numbers by sample."""
    samples = (line.rpartition(" ") for line in page.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}
