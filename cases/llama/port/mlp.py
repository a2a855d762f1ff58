"""The gated feed-forward network.

Shapes: B batch, L length, D width, F mlp.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .activations import ACTIVATIONS
from .config import LlamaConfig
from .linear import Linear


class MLP(nnx.Module):
    """down(act(gate(x)) * up(x))."""

    def __init__(
        self,
        config: LlamaConfig,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        D, F = config.hidden_size, config.intermediate_size
        project = partial(
            Linear,
            use_bias=config.mlp_bias,
            stddev=config.initializer_std,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.gate_proj = project(D, F, axes=("embed", "mlp"))
        self.up_proj = project(D, F, axes=("embed", "mlp"))
        self.down_proj = project(F, D, axes=("mlp", "embed"))
        self.act_fn = ACTIVATIONS[config.hidden_act]

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, L, D] to [B, L, D]."""
        gate_BLF = self.act_fn(self.gate_proj(x))
        up_BLF = self.up_proj(x)
        return self.down_proj(gate_BLF * up_BLF)
