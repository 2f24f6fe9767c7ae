"""Fixtures for pytest: `pytest_plugins = ["mock_upstreams.pytest_plugin"]` in the root conftest.py.

`simulator` is empty at the start of each test; one simulator, in a thread of its own, serves the whole session. Override
`simulator_config` (session scope) to start it with other settings.
"""

from collections.abc import Iterator

import pytest

from mock_upstreams.config import SimulatorConfig
from mock_upstreams.embedding import RunningSimulator, running_simulator


@pytest.fixture(scope="session")
def simulator_config() -> SimulatorConfig:
    """The settings of the session's simulator."""
    return SimulatorConfig()


@pytest.fixture(scope="session")
def simulator_of_session(simulator_config: SimulatorConfig) -> Iterator[RunningSimulator]:
    """The simulator that all tests of the session share."""
    with running_simulator(simulator_config) as simulator:
        yield simulator


@pytest.fixture
def simulator(simulator_of_session: RunningSimulator) -> RunningSimulator:
    """A simulator that has forgotten what earlier tests have done to it."""
    simulator_of_session.reset()
    return simulator_of_session
