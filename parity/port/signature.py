"""Which arguments a port's layer takes."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from parity.case import Case, Json


def arguments(case: Case, config: Json) -> frozenset[str]:
    """The names of the arguments of a case's port, by the port's own names; from an abstract build."""
    found: list[inspect.Signature] = []

    def made() -> Any:
        built = case.port(config, jnp.dtype("float32"), nnx.Rngs(0))
        found.append(inspect.signature(built))
        return built if isinstance(built, nnx.Module) else None

    with jax.enable_x64(False):
        nnx.eval_shape(made)
    return frozenset(found[0].parameters)
