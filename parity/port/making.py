"""What holds while a port's module is made: no initialiser draws anything, and who wants it knows what code ran."""

import contextlib
import sys
from collections.abc import Generator, Sequence
from types import CodeType, FrameType
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp


@contextlib.contextmanager
def undrawn() -> Generator[None]:
    """Let initialisers draw zeros: traced, normal distributions are half of the time that making a module takes."""
    space = jax.nn.initializers.normal.__globals__["random"]  # where JAX's initialisers look them up
    with contextlib.ExitStack() as stack:
        for name, function in _DRAWS.items():
            stack.enter_context(mock.patch.object(space, name, function))
        yield


def _zeros(key: Any, shape: Sequence[int] = (), dtype: Any = None, *_: Any, **__: Any) -> jax.Array:
    return jnp.zeros(shape, dtype)


def _zeros_within(key: Any, low: Any, high: Any, shape: Any = None, dtype: Any = None, **_: Any) -> jax.Array:
    return jnp.zeros(jnp.broadcast_shapes(jnp.shape(low), jnp.shape(high)) if shape is None else shape, dtype)


_DRAWS = {"normal": _zeros, "uniform": _zeros, "truncated_normal": _zeros_within}


@contextlib.contextmanager
def noted(ran: set[CodeType]) -> Generator[None]:
    """Add the code of every Python function that is called. It doubles the time that making a module takes."""

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            ran.add(frame.f_code)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
