"""What the heads are trained to lower: cross-entropies and distances, in float32 or wider, rounded where torch rounds.

A loss over logits in half precision is in half precision itself, but for those that widen the logits first.
Shapes: B batch, L length, R rows of logits, V vocab or C classes.
"""

import jax
import jax.numpy as jnp

from .config import LlamaConfig

IGNORED = -100  # a label that takes no part
Items = int | jax.Array | None


def causal_lm_loss(logits_BLV: jax.Array, labels_BL: jax.Array, num_items_in_batch: Items = None) -> jax.Array:
    """Mean negative log-likelihood of the labels, each predicted from the position before it, in float32 or wider.

    Args:
        logits_BLV: of every position.
        labels_BL: token ids; `IGNORED` takes no part, and neither does the first of each row. Other numbers outside
            the vocabulary give NaN.
        num_items_in_batch: what the sum is divided by, instead of by how many labels take part.

    Returns:
        A scalar; NaN where no label takes part.
    """
    next_BL = jnp.pad(labels_BL[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORED)
    return cross_entropy(widened(logits_BLV), next_BL, items=num_items_in_batch)


def token_loss(logits_BLC: jax.Array, labels_BL: jax.Array) -> jax.Array:
    """Mean negative log-likelihood of each position's own label, in float32 or wider; `IGNORED` takes no part."""
    return cross_entropy(widened(logits_BLC), labels_BL)


def sequence_loss(logits_BC: jax.Array, labels: jax.Array, config: LlamaConfig) -> jax.Array:
    """The loss that `problem_of` names, of one row of logits a sequence.

    Args:
        logits_BC: one row a sequence.
        labels: see `labels.fitting`. For one class of several: `IGNORED` takes no part. For several classes at once:
            the wanted probabilities.
        config: says which loss, where it says so, and how many classes there are.

    Returns:
        A scalar: the mean square, the cross-entropy, or the binary cross-entropy, over whatever was counted.
    """
    problem = problem_of(labels, config)
    if problem == "single_label_classification":
        return cross_entropy(logits_BC, labels.reshape(-1))
    dtype = jnp.promote_types(logits_BC.dtype, labels.dtype)
    x_BC, y_BC = widened(logits_BC), widened(labels).reshape(logits_BC.shape)
    if problem == "regression":
        return jnp.mean(jnp.square(x_BC - y_BC)).astype(dtype)
    return jnp.mean((1 - y_BC) * x_BC - jax.nn.log_sigmoid(x_BC)).astype(dtype)


def problem_of(labels: jax.Array, config: LlamaConfig) -> str:
    """The kind of a classification: the configuration's, or what the number of classes and the labels' dtype imply.

    Every call infers anew. The reference remembers what the first one implied.
    """
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    whole = jnp.issubdtype(labels.dtype, jnp.integer)
    return "single_label_classification" if whole else "multi_label_classification"


def span_loss(
    start_BL: jax.Array, end_BL: jax.Array, starts_B: jax.Array, ends_B: jax.Array, items: Items = None
) -> jax.Array:
    """Mean of two cross-entropies over positions: where the answer starts, and where it ends.

    Args:
        start_BL, end_BL: logits.
        starts_B, ends_B: positions, [B] or [B, 1]; one before the text counts as the first, one behind it takes no
            part.
        items: what each sum is divided by, instead of by how many positions take part.
    """
    L = start_BL.shape[1]

    def half(logits_BL: jax.Array, positions: jax.Array) -> jax.Array:
        return cross_entropy(logits_BL, jnp.clip(positions.reshape(-1), 0, L), ignored=L, items=items)

    return (half(start_BL, starts_B) + half(end_BL, ends_B)) / 2


def cross_entropy(logits: jax.Array, labels: jax.Array, *, ignored: int = IGNORED, items: Items = None) -> jax.Array:
    """Mean negative log-likelihood of the labels that are not `ignored`, or their sum over `items`.

    Args:
        logits: [..., V].
        labels: [...]; another number outside the vocabulary gives NaN, where the reference raises.
        ignored: the label that takes no part.
        items: what the sum is divided by, instead of by how many labels take part.

    Returns:
        A scalar in the logits' dtype, computed wider; NaN where no label takes part.
    """
    label_R = labels.reshape(-1)
    logits_RV = logits.reshape(-1, logits.shape[-1])
    counted_R = label_R != ignored
    logs_RV = widened(jax.nn.log_softmax(widened(logits_RV), axis=-1).astype(logits.dtype))
    # Not by index: the gradient would scatter into an array of zeros of the logits' size.
    chosen_RV = jnp.arange(logs_RV.shape[-1]) == label_R[:, None]
    log_R = jnp.sum(jnp.where(chosen_RV, logs_RV, 0), axis=-1)
    log_R = jnp.where(jnp.any(chosen_RV, axis=-1), log_R, jnp.nan)
    total = -jnp.sum(jnp.where(counted_R, log_R, 0))
    if items is None:
        return (total / jnp.sum(counted_R)).astype(logits.dtype)
    return (widened(total.astype(logits.dtype)) / items).astype(logits.dtype)


def widened(x: jax.Array) -> jax.Array:
    """x in float32, or in what it is if that is wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
