"""A port's vector-Jacobian products: traced for exact evaluation, or compiled for the real backend."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from parity.ideal.program import Program
from parity.port.build import Port
from parity.port.run import Outputs, abstract, named, split

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Pullback:
    """A port's gradient as a program.

    Attributes:
        port: whose.
        run: (parameters in the port's order, input arrays, cotangents) flat -> gradients flat.
        names: the gradients' names: the port's parameters by path, then its floating inputs (a tuple's by
            `name.place`).
    """

    port: Port
    run: Callable[..., Any]
    names: tuple[str, ...]

    def __call__(
        self, parameters: Mapping[str, Array], inputs: Mapping[str, Any], cotangents: Mapping[str, Any]
    ) -> Outputs:
        """Gradients by name."""
        arrays, _ = split(inputs, self.port.dtype)
        flat = jax.tree.leaves((list(parameters.values()), arrays, dict(cotangents)))
        return {name: np.asarray(x) for name, x in zip(self.names, self.run(*flat), strict=True)}


def traced_pullback(port: Port, inputs: Mapping[str, Any], cotangents: Mapping[str, Array]) -> Pullback:
    """Trace the gradient of a float64 port for these shapes."""
    pull, names, shapes = _pull(port, inputs, cotangents)
    with jax.enable_x64(True):
        return Pullback(port, Program(jax.make_jaxpr(pull)(*shapes)), names)


def compiled_pullback(port: Port, inputs: Mapping[str, Any], cotangents: Mapping[str, Array]) -> Pullback:
    """Wrap the gradient of a port in `jax.jit`."""
    pull, names, _ = _pull(port, inputs, cotangents)
    return Pullback(port, jax.jit(pull), names)


def _pull(
    port: Port, inputs: Mapping[str, Any], cotangents: Mapping[str, Array]
) -> tuple[Callable[..., list[Any]], tuple[str, ...], list[Any]]:
    """A function of flat arguments that returns flat gradients, the names of these, the arguments' shapes."""
    arrays, static = split(inputs, port.dtype)
    everything = (abstract(port), arrays, dict(cotangents))
    structure = jax.tree.structure(everything)

    def pull(*flat: Any) -> list[Any]:
        parameters, given, weights = jax.tree.unflatten(structure, flat)
        leaves, form = jax.tree.flatten(given)
        floating = [place for place, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]

        def forward(parameters: list[Any], moving: list[Any]) -> dict[str, Any]:
            merged = list(leaves)
            for place, x in zip(floating, moving, strict=True):
                merged[place] = x
            outputs = dict(named(port.call(parameters, {**jax.tree.unflatten(form, merged), **static})))
            return {name: outputs[name] for name in weights}

        _, pullback = jax.vjp(forward, parameters, [leaves[place] for place in floating])
        return jax.tree.leaves(pullback(weights))

    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in jax.tree.leaves(everything)]
    return pull, (*port.leaves, *_floating(arrays)), shapes


def _floating(arrays: Mapping[str, Any]) -> list[str]:
    """Names of floating inputs, in the order of JAX's tree."""
    paths = cast(Any, jax.tree_util.tree_flatten_with_path(dict(arrays))[0])
    names = [(".".join(str(getattr(step, "key", getattr(step, "idx", step))) for step in path), x) for path, x in paths]
    return [name for name, x in names if jnp.issubdtype(x.dtype, jnp.floating)]
