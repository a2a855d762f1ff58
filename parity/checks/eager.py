"""`eager:<dtype>`: as accurate as the reference without `jax.jit` too? Operation by operation on the real backend."""

import dataclasses
import functools

from parity.case import Example
from parity.checks.finding import Check, Finding, Run, judged
from parity.checks.half import overflows
from parity.checks.subject import Outputs, Subject
from parity.error import measure
from parity.port import eager
from parity.tolerance import Tolerances


def start(dtype: str, subject: Subject, tolerances: Tolerances) -> Run:
    """Compare both sides' distances from the truth, the port run as Python runs it.

    Every operation compiles by itself here, so this belongs to a deeper run. A port that does something else while it
    is traced is far from the truth in one of the two ways; `float32` and its like judge the other.
    """

    def judge(example: Example) -> Finding:
        exact = subject.exact_outputs_of(example, dtype)
        reference = subject.reference_outputs(example, dtype)
        if overflows(reference, exact):
            return Finding(passed=True)
        leaves = subject.leaves(example, subject.parameters(example, dtype), dtype)
        port = eager(subject.port(example.config, dtype), list(leaves.values()), subject.port_inputs(example, dtype))

        def held(spread: Outputs | None = None) -> Finding:
            error = measure(reference, port, exact=exact, spread=spread)
            ratio = dataclasses.replace(error, measures={"ratio": error.measures["ratio"]})
            return judged(subject, "eager", ratio, tolerances)

        finding = held()
        return finding if finding.passed else held(subject.spread(example, dtype))

    return Run(judge)


checks = tuple(
    Check(
        name=f"eager:{dtype}",
        question="as accurate as the reference without jit?",
        start=functools.partial(start, dtype),
        compiles=True,
        configurations=2,
        deep=True,
        variants=False,
    )
    for dtype in ("float32", "bfloat16", "float16")
)
