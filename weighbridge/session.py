"""One conformance run from target to report; the pytest plugin and the command line both drive it.

`RunSession` holds what a run knows, in the order in which it comes to know it: options, then target and
plan, then evidence, then findings, then the report. It does no input or output beside what its methods
name.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge import baseline as baselines
from weighbridge import evidence_file
from weighbridge.catalogue import Catalogue
from weighbridge.catalogue import load as load_catalogue
from weighbridge.difference import difference
from weighbridge.engine import INTERRUPTED, Evidence, Progress, Settings, gather
from weighbridge.errors import ExitCode, HarnessError, strongest
from weighbridge.judgement import Judgement, exit_code, judge_rows
from weighbridge.loops import new_event_loop
from weighbridge.output import replace_file
from weighbridge.plan import Plan, Selection, make_plan
from weighbridge.recorded import generated_probes, load_report
from weighbridge.report import document as report
from weighbridge.report.views import ViewPaths, write_views
from weighbridge.suite import Check, load_checks
from weighbridge.target import Target
from weighbridge.verdict import Finding

if TYPE_CHECKING:
    from weighbridge.estimate import Estimate
    from weighbridge.pair_process import PairProcess

#: The page beside report.json.
PAGE = "report.html"
#: Gathered in every wired run, whatever the profiles, since the table of upstream POSTs rests on them.
POSTS_PROBES = {
    "chat": ("chat_replies", "chat_upstream_failures"),
    "messages": ("message_replies", "message_upstream_failures"),
    "aimlapi": ("aimlapi_replies", "aimlapi_upstream_failures"),
}


@dataclass(frozen=True)
class RunOptions:
    """What the operator asked for.

    Attributes:
        target: the deployment, or None for the embedded simulator and reference gateway.
        out: folder for report.json and evidence, `reports/runs/<id>` if None.
        baseline: the operator's list of known findings.
        diff: report of an earlier run, to be compared with.
        dry_run: say what the run would take, and send nothing.
    """

    target: Target | None = None
    profiles: tuple[str, ...] = ()
    selection: Selection = field(default_factory=Selection)
    settings: Settings = field(default_factory=Settings)
    require_claim: bool = False
    out: Path | None = None
    json_file: Path | None = None
    allure: Path | None = None
    baseline: Path | None = None
    diff: Path | None = None
    views: ViewPaths = field(default_factory=ViewPaths)
    dry_run: bool = False


class RunSession:
    """The state of one run."""

    def __init__(
        self, options: RunOptions, pair: PairProcess | None = None, began: float | None = None
    ) -> None:
        """The state of a run that nothing is known of yet.

        Args:
            options: what the operator asked for.
            pair: the embedded target in a process of its own; without it, and without a target, it starts in ours.
            began: the moment of `time.monotonic` from which the run is timed; now if None.
        """
        self.options = options
        self.pair = pair
        self.started = datetime.now(UTC)
        self.id = f"{self.started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self.catalogue: Catalogue = load_catalogue()
        self.checks: tuple[Check, ...] = load_checks()
        self.findings: dict[str, Finding] = {}
        self.evidence: Evidence | None = None
        self.target: Target | None = options.target
        self.plan: Plan | None = None
        self._clock = time.monotonic() if began is None else began
        self.baseline = (
            None
            if options.baseline is None
            else baselines.load(options.baseline, self.catalogue, self.checks)
        )
        self.previous = None if options.diff is None else load_report(options.diff)
        self._recorded = b""
        if self.target is not None:
            self.plan = make_plan(self.target, self.catalogue, options.profiles, options.selection)
        else:
            from weighbridge.embedded_target import EMBEDDED_PROFILES, EMBEDDED_SHAPE

            # Known before anything is started, so that a mistake in the options costs no start.
            profiles = options.profiles or EMBEDDED_PROFILES
            self.plan = make_plan(EMBEDDED_SHAPE, self.catalogue, profiles, options.selection)

    @property
    def folder(self) -> Path:
        """Where this run's files go."""
        return self.options.out or Path("reports") / "runs" / self.id

    def wanted(self, checks: Sequence[Check]) -> list[Check]:
        """Those checks that this run's plan needs."""
        assert self.plan is not None  # noqa: S101 - set by the constructor
        return [check for check in checks if self.plan.wants(check)]

    def probes(self, checks: Sequence[Check]) -> list[str]:
        """The probes for these checks, in the order of first use."""
        assert self.plan is not None  # noqa: S101 - set by the constructor
        names = [name for check in checks for name in check.probes]
        wired = self.target is None or self.target.simulator is not None
        if wired and not self.options.selection.requirements and not self.options.selection.quick:
            names += [name for surface in self.plan.surfaces for name in POSTS_PROBES.get(surface, ())]
        return list(dict.fromkeys(names))

    def estimate(self) -> Estimate:
        """What this run would take at most; nothing is sent."""
        from weighbridge.estimate import estimate
        from weighbridge.rehearsal import rehearse

        assert self.plan is not None  # noqa: S101 - set by the constructor
        target = self.target
        if target is None:
            from weighbridge.embedded_target import EMBEDDED_SHAPE

            target = EMBEDDED_SHAPE
        names = self.probes(self.wanted(self.checks))
        return estimate(rehearse(target, names, self.plan.surfaces, self.options.settings))

    def gather(self, checks: Sequence[Check], progress: Progress | None = None) -> Evidence:
        """Reach the target and gather what these checks need.

        Raises:
            WeighbridgeError: preflight found a reason to stop.
        """
        import weighbridge.probes  # noqa: F401 - registers the probes

        names = self.probes(checks)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(self._gather(names, progress))
        assert self.evidence is not None  # noqa: S101 - set by the coroutine that ended well
        return self.evidence

    async def _gather(self, names: Sequence[str], progress: Progress | None) -> None:
        """Sets `evidence`. As a result, Python would spell all of it out when the runner takes its signal handler back."""
        async with self._reach() as target:
            self.target = target
            assert self.plan is not None  # noqa: S101 - set by the constructor
            evidence = await gather(
                target, names, self.plan.surfaces, self.options.settings, progress, self.pair
            )
            # What was made at the embedded gateway goes when it goes.
            self.evidence = evidence if self.options.target is not None else replace(evidence, made=())

    @asynccontextmanager
    async def _reach(self) -> AsyncIterator[Target]:
        if self.options.target is not None:
            yield self.options.target
            return
        if self.pair is not None:
            # What the end of the run needs is loaded while the pair starts.
            import weighbridge.report.html  # noqa: F401 - stays loaded

            async with self.pair.running() as target:
                yield target
            return
        from weighbridge.embed import embedded

        async with embedded() as target:
            yield target

    def judge(self) -> Judgement:
        """Verdicts from the findings so far."""
        assert self.plan is not None  # noqa: S101 - set by the constructor
        features = self.evidence.facts.features if self.evidence else {}
        return judge_rows(
            self.plan,
            self.catalogue,
            self.checks,
            self.findings,
            features,
            truncated=bool(self.evidence and self.evidence.truncated),
        )

    def document(self, judgement: Judgement) -> dict[str, Any]:
        """The report; it names the evidence file by its hash, so that is made ready here too."""
        assert self.plan is not None and self.target is not None and self.evidence is not None  # noqa: S101, PT018 - prepared
        compared = self.compared(judgement)
        run = report.RunInfo(
            self.id,
            self.started.isoformat(timespec="seconds"),
            time.monotonic() - self._clock,
            self.options.settings.seed,
        )
        target = report.describe_target(self.target, self.plan.surfaces)
        context = {
            "id": run.id,
            "started": run.started,
            "duration": run.duration,
            "seed": run.seed,
            "profiles": self.plan.profiles,
            "selection": {
                "level": self.plan.selection.level.value,
                "requirements": self.plan.selection.requirements,
                "quick": self.plan.selection.quick,
            },
            "target": target,
            "truncated": self.evidence.truncated,
        }
        self._recorded, summary = evidence_file.serialise(self.evidence, context)
        return report.build(
            target=target,
            plan=self.plan,
            evidence=self.evidence,
            judgement=judgement,
            run=run,
            generated=generated_probes(self.checks),
            recorded=summary,
            baseline=None if compared is None else compared.document(),
            changed=None
            if self.previous is None
            else lambda document: difference(self.previous or {}, document, str(self.options.diff)),
        )

    def compared(self, judgement: Judgement) -> baselines.Comparison | None:
        """The judgement held against the baseline, if there is one."""
        return None if self.baseline is None else baselines.compare(self.baseline, judgement)

    def exit_code(self, judgement: Judgement) -> ExitCode:
        """What the process shall answer."""
        compared = self.compared(judgement)
        code = exit_code(
            judgement,
            require_claim=self.options.require_claim,
            baselined=compared.rows if compared else frozenset(),
            stale=bool(compared and compared.stale),
        )
        cut = self.evidence.truncated if self.evidence else ""
        if not cut:
            return code
        return strongest([code, ExitCode.INTERRUPTED if cut == INTERRUPTED else ExitCode.UNREACHABLE])

    def _bodies(self, document: Mapping[str, Any]) -> dict[str, bytes]:
        """The files from which the curl lines of what the report shows read their bodies."""
        from weighbridge.report.curl import body_files
        from weighbridge.report.embedding import referred

        assert self.evidence is not None  # noqa: S101 - the document was made of it
        shown = frozenset(referred(document, self.evidence))
        every = (call for item in self.evidence.observations.values() for call in item.calls)
        return body_files(call for call in every if call.id in shown)

    def write(self, document: Mapping[str, Any]) -> Path:
        """Write report.json, the evidence, the page to read and what other views were asked for.

        Returns:
            the path of report.json.

        Raises:
            HarnessError: a place that could be written to before the run cannot be any more.
        """
        path = self.folder / "report.json"
        try:
            report.write(document, path)
            if self.options.json_file is not None:
                report.write(document, self.options.json_file)
            replace_file(self.folder / evidence_file.NAME, self._recorded)
            for name, body in self._bodies(document).items():
                replace_file(self.folder / name, body)
        except OSError as error:
            raise HarnessError(
                f"the results cannot be written to {error.filename or self.folder}: {error.strerror or error}; "
                "make room or choose another --out or --json"
            ) from error
        write_views(ViewPaths(html=self.folder / PAGE), document, self.evidence)
        write_views(self.options.views, document, self.evidence)
        return path
