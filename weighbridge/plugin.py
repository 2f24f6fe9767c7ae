"""The pytest side of a run: collection decides the checks, then evidence is gathered once, then the
checks run as synchronous functions of it.

Two ways in: `weighbridge run` passes a `RunPlugin` to `pytest.main`; plain `pytest suites --target FILE`
in a checkout loads this module through the root conftest, which adds the options and the plugin.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pytest

from weighbridge.engine import Evidence, Progress
from weighbridge.errors import WeighbridgeError
from weighbridge.evidence import Observation
from weighbridge.judgement import Judgement
from weighbridge.locate import folder
from weighbridge.pair_process import PairProcess
from weighbridge.plan import Selection
from weighbridge.session import RunOptions, RunSession
from weighbridge.suite import (
    Check,
    Judge,
    NotJudged,
    Violation,
    binding_of,
    check_id,
    load_checks,
    probes_of,
    settled,
    unavailable,
)
from weighbridge.throttling import limited_twice
from weighbridge.verdict import Finding, Level, Outcome, Verdict, verdict_of

_CHECK = pytest.StashKey[Check]()


def _probe_fixture(name: str) -> Any:
    def observation(self: RunPlugin) -> Observation:
        return self.observation(name)

    return pytest.fixture(scope="session", name=name)(observation)


class RunPlugin:
    """Drives a `RunSession` through the hooks of one pytest session.

    Attributes:
        stopped: the error that ended the run before any check, if one did.
        judgement: the result, once the session is over.
        document: the report, once the session is over.
    """

    def __init__(
        self, session: RunSession, *, progress: Progress | None = None, own_exit: bool = True
    ) -> None:
        self.session = session
        self.stopped: WeighbridgeError | None = None
        self.interrupted = False
        self.judgement: Judgement | None = None
        self.document: dict[str, Any] | None = None
        self.report_path: Path | None = None
        self._progress = progress
        self._own_exit = own_exit
        self._active: list[Check] = []

    def observation(self, name: str) -> Observation:
        """The observation of a probe."""
        evidence = self.evidence
        found = evidence.observations.get(name)
        return found or Observation(name, error=f"the probe {name} does not exist")

    @property
    def evidence(self) -> Evidence:
        """What the run observed; gathered before the first check."""
        assert self.session.evidence is not None  # noqa: S101 - checks run after gathering
        return self.session.evidence

    @pytest.fixture
    def judge(self) -> Judge:
        """Applies rules to evidence and keeps the findings."""
        return Judge(self.evidence.facts, self._limited)

    @cached_property
    def _limited(self) -> frozenset[str]:
        return limited_twice(self.evidence.observations.values())

    @pytest.hookimpl
    def pytest_configure(self, config: pytest.Config) -> None:
        """Where pytest's own terminal is off, nobody reads the source that it would look up for each outcome."""
        if not config.pluginmanager.hasplugin("terminal"):
            config.option.tbstyle = "native"

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the checks that the plan wants; leave ordinary tests alone."""
        root = folder("suites")
        kept: list[pytest.Item] = []
        dropped: list[pytest.Item] = []
        for item in items:
            bound = binding_of(getattr(item, "function", None))
            if bound is None or not isinstance(item, pytest.Function):
                kept.append(item)
                continue
            name = item.originalname or item.name
            check = Check(check_id(item.path, root, name), bound, probes_of(item.function), item.function)
            item.stash[_CHECK] = check
            if self.session.wanted([check]):
                kept.append(item)
                self._active.append(check)
            else:
                dropped.append(item)
        items[:] = kept
        if dropped:
            config.hook.pytest_deselected(items=dropped)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Gather the evidence, then let pytest run the checks."""
        if not self._active or session.config.option.collectonly:
            return (yield)
        try:
            self.session.gather(self._active, self._progress)
        except WeighbridgeError as error:
            self.stopped = error
            session.exitstatus = error.exit_code
            pytest.exit(str(error), returncode=int(error.exit_code))
        except KeyboardInterrupt:
            self.interrupted = True
            raise
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Turn what a check raises into a finding, and the finding into pytest's vocabulary."""
        check = pyfuncitem.stash.get(_CHECK, None)
        if check is None:
            return (yield)
        finding = self._blocked(pyfuncitem, check)
        if finding is None:
            try:
                yield
                finding = cast("Judge", pyfuncitem.funcargs["judge"]).verdict()
            except (Violation, NotJudged) as outcome:
                finding = outcome.finding
            except Exception as error:  # noqa: BLE001 - a broken check is our fault and must be reported as such
                finding = Finding(
                    Outcome.HARNESS_ERROR,
                    observed=f"the check itself failed: {type(error).__name__}: {error}",
                    inside_scope=True,
                )
        else:
            # The generator must run to its end; the check is replaced by what blocks it.
            pyfuncitem.obj = lambda **_: None
            yield
        finding = settled(finding, check, self.evidence.observations, self.evidence.facts)
        self.session.findings[check.id] = finding
        verdict = self._verdict(check, finding)
        pyfuncitem.user_properties.append(("verdict", verdict.value))
        pyfuncitem.user_properties.append(("requirements", " ".join(check.binding.ids)))
        _speak_pytest(verdict, finding)
        return True

    def _blocked(self, item: pytest.Function, check: Check) -> Finding | None:
        for name in check.probes:
            blocked = unavailable(cast("Observation", item.funcargs[name]))
            if blocked is not None:
                return blocked
        return None

    def _verdict(self, check: Check, finding: Finding) -> Verdict:
        plan = self.session.plan
        assert plan is not None  # noqa: S101 - set by the session's constructor
        profiles = [
            name
            for name in plan.profiles
            if self.session.catalogue.profiles[name].surface == check.binding.surface
        ]
        levels = [self.session.catalogue.level(row, profiles) for row in check.binding.ids if row in plan.ids]
        level = max(levels, key=[Level.MAY, Level.SHOULD, Level.MUST].index)
        return verdict_of(finding.outcome, level)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge, write the report, set the exit code."""
        if self.session.evidence is None or not self._active:
            return
        self.judgement = self.session.judge()
        self.document = self.session.document(self.judgement)
        self.report_path = self.session.write(self.document)
        if self._own_exit:
            session.exitstatus = self.session.exit_code(self.judgement)


def _speak_pytest(verdict: Verdict, finding: Finding) -> None:
    """The nearest thing pytest has to a verdict: pass, fail, skip or error."""
    if verdict in {Verdict.PASS, Verdict.WARN}:
        return
    if verdict is Verdict.FAIL:
        pytest.fail(finding.message, pytrace=False)
    if verdict is Verdict.HARNESS_ERROR or finding.inside_scope:
        raise NotJudged(finding)
    pytest.skip(f"{verdict.value}: {finding.message}")


def attach_probe_fixtures() -> None:
    """Give `RunPlugin` one fixture for each registered probe, under the probe's name."""
    import weighbridge.probes  # noqa: F401 - registers the probes
    from weighbridge.lab import PROBES

    # Names that no probe has get a fixture too, so that a misspelt one is a harness error and not silence.
    named = (name for check in load_checks() for name in check.probes)
    for name in dict.fromkeys((*PROBES, *named)):
        if not hasattr(RunPlugin, name):
            setattr(RunPlugin, name, _probe_fixture(name))


