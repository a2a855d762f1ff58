"""The backbone: token table, rotary tables, mask, layers, final norm.

Shapes: B batch, L length, M memory length, D width, H head dim.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .block import DecoderLayer
from .cache import Cache
from .config import LlamaConfig
from .embedding import Embedding
from .files import Pretrained
from .linear import cast
from .mask import CHUNK, Causal, make_mask
from .outputs import ModelOutput
from .rmsnorm import RMSNorm
from .rotary import RotaryEmbedding
from .stack import plain, recomputed, scanned, shared, unrolled


class LlamaModel(Pretrained):
    """Token ids to normed hidden states.

    Args:
        scan: run the layers as one loop; see `scanned` for what that costs and saves.
        remat: compute each layer's activations again for its gradient, instead of keeping them.
        chunk: of longer inputs, attention takes so many positions at a time; see `Causal`.
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
        rngs: nnx.Rngs,
    ):
        V, D = config.vocab_size, config.hidden_size
        kinds: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.embed_tokens = Embedding(V, D, config.pad_token_id, stddev=config.initializer_std, **kinds)
        self.layers = nnx.List([DecoderLayer(config, **kinds) for _ in range(config.num_hidden_layers)])
        self.norm = RMSNorm(D, config.rms_norm_eps, **kinds)
        self.rotary_emb = RotaryEmbedding(config, **kinds)
        self.config = config
        self.dtype = dtype
        self.scan = scan
        self.remat = remat
        self.chunk = chunk

    def __call__(
        self,
        input_ids: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        use_cache: bool | None = None,
        cache: Cache | None = None,
        dropout_key: jax.Array | None = None,
    ) -> ModelOutput:
        """Run every layer over whole sequences, or over what follows those in a cache.

        Args:
            input_ids: [B, L]; or else
            inputs_embeds: [B, L, D].
            attention_mask: [B, M] or [B, 1, L, M], see `make_mask`.
            position_ids: [B, L] or [1, L]; where none are given they count on from the cache, or from 0, also under
                left padding.
            output_hidden_states, output_attentions, use_cache: what the configuration says, where none are given.
                `use_cache` keeps nothing; it only says how the reference would make the mask, see `make_mask`.
            cache: what was read before. M then counts its slots, `attention_mask` must cover what is in them and what
                is new, and the output has a cache that holds both.
            dropout_key: of `jax.random`, in training: `attention_dropout` of the attention weights are dropped. Without
                one nothing is.

        Raises:
            ValueError: both or neither of ids and embeddings, or more positions than the cache has room for (under
                `jax.jit` the output is NaN then).
        """
        config = self.config
        output_hidden_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        use_cache = config.use_cache if use_cache is None else use_cache

        x_BLD = self.embed(input_ids, inputs_embeds)
        filled = 0 if cache is None else cache.filled
        if cache is not None and cache.layers:
            x_BLD = cache.admit(x_BLD)
        slots = None if cache is None else cache.slots
        mask_B1LM = make_mask(x_BLD, attention_mask, position_ids, use_cache=use_cache, slots=slots, filled=filled)
        mask = self.in_chunks(mask_B1LM, attention_mask, cache)
        if position_ids is None:
            position_ids = jnp.arange(x_BLD.shape[1])[None] + filled
        tables_BLH = self.rotary_emb(x_BLD, position_ids)

        step = shared(recomputed if self.remat else plain)
        if self.scan and self.layers:
            wanted = {"keep_states": output_hidden_states, "keep_weights": output_attentions}
            passed = scanned(self.layers, step, x_BLD, mask, tables_BLH, cache, dropout_key, **wanted)
        else:
            passed = unrolled(self.layers, step, x_BLD, mask, tables_BLH, cache, dropout_key)
        x_BLD = self.norm(passed.x_BLD)
        return ModelOutput(
            last_hidden_state=x_BLD,
            hidden_states=with_last(passed.states, x_BLD) if output_hidden_states else None,
            attentions=tuple(passed.weights) if output_attentions else None,
            cache=None if cache is None else cache.advanced(tuple(passed.caches), x_BLD.shape[1]),
        )

    def in_chunks(self, mask_B1LM: jax.Array, given: jax.Array | None, cache: Cache | None) -> jax.Array | Causal:
        """The mask, marked as causal where the inputs are long and the mask `given`, if any, tells padding only.

        Padding sees nothing, and is then uniform over all there is, which chunks would not be; with a cache it is
        uniform over whatever slots there are, and nobody may read it.
        """
        causal = given is None or (cache is not None and given.ndim == 2)
        return Causal(mask_B1LM, self.chunk) if causal and mask_B1LM.shape[-2] > self.chunk else mask_B1LM

    def embed(self, input_ids: jax.Array | None, inputs_embeds: jax.Array | None) -> jax.Array:
        """What enters the first layer [B, L, D]."""
        if input_ids is not None and inputs_embeds is None:
            return self.embed_tokens(input_ids)
        if inputs_embeds is not None and input_ids is None:
            return cast(inputs_embeds, self.dtype)
        raise ValueError("give either input_ids or inputs_embeds: not both, not neither")


def with_last(states: list[jax.Array], normed_BLD: jax.Array) -> tuple[jax.Array, ...]:
    """The reported hidden states: the inputs of the layers, and the normed output; none where there are no layers."""
    return (*states, normed_BLD) if states else ()
