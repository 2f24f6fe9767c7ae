"""A simulator of the providers behind an LLM gateway: OpenAI, Anthropic, and a media job provider.

Each call can carry a token that scripts its reply, its usage, its pace and its fault; without one the simulator is a
sane provider. Everything that arrives is kept in a journal, which a control API under /_wb/ hands out.
"""

from mock_upstreams.config import SimulatorConfig
from mock_upstreams.embedding import RunningSimulator, running_simulator
from mock_upstreams.faults import FAULTS, Fault
from mock_upstreams.journal import Entry, Journal
from mock_upstreams.listeners import is_loopback
from mock_upstreams.recorder import Recorder
from mock_upstreams.recordings import RecordingError
from mock_upstreams.scenario import Scenario
from mock_upstreams.scenario_files import ScenarioFileError
from mock_upstreams.scripting import Scripted, write_scenarios
from mock_upstreams.server import Simulator

__all__ = [
    "FAULTS",
    "Entry",
    "Fault",
    "Journal",
    "Recorder",
    "RecordingError",
    "RunningSimulator",
    "Scenario",
    "ScenarioFileError",
    "Scripted",
    "Simulator",
    "SimulatorConfig",
    "is_loopback",
    "running_simulator",
    "write_scenarios",
]
