"""What locust loads: `locust -f loadtests/locustfile.py`, or through `weighbridge load`.

As a child of `weighbridge load` the plan comes in a private file, progress goes to standard output as JSON
lines, the result and the recorded calls into the plan's folder, and the end of standard input means that
the parent is gone. On its own it takes its plan from variables (`settings`) and prints its latencies at the end;
in locust's web UI it has a page of its own under /weighbridge.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

# The folder may lie in a checkout or inside an installed wheel, so the package is registered by its place.
_HERE = Path(__file__).resolve().parent
if "loadtests" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "loadtests", _HERE / "__init__.py", submodule_search_locations=[str(_HERE)]
    )
    assert _spec is not None and _spec.loader is not None  # noqa: S101, PT018 - a .py path always has both
    sys.modules["loadtests"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["loadtests"])

from loadtests.recorder import Recorder  # noqa: E402 - needs the registration above
from loadtests.settings import plan_from_variables  # noqa: E402 - as above
from loadtests.streaming import Calls  # noqa: E402 - as above
from loadtests.users import ArrivalUser, GatewayUser, shape_of, users_of  # noqa: E402 - as above
from loadtests.web_page import add_page  # noqa: E402 - as above
from weighbridge.errors import WeighbridgeError  # noqa: E402 - as above
from weighbridge.load.figures import Figures, Tally  # noqa: E402 - as above
from weighbridge.load.plan import PLAN_VARIABLE, LoadPlan  # noqa: E402 - as above
from weighbridge.load.show import figure_lines  # noqa: E402 - as above
from weighbridge.load.trust import check  # noqa: E402 - as above

_PROGRESS_S = 0.5
#: How long a process that lost its parent may take to end by itself.
_ORPHAN_S = 5.0
#: Beyond the time for running calls, workers get this long for their last report.
_LAST_REPORT_S = 10.0
_FIELD = "weighbridge"


def _plan() -> tuple[LoadPlan, bool]:
    """The plan, and whether `weighbridge load` is our parent."""
    path = os.environ.get(PLAN_VARIABLE)
    if not path:
        return plan_from_variables(os.environ, sys.argv), False
    # The file holds a key, so it is gone as soon as it is read; worker processes are forked later.
    plan = LoadPlan.read(Path(path))
    Path(path).unlink()
    return plan, True


class Load:
    """Binds the recorder of this process to locust's events."""

    def __init__(self, environment: Environment, plan: LoadPlan, *, child: bool) -> None:
        self.environment = environment
        self.plan = plan
        self.child = child
        self.recorder = Recorder(
            warm_up=plan.warm_up, sample=plan.sample, keep_failed=plan.keep_failed, slice_s=plan.slice_s
        )
        self.merged = Tally()
        self.told: dict[str, dict[str, Any]] = {}
        self._lifeline: Any = None
        GatewayUser.calls = ArrivalUser.calls = Calls(plan, self.recorder)
        hooks: Any = environment.events  # locust leaves add_listener untyped
        hooks.test_start.add_listener(self._start)
        hooks.test_stopping.add_listener(self._stopping)
        hooks.quitting.add_listener(self._quitting)
        if isinstance(environment.runner, WorkerRunner):
            hooks.report_to_master.add_listener(self._report)
        else:
            hooks.worker_report.add_listener(self._reported)
            hooks.quit.add_listener(self._quit)
            if child:
                gevent.spawn(self._progress)
            if environment.web_ui is not None:
                add_page(environment, plan, self.figures)
        if child:
            self._lifeline = gevent.get_hub().loop.io(sys.stdin.fileno(), 1)
            self._lifeline.start(self._parent_gone)

    def figures(self) -> Figures:
        """The figures so far."""
        self.recorder.fold()
        return Figures.of(self._all())

    def _start(self, **_: Any) -> None:
        # What exists by now stays for the whole run; the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        if not self.child and not isinstance(self.environment.runner, WorkerRunner):
            # In the web UI a test may follow a test.
            self.merged = Tally()
        self.recorder.begin()

    def _stopping(self, **_: Any) -> None:
        self.recorder.end()

    def _quitting(self, **_: Any) -> None:
        self.recorder.end()
        # Gates are judged from the figures by whoever asked for them; failed calls are figures, no error of ours.
        self.environment.process_exit_code = 0
        if self.child:
            self.recorder.write(Path(self.plan.folder))
            if isinstance(self.environment.runner, WorkerRunner):
                self._hand_over()
        if isinstance(self.environment.runner, MasterRunner):
            self._gather(self.environment.runner)

    def _gather(self, runner: Any) -> None:
        """Let the workers end and report first: locust's own master waits half a second for them, whatever they do."""
        runner.send_message("quit")
        bound = (self.environment.stop_timeout or 0) + _LAST_REPORT_S
        with gevent.Timeout(bound, exception=False):
            # All that are known, since one that is late with its heartbeat is not counted and still has figures.
            while len(runner.clients):
                gevent.sleep(0.05)

    # ---------------------------------------------------------------- worker and master
    def _report(self, data: dict[str, Any], **_: Any) -> None:
        self.recorder.fold()
        # A child hands over its figures in a file of its own; what it tells the master is for the progress alone.
        data[_FIELD] = self.recorder.tally.as_json() if self.child else self.recorder.tally.take()

    def _reported(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        if _FIELD not in data:
            return
        if self.child:
            self.told[client_id] = data[_FIELD]
            self.merged = Tally()
            for told in self.told.values():
                self.merged.merge(told)
        else:
            self.merged.merge(data[_FIELD])

    def _all(self) -> Tally:
        return self.merged if isinstance(self.environment.runner, MasterRunner) else self.recorder.tally

    def _hand_over(self) -> None:
        """Write this process's figures for the parent; the last thing that a client process does."""
        path = Path(self.plan.folder) / f"figures-{os.getpid()}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.recorder.tally.as_json()), encoding="utf-8")
        part.replace(path)

    # ---------------------------------------------------------------- towards the parent
    def _progress(self) -> None:
        while True:
            gevent.sleep(_PROGRESS_S)
            tally, runner = self._all(), self.environment.runner
            latest = tally.slices[max(tally.slices)].counts if tally.slices else {}
            line = {
                "users": runner.user_count if runner is not None else 0,
                "in_flight": self.recorder.in_flight,
                "completed": tally.completed,
                "failed": tally.failures.total(),
                "dropped": tally.dropped,
                "chunks": tally.chunks,
                "chunks_per_s": latest.get("chunks", 0) / self.plan.slice_s,
                "ttft_p50_us": tally.histograms["ttft"].quantile(0.5),
                "lag_p99_us": tally.histograms["lag"].quantile(0.99),
            }
            sys.stdout.write(json.dumps({"progress": line}) + "\n")
            sys.stdout.flush()

    def _quit(self, **_: Any) -> None:
        self.recorder.fold()
        tally = self._all()
        if not self.child:
            figures = Figures.of(tally)
            for text in [*figure_lines(figures), check(figures).statement]:
                sys.stdout.write(text + "\n")
            return
        if not isinstance(self.environment.runner, MasterRunner):
            self._hand_over()

    def _parent_gone(self) -> None:
        if os.read(sys.stdin.fileno(), 4096):
            return
        self._lifeline.stop()
        gevent.spawn_later(_ORPHAN_S, os._exit, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def _set_up(environment: Environment, **_: Any) -> None:
    Load(environment, PLAN, child=IS_CHILD)
    # The event loop's idea of now is as old as our imports; without this, locust's --run-time counts from there.
    gevent.get_hub().loop.update_now()


try:
    PLAN, IS_CHILD = _plan()
except WeighbridgeError as problem:
    sys.stderr.write(f"weighbridge: {problem}\n")
    sys.exit(int(problem.exit_code))
# Locust takes every user class that it finds here: one for each lane of the plan.
globals().update(users_of(PLAN))
if (_shape := shape_of(PLAN)) is not None:
    Levels = _shape
_init: Any = events.init
_init.add_listener(_set_up)