# ---------------------------------------------------------------------- plain `pytest suites --target FILE`
def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `weighbridge run` that make sense under plain pytest."""
    group = parser.getgroup("weighbridge", "conformance of a deployment")
    group.addoption("--target", help="target file or URL; without it the embedded reference is judged")
    group.addoption("--profile", action="append", default=[], help="profile to judge (may be repeated)")
    group.addoption("--quick", action="store_true", help="what replies alone show, without waiting")
    group.addoption("--level", default="may", choices=["must", "should", "may"], help="lowest level to judge")
    group.addoption(
        "--requirement", action="append", default=[], help="judge only this row (may be repeated)"
    )
    group.addoption("--key-env", help="with a URL: the environment variable that holds the key")
    group.addoption("--model", help="with a URL: the model to use")


def _asks_for_suites(config: pytest.Config) -> bool:
    root = folder("suites")
    here = Path(str(config.invocation_params.dir))
    for argument in config.args:
        path = (here / argument.partition("::")[0]).resolve()
        if path == root or root in path.parents:
            return True
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Activate when the arguments name the suites, or part of them."""
    if not _asks_for_suites(config) or config.pluginmanager.hasplugin("weighbridge-run"):
        return
    from weighbridge.run import resolve_target

    attach_probe_fixtures()
    option = config.option
    try:
        options = RunOptions(
            target=resolve_target(option.target, tuple(option.profile), option.key_env, option.model),
            profiles=tuple(option.profile),
            selection=Selection(Level(option.level.upper()), tuple(option.requirement), option.quick),
        )
        session = RunSession(options)
        if options.target is None and not option.quick and not option.collectonly:
            session.pair = PairProcess()
            config.add_cleanup(session.pair.close)
    except WeighbridgeError as error:
        pytest.exit(str(error), returncode=int(error.exit_code))
    config.pluginmanager.register(RunPlugin(session), "weighbridge-run")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """After pytest's own lines: failures as required / observed, then one line per claim."""
    plugin = config.pluginmanager.get_plugin("weighbridge-run")
    if plugin is not None and plugin.document is not None:
        from weighbridge.report.console import summary_lines

        terminalreporter.section("weighbridge")
        for line in summary_lines(plugin.document):
            terminalreporter.write_line(line)


__all__ = [
    "RunPlugin",
    "attach_probe_fixtures",
    "pytest_addoption",
    "pytest_configure",
    "pytest_terminal_summary",
]
