"""Holds a claim that a fault can't be seen against hostile inputs of the operations it passes through."""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any

import numpy as np

from parity.faults import Claim, Injected, free, roots
from parity.ideal.unfolded import Evaluation

TRIALS = 8  # hostile inputs of each trace
EQUAL = 1e-13  # of a row's largest value
WIDER = 3.0  # how far beyond what was observed
HUGE = 1e100


def holds(claim: Claim, injected: Injected, evaluation: Evaluation, *, seed: int) -> bool:
    """Whether clean and faulty agree where the claim says that the fault is gone, for observed and hostile values.

    Everything that the operations on the way are computed from, element by element, is drawn anew: within three times
    the range that was observed, of either sign, with zeros, the program's own literals and what lies around them.
    """
    rng = np.random.default_rng(seed)
    slots = _sources(claim, evaluation)
    trials = [evaluation] + [_redrawn(evaluation, slots, claim, rng) for _ in range(TRIALS)]
    return all(_agree(claim, injected, trial) for trial in trials)


def _sources(claim: Claim, evaluation: Evaluation) -> set[int]:
    lines = [evaluation.program.lines[index] for index in (*claim.passed, *claim.ends)]
    dirty = {slot for index in claim.passed for slot in evaluation.program.lines[index].outputs}
    needed = {slot for line in lines for slot in line.inputs} - dirty
    return roots(evaluation.program, needed & free(evaluation.program))


def _redrawn(evaluation: Evaluation, slots: set[int], claim: Claim, rng: np.random.Generator) -> Evaluation:
    special = _literals(evaluation, claim)
    values = {slot: hostile(evaluation.values[slot], rng, special) for slot in sorted(slots)}
    return evaluation.replaced(values)


def _literals(evaluation: Evaluation, claim: Claim) -> list[float]:
    """The numbers that the operations on the way hold: thresholds hide faults at themselves."""
    constants = evaluation.program.flat.constants
    lines = [evaluation.program.lines[index] for index in (*claim.passed, *claim.ends)]
    found = [constants[slot] for line in lines for slot in line.inputs if slot in constants]
    return [float(x) for x in found if np.size(x) == 1 and np.isfinite(x) and abs(float(x)) < HUGE]


def hostile(observed: Any, rng: np.random.Generator, special: list[float]) -> Any:
    """An array of the shape and dtype of an observed one, with values that it could have had and more."""
    shape, kind = observed.shape, observed.dtype.kind
    resampled = rng.choice(observed.reshape(-1), shape) if observed.size else observed
    if kind == "b":
        return rng.random(shape) < rng.choice([0.0, 0.3, 0.5, 1.0])
    if kind not in "iuf":
        return observed
    tame = observed[np.abs(observed.astype(np.float64)) < HUGE].astype(np.float64)
    high = WIDER * float(np.abs(tame).max(initial=1.0))
    high = min(high, float(np.finfo(np.float32).max))
    even = rng.uniform(-high, high, shape)
    small = high * np.exp(rng.uniform(np.log(1e-15), 0.0, shape)) * rng.choice([-1.0, 1.0], shape)
    literals = np.array([0.0, *special])
    near = rng.choice(literals, shape) * (1 + rng.choice([0.0, 1e-8, 1e-4, -1e-4], shape)) if literals.size else even
    drawn = np.choose(rng.integers(0, 4, shape), [even, small, near, np.clip(resampled, -1e300, 1e300)])
    if kind == "f":
        return drawn
    limits = np.iinfo(observed.dtype)
    return np.clip(np.rint(drawn), limits.min, limits.max).astype(observed.dtype)


def _agree(claim: Claim, injected: Injected, trial: Evaluation) -> bool:
    changes = injected.changes(trial)
    if changes is None:
        return True
    faulty = trial.replaced(changes, after=injected.index)
    return all(
        _equal(x, y) for index in claim.ends for x, y in zip(trial.results(index), faulty.results(index), strict=True)
    )


def _equal(clean: Any, faulty: Any) -> bool:
    """Bitwise, or within `EQUAL` of the row's largest value; NaN and inf in the same places."""
    x, y = np.asarray(clean, np.float64), np.asarray(faulty, np.float64)
    finite = np.isfinite(x)
    if not np.array_equal(np.where(finite, 0.0, x), np.where(np.isfinite(y), 0.0, y), equal_nan=True):
        return False
    x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    rows = np.abs(x).max(axis=-1, keepdims=True) if x.ndim else np.abs(x)
    return bool((np.abs(x - y) <= EQUAL * rows).all())
