"""One example again: what each side makes of it, and what a check says."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from parity.case import Example
from parity.errors import BadInput
from parity.registry import nearest
from parity.session import Workspace, settings

if TYPE_CHECKING:  # imports torch and jax
    from parity.checks.finding import Finding

WORKING = ("float32", "bfloat16", "float16")  # checks on the real backend, each by its dtype


@dataclasses.dataclass(frozen=True)
class Replay:
    """One example again: what each side made of it, and the verdict. `trouble`: why a side has no outputs."""

    case: str
    check: str
    example: Example
    finding: "Finding"
    parameters: Mapping[str, tuple[int, ...]]
    exact: Mapping[str, Any]
    reference: Mapping[str, Any]
    port: Mapping[str, Any]
    trouble: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        """0 passed, 1 a finding, 2 a side could not be run."""
        if self.finding.passed:
            return 0
        return 2 if self.trouble else 1


def replay(workspace: Workspace, name: str, example: Example, *, check: str = "exact") -> Replay:
    """Run one check of one example, and keep both sides' outputs. A fault's check runs with the fault in place.

    Raises:
        BadInput: no such case or check, or more than one.
    """
    from parity.checks.subject import Subject
    from parity.port import cache
    from parity.reference import one_thread
    from parity.run import CHECKS, Runner, check_ids, crash

    cases = workspace.registry.select([name])
    if len(cases) != 1:
        raise BadInput(f"{name!r} names {len(cases)} cases: {', '.join(case.name for case in cases) or 'none'}")
    (case,) = cases
    if check not in check_ids(case):
        raise BadInput(f"{case.name} has no check {check!r}{nearest(check, check_ids(case))}")
    variant_name = check.partition(":")[2]
    variant = None if check in CHECKS else {**case.faults, **case.equivalents}[variant_name]
    asked = check if variant is None else variant.checks[0]
    runner = Runner(workspace.registry, workspace.tolerances, settings(examples=1))
    subject = Subject(workspace.registry, case, variant=variant) if variant else runner.subject(case)
    trouble: list[str] = []

    def tried(make: Callable[[], Mapping[str, Any]], what: str) -> Mapping[str, Any]:
        try:
            return make()
        except Exception as error:  # whatever a side raises is what the reader wants to see
            trouble.append(f"{what}: {crash(error)}")
            return {}

    dtype = asked if asked in WORKING or asked.startswith("rounded:") else "float64"
    run_port: Callable[[Example], Mapping[str, Any]] = subject.exact_outputs
    if dtype != "float64":
        run = subject.rounded_outputs if asked not in WORKING else subject.working_outputs
        run_port = functools.partial(run, dtype=dtype.removeprefix("rounded:"))
    exact_reference = functools.partial(subject.exact_outputs_of, dtype=dtype.removeprefix("rounded:"))
    with one_thread(), cache.persistent(), subject.patched():
        finding = runner.judge(subject, asked, example)
        exact = tried(lambda: exact_reference(example), "the exact reference")
        return Replay(
            case=case.name,
            check=check,
            example=example,
            finding=finding,
            parameters=tried(lambda: {k: x.shape for k, x in subject.parameters(example).items()}, "parameters"),
            exact=exact,
            reference=tried(lambda: subject.reference_outputs(example, dtype), "the reference"),
            port=tried(lambda: run_port(example), "the port"),
            trouble=tuple(dict.fromkeys(trouble)),
        )
