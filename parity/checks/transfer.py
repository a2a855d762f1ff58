"""`transfer`: is the parameter map one-to-one, bit for bit both ways, and does every parameter matter equally?"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.case import Example
from parity.checks.finding import Check, Finding, Run
from parity.checks.subject import Outputs, Subject
from parity.errors import WeightMapError
from parity.tolerance import Tolerances

Array = npt.NDArray[Any]
NUDGE = 0.1  # of a parameter's own rms
NOTHING = 1e-12  # of an output's largest value: below, nothing has moved
ALIKE = 1e-6  # of the larger move: both sides moved equally


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Move every example's parameters there and back; nudge each kind until it matters, equally on both sides."""
    inert: dict[str, str] = {}
    proven: set[str] = set()

    def judge(example: Example) -> Finding:
        parameters = subject.parameters(example, "float64")
        try:
            problems = _round_trip(subject, example, parameters)
        except WeightMapError as error:
            return Finding(passed=False, message=str(error))
        unproven = {kind: name for name in _turned(parameters, example) if (kind := _kind(name)) not in proven}
        before = _both(subject, example, parameters) if unproven else ({}, {})
        for kind, name in unproven.items():
            after = _both(subject, example, _nudged(parameters, name))
            theirs, ours = (_moved(x, y) for x, y in zip(before, after, strict=True))
            if max(theirs[1], ours[1]) <= NOTHING:
                inert[kind] = name
                continue
            proven.add(kind)
            apart = float(np.abs(theirs[0] - ours[0]).max(initial=0.0))
            if apart > ALIKE * max(theirs[1], ours[1]) + NOTHING:
                problems.append(
                    f"reference parameter `{name}`, nudged, moves the outputs by {theirs[1]:.3g} in the reference, "
                    f"by {ours[1]:.3g} in the port, {apart:.3g} apart"
                )
        return Finding(passed=not problems, message="\n  ".join(problems) or None)

    def finish() -> Finding | None:
        unused = sorted(name for kind, name in inert.items() if kind not in proven)
        if not unused:
            return None
        return Finding(passed=False, message=f"no example shows any influence of `{'`, `'.join(unused)}`")

    return Run(judge, finish)


def _round_trip(subject: Subject, example: Example, parameters: Mapping[str, Array]) -> list[str]:
    """Bytes there and back; raises WeightMapError when the map itself is wrong."""
    plan = subject.plan(example.config, "float64")
    leaves = dict(plan.forward(lambda name: parameters[name]))
    returned = dict(plan.backward(lambda path: leaves[path]))
    return [
        f"reference parameter `{name}` does not come back from the port bit for bit"
        for name, before in parameters.items()
        if name not in plan.absent and not _same_bytes(before, returned.get(plan.ties.get(name, name)))
    ]


def _same_bytes(before: Array, after: Array | None) -> bool:
    if after is None or before.shape != after.shape or before.dtype != after.dtype:
        return False
    return np.ascontiguousarray(before).tobytes() == np.ascontiguousarray(after).tobytes()


def _kind(name: str) -> str:
    """A parameter's name without numbers: the layers of a stack are proven by any one of them."""
    return re.sub(r"\d+", "*", name)


def _turned(parameters: Mapping[str, Array], example: Example) -> list[str]:
    """Names in an order that differs by example, so that it is not always the same layer that stands for a stack."""
    names = list(parameters)
    start = example.weights.seed % len(names) if names else 0
    return names[start:] + names[:start]


def _nudged(parameters: Mapping[str, Array], name: str) -> dict[str, Array]:
    before = parameters[name]
    nudge = np.random.default_rng(0).standard_normal(before.shape) * NUDGE * np.sqrt(np.mean(np.square(before)))
    return {**parameters, name: (before + nudge).astype(before.dtype)}


def _both(subject: Subject, example: Example, parameters: Mapping[str, Array]) -> tuple[Outputs, Outputs]:
    """Both sides' exact outputs with these parameters."""
    theirs = subject.reference_outputs(example, "float64", parameters)
    return theirs, subject.exact_outputs(example, parameters)


def _moved(before: Outputs, after: Outputs) -> tuple[Array, float]:
    """How the outputs moved, flat and relative to each one's largest value; and the most that any element did."""
    moves: list[Array] = []
    for name, y in before.items():
        scale = float(np.abs(y).max(initial=0.0)) or 1.0
        moves.append(np.ravel((after[name].astype(np.float64) - y) / scale))
    flat = np.nan_to_num(np.concatenate(moves)) if moves else np.zeros(1)
    return flat, float(np.abs(flat).max(initial=0.0))


check = Check("transfer", "one-to-one, bit for bit, every parameter matters?", start)
