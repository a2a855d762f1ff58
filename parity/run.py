"""One function runs (case, check) -> Result; everything that runs checks calls it."""

import contextlib
import dataclasses
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from parity import draw
from parity.case import Case, Example, Variant
from parity.checks import exact, float32, structure, transfer
from parity.checks.finding import Check, Finding, Run
from parity.checks.subject import Subject
from parity.errors import BadInput, OutputMismatch, StaleEdit, WeightMapError
from parity.reference import one_thread
from parity.registry import Registry, nearest
from parity.results import Result
from parity.tolerance import Tolerances

CHECKS: Mapping[str, Check] = {c.name: c for c in (transfer.check, structure.check, exact.check, float32.check)}
COMPILED = 4  # configurations that a check on the real backend draws its examples from: each one compiles
REJECT = 4  # examples of each configuration of the pool, at the least, before a fault counts as surviving
SHRINK_SECONDS = 20.0
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a run is made: examples a check, the seed, and when to stop (on `time.monotonic`'s clock)."""

    examples: int = 50
    seed: int = 0
    stop_at: float | None = None

    @property
    def late(self) -> bool:
        return self.stop_at is not None and time.monotonic() >= self.stop_at


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
        with one_thread():
            result = self._run(case, check, progress)
        return result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})

    def _run(self, case: Case, check: str, progress: Progress) -> Result:
        if check in case.skips:
            return Result(case=case.name, check=check, status="skipped", message=case.skips[check])
        if self.settings.late:
            return Result(case=case.name, check=check, status="skipped", message="the time limit was reached before")
        kind, _, name = check.partition(":")
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
        """One check of one example."""
        run = CHECKS[check].start(subject, self.tolerances)
        return _judged(run, example)

    def _ask(self, subject: Subject, check: Check, progress: Progress, *, few: bool = False) -> Result:
        """A check of a subject: many examples, the worst of them, and on a failure the smallest that shows it."""
        case, asked = subject.case, self.settings.examples
        run = check.start(subject, self.tolerances)
        seen, failing = self._search(subject, run, check, progress, asked=asked, few=few)
        finding = failing[1] if failing else (run.finish() if seen.examples >= asked else None)
        example = failing[0] if failing else seen.worst
        if failing and not few:
            example, finding = self._shrink(subject, check, *failing)
        status, message = "passed", None
        if finding and not finding.passed:
            status, message = ("error" if finding.kind == "crash" else "failed"), finding.message
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
            example=example.as_json() if example and status != "passed" else None,
            replay=replay_command(case, check.name, example) if example and status != "passed" else None,
            message=message,
        )

    def _search(
        self,
        subject: Subject,
        run: Run,
        check: Check,
        progress: Progress,
        *,
        asked: int,
        few: bool = False,
        unmapped: bool = False,
    ) -> tuple["_Seen", tuple[Example, Finding] | None]:
        """Judge examples until one fails or enough distinct ones were judged, as many of each configuration of the pool.

        With `unmapped`, an example whose weights can't be mapped counts for nothing, instead of as a failure.
        """
        case = subject.case
        pool = self._pool[: (2 if few else COMPILED)] if check.compiles else self._pool
        seen = _Seen()
        failing: list[tuple[Example, Finding]] = []

        def body(example: Example) -> None:
            if failing:
                raise _Failing  # ends the drawing
            if self.settings.late or example.token in seen.tokens or seen.examples >= asked:
                return
            finding = _judged(run, example)
            if unmapped and finding.kind == "map":
                return
            seen.add(example, finding)
            progress(seen.examples, asked)
            if not finding.passed:
                failing.append((example, finding))
                raise _Failing

        with subject.patched(), contextlib.suppress(_Failing):
            for pin in case.pins:
                body(pin)
            for turn in range(4):  # a strategy may draw one example twice: distinct ones are counted
                for number, setup in enumerate(pool):
                    share = math.ceil((asked - seen.examples) / (len(pool) - number))
                    if share > 0 and not self.settings.late:
                        seed = draw.seed_of(self.settings.seed, f"{case.name} examples {turn} {number}")
                        draw.run(draw.examples(case, [setup]), body, examples=share, seed=seed)
        return seen, failing[0] if failing else None

    def _shrink(self, subject: Subject, check: Check, example: Example, finding: Finding) -> tuple[Example, Finding]:
        """The smallest failing example, over whole palettes instead of the run's pool; the one given if none is found."""
        verdicts: dict[str, Finding] = {}
        smallest: list[tuple[Example, Finding]] = []
        stop = time.monotonic() + SHRINK_SECONDS

        def body(drawn: Example) -> None:
            token = drawn.token
            if token not in verdicts:
                if time.monotonic() > stop:
                    return  # out of time: nothing smaller is accepted any more
                verdicts[token] = _judged(check.start(subject, self.tolerances), drawn)
            if not verdicts[token].passed and verdicts[token].kind == finding.kind:
                smallest[:] = [(drawn, verdicts[token])]
                raise _Failing

        with subject.patched(), contextlib.suppress(_Failing):
            seed = draw.seed_of(self.settings.seed, f"{subject.case.name} shrink")
            draw.run(draw.examples(subject.case), body, examples=200, seed=seed, shrink=True)
        return smallest[0] if smallest else (example, finding)

    def _rejects(self, clean: Subject, fault: Variant, check: str, progress: Progress) -> Result:
        """Whether one of the fault's checks runs to its end and fails; a crash is not a rejection."""
        case = clean.case
        subject = Subject(self.registry, case, variant=fault, clean=clean)
        examples, trouble = 0, ""
        for name in fault.checks:
            run = CHECKS[name].start(subject, self.tolerances)
            most = max(self.settings.examples, REJECT * case.pool)
            seen, failing = self._search(subject, run, CHECKS[name], progress, asked=most, unmapped=True)
            examples += seen.examples
            if failing and failing[1].kind == "crash":
                trouble = f"; {name} crashed, which is no rejection: {failing[1].message}"
            elif failing:
                measured = dict(failing[1].error.measures) if failing[1].error else {}
                return Result(
                    case=case.name,
                    check=check,
                    status="passed",
                    examples=examples,
                    measured=measured,
                    limit=failing[1].limit,
                    message=f"rejected by {name} after {seen.examples} examples",
                )
        message = f"the fault survives {' and '.join(fault.checks)} over {examples} examples{trouble}"
        return Result(case=case.name, check=check, status="failed", examples=examples, message=message)

    def _accepts(self, clean: Subject, variant: Variant, check: str, progress: Progress) -> Result:
        """Whether every check passes for a variant that computes the same function."""
        subject = Subject(self.registry, clean.case, variant=variant, clean=clean)
        results = [self._ask(subject, each, progress, few=True) for each in CHECKS.values()]
        bad = next((result for result in results if result.status != "passed"), None)
        worst = max(results, key=lambda result: result.used or 0.0)
        if bad is None:
            keep = {"check": check, "examples": min(result.examples for result in results)}
            return worst.model_copy(update={**keep, "message": f"accepted: {variant.why}" if variant.why else None})
        message = f"{bad.check} rejects it: {bad.message or _said(bad)}"
        return bad.model_copy(update={"check": check, "message": message, "replay": None})


