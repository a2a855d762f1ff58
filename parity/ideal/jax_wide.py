"""Trace JAX programs in which float32 is wide: float64, with nothing rounded but what is declared half precision."""

import contextlib
from collections.abc import Generator
from typing import Any

import jax
import jax.numpy as jnp


@contextlib.contextmanager
def wide() -> Generator[None]:
    """Build and trace a port inside: what it asks for as `jnp.float32` is float64.

    Promotion treats the two alike beside half precision, so the program is the same, but for its constants: a rotary
    frequency is not rounded to float32 before it is traced, which at position 32000 would turn 5 % of a bfloat16
    cosine's elements. A float32 that is spelled otherwise ('float32', `np.float32`) keeps its rounded constants.
    `jax.numpy` belongs to the process: don't enter from two threads at once.
    """
    module: Any = jnp
    before = module.float32
    with jax.enable_x64(True):
        module.float32 = jnp.float64
        try:
            yield
        finally:
            module.float32 = before
