"""What is done to the scores of the next token before one is chosen: one function for each way.

Scores are logits, or in beam search logarithms of probabilities, in float32 or wider; what may not be chosen gets
-inf. Every function is traceable, and its shapes hang on nothing but its inputs'. Shapes: B batch, L length, V vocab.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp

from .generation_config import GenerationConfig

Number = float | jax.Array


def scale(scores_BV: jax.Array, *, temperature: Number) -> jax.Array:
    """Scores over a temperature above 0: below 1 the likely becomes likelier."""
    return scores_BV / temperature


def keep_top_k(scores_BV: jax.Array, *, top_k: int, least: int = 1) -> jax.Array:
    """Only the `top_k` best, and whatever ties with the last of them.

    Args:
        scores_BV: [B, V].
        top_k: how many, 1 or more; from V on, all.
        least: how many at the least.
    """
    count = min(max(top_k, least), scores_BV.shape[-1])
    last_B1 = jax.lax.top_k(scores_BV, count)[0][:, -1:]
    return jnp.where(scores_BV < last_B1, -jnp.inf, scores_BV)


def keep_top_p(scores_BV: jax.Array, *, top_p: Number, least: int = 1) -> jax.Array:
    """Only the fewest best whose probabilities add up to more than `top_p`, or to it.

    The worst are dropped as long as all that are dropped add up to 1 - `top_p` at the most. Of two that tie, the one
    with the smaller id is dropped first.

    Args:
        scores_BV: [B, V].
        top_p: from 0 to 1.
        least: how many are kept at the least.
    """
    B, V = scores_BV.shape
    id_BV = jnp.broadcast_to(jnp.arange(V), (B, V))
    ascending_BV, order_BV = jax.lax.sort_key_val(scores_BV, id_BV, is_stable=True)
    total_BV = jnp.cumsum(jax.nn.softmax(ascending_BV, axis=-1), axis=-1)
    high_BV = (total_BV > 1 - top_p) | (jnp.arange(V) >= V - least)
    kept_BV = _put(jnp.zeros((B, V), bool), order_BV, high_BV)
    return jnp.where(kept_BV, scores_BV, -jnp.inf)


def keep_min_p(scores_BV: jax.Array, *, min_p: Number, least: int = 1) -> jax.Array:
    """Only what is at least `min_p` times as probable as the best.

    Args:
        scores_BV: [B, V].
        min_p: from 0 to 1.
        least: how many of the best are kept at the least.
    """
    best_B1 = jnp.max(scores_BV, axis=-1, keepdims=True)
    _, first = jax.lax.top_k(scores_BV, min(least, scores_BV.shape[-1]))
    kept_BV = _put(jnp.exp(scores_BV - best_B1) >= min_p, first, True)
    return jnp.where(kept_BV, scores_BV, -jnp.inf)


def penalise_repetition(
    scores_BV: jax.Array, ids_BL: jax.Array, counted_BL: jax.Array, *, penalty: Number
) -> jax.Array:
    """Scores of tokens that were there before, divided by `penalty` where positive, multiplied by it where negative.

    Args:
        scores_BV: [B, V].
        ids_BL: the text so far, in a buffer [B, L] that may be longer; ids outside the vocabulary count for nothing.
        counted_BL: whether a place holds a token that counts.
        penalty: above 1 makes a token less likely, once, however often it was there.
    """
    ids_BL = jnp.where(counted_BL, ids_BL, -1)
    there_BV = _put(jnp.zeros(scores_BV.shape, bool), ids_BL, True)
    penalised_BV = jnp.where(scores_BV < 0, scores_BV * penalty, scores_BV / penalty)
    return jnp.where(there_BV, penalised_BV, scores_BV)


def forbid_end(
    scores_BV: jax.Array, length: int | jax.Array, *, least: Number, eos_token_ids: Sequence[int]
) -> jax.Array:
    """No end of the text before it has `least` tokens.

    Args:
        scores_BV: [B, V].
        length: how many tokens the text has so far, with the prompt or without, as `least` counts them.
        least: from how many on it may end.
        eos_token_ids: what ends it, one or more.
    """
    ends_V = jnp.isin(jnp.arange(scores_BV.shape[-1]), jnp.asarray(eos_token_ids))
    return jnp.where(ends_V & (length < least), -jnp.inf, scores_BV)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Numbers:
    """What a program of generation takes as arguments: other numbers compile nothing.

    Attributes:
        least: how many tokens must follow a prompt before a text may end.

    The others are those of `GenerationConfig`.
    """

    least: Number
    temperature: Number
    top_p: Number
    min_p: Number
    repetition_penalty: Number
    length_penalty: Number

    @classmethod
    def of(cls, config: GenerationConfig, *, least: int) -> Self:
        """A configuration's."""
        taken = {field.name: getattr(config, field.name) for field in dataclasses.fields(cls) if field.name != "least"}
        return cls(least=least, **{name: float(value or 0) for name, value in taken.items()})


def process(
    scores_BV: jax.Array,
    ids_BL: jax.Array,
    counted_BL: jax.Array,
    *,
    new: int | jax.Array,
    numbers: Numbers,
    config: GenerationConfig,
) -> jax.Array:
    """All that a configuration asks for, in the reference's order; what only sampling looks at, only for sampling.

    Args:
        scores_BV: [B, V].
        ids_BL, counted_BL: the text so far, see `penalise_repetition`.
        new: how many tokens follow the prompt by now.
        numbers: for those that take part.
        config: says which take part; only that, and `top_k` and what ends a text, are looked at.
    """
    if config.repetition_penalty != 1:
        scores_BV = penalise_repetition(scores_BV, ids_BL, counted_BL, penalty=numbers.repetition_penalty)
    if config.ends:
        scores_BV = forbid_end(scores_BV, new, least=numbers.least, eos_token_ids=config.ends)
    if not config.do_sample:
        return scores_BV
    if config.temperature != 1:
        scores_BV = scale(scores_BV, temperature=numbers.temperature)
    if config.top_k != 0:
        scores_BV = keep_top_k(scores_BV, top_k=config.top_k)
    if config.top_p < 1:
        scores_BV = keep_top_p(scores_BV, top_p=numbers.top_p)
    if config.min_p is not None:
        scores_BV = keep_min_p(scores_BV, min_p=numbers.min_p)
    return scores_BV


def _put(flags_BV: jax.Array, ids: jax.Array, value: bool | jax.Array) -> jax.Array:
    """Flags with those at some ids [B, N] of each row set; an id outside the vocabulary is none."""
    rows = jnp.arange(flags_BV.shape[0])[:, None]
    return flags_BV.at[rows, ids].set(value, mode="drop", wrap_negative_indices=False)
