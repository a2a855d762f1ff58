"""A port under jax's transformations: recomputed, row by row, differentiated, and run without jit."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.errors import OutputMismatch
from parity.port.build import Port
from parity.port.run import Array, Call, Outputs, Traced, named, split, traced


def recomputed(port: Port, inputs: Mapping[str, Any]) -> Traced:
    """The port's call under `jax.checkpoint`."""
    return traced(port, inputs, jax.checkpoint)


def by_row(port: Port, inputs: Mapping[str, Any], axes: Mapping[str, int]) -> Traced:
    """The port called under `jax.vmap` on one row of the batch at a time, each as a batch of one.

    Args:
        port: built in float64.
        inputs: of the batched call.
        axes: input -> its batch axis; inputs that are not named go to every row as they are.

    Raises:
        OutputMismatch: an output of a batch of one does not have a first axis of size one.
    """

    def transform(call: Call) -> Call:
        def row(parameters: list[Any], arrays: dict[str, Any]) -> dict[str, Any]:
            batch = {name: _one(tree, axes.get(name)) for name, tree in arrays.items()}
            return {name: _row(name, x) for name, x in call(parameters, batch).items()}

        def mapped(parameters: list[Any], arrays: dict[str, Any]) -> dict[str, Any]:
            return jax.vmap(row, in_axes=(None, {name: axes.get(name) for name in arrays}))(parameters, arrays)

        return mapped

    return traced(port, inputs, transform)


def gradient(port: Port, inputs: Mapping[str, Any], *, recompute: bool = False) -> Traced:
    """The gradient, by parameter path and input name, of a fixed weighted sum of the port's floating outputs.

    Args:
        port: built in float64.
        inputs: of the call; gradients are taken for the floating ones.
        recompute: whether the call is under `jax.checkpoint`.
    """

    return traced(port, inputs, lambda call: gradients(port, jax.checkpoint(call) if recompute else call))


def gradients(port: Port, call: Call) -> Call:
    """A function of the same arguments that gives the gradient `gradient` speaks of."""

    def pulled(parameters: list[Any], arrays: dict[str, Any]) -> dict[str, Any]:
        floats = {name: x for name, x in arrays.items() if _floating(x)}

        def total(parameters: list[Any], floats: dict[str, Any]) -> Any:
            outputs = call(parameters, {**arrays, **floats}).values()
            return sum((_weighted(x) for x in outputs if _floating(x)), start=jnp.zeros(()))

        for_parameters, for_inputs = jax.grad(total, argnums=(0, 1))(parameters, floats)
        return {**dict(zip(port.leaves, for_parameters, strict=True)), **dict(named(for_inputs))}

    return pulled


def eager(port: Port, parameters: Sequence[Array], inputs: Mapping[str, Any]) -> Outputs:
    """Run a port on the real backend operation by operation, as without `jax.jit`; each new shape compiles alone."""
    arrays, static = split(inputs, port.dtype)
    put = jax.tree.map(jnp.asarray, arrays)
    outputs = port.call([jnp.asarray(x) for x in parameters], {**put, **static})
    return {name: np.asarray(x) for name, x in named(outputs)}


def _one(tree: Any, axis: int | None) -> Any:
    return tree if axis is None else jax.tree.map(lambda x: jnp.expand_dims(x, axis), tree)


def _row(name: str, x: Any) -> Any:
    if not x.ndim or x.shape[0] != 1:
        raise OutputMismatch(f"output `{name}` has shape {x.shape} for a batch of one: its rows are not its first axis")
    return x[0]


def _floating(tree: Any) -> bool:
    return all(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(tree))


def _weighted(x: Any) -> Any:
    """A sum in which every element has a weight of its own, none of them zero."""
    weights = np.cos(np.arange(x.size)).reshape(x.shape)  # the cosine of a whole number is never zero
    return jnp.sum(x * weights)
