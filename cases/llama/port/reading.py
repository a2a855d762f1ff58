"""What a model reads while it writes: the prompt at once, then each token that was chosen.

Shapes: B batch, L length, P length of the padded prompt, M memory length (the cache's slots), V vocab.
"""

import dataclasses

import jax
import jax.numpy as jnp

from .cache import Cache
from .heads import LlamaForCausalLM


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reading:
    """What was read, and where the next token goes.

    Attributes:
        cache: of all that was read.
        mask_BM: [B, M], false for the prompt's padding; true behind it, where the cache hides what is not written.
        position_B: [B], of the next token; padding takes none.
    """

    cache: Cache
    mask_BM: jax.Array
    position_B: jax.Array

    def rows(self, order: jax.Array) -> "Reading":
        """Other rows of the batch, or the same in another order."""
        return Reading(self.cache.rows(order), self.mask_BM[order], self.position_B[order])


def read_prompt(
    model: LlamaForCausalLM, ids_BP: jax.Array, mask_BP: jax.Array, *, slots: int
) -> tuple[jax.Array, Reading]:
    """Logits [B, V] of what follows a prompt that is padded on the left, in float32 or wider."""
    B, P = ids_BP.shape
    table = model.model.embed_tokens.embedding[...]
    cache = Cache.empty(model.config, B, slots, model.model.dtype or table.dtype)
    count_BP = jnp.cumsum(mask_BP, axis=-1)
    positions_BP = jnp.where(mask_BP, count_BP - 1, 0)
    mask_BM = jnp.pad(mask_BP, ((0, 0), (0, slots - P)), constant_values=True)
    return _read(model, ids_BP, positions_BP, Reading(cache, mask_BM, count_BP[:, -1]))


def read_token(model: LlamaForCausalLM, token_B: jax.Array, reading: Reading) -> tuple[jax.Array, Reading]:
    """Logits [B, V] of what follows one more token, in float32 or wider."""
    position_B = reading.position_B
    reading = dataclasses.replace(reading, position_B=position_B + 1)
    return _read(model, token_B[:, None], position_B[:, None], reading)


def _read(
    model: LlamaForCausalLM, ids_BL: jax.Array, positions_BL: jax.Array, reading: Reading
) -> tuple[jax.Array, Reading]:
    outputs = model(
        ids_BL,
        reading.mask_BM,
        positions_BL,
        output_hidden_states=False,
        output_attentions=False,
        logits_to_keep=1,
        cache=reading.cache,
    )
    logits_BV = outputs.logits[:, -1]
    assert outputs.cache is not None
    wide_BV = logits_BV.astype(jnp.promote_types(logits_BV.dtype, jnp.float32))
    return wide_BV, dataclasses.replace(reading, cache=outputs.cache)
