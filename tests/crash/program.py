"""`python -m tests.crash.program DEFECT [options of reference_gateway]`: the program, wrong on purpose, workers and all."""

import sys
from dataclasses import replace

from reference_gateway import Components, load_config
from reference_gateway.__main__ import main
from reference_gateway.supervisor import Supervisor
from tests.crash.defects import components


def run(defect: str, options: list[str]) -> int:
    """Run the gateway with the parts of a defect in this process and in every worker that it starts."""
    changes = components(load_config(options[options.index("--config") + 1]), defect)
    parts = replace(Components(), **changes)
    Components.default = staticmethod(lambda: parts)  # type: ignore[method-assign]
    Supervisor.program = (sys.executable, "-m", "tests.crash.program", defect)
    return main(options)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
