"""Weighbridge: says, requirement by requirement and with evidence, what an LLM gateway gets right.

The core of the project. Data flows one way through its modules:

    target -> preflight -> plan -> probes (evidence) -> checks (findings) -> verdicts -> claims -> report

Probes talk to the network and judge nothing; checks are pure functions of recorded evidence; a
report only shows what the verdicts say. Only `embed`, `serve`, `prove` and `describe` know the simulator, the
reference gateway and the defects that ship beside this package.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("weighbridge")
except PackageNotFoundError:  # a checkout on the path that was never installed
    __version__ = "0+checkout"

__all__ = ["__version__"]
