"""One function runs (case, check) -> Result; everything that runs checks calls it."""

import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from parity import draw
from parity.case import Case, Example, Variant
from parity.checks import (
    decode,
    eager,
    exact,
    float32,
    gradient,
    half,
    rounded,
    sharded,
    structure,
    training,
    transfer,
    transforms,
)
from parity.checks.finding import Check, Finding
from parity.checks.subject import Subject
from parity.errors import BadInput, StaleEdit
from parity.reference import one_thread, quiet
from parity.registry import Registry, nearest
from parity.results import Result, spread
from parity.search import Settings as Settings
from parity.search import crash as crash
from parity.search import judged, search, shrink
from parity.tolerance import Tolerances

CHECKS: Mapping[str, Check] = {
    c.name: c
    for c in (
        transfer.check,
        structure.check,
        exact.check,
        gradient.check,
        *rounded.checks,
        float32.check,
        half.bfloat16,
        half.float16,
        *eager.checks,
        transforms.check,
        decode.check,
        sharded.check,
        training.check,
    )
}
COMPILED = 3  # configurations that a check on the real backend draws its examples from: each one compiles
FEW = 2  # configurations that an equivalent is asked about, or fewer where each is traced anew
SHARE, LEAST = 5, 10  # an equivalent is asked about one example in five, but about ten at the least
POOLS = 3  # seeds whose configurations a fault must survive
ENOUGH = 8  # examples of each configuration of the pool, from which on every check asks the whole pool
REJECT = 4  # examples of each configuration of the pool, at the least, before a fault counts as surviving
Progress = Callable[[int, int], None]


