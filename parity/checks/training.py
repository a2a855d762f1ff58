"""`training`: the same parameters after every step of the optimiser, and the same losses?

Exact first, float64 on both sides; then in float32 on the real backend, by error ratio, for the first shapes.
"""

import dataclasses
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from parity import values
from parity.case import Example, Training
from parity.checks.finding import Check, Finding, Run, judged, larger
from parity.checks.neighbours import median
from parity.checks.subject import Outputs, Subject, key_of, shapes
from parity.error import Error, exact_error, measure, same_form
from parity.port import Steps, steps
from parity.reference import trained
from parity.tolerance import Tolerances

Array = npt.NDArray[Any]
COMPILED = 1  # shapes whose step is compiled for the real backend
MOST = 4  # examples: each is trained on for many steps


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Train both sides from the same parameters on the same batches."""
    compiled: set[str] = set()
    most = 0 if subject.variant and subject.variant.why else COMPILED  # an equivalent's casts are not the question

    def judge(example: Example) -> Finding:
        exact, ours = (side(subject, example, "float64") for side in (reference_history, port_history))
        same_form(exact, ours)
        finding = judged(subject, "training", exact_error(exact, ours), tolerances)
        if not finding.passed or (len(compiled) == most and example.shape_key not in compiled):
            return finding
        compiled.add(example.shape_key)
        return larger(finding, _working(subject, example, exact, tolerances))

    return Run(judge)


def reference_history(subject: Subject, example: Example, dtype: str) -> Outputs:
    """What the reference's training passes through: 'loss' [T] and every parameter [T, ...], T steps."""
    training = _training(subject)
    module = subject.filled(example, dtype, subject.parameters(example, dtype))
    losses, history = trained(module, training, batches(training, example, dtype))
    absent = subject.plan(example.config).absent
    return _stacked(losses, [{name: x for name, x in step.items() if name not in absent} for step in history])


def port_history(subject: Subject, example: Example, dtype: str) -> Outputs:
    """What the port's training passes through, under the reference's names."""
    training = _training(subject)
    given = [subject.renamed(batch) for batch in batches(training, example, dtype)]
    key = (f"{dtype} training", key_of(example.config), shapes(given[0]))
    module = subject.port(example.config, dtype)
    run: Steps = subject.kept(key, lambda: steps(module, training, given[0]))
    losses, history = run.run(subject.leaves(example, subject.parameters(example, dtype), dtype), given)
    plan = subject.plan(example.config, dtype)
    return _stacked(losses, [dict(plan.backward(step.__getitem__)) for step in history])


def batches(training: Training, example: Example, dtype: str) -> list[dict[str, Any]]:
    """The example's inputs again and again with other seeds, several stacked for each step: [A, ...] each."""
    A = training.micro_batches

    def batch(step: int) -> dict[str, Any]:
        parts = [
            {name: values.arrays(_reseeded(tree, step * A + part), dtype) for name, tree in example.inputs.items()}
            for part in range(A)
        ]
        return {name: _together([part[name] for part in parts]) for name in example.inputs}

    return [batch(step) for step in range(training.steps)]


def _training(subject: Subject) -> Training:
    assert subject.case.training is not None
    return subject.case.training


def _working(subject: Subject, example: Example, exact: Outputs, tolerances: Tolerances) -> Finding:
    """Judge float32 with exact as arbiter; what is beyond its bound is asked again with other parameters."""

    def ratio(example: Example, exact: Outputs) -> Error:
        theirs, ours = (side(subject, example, "float32") for side in (reference_history, port_history))
        error = measure(theirs, ours, exact=exact)
        return dataclasses.replace(error, measures={"ratio": error.measures["ratio"]})

    def elsewhere(other: Example) -> float:
        return ratio(other, reference_history(subject, other, "float64")).measures["ratio"]

    error = ratio(example, exact)
    finding = judged(subject, "training", error, tolerances)
    return finding if finding.passed else judged(subject, "training", median(example, error, elsewhere), tolerances)


def _stacked(losses: list[Array], history: list[dict[str, Array]]) -> Outputs:
    after = {f"{name} after each step": np.stack([step[name] for step in history]) for name in history[0]}
    return {"loss of each step": np.stack(losses), **after}


def _reseeded(tree: Any, by: int) -> Any:
    if isinstance(tree, tuple):
        return tuple(_reseeded(branch, by) for branch in cast(tuple[Any, ...], tree))
    return dataclasses.replace(tree, seed=tree.seed + by) if isinstance(tree, values.Value) else tree


def _together(trees: list[Any]) -> Any:
    """Arrays stacked, in tuples too; plain scalars as they are."""
    first = trees[0]
    if isinstance(first, tuple):
        return tuple(_together(list(branches)) for branches in zip(*trees, strict=True))
    return np.stack(trees) if isinstance(first, np.ndarray) else first


check = Check(
    "training",
    "the same parameters after every step?",
    start,
    compiles=True,
    configurations=2,
    most=MOST,
    of=lambda case: case.training is not None,
)
