"""The loss of a causal language model: cross-entropy of each next token.

Shapes: B batch, L length, V vocab.
"""

import jax
import jax.numpy as jnp

IGNORED = -100  # a label that takes no part


def causal_lm_loss(
    logits_BLV: jax.Array, labels_BL: jax.Array, num_items_in_batch: int | jax.Array | None = None
) -> jax.Array:
    """Mean negative log-likelihood of the labels, each predicted from the position before it, in float32 or wider.

    Args:
        logits_BLV: of every position.
        labels_BL: token ids; `IGNORED` takes no part, and neither does the first of each row. Other numbers outside
            the vocabulary give NaN.
        num_items_in_batch: what the sum is divided by, instead of by how many labels take part.

    Returns:
        A scalar; NaN where no label takes part.
    """
    wide_BLV = logits_BLV.astype(jnp.promote_types(logits_BLV.dtype, jnp.float32))
    next_BL = jnp.pad(labels_BL[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORED)
    counted_BL = next_BL != IGNORED
    logs_BLV = jax.nn.log_softmax(wide_BLV, axis=-1)
    B, L = next_BL.shape
    row_B1, place_L = jnp.arange(B)[:, None], jnp.arange(L)
    chosen_BL = logs_BLV.at[row_B1, place_L, next_BL]
    log_BL = chosen_BL.get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
    total = -jnp.sum(jnp.where(counted_BL, log_BL, 0))
    return total / (jnp.sum(counted_BL) if num_items_in_batch is None else num_items_in_batch)
