"""The language-model head on the backbone.

Shapes: B batch, L length, P positions kept, D width, V vocab.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .cache import Cache
from .config import LlamaConfig
from .files import Pretrained
from .labels import expect, size_of
from .linear import Linear
from .loss import causal_lm_loss
from .mask import CHUNK
from .model import LlamaModel
from .outputs import CausalLMOutput


class LlamaForCausalLM(Pretrained):
    """Token ids to logits; with tied embeddings the token table is the output layer and there is no `lm_head`.

    `scan`, `remat` and `chunk` are those of `LlamaModel`: they change time and memory, and nothing else.
    `logits_dtype` is what logits are rounded to: float32 spares those of a half-precision model the rounding, as
    sampling and losses like it; the reference rounds them to the model's own.
    """

    def __init__(
        self,
        config: LlamaConfig,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        scan: bool = False,
        remat: bool = False,
        chunk: int = CHUNK,
        logits_dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        kinds: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.model = LlamaModel(config, scan=scan, remat=remat, chunk=chunk, **kinds)
        if not config.tie_word_embeddings:
            axes, stddev = ("embed", "vocab"), config.initializer_std
            self.lm_head = Linear(config.hidden_size, config.vocab_size, stddev=stddev, axes=axes, **kinds)
        self.config = config
        self.logits_dtype = logits_dtype

    def __call__(
        self,
        input_ids: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | jax.Array = 0,
        labels: jax.Array | None = None,
        num_items_in_batch: int | jax.Array | None = None,
        cache: Cache | None = None,
        dropout_key: jax.Array | None = None,
    ) -> CausalLMOutput:
        """Logits of every position, or of those in `logits_to_keep`, and with `labels` the loss.

        Args:
            logits_to_keep: see `keep`; with labels, all logits must be kept.
            labels: [B, L], see `causal_lm_loss`; so is `num_items_in_batch`.

        The other arguments are those of `LlamaModel`.
        """
        if labels is not None:
            expect("labels", labels, size_of(input_ids, inputs_embeds))
        outputs = self.model(
            input_ids,
            attention_mask,
            position_ids,
            inputs_embeds,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            use_cache=use_cache,
            cache=cache,
            dropout_key=dropout_key,
        )
        x_BPD = keep(outputs.last_hidden_state, logits_to_keep)
        to = self.logits_dtype
        project = self.model.embed_tokens.attend if self.config.tie_word_embeddings else self.lm_head
        logits_BPV = project(x_BPD, to=to)
        loss = None if labels is None else causal_lm_loss(logits_BPV, labels, num_items_in_batch)
        return CausalLMOutput(loss, logits_BPV, outputs.hidden_states, outputs.attentions, outputs.cache)


def keep(x_BLD: jax.Array, positions: int | jax.Array) -> jax.Array:
    """The hidden states whose logits are wanted.

    Args:
        x_BLD: [B, L, D].
        positions: the last so many (0: all); or an array of positions [P] for all rows, or [B, P] for each; or a
            boolean mask [B, L], which flattens the result to [P, D] and cannot be traced.

    Returns:
        [B, P, D]; NaN for a position outside the sequence, where the reference raises. As in the reference, [P] may
        count from the end, with negative numbers, and [B, P] may not.
    """
    if isinstance(positions, int):
        return x_BLD[:, -positions:]
    if positions.dtype == bool:
        return x_BLD[positions] if positions.ndim == 2 else x_BLD[:, positions]
    if positions.ndim == 2:
        row_B1 = jnp.arange(x_BLD.shape[0])[:, None]
        return x_BLD.at[row_B1, positions].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
    return jnp.take(x_BLD, positions, axis=1)
