"""`eager:<dtype>`: as accurate as the reference without `jax.jit` too? Operation by operation on the real backend.

Every operation compiles by itself here, so this belongs to a deeper run. A port that does something else while it is
traced is far from the truth in one of the two ways; `float32` and its like judge the other.
"""

import functools

from parity.case import Example
from parity.checks import half
from parity.checks.finding import Check
from parity.checks.subject import Outputs, Subject
from parity.port import eager


def stepwise(subject: Subject, example: Example, dtype: str) -> Outputs:
    """The port's outputs, run as Python runs it."""
    leaves = subject.leaves(example, subject.parameters(example, dtype), dtype)
    return eager(subject.port(example.config, dtype), list(leaves.values()), subject.port_inputs(example, dtype))


checks = tuple(
    Check(
        name=f"eager:{dtype}",
        question="as accurate as the reference without jit?",
        start=functools.partial(half.start, dtype, bound="eager", outputs=stepwise),
        compiles=True,
        configurations=2,
        deep=True,
        variants=False,
    )
    for dtype in ("float32", "bfloat16", "float16")
)
