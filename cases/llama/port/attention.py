"""Self-attention with grouped keys and values.

Shapes: B batch, L length, C queries of a chunk, M memory length, S what of it a chunk sees, D width, N heads,
K kv heads, G heads per kv head, H head dim.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .activations import times
from .cache import LayerCache
from .config import LlamaConfig
from .dropout import dropped
from .linear import Linear
from .mask import Causal
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
        self.q_proj = project(D, N * H, axes=("embed", "heads"))
        self.k_proj = project(D, K * H, axes=("embed", "kv_heads"))
        self.v_proj = project(D, K * H, axes=("embed", "kv_heads"))
        self.o_proj = project(N * H, D, axes=("heads", "embed"))
        self.head_dim = H
        self.scaling = H**-0.5
        self.dropout = config.attention_dropout

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
        output_BLD, weights_BNLM, _ = self.step(hidden_states, position_embeddings, attention_mask)
        return output_BLD, weights_BNLM

    def step(
        self,
        x_BLD: jax.Array,
        position_embeddings: tuple[jax.Array, jax.Array],
        attention_mask: jax.Array | Causal | None,
        past: tuple[LayerCache, jax.Array] | None = None,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array, LayerCache | None]:
        """Attend within one sequence, and to what is in the cache.

        Args:
            x_BLD, position_embeddings: as in a call.
            attention_mask: as in a call, or one that is known to be causal: then in chunks, but for dropout.
            past: this layer's cache and how many of its slots are filled. M then counts all slots, and the mask must
                hide those behind the last position.
            key: for the dropout of attention weights, in training.

        Returns:
            The output [B, L, D], the attention weights [B, N, L, M], and the cache after it, if there is a `past`.
        """
        q_BNLH = split_heads(self.q_proj(x_BLD), self.head_dim)
        k_BKMH = split_heads(self.k_proj(x_BLD), self.head_dim)
        v_BKMH = split_heads(self.v_proj(x_BLD), self.head_dim)
        cos_BLH, sin_BLH = position_embeddings
        q_BNLH, k_BKMH = apply_rotary_pos_emb(q_BNLH, k_BKMH, cos_BLH, sin_BLH)
        cache = None
        if past is not None:
            cache = past[0].written(k_BKMH, v_BKMH, past[1])
            k_BKMH, v_BKMH = cache.keys, cache.values

        if isinstance(attention_mask, Causal) and key is not None:
            attention_mask = attention_mask.mask_B1LM
        if isinstance(attention_mask, Causal):
            heads_BNLH, weights_BNLM = self.attend_in_chunks(q_BNLH, k_BKMH, v_BKMH, attention_mask)
        else:
            heads_BNLH, weights_BNLM = self.attend(q_BNLH, k_BKMH, v_BKMH, attention_mask, key)
        return self.o_proj(merge_heads(heads_BNLH)), weights_BNLM, cache

    def attend(
        self,
        q_BNLH: jax.Array,
        k_BKMH: jax.Array,
        v_BKMH: jax.Array,
        mask_B1LM: jax.Array | None,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Values averaged for each query [B, N, L, H], and by which weights [B, N, L, M]."""
        scores_BNLM = times(scores(q_BNLH, k_BKMH), self.scaling)
        if mask_B1LM is not None:
            scores_BNLM = scores_BNLM + mask_B1LM
        weights_BNLM = dropped(softmax(scores_BNLM, q_BNLH.dtype), self.dropout, key)
        return averaged(weights_BNLM, v_BKMH), weights_BNLM

    def attend_in_chunks(
        self, q_BNLH: jax.Array, k_BKMH: jax.Array, v_BKMH: jax.Array, mask: Causal
    ) -> tuple[jax.Array, jax.Array]:
        """The same, some queries at a time, each with the keys that it may see."""
        M, heads, weights = k_BKMH.shape[2], list[jax.Array](), list[jax.Array]()
        for rows, seen in mask.chunks():
            k_BKSH, v_BKSH, mask_B1CS = k_BKMH[:, :, :seen], v_BKMH[:, :, :seen], mask.mask_B1LM[:, :, rows, :seen]
            heads_BNCH, weights_BNCS = self.attend(q_BNLH[:, :, rows], k_BKSH, v_BKSH, mask_B1CS)
            heads.append(heads_BNCH)
            weights.append(jnp.pad(weights_BNCS, ((0, 0), (0, 0), (0, 0), (0, M - seen))))
        return jnp.concatenate(heads, axis=2), jnp.concatenate(weights, axis=2)


def split_heads(x: jax.Array, head_dim: int) -> jax.Array:
    """[B, L, N * H] to [B, N, L, H]: the heads lie side by side."""
    B, L, width = x.shape
    return x.reshape(B, L, width // head_dim, head_dim).swapaxes(1, 2)


def merge_heads(x_BNLH: jax.Array) -> jax.Array:
    """[B, N, L, H] to [B, L, N * H]."""
    B, N, L, H = x_BNLH.shape
    return x_BNLH.swapaxes(1, 2).reshape(B, L, N * H)


def grouped(x: jax.Array, kv_heads: int) -> jax.Array:
    """[B, N, L, ...] to [B, K, G, L, ...]: query head n reads kv head n // G, and no key is copied for it."""
    B, N, *rest = x.shape
    return x.reshape(B, kv_heads, N // kv_heads, *rest)


def scores(q_BNLH: jax.Array, k_BKMH: jax.Array) -> jax.Array:
    """Products of queries and keys [B, N, L, M]."""
    scores_BKGLM = jnp.einsum("BKGLH,BKMH->BKGLM", grouped(q_BNLH, k_BKMH.shape[1]), k_BKMH)
    return scores_BKGLM.reshape(*q_BNLH.shape[:3], -1)


def averaged(weights_BNLM: jax.Array, v_BKMH: jax.Array) -> jax.Array:
    """Values averaged by the weights [B, N, L, H]."""
    heads_BKGLH = jnp.einsum("BKGLM,BKMH->BKGLH", grouped(weights_BNLM, v_BKMH.shape[1]), v_BKMH)
    return heads_BKGLH.reshape(*weights_BNLM.shape[:3], -1)


def softmax(scores_BNLM: jax.Array, dtype: DTypeLike) -> jax.Array:
    """Over the memory, in float32 or wider; the weights in `dtype`."""
    wide_BNLM = scores_BNLM.astype(jnp.promote_types(dtype, jnp.float32))
    return jax.nn.softmax(wide_BNLM, axis=-1).astype(dtype)
