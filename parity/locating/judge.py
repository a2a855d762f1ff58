"""How far one part is off on the reference's inputs, and whether that is within its bound, in any arithmetic."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.checks.rounded import compare, narrowed
from parity.error import Error, exact_error, measure, same_form
from parity.errors import OutputMismatch
from parity.reference import Reference
from parity.reference.strayed import strayed
from parity.tolerance import Tolerances

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
DRAWS = 8  # of the reference's program under random rounding, before a part is blamed for an error ratio


@dataclasses.dataclass(frozen=True)
class Judged:
    """One part held against its bound: the share used, and whether that is within; `message` where it can't be."""

    passed: bool
    used: float | None = None
    message: str | None = None


def judge(
    case: str,
    theirs: Outputs,
    ours: Outputs,
    *,
    dtype: str,
    tolerances: Tolerances,
    truth: Reference | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> Judged:
    """Compare what both sides made of the same inputs.

    Args:
        case: whose bounds count.
        theirs, ours: outputs of the reference and the port.
        dtype: the arithmetic of both.
        tolerances: with bounds for its check.
        truth: for a working dtype, the same module of the reference in float64, with the parameters as that dtype
            holds them.
        inputs: for a working dtype, the reference's inputs, widened.
    """
    kind = {"float64": "exact"}.get(dtype, dtype.partition(":")[0])
    try:
        if dtype == "float64":
            same_form(theirs, ours)
            error = exact_error(theirs, ours)
        elif kind == "rounded":
            error = _differing(theirs, ours, dtype.partition(":")[2])
        else:
            assert truth is not None
            assert inputs is not None
            return _ratio(case, theirs, ours, truth, inputs, kind, tolerances)
    except OutputMismatch as mismatch:
        return Judged(False, message=str(mismatch))
    verdict = tolerances.judge(case, kind, error)
    return Judged(verdict.passed, verdict.used)


def normwise(theirs: Outputs, ours: Outputs) -> float | None:
    """The largest error of any output over its largest value; None where they can't be compared."""
    worst = 0.0
    for name, y in theirs.items():
        if name not in ours or ours[name].shape != y.shape:
            return None
        r, p = y.astype(np.float64), ours[name].astype(np.float64)
        if not np.array_equal(np.isfinite(r), np.isfinite(p)):
            return None
        finite = np.isfinite(r)
        difference = np.abs(np.where(finite, p - r, 0.0)).max(initial=0.0)
        if difference:
            worst = max(worst, float(difference / (np.abs(np.where(finite, r, 0.0)).max(initial=0.0) or 1.0)))
    return worst


def _differing(theirs: Outputs, ours: Outputs, dtype: str) -> Error:
    """The largest share of elements that are rounded differently."""
    reference, port = narrowed(theirs, dtype), narrowed(ours, dtype)
    same_form(reference.outputs, port.outputs)
    if unlike := reference.unlike(port):
        raise OutputMismatch(unlike)
    shares = [compare(name, y, port.outputs[name]).share() for name, y in reference.outputs.items()]
    return Error({"differ": max(shares, default=0.0)})


def _ratio(
    case: str,
    theirs: Outputs,
    ours: Outputs,
    truth: Reference,
    inputs: Mapping[str, Any],
    dtype: str,
    tolerances: Tolerances,
) -> Judged:
    """By error ratio; before a part is blamed, the reference's own program is measured under random rounding."""
    exact = truth.run(inputs)
    if _overflows(theirs, exact):
        return Judged(True)
    verdict = tolerances.judge(case, dtype, measure(theirs, ours, exact=exact))
    if verdict.passed:
        return Judged(True, verdict.used)
    spread = {name: np.zeros_like(y) for name, y in exact.items()}
    for seed in range(DRAWS):
        for name, x in strayed(truth, inputs, dtype=dtype, seed=seed).items():
            spread[name] = np.maximum(spread[name], np.abs(x - exact[name]))
    verdict = tolerances.judge(case, dtype, measure(theirs, ours, exact=exact, spread=spread))
    return Judged(verdict.passed, verdict.used)


def _overflows(theirs: Outputs, exact: Outputs) -> bool:
    """Whether the reference overflows where the truth does not: then there is no accuracy to compare."""
    return any(
        bool((np.isfinite(y) & ~np.isfinite(theirs[name].astype(np.float64))).any())
        for name, y in exact.items()
        if y.dtype.kind == "f"
    )
