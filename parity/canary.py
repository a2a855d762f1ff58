"""One fault injected into every run: a run that does not reject its canary can't be believed."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity import draw
from parity.case import Case, Example
from parity.checks import exact
from parity.checks.subject import Outputs, Subject
from parity.faults import Fault, Injected, at
from parity.port import Followed
from parity.reference import one_thread, quiet
from parity.registry import Registry
from parity.results import Result
from parity.run import Runner

CHECK = "canary"
NEGATED = Fault("relation", "negated", "its result negated", lambda operands, results: [_negated(x) for x in results])
STILL = "no fault in it moves any output"
SILENT = "no fault of the run's own was injected: no case with an exact check could be run"
VISIBLE = 0.1  # of an output's largest value: tolerances.yaml refuses a bound that lets this through


@dataclasses.dataclass(frozen=True)
class Canary:
    """What became of a run's canary: `said` for the report, `result` where it makes the run a failed one."""

    said: str
    result: Result | None = None


def sing(runner: Runner, cases: Sequence[Case]) -> Canary | None:
    """Inject a fault that the seed chooses into the first case that has an exact check, and see it rejected.

    The fault is one that moves an output by a tenth of its largest value, as measured here and not by the check; then
    the run's own way of judging, from the outputs on, must reject it. None where no port can be run: the checks
    themselves say so.
    """
    case = next((case for case in cases if "exact" not in case.skips), None)
    if case is None:
        return None
    with one_thread(), quiet():
        seed, found = draw.seed_of(runner.settings.seed, f"{case.name} canary"), None
        try:
            subject = runner.subject(case)
            for example in _examples(runner, case, seed=seed):  # of the pool that the subject brought along
                followed = subject.follow(example)
                if not followed.evaluation.program.lines:
                    return None
                if found := next(visible(followed, seed=seed), None):
                    break
            else:
                return dead(case, STILL)
        except Exception:  # the author's code: whatever it raises is told by the checks
            return None
        injected, outputs = found
        said = described(injected, runner.registry)
        finding = runner.judge(_Faulty(runner, subject, outputs), "exact", example)
    rejected = not finding.passed and finding.kind != "crash"
    return heard(case, said, rejected=rejected, message=finding.message)


def visible(followed: Followed, *, seed: int) -> Iterator[tuple[Injected, Outputs]]:
    """Faults that move an output far, with the outputs they make, in an order that the seed decides.

    The last are results negated: a port that is one matrix product has no other fault that goes so far.
    """
    rng, clean = np.random.default_rng(seed), followed.outputs()
    program = followed.evaluation.program
    negated: list[Injected] = []
    for index in rng.permutation(len(program.lines)):
        faults = list(at(program, int(index)))
        negated += [dataclasses.replace(fault, fault=NEGATED) for fault in faults[:1]]
        yield from _far(followed, clean, [faults[number] for number in rng.permutation(len(faults))])
    yield from _far(followed, clean, negated)


def _far(followed: Followed, clean: Outputs, faults: Sequence[Injected]) -> Iterator[tuple[Injected, Outputs]]:
    """Those of the faults that move an output far, each with the outputs it makes."""
    for injected in faults:
        changes = injected.changes(followed.evaluation)
        outputs = followed.outputs(changes, after=injected.index) if changes else clean
        if _moved(clean, outputs) > VISIBLE:
            yield injected, outputs


class _Faulty(Subject):
    """The case with a port that has already computed something else."""

    def __init__(self, runner: Runner, clean: Subject, outputs: Outputs) -> None:
        super().__init__(runner.registry, clean.case, clean=clean)
        self._faulty = outputs

    def exact_outputs(self, example: Example, parameters: Mapping[str, Any] | None = None) -> Outputs:
        return self._faulty


def _examples(runner: Runner, case: Case, *, seed: int) -> list[Example]:
    """Some examples of the run's first configurations, the simplest last: an output of zeros shows no fault."""
    drawn: list[Example] = []
    draw.run(draw.examples(case, runner.pool(exact.check)[:3]), drawn.append, examples=6, seed=seed)
    return drawn[::-1]


def _negated(x: Any) -> Any:
    return -x if np.asarray(x).dtype.kind == "f" else x


def _moved(clean: Outputs, faulty: Outputs) -> float:
    """The largest move of any finite number, over its output's largest; none where NaN and inf stand elsewhere."""
    moves = [0.0]
    for name, x in clean.items():
        before, after = np.asarray(x, np.float64), np.asarray(faulty[name], np.float64)
        finite = np.isfinite(before)
        largest = np.abs(before[finite]).max(initial=0.0)
        if np.array_equal(finite, np.isfinite(after)) and largest > 0:
            moves.append(float(np.abs(after[finite] - before[finite]).max(initial=0.0) / largest))
    return max(moves)


def described(injected: Injected, registry: Registry) -> str:
    """The operation, its place and what is wrong with it."""
    where = injected.where.removeprefix(f"{registry.root}/")
    return f"{injected.primitive} at {where}: {injected.fault.description}"


def heard(case: Case, said: str, *, rejected: bool, message: str | None = None) -> Canary:
    """What became of a fault that was injected; `message` says what let it pass."""
    return (
        Canary(f"{case.name}, {said}: rejected")
        if rejected
        else dead(case, f"{said}; " + (message or "the exact check lets it pass"))
    )


def dead(case: Case, why: str) -> Canary:
    """A canary that makes its run a failed one."""
    message = f"the run's own fault was not rejected, so its verdicts mean nothing: {why}"
    return Canary(message, Result(case=case.name, check=CHECK, status="failed", message=message))
