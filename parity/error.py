"""How far two outputs are apart, and how much of that is rounding.

Everything here is NumPy in float64. A row is the last axis: outputs are judged by their row's largest value, since near
zero even a correct port has a large elementwise error.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.errors import OutputMismatch
from parity.results import Worst

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Outputs = Mapping[str, Array]

WEAK = 1e-2  # of the largest gradient: what a leaf's own is taken to be at the least
STRAY = 8.0  # how many times its own program's stray two sides may be apart before it counts: each side four times
FLOOR = 8.0  # roundings that any program is allowed before its reference's luck counts: the `c` of the error ratio


@dataclasses.dataclass(frozen=True)
class Error:
    """Measured values by name ('rtol', 'ratio'), and the worst element."""

    measures: Mapping[str, float]
    worst: Worst | None = None

    def merge(self, other: "Error") -> "Error":
        """The worse of two, measure by measure; the worst element goes with the larger first measure."""
        names = [*self.measures, *(name for name in other.measures if name not in self.measures)]
        mine, theirs = ({name: error.measures.get(name, 0.0) for name in names} for error in (self, other))
        merged = {name: float(np.maximum(mine[name], theirs[name])) for name in names}  # NaN is worse than anything
        first = next(iter(names), "")
        larger = other if theirs.get(first, 0.0) > mine.get(first, 0.0) else self
        return Error(merged, larger.worst or self.worst or other.worst)


def same_form(reference: Outputs, port: Outputs, *, dtypes: bool = True) -> None:
    """Refuse outputs of other names, shapes, dtypes, or with NaN and inf in other places.

    Raises:
        OutputMismatch: with every difference listed.
    """
    problems = [f"reference output `{name}` has no counterpart in the port" for name in reference if name not in port]
    problems += [f"port output `{name}` has no counterpart in the reference" for name in port if name not in reference]
    for name in (name for name in reference if name in port):
        ours, theirs = port[name], reference[name]
        if theirs.shape != ours.shape:
            problems.append(f"output `{name}` has shape {ours.shape} in the port, {theirs.shape} in the reference")
        elif dtypes and theirs.dtype != ours.dtype and not _integers(theirs, ours):
            problems.append(f"output `{name}` is {ours.dtype} in the port, {theirs.dtype} in the reference")
        else:
            problems += _unlike_places(name, theirs, ours)
    if problems:
        raise OutputMismatch("; ".join(problems))


def exact_error(reference: Outputs, port: Outputs) -> Error:
    """The largest difference over its row's largest reference value, both sides in exact float64: measure 'rtol'."""
    total = Error({"rtol": 0.0})
    for name, theirs in reference.items():
        y, p = _comparable(theirs, port[name])
        difference = np.abs(p - y)
        if not difference.size or not difference.any():
            continue
        relative = difference / _rows(y)
        index = np.unravel_index(int(np.argmax(relative)), relative.shape)
        worst = _worst(name, index, exact=y, reference=theirs, port=port[name])
        total = total.merge(Error({"rtol": float(relative[index])}, worst))
    return total


def gradient_error(reference: Outputs, port: Outputs) -> Error:
    """The largest difference over its leaf's largest reference value, both sides in exact float64: measure 'rtol'.

    A leaf counts as at least `WEAK` times as large as the largest: some gradients are mathematically zero.
    """
    total = Error({"rtol": 0.0})
    least = WEAK * _largest(reference)
    for name, theirs in reference.items():
        y, p = _comparable(theirs, port[name])
        difference = np.abs(p - y)
        if difference.size and difference.any():
            index = np.unravel_index(int(np.argmax(difference)), difference.shape)
            relative = _over(float(difference[index]), max(float(np.abs(y).max()), least))
            worst = _worst(name, index, exact=y, reference=theirs, port=port[name])
            total = total.merge(Error({"rtol": relative}, worst))
    return total


