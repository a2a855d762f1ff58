"""An nnx module that somebody has built already, as a port: a copy of it with other dtypes."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

DTYPES = ("dtype", "param_dtype")  # what Flax's own layers call the dtypes that they compute and keep parameters in


def is_module(thing: Any) -> bool:
    """Whether this is an nnx module."""
    return isinstance(thing, nnx.Module)


def parameter_names(thing: Any) -> list[str]:
    """The names of what a module or function is called with, in order."""
    return list(inspect.signature(thing.__call__ if isinstance(thing, nnx.Module) else thing).parameters)


def copied(module: nnx.Module) -> Callable[[Any], nnx.Module]:
    """What makes a copy of a module with floats in a dtype, in evaluation mode; the module itself is left alone.

    Where a module says `dtype=float32` or `param_dtype=float32`, the copy says the other dtype. What was rounded to
    float32 when it was built stays rounded.
    """
    graph, state = nnx.split(module)

    def make(dtype: Any) -> nnx.Module:
        made = nnx.merge(graph, jax.tree.map(lambda x: _cast(x, dtype), state))
        for _, node in nnx.iter_graph(made):
            for name in DTYPES if isinstance(node, nnx.Module) else ():
                if _is_float32(getattr(node, name, None)):
                    setattr(node, name, dtype)
        made.eval()
        return made

    return make


def _cast(x: Any, dtype: Any) -> Any:
    return jnp.asarray(x, dtype) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating) else x


def _is_float32(dtype: Any) -> bool:
    try:
        return dtype is not None and np.dtype(dtype) == np.float32
    except TypeError:
        return False
