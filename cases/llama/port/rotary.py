"""Rotary position embedding: tables of cosines and sines, and the rotation of queries and keys by them.

Shapes: B batch, L length, D width, N heads, K kv heads, H head dim (the tables hold each of H/2 angles twice).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from .config import LlamaConfig
from .rope_frequencies import dynamic_base, exponents, frequencies, rotary_dim


class RotaryEmbedding(nnx.Module):
    """cos(p * f) and sin(p * f) for each position p and inverse frequency f, in float32 or wider.

    The dynamic and longrope types look at the largest position of the whole batch, on every call afresh: nothing is
    remembered from a longer input seen before.

    Args:
        config: the model; decides the frequencies and holds no more.
        dtype: of the tables; that of `x` where none is given.
        param_dtype, rngs: not used, there are no parameters; every module of this port takes them.
    """

    def __init__(
        self,
        config: LlamaConfig,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs | None = None,
    ):
        self.config = config
        self.dtype = dtype
        self.inv_freq, self.attention_scaling, self.long_inv_freq = frequencies(config)

    def __call__(self, x: jax.Array, position_ids: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Both tables [B, L, H], in the dtype of `x` [..., D], for `position_ids` [B, L] (or [1, L])."""
        wide = jnp.promote_types(x.dtype, jnp.float32)
        inv_freq = self.frequencies_for(position_ids, wide)
        angles_BLP = position_ids[..., None].astype(wide) * inv_freq
        angles_BLH = jnp.concatenate((angles_BLP, angles_BLP), axis=-1)
        cos_BLH = jnp.cos(angles_BLH) * self.attention_scaling
        sin_BLH = jnp.sin(angles_BLH) * self.attention_scaling
        dtype = self.dtype or x.dtype
        return cos_BLH.astype(dtype), sin_BLH.astype(dtype)

    def frequencies_for(self, position_ids: jax.Array, dtype: DTypeLike) -> jax.Array:
        """Inverse frequencies [H/2]; two types choose them by the length, that is the largest position and one."""
        inv_freq = constant(self.inv_freq, dtype)
        length = jnp.max(position_ids) + 1
        match self.config.rope.rope_type:
            case "dynamic":
                longest = self.config.max_position_embeddings
                return jnp.where(length > longest, self.stretched(length, dtype), inv_freq)
            case "longrope":
                original = self.config.rope.original_max_position_embeddings
                return jnp.where(length > original, constant(self.long_inv_freq, dtype), inv_freq)
            case _:
                return inv_freq

    def stretched(self, length: jax.Array, dtype: DTypeLike) -> jax.Array:
        """Inverse frequencies of the dynamic type at a `length` past the maximum."""
        rope, longest, dim = self.config.rope, self.config.max_position_embeddings, rotary_dim(self.config)
        length = jnp.maximum(length, longest).astype(dtype)
        base = dynamic_base(rope.rope_theta, rope.factor, length, longest, dim)
        return 1.0 / base ** constant(exponents(dim), dtype)


def constant(values: np.ndarray | tuple[float, ...], dtype: DTypeLike) -> jax.Array:
    """Float64 numbers of the host, rounded once to `dtype`."""
    return jnp.asarray(np.asarray(values, np.float64), dtype)


def rotate_half(x: jax.Array) -> jax.Array:
    """(a, b) to (-b, a), where a and b are the two halves of the head [..., H]."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate((-b, a), axis=-1)


def apply_rotary_pos_emb(
    q: jax.Array, k: jax.Array, cos: jax.Array, sin: jax.Array, unsqueeze_dim: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Turn `q` [B, N, L, H] and `k` [B, K, L, H] by tables [B, L, H]; the heads' axis is `unsqueeze_dim`."""
    cos = jnp.expand_dims(cos, unsqueeze_dim)
    sin = jnp.expand_dims(sin, unsqueeze_dim)
    q_rotated = q * cos + rotate_half(q) * sin
    k_rotated = k * cos + rotate_half(k) * sin
    return q_rotated, k_rotated
