"""The head that finds an answer in a text: where it starts, and where it ends.

Shapes: B batch, L length, D width.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .config import LlamaConfig
from .files import Pretrained
from .labels import expect, size_of
from .linear import Linear
from .loss import span_loss
from .model import LlamaModel
from .outputs import SpanOutput


class LlamaForQuestionAnswering(Pretrained):
    """Token ids to two logits a token; the backbone is named `transformer`, as in the reference.

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
        self.transformer = LlamaModel(config, scan=scan, remat=remat, **kinds)
        stddev, axes = config.initializer_std, ("embed", None)
        self.qa_outputs = Linear(config.hidden_size, 2, use_bias=True, stddev=stddev, axes=axes, **kinds)
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
        start_positions: jax.Array | None = None,
        end_positions: jax.Array | None = None,
        num_items_in_batch: int | jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> SpanOutput:
        """Logits of the first and of the last position [B, L] each, and with both positions the loss.

        Args:
            start_positions, end_positions: [B] or [B, 1], see `span_loss`; so is `num_items_in_batch`.

        The other arguments are those of `LlamaModel`.

        Raises:
            ValueError: positions of another shape.
        """
        batch = size_of(input_ids, inputs_embeds)[0]
        expect("start_positions", start_positions, (batch,), (batch, 1))
        expect("end_positions", end_positions, (batch,), (batch, 1))
        outputs = self.transformer(
            input_ids,
            attention_mask,
            position_ids,
            inputs_embeds,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            use_cache=use_cache,
            dropout_key=dropout_key,
        )
        logits_BL2 = self.qa_outputs(outputs.last_hidden_state)
        start_BL, end_BL = logits_BL2[..., 0], logits_BL2[..., 1]
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = span_loss(start_BL, end_BL, start_positions, end_positions, num_items_in_batch)
        return SpanOutput(loss, start_BL, end_BL, outputs.hidden_states, outputs.attentions)
