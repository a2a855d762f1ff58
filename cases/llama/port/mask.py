"""Which position sees which: the mask that is added to the attention scores.

Shapes: B batch, L length, M memory length, D width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

CHUNK, MOST_CHUNKS = 64, 8


@partial(jax.tree_util.register_dataclass, data_fields=["mask_B1LM"], meta_fields=["chunk"])
@dataclass(frozen=True)
class Causal:
    """A mask of which it is known that no position sees a later one.

    So some queries at a time need no more keys than the last of them sees: near half of the arithmetic of a long
    prompt is spared, and the scores of all positions need not lie in memory together.

    Attributes:
        mask_B1LM: what is added to the scores.
        chunk: how many queries go together at least; no input becomes more than `MOST_CHUNKS`, since each is a part
            of the program.
    """

    mask_B1LM: jax.Array
    chunk: int

    def chunks(self) -> Iterator[tuple[slice, int]]:
        """Which queries go together, and how much of the memory they see: the last query has the last slot at most."""
        L, M = self.mask_B1LM.shape[-2:]
        size = max(self.chunk, -(-L // MOST_CHUNKS))
        for start in range(0, L, size):
            stop = min(start + size, L)
            yield slice(start, stop), M - L + stop


def make_mask(
    inputs_embeds: jax.Array,
    attention_mask: jax.Array | None = None,
    position_ids: jax.Array | None = None,
    *,
    use_cache: bool = False,
    slots: int | None = None,
    filled: int | jax.Array = 0,
) -> jax.Array:
    """The additive mask [B, 1, L, M]: 0 where a position is seen, the most negative number where it is not.

    A row that sees nothing is thus uniform after softmax, over all M (with a cache and in chunks: over what its chunk
    sees). A mask of four axes is the caller's own and is returned as it is, also a boolean one, which then adds 1 where
    it is true.

    Args:
        inputs_embeds: [B, L, D]; gives sizes and dtype.
        attention_mask: [B, M], non-zero for a real token; or the finished mask [B, 1, L, M].
        position_ids: [B, L]; where no mask is given and no cache is used, a step other than +1 starts a new sequence,
            and sequences do not see each other.
        use_cache: as the reference is called. It then ignores packing, and fits the mask to the length: what is
            missing at the end is padding, what is too long is cut.
        slots: of the cache, if there is one; M is their number.
        filled: how many of them hold something: where the first of the new positions goes.

    Raises:
        ValueError: the mask does not fit the inputs.
    """
    B, L = inputs_embeds.shape[:2]
    if attention_mask is not None:
        check_fit(attention_mask.shape, B, L, slots=slots, any_length=use_cache)
        if attention_mask.ndim == 4:
            return attention_mask
    M = slots or (L if use_cache or attention_mask is None else attention_mask.shape[-1])

    seen_BLM = causal(L, M, filled)[None]
    if attention_mask is not None:
        seen_BLM = seen_BLM & is_token(attention_mask, M)[:, None, :]
    elif position_ids is not None and not use_cache and slots is None:
        seen_BLM = within_sequence(position_ids)
    return additive(jnp.broadcast_to(seen_BLM, (B, L, M))[:, None], inputs_embeds.dtype)


def check_fit(mask: tuple[int, ...], B: int, L: int, *, slots: int | None, any_length: bool) -> None:
    """Refuse a mask of a shape that would be broadcast to something else, or to nothing.

    Raises:
        ValueError: says both shapes.
    """
    given = f"attention_mask is {list(mask)}"
    if len(mask) == 2:
        if mask[0] not in (1, B):
            raise ValueError(f"{given}: give a row for each of the {B} rows of the input")
        if slots is not None and mask[1] > slots:
            raise ValueError(f"{given}: the cache has {slots} slots")
        if slots is None and not any_length and mask[1] not in (1, L):
            raise ValueError(f"{given}: give a number for each of the {L} positions")
    elif len(mask) == 4:
        if mask[0] not in (1, B) or mask[2] not in (1, L) or mask[3] not in (1, L if slots is None else slots):
            raise ValueError(f"{given}: give [{B}, 1, {L}, {L if slots is None else slots}]")
    else:
        raise ValueError(f"{given}: give two axes, or four")


def causal(L: int, M: int, filled: int | jax.Array = 0) -> jax.Array:
    """[L, M]: the memory up to the position itself, which stands behind what is `filled`."""
    return jnp.arange(M)[None, :] <= jnp.arange(L)[:, None] + filled


def is_token(attention_mask: jax.Array, M: int) -> jax.Array:
    """[B, M]: what is not padding; a mask that is too short is continued with padding, a long one is cut."""
    token_BM = attention_mask.astype(bool)[:, :M]
    return jnp.pad(token_BM, ((0, 0), (0, M - token_BM.shape[-1])))


def within_sequence(position_ids: jax.Array) -> jax.Array:
    """[B, L, L]: positions of the same packed sequence, up to one's own; causal where nothing is packed."""
    first_B1 = position_ids[:, :1] - 1
    starts_BL = jnp.diff(position_ids, prepend=first_B1, axis=-1) != 1
    sequence_BL = jnp.cumsum(starts_BL, axis=-1)
    same_BLM = sequence_BL[:, :, None] == sequence_BL[:, None, :]
    past_BLM = position_ids[:, None, :] <= position_ids[:, :, None]
    return same_BLM & past_BLM


def additive(seen: jax.Array, dtype: DTypeLike) -> jax.Array:
    """0 or the most negative finite number of `dtype`."""
    return jnp.where(seen, jnp.zeros((), dtype), jnp.finfo(dtype).min.astype(dtype))
