"""Holds a claim that a fault can't be seen against hostile inputs of the operations it passes through."""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from parity.faults import CARRIERS, Claim, Injected, free, is_number, roots
from parity.ideal.unfolded import Evaluation, Unfolded

TRIALS = 12  # hostile inputs of each trace, beside those filled with one number
MOST = 60  # of these
EQUAL = 1e-13  # of a row's largest value
WIDER = 3.0  # how far beyond what was observed
FAR = (-3.0, 6.0)  # how large a number in the place of a fault's is: powers of ten of the largest observed
COUNTING = 0.25  # how often integers count, up or down, as positions do
HUGE = 1e30  # beyond, a mask fills with it


def holds(claim: Claim, injected: Injected, evaluation: Evaluation, *, seed: int) -> bool:
    """Whether clean and faulty agree where the claim says that the fault is gone, for observed and hostile values.

    Everything that the operations on the way are computed from, element by element, is drawn anew: within three times
    the range that was observed, of either sign, with zeros; and then filled with each of the program's own literals
    and with what lies just beside them, since a threshold hides its faults at itself.

    Where whatever the fault puts must not show, other numbers stand in its place, far from what was there; and most
    trials have floats as large as observed, since hostile scores leave a softmax with one weight that is not 0.
    """
    return Trials(evaluation, seed=seed).uphold(claim, injected)


class Trials:
    """One evaluation, and hostile ones made of it; those are kept for the next claim that asks for the same."""

    def __init__(self, observed: Evaluation, *, seed: int) -> None:
        self.observed = observed
        self._seed = seed
        self._made: dict[tuple[Any, ...], tuple[list[Evaluation], Iterator[dict[int, Any]]]] = {}

    def uphold(self, claim: Claim, injected: Injected) -> bool:
        """See `holds`."""
        slots = _sources(claim, self.observed.program)
        trials = itertools.chain([self.observed], self._hostile(claim, slots))
        return all(_agree(claim, injected, trial, held=slots, seed=self._seed) for trial in trials)

    def _hostile(self, claim: Claim, slots: Sequence[int]) -> Iterator[Evaluation]:
        """Made one by one: most claims that fail do so at the first."""
        last = max(claim.ends)
        key = (*slots, last, claim.shifted, claim.whatever)
        made, left = self._made.setdefault(key, ([], self._values(claim, slots)))
        yield from made
        for values in left:
            made.append(self.observed.replaced(values, until=last))
            yield made[-1]

    def _values(self, claim: Claim, slots: Sequence[int]) -> Iterator[dict[int, Any]]:
        rng, special, values = np.random.default_rng(self._seed), _literals(self.observed), self.observed.values
        if claim.whatever:
            yield {slot: _filled(values[slot], 1) for slot in slots if values[slot].dtype.kind != "f"}
            for _ in range(TRIALS):
                yield {slot: _alike(values[slot], rng, special) for slot in slots}
        for _ in range(TRIALS):
            yield {slot: hostile(values[slot], rng, special) for slot in slots}
        for x in () if claim.shifted or claim.whatever else special:  # a sum has no thresholds
            yield {slot: _filled(values[slot], x) for slot in slots}


def _sources(claim: Claim, program: Unfolded) -> list[int]:
    """What is drawn: what lies behind the operations on the way, element by element.

    Where whatever the fault puts must not show, it is what was looked up, and the program's inputs: a softmax whose
    exponentials and sum are drawn apart is none, and has weights that are not 0.
    """
    lines = [program.lines[index] for index in (*claim.passed, *claim.ends)]
    dirty = {slot for index in claim.passed for slot in program.lines[index].outputs}
    needed = {slot for line in lines for slot in line.inputs} - dirty
    through = {line.name for line in program.lines} - {"gather"} if claim.whatever else CARRIERS
    return sorted(roots(program, needed & free(program), through=through))


def _literals(evaluation: Evaluation) -> list[float]:
    """The numbers that a program holds, but for vast ones, and their neighbours on both sides."""
    constants = evaluation.program.flat.constants.values()
    numbers = [float(np.ravel(x)[0]) for x in constants if is_number(x) and np.size(x) == 1]
    plain = {x for x in numbers if abs(x) < HUGE}
    beside = {x + step for x in plain for step in (-2, -1, 1, 2)} | {x * (1 + e) for x in plain for e in (-1e-7, 1e-7)}
    return sorted(plain | beside)[:MOST]


