"""Parameters with logical axis names: what each axis is, not where it goes; `sharding` decides that."""

import jax
from flax import nnx


def parameter(value: jax.Array, *axes: str | None) -> nnx.Param:
    """A parameter whose axes are named, or None where an axis is nothing that could be split.

    The names are in the metadata under which flax keeps them (`out_sharding`), but flax does not act on them when the
    parameter is made: a module can be built with no mesh at hand.
    """
    return nnx.Param(value, out_sharding=axes, eager_sharding=False)


def axes_of(variable: nnx.Param) -> tuple[str | None, ...]:
    """The names again; None for every axis of a parameter that has none."""
    return variable.get_metadata().get("out_sharding") or (None,) * len(variable.shape)
