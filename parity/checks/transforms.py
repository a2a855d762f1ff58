"""`transforms`: is the port one pure function, also under jax's transformations, and does it obey its laws?

Everything is the port against itself in exact arithmetic, so a finding needs no reference. Without jit, a port is
judged by `eager`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np

from parity import values
from parity.case import Example
from parity.checks.finding import Check, Finding, Run
from parity.checks.subject import Outputs, Subject
from parity.error import Error, exact_error, same_form
from parity.errors import OutputMismatch
from parity.laws import Call
from parity.port import by_row, effects, gradient, recomputed, traced
from parity.tolerance import Tolerances

GRADIENTS = 2  # configurations of a run whose gradient is taken: tracing one costs ten times what a call costs
REBUILT = 4  # configurations of a run that are asked under jax.checkpoint, and with each of the port's options


@dataclass(frozen=True)
class Pair:
    """Two sets of outputs of the port that must be equal: what the two are, and both."""

    first: str
    second: str
    expected: Outputs
    got: Outputs


@dataclass
class Seen:
    """What a run has come to so far: configurations with their shapes, and every relation that was ever in reach."""

    setups: list[str] = field(default_factory=list[str])
    reached: set[str] = field(default_factory=set[str])

    def among_first(self, number: int, setup: str) -> bool:
        """Whether a setup is one of the first so many, or is going to be."""
        return setup in self.setups[:number] or len(self.setups) < number


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Hold each example against itself transformed; what is the same for all examples of a setup is asked once."""
    seen = Seen()
    options = {
        name: Subject(subject.registry, replace(subject.case, port=port), variant=subject.variant, clean=subject)
        for name, port in subject.case.options.items()
    }

    def judge(example: Example) -> Finding:
        new = example.shape_key not in seen.setups
        if new and (found := effects(subject.port(example.config, "float64"), _inputs(subject, example))):
            return Finding(passed=False, message="; ".join(found))
        errors: list[Error] = []
        for pair in _pairs(subject, options, example, seen, new=new):
            finding = _judged(subject, pair, tolerances)
            if not finding.passed:
                return finding
            errors += [finding.error] if finding.error else []
        if new:
            seen.setups.append(example.shape_key)
        return _held(subject, _merged(errors), tolerances, "all relations hold")

    return Run(judge, lambda: _never(subject, seen))


def _pairs(
    subject: Subject, options: Mapping[str, Subject], example: Example, seen: Seen, *, new: bool
) -> Iterator[Pair]:
    """Every relation of an example, the cheapest first."""
    case, inputs = subject.case, _inputs(subject, example)
    leaves = subject.leaves(example, subject.parameters(example, "float64"), "float64")
    plain = subject.traced(example, inputs).run(leaves, inputs)
    rebuilt = seen.among_first(REBUILT, example.shape_key)
    if new and rebuilt:
        again = subject.program("recomputed", example, inputs, recomputed).run(leaves, inputs)
        yield Pair("a plain call", "the call under jax.checkpoint", plain, again)
    for name, law in case.laws.items():
        if law.where(example.config, example.form):
            seen.reached.add(f"law `{name}`")
            yield _law(subject, example, name, plain, leaves)
    if axes := case.batch_axes(example.config, example.form):
        seen.reached.add("batch")
        make = partial(by_row, axes=subject.renamed(axes))
        rows = subject.program("by_row", example, inputs, make).run(leaves, inputs)
        yield Pair("the batched call", "jax.vmap over its rows", plain, rows)
    for name, option in options.items() if rebuilt else ():
        yield Pair("the plain port", f"its option `{name}`", plain, option.exact_outputs(example))
    if new and len(seen.setups) < GRADIENTS:
        yield from _gradients(subject, options, example)


def _law(subject: Subject, example: Example, name: str, plain: Outputs, leaves: Mapping[str, Any]) -> Pair:
    """A law's two calls, each output reduced to what must be equal."""
    arrays = {argument: values.arrays(tree, "float64") for argument, tree in example.inputs.items()}
    rng = np.random.default_rng(crc32(f"{name} {example.token}".encode()))
    twin = subject.case.laws[name].twin(Call(example.config, example.form, arrays, rng))
    inputs = subject.renamed(twin.inputs)
    second = subject.program("trace", example, inputs, traced).run(leaves, inputs)
    if plain.keys() != second.keys():
        raise OutputMismatch(f"law `{name}`: its twin returns {', '.join(second)}, the first call {', '.join(plain)}")
    alike = {output: twin.alike(output, x, second[output]) for output, x in plain.items()}
    said = f"law `{name}` ({subject.case.laws[name].why}): one call", "its twin"
    return Pair(*said, {k: first for k, (first, _) in alike.items()}, {k: other for k, (_, other) in alike.items()})


def _gradients(subject: Subject, options: Mapping[str, Subject], example: Example) -> Iterator[Pair]:
    """The gradient of the plain call, against those of the recomputed one and of every option."""

    def taken(one: Subject, *, recompute: bool) -> Outputs:
        inputs = _inputs(one, example)
        program = one.program(f"gradient {recompute}", example, inputs, partial(gradient, recompute=recompute))
        return program.run(one.leaves(example, one.parameters(example, "float64"), "float64"), inputs)

    plain = taken(subject, recompute=False)
    yield Pair("the plain gradient", "the one under jax.checkpoint", plain, taken(subject, recompute=True))
    for name, option in options.items():
        yield Pair("the plain gradient", f"that of its option `{name}`", plain, taken(option, recompute=False))


def _judged(subject: Subject, pair: Pair, tolerances: Tolerances) -> Finding:
    """Hold a pair against the bound; a message names both sides and the worst element."""
    try:
        same_form(pair.expected, pair.got)
    except OutputMismatch as error:
        said = str(error).replace("in the reference", "in the first").replace("in the port", "in the second")
        return Finding(passed=False, message=f"{pair.first} and {pair.second} differ: {said}")
    return _held(subject, exact_error(pair.expected, pair.got), tolerances, f"{pair.first} and {pair.second} differ")


def _held(subject: Subject, error: Error, tolerances: Tolerances, said: str) -> Finding:
    verdict, worst = tolerances.judge(subject.case.name, "transforms", error), error.worst
    place = f": output `{worst.output}` at {worst.index} is {worst.reference:.9g} and {worst.port:.9g}" if worst else ""
    size = f"{verdict.limit.name} {error.measures.get(verdict.limit.name, 0.0):.2g}"
    return Finding(
        passed=verdict.passed,
        used=verdict.used,
        error=Error(error.measures),
        limit=verdict.limit,
        message=None if verdict.passed else f"{said}{place} ({size}, allowed {verdict.limit.value:g})",
    )


def _merged(errors: list[Error]) -> Error:
    total = Error({"rtol": 0.0})
    for error in errors:
        total = total.merge(error)
    return total


def _never(subject: Subject, seen: Seen) -> Finding | None:
    """A relation that no example of a whole pool was in reach of was not checked, which must not look like a pass."""
    case = subject.case
    declared = [*(["batch"] if case.batch else []), *(f"law `{name}`" for name in case.laws)]
    missed = [what for what in declared if what not in seen.reached]
    if not missed or len(seen.setups) < case.pool:
        return None
    return Finding(passed=False, message=f"no example is in reach of {', '.join(missed)}")


def _inputs(subject: Subject, example: Example) -> dict[str, Any]:
    return subject.renamed({name: values.arrays(tree, "float64") for name, tree in example.inputs.items()})


check = Check("transforms", "one pure function, transformed or not?", start, traces=True)