def _filled(observed: Any, value: float) -> Any:
    if observed.dtype.kind == "f":
        return np.full(observed.shape, np.clip(value, -_highest(observed), _highest(observed)))
    return np.full(observed.shape, round(value)).astype(observed.dtype) if observed.dtype.kind in "iub" else observed


def hostile(observed: Any, rng: np.random.Generator, special: list[float]) -> Any:
    """An array of the shape and dtype of an observed one, with values that it could have had and more."""
    shape, kind = observed.shape, observed.dtype.kind
    resampled = rng.choice(observed.reshape(-1), shape) if observed.size else observed
    if kind == "b":
        return rng.random(shape) < rng.choice([0.0, 0.3, 0.5, 1.0])
    if kind not in "iuf":
        return observed
    high = _highest(observed)
    even = rng.uniform(-high, high, shape)
    small = high * np.exp(rng.uniform(np.log(1e-15), 0.0, shape)) * rng.choice([-1.0, 1.0], shape)
    literals = np.array([0.0, *special])
    near = rng.choice(literals, shape) * (1 + rng.choice([0.0, 1e-8, 1e-4, -1e-4], shape))
    drawn = np.choose(rng.integers(0, 4, shape), [even, small, near, np.clip(resampled, -1e300, 1e300)])
    if kind == "f":
        return drawn
    if rng.random() < COUNTING:
        drawn = rng.integers(-2, 3) + rng.choice([-1, 1]) * np.arange(observed.size).reshape(shape)
    limits = np.iinfo(observed.dtype)
    return np.clip(np.rint(drawn), limits.min, limits.max).astype(observed.dtype)


def _alike(observed: Any, rng: np.random.Generator, special: list[float]) -> Any:
    """Floats that were observed, in other places; anything else is hostile."""
    if observed.dtype.kind != "f" or not observed.size:
        return hostile(observed, rng, special)
    return rng.choice(observed.reshape(-1), observed.shape)


def _highest(observed: Any) -> float:
    wide = np.abs(observed.astype(np.float64))
    return min(WIDER * float(wide[wide < HUGE].max(initial=1.0)), float(np.finfo(np.float32).max))


def _agree(claim: Claim, injected: Injected, trial: Evaluation, *, held: Sequence[int], seed: int) -> bool:
    """Whether clean and faulty end alike; what was drawn is held, also where it lies behind an end."""
    changes = injected.changes(trial)
    if changes is None:
        return not claim.whatever  # then there is no place to put anything
    if claim.whatever:
        rng = np.random.default_rng(seed)
        changes = {slot: _far(trial.values[slot], faulty, rng) for slot, faulty in changes.items()}
    fixed = {slot: trial.values[slot] for slot in held}
    faulty = trial.replaced({**fixed, **changes}, after=injected.index, until=max(claim.ends))
    rounding = 8 * np.finfo(np.float64).eps * _largest(claim, trial) if claim.shifted else 0.0
    ends = [pair for i in claim.ends for pair in zip(trial.results(i), faulty.results(i), strict=True)]
    if claim.whatever:
        return all(np.isfinite(x).all() and np.array_equal(x, y) for x, y in ends)
    return all(_equal(x, y, max(EQUAL, rounding)) for x, y in ends)


def _far(clean: Any, faulty: Any, rng: np.random.Generator) -> Any:
    """Floats of any size and sign, up to very large ones, where a fault changes one; the others as they are."""
    sizes = _highest(clean) * 10.0 ** rng.uniform(*FAR, clean.shape) * rng.choice([-1.0, 1.0], clean.shape)
    same = (clean == faulty) & (np.signbit(clean) == np.signbit(faulty))
    return np.where(same, clean, sizes)


def _largest(claim: Claim, trial: Evaluation) -> float:
    """The largest number that is shifted, as far as it is a number and no mask's fill."""
    values = [np.asarray(x, np.float64) for index in claim.passed for x in trial.results(index)]
    return max((float(np.abs(x[np.abs(x) < HUGE]).max(initial=0.0)) for x in values), default=0.0)


def _equal(clean: Any, faulty: Any, within: float) -> bool:
    """Bitwise, or within a share of the row's largest value; NaN and inf in the same places."""
    x, y = np.asarray(clean, np.float64), np.asarray(faulty, np.float64)
    finite = np.isfinite(x)
    if not np.array_equal(np.where(finite, 0.0, x), np.where(np.isfinite(y), 0.0, y), equal_nan=True):
        return False
    x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    rows = np.abs(x).max(axis=-1, keepdims=True) if x.ndim else np.abs(x)
    return bool((np.abs(x - y) <= within * rows).all())
