"""The affine map that every projection is: one rounding, after the bias.

Shapes: I features in, O features out, R rows.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .parameter import parameter


def linear(
    x: jax.Array, kernel_IO: jax.Array, bias_O: jax.Array | None = None, *, to: DTypeLike | None = None
) -> jax.Array:
    """x kernel + bias [..., O], summed in float32 or wider and rounded once, `to` a dtype or the common one."""
    dtype = jnp.promote_types(x.dtype, kernel_IO.dtype)
    wide = jnp.promote_types(dtype, jnp.float32)
    # One axis of rows: the gradient of more than one costs XLA a transposed copy on a CPU.
    x_RI = x.reshape(-1, x.shape[-1]).astype(dtype)
    y_RO = jnp.matmul(x_RI, kernel_IO.astype(dtype), preferred_element_type=wide)
    if bias_O is not None:
        y_RO = y_RO + bias_O.astype(wide)
    return y_RO.astype(dtype if to is None else to).reshape(*x.shape[:-1], kernel_IO.shape[-1])


class Linear(nnx.Module):
    """A projection with parameters `kernel` [I, O] and, if wanted, `bias` [O].

    `nnx.Linear` rounds the product to half precision before it adds the bias; the reference adds first.

    Args:
        dtype: the inputs and parameters are cast to it; where none is given they are promoted to a common one.
        stddev: of a fresh kernel; a fresh bias is zero.
        axes: logical names of the kernel's two axes, see `sharding`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        use_bias: bool = False,
        stddev: float = 0.02,
        axes: tuple[str | None, str | None] = (None, None),
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.normal(stddev)
        self.kernel = parameter(init(rngs.params(), (in_features, out_features), param_dtype), *axes)
        self.bias = parameter(jnp.zeros(out_features, param_dtype), axes[1]) if use_bias else nnx.data(None)
        self.dtype = dtype

    def __call__(self, x: jax.Array, *, to: DTypeLike | None = None) -> jax.Array:
        """[..., I] to [..., O], rounded `to` a dtype; that of the inputs where none is given."""
        kernel_IO = cast(self.kernel[...], self.dtype)
        bias_O = None if self.bias is None else cast(self.bias[...], self.dtype)
        return linear(cast(x, self.dtype), kernel_IO, bias_O, to=to)


def cast(x: jax.Array, dtype: DTypeLike | None) -> jax.Array:
    """x in `dtype`, or as it is where none is given."""
    return x if dtype is None else x.astype(dtype)