def measure(
    reference: Outputs, port: Outputs, *, exact: Outputs, spread: Outputs | None = None, weak: float = 0.0
) -> Error:
    """Compare two computations in a working dtype with the truth.

    ratio = max(rms(e_p) / max(rms(e_r), c u rms(y)), max(e_p) / max(max(e_r), c u max|y|)), with u the unit
    roundoff of the output's dtype, c = `FLOOR`; rtol = max|port - reference| / max|reference|, less what is explained
    by `STRAY` times the spread where that was measured: no rtol fits a softmax of scores in the thousands, or the
    cosine of a position in the ten thousands, where a rounding of the reference's own is a thousandth of the output.

    Args:
        reference: what torch computed, by output name.
        port: what Flax computed; the same names, shapes and dtypes.
        exact: the reference evaluated in float64.
        spread: how far the reference's own program strays from exact under random rounding, if that was measured; the
            reference's error counts as at least that. (A reference can be lucky in the few elements of one example.)
        weak: an output counts as at least this share of the largest one; for gradients, of which some are zero.

    Returns:
        Measures 'ratio' (1.0: equally accurate) and 'rtol', and the worst element with its distance in ulp.

    Raises:
        OutputMismatch: names, shapes or dtypes differ, or NaN and inf stand in different places.
    """
    same_form(reference, port)
    total = Error({"ratio": 0.0, "rtol": 0.0})
    least = weak * _largest(exact)
    for name, theirs in reference.items():
        if not theirs.size or not _is_float(theirs.dtype):
            continue
        y, r, p = _comparable(exact[name], theirs, port[name])
        stray = np.abs(spread[name]) if spread is not None else np.zeros_like(y)
        stray = np.where(np.isfinite(stray), stray, 0.0)  # where the truth is no number, nothing strays from it
        e_r, e_p = np.abs(r - y), np.abs(p - y)
        floor = FLOOR * _unit_roundoff(theirs.dtype)
        ratio = max(
            _over(_rms(e_p), max(_rms(e_r), _rms(stray), floor * max(_rms(y), least))),
            _over(e_p.max(), max(e_r.max(), stray.max(), floor * max(np.abs(y).max(), least))),
        )
        index = np.unravel_index(int(np.argmax(e_p)), e_p.shape)
        rtol = _over(max(np.abs(p - r).max() - STRAY * stray.max(), 0.0), max(np.abs(r).max(), least))
        worst = _worst(name, index, exact=y, reference=theirs, port=port[name])
        total = total.merge(Error({"ratio": ratio, "rtol": rtol}, worst))
    return total


def ulps(a: float, b: float, dtype: npt.DTypeLike) -> int | None:
    """How many representable numbers of `dtype` lie between two values; None where either is not finite."""
    kind = np.dtype(dtype)
    if not _is_float(kind) or not (np.isfinite(a) and np.isfinite(b)):
        return None
    integer = np.dtype(f"i{kind.itemsize}")
    lines = [int(np.asarray(x).astype(kind).view(integer)) for x in (a, b)]
    lowest = -(2 ** (8 * kind.itemsize - 1))
    ordered = [line if line >= 0 else lowest - line for line in lines]
    return abs(ordered[0] - ordered[1])


def _worst(name: str, index: tuple[Any, ...], *, exact: Floats, reference: Array, port: Array) -> Worst:
    theirs, ours = float(reference[index]), float(port[index])
    return Worst(
        output=name,
        index=tuple(int(i) for i in index),
        exact=float(exact[index]),
        reference=theirs,
        port=ours,
        ulp=ulps(theirs, ours, reference.dtype),
    )


def _largest(outputs: Outputs) -> float:
    return max((float(np.abs(_comparable(y)[0]).max(initial=0.0)) for y in outputs.values()), default=0.0)


def _rows(y: Floats) -> Floats:
    """Each row's largest value; for a row of zeros the output's, and 1 where that is zero too."""
    largest = np.abs(y).max(axis=-1, keepdims=True) if y.ndim else np.abs(y)
    return np.where(largest > 0, largest, largest.max() or 1.0)


def _comparable(*arrays: Array) -> list[Floats]:
    """In float64, without the elements that are NaN or inf anywhere: `same_form` has compared their places."""
    wide = [x.astype(np.float64) for x in arrays]
    finite = np.logical_and.reduce([np.isfinite(x) for x in wide])
    return wide if finite.all() else [np.where(finite, x, 0.0) for x in wide]


def _unlike_places(name: str, reference: Array, port: Array) -> list[str]:
    if not _is_float(reference.dtype) or not _is_float(port.dtype):
        return []
    r, p = reference.astype(np.float64), port.astype(np.float64)
    tests = {"NaN": np.isnan, "inf": np.isposinf, "-inf": np.isneginf}
    problems: list[str] = []
    for what, test in tests.items():
        unlike = test(r) != test(p)
        if unlike.any():
            index = tuple(int(i) for i in np.argwhere(unlike)[0])
            problems.append(
                f"output `{name}` has {what} in different places: at {index} the reference has {r[index]:g}, "
                f"the port {p[index]:g}"
            )
    return problems


def _integers(a: Array, b: Array) -> bool:
    return a.dtype.kind in "iu" and b.dtype.kind in "iu"  # torch counts in int64, JAX in int32


def _is_float(dtype: npt.DTypeLike) -> bool:
    kind = np.dtype(dtype)
    return kind.kind == "f" or kind.name == "bfloat16"


def _unit_roundoff(dtype: npt.DTypeLike) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(np.dtype(dtype)).eps) / 2


def _rms(x: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def _over(numerator: float, denominator: float) -> float:
    if numerator == 0.0:
        return 0.0
    return float(numerator / denominator) if denominator else float("inf")
