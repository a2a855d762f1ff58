"""`sharded`: is the port on a mesh of devices the same function, and has it the same gradient?

The port is divided among virtual devices by XLA, in float64, where a difference is no rounding. A process has to ask
for these before JAX starts, so this belongs to a run of its own.
"""

from functools import partial

from parity.case import Example
from parity.checks.finding import Check, Finding, Run, judged
from parity.checks.subject import Subject, key_of, shapes
from parity.error import Error, exact_error, gradient_error, same_form
from parity.port import enough_devices, gradient, laid_out
from parity.tolerance import Tolerances


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Hold every layout that fits an example against the reference, and its gradient against the undivided port's."""
    enough_devices()
    case, fitted = subject.case, set[str]()

    def judge(example: Example) -> Finding:
        total = Finding(passed=True)
        for name in case.layouts:
            errors = _errors(subject, example, name)
            fitted.update([name] if errors else [])
            for what, error in errors.items():
                finding = judged(subject, "sharded", error, tolerances)
                if not finding.passed:
                    return _said(finding, f"{what} laid out as `{name}`")
                total = finding if (finding.used or 0.0) >= (total.used or 0.0) else total
        return total

    def finish() -> Finding | None:
        never = [name for name in case.layouts if name not in fitted]
        return Finding(passed=False, message=f"no example fits the layout {', '.join(never)}") if never else None

    return Run(judge, finish)


def _errors(subject: Subject, example: Example, name: str) -> dict[str, Error]:
    """What a layout comes to, by what was compared; nothing where it doesn't fit the example."""
    inputs, port = subject.port_inputs(example, "float64"), subject.port(example.config, "float64")
    differentiate = "gradient" not in subject.case.skips
    made = subject.kept(
        ("laid out", name, key_of(example.config), shapes(inputs)),
        lambda: (laid_out(port, inputs, subject.case.layouts[name], differentiate=differentiate),),
    )[0]
    if made is None:
        return {}
    leaves = subject.leaves(example, subject.parameters(example, "float64"), "float64")
    outputs, pulled = made.run(leaves, inputs)
    expected = subject.reference_outputs(example, "float64")
    same_form(expected, outputs)
    errors = {"outputs": exact_error(expected, outputs)}
    if pulled:
        program = subject.program("gradient False", example, inputs, partial(gradient, recompute=False))
        errors["the gradient"] = gradient_error(program.run(leaves, inputs), pulled)
    return errors


def _said(finding: Finding, what: str) -> Finding:
    worst, limit = finding.error.worst if finding.error else None, finding.limit
    place = f": `{worst.output}` at {worst.index} is {worst.port:.9g}, not {worst.reference:.9g}" if worst else ""
    bound = f" (allowed {limit.name} {limit.value:g})" if limit else ""
    return Finding(False, used=finding.used, error=finding.error, limit=limit, message=f"{what} differs{place}{bound}")


check = Check(
    "sharded",
    "the same on a mesh of devices?",
    start,
    compiles=True,
    deep=True,
    variants=False,
    of=lambda case: bool(case.layouts),
)
