"""One layer of the stack: attention and feed-forward network, each behind a norm and beside a residual.

Shapes: B batch, L length, M memory length, D width, N heads, H head dim.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .attention import Attention
from .cache import LayerCache
from .config import LlamaConfig
from .mask import Causal
from .mlp import MLP
from .rmsnorm import RMSNorm


class DecoderLayer(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(
        self,
        config: LlamaConfig,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        D, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = Attention(config, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.mlp = MLP(config, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.input_layernorm = RMSNorm(D, eps, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.post_attention_layernorm = RMSNorm(D, eps, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def __call__(
        self,
        hidden_states: jax.Array,
        attention_mask: jax.Array | None = None,
        position_embeddings: tuple[jax.Array, jax.Array] | None = None,
        position_ids: jax.Array | None = None,
    ) -> jax.Array:
        """[B, L, D] to [B, L, D]; `position_ids` are not read, the tables in `position_embeddings` are."""
        x_BLD, _, _ = self.step(hidden_states, attention_mask, position_embeddings)
        return x_BLD

    def step(
        self,
        x_BLD: jax.Array,
        attention_mask: jax.Array | Causal | None,
        position_embeddings: tuple[jax.Array, jax.Array] | None,
        past: tuple[LayerCache, jax.Array] | None = None,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array, LayerCache | None]:
        """The output [B, L, D], the attention weights [B, N, L, M], and the cache after it, if there is a `past`."""
        if position_embeddings is None:
            raise ValueError("position_embeddings is None: give the (cos, sin) of RotaryEmbedding")
        attended_BLD, weights_BNLM, cache = self.self_attn.step(
            self.input_layernorm(x_BLD), position_embeddings, attention_mask, past, key
        )
        x_BLD = x_BLD + attended_BLD
        x_BLD = x_BLD + self.mlp(self.post_attention_layernorm(x_BLD))
        return x_BLD, weights_BNLM, cache
