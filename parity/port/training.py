"""A port's training: its optimiser's state and its step as programs, exact or compiled; the parameters it reaches."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from flax import nnx

from parity.case import Training
from parity.ideal.program import Program
from parity.port.build import Port
from parity.port.run import abstract, split

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Steps:
    """A port's training as two programs of flat arguments.

    Attributes:
        port: whose.
        begin: parameters -> the optimiser's state.
        step: parameters, state and a batch's arrays -> the loss, parameters, state.
    """

    port: Port
    begin: Callable[..., Sequence[Any]]
    step: Callable[..., Sequence[Any]]

    def run(
        self, parameters: Mapping[str, Array], batches: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Array], list[dict[str, Array]]]:
        """Take a step with each batch; the loss before each, and the parameters by path after it."""
        leaves: list[Any] = list(parameters.values())
        state = list(self.begin(*leaves))
        losses: list[Array] = []
        history: list[dict[str, Array]] = []
        for batch in batches:
            arrays, _ = split(batch, self.port.dtype)
            loss, *rest = self.step(*leaves, *state, *jax.tree.leaves(arrays))
            leaves, state = rest[: len(leaves)], rest[len(leaves) :]
            losses.append(np.asarray(loss))
            history.append({name: np.asarray(x) for name, x in zip(parameters, leaves, strict=True)})
        return losses, history


def steps(port: Port, training: Training, batch: Mapping[str, Any]) -> Steps:
    """Trace (a float64 port, for exact evaluation) or compile a port's training on batches of these shapes."""
    exact = port.dtype == "float64"
    with jax.enable_x64(exact):
        begin, step, shapes = _functions(port, training, batch)
        if not exact:
            return Steps(port, jax.jit(begin), jax.jit(step))
        first = Program(jax.make_jaxpr(begin)(*abstract(port)))
        return Steps(port, first, Program(jax.make_jaxpr(step)(*shapes)))


def _functions(
    port: Port, training: Training, batch: Mapping[str, Any]
) -> tuple[Callable[..., list[Any]], Callable[..., list[Any]], list[Any]]:
    """Two functions of flat arguments that return flat results, and the shapes of the second one's arguments."""
    arrays, static = split(batch, port.dtype)

    def begin(*parameters: Any) -> list[Any]:
        return jax.tree.leaves(nnx.state(training.optimizer(port.bind(parameters))))

    def step(*flat: Any) -> list[Any]:
        parameters, kept, given = jax.tree.unflatten(form, flat)
        model = port.bind(parameters)
        optimizer = training.optimizer(model)
        state = nnx.state(optimizer)
        nnx.update(optimizer, jax.tree.unflatten(jax.tree.structure(state), kept))
        loss = training.step(model, optimizer, {**given, **static})
        return [loss, *jax.tree.leaves(nnx.state(model, nnx.Param)), *jax.tree.leaves(nnx.state(optimizer))]

    everything = (abstract(port), jax.eval_shape(begin, *abstract(port)), arrays)
    form = jax.tree.structure(everything)
    return begin, step, [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in jax.tree.leaves(everything)]