class _Failing(Exception):
    """Tells Hypothesis that an example failed."""


@dataclasses.dataclass
class _Seen:
    """The examples of a run that were judged, and the worst finding so far."""

    tokens: set[str] = dataclasses.field(default_factory=set[str])
    finding: Finding | None = None
    worst: Example | None = None

    @property
    def examples(self) -> int:
        return len(self.tokens)

    def add(self, example: Example, finding: Finding) -> None:
        self.tokens.add(example.token)
        if self.finding is None:
            self.finding, self.worst = finding, example
            return
        before, error = self.finding, finding.error
        merged = before.error.merge(error) if before.error and error else before.error or error
        larger = finding if (finding.used or 0.0) > (before.used or 0.0) else before
        self.worst = example if larger is finding else self.worst
        worst = larger.error.worst if larger.error else None
        error = dataclasses.replace(merged, worst=worst) if merged else None
        self.finding = dataclasses.replace(larger, error=error)


def check_ids(case: Case) -> tuple[str, ...]:
    """Every check of a case, in the order they run."""
    return (*CHECKS, *(f"rejects:{name}" for name in case.faults), *(f"accepts:{name}" for name in case.equivalents))


def replay_command(case: Case, check: str, example: Example) -> str:
    """The one command that shows an example again."""
    return f"parity replay {case.name} --check {check} --example {example.token}"


def broken_results(registry: Registry) -> Iterator[Result]:
    """A case file that could not be loaded, as a result with status 'error'."""
    for broken in registry.broken:
        yield Result(case=broken.name, check="import", status="error", message=str(broken))


def crash(error: BaseException) -> str:
    """An unexpected exception in a line: its type and text, and the last line of code outside parity and the libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and "/parity/" not in f.filename]
    place = own[-1] if own else frames[-1] if frames else None
    where = f" at {place.filename}:{place.lineno}" if place else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{where}"


def _judged(run: Run, example: Example) -> Finding:
    """Judge an example; what can't be compared is a finding, and so is a crash, which is marked as one."""
    try:
        return run.judge(example)
    except OutputMismatch as error:
        return Finding(passed=False, message=str(error))
    except WeightMapError as error:
        return Finding(passed=False, kind="map", message=str(error))
    except BadInput:
        raise
    except Exception as error:
        return Finding(passed=False, kind="crash", message=crash(error))


def _said(result: Result) -> str:
    limit = result.limit
    return f"{limit.name} {result.measured.get(limit.name, 0.0):.3g}, limit {limit.value:g} ({limit.where})" if limit else ""
