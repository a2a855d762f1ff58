"""The key/value cache: what was read, in a fixed number of slots, so that every step of a decoding has one shape.

Shapes: B batch, L length, M memory length (the slots), K kv heads, H head dim.
"""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import DTypeLike

from .config import LlamaConfig


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerCache:
    """One layer's part: `keys`, rotated already, and `values`, [B, K, M, H] each."""

    keys: jax.Array
    values: jax.Array

    def written(self, k_BKLH: jax.Array, v_BKLH: jax.Array, filled: jax.Array) -> "LayerCache":
        """Keys and values of the next L positions behind the `filled` ones, in the dtype of the cache."""

        def put(slots_BKMH: jax.Array, new_BKLH: jax.Array) -> jax.Array:
            new_BKLH = new_BKLH.astype(slots_BKMH.dtype)
            return jax.lax.dynamic_update_slice_in_dim(slots_BKMH, new_BKLH, filled, axis=2)

        return LayerCache(put(self.keys, k_BKLH), put(self.values, v_BKLH))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Cache:
    """A pytree: it goes through `jax.jit`, and where it is donated a step writes it in place.

    Attributes:
        layers: a part for each layer.
        filled: a scalar, how many slots hold something; padding fills a slot too.
    """

    layers: tuple[LayerCache, ...]
    filled: jax.Array

    @classmethod
    def empty(cls, config: LlamaConfig, batch: int, slots: int, dtype: DTypeLike = jnp.float32) -> Self:
        """A cache of `slots` positions of `batch` rows; `dtype` is what the model computes in."""
        if batch < 1 or slots < 1:
            raise ValueError(f"a cache of {slots} slots for {batch} rows: give at least one of each")
        shape = batch, config.num_key_value_heads, slots, config.head_dim
        one = LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
        # Each layer its own arrays: what is donated must not be given twice.
        layers = (jax.tree.map(jnp.copy, one) for _ in range(config.num_hidden_layers))
        return cls(tuple(layers), jnp.zeros((), jnp.int32))

    @property
    def slots(self) -> int:
        """How many positions there is room for; none where there are no layers."""
        return self.layers[0].keys.shape[2] if self.layers else 0

    def advanced(self, layers: tuple[LayerCache, ...], L: int) -> "Cache":
        """The cache after the next L positions."""
        return Cache(layers, self.filled + L)

    def rows(self, order: jax.Array) -> "Cache":
        """Other rows of the batch, or the same in another order [B], as a beam search takes them."""
        layers = jax.tree.map(lambda slots_BKMH: slots_BKMH[order], self.layers)
        return Cache(layers, self.filled)

    def admit(self, x_BLD: jax.Array) -> jax.Array:
        """The next positions' embeddings as they are, if there is room for them.

        Outside of `jax.jit` too many are an error; inside, where no one knows how many slots are filled, they and
        everything behind them are NaN, since a write past the end would silently overwrite what is before it.

        Raises:
            ValueError: they don't fit, or are rows of another batch.
        """
        (B, L), (rows, _, slots, _) = x_BLD.shape[:2], self.layers[0].keys.shape
        if rows != B:
            raise ValueError(f"the cache holds {rows} rows, the input {B}")
        if slots < L:
            raise ValueError(f"{L} positions do not fit into a cache of {slots} slots")
        if not isinstance(self.filled, Tracer) and int(self.filled) + L > slots:
            raise ValueError(f"{L} positions do not fit: {int(self.filled)} of the cache's {slots} slots are filled")
        return jnp.where(self.filled + L <= slots, x_BLD, jnp.nan)
