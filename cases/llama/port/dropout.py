"""Dropout as training has it: a share of the elements zeroed at random, the rest scaled up to make good for them."""

import jax
import jax.numpy as jnp


def dropped(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """x with each element zeroed with probability `rate`, and divided by 1 - rate otherwise.

    Args:
        x: any shape.
        rate: from 0 to 1; at 1 nothing is left.
        key: of `jax.random`; without one nothing is dropped.
    """
    if key is None or rate == 0:
        return x
    scale = jnp.asarray(0.0 if rate == 1 else 1 / (1 - rate), x.dtype)
    return x * jnp.where(kept(key, rate, x.shape), scale, 0)


def kept(key: jax.Array, rate: float, shape: tuple[int, ...]) -> jax.Array:
    """Which elements are left, true with probability 1 - rate."""
    return jax.random.bernoulli(key, 1 - rate, shape)


def keys_of(key: jax.Array | None, count: int) -> list[jax.Array | None]:
    """A key for each of so many users, all different; none where there is none."""
    return [None] * count if key is None else list(jax.random.split(key, count))
