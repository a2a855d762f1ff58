"""Clean runs: the port as it is, and each variant declared the same function, measured by the checks themselves."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from parity.case import Case, Example, Variant
from parity.checks.finding import Check, Finding, Run
from parity.checks.subject import Subject
from parity.errors import StaleEdit
from parity.measure.bounds import least
from parity.reference import one_thread, quiet
from parity.results import Limit, Model, Result
from parity.run import CHECKS, Runner, Settings, replay_command
from parity.search import search
from parity.session import Hooks, Workspace
from parity.tolerance import MEASURES, Tolerances

QUANTILES = (0.5, 0.99)
VARIANT_SHARE = 10  # a variant is measured on one of so many examples: it differs from the port in rounding alone


class Distribution(Model):
    """A measure over all clean examples: its median, its 99th percentile, its worst, and where that was."""

    median: float
    p99: float
    worst: float
    replay: str


class Measured(Model):
    """What clean runs of one check of one case measured. `trouble`: why a run ended before its time."""

    case: str
    check: str
    examples: int
    seeds: int
    measures: dict[str, Distribution]
    trouble: str | None = None


def measure(
    workspace: Workspace, case: Case, *, examples: int, seeds: Sequence[int], hooks: Hooks
) -> tuple[Measured, ...]:
    """Measure every check of a case that has bounds, over these seeds.

    Args:
        workspace: the cases; its bounds judge nothing here.
        case: which.
        examples: distinct examples a check and seed.
        seeds: each draws other configurations, other examples.
        hooks: told of every check and seed.
    """
    records = [_Record(case, CHECKS[name], _values(workspace.tolerances, name)) for name in checks_of(case)]
    with one_thread(), quiet():
        for number, seed in enumerate(seeds):
            runner = Runner(workspace.registry, Tolerances({}, {}), Settings(examples, seed))
            subject = runner.subject(case)
            for record in records:
                record.run(runner, subject, hooks=hooks)
                for name, variant in case.equivalents.items() if not number else ():
                    record.run_variant(runner, subject, name, variant, hooks=hooks)
    return tuple(record.measured(len(seeds)) for record in records)


def checks_of(case: Case) -> tuple[str, ...]:
    """The checks of a case that have bounds, but those that run only where they are asked for."""
    return tuple(
        n for n in MEASURES if n in CHECKS and CHECKS[n].of(case) and not CHECKS[n].deep and n not in case.skips
    )


@dataclasses.dataclass
class _Record:
    """What one check has measured so far, under bounds that follow the worst.

    The smallest bound that passes an example is what the check finds in its second look, if it has one, when it holds
    a port against the reference's own program under random rounding. It looks again only at what is beyond its bounds.
    So the bounds it is given here are the worst values up to now (at least those below which none is proposed): then
    every example that could be the worst is looked at twice, and few others.
    """

    case: Case
    check: Check
    defaults: Mapping[str, float]
    values: dict[str, list[float]] = dataclasses.field(default_factory=dict[str, list[float]])
    worst: dict[str, tuple[float, str]] = dataclasses.field(default_factory=dict[str, tuple[float, str]])
    trouble: str | None = None
    examples: int = 0
    bounds: dict[str, Limit] = dataclasses.field(default_factory=dict[str, Limit])

    def __post_init__(self) -> None:
        for name in MEASURES[self.check.name]:
            self.bounds[name] = _limit(name, least(self.check.name, name, self.defaults.get(name)))

    def run(self, runner: Runner, subject: Subject, *, hooks: Hooks) -> None:
        """The port as it is, with one seed."""
        asked = runner.settings.examples
        self._search(runner, subject, asked, hooks=hooks, of=f"seed {runner.settings.seed}")

    def run_variant(self, runner: Runner, clean: Subject, name: str, variant: Variant, *, hooks: Hooks) -> None:
        """A variant declared the same function: bounds must hold for it too, unless it is excused."""
        if {self.check.name, self.check.kind} & {*variant.excused}:
            return
        subject = Subject(runner.registry, self.case, variant=variant, clean=clean)
        asked = math.ceil(runner.settings.examples / VARIANT_SHARE)
        try:
            self._search(runner, subject, asked, hooks=hooks, of=name, few=True)
        except StaleEdit as error:
            self.trouble = self.trouble or f"{name}: {error}"

    def _search(
        self, runner: Runner, subject: Subject, asked: int, *, hooks: Hooks, of: str, few: bool = False
    ) -> None:
        hooks.on_start(self.case, f"{self.check.name}, {of}")
        run = self.check.start(subject, Tolerances({}, {self.case.name: {self.check.name: self.bounds}}))
        recorded = Run(lambda example: self._add(run.judge(example), example))
        settings, pool = runner.settings, runner.pool(self.check, few=few)
        seen = search(subject, recorded, pool, settings, asked=asked, progress=hooks.on_progress)
        self.examples += seen.examples
        if seen.failing:
            example, finding = seen.failing
            replay = replay_command(self.case, self.check.name, example)
            self.trouble = self.trouble or f"{of}: {finding.message or 'a clean run fails'}: {replay}"
        elif seen.examples < asked:
            self.trouble = self.trouble or f"{of}: only {seen.examples} of {asked} examples were completed"
        elif (last := run.finish()) and seen.worst:
            self._add(last, seen.worst)
        hooks.on_result(Result(case=self.case.name, check=self.check.name, status="passed"))

    def _add(self, finding: Finding, example: Example) -> Finding:
        if finding.error is None:
            return finding
        for name, value in finding.error.measures.items():
            self.values.setdefault(name, []).append(value)
            before = self.worst[name][0] if name in self.worst else -math.inf
            if value > before or (math.isnan(value) and not math.isnan(before)):  # NaN is worse than anything
                self.worst[name] = (value, replay_command(self.case, self.check.name, example))
                self._follow(name, value)
        return dataclasses.replace(finding, passed=True)

    def _follow(self, name: str, value: float) -> None:
        if name in self.bounds:
            self.bounds[name] = _limit(name, max(value, self.bounds[name].value))

    def measured(self, seeds: int) -> Measured:
        """The distributions of everything that was measured."""
        return Measured(
            case=self.case.name,
            check=self.check.name,
            examples=self.examples,
            seeds=seeds,
            measures={
                name: Distribution(
                    **dict(zip(("median", "p99"), map(float, np.quantile(values, QUANTILES)), strict=True)),
                    worst=self.worst[name][0],
                    replay=self.worst[name][1],
                )
                for name, values in self.values.items()
            },
            trouble=self.trouble,
        )


def _values(tolerances: Tolerances, check: str) -> dict[str, float]:
    return {name: bound.value for name, bound in tolerances.defaults.get(check, {}).items()}


def _limit(name: str, value: float) -> Limit:
    return Limit(name=name, value=value, where="calibration")