class Runner:
    """Runs checks of a registry's cases, and keeps what is expensive between the checks of one case."""

    def __init__(self, registry: Registry, tolerances: Tolerances, settings: Settings) -> None:
        self.registry = registry
        self.tolerances = tolerances
        self.settings = settings
        self._subject: Subject | None = None
        self._pool: tuple[Any, ...] = ()

    def run(self, case: Case, check: str, *, progress: Progress = lambda done, asked: None) -> Result:
        """Run one check of one case to its verdict. Nothing is raised but BadInput and KeyboardInterrupt.

        Raises:
            BadInput: the case has no such check.
        """
        if check not in check_ids(case):
            raise BadInput(f"{case.name} has no check {check!r}{nearest(check, check_ids(case))}")
        started = time.monotonic()
        with one_thread(), quiet():
            result = self._run(case, check, progress)
        return result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})

    def _run(self, case: Case, check: str, progress: Progress) -> Result:
        if check in case.skips:
            return Result(case=case.name, check=check, status="skipped", message=case.skips[check])
        if self.settings.late:
            return Result(case=case.name, check=check, status="skipped", message="the time limit was reached before")
        kind, _, name = check.partition(":")  # of a variant's check; 'rounded:bfloat16' is one of CHECKS
        try:
            subject = self.subject(case)
            if kind == "rejects":
                return self._rejects(subject, case.faults[name], check, progress)
            if kind == "accepts":
                return self._accepts(subject, case.equivalents[name], check, progress)
            return self._ask(subject, CHECKS[check], progress)
        except StaleEdit as error:
            return Result(case=case.name, check=check, status="failed", message=str(error))
        except Exception as error:
            return Result(case=case.name, check=check, status="error", message=crash(error))

    def subject(self, case: Case) -> Subject:
        """The clean case, with everything already built for it; only the last case's is kept."""
        if self._subject is None or self._subject.case is not case:
            self._subject = Subject(self.registry, case)
            self._pool = draw.pool(case, seed=self.settings.seed)
        return self._subject

    def judge(self, subject: Subject, check: str, example: Example) -> Finding:
        """One check of one example, explained where it fails."""
        run = CHECKS[check].start(subject, self.tolerances)
        finding = judged(run.judge, example)
        if finding.passed or finding.kind != "verdict":
            return finding
        return dataclasses.replace(finding, message=run.explain(example, finding))

    def pool(self, check: Check, *, few: bool = False, seed: int | None = None) -> tuple[Any, ...]:
        """The configurations and forms that a check draws its examples from.

        Args:
            check: which.
            few: for an equivalent.
            seed: for a fault: all of the pool of this seed.
        """
        if seed not in (None, self.settings.seed) and self._subject is not None:
            other = draw.pool(self._subject.case, seed=seed or 0)
            return other[: check.configurations or COMPILED] if check.compiles else other
        if check.compiles:
            return self._pool[: (1 if few else check.configurations or COMPILED)]
        if few:
            return self._pool[: (FEW // 2 if check.traces else FEW)]
        short = seed is None and self.settings.examples < ENOUGH * len(self._pool)
        if short and check.turn is not None:
            return self._pool[check.turn :: 2] or self._pool
        return self._pool

    def _ask(self, subject: Subject, check: Check, progress: Progress, *, few: bool = False) -> Result:
        """A check of a subject: many examples, the worst of them, and on a failure the smallest that shows it."""
        case = subject.case
        examples = check.among(self.settings.examples)
        examples = min(examples, max(LEAST, math.ceil(examples / SHARE))) if few else examples
        asked = max(examples, len(case.pins))
        run = check.start(subject, self.tolerances)
        pool = self.pool(check, few=few)
        seen = search(subject, run, pool, self.settings, asked=asked, progress=progress)
        enough = not few and seen.examples >= max(asked, 2 * len(pool))  # too few can't show that nothing ever happens
        example, finding = seen.failing or (seen.worst, run.finish() if enough else None)
        if seen.failing and not few:
            start = functools.partial(check.start, subject, self.tolerances)
            example, finding = shrink(subject, start, self.settings, seen.failing)
        status, message = "passed", None
        if finding and not finding.passed:
            status, message = ("error" if finding.kind == "crash" else "failed"), finding.message
            if example and finding.kind == "verdict" and not few:
                with subject.patched():
                    message = run.explain(example, finding)
        elif seen.examples < asked and self.settings.late:
            status, message = "skipped", f"the time limit was reached after {seen.examples} of {asked} examples"
        elif seen.examples < asked:
            status, message = "failed", f"only {seen.examples} of {asked} examples were completed"
        final = finding or seen.finding
        return Result(
            case=case.name,
            check=check.name,
            status=status,
            examples=seen.examples,
            used=final.used if final else None,
            worst=final.error.worst if final and final.error else None,
            limit=final.limit if final else None,
            measured=dict(seen.finding.error.measures) if seen.finding and seen.finding.error else {},
            spread=spread(seen.used),
            example=example.as_json() if example and status != "passed" else None,
            replay=replay_command(case, check.name, example) if example and status != "passed" else None,
            message=message,
        )

    def _rejects(self, clean: Subject, fault: Variant, check: str, progress: Progress) -> Result:
        """Whether one of the fault's checks runs to its end and fails; a crash is not a rejection.

        A dozen configurations can't hold every value of every field: what survives a run's own pool is asked again
        with those of the next seeds.
        """
        case = clean.case
        subject = Subject(self.registry, case, variant=fault, clean=clean)
        examples, trouble = 0, ""
        most = max(self.settings.examples, REJECT * case.pool)
        for further, name in itertools.product(range(POOLS), fault.checks):
            settings = dataclasses.replace(self.settings, seed=self.settings.seed + further)
            run, pool = CHECKS[name].start(subject, self.tolerances), self.pool(CHECKS[name], seed=settings.seed)
            asked = CHECKS[name].among(most)
            seen = search(subject, run, pool, settings, asked=asked, progress=progress, unmapped=True)
            examples += seen.examples
            found = seen.failing and seen.failing[1]
            if found and found.kind == "crash":
                trouble = f"; {name} crashed, which is no rejection: {found.message}"
            elif found:
                return Result(
                    case=case.name,
                    check=check,
                    status="passed",
                    examples=examples,
                    measured=dict(found.error.measures) if found.error else {},
                    limit=found.limit,
                    message=f"rejected by {name} after {seen.examples} examples",
                )
        if self.settings.late:
            message = f"the time limit was reached after {examples} examples"
            return Result(case=case.name, check=check, status="skipped", examples=examples, message=message)
        message = f"the fault survives {' and '.join(fault.checks)} over {examples} examples{trouble}"
        return Result(case=case.name, check=check, status="failed", examples=examples, message=message)

    def _accepts(self, clean: Subject, variant: Variant, check: str, progress: Progress) -> Result:
        """Whether every check passes for a variant that computes the same function, but those it is excused from."""
        subject = Subject(self.registry, clean.case, variant=variant, clean=clean)
        excused = {**variant.excused, **clean.case.skips}
        every = [check for check in CHECKS.values() if check.variants and check.of(clean.case)]
        asked = [check for check in every if not {check.name, check.kind} & {*excused}]
        results = [self._ask(subject, each, progress, few=True) for each in asked]
        bad = next((result for result in results if result.status != "passed"), None)
        worst = max(results, key=lambda result: result.used or 0.0)
        if bad is None:
            keep = {"check": check, "examples": min(result.examples for result in results)}
            said = "; ".join((variant.why, *(f"excused from {kind}: {why}" for kind, why in variant.excused.items())))
            return worst.model_copy(update={**keep, "message": f"accepted: {said}" if said else None})
        if bad.status == "skipped":
            return bad.model_copy(update={"check": check, "replay": None})
        message = f"{bad.check} rejects it: {bad.message or _said(bad)}"
        return bad.model_copy(update={"check": check, "message": message, "replay": None})


def check_ids(case: Case, *, deep: bool = True) -> tuple[str, ...]:
    """Every check of a case, in the order they run; or without those that run only where they are asked for."""
    checks = (name for name, check in CHECKS.items() if check.of(case) and (deep or not check.deep))
    return (*checks, *(f"rejects:{name}" for name in case.faults), *(f"accepts:{name}" for name in case.equivalents))


def replay_command(case: Case, check: str, example: Example) -> str:
    """The one command that shows an example again."""
    return f"parity replay {case.name} --check {check} --example {example.token}"


def _said(result: Result) -> str:
    if (limit := result.limit) is None:
        return ""
    return f"{limit.name} {result.measured.get(limit.name, 0.0):.3g}, limit {limit.value:g} ({limit.where})"
