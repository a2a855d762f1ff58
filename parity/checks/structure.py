"""`structure`: the same outputs, shapes and dtypes in every working dtype, NaN and inf in the same places?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from parity.case import Example
from parity.checks.finding import Check, Finding, Run
from parity.checks.subject import Subject
from parity.error import same_form
from parity.errors import OutputMismatch
from parity.tolerance import Tolerances

Form = tuple[tuple[int, ...], np.dtype[Any]]
DTYPES = ("float32", "bfloat16", "float16")


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Compare forms in each dtype (the port's abstractly, so nothing compiles), values' places in float32.

    A form hangs on shapes alone, so each configuration and form is asked once in each dtype.
    """
    known: set[str] = set()

    def judge(example: Example) -> Finding:
        problems: list[str] = []
        for dtype in () if example.shape_key in known else DTYPES:
            theirs = {name: (x.shape, x.dtype) for name, x in subject.reference_outputs(example, dtype).items()}
            problems += _unlike(dtype, theirs, subject.form(example, dtype))
        if problems:
            return Finding(passed=False, message="; ".join(problems))
        known.add(example.shape_key)
        if subject.variant and subject.variant.why:  # an equivalent is not compiled: `exact` looks at its values
            return Finding(passed=True)
        try:
            same_form(subject.reference_outputs(example, "float32"), subject.working_outputs(example, "float32"))
        except OutputMismatch as error:
            return Finding(passed=False, message=str(error))
        return Finding(passed=True)

    return Run(judge)


def _unlike(dtype: str, reference: Mapping[str, Form], port: Mapping[str, Form]) -> list[str]:
    """Every output that has another form, or is on one side only, with both sides' forms."""

    def said(form: Form | None) -> str:
        return f"{form[0]} {form[1]}" if form else "nothing"

    return [
        f"in {dtype}, output `{name}` is {said(port.get(name))} in the port, "
        f"{said(reference.get(name))} in the reference"
        for name in {**reference, **port}
        if not _same(reference.get(name), port.get(name))
    ]


def _same(reference: Form | None, port: Form | None) -> bool:
    integers = ("int32", "int64")  # torch counts in int64, JAX in int32
    if not reference or not port or reference[0] != port[0]:
        return False
    return str(reference[1]) == str(port[1]) or (str(reference[1]) in integers and str(port[1]) in integers)


check = Check("structure", "the same outputs, shapes, dtypes?", start, compiles=True)
