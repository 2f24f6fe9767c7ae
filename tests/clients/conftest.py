"""Official clients against the simulator and the reference gateway, with nothing mocked in between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.places import Place, Places, started


@pytest.fixture(scope="session")
def places() -> Iterator[Places]:
    with started() as pair:
        yield pair


@pytest.fixture(params=["gateway", "simulator"])
def place(request: pytest.FixtureRequest, places: Places) -> Place:
    return places.gateway if request.param == "gateway" else places.simulator
