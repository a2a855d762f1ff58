"""A port as a plain loop would run it: built eagerly, filled, called operation by operation. Only the bench does."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from parity.case import Case, Json
from parity.port.run import named, split

Array = npt.NDArray[Any]


def run_eagerly(case: Case, config: Json, leaves: Mapping[str, Array], inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Build the port in float32, initialisers and all, set its parameters by path, call it; outputs by name."""
    module = case.port(config, jnp.dtype("float32"), nnx.Rngs(0))
    if isinstance(module, nnx.Module):
        state: Any = nnx.state(module, nnx.Param)
        for path, variable in nnx.to_flat_state(state):
            variable.set_value(jnp.asarray(leaves[".".join(str(step) for step in path)]))
        nnx.update(module, state)
    arrays, static = split(inputs, "float32")
    return {name: np.asarray(x) for name, x in named(module(**arrays, **static))}
