"""`bfloat16` and `float16`: computed as accurately as the reference? On the real XLA path, with exact as arbiter."""

import functools
from collections.abc import Callable

import numpy as np

from parity.case import Example
from parity.checks.finding import Check, Finding, Run, judged
from parity.checks.neighbours import median
from parity.checks.subject import Outputs, Subject
from parity.error import Error, measure
from parity.tolerance import Tolerances

Running = Callable[[Subject, Example, str], Outputs]  # a port's outputs in a dtype, on the real backend


def start(
    dtype: str,
    subject: Subject,
    tolerances: Tolerances,
    *,
    bound: str | None = None,
    outputs: Running = Subject.working_outputs,
) -> Run:
    """Compare both sides' distances from the truth, on parameters and inputs as half precision holds them.

    The truth is the reference in float64 on those same numbers: rounding them is neither side's error. This judges
    the backend, not the casts, to which an error ratio is blind: XLA may keep float32 between operations that it
    fuses, and softmax in bfloat16 passes. `rounded:<dtype>` judges the casts, and the places of what overflows: where
    the reference overflows and the truth does not, there is no accuracy to compare, and fused float32 may be finite.

    Args:
        dtype: of parameters and inputs.
        subject: the case.
        tolerances: with bounds for the check.
        bound: whose bounds judge, where it is not the dtype's own.
        outputs: how the port is run.
    """
    check = bound or dtype

    def compared(example: Example, spread: Outputs | None = None) -> Error | None:
        exact = subject.exact_outputs_of(example, dtype)
        reference = subject.reference_outputs(example, dtype)
        if _overflows(reference, exact):
            return None
        return measure(reference, outputs(subject, example, dtype), exact=exact, spread=spread)

    def elsewhere(example: Example) -> float:
        error = compared(example)
        return error.measures["ratio"] if error else 0.0

    def judge(example: Example) -> Finding:
        if (error := compared(example)) is None:
            return Finding(passed=True)
        finding = judged(subject, check, error, tolerances)
        if not finding.passed and (error := compared(example, subject.spread(example, dtype))):
            finding = judged(subject, check, error, tolerances)
        if not finding.passed and error:
            finding = judged(subject, check, median(example, error, elsewhere), tolerances)
        return finding

    return Run(judge)


def _overflows(reference: Outputs, exact: Outputs) -> bool:
    return any(bool((np.isfinite(y) & ~np.isfinite(reference[name].astype(np.float64))).any())
               for name, y in exact.items() if y.dtype.kind == "f")  # fmt: skip


bfloat16, float16 = (
    Check(
        name=dtype,
        question="as accurate as the reference?",
        start=functools.partial(start, dtype),
        compiles=True,
        configurations=2,
        deep=dtype == "float16",
        variants=False,
    )
    for dtype in ("bfloat16", "float16")
)
