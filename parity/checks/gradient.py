"""`gradient`: the same vector-Jacobian product, for every parameter and every floating input, by name?

Exact first, float64 on both sides; then in float32 on the real backend, by error ratio, for the first few shapes.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from parity.case import Example
from parity.checks.finding import Check, Finding, Run, judged, larger
from parity.checks.neighbours import median
from parity.checks.subject import Outputs, Subject, key_of, shapes
from parity.error import WEAK, Error, gradient_error, measure, same_form
from parity.port import Pullback, compiled_pullback, traced_pullback
from parity.reference import gradients, jittered_gradients
from parity.tolerance import Tolerances

Array = npt.NDArray[Any]
COMPILED = 2  # shapes whose gradient is compiled for the real backend
DRAWS = 8  # of the reference's program under random rounding


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Pull one random cotangent back through both sides of every example."""
    compiled: set[str] = set()
    most = 0 if subject.variant else COMPILED  # a variant's casts are not the question here

    def judge(example: Example) -> Finding:
        weights = cotangents(subject, example)
        exact = reference_gradients(subject, example, "float64", weights)
        ours = port_gradients(subject, example, "float64", weights)
        same_form(exact, ours)
        finding = judged(subject, "gradient", gradient_error(exact, ours), tolerances)
        if not finding.passed or (len(compiled) == most and example.shape_key not in compiled):
            return finding
        compiled.add(example.shape_key)
        return larger(finding, _working(subject, example, weights, exact, tolerances))

    return Run(judge)


def cotangents(subject: Subject, example: Example) -> Outputs:
    """Normal numbers in the shape of every floating output, exact in float32; the same for one seed and name."""
    drawn: dict[str, Array] = {}
    for name, y in subject.reference_outputs(example, "float64").items():
        if y.dtype.kind == "f":
            rng = np.random.default_rng([example.weights.seed, crc32(name.encode())])
            drawn[name] = rng.standard_normal(y.shape).astype(np.float32).astype(np.float64)
    return drawn


def reference_gradients(subject: Subject, example: Example, dtype: str, weights: Outputs) -> Outputs:
    """The reference's gradients, by 'gradient of NAME'."""
    module = subject.filled(example, dtype, subject.parameters(example, dtype))
    found = gradients(module, subject.inputs(example, dtype), _narrowed(weights, dtype))
    return _compared(subject, example, found)


def port_gradients(subject: Subject, example: Example, dtype: str, weights: Outputs) -> Outputs:
    """The port's gradients under the reference's names: what was transferred one way goes back the other."""
    inputs, weights = subject.port_inputs(example, dtype), _narrowed(weights, dtype)
    run = _pullback(subject, example, dtype, inputs, weights)
    leaves = subject.leaves(example, subject.parameters(example, dtype), dtype)
    found = run(leaves, inputs, weights)
    theirs = {to: name for name, to in subject.case.arguments.items()}
    given = {name: x for name, x in found.items() if name not in leaves}
    named = {_renamed(name, theirs): x for name, x in given.items()}
    back = dict(subject.plan(example.config, dtype).backward(lambda path: found[path]))
    return {f"gradient of {name}": x for name, x in {**back, **named}.items()}


def _working(subject: Subject, example: Example, weights: Outputs, exact: Outputs, tolerances: Tolerances) -> Finding:
    """Judge float32 with exact as arbiter; a reference that was lucky is measured under random rounding first.

    A model of many layers has hundreds of small gradients, each the sum of large ones that cancel: their errors hang on
    a few roundings, and of so many ratios some are large by luck, on either side. What is still beyond its bound is
    asked again with other parameters: a port that is less accurate is so every time, and the median judges.
    """
    theirs = reference_gradients(subject, example, "float32", weights)
    ours = port_gradients(subject, example, "float32", weights)
    finding = judged(subject, "gradient", _ratio(theirs, ours, exact), tolerances)
    if finding.passed:
        return finding
    strays = {name: np.zeros_like(y) for name, y in exact.items()}
    for draw in range(DRAWS):
        parameters = subject.parameters(example)
        rounded = jittered_gradients(subject.case, example, parameters, weights, dtype="float32", seed=draw)
        for name, x in _compared(subject, example, rounded).items():
            strays[name] = np.maximum(strays[name], np.abs(x - exact[name]))
    error = _ratio(theirs, ours, exact, strays)
    finding = judged(subject, "gradient", error, tolerances)
    if finding.passed:
        return finding
    return judged(subject, "gradient", median(example, error, functools.partial(_elsewhere, subject)), tolerances)


def _elsewhere(subject: Subject, example: Example) -> float:
    """The error ratio of another example."""
    drawn = cotangents(subject, example)
    exact, theirs = (reference_gradients(subject, example, dtype, drawn) for dtype in ("float64", "float32"))
    return _ratio(theirs, port_gradients(subject, example, "float32", drawn), exact).measures["ratio"]


def _ratio(theirs: Outputs, ours: Outputs, exact: Outputs, spread: Outputs | None = None) -> Error:
    """The error ratio alone: `rtol` is what the exact comparison measures."""
    error = measure(theirs, ours, exact=exact, spread=spread, weak=WEAK)
    return dataclasses.replace(error, measures={"ratio": error.measures["ratio"]})


def _pullback(subject: Subject, example: Example, dtype: str, inputs: Mapping[str, Any], weights: Outputs) -> Pullback:
    module = subject.port(example.config, dtype)
    make = traced_pullback if dtype == "float64" else compiled_pullback
    key = (f"{dtype} pullback", key_of(example.config), shapes(inputs), tuple(weights))
    return subject.kept(key, lambda: make(module, inputs, weights))


def _compared(subject: Subject, example: Example, found: Outputs) -> Outputs:
    """Without the parameters that the port does not have."""
    absent = subject.plan(example.config).absent
    return {f"gradient of {name}": x for name, x in found.items() if name not in absent}


def _narrowed(weights: Outputs, dtype: str) -> Outputs:
    return {name: x.astype(dtype) for name, x in weights.items()}


def _renamed(name: str, theirs: Mapping[str, str]) -> str:
    argument, dot, rest = name.partition(".")
    return f"{theirs.get(argument, argument)}{dot}{rest}"


check = Check("gradient", "the same gradients?", start, turn=1)
