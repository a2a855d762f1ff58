"""The token table: a row for each id, and with tied embeddings the output layer too.

Shapes: B batch, L length, D width, V vocab.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .linear import cast, linear
from .parameter import parameter


class Embedding(nnx.Module):
    """Rows of a table `embedding` [V, D].

    Args:
        padding_idx: a row that starts as zeros and gets no gradient from look-ups; may count from the end.
        stddev: of a fresh table.
        dtype: of the rows; that of the table where none is given.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        stddev: float = 0.02,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        table_VD = nnx.initializers.normal(stddev)(rngs.params(), (num_embeddings, embedding_dim), param_dtype)
        if padding_idx is not None:
            padding_idx %= num_embeddings
            table_VD = table_VD.at[padding_idx].set(0)
        self.embedding = parameter(table_VD, "vocab", "embed")
        self.padding_idx = padding_idx
        self.dtype = dtype

    def __call__(self, input_ids: jax.Array) -> jax.Array:
        """Rows [B, L, D] of `input_ids` [B, L]; NaN for an id outside the table, where the reference raises."""
        rows_BLD = look_up(self.embedding[...], input_ids)
        if self.padding_idx is not None:
            is_padding_BL1 = (input_ids == self.padding_idx)[..., None]
            rows_BLD = jnp.where(is_padding_BL1, jax.lax.stop_gradient(rows_BLD), rows_BLD)
        return cast(rows_BLD, self.dtype)

    def attend(self, x_BLD: jax.Array, *, to: DTypeLike | None = None) -> jax.Array:
        """Logits [B, L, V]: the table as output layer; `to` is as in `Linear`."""
        table_VD = cast(self.embedding[...], self.dtype)
        return linear(cast(x_BLD, self.dtype), table_VD.T, to=to)


def look_up(table_VD: jax.Array, ids: jax.Array) -> jax.Array:
    """table[ids], without wrapping or clamping."""
    return table_VD.at[ids].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
