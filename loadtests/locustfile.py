"""What locust loads: `locust -f loadtests/locustfile.py`, or through `weighbridge load`.

As a child of `weighbridge load` the plan comes in a private file, progress goes to standard output as JSON
lines, the result and the recorded calls into the plan's folder, and the end of standard input means that
the parent is gone. On its own it takes its plan from variables (`settings`) and prints its latencies at the end;
in locust's web UI it has a page of its own under /weighbridge.
"""

from __future__ import annotations

import gc
import importlib.util
import inspect
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

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
from loadtests.workers import Master, Worker  # noqa: E402 - as above
from weighbridge.collection import RARELY  # noqa: E402 - as above
from weighbridge.errors import ExitCode, WeighbridgeError  # noqa: E402 - as above
from weighbridge.load.figures import Figures, Tally  # noqa: E402 - as above
from weighbridge.load.plan import PLAN_VARIABLE, LoadPlan  # noqa: E402 - as above
from weighbridge.load.show import figure_lines  # noqa: E402 - as above
from weighbridge.load.trust import Trust, check  # noqa: E402 - as above

_PROGRESS_S = 0.5
#: How long a process that lost its parent may take to end by itself.
_ORPHAN_S = 5.0


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
        self._lifeline: Any = None
        calls = GatewayUser.calls = ArrivalUser.calls = Calls(plan, self.recorder)
        hooks: Any = environment.events  # locust leaves add_listener untyped
        hooks.test_start.add_listener(self._start)
        hooks.test_stopping.add_listener(self._stopping)
        hooks.quitting.add_listener(self._quitting)
        self.worker = (
            Worker(environment.runner, self.recorder, calls.shared_by)
            if isinstance(environment.runner, WorkerRunner)
            else None
        )
        self.master = (
            Master(environment.runner, plan.processes)
            if isinstance(environment.runner, MasterRunner)
            else None
        )
        if self.worker is not None:
            ArrivalUser.share = self.worker.share
            hooks.report_to_master.add_listener(self._report)
        else:
            hooks.worker_report.add_listener(self._reported)
            hooks.worker_connect.add_listener(self._joined)
            hooks.quit.add_listener(self._quit)
            if child:
                gevent.spawn(self._progress)
            if environment.web_ui is not None:
                add_page(environment, plan, self.figures)
        hooks.test_stop.add_listener(self._stopped)
        if child:
            self._lifeline = gevent.get_hub().loop.io(sys.stdin.fileno(), 1)
            self._lifeline.start(self._parent_gone)

    def figures(self) -> tuple[Figures, Trust]:
        """The figures so far, and whether they can be trusted."""
        self.recorder.fold()
        figures = Figures.of(self._all())
        if self.master is None:
            return figures, check(figures)
        return figures, check(figures, missing=self.master.missing(), processes=self.master.workers)

    def _all(self) -> Tally:
        return self.recorder.tally if self.master is None else self.master.tally()

    # ---------------------------------------------------------------- from begin to end
    def _start(self, **_: Any) -> None:
        # locust asks who stops it, and the first such question reads the sources of all frames: 50 ms without a read.
        inspect.stack()
        # What exists by now stays for the whole run; the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*RARELY)
        # In the web UI a test may follow a test.
        self.recorder.fold()
        self.recorder.tally.take()
        if self.master is not None:
            self.master.begin()
        if self.worker is not None:
            self.worker.begin()
        self.recorder.begin()

    def _stopping(self, **_: Any) -> None:
        self.recorder.end()
        # locust asks each user by a greenlet of its own; for hundreds of them that is a pause without a read, and
        # the streams that still run are measured. Users that were asked already it only waits for.
        runner = self.environment.runner
        if self.environment.stop_timeout and runner is not None:
            for waiting in runner.user_greenlets:
                user = waiting.args[0]
                if isinstance(user, GatewayUser):
                    user.stop()

    def _stopped(self, **_: Any) -> None:
        if self.worker is not None:
            self.worker.stopped()
        if self.master is not None:
            self.master.gather()

    def _quitting(self, **_: Any) -> None:
        runner: Any = self.environment.runner
        # Gates are judged from the figures by whoever asked for them; failed calls are figures, no error of ours.
        code = ExitCode.OK
        if self.master is not None and runner.state in {STATE_SPAWNING, STATE_RUNNING}:
            runner.quit()
        if self.worker is not None and not self.worker.hand_in():
            sys.stderr.write(
                "weighbridge: the master did not take the figures of this worker; they are lost\n"
            )
            code = ExitCode.INVALID_MEASUREMENT
        self.recorder.end()
        if self.worker is None and not self.child:
            # With `weighbridge load` the parent says so, from the same figures.
            figures, trust = self.figures()
            missing = self.master is not None and self.master.missing()
            if not trust.ok and (figures.started or missing):
                code = ExitCode.INVALID_MEASUREMENT
        self.recorder.close()
        self.environment.process_exit_code = int(code)
        if self.child:
            self.recorder.write(Path(self.plan.folder))
            if self.worker is not None:
                self.worker.collect()
                self._hand_over(self.worker.whole)

    # ---------------------------------------------------------------- worker and master
    def _report(self, data: dict[str, Any], **_: Any) -> None:
        if self.worker is not None:
            self.worker.report(data)

    def _reported(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        if self.master is not None:
            self.master.reported(client_id, data)

    def _joined(self, client_id: str, **_: Any) -> None:
        if self.master is not None:
            self.master.joined(client_id)

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

    def _hand_over(self, tally: Tally) -> None:
        """Write this process's figures for the parent; the last thing that a client process does."""
        path = Path(self.plan.folder) / f"figures-{os.getpid()}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(tally.as_json()), encoding="utf-8")
        part.replace(path)

    def _quit(self, **_: Any) -> None:
        self.recorder.fold()
        if self.child:
            if self.master is None:
                self._hand_over(self.recorder.tally)
            return
        figures, trust = self.figures()
        for text in [*figure_lines(figures), trust.statement]:
            sys.stdout.write(text + "\n")

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
