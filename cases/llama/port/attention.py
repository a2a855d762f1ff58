"""Self-attention with grouped keys and values.

Shapes: B batch, L length, M memory length, D width, N heads, K kv heads, G heads per kv head, H head dim.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .activations import times
from .config import LlamaConfig
from .linear import Linear
from .rotary import apply_rotary_pos_emb


class Attention(nnx.Module):
    """softmax(q k / sqrt(H) + mask) v, where each key and value head serves G query heads."""

    def __init__(
        self,
        config: LlamaConfig,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        D, N, K, H = config.hidden_size, config.num_attention_heads, config.num_key_value_heads, config.head_dim
        project = partial(
            Linear,
            use_bias=config.attention_bias,
            stddev=config.initializer_std,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.q_proj = project(D, N * H)
        self.k_proj = project(D, K * H)
        self.v_proj = project(D, K * H)
        self.o_proj = project(N * H, D)
        self.head_dim = H
        self.num_key_value_groups = N // K
        self.scaling = H**-0.5

    def __call__(
        self,
        hidden_states: jax.Array,
        position_embeddings: tuple[jax.Array, jax.Array],
        attention_mask: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Attend within one sequence.

        Args:
            hidden_states: [B, L, D].
            position_embeddings: cos and sin, [B, L, H] each.
            attention_mask: added to the scores, whatever its dtype: [B, 1, L, M]; none means that every position
                sees every other.

        Returns:
            The output [B, L, D], and the attention weights [B, N, L, M].
        """
        q_BNLH = split_heads(self.q_proj(hidden_states), self.head_dim)
        k_BKMH = split_heads(self.k_proj(hidden_states), self.head_dim)
        v_BKMH = split_heads(self.v_proj(hidden_states), self.head_dim)
        cos_BLH, sin_BLH = position_embeddings
        q_BNLH, k_BKMH = apply_rotary_pos_emb(q_BNLH, k_BKMH, cos_BLH, sin_BLH)
        k_BNMH = repeat_kv(k_BKMH, self.num_key_value_groups)
        v_BNMH = repeat_kv(v_BKMH, self.num_key_value_groups)

        scores_BNLM = jnp.einsum("BNLH,BNMH->BNLM", q_BNLH, k_BNMH)
        scores_BNLM = times(scores_BNLM, self.scaling)
        if attention_mask is not None:
            scores_BNLM = scores_BNLM + attention_mask
        weights_BNLM = softmax(scores_BNLM, q_BNLH.dtype)
        heads_BNLH = jnp.einsum("BNLM,BNMH->BNLH", weights_BNLM, v_BNMH)
        return self.o_proj(merge_heads(heads_BNLH)), weights_BNLM


def split_heads(x: jax.Array, head_dim: int) -> jax.Array:
    """[B, L, N * H] to [B, N, L, H]: the heads lie side by side."""
    B, L, width = x.shape
    return x.reshape(B, L, width // head_dim, head_dim).swapaxes(1, 2)


def merge_heads(x_BNLH: jax.Array) -> jax.Array:
    """[B, N, L, H] to [B, L, N * H]."""
    B, N, L, H = x_BNLH.shape
    return x_BNLH.swapaxes(1, 2).reshape(B, L, N * H)


def repeat_kv(x_BKMH: jax.Array, groups: int) -> jax.Array:
    """[B, K, M, H] to [B, K * G, M, H]: query head n reads kv head n // G."""
    return jnp.repeat(x_BKMH, groups, axis=1)


def softmax(scores_BNLM: jax.Array, dtype: DTypeLike) -> jax.Array:
    """Over the memory, in float32 or wider; the weights in `dtype`."""
    wide_BNLM = scores_BNLM.astype(jnp.promote_types(dtype, jnp.float32))
    return jax.nn.softmax(wide_BNLM, axis=-1).astype(dtype)
