"""Tolerances: is every bound measured, on the code as it is, and none looser than what was measured calls for?"""

from collections.abc import Iterator
from typing import Any

from parity import session
from parity.case import Suite
from parity.gated import Question
from parity.measure.bounds import propose
from parity.measure.clean import checks_of
from parity.session import Workspace

ASKS = "is every bound calibrated on this code, and none loosened without a reason?"
ROUNDED = 1.1  # measured values are written with three digits, bounds with two: a bound may be so much beyond the rule


def bounds(workspace: Workspace, suite: Suite) -> Question:
    """Look at the entries of every check of the port's cases that has bounds; no check is run.

    That a layer's bound is looser than its default without a `why` is refused where the file is read.
    """
    tolerances = workspace.tolerances
    cases = [case for case in workspace.registry.bottom_up() if case.port_name == suite.name]
    shut: list[str] = []
    reasons: list[str] = []
    entries = 0
    for case in cases:
        for check in checks_of(case):
            measured = tolerances.measured.get(case.name, {}).get(check)
            why = tolerances.reasons.get((case.name, check))
            entries += measured is not None
            if why:
                reasons.append(f"{case.name}[{check}] is loosened: {why}")
            elif measured is not None:
                shut += _loosened(workspace, case.name, check, measured)
    shut += session.stale(workspace, [case.name for case in cases])
    for case in cases:
        missing = [check for check in checks_of(case) if check not in tolerances.measured.get(case.name, {})]
        if missing:
            layer = case.name.partition("/")[2]
            command = f"parity calibrate {suite.name} {layer} --write"
            shut.append(f"{case.name}[{', '.join(missing)}] was never calibrated: {command}")
    total = sum(len(checks_of(case)) for case in cases)
    return Question(
        name="tolerances",
        asks=ASKS,
        answer="no" if shut or not total else "yes",
        said=f"{entries} of {total} entries measured, {len(reasons)} loosened for a reason",
        why_not=tuple(shut),
        notes=tuple(reasons),
    )


def _loosened(workspace: Workspace, case: str, check: str, measured: dict[str, Any] | Any) -> Iterator[str]:
    """Bounds of an entry that are looser than the rule of calibration makes of what was measured."""
    defaults = workspace.tolerances.defaults.get(check, {})
    for bound in workspace.tolerances.bounds(case, check):
        if bound.name not in measured:
            continue
        worst = float(measured[bound.name])
        made = propose(case, check, bound.name, worst=worst, old=bound, default=defaults.get(bound.name))
        if made.verdict == "tighter" and made.new is not None and bound.value > ROUNDED * made.new:
            yield (
                f"{case}[{check}] allows {bound.name} {bound.value:g} ({bound.where}); {worst:g} was measured, which "
                f"calls for {made.new:g}: a looser bound needs a `why`"
            )
