"""Two heads that choose among classes: one choice for a sequence, or one for each token.

Shapes: B batch, L length, D width, C classes.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .config import LlamaConfig
from .dropout import dropped, keys_of
from .files import Pretrained
from .labels import expect, fitting, size_of
from .linear import Linear
from .loss import sequence_loss, token_loss
from .model import LlamaModel
from .outputs import ClassifierOutput


class LlamaForSequenceClassification(Pretrained):
    """Token ids to one row of logits a sequence: those of its last real token, which has seen all others.

    `scan` and `remat` are those of `LlamaModel`.
    """

    def __init__(
        self,
        config: LlamaConfig,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        scan: bool = False,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        kinds: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.model = LlamaModel(config, scan=scan, remat=remat, **kinds)
        stddev, axes = config.initializer_std, ("embed", None)
        self.score = Linear(config.hidden_size, config.num_labels, stddev=stddev, axes=axes, **kinds)
        self.config = config

    def __call__(
        self,
        input_ids: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        use_cache: bool | None = None,
        labels: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> ClassifierOutput:
        """Logits [B, C] of the position that `last_token` finds, and with `labels` the loss, see `sequence_loss`.

        The mask is not asked where padding is, only `pad_token_id`. The other arguments are those of `LlamaModel`.

        Raises:
            ValueError: several sequences without a `pad_token_id`; labels of another shape than those `fitting`.
        """
        config, batch = self.config, size_of(input_ids, inputs_embeds)[0]
        if config.pad_token_id is None and batch != 1:
            raise ValueError(f"pad_token_id is None: the last token of each of {batch} sequences can't be told")
        if labels is not None:
            expect("labels", labels, *fitting(labels, batch, config))
        outputs = self.model(
            input_ids,
            attention_mask,
            position_ids,
            inputs_embeds,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            use_cache=use_cache,
            dropout_key=dropout_key,
        )
        logits_BC = self.score(pooled(outputs.last_hidden_state, last_token(input_ids, config.pad_token_id)))
        loss = None if labels is None else sequence_loss(logits_BC, labels, config)
        return ClassifierOutput(loss, logits_BC, outputs.hidden_states, outputs.attentions)


class LlamaForTokenClassification(Pretrained):
    """Token ids to one row of logits a token.

    `scan` and `remat` are those of `LlamaModel`.
    """

    def __init__(
        self,
        config: LlamaConfig,
        *,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        scan: bool = False,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        kinds: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.model = LlamaModel(config, scan=scan, remat=remat, **kinds)
        self.score = Linear(
            config.hidden_size,
            config.num_labels,
            use_bias=config.token_classification_bias,
            stddev=config.initializer_std,
            axes=("embed", None),
            **kinds,
        )
        self.config = config

    def __call__(
        self,
        input_ids: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        use_cache: bool | None = None,
        labels: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> ClassifierOutput:
        """Logits [B, L, C], and with `labels` [B, L] the loss, see `token_loss`.

        With a `dropout_key` the configuration's `token_dropout` of what enters the head is dropped too. The other
        arguments are those of `LlamaModel`.

        Raises:
            ValueError: labels of another shape.
        """
        expect("labels", labels, size_of(input_ids, inputs_embeds))
        backbone_key, own_key = keys_of(dropout_key, 2)
        outputs = self.model(
            input_ids,
            attention_mask,
            position_ids,
            inputs_embeds,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            use_cache=use_cache,
            dropout_key=backbone_key,
        )
        logits_BLC = self.score(dropped(outputs.last_hidden_state, self.config.token_dropout, own_key))
        loss = None if labels is None else token_loss(logits_BLC, labels)
        return ClassifierOutput(loss, logits_BLC, outputs.hidden_states, outputs.attentions)


def last_token(input_ids: jax.Array | None, pad_token_id: int | None) -> jax.Array | None:
    """The position of each row's last token that is not padding [B]; 0 in a row of padding alone.

    None where padding can't be told: without a `pad_token_id`, or of embeddings. A negative `pad_token_id` is no
    token's, though the embedding counts it from the end of its table.
    """
    if input_ids is None or pad_token_id is None:
        return None
    place_L = jnp.arange(input_ids.shape[1])
    return jnp.max(jnp.where(input_ids != pad_token_id, place_L, 0), axis=-1)


def pooled(x_BLD: jax.Array, place_B: jax.Array | None) -> jax.Array:
    """What stands at one position of each row [B, D]; at the last one where none are given."""
    if place_B is None:
        return x_BLD[:, -1]
    chosen_BD = x_BLD.at[jnp.arange(len(x_BLD)), place_B]
    return chosen_BD.get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
