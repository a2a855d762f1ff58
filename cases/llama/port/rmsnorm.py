"""Root-mean-square normalisation.

Shapes: B batch, L length, D width.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .linear import cast
from .parameter import parameter


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x^2) + eps) * scale, normalised in float32 or wider.

    The normalised x is rounded to its own dtype before it is scaled; so float32 parameters make a float32 output of
    a half-precision input, unless `dtype` says otherwise.

    Args:
        hidden_size: the width D.
        eps: added to the mean square, inside the root.
        dtype: the input and the scale are cast to it; as they are where none is given.
    """

    def __init__(
        self,
        hidden_size: int,
        eps: float = 1e-6,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs | None = None,
    ):
        self.scale = parameter(jnp.ones(hidden_size, param_dtype), "embed")
        self.variance_epsilon = eps
        self.dtype = dtype

    def __call__(self, hidden_states: jax.Array) -> jax.Array:
        """[B, L, D] to [B, L, D]."""
        x_BLD = cast(hidden_states, self.dtype)
        normed_BLD = normalise(x_BLD, self.variance_epsilon)
        return cast(self.scale[...], self.dtype) * normed_BLD


def normalise(x_BLD: jax.Array, eps: float) -> jax.Array:
    """x over its root mean square, in the dtype of x."""
    wide_BLD = x_BLD.astype(jnp.promote_types(x_BLD.dtype, jnp.float32))
    variance_BL1 = jnp.mean(jnp.square(wide_BLD), axis=-1, keepdims=True)
    normed_BLD = wide_BLD * jax.lax.rsqrt(variance_BL1 + eps)
    return normed_BLD.astype(x_BLD.dtype)
