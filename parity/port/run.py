"""A port traced for exact evaluation, compiled for the real backend, or asked only for the form of its outputs."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import numpy as np
import numpy.typing as npt

from parity.ideal.jax_wide import wide
from parity.ideal.program import Program
from parity.ideal.rounded_jaxpr import roundings
from parity.ideal.rounding import Rounding
from parity.ideal.unfolded import Evaluation
from parity.port.build import Port, named

Array = npt.NDArray[Any]
Outputs = dict[str, Array]
Call = Callable[[list[Any], dict[str, Any]], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Traced:
    """A port's program, evaluated by NumPy on an ideal machine. `names` are its outputs' names, in order.

    `dtypes`: of the outputs of a rounded program; None for an exact one, whose floats are all float64.
    """

    program: Program
    names: tuple[str, ...]
    dtypes: tuple[Any, ...] | None = None

    def run(self, parameters: Mapping[str, Array], inputs: Mapping[str, Any]) -> Outputs:
        """Outputs by name; arrays are taken in the order they were traced in."""
        outputs = self.program(*_flat(parameters, inputs))
        if self.dtypes is not None:
            outputs = [x.astype(dtype, copy=False) for x, dtype in zip(outputs, self.dtypes, strict=True)]
        return dict(zip(self.names, outputs, strict=True))

    def roundings(self, parameters: Mapping[str, Array], inputs: Mapping[str, Any]) -> list[Rounding]:
        """Run a rounded program, and list what it rounds, in order."""
        return list(roundings(self.program.intermediates(*_flat(parameters, inputs))))

    def follow(self, parameters: Mapping[str, Array], inputs: Mapping[str, Any]) -> "Followed":
        """Evaluate as `run` does, and keep every value."""
        evaluation = self.program.follow(*_flat(parameters, inputs))
        return Followed(evaluation, self.names, dict(zip(parameters, evaluation.program.flat.inputs, strict=False)))


@dataclasses.dataclass(frozen=True)
class Followed:
    """A port's program at work on one example. `parameters`: path -> the slot that holds it."""

    evaluation: Evaluation
    names: tuple[str, ...]
    parameters: Mapping[str, int]

    def outputs(self, changes: Mapping[int, Any] | None = None, *, after: int = -1) -> Outputs:
        """Outputs by name, with other values in some slots; see `Evaluation.outputs`."""
        return dict(zip(self.names, self.evaluation.outputs(changes, after=after), strict=True))


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A port compiled by XLA for the shapes it meets first; another shape compiles again."""

    port: Port
    function: Any
    static: Mapping[str, Any]

    def run(self, parameters: Mapping[str, Array], inputs: Mapping[str, Any]) -> Outputs:
        """Outputs by name, as arrays in the working dtype."""
        arrays, _ = split(inputs, self.port.dtype)
        outputs = self.function(list(parameters.values()), arrays)
        return {name: np.asarray(x) for name, x in named(outputs)}


def traced(port: Port, inputs: Mapping[str, Any], transform: Callable[[Call], Call] = lambda call: call) -> Traced:
    """Trace a port of an ideal machine (float64, or rounded) on abstract parameters and these inputs' shapes.

    Args:
        port: built for that machine.
        inputs: arrays, whose shapes count, and static values.
        transform: makes another function of the one that is traced: (parameters, arrays) -> outputs by name.
    """
    arrays, static = split(inputs, "float64")
    names: list[str] = []

    def call(parameters: list[Any], arrays: dict[str, Any]) -> dict[str, Any]:
        return dict(named(port.call(parameters, {**arrays, **static})))

    def flat(parameters: list[Any], arrays: dict[str, Any]) -> list[Any]:
        outputs = transform(call)(parameters, arrays)
        names.extend(outputs)
        return list(outputs.values())

    if port.dtype == "float64":
        with jax.enable_x64(True):
            return Traced(Program(jax.make_jaxpr(flat)(abstract(port), arrays)), tuple(names))
    with wide():
        program = Program(jax.make_jaxpr(flat)(abstract(port), arrays), rounded=True)
    return Traced(program, tuple(names), program.declared)


def compiled(port: Port, inputs: Mapping[str, Any]) -> Compiled:
    """Wrap a port in `jax.jit` for these inputs' static values."""
    _, static = split(inputs, port.dtype)
    return Compiled(port, jax.jit(lambda parameters, arrays: port.call(parameters, {**arrays, **static})), static)


def form(port: Port, inputs: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shapes and dtypes of the port's outputs by name, without computing anything."""
    arrays, static = split(inputs, port.dtype)
    outputs = jax.eval_shape(lambda p, x: port.call(p, {**x, **static}), abstract(port), arrays)
    return {name: (tuple(x.shape), np.dtype(x.dtype)) for name, x in named(outputs)}


def _flat(parameters: Mapping[str, Array], inputs: Mapping[str, Any]) -> list[Any]:
    arrays, _ = split(inputs, "float64")
    return [*parameters.values(), *jax.tree.leaves(arrays)]


def abstract(port: Port) -> list[jax.ShapeDtypeStruct]:
    """The parameters of a port, as shapes."""
    return [jax.ShapeDtypeStruct(leaf.shape, np.dtype(leaf.dtype)) for leaf in port.leaves.values()]


def split(inputs: Mapping[str, Any], dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs that are arrays, and those that are static; integers as int32, as any JAX program has them."""
    arrays = {name: _narrowed(tree) for name, tree in inputs.items() if _has_array(tree)}
    return arrays, {name: tree for name, tree in inputs.items() if name not in arrays}


def _narrowed(tree: Any) -> Any:
    if isinstance(tree, tuple):
        return tuple(_narrowed(branch) for branch in cast(tuple[Any, ...], tree))
    return tree.astype(np.int32) if tree.dtype == np.int64 else tree


def _has_array(tree: Any) -> bool:
    if isinstance(tree, tuple):
        return all(_has_array(branch) for branch in cast(tuple[Any, ...], tree))
    return isinstance(tree, np.ndarray)
